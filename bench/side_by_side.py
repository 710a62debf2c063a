"""fastcnn against PyTorch, side by side: whole training steps of the named models.

    python -m bench.side_by_side --models mnist-baseline lenet5 --rounds 7 --threads 2 --out DIR

The two take turns, each in a process of its own (`bench.sides` says what they do); PyTorch in the
faster of its two memory layouts, tried before the first round.

Prints a table, and writes side_by_side.json and side_by_side.png into --out. Needs the extra
`compare`: pip install '.[compare]' in the folder of the clone.
"""

import dataclasses
import statistics
from typing import Annotated, Any

import tyro

from bench import report, sides
from fastcnn import models
from kernels.cores import available_cores


@dataclasses.dataclass
class Options:
    """Compare the training speed of fastcnn and PyTorch."""

    models: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME [NAME ...]")] = models.names()
    """Models to compare."""
    rounds: int = 7
    """Turns that each library takes."""
    seconds: float = 1.0
    """Length of a turn."""
    threads: int = available_cores()
    """Threads of each library."""
    batch: int | None = None
    """Images in a batch; None: the batch size of the model's author."""
    out: str | None = None
    """Folder for side_by_side.json and side_by_side.png."""


def compare(name: str, options: Options) -> dict[str, Any]:
    """Alternate the two sides: rates and ratio."""
    count = sides.batch_size(name, options.batch)
    ours, theirs = sides.compare(name, count, options)
    return {
        "model": name,
        "batch": count,
        "threads": options.threads,
        "fastcnn": statistics.median(ours),
        "torch": statistics.median(theirs),
        "ratio": report.ratios(ours, theirs),
        "rates": {"fastcnn": ours, "torch": theirs},
    }


def draw(rows: list[dict[str, Any]], threads: int) -> Any:
    """Bars of the median ratio with the range over the rounds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 0.8 + 0.5 * len(rows)), layout="constrained")
    axes = figure.subplots()
    names = [f"{row['model']}, batch {row['batch']}" for row in rows]
    spreads = [row["ratio"] for row in rows]
    medians = [spread.median for spread in spreads]
    axes.barh(names, medians, xerr=report.error_bars(spreads), color="0.6", capsize=3)
    axes.axvline(1, color="black", linestyle="--", linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel(
        f"training speed of fastcnn / PyTorch, threads: {threads}\n"
        "(median and range of alternating rounds; dashed: as fast as PyTorch)"
    )
    return figure


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    sides.need_torch()
    rows = []
    report.header(
        "model", "batch", "threads", "fastcnn images/s", "PyTorch images/s", "ratio (range)"
    )
    for name in options.models:
        result = compare(name, options)
        rows.append(result)
        report.row(
            name,
            f"{result['batch']}",
            f"{options.threads}",
            f"{result['fastcnn']:,.0f}",
            f"{result['torch']:,.0f}",
            f"{result['ratio']:.2f}",
        )
    mean = statistics.geometric_mean(result["ratio"].median for result in rows)
    print(f"\ngeometric mean of the ratios, threads: {options.threads}: {mean:.2f}")
    data = {"threads": options.threads, "rows": rows}
    report.save(options.out, "side_by_side", data, draw(rows, options.threads))


if __name__ == "__main__":
    main()
