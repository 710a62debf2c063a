"""How training would scale to many cores: a model of a cluster, from what one machine can measure.

    python -m bench.cluster                            the table of docs/scale.md, a minute a model
    mpiexec -n 2 python -m bench.cluster --exchange    latency and bandwidth between two processes

One process computes the share that the first of many would have (`Share`), on one thread, and its
messages are counted instead of sent. A message of b bytes takes latency + b / bandwidth, a sum over
R processes log2(R) of them: a butterfly, as `fastcnn.training.parallel` has it.
"""

import argparse
import dataclasses
import importlib
import math
import time

import numpy as np

from fastcnn import losses, models, optim
from fastcnn.models import preset
from fastcnn.network.network import Network
from fastcnn.training import blas
from kernels import jit
from kernels.portion import Portion, add_tree, cut

NETWORKS = {  # seconds, bytes per second: usual ones; --exchange measures those at hand
    "one machine": (3e-6, 4e9),
    "10 Gbit Ethernet": (30e-6, 1.1e9),
    "100 Gbit InfiniBand": (2e-6, 11e9),
}
CORES = (16, 64, 256)
SHARES = (1, 2, 4, 8, 16, 32)  # images of a batch that a core has
ENOUGH = 0.8


@dataclasses.dataclass
class Share(Portion):
    """The first of many processes: the others are not there, and get what it has itself.

    The tree is taken to have a leaf for each process, where today's has 16 in all.
    """

    processes: int
    sums: int = 0  # messages that run through the butterfly, and their bytes
    bytes: int = 0

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


def measured(name: str, images: int, processes: int, seconds: float) -> Step:
    """A step with so many images here, the shortest of those that fit in so many seconds."""
    model: Network = models.build(name)
    shape = (3, 32, 32) if preset(name)["dataset"] == "cifar10" else (1, 28, 28)
    numbers = np.random.default_rng(1)
    x = numbers.random((images, *shape), np.float32)
    y = numbers.integers(0, 10, images * processes)
    loss, optimizer, times = losses.CrossEntropyLoss(), optim.SGD(0.01), []
    share, until = Share(processes), time.process_time() + seconds
    with model.computing(share):
        while len(times) < 3 or time.process_time() < until:
            share.sums = share.bytes = 0
            started = time.process_time()
            outputs = np.concatenate([model.forward_training(x)] * processes)
            loss.forward(outputs, y)
            model.backward_training(loss.backward()[:images])
            optimizer.step(model)
            times.append(time.process_time() - started)
    gradients = model.parameters.gradients.nbytes
    return Step(min(times[1:]), share.sums + 2, share.bytes + gradients + outputs.nbytes)


def table(names: list[str], seconds: float) -> None:
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
        for network, costs in NETWORKS.items():
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


def exchange() -> None:
    """Print what a message between two processes takes, and latency and bandwidth fitted to it."""
    world = importlib.import_module("mpi4py.MPI").COMM_WORLD
    partner, sizes, times = world.Get_rank() ^ 1, [2**power for power in range(3, 23)], []
    for size in sizes:
        mine, other = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
        shortest = math.inf
        for _ in range(30):
            world.Barrier()
            started = time.perf_counter()
            world.Sendrecv(mine, partner, recvbuf=other, source=partner)
            shortest = min(shortest, time.perf_counter() - started)
        times.append(shortest)
    # Relative errors count: a line through all sizes, the smallest as much as the largest.
    weights = 1 / np.array(times)
    columns = np.stack([np.ones(len(sizes)), np.array(sizes)], axis=1) * weights[:, None]
    (latency, per_byte), *_ = np.linalg.lstsq(columns, np.ones(len(sizes)), rcond=None)
    if world.Get_rank() == 0:
        for size, seconds in zip(sizes, times, strict=True):
            print(f"{size:10} bytes {1e6 * seconds:10.1f} us")
        print(f"latency {1e6 * latency:.1f} us, bandwidth {1e-9 / per_byte:.1f} GB/s")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="A model of a cluster.")
    parser.add_argument("models", nargs="*", default=["cifar-cnn", "resnet20"])
    parser.add_argument("--seconds", type=float, default=1.0, help="for each measurement")
    parser.add_argument("--exchange", action="store_true", help="measure messages instead")
    options = parser.parse_args()
    if options.exchange:
        exchange()
        return
    jit.set_threads(1)
    with blas.one_thread():
        table(options.models, options.seconds)


if __name__ == "__main__":
    main()
