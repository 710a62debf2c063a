"""How long it takes to reach an accuracy, with fastcnn and with PyTorch and the same recipe.

    python -m bench.record --out DIR
    python -m bench.record --only mnist-fast --sides fastcnn

Each side is the command that someone would type, in a process begun anew: `fastcnn.train` and
`bench.torch_accuracy` train the same network with the same batches, schedule and augmentation, and
ask for the test accuracy after each epoch. Two times are told: seconds from the start of the
process until the epoch is told, with imports, reading the images and all tests, and, in brackets,
seconds of training alone. fastcnn's kernels are compiled before, PyTorch's memory layout is the
faster of the two, measured before. A network is trained with each of some numbers of epochs, and
for each accuracy the run counts that reaches it first: more epochs reach more, but later.

Prints a table, and writes record.json and record.png into --out. Needs MNIST, CIFAR-10 and the
extra `compare`.
"""

import csv
import dataclasses
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from bench import report, sides
from kernels.cores import available_cores

TARGETS = {
    "mnist-fast": (0.98, 0.99, 0.994),
    "cifar-fast": (0.70, 0.80, 0.85, 0.88),
}
EPOCHS = {"mnist-fast": (4, 8), "cifar-fast": (12, 36)}
SIDES = {"fastcnn": "fastcnn", "torch": "PyTorch"}
LAYOUTS = {"torch-nchw": "contiguous_format", "torch-nhwc": "channels_last"}


@dataclasses.dataclass(frozen=True)
class Options:
    """Measure the seconds until an accuracy is reached."""

    only: tuple[Literal["mnist-fast", "cifar-fast"], ...] = ("mnist-fast", "cifar-fast")
    """These networks alone."""
    sides: tuple[Literal["fastcnn", "torch"], ...] = ("fastcnn", "torch")
    """These libraries alone."""
    epochs: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N [N ...]")] = ()
    """Epochs of each run; none: those of the preset, and others for what it does not reach."""
    threads: int = available_cores()
    """Threads of each library."""
    seed: int = 42
    """Key of the starting weights, the order of the images and their changes."""
    out: str | None = None
    """Folder for record.json and record.png."""


@dataclasses.dataclass(frozen=True)
class Epoch:
    """Where a run stood after an epoch.

    Attributes
    ----------
    accuracy : float
        Of the test images.
    passed : float
        Seconds since the start of the process.
    training : float
        Seconds of training until then.
    """

    accuracy: float
    passed: float
    training: float


Run = list[Epoch]


def lines(command: Sequence[str]) -> Iterator[tuple[float, str]]:
    """What a command prints, each line with the seconds since its start.

    Raises
    ------
    SystemExit
        If the command fails; its message is on standard error.
    """
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield time.perf_counter() - started, line
    if process.returncode:
        raise SystemExit(f"{' '.join(command[1:4])} failed; see above")


def fastcnn_run(name: str, epochs: int, threads: int, seed: int, *more: str) -> Run:
    """Train with fastcnn."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [
            sys.executable, "-m", "fastcnn.train", "--model", name, "--epochs", str(epochs),
            "--threads", str(threads), "--seed", str(seed), "--no-pictures", "--out", str(out),
            *more,
        ]  # fmt: skip
        passed = [
            seconds for seconds, line in lines(command) if re.match(r" *\d+ +[\d.e-]+ ", line)
        ]
        history = list(csv.DictReader((out / "history.csv").read_text().splitlines()))
    accuracies = [float(row["test_accuracy"]) for row in history]
    return run_of(accuracies, passed, [float(row["seconds_training"]) for row in history])


def torch_run(name: str, epochs: int, threads: int, seed: int, layout: str) -> Run:
    """Train with PyTorch."""
    command = [
        sys.executable, "-m", "bench.torch_accuracy", "--model", name, "--epochs", str(epochs),
        "--threads", str(threads), "--seed", str(seed), "--layout", layout,
    ]  # fmt: skip
    rows = [(seconds, line.strip("| \n").split(" | ")) for seconds, line in lines(command)]
    rows = [(seconds, cells) for seconds, cells in rows if cells[0].isdigit()]
    accuracies = [float(cells[3].rstrip("%")) / 100 for _, cells in rows]
    seconds = [float(cells[5]) for _, cells in rows]
    return run_of(accuracies, [passed for passed, _ in rows], seconds)


def run_of(accuracies: Sequence[float], passed: Sequence[float], training: Sequence[float]) -> Run:
    """The epochs of a run, of which ``training`` has the seconds of each."""
    sums = [sum(training[: index + 1]) for index in range(len(training))]
    return [Epoch(*each) for each in zip(accuracies, passed, sums, strict=True)]


def faster_layout(name: str, threads: int) -> str:
    """PyTorch's memory layout for a network."""
    rates = {}
    for side, layout in LAYOUTS.items():
        with sides.Worker(side, name, sides.batch_size(name), threads) as worker:
            worker.rate(0.5)
            rates[layout] = worker.rate(1.0)
    return max(rates, key=lambda layout: rates[layout])


