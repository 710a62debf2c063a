"""How training would scale to many cores: a model of a cluster, from what is measured here.

    mpiexec -n 2 python -m bench.cluster    fits it, and tests it
    python -m bench.cluster --fitted 3 9    the table of docs/scale.md, with what was fitted

One process computes the share that the first of many would have (`Share`), on one thread, and its
messages are counted instead of sent. A message of b bytes takes latency + b / bandwidth, a sum over
R processes log2(R) of them: a butterfly, as `fastcnn.training.parallel` has it. Two processes give
latency and bandwidth between them, and the step that the model has to foretell.
"""

import argparse
import dataclasses
import math
import time
from collections.abc import Iterable

import numpy as np

from fastcnn import losses, models, optim
from fastcnn.models import preset
from fastcnn.network.network import Network
from fastcnn.training import blas
from fastcnn.training.parallel import Alone, found
from kernels import jit
from kernels.portion import add_tree, cut

NETWORKS = {  # seconds, bytes per second: usual ones
    "10 Gbit Ethernet": (30e-6, 1.1e9),
    "100 Gbit InfiniBand": (2e-6, 11e9),
}
CORES = (16, 64, 256)
SHARES = (1, 2, 4, 8, 16, 32)  # images of a batch that a core has
ENOUGH = 0.8
BATCH = 128  # images of the step that is foretold


