"""Some networks at random, each with a life; `tests.network.random_networks` tries more."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastcnn import Graph, layers
from fastcnn.layers import Conv2D, branches, convolutions
from tests.network import random_checks
from tests.network.random_networks import Chance, build

NUMBERS = range(30)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        random_checks.prepare()
        yield


@pytest.mark.parametrize("number", NUMBERS)
def test_layers_one_by_one(number: int) -> None:
    assert random_checks.one_by_one(number) == []


@pytest.mark.parametrize("number", NUMBERS[::5])
def test_rows_beside_batch_norm(number: int) -> None:
    assert random_checks.rows(number, steps=3) == []


@pytest.mark.parametrize("number", NUMBERS[::3])
def test_a_life(number: int) -> None:
    assert random_checks.lives(number, steps=9) == []
    assert random_checks.training(number) == []


@pytest.mark.parametrize("number", NUMBERS[1::5])
def test_other_forms(number: int, tmp_path: Path) -> None:
    for package in ("onnxruntime", "onnx", "torch", "safetensors"):
        pytest.importorskip(package)
    assert random_checks.forms(number, tmp_path) == []


@pytest.mark.parametrize("number", NUMBERS[2::15])
def test_what_does_not_fit(number: int) -> None:
    assert random_checks.misuse(number) == []


def test_what_is_drawn() -> None:
    """Every public layer, and networks of both kinds, with several inputs and outputs."""
    made = [build(number) for number in range(400)]
    graphs = [each.model for each in made if isinstance(each.model, Graph)]
    assert 0.3 < len(graphs) / len(made) < 0.8
    assert any(len(each.inputs) > 1 for each in made)
    assert any(len(model.ends) > 1 for model in graphs)
    assert any(each.others for each in made)
    drawn = {type(each).__name__ for one in made for layer in one.model.layers
             for each in layer.family()}  # fmt: skip
    assert drawn >= set(layers.__all__) - {"Input", "Layer", "from_spec"}


def test_a_network_is_the_same_again() -> None:
    one, other = build(11), build(11)
    assert repr(one) == repr(other)
    for name, array in one.model.named_arrays():
        np.testing.assert_array_equal(array, dict(other.model.named_arrays())[name])


def test_a_wrong_sum_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that a convolution forms for BatchNorm, forward and back."""
    for name in ("forward_summed", "backward_summed"):
        place = Conv2D if name == "forward_summed" else convolutions
        whole = getattr(place, name)

        def other(*given: Any, whole: Any = whole) -> Any:
            made, sums = whole(*given)
            return made, None if sums is None else sums + 1e-3

        with monkeypatch.context() as patch:
            patch.setattr(place, name, other)
            assert any(random_checks.rows(number, steps=1) for number in NUMBERS)


def test_a_wrong_gradient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison would see a plan that is wrong: every second part of a sum left out."""
    total = branches.Branches.total
    monkeypatch.setattr(
        branches.Branches,
        "total",
        lambda self, value, parts, memory=None: total(self, value, parts[:1], memory),
    )
    assert any(random_checks.one_by_one(number) for number in NUMBERS)
    assert Chance(1).whole(0, 9) == Chance(1).whole(0, 9)
