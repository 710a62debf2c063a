"""A resumed run is the run it was: what it was told before and what it is told now."""

import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..conversion import fields_of
from ..losses import asked
from ..network.network import Network
from .augment import Augment
from .record import Record
from .settings import Arrays, Measuring, Method, Passes, Stopping, Weighting

MAY_CHANGE = (
    "lr", "optimizer", "loss", "schedule", "clip_norm", "clip_mode", "clip_arrays", "epochs",
    "batch_size", "shuffle", "drop_last", "augment", "precise_bn", "track_gradients", "patience",
    "min_gain", "stop_gain", "stop_gain_epochs", "class_weight", "minutes",
)  # fmt: skip
"""What a run may be told anew while it goes on; all else would make it another run."""

_BLOCK = 2**24  # bytes that are summed at a time


class ResumeError(ValueError):
    """A run that cannot go on with these settings; each is named with both values."""


def described(
    model: Network, data: Arrays, method: Method, passes: Passes, measuring: Measuring,
    stopping: Stopping, lr: float, weighting: Weighting,
) -> dict[str, Any]:  # fmt: skip
    """The settings of a run by the names that `Sequential.train` has for them, for JSON.

    Data is told by number, shape, type and checksum.
    """
    return {
        "x": fingerprint(data[0]),
        "y": fingerprint(data[1]),
        "validation": _part(measuring.validation),
        "test": _part(measuring.test),
        "normalization": [np.asarray(part).tolist() for part in model.normalization],
        "lr": lr,
        "optimizer": _rule(method.optimizer.spec()),
        "loss": asked.described(method.loss),
        "sample_weight": _weights(weighting.samples),
        "class_weight": _weights(weighting.classes),
        "schedule": repr(method.schedule),
        "clip_norm": method.clipping.norm,
        "clip_mode": method.clipping.mode,
        "clip_arrays": None if method.clipping.arrays is None else list(method.clipping.arrays),
        "epochs": int(passes.epochs),
        "minutes": passes.budget and passes.budget.minutes,
        "batch_size": int(passes.batch_size),
        "shuffle": bool(passes.shuffle),
        "drop_last": bool(passes.drop_last),
        "augment": None if not passes.augment else _changed(passes.augment),
        "seed": passes.seed,
        "ema": method.ema,
        "precise_bn": int(measuring.precise_bn),
        "metrics": sorted(measuring.metrics),
        "track_gradients": bool(measuring.track_gradients),
        "monitor": stopping.monitor,
        "patience": stopping.patience,
        "min_gain": stopping.min_gain,
        "stop_gain": stopping.stop_gain,
        "stop_gain_epochs": stopping.stop_gain_epochs,
        "restore_best": bool(stopping.keeps_best),
    }


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], ignored: Collection[str] = ()
) -> dict[str, tuple[Any, Any]]:
    """Setting -> (what it was, what it is), where these are not the same.

    Settings that one side does not know are those of another version, and pass.
    """
    return {
        name: (before[name], value)
        for name, value in now.items()
        if name in before and name not in ignored and before[name] != value
    }


def refuse_differences(
    place: object,
    found: Mapping[str, tuple[Any, Any]],
    allowed: Collection[str],
    may_change: Collection[str],
    spelling: str,
) -> None:
    """Refuse what is not allowed to be another; more epochs and minutes always are.

    Parameters
    ----------
    place : path
        Of the run, for the sentence.
    found : mapping
        What `differences` gave.
    allowed : collection of str
        What the user wants to change.
    may_change : collection of str
        What can be at all.
    spelling : str
        How the user would allow it, with {} for the names.

    Raises
    ------
    ResumeError
        One sentence, which names every such setting with both values.
    """
    for name in allowed:
        if name not in may_change:
            raise ResumeError(
                f"{name} cannot be changed within a run; what can are {', '.join(may_change)}"
            )
    wrong = {
        name: pair
        for name, pair in found.items()
        if name not in allowed and not (name in ("epochs", "minutes") and _is_more(*pair))
    }
    if not wrong:
        return
    told = ", ".join(f"{name} {was!r}, now {now!r}" for name, (was, now) in wrong.items())
    fixed = [name for name in wrong if name not in may_change]
    if fixed:
        advice = f"{' and '.join(fixed)} cannot change within a run: give the same, or begin anew"
    else:
        advice = f"give the same, or allow what may change: {spelling.format(','.join(wrong))}"
    raise ResumeError(f"the run in {place} had {told}; {advice}")


def refuse_other_run(
    path: Path, record: Record, now: Mapping[str, Any], allowed: Collection[str]
) -> None:
    """Refuse to mix two runs; a file of version 0.1.0 tells less of its own.

    Parameters
    ----------
    path : path
        The checkpoint.
    record : Record
        What it says.
    now : mapping
        Settings of the run that wants to go on from it, as `described` gives them.
    allowed : collection of str
        Settings that may be others.

    Raises
    ------
    ResumeError
        One sentence.
    """
    if record.settings is not None:
        found = differences(record.settings, now)
        refuse_differences(path, found, allowed, MAY_CHANGE, "allow={!r}")
    was = record.best["monitor"]
    if was != now["monitor"]:
        raise ResumeError(
            f"the run in {path} had monitor {was!r} and cannot be continued with {now['monitor']!r}"
        )
    for column, part in (("val_loss", "validation"), ("test_loss", "test")):
        had = column in record.history
        if record.history.epochs and had != (now[part] is not None):
            raise ResumeError(
                f"the run in {path} {'had' if had else 'had no'} {part} data and cannot be "
                f"continued {'without' if had else 'with'}"
            )


def _is_more(before: float | None, now: float | None) -> bool:
    return before is not None and now is not None and now > before


def _rule(spec: Mapping[str, Any]) -> str:
    """An optimizer without its rate, which is a setting of its own."""
    parts = [
        f"{name}={_rule(value) if isinstance(value, Mapping) else repr(value)}"
        for name, value in spec.items()
        if name not in ("type", "lr")
    ]
    return f"{spec['type']}({', '.join(parts)})"


def _changed(augment: Augment) -> str:
    parts = [f"{name}={value!r}" for name, value in vars(augment).items() if value]
    return f"Augment({', '.join(parts)})"


def _part(data: Arrays | float | None) -> str | float | None:
    if data is None or isinstance(data, (int, float)):
        return data
    x, y, *weights = map(np.asarray, data)
    words = f"{fingerprint(x)} with labels {fingerprint(y)}"
    return words + "".join(f" and weights {fingerprint(each)}" for each in weights)


def _weights(weights: Any) -> Any:
    if weights is None or isinstance(weights, str):
        return weights
    if isinstance(weights, Mapping):
        return {str(name): float(weights[name]) for name in sorted(weights, key=str)}
    return fingerprint(np.asarray(weights, np.float64))


def fingerprint(array: NDArray[Any]) -> str:
    """Number, shape, type and checksum of an array, or of each field of a table."""
    if array.dtype.names:
        return " and ".join(map(fingerprint, fields_of(array)))
    rows = max(1, _BLOCK // max(1, array[:1].nbytes))
    total = 0
    for start in range(0, len(array), rows):
        total = zlib.crc32(np.ascontiguousarray(array[start : start + rows]).data.cast("B"), total)
    shape = " x ".join(map(str, array.shape))
    return f"{shape} {array.dtype}, checksum {total:08x}"
