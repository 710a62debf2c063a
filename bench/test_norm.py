"""GroupNorm and LayerNorm beside BatchNorm: forward and backward of one training step.

Rounds alternate between the layer of the row and BatchNorm, so that a busy minute befalls both.
The rows show the layer alone; the line printed after each (`pytest -s`), and
`times_batch_norm` in --benchmark-json, how many times BatchNorm's median its own is.
"""

import math
from collections.abc import Callable
from statistics import median
from time import perf_counter

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fastcnn.layers import BatchNorm, GroupNorm, Layer, LayerNorm
from kernels.workspace import Workspace

Numbers = Callable[[tuple[int, ...]], np.ndarray]

# (batch, height, width, channels) or (batch, features): where the networks have, or might have,
# normalisation.
SHAPES = {
    "mnist-baseline 1": (32, 28, 28, 8),
    "mnist-optimized 1": (64, 28, 28, 16),
    "mnist-optimized 2": (64, 14, 14, 32),
    "mnist-optimized dense": (64, 256),
    "lab-cnn": (32, 26, 26, 8),
    "lenet5 1": (64, 28, 28, 6),
    "lenet5 dense": (64, 120),
    "cifar-cnn 1": (128, 34, 34, 32),
    "cifar-cnn 2 wide": (128, 19, 19, 64),
    "cifar-mlp": (128, 1024),
    "resnet20 stage 1": (128, 32, 32, 16),
    "resnet20 stage 2": (128, 16, 16, 32),
    "resnet20 stage 3": (128, 8, 8, 64),
}
KINDS: dict[str, Callable[[int], Layer]] = {
    "GroupNorm": lambda channels: GroupNorm(channels // math.gcd(channels, 8), channels),
    "LayerNorm": LayerNorm,
}


def step_of(layer: Layer, x: np.ndarray, dy: np.ndarray) -> Callable[[], None]:
    """Forward and backward in memory that is used again, as in a model."""
    layer.workspace = Workspace()
    layer.place = layer.place._replace(scratch=layer.workspace)

    def step() -> None:
        layer.forward(x, training=True)
        layer.backward(dy)

    step()  # compiled, and memory asked for
    return step


@pytest.mark.parametrize("place", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_training(benchmark: BenchmarkFixture, numbers: Numbers, place: str, kind: str):
    x, dy = numbers(SHAPES[place]), numbers(SHAPES[place])
    if x.ndim == 4:  # the layers see N, C, H, W views of N, H, W, C memory
        x, dy = x.transpose(0, 3, 1, 2), dy.transpose(0, 3, 1, 2)
    step = step_of(KINDS[kind](x.shape[1]), x, dy)
    batch_norm_step, batch_norm_seconds = step_of(BatchNorm(x.shape[1]), x, dy), []

    def run_batch_norm() -> None:
        start = perf_counter()
        batch_norm_step()
        batch_norm_seconds.append(perf_counter() - start)

    benchmark.group, benchmark.name = f"{place}: {x.shape}, forward and backward", kind
    benchmark.pedantic(step, setup=run_batch_norm, rounds=100)
    if benchmark.stats is not None:  # None with --benchmark-disable
        ratio = median(benchmark.stats.stats.data) / median(batch_norm_seconds)
        benchmark.extra_info["times_batch_norm"] = ratio
        print(f"\n{place}, {kind}: {ratio:.2f} times BatchNorm")
