"""How near the kernels come to what the processor can do: every layer of the named models.

    python -m bench.peak --out DIR --threads 1

Measures the processor's peak (fused multiply-adds that never leave the registers, as wide as the
kernels' own vectors) and the memory's bandwidth (a triad over arrays that fit into no cache), and
between these, in turns, every convolution and dense layer of the models in every direction that
training needs, and whole training steps. Operations are counted as those of the direct method.

Prints tables, and writes peak.json and peak.png, a roofline (Williams, Waterman, Patterson,
"Roofline: An Insightful Visual Performance Model", 2009), into --out.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import numpy as np
import tyro

from bench import report, sides
from bench.places import DIRECTIONS, Place, places
from bench.roofs import triad_bytes
from fastcnn import models
from kernels import jit
from kernels.peak import multiply_add_operations


@dataclasses.dataclass
class Options:
    """Compare the kernels with the processor's peak and the memory's bandwidth."""

    models: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME [NAME ...]")] = models.names()
    """Models whose layers are measured."""
    threads: int = 1
    """Threads of the kernels and of the roofs."""
    rounds: int = 15
    """Turns that each layer takes."""
    seconds: float = 0.01
    """Length of a layer's turn; a training step's is ten times as long."""
    megabytes: int = 256
    """Size of each of the three arrays of the triad: several times the last cache."""
    out: str | None = None
    """Folder for peak.json and peak.png."""


# --- what is measured ---------------------------------------------------------------------------


class Task:
    """Something that is timed in turns, and its speed relative to the peak measured next to it."""

    def __init__(self, function: Callable[[], object], operations: int, **facts: Any) -> None:
        self.function, self.operations, self.facts = function, operations, facts
        self.speeds: list[float] = []
        self.shares: list[float] = []

    def take_turn(self, seconds: float) -> None:
        """Measure the speed."""
        self.speeds.append(self.operations * calls_per_second(self.function, seconds) / 1e9)

    def compare(self, peak: float) -> None:
        """Note the last speed's share of the peak."""
        self.shares.append(self.speeds[-1] / peak)

    def result(self) -> dict[str, Any]:
        speed, share = report.Spread.of(self.speeds), report.Spread.of(self.shares)
        return {**self.facts, "gflops": speed, "share_of_peak": share}


def calls_per_second(function: Callable[[], object], seconds: float) -> float:
    """How often a function can be called, over about ``seconds``."""
    calls, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        function()
        calls += 1
    return calls / passed


def layer_tasks(name: str) -> Iterator[list[Task]]:
    """The directions of each different layer of a model."""
    model = sides.build(name)
    assert model.input_shape is not None
    alike: dict[tuple[str, bool], list[Place]] = {}
    for place in places(model.layers, (sides.batch_size(name), *model.input_shape)):
        key = f"{place.layer.name} {place.x_shape}", place.needs_input_gradient
        alike.setdefault(key, []).append(place)
    for group in alike.values():
        place = group[0]
        yield [
            Task(
                place.kernel(direction),
                place.operations,
                model=name,
                batch=place.x_shape[0],
                layer=str(place),
                count=len(group),
                direction=direction,
                intensity=place.operations / place.bytes(direction),
            )
            for direction in place.directions
        ]


def step_task(name: str, threads: int) -> Task:
    """A whole training step of a model; only convolutions and dense layers count as operations."""
    model, batch = sides.build(name), sides.batch_size(name)
    assert model.input_shape is not None
    operations = sum(
        place.operations * len(place.directions)
        for place in places(model.layers, (batch, *model.input_shape))
    )
    step = sides.fastcnn_step(name, batch, threads)
    return Task(step, operations, model=name, batch=batch)


