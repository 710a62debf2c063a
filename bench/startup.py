"""How long it takes until training begins, with and without compiled kernels in Numba's cache.

    python -m bench.startup --out DIR

First, for each model, the seconds of the shortest run, 256 digits for an epoch: with an empty
cache, and again with what that left in it; and how many CPU seconds of all cores that took, whose
difference is what compiling takes (0 on Windows). Then a whole short training run on the digits
that come with fastcnn, with a warm cache, against nothing but `import torch`, in turns.

Prints two tables, and writes startup.json and startup.png into --out. Needs the extra `compare`.
"""

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import tyro

from bench import report, sides
from fastcnn import models
from kernels.cores import available_cores


@dataclasses.dataclass
class Options:
    """Measure the time until training begins."""

    models: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME [NAME ...]")] = models.names()
    """Models that are started."""
    rounds: int = 3
    """Turns with a warm cache."""
    cold_rounds: int = 1
    """Turns with an empty cache."""
    epochs: int = 1
    """Epochs of the whole run."""
    threads: int = available_cores()
    """Threads."""
    out: str | None = None
    """Folder for startup.json and startup.png."""


def shortest_run(name: str, threads: int, place: Path) -> tuple[float, float]:
    """Seconds, and CPU seconds, of a run on 256 digits: start, compiling, an epoch, pictures."""
    arguments = [
        "-m", "fastcnn.train", "--dataset", "digits", "--model", name, "--limit-train", "256",
        "--limit-test", "64", "--epochs", "1", "--threads", str(threads), "--offline", "--quiet",
        "--out", str(place / "run"),
    ]  # fmt: skip
    before = os.times()
    seconds = whole_process(arguments, place / "cache")
    after = os.times()
    children = after.children_user - before.children_user
    return seconds, children + after.children_system - before.children_system


def whole_process(arguments: list[str], cache: Path) -> float:
    """Seconds that a Python process takes."""
    started = time.perf_counter()
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    subprocess.run([sys.executable, *arguments], env=environment, check=True)
    return time.perf_counter() - started


def shortest_runs(options: Options) -> dict[str, dict[str, report.Spread]]:
    """Seconds and CPU seconds of each model's shortest run, with an empty and a warm cache."""
    results = {}
    report.header(
        "model", "empty cache, s (range)", "warm cache, s (range)", "empty, CPU s", "warm, CPU s"
    )
    for name in options.models:
        cold, warm = [], []
        for _ in range(options.cold_rounds):
            with tempfile.TemporaryDirectory() as folder:
                cold.append(shortest_run(name, options.threads, Path(folder)))
                turns = range(options.rounds)
                warm += [shortest_run(name, options.threads, Path(folder)) for _ in turns]
        results[name] = {
            f"{cache}{unit}": report.Spread.of([turn[k] for turn in turns])
            for k, unit in enumerate(("", " CPU"))
            for cache, turns in (("empty", cold), ("warm", warm))
        }
        cells = ("empty", ".1f"), ("warm", ".2f"), ("empty CPU", ".1f"), ("warm CPU", ".2f")
        report.row(name, *(format(results[name][key], digits) for key, digits in cells))
    return results


def whole_runs(options: Options) -> dict[str, report.Spread]:
    """Seconds of a training run and of `import torch`, in turns, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        training = [
            "-m", "fastcnn.train", "--dataset", "digits", "--limit-train", "1000",
            "--epochs", str(options.epochs), "--threads", str(options.threads),
            "--offline", "--quiet", "--out",
        ]  # fmt: skip
        commands = {"run": training, "import": ["-c", "import torch"]}
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(options.rounds + 1):  # the first turn fills caches
            for name, arguments in commands.items():
                out = [str(place / f"run {turn}")] if name == "run" else []
                seconds[name].append(whole_process([*arguments, *out], place / "cache"))
    run, torch = (values[1:] for values in seconds.values())
    print(f"\npython {' '.join(training[:-1])}\n")
    report.header("that run, s (range)", "import torch, s (range)", "ratio (range)")
    results = {
        "run": report.Spread.of(run),
        "import_torch": report.Spread.of(torch),
        "ratio": report.ratios(run, torch),
    }
    report.row(*(f"{spread:.2f}" for spread in results.values()))
    return results


def draw(steps: dict[str, dict[str, report.Spread]], runs: dict[str, report.Spread]) -> Any:
    """Bars of the shortest runs above, of the whole run and `import torch` below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 2.2 + 0.45 * len(steps)), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=[len(steps), 1.4])
    styles = {"empty": {"color": "0.5", "hatch": "///"}, "warm": {"color": "0.85"}}
    pair = {
        f"{cache} cache": ([results[cache] for results in steps.values()], style)
        for cache, style in styles.items()
    }
    report.paired_bars(upper, list(steps), pair)
    upper.set_xlabel("shortest run, 256 images (s)")
    names = {"run": "whole run, warm cache", "import_torch": "import torch"}
    spreads = [runs[key] for key in names]
    medians = [spread.median for spread in spreads]
    errors = report.error_bars(spreads)
    lower.barh(
        list(names.values()), medians, xerr=errors, color="0.85", edgecolor="black", capsize=2
    )
    lower.set_xlabel("whole process (s)")
    lower.invert_yaxis()
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    sides.need_torch()
    steps = shortest_runs(options)
    runs = whole_runs(options)
    data = {**dataclasses.asdict(options), "shortest_run": steps, "whole_run": runs}
    report.save(options.out, "startup", data, draw(steps, runs))


if __name__ == "__main__":
    main()
