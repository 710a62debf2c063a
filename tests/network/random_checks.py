"""What a random network goes through: its layers one by one, several steps, files, other libraries.

`faults` says what is wrong with one. Of each network are compared

- in float64, to nine digits: outputs, gradients and statistics with those of its layers called one
  by one with backend "loop" (`Walk`), which no plan, no list and no shared memory touches;
- in float32: the same with the layers as they are, outside training to the bit;
- bits: a life of several steps (`Life`) in two ways of running, with and without lists of kernels,
  with two threads and one, with large gradients that take turns and small ones that do not;
- what was handed out, after all that: nobody may have written there;
- convolutions beside BatchNorm in batches of many images: the bits of their layers (`random_rows`);
- `compile_for_inference`, files of our own, safetensors, ONNX by onnxruntime and back, PyTorch.
"""

import tempfile
import warnings
from pathlib import Path

import numpy as np

from fastcnn.layers import BatchNorm
from tests.network.random_forms import REFUSALS, forms, misuse
from tests.network.random_lives import lives, training
from tests.network.random_networks import Chance, build
from tests.network.random_rows import rows
from tests.network.random_walk import (
    step_and_walk,
)

__all__ = [
    "REFUSALS",
    "faults",
    "forms",
    "lives",
    "misuse",
    "one_by_one",
    "prepare",
    "rows",
    "training",
]


def prepare() -> None:
    """What would only be said again and again."""
    warnings.simplefilter("ignore")


def one_by_one(number: int) -> list[str]:
    """Passes of a network beside its layers called one by one, in float32 and in float64."""
    chance = Chance(number, 5)
    made, double = build(number), build(number)
    inside = [each for layer in made.model.layers for each in layer.family()]
    least = 1 + any(isinstance(each, BatchNorm) for each in inside)  # by itself it refuses 1
    wrong = step_and_walk(made, chance, chance.whole(least, 9), np.float32, "numba", exact=True)
    double.model.astype(np.float64)
    for _ in range(2):
        wrong += step_and_walk(
            double, chance, chance.whole(least, 9), np.float64, "loop", exact=False
        )
    return wrong


def faults(number: int, steps: int = 18) -> list[str]:
    """What is wrong with network number so and so."""
    wrong = [*one_by_one(number), *lives(number, steps), *training(number), *rows(number)]
    if number % 5 == 0:
        wrong += misuse(number)
    with tempfile.TemporaryDirectory() as folder:
        wrong += forms(number, Path(folder))
    return wrong