def measure(options: Options) -> dict[str, Any]:
    """All layers, all steps and the two roofs, in turns."""
    jit.set_threads(options.threads)
    layers = [task for name in options.models for task in layer_tasks(name)]
    steps = [step_task(name, options.threads) for name in options.models]
    peaks: list[float] = []
    bandwidths: list[float] = []
    results = np.empty(options.threads, np.float32)
    arrays = np.ones((3, options.megabytes * 2**20 // 4), np.float32)
    loops = 50_000
    operations = multiply_add_operations(loops, results)

    def peak() -> float:
        calls = calls_per_second(lambda: multiply_add_operations(loops, results), 0.003)
        peaks.append(operations * calls / 1e9)
        return peaks[-1]

    def bandwidth() -> float:
        moved, started = triad_bytes(*arrays), time.perf_counter()
        triad_bytes(*arrays)
        return moved / (time.perf_counter() - started) / 1e9

    turns = [(tasks, options.seconds) for tasks in layers]
    turns += [([task], 10 * options.seconds) for task in steps]
    for tasks, _ in turns:
        for task in tasks:
            task.function()  # compilation
    for _ in range(options.rounds):
        bandwidths.append(bandwidth())
        before = peak()
        for tasks, seconds in turns:
            for task in tasks:
                task.take_turn(seconds)
            after = peak()
            for task in tasks:
                task.compare(max(before, after))  # the smaller one may have been disturbed
            before = after
    return {
        "threads": options.threads,
        "peak_gflops": report.Spread.of(peaks),
        "bandwidth_gb_per_second": report.Spread.of(bandwidths),
        "layers": [task.result() for tasks in layers for task in tasks],
        "steps": [task.result() for task in steps],
    }


# --- what is shown ------------------------------------------------------------------------------


def show(results: dict[str, Any]) -> None:
    """Print the tables."""
    print(f"threads: {results['threads']}")
    print(f"peak: {results['peak_gflops']:.0f} GFLOP/s")
    print(f"memory bandwidth: {results['bandwidth_gb_per_second']:.1f} GB/s\n")
    report.header(
        "model", "batch", "layer", "direction", "FLOP/byte", "GFLOP/s", "share of peak (range)"
    )
    for task in results["layers"]:
        times = f" ({task['count']} times)" if task["count"] > 1 else ""
        report.row(
            task["model"],
            f"{task['batch']}",
            f"{task['layer']}{times}",
            task["direction"],
            f"{task['intensity']:.1f}",
            f"{task['gflops'].median:.1f}",
            f"{task['share_of_peak']:.0%}",
        )
    for direction in DIRECTIONS:
        shares = [
            task["share_of_peak"].median
            for task in results["layers"]
            if task["direction"] == direction
        ]
        if shares:
            print(f"\n{direction}: median share of peak {statistics.median(shares):.0%}", end="")
    print("\n")
    report.header("whole training step", "batch", "GFLOP/s", "share of peak (range)")
    for task in results["steps"]:
        speed, share = f"{task['gflops'].median:.1f}", f"{task['share_of_peak']:.0%}"
        report.row(task["model"], f"{task['batch']}", speed, share)


def draw(results: dict[str, Any]) -> Any:
    """The roofline: speed over arithmetic intensity, below what processor and memory allow."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    markers = {
        "forward": ("o", "white"),
        "input gradient": ("^", "0.6"),
        "weight gradient": ("s", "black"),
    }
    for direction, (marker, face) in markers.items():
        tasks = [task for task in results["layers"] if task["direction"] == direction]
        axes.plot(
            [task["intensity"] for task in tasks],
            [task["gflops"].median for task in tasks],
            linestyle="none",
            marker=marker,
            markerfacecolor=face,
            markeredgecolor="black",
            markersize=5,
            alpha=0.8,
            label=direction,
        )
    peak = results["peak_gflops"].median
    bandwidth = results["bandwidth_gb_per_second"].median
    lowest = min(task["intensity"] for task in results["layers"]) / 2
    highest = max(task["intensity"] for task in results["layers"]) * 2
    slope = np.array([min(lowest, peak / bandwidth), peak / bandwidth])
    axes.plot(slope, bandwidth * slope, "k--", label=f"memory: {bandwidth:.1f} GB/s")
    axes.plot([peak / bandwidth, highest], [peak, peak], "k-", label=f"peak: {peak:.0f} GFLOP/s")
    report.log_scale(axes, "x", "y")
    axes.set_xlabel("arithmetic intensity (FLOP per byte read or written once)")
    axes.set_ylabel("speed (GFLOP/s, operations of the direct method)")
    axes.set_title(f"convolutions and dense layers, threads: {results['threads']}")
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    results = measure(options)
    show(results)
    report.save(options.out, "peak", results, draw(results))


if __name__ == "__main__":
    main()
