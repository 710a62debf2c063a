"""Numbers that constructors take are finite and within float32, or refused by name."""

import inspect
import math
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from fastcnn import layers, losses, optim, schedules

# For arguments without a default. What is made of layers or optimizers is left out.
GIVEN = {"rate": 0.5, "kernel_size": 3, "scale_factor": 2, "groups": 2}
LEFT_OUT = ("Concatenate", "Residual", "Input", "Layer", "Lookahead", "Loss", "Optimizer",
            "Losses", "Schedule", "Warmup")  # fmt: skip
NO_NUMBERS: tuple[Any, ...] = (
    math.nan, math.inf, -math.inf, 1e39, -1e39, "", "3", [], (), [1.5], b"3", 1 + 2j, object,
    np.array([1.0, math.nan]),
)  # fmt: skip


def made(module: ModuleType) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Each class, with what it must be given."""
    for name in module.__all__:
        kind = getattr(module, name)
        if inspect.isclass(kind) and name not in LEFT_OUT:
            needed = {
                argument.name: GIVEN.get(argument.name, 2)
                for argument in inspect.signature(kind).parameters.values()
                if argument.default is argument.empty and argument.kind != argument.VAR_KEYWORD
            }
            yield kind, needed | ({"scale_factor": 2} if name == "Upsample" else {})


CASES = [
    pytest.param(kind, given, argument, id=f"{kind.__name__}-{argument.name}")
    for module in (layers, optim, schedules, losses)
    for kind, given in made(module)
    for argument in inspect.signature(kind).parameters.values()
    if argument.kind not in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD)
    and type(given.get(argument.name, argument.default)) in (int, float)
]


@pytest.mark.parametrize(("kind", "given", "argument"), CASES)
def test_what_is_no_number_is_refused_by_name(kind: Any, given: dict[str, Any], argument: Any):
    is_whole = "float" not in str(argument.annotation)
    for value in NO_NUMBERS if is_whole else (*NO_NUMBERS, 10**400):
        with pytest.raises(ValueError, match=argument.name) as refused:
            kind(**{**given, argument.name: value})
        assert "ambiguous" not in str(refused.value)
        assert "inf" not in str(refused.value).partition(", got")[0]


def test_there_are_cases() -> None:
    assert len(CASES) > 60


def test_numbers_of_numpy_are_compared_as_what_they_are() -> None:
    """With one of float32 the least number above 0 would be rounded to 0, and 0 would pass."""
    assert schedules.StepDecay(np.float32(0.5), np.uint8(2)).factor == 0.5
    for value in (np.float32(0), np.float16("inf"), np.float64(1e39)):
        with pytest.raises(ValueError, match="factor must be a finite number above 0"):
            schedules.StepDecay(value, 2)
