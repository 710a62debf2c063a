"""Several processes of one thread against one process of several threads, and mpiexec against none.

    python -m bench.ranks [MODEL ...] [--processes 2] [--rounds 5]

Each round trains in all three ways one after the other, so that a machine that becomes slower does
so for all; the median of 12 steps counts. `docs/scale.md` has the numbers.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from fastcnn import models
from fastcnn.models import preset
from fastcnn.training import parallel
from fastcnn.training.progress import Progress
from kernels import jit

BATCH, WARM, MEASURED = 128, 3, 12  # images, steps


class _Steps(Progress):
    """When steps ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step(self, loss: float) -> None:
        self.times.append(time.perf_counter())


def one(name: str, threads: int) -> None:
    """Train for some steps as mpiexec has started this process; print the seconds of a step."""
    jit.set_threads(threads)
    everybody, steps, numbers = parallel.found(), _Steps(), np.random.default_rng(1)
    shape = (3, 32, 32) if preset(name)["dataset"] == "cifar10" else (1, 28, 28)
    count = BATCH * (WARM + MEASURED)
    x, y = numbers.integers(0, 256, (count, *shape), np.uint8), numbers.integers(0, 10, count)
    models.build(name).train(
        x, y, epochs=1, batch_size=BATCH, parallel=everybody, progress=steps, validation=None
    )
    if everybody.is_first:
        print(np.median(np.diff(steps.times[WARM - 1 :])))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Processes against threads.")
    parser.add_argument("models", nargs="*", default=["cifar-cnn", "resnet20"])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.one:
        one(wanted.models[0], wanted.one)
        return
    count = wanted.processes
    mpiexec = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if mpiexec is None:
        sys.exit("there is no mpiexec: pip install '.[distributed]' mpich")
    ways = {
        f"{count} threads": ((), count),
        f"{count} processes": ((mpiexec, "-n", str(count)), 1),
        f"mpiexec, {count} threads": ((mpiexec, "-n", "1"), count),
    }
    for name in wanted.models:
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(wanted.rounds):
            for way, (start, threads) in ways.items():
                words = [*start, sys.executable, "-m", "bench.ranks", name, "--one", str(threads)]
                done = subprocess.run(words, capture_output=True, text=True, check=True)
                seconds[way].append(float(done.stdout))
        alone = np.array(seconds[f"{count} threads"])
        for way, each in seconds.items():
            ratio = np.median(alone / each)
            print(f"{name:16}{way:22}{1e3 * np.median(each):8.2f} ms a step, speed {ratio:.3f}")
        print(flush=True)


if __name__ == "__main__":
    main()
