"""Training beside a busy neighbour: how much of their speed fastcnn and PyTorch keep.

    python -m bench.crowded --model mnist-baseline --rounds 7 --out DIR

In every round both libraries take a turn on the quiet machine and a turn beside a process that
does nothing but count. With as many threads as cores, one of the threads has to share its core.

Prints a table, and writes crowded.json and crowded.png into --out. Needs the extra `compare`.
"""

import contextlib
import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import tyro

from bench import report, sides
from kernels.cores import available_cores

SIDES = {"fastcnn": "fastcnn", "torch": "PyTorch"}
CONDITIONS = ("quiet", "crowded")

# Ends by itself if this process is killed.
_SPIN = """
import os, sys
while os.getppid() == int(sys.argv[1]):
    for _ in range(100_000):
        pass
"""


@dataclasses.dataclass
class Options:
    """Compare the training speed on a quiet machine and beside busy processes."""

    model: str = "mnist-baseline"
    """Model that is trained."""
    busy: int = 1
    """Busy processes."""
    rounds: int = 7
    """Rounds of four turns."""
    seconds: float = 1.0
    """Length of a turn."""
    threads: int = available_cores()
    """Threads of each library."""
    batch: int | None = None
    """Images in a batch; None: the batch size of the model's author."""
    out: str | None = None
    """Folder for crowded.json and crowded.png."""


@contextlib.contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Processes that do nothing but count, as long as the `with` block lasts."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            arguments = [sys.executable, "-c", _SPIN, str(os.getpid())]
            processes.append(subprocess.Popen(arguments))
        time.sleep(0.2)  # until they run
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(options: Options) -> dict[tuple[str, str], list[float]]:
    """Images per second of each side in each condition, round by round."""
    count = sides.batch_size(options.model, options.batch)
    rates: dict[tuple[str, str], list[float]] = {
        (side, condition): [] for side in SIDES for condition in CONDITIONS
    }
    with contextlib.ExitStack() as stack:
        workers = {
            side: stack.enter_context(sides.Worker(side, options.model, count, options.threads))
            for side in SIDES
        }
        for worker in workers.values():
            worker.rate(0.5)
        for _ in range(options.rounds):
            for condition, busy in (("quiet", 0), ("crowded", options.busy)):
                with busy_processes(busy):
                    for side, worker in workers.items():
                        rates[side, condition].append(worker.rate(options.seconds))
    return rates


def draw(rates: dict[tuple[str, str], list[float]], title: str) -> Any:
    """Bars of the rates, quiet and crowded, for each library."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 2.8), layout="constrained")
    axes = figure.subplots()
    styles = {"quiet": {"color": "0.8"}, "crowded": {"color": "0.5", "hatch": "///"}}
    pair = {
        condition: ([report.Spread.of(rates[side, condition]) for side in SIDES], style)
        for condition, style in styles.items()
    }
    report.paired_bars(axes, list(SIDES.values()), pair)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("training speed (images/s; median and range of the rounds)")
    axes.set_title(title)
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    sides.need_torch()
    rates = measure(options)
    ours_over_theirs = {
        condition: report.ratios(rates["fastcnn", condition], rates["torch", condition])
        for condition in CONDITIONS
    }
    kept = {side: report.ratios(rates[side, "crowded"], rates[side, "quiet"]) for side in SIDES}
    title = f"{options.model}, threads: {options.threads}, busy processes: {options.busy}"
    print(f"{title}\n")
    report.header("", "quiet images/s (range)", "crowded images/s (range)", "share kept (range)")
    for side, name in SIDES.items():
        quiet, crowded = (report.Spread.of(rates[side, condition]) for condition in CONDITIONS)
        report.row(name, f"{quiet:,.0f}", f"{crowded:,.0f}", f"{kept[side]:.0%}")
    quiet, crowded = ours_over_theirs.values()
    report.row("fastcnn / PyTorch", f"{quiet:.2f}", f"{crowded:.2f}", "")
    data = {
        **dataclasses.asdict(options),
        "rates": {f"{side}, {condition}": values for (side, condition), values in rates.items()},
        "share_kept": kept,
        "fastcnn_over_torch": ours_over_theirs,
    }
    report.save(options.out, "crowded", data, draw(rates, title))


if __name__ == "__main__":
    main()
