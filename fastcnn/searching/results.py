"""What a search found: the trials as plain data, as a table, as files and as pictures."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from ..config import to_toml
from ..files import csv_text, write_text
from .plan import Plan
from .space import Range, show

FILES = ("trials.csv", "best.toml", "bars.png", "history.png", "parallel.png", "grid.png")
"""What is written about a search, again and again."""

State = Literal["done", "pruned", "diverged", "refused", "running", "waiting"]


@dataclasses.dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes
    ----------
    number : int
        From 0.
    settings : dict[str, Any]
        What was searched; empty while it waits.
    state : State
        Done; ended early as hopeless; diverged; its settings were refused; not yet done.
    value : float, optional
        The objective in its best epoch, if it is done.
    found : dict[str, Any]
        Epochs_run, best_epoch, seconds, and accuracies and losses of the best epoch.
    reason : str
        Why it has no value.
    attempts : int
        How often it was begun; more than once if a process was killed.
    history : dict[int, float]
        The objective after each epoch (from 1).
    """

    number: int
    settings: dict[str, Any]
    state: State
    value: float | None = None
    found: dict[str, Any] = dataclasses.field(default_factory=dict)
    reason: str = ""
    attempts: int = 0
    history: dict[int, float] = dataclasses.field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to do."""
        return self.state not in ("running", "waiting")


def ranked(trials: Sequence[Trial], plan: Plan) -> list[Trial]:
    """Best first; then those without a value, in order."""
    sign = -1 if plan.is_higher_better else 1
    done = [trial for trial in trials if trial.value is not None]
    others = [trial for trial in trials if trial.value is None]
    return sorted(done, key=lambda trial: (sign * (trial.value or 0.0), trial.number)) + others


def best(trials: Sequence[Trial], plan: Plan) -> Trial | None:
    """The best trial that is done."""
    order = ranked(trials, plan)
    return order[0] if order and order[0].value is not None else None


_WIDTH = 80  # letters of a terminal's line
_COLUMNS = (  # heading, what was found, format
    ("val acc", "val_accuracy", ".2%"),
    ("val loss", "val_loss", ".4f"),
    ("test acc", "test_accuracy", ".2%"),
    ("best epoch", "best_epoch", ".0f"),
    ("epochs", "epochs_run", ".0f"),
    ("seconds", "seconds", ".1f"),
)


def table(trials: Sequence[Trial], plan: Plan, most: int | None = None) -> str:
    """The trials as text, best first, under a heading; at most so many.

    It fits into 80 columns as long as the settings do: what was found gives way, from the right.
    """
    names = [axis.name for axis in plan.axes]
    shown = ranked(trials, plan)[:most]
    for count in range(len(_COLUMNS), 0, -1):
        columns = _COLUMNS[:count]
        rows = [_row(trial, names, columns) for trial in shown]
        lines = _aligned(["trial", *names, *(head for head, _, _ in columns), ""], rows)
        if max(map(len, lines)) <= _WIDTH:
            break
    left_out = [head for head, _, _ in _COLUMNS[count:]]
    if left_out:
        lines.append(f"trials.csv has {', '.join(left_out)} too")
    if most is not None and len(trials) > most:
        lines.append(f"... and {len(trials) - most} more in trials.csv")
    return "\n".join(lines)


def _row(trial: Trial, names: Sequence[str], columns: Sequence[tuple[str, str, str]]) -> list[str]:
    settings = [show(trial.settings[name]) if trial.settings else "" for name in names]
    numbers = [
        "" if trial.found.get(key) is None else format(trial.found[key], form)
        for _, key, form in columns
    ]
    note = "" if trial.state == "done" else trial.state
    return [str(trial.number), *settings, *numbers, note]


def _aligned(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of text; a heading has a line for each of its words, so that columns are narrow."""
    words = [re.findall("[^_ ]+_?", head) for head in heads]
    height = max(map(len, words))
    above = zip(*([""] * (height - len(stack)) + stack for stack in words), strict=True)
    whole = [*map(list, above), *rows]
    widths = [max(map(len, column)) for column in zip(*whole, strict=True)]
    return ["  ".join(map(str.rjust, row, widths)).rstrip() for row in whole]


def to_csv(trials: Sequence[Trial], plan: Plan) -> str:
    """All trials in their order, numbers without loss."""
    names = [axis.name for axis in plan.axes]
    found = (
        "val_accuracy", "val_loss", "test_accuracy", "test_loss", "train_accuracy",
        "best_epoch", "epochs_run", "seconds",
    )  # fmt: skip
    rows: list[list[object]] = [["trial", "state", *names, *found, "attempts", "reason"]]
    for trial in trials:
        settings = [trial.settings.get(name) for name in names]
        rows.append(
            [
                trial.number,
                trial.state,
                *(show(value) if isinstance(value, bool | tuple) else value for value in settings),
                *(trial.found.get(name) for name in found),
                trial.attempts,
                trial.reason,
            ]
        )
    return csv_text(rows)


def write(out: Path, trials: Sequence[Trial], plan: Plan, pictures: bool = True) -> None:
    """Write trials.csv, best.toml and the pictures.

    Parameters
    ----------
    out : Path
        A folder that exists.
    trials : sequence of Trial
        In their order.
    plan : Plan
        What was searched.
    pictures : bool
        Whether any are drawn.
    """
    write_text(out / "trials.csv", to_csv(trials, plan))
    first = best(trials, plan)
    if first is None:
        return
    write_text(out / "best.toml", to_toml(plan.config(first.settings)))
    if pictures:
        draw(out, trials, plan)


def draw(out: Path, trials: Sequence[Trial], plan: Plan) -> None:
    """Write bars.png and history.png; for several axes parallel.png, for a grid grid.png."""
    from .. import plots
    from ..plots.settings import searched

    pairs = [(trial.settings, trial.value) for trial in trials if trial.is_over and trial.settings]
    scales = {
        axis.name: "log" if axis.log else "linear" for axis in plan.axes if isinstance(axis, Range)
    }
    model = plan.config(pairs[0][0]).model.model
    title = f"{model}: {len(pairs)} trials of a {plan.method} search"
    plots.save(plots.search_bars(pairs, plan.objective, scales, title), out / "bars.png")
    plots.save(plots.search_history(pairs, plan.objective, title), out / "history.png")
    if len(searched(pairs)) > 1:
        picture = plots.search_parallel(pairs, plan.objective, scales, title)
        plots.save(picture, out / "parallel.png")
    if len(searched(pairs)) > 1 and plan.method == "grid":
        plots.save(plots.search_grid(pairs, plan.objective, title), out / "grid.png")
