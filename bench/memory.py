"""Peak memory of a training run, fastcnn against PyTorch, and its growth over many steps.

    python -m bench.memory --models mnist-baseline cifar-cnn --out DIR

Each library trains each model in a fresh process: the same model, batch and number of steps, the
data in memory. The peak is that of the whole process, its libraries included; what it was before
the first step is shown beside it. Then the same process goes on for --growth steps, each on a
random number of images, from 2 to the full batch: a run that frees or reuses its memory does not
grow. PyTorch gets the memory layout in which it needs less.

Prints a table, and writes memory.json and memory.png into --out. Needs the extra `compare`.
"""

import dataclasses
from typing import Annotated, Any

import tyro

from bench import report, sides
from fastcnn import models
from kernels.cores import available_cores

# Points of the growth curve.
PARTS = 10


@dataclasses.dataclass
class Options:
    """Compare the peak memory of fastcnn and PyTorch."""

    models: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME [NAME ...]")] = models.names()
    """Models that are trained."""
    steps: int = 100
    """Steps on full batches, after which the peak is read."""
    growth: int = 1000
    """Steps on batches of changing size after that, a multiple of 10."""
    threads: int = available_cores()
    """Threads of each library."""
    batch: int | None = None
    """Images in a batch; None: the batch size of the model's author."""
    out: str | None = None
    """Folder for memory.json and memory.png."""


def run(side: str, name: str, options: Options) -> list[float]:
    """Peak MiB before the first step, after the steps, and ten times during the growth steps."""
    count = sides.batch_size(name, options.batch)
    with sides.Worker(side, name, count, options.threads) as worker:
        peaks = [worker.peak_memory(0), worker.peak_memory(options.steps)]
        peaks += [worker.peak_memory(options.growth // PARTS, least=2) for _ in range(PARTS)]
        return peaks


def draw(results: dict[str, dict[str, list[float]]], options: Options) -> Any:
    """A panel for each model: the peak over the steps for both libraries."""
    from matplotlib.figure import Figure

    columns = min(3, len(results))
    rows = -(-len(results) // columns)
    figure = Figure(figsize=(max(7, 3.4 * columns), 2.6 * rows + 0.5), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
    part = options.growth // PARTS
    steps = [0, options.steps, *(options.steps + part * (k + 1) for k in range(PARTS))]
    for axes, (name, peaks) in zip(panels, results.items(), strict=False):
        axes.plot(steps, peaks["fastcnn"], "ko-", markersize=4, label="fastcnn")
        axes.plot(steps, peaks["torch"], "s--", color="0.5", markersize=4, label="PyTorch")
        axes.axvline(options.steps, color="0.7", linewidth=1, linestyle=":")
        axes.set_ylim(bottom=0)
        axes.set_title(name)
        axes.grid(color="0.9", linewidth=0.6)
    for axes in panels[len(results) :]:
        axes.set_visible(False)
    figure.supxlabel(
        "training steps (right of the dotted line: batches of changing size)", size="medium"
    )
    figure.supylabel("peak memory of the process (MiB)", size="medium")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    if options.growth % PARTS:
        raise SystemExit(f"--growth must be a multiple of {PARTS}, got {options.growth}")
    sides.need_torch()
    results: dict[str, dict[str, list[float]]] = {}
    report.header(
        "model", "batch", "fastcnn before, MiB", "fastcnn peak, MiB", "PyTorch before, MiB",
        "PyTorch peak, MiB", "peak, ratio", "fastcnn growth, MiB", "PyTorch growth, MiB",
    )  # fmt: skip
    for name in options.models:
        run("fastcnn", name, dataclasses.replace(options, steps=1, growth=0))  # fills Numba's cache
        layouts = (run(side, name, options) for side in ("torch-nchw", "torch-nhwc"))
        peaks = {
            "fastcnn": run("fastcnn", name, options),
            "torch": min(layouts, key=lambda p: p[1]),
        }
        results[name] = peaks
        ours, theirs = peaks.values()
        report.row(
            name,
            f"{sides.batch_size(name, options.batch)}",
            *(f"{value:.0f}" for side in peaks.values() for value in side[:2]),
            f"{ours[1] / theirs[1]:.2f}",
            *(f"{side[-1] - side[1]:.1f}" for side in peaks.values()),
        )
    data = {**dataclasses.asdict(options), "peaks": results}
    report.save(options.out, "memory", data, draw(results, options))


if __name__ == "__main__":
    main()
