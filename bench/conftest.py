"""How the kernels are timed: `pytest bench/` prints one table for each layer and direction.

Every backend gets the same whole batch, so the times in a table compare as they stand. `loop` runs
once (it takes seconds), the others for a quarter of a second. Compilation is not in the times:
the first call of every kernel comes before them. `-k "not loop"` leaves the slow one out, and
`--benchmark-json FILE` keeps, for every row, what the table does not show:

    images_per_second      images of the batch / median time
    gflops                 1e9 multiplications and additions per second, where they are the work
    first_call_seconds     the call before the timing (not for loop): compilation, or loading it
"""

from collections.abc import Callable
from statistics import median
from time import perf_counter

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

BACKENDS = ["loop", "im2col", "numba"]


def pytest_configure(config: pytest.Config) -> None:
    """A quarter of a second for each row unless told otherwise, or 228 rows take long."""
    plugin_default = 1
    if config.option.benchmark_max_time == plugin_default:
        config.option.benchmark_max_time = 0.25


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def measure(benchmark: BenchmarkFixture, backend: str) -> Callable[..., None]:
    """measure(group, function, images, operations): time `function()` as a row of table `group`."""

    def run(
        group: str, function: Callable[[], object], images: int, operations: int | None = None
    ) -> None:
        benchmark.group, benchmark.name = group, backend
        if backend == "loop":
            benchmark.pedantic(function, rounds=1)
        else:
            start = perf_counter()
            function()
            benchmark.extra_info["first_call_seconds"] = perf_counter() - start
            benchmark(function)
        if benchmark.stats is None:  # --benchmark-disable: called once, not timed
            return
        seconds = median(benchmark.stats.stats.data)
        benchmark.extra_info["images_per_second"] = images / seconds
        if operations is not None:
            benchmark.extra_info["gflops"] = operations / seconds / 1e9

    return run


@pytest.fixture
def numbers() -> Callable[[tuple[int, ...]], np.ndarray]:
    """numbers(shape): normally distributed float32, the same in every run."""
    generator = np.random.default_rng(0)
    return lambda shape: generator.standard_normal(shape, dtype=np.float32)
