"""Every optimizer over a million parameters in one flat array, as a model has them.

A row is 30 steps: with the slow steps of Lookahead (every fifth) and Ranger (every sixth). Arrays
that a step reads and writes, and what else it does to each number:

    sgd                    3
    sgd with momentum      5
    rmsprop, adagrad       5, a square root and a division
    adam, adamw, radam     7, a square root and a division
    a slow step            4 more, once in k steps
"""

from collections.abc import Callable
from statistics import median

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fastcnn import optim
from fastcnn.layers import Dense

STEPS = 30
# Of gradients that are 0, after which averages that were not put to 0 would be subnormal.
IDLE_STEPS = 1200
OPTIMIZERS: dict[str, Callable[[], optim.Optimizer]] = {
    **{name: lambda name=name: optim.from_name(name, lr=1e-4) for name in optim.names()},
    "sgd, momentum": lambda: optim.SGD(1e-4, momentum=0.9),
    "lookahead, sgd": lambda: optim.Lookahead(optim.SGD(1e-4)),
    "lookahead, adam": lambda: optim.Lookahead(optim.Adam(1e-4)),
}


@pytest.mark.parametrize("idle", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps(benchmark: BenchmarkFixture, name: str, idle: bool):
    layer, optimizer = Dense(1000, 1000, bias=False), OPTIMIZERS[name]()
    generator = np.random.default_rng(0)
    layer.grads["weight"] = generator.standard_normal((1000, 1000), np.float32)

    def steps() -> None:
        for _ in range(STEPS):
            optimizer.step(layer)

    steps()  # compiles
    if idle:
        layer.grads["weight"] = np.zeros((1000, 1000))
        for _ in range(IDLE_STEPS):
            optimizer.step(layer)
        name += ", long without gradients"
    benchmark.group, benchmark.name = f"optimizers: {STEPS} steps of 1,000,000 parameters", name
    benchmark(steps)
    if benchmark.stats is not None:
        seconds = median(benchmark.stats.stats.data)
        benchmark.extra_info["parameters_per_second"] = STEPS * 1_000_000 / seconds
