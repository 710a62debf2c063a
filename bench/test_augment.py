"""Every kind of augmentation: gathering one batch, beside dropout of as many numbers.

Rounds alternate between the kind of the row and dropout, so that a busy minute befalls both. The
line printed after each (`pytest -s`), and --benchmark-json, say nanoseconds for each number of the
batch, and how many times dropout's median that is.
"""

from statistics import median
from time import perf_counter

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fastcnn.training.augment import Augment
from fastcnn.training.batches import Batches
from kernels import activation

BATCH = 128
KINDS = {
    "none": Augment(),
    "flip, shift": Augment(flip=True, shift=4),
    "rotate": Augment(rotate=10),
    "brightness, contrast": Augment(brightness=0.2, contrast=0.2),
    "saturation": Augment(saturation=0.2),
    "noise": Augment(noise=0.05),
    "cutout": Augment(cutout=8),
    "flip, shift, cutout": Augment(flip=True, shift=4, cutout=8),
    "all but rotate": Augment(4, 0, True, 0, 0.2, 0.2, 0.2, 0.05, 8),
}


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_gathering(benchmark: BenchmarkFixture, kind: str, shape: tuple[int, int, int]):
    channels = shape[0]
    if channels == 1 and KINDS[kind].saturation:
        pytest.skip("grey images have no saturation")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (1000, *shape), dtype=np.uint8)
    normalization = np.full(channels, 1 / 255, np.float32), np.zeros(channels, np.float32)
    batches = Batches(images, BATCH, normalization, augment=KINDS[kind])
    indices = rng.integers(0, 1000, BATCH)
    numbers = rng.standard_normal((BATCH, *shape), np.float32)
    dropped, seconds = np.empty_like(numbers), []

    def dropout() -> None:
        start = perf_counter()
        activation.dropout(numbers, 0.5, 1, dropped)
        seconds.append(perf_counter() - start)

    dropout()
    batches.load(indices, 0, 0)  # compiled
    seconds.clear()
    benchmark.group, benchmark.name = f"{BATCH} images of {shape}", kind
    benchmark.pedantic(batches.load, (indices, 0, 0), setup=dropout, rounds=100)
    if benchmark.stats is not None:  # None with --benchmark-disable
        own = median(benchmark.stats.stats.data)
        ratio, each = own / median(seconds), own / numbers.size * 1e9
        benchmark.extra_info.update(times_dropout=ratio, nanoseconds_per_number=each)
        print(f"\n{shape}, {kind}: {each:.2f} ns a number, {ratio:.2f} times dropout")
