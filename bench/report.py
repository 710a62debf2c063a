"""How a measurement is told: median with range, Markdown tables, JSON and PNG files."""

import dataclasses
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Spread:
    """Median and range of repeated measurements.

    Examples
    --------
    >>> f"{Spread.of([3, 1, 2]):.1f}"
    '2.0 (1.0 to 3.0)'
    """

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(statistics.median(values), min(values), max(values))

    def __format__(self, spec: str) -> str:
        return f"{self.median:{spec}} ({self.lowest:{spec}} to {self.highest:{spec}})"


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> Spread:
    """Spread of the ratios, round by round: only neighbours in time can be compared."""
    return Spread.of([a / b for a, b in zip(numerators, denominators, strict=True)])


def error_bars(spreads: Sequence[Spread]) -> list[list[float]]:
    """Distances from the medians down and up, as Matplotlib wants them."""
    return [
        [spread.median - spread.lowest for spread in spreads],
        [spread.highest - spread.median for spread in spreads],
    ]


def paired_bars(
    axes: Any, names: Sequence[str], pair: Mapping[str, tuple[Sequence[Spread], Mapping[str, Any]]]
) -> None:
    """Two bars for each name, the first on top: (medians with ranges, style) by label."""
    for offset, (label, (spreads, style)) in enumerate(pair.items()):
        axes.barh(
            [place + 0.4 * (offset - 0.5) for place in range(len(names))],
            [spread.median for spread in spreads],
            0.4,
            xerr=error_bars(spreads),
            capsize=3,
            edgecolor="black",
            label=label,
            **style,
        )
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()


def log_scale(axes: Any, *names: str) -> None:
    """Give axes ("x", "y") a logarithmic scale with ordinary numbers at 1, 2, 5, 10, ..."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    for name in names:
        getattr(axes, f"set_{name}scale")("log")
        axis = getattr(axes, f"{name}axis")
        axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=20))
        axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axis.set_minor_formatter(NullFormatter())


def header(*cells: str) -> None:
    """Print the head of a Markdown table."""
    row(*cells)
    row(*("---" for _ in cells))


def row(*cells: str) -> None:
    """Print a line of a Markdown table at once."""
    print(f"| {' | '.join(cells)} |", flush=True)


def save(folder: str | None, name: str, data: Any, figure: Any) -> None:
    """Write name.json and name.png into a folder; nothing where none was given."""
    if folder is None:
        return
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{name}.json").write_text(json.dumps(data, indent=1, default=dataclasses.asdict))
    figure.savefig(place / f"{name}.png", dpi=120)
    print(f"\nwritten: {place}/{name}.json, {place}/{name}.png")
