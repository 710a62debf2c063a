"""What a checkpoint says about its run besides arrays, checked before anything is touched.

A file may have been edited, cut or made by somebody else; what is in it is believed only so far.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..checks import is_whole
from .history import STOPPED, History, Table

_ADDED = {"sample_weight": None, "class_weight": None, "minutes": None, "ema": None, "metrics": []}
"""Settings that older files lack, with what they were then."""
_MEASURES = ("accuracy",)  # of version 0.1, which had no others


class RecordError(ValueError):
    """What a checkpoint says that cannot be true."""


class Record:
    """The run that a checkpoint was written by.

    Parameters
    ----------
    state : dict
        As `to_state` gives it, or anything that JSON can hold.

    Attributes
    ----------
    history : History
        The finished epochs, with `changes` and `best_epoch`.
    best : dict
        State of the judge of the best epoch.
    settings : dict or None
        What the run was told, by name; None in files of version 0.1.0.
    part : dict or None
        What there is of the next epoch.
    about : dict
        What the caller of training wanted kept.

    Raises
    ------
    RecordError
        If the state is none; one sentence.
    """

    def __init__(self, state: object) -> None:
        state = _names(state, "the run's state")
        self.history = History(_table(state.get("history"), "history", _is_number))
        if self.history:
            measures = _measures(state.get("measures", list(_MEASURES)))
            _check_columns(self.history, measures, _measures(state.get("metrics", [])))
        gradients = state.get("gradients", {})
        self.history.gradients = Table(_table(gradients, "gradients", _is_number))
        _check_epochs(self.history.gradients.get("epoch", []), self.history.epochs, "gradients")
        self.history.stopped_because = _one_of(state.get("stopped_because"), STOPPED)
        self.history.changes = _changes(state.get("changes", []))
        self.best = _best(state.get("best"), self.history.epochs)
        self.history.best_epoch = self.best["epoch"]
        self.part = _part(state.get("part"))
        self.history.batches = self.part["step"] if self.part else 0
        settings = state.get("settings")
        self.settings = None if settings is None else _ADDED | _names(settings, "the settings")
        if settings is not None and not is_whole(settings.get("epochs")):
            raise RecordError("its settings do not say how many epochs there are")
        self.about = _names(state.get("about", {}), "what is said about the run")


def to_state(
    history: History, best: Mapping[str, Any], settings: Mapping[str, Any],
    about: Mapping[str, Any], measures: Sequence[str], metrics: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    """What `Record` takes, as JSON can hold it."""
    return {
        "measures": list(measures),
        "metrics": list(metrics),
        "history": dict(history),
        "gradients": dict(history.gradients),
        "best": dict(best),
        "stopped_because": history.stopped_because,
        "changes": history.changes,
        "settings": dict(settings),
        "about": dict(about),
    }


def _names(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RecordError(f"{what} must be names with values, got {_shown(value)}")
    return value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 2**63 if isinstance(value, int) else math.isfinite(value)


def _one_of(value: object, known: Sequence[str]) -> str:
    if value not in known:
        raise RecordError(f"it says that the run stopped because {_shown(value)}")
    return str(value)


def _table(value: object, what: str, fits: Any) -> dict[str, list[float]]:
    """Columns of one length that hold finite numbers."""
    table = _names(value, f"the {what}")
    lengths = set()
    for name, column in table.items():
        if not isinstance(column, list) or not all(map(fits, column)):
            raise RecordError(f"the column {_shown(name)} of its {what} must be finite numbers")
        lengths.add(len(column))
    if len(lengths) > 1:
        raise RecordError(f"the columns of its {what} differ in length")
    if lengths - {0} and "epoch" not in table:
        raise RecordError(f"its {what} has no column 'epoch'")
    return table


def _check_epochs(epochs: list[float], last: int, what: str) -> None:
    """Whole numbers that rise, none above the last finished epoch."""
    is_row = all(map(is_whole, epochs)) and sorted(set(epochs)) == epochs
    if not is_row or any(not 1 <= epoch <= last for epoch in epochs):
        raise RecordError(f"the epochs of its {what} are not those of the run")


def _measures(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise RecordError(f"its measures must be names, got {_shown(value)}")
    return value


def _check_columns(history: History, measures: Sequence[str], metrics: Sequence[str]) -> None:
    """The columns that every run has, and such as come in pairs."""
    count = history.epochs
    if history.get("epoch") != list(range(1, count + 1)):
        raise RecordError("the epochs of its history are not 1, 2, 3, ...")
    parts = [
        part for part in ("val", "test") if any(name.startswith(f"{part}_") for name in history)
    ]
    measures = ("loss", *measures)
    wanted = {"epoch", "lr", "seconds", "seconds_training", *measures}
    wanted |= {f"{part}_{name}" for part in parts for name in (*measures, *metrics)}
    wrong = sorted(wanted ^ (set(history) - {"steps", "elapsed"}))  # of a run with a budget of time
    if wrong and count:
        fault = "has no column" if wrong[0] in wanted else "has an unknown column"
        raise RecordError(f"its history {fault} {_shown(wrong[0])}")


def _best(value: object, epochs: int) -> dict[str, Any]:
    best = _names(value, "the best epoch")
    if not str(best.get("monitor")).startswith("val_"):
        raise RecordError(f"its best epoch is judged by {_shown(best.get('monitor'))}")
    epoch, number = best.get("epoch"), best.get("value")
    if (
        not isinstance(epoch, int)
        or isinstance(epoch, bool)
        or not 0 <= epoch <= epochs
        or (epochs and not epoch)
    ):
        raise RecordError(f"its best epoch is {_shown(epoch)} of {epochs}")
    if number is not None and not _is_number(number):
        raise RecordError(f"its best epoch has the value {_shown(number)}")
    return {"monitor": best["monitor"], "epoch": epoch, "value": number}


def _part(value: object) -> dict[str, Any] | None:
    """Sums over some batches; what they are sums of, only the run itself knows."""
    if value is None:
        return None
    part = _names(value, "the unfinished epoch")
    counts = [part.get(name) for name in ("begun", "step", "images")]
    ordered = [0, *(count for count in counts if isinstance(count, int) and _is_number(count))]
    if len(ordered) < 4 or ordered != sorted(ordered) or not part["step"]:
        raise RecordError(f"its unfinished epoch has {_shown(counts)} batches and images")
    for name in ("loss", "seconds"):
        if not _is_number(part.get(name)):
            raise RecordError(f"the {name} of its unfinished epoch is {_shown(part.get(name))}")
    for name, numbers in _names(part.get("tally"), "what an unfinished epoch has counted").items():
        _check_numbers(name, numbers)
    for name, numbers in _names(part.get("norms") or {}, "the norms of its gradients").items():
        _check_numbers(name, [numbers] if _is_number(numbers) else numbers)
    return part


def _check_numbers(name: str, value: object) -> None:
    """Refuse all but a finite number, a list of them, or a list of such lists."""
    for row in value if isinstance(value, list) else [value]:
        if not all(map(_is_number, row if isinstance(row, list) else [row])):
            raise RecordError(f"the {_shown(name)} of its unfinished epoch must be finite numbers")


def _changes(value: object) -> list[dict[str, Any]]:
    """Rows of from which epoch on which setting was another."""
    if not isinstance(value, list):
        raise RecordError(f"its changes must be a list, got {_shown(value)}")
    for change in value:
        row = _names(change, "a change of its settings")
        if set(row) != {"epoch", "setting", "before", "after"} or not is_whole(row["epoch"]):
            raise RecordError(f"a change of its settings is {_shown(change)}")
    return value