@dataclasses.dataclass
class Share(Alone):
    """The first of many processes: the others are not there, and get what it has itself.

    The tree is taken to have a leaf for each process, where today's has 16 in all.
    """

    processes: int
    sums: int = 0  # messages that run through the butterfly, and their bytes
    bytes: int = 0

    def share(self, images: int) -> slice:
        return slice(0, images // self.processes)

    def images(self, here: int) -> int:
        return here * self.processes

    def borders(self, here: int, chunks: int) -> np.ndarray:
        return cut(here, 1)

    def _count(self, array: np.ndarray) -> None:
        self.sums += 1
        self.bytes += array.nbytes

    def whole(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        for array in arrays:
            self._count(array)
        return tuple(np.concatenate([array] * self.processes) for array in arrays)

    def first(self, row: np.ndarray) -> np.ndarray:
        self._count(row)
        return row

    def totals(self, sums: np.ndarray, chunks: int) -> int:
        self._count(add_tree(sums.reshape(chunks, -1)))
        return 1

    def blocks(self, count: int) -> tuple[int, int]:
        return 0, -(-count // self.processes)

    def add(self, gradients: Iterable[np.ndarray]) -> None:
        for each in gradients:
            self._count(each)


@dataclasses.dataclass(frozen=True)
class Step:
    """A step of training as one of many processes makes it."""

    seconds: float
    sums: int
    bytes: int

    def on(self, network: tuple[float, float], processes: int) -> float:
        """Seconds, messages included."""
        latency, bandwidth = network
        return self.seconds + math.log2(processes) * (self.sums * latency + self.bytes / bandwidth)


def timed(name: str, images: int, portion: Alone, least: int, seconds: float = 0.0) -> float:
    """The shortest of some steps on batches of so many images, of which there is a portion here."""
    model: Network = models.build(name)
    shape = (3, 32, 32) if preset(name)["dataset"] == "cifar10" else (1, 28, 28)
    numbers, here = np.random.default_rng(1), portion.share(images)
    x = numbers.random((here.stop - here.start, *shape), np.float32)
    y = numbers.integers(0, 10, images)
    loss, optimizer, times = losses.CrossEntropyLoss(), optim.SGD(0.01), []
    # What waits for nobody is timed so that other work on the machine does not count.
    clock = time.process_time if isinstance(portion, Share) else time.perf_counter
    until = clock() + seconds
    with model.computing(portion):
        while len(times) < least or clock() < until:
            if isinstance(portion, Share):
                portion.sums = portion.bytes = 0
            started = clock()
            (outputs,) = portion.whole(model.forward_training(x))
            loss.forward(outputs, y)
            model.backward_training(loss.backward()[here])
            portion.add([model.parameters.gradients])
            optimizer.step(model)
            times.append(clock() - started)
    return min(times[1:])


def measured(name: str, images: int, processes: int, seconds: float) -> Step:
    """A step with so many images here, the shortest of those that fit in so many seconds."""
    share = Share(processes)
    shortest = timed(name, images * processes, share, 3, seconds)
    return Step(shortest, share.sums, share.bytes)


def table(names: list[str], seconds: float, networks: dict[str, tuple[float, float]]) -> None:
    """For each network and number of cores the smallest batch at which enough of them work."""
    print(f"smallest batch at which at least {ENOUGH:.0%} of the cores' time is training")
    print(f"{'':18}{'':22}" + "".join(f"{cores:>14} cores" for cores in CORES))
    for name in names:
        one = {share: measured(name, share, 1, seconds).seconds for share in SHARES}
        per_image = min(one[share] / share for share in SHARES)
        steps = {
            (cores, share): measured(name, share, cores, seconds)
            for cores in CORES
            for share in SHARES
        }
        for network, costs in networks.items():
            cells = []
            for cores in CORES:
                shares = {
                    share: share * per_image / steps[cores, share].on(costs, cores)
                    for share in SHARES
                }
                fits = [share for share in SHARES if shares[share] >= ENOUGH]
                best = max(shares.values())
                cells.append(f"{fits[0] * cores}" if fits else f"never ({best:.0%})")
            print(f"{name:18}{network:22}" + "".join(f"{cell:>20}" for cell in cells), flush=True)


def exchange(everybody: Alone) -> tuple[float, float]:
    """Latency and bandwidth of sums over two processes, fitted to those of many sizes."""
    sizes, times = [2**power for power in range(3, 23)], []
    everybody.share(BATCH)
    for size in sizes:
        array, shortest = np.zeros(size // 4, np.float32), math.inf
        for _ in range(40):
            everybody.any(True)  # both are here
            started = time.perf_counter()
            everybody.add([array])
            shortest = min(shortest, time.perf_counter() - started)
        times.append(shortest)
    # Relative errors count: a line through all sizes, the smallest as much as the largest.
    weights = 1 / np.array(times)
    columns = np.stack([np.ones(len(sizes)), np.array(sizes)], axis=1) * weights[:, None]
    (latency, per_byte), *_ = np.linalg.lstsq(columns, np.ones(len(sizes)), rcond=None)
    if everybody.is_first:
        print(
            "a sum over two processes, microseconds: measured, and as latency + bytes / bandwidth"
        )
        for size, seconds in zip(sizes[::3], times[::3], strict=True):
            fitted = latency + size * per_byte
            print(f"{size:10} bytes {1e6 * seconds:10.1f} {1e6 * fitted:10.1f}")
        print(f"latency {1e6 * latency:.1f} us, bandwidth {1e-9 / per_byte:.1f} GB/s\n")
    return latency, 1 / per_byte


def foretold(names: list[str], everybody: Alone, costs: tuple[float, float]) -> None:
    """Print for each network what two processes take, and what the model says."""
    for name in names:
        together = timed(name, BATCH, everybody, 30)
        if everybody.is_first:
            told = measured(name, BATCH // 2, 2, 1.0).on(costs, 2)
            words = f"a step of {BATCH} images in two processes"
            print(f"{name:18}{words}: {1e3 * together:.2f} ms, foretold {1e3 * told:.2f} ms")
        everybody.any(True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="A model of a cluster.")
    parser.add_argument("models", nargs="*", default=["cifar-cnn", "resnet20"])
    parser.add_argument("--seconds", type=float, default=1.0, help="for each measurement")
    parser.add_argument(
        "--fitted", nargs=2, type=float, default=(3.0, 9.0), metavar=("US", "GB/S"),
        help="latency and bandwidth within one machine",
    )  # fmt: skip
    options, everybody = parser.parse_args(), found()
    jit.set_threads(1)
    with blas.one_thread():
        if everybody.processes == 2:
            foretold(options.models, everybody, exchange(everybody))
            return
        latency, bandwidth = options.fitted
        networks = {"one machine": (1e-6 * latency, 1e9 * bandwidth), **NETWORKS}
        table(options.models, options.seconds, networks)


if __name__ == "__main__":
    main()
