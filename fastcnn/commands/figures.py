"""What was measured of a network for numbers or several labels, as text, CSV or JSON."""

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any

from .. import files
from ..metrics import Figures, Measured
from ..terminal import aligned, columns, one_line

_HEAD: list[object] = ["metric", "of", "value", "low", "high", "images"]
_WORDS = {
    "r2": "R2",
    "rmse": "root mean squared error",
    "mae": "mean absolute error",
    "exact_match": "exact match",
    "label_accuracy": "label accuracy",
    "macro f1": "macro F1",
}
MOST_LETTERS = 15  # of a name in a table; columns, to be exact


def written(figures: Figures, heading: str, form: str) -> str:
    """All numbers; form : "table", "csv" or "json"."""
    return {"table": _table, "csv": _csv, "json": _json}[form](figures, heading)


def _csv(figures: Figures, _heading: str) -> str:
    """A line per number."""
    rows = [("", name, each) for name, each in figures.overall.items()]
    rows += [(of, name, m) for of, measured in figures.each.items() for name, m in measured.items()]
    lines: list[list[object]] = [_HEAD]
    for of, name, each in rows:
        count = figures.support.get(of, figures.count)
        lines.append([name, of, each.value, each.low, each.high, count])
    return files.csv_text(lines)


def _json(figures: Figures, heading: str) -> str:
    """Everything, with intervals as {"value", "low", "high"}."""
    content = finite(dataclasses.asdict(figures)) | {"about": heading}
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def finite(value: Any) -> Any:
    """With None for infinity, which JSON has not: one image does not tell how others differ."""
    if isinstance(value, dict):
        return {name: finite(each) for name, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _table(figures: Figures, heading: str) -> str:
    """What a person reads."""
    lines = [one_line(heading), ""]
    words = [_WORDS.get(name, name) for name in figures.overall]
    wide = max(map(len, words))
    for name, each in zip(words, figures.overall.values(), strict=True):
        lines.append(
            f"{name:{wide}}  {_plain(each.value)}  (95 %: {_plain(each.low)} to "
            f"{_plain(each.high)})"
        )
    if figures.each:
        lines += ["", *_each(figures)]
    return "\n".join(lines) + "\n"


def _each(figures: Figures) -> Sequence[str]:
    """A line per number or label."""
    kinds = list(next(iter(figures.each.values())))
    what = "label" if figures.support else "number"
    rows = [[what, *kinds, *(["images"] if figures.support else [])]]
    for name, measured in figures.each.items():
        cells = map(_cell, measured.values())
        counts = [f"{figures.support[name]:,}"] if figures.support else []
        rows.append([short(name), *cells, *counts])
    return aligned(rows)


def _plain(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.4g}"


def _cell(each: Measured) -> str:
    if max(abs(each.value), abs(each.low), abs(each.high)) < 10:
        return f"{each.value:.3f} ({each.low:.2f} to {each.high:.2f})"
    return f"{each.value:.4g} ({each.low:.3g} to {each.high:.3g})"


def short(name: str) -> str:
    """A name as a table of numbers has it, on one line."""
    name = one_line(name)
    if columns(name) <= MOST_LETTERS:
        return name
    while columns(name) >= MOST_LETTERS:
        name = name[:-1]
    return f"{name}…"
