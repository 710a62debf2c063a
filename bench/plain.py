"""How much faster a script runs with `fastcnn.plain` than with the NumPy layers it had.

    python -m bench.plain

trains LeNet-5 for some batches through `fastcnn.plain`, and through layers as such scripts have
them: NumPy products in loops over the places of a window (those of `tests/test_plain.py`). Both
take turns; the ratio is that of their medians.
"""

import statistics
import time
from typing import Any

import numpy as np

from fastcnn import plain
from tests.test_plain import OWN, LeNet5, main

_IMAGES = 64
_ROUNDS = 5
_FAST = 40  # passes over the images, so that both sides take a second or so


def seconds(nn: Any, passes: int) -> float:
    """Seconds that one batch takes: forward, loss, backward, update."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (_IMAGES, 1, 28, 28)) / 256, np.arange(_IMAGES) % 10
    model, criterion = LeNet5(nn, image_size=28), nn.CrossEntropyLoss()
    main(model, criterion, images, labels, 1, _IMAGES)  # compiles
    started = time.perf_counter()
    main(model, criterion, images, labels, passes, _IMAGES)
    return (time.perf_counter() - started) / passes


def run() -> None:
    """Measure and print."""
    pairs = [(seconds(OWN, 1), seconds(plain, _FAST)) for _ in range(_ROUNDS)]
    for name, times in zip(("NumPy", "fastcnn.plain"), zip(*pairs, strict=True), strict=True):
        print(f"{name}: {_IMAGES / statistics.median(times):,.0f} images/s")
    ratios = sorted(slow / fast for slow, fast in pairs)
    print(f"ratio {statistics.median(ratios):.0f} ({ratios[0]:.0f} to {ratios[-1]:.0f})")


if __name__ == "__main__":
    run()
