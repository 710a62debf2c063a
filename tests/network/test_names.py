"""Inputs of a graph that have names are given by them, wherever a network takes x."""

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastcnn import Graph, Input, load_model
from fastcnn.layers import Conv2D, Dense, Flatten
from fastcnn.network import checkpoint

RNG = np.random.default_rng(5)
IMAGES = RNG.integers(0, 256, (12, 1, 4, 4)).astype(np.uint8)
NUMBERS = RNG.normal(size=(12, 3)).astype(np.float32)
GIVEN = {"number": NUMBERS, "image": IMAGES}  # in another order than the graph's
Y = np.arange(12) % 2


def graph(named: bool = True) -> Graph:
    image, number = Input((1, 4, 4)), Input((3,))
    y = Dense(32, 2)(Flatten()(Conv2D(1, 2, 3, padding=1)(image))) + Dense(3, 2)(number)
    return Graph({"image": image, "number": number} if named else (image, number), y)


def test_names_change_nothing_else(tmp_path: Path) -> None:
    pair = IMAGES, NUMBERS
    model, other = graph(), graph(named=False)
    options: dict[str, Any] = {"epochs": 2, "batch_size": 5, "progress": False}
    named = model.train(GIVEN, Y, validation=(GIVEN, Y), test=(GIVEN, Y), **options)
    history = other.train(pair, Y, validation=(pair, Y), test=(pair, Y), **options)
    assert [named[part] for part in ("val_loss", "test_loss")] == [
        history[part] for part in ("val_loss", "test_loss")
    ]
    expected = other.forward(pair)
    model.save(tmp_path / "model.npz")
    for again in (model, load_model(tmp_path / "model.npz"), pickle.loads(pickle.dumps(model))):
        for x in (GIVEN, pair):
            np.testing.assert_array_equal(again.forward(x), expected)
            assert again.measure(x, Y) == other.measure(pair, Y)
        assert again.structure()["input_names"] == ["image", "number"]
    quick = model.compile_for_inference()
    np.testing.assert_array_equal(quick.predict(GIVEN), quick.predict(pair))
    assert "3: Dense(3, 2) of number" in re.sub(" {2,}.*", "", model.summary())


def test_a_call_and_one_input() -> None:
    model, image, number = graph(), Input((1, 4, 4)), Input((3,))
    y = model({"number": number, "image": image})
    assert Graph((image, number), y).predict((IMAGES, NUMBERS)).shape == (12,)
    one = Graph({"image": image}, Flatten()(image))
    np.testing.assert_array_equal(one.forward({"image": IMAGES}), one.forward(IMAGES))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: graph().predict({"image": IMAGES}), "of the inputs image, number, got one of im"),
        (lambda: graph().predict(IMAGES), "this Graph has 2 inputs, so x is a tuple of as many"),
        (lambda: graph(False).predict(GIVEN), "so x is a tuple of as many arrays, got dict"),
        (lambda: graph().predict((NUMBERS, IMAGES)), r"predict: input image must have shape \(N"),
        (lambda: graph()({"image": Input((1, 4, 4))}), "a call: expected a dict of the inputs"),
        (lambda: graph(False)({"image": Input((3,))}), "a call must be symbols, such as .* dict"),
        (lambda: Graph({"a b": Input((3,))}, Input((3,))), "the name of an input must be a word"),
        (lambda: Graph({3: Input((3,))}, Input((3,))), "name of an input must be .* got 3"),
        (lambda: Graph({"a": IMAGES}, Input((3,))), "inputs must be symbols"),
    ],
)
def test_what_does_not_fit_is_told(make: Any, sentence: str) -> None:
    with pytest.raises((TypeError, ValueError), match=sentence):
        make()


@pytest.mark.parametrize("names", [["a"], ["a", "a"], ["a", 3], 7, "a", [[], []]])
def test_a_file_that_names_something_else_is_refused(names: Any) -> None:
    model = graph()
    described = checkpoint.describe(model) | {"input_names": names}
    with pytest.raises((ValueError, TypeError, LookupError)):
        checkpoint.rebuild(described, model.copy_arrays(), Graph)