def first(runs: Sequence[Run], accuracy: float) -> tuple[Epoch, str] | None:
    """Where an accuracy was reached soonest after the start, and the epoch as "2 of 3"."""
    reached = [
        (epoch, f"{number} of {len(run)}")
        for run in runs
        for number, epoch in enumerate(run, 1)
        if epoch.accuracy >= accuracy
    ]
    return min(reached, key=lambda each: each[0].passed, default=None)


def tell(name: str, measured: dict[str, list[Run]]) -> None:
    """Print the rows of a network: a row for each accuracy."""
    for target in TARGETS[name]:
        cells, found = [], []
        for runs in measured.values():
            best = max((epoch.accuracy for run in runs for epoch in run), default=0.0)
            reached = first(runs, target)
            if reached is None:
                cells += [f"not reached ({best:.2%})", ""]
            else:
                found.append(reached[0])
                cells += [f"{found[-1].passed:.1f} ({found[-1].training:.1f})", reached[1]]
        times = ""
        if len(found) == len(SIDES):
            ours, theirs = found
            of_training = theirs.training / ours.training
            times = f"{theirs.passed / ours.passed:.2f} ({of_training:.2f})"
        report.row(name, f"{target:.1%}", *cells, *[times] * (len(measured) == len(SIDES)))


def measure(name: str, options: Options) -> dict[str, list[Run]]:
    """Every run of a network, by side."""
    measured: dict[str, list[Run]] = {side: [] for side in SIDES if side in options.sides}
    layout = faster_layout(name, options.threads) if "torch" in measured else ""
    if "fastcnn" in measured:  # compiles what is not compiled yet
        fastcnn_run(name, 1, options.threads, options.seed, "--limit-train", "1000")
    for epochs in options.epochs or EPOCHS[name]:
        arguments = name, epochs, options.threads, options.seed
        if "fastcnn" in measured:
            measured["fastcnn"].append(fastcnn_run(*arguments))
        if "torch" in measured:
            measured["torch"].append(torch_run(*arguments, layout))
    return measured


def draw(results: dict[str, dict[str, list[Run]]]) -> Any:
    """Test accuracy over the seconds since the start, a panel for each network."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(results) + 1.5, 3.2), layout="constrained")
    panels = figure.subplots(1, len(results), squeeze=False)[0]
    styles = {"fastcnn": {"color": "black"}, "torch": {"color": "0.55", "linestyle": "--"}}
    for axes, (name, measured) in zip(panels, results.items(), strict=True):
        for side, runs in measured.items():
            for index, run in enumerate(runs):
                axes.plot(
                    [epoch.passed for epoch in run], [100 * epoch.accuracy for epoch in run],
                    marker=".", label=SIDES[side] if index == 0 else None, **styles[side],
                )  # fmt: skip
        for target in TARGETS[name]:
            axes.axhline(100 * target, color="0.85", linewidth=0.8, zorder=0)
        axes.set_title(name)
        axes.set_xlabel("seconds since the start")
        axes.set_ylabel("test accuracy (%)")
        axes.set_ylim(bottom=100 * TARGETS[name][0] - 3)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    if "torch" in options.sides:
        sides.need_torch()
    columns = [f"{SIDES[side]}, s (of training)" for side in SIDES if side in options.sides]
    columns = [column for each in columns for column in (each, "epoch")]
    columns += ["times sooner (in training)"] * (len(options.sides) == len(SIDES))
    report.header("model", "test accuracy", *columns)
    results = {}
    for name in options.only:
        results[name] = measure(name, options)
        tell(name, results[name])
    data = {**dataclasses.asdict(options), "runs": results}
    report.save(options.out, "record", data, draw(results))


if __name__ == "__main__":
    main()
