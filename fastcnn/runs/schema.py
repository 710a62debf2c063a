"""What result.json must hold to be believed: for each name that we know, the values it can have."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from ..checks import is_whole
from ..network.measures import MEASURES
from ..training.history import STOPPED

_Fits = Callable[[Any], bool]


def _is_whole(value: Any) -> bool:
    return is_whole(value) and 0 <= value < 2**63


def _is_number(value: Any) -> bool:
    is_real = isinstance(value, float | int) and not isinstance(value, bool)
    return value is None or (is_real and abs(value) < 2**63 and math.isfinite(value))


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) < 1000


def _are_changes(value: Any) -> bool:
    names = {"epoch", "setting", "before", "after"}
    return isinstance(value, list) and all(
        isinstance(row, dict) and set(row) == names and _is_whole(row["epoch"]) for row in value
    )


def _are_parts(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) <= {"test", "val"}
        and all(map(_is_name, value.values()))
    )


_MEASURES = ("loss", *(name for names in MEASURES.values() for name in names))
_NUMBERS = (
    *(f"{part}_{name}" for part in ("train", "test") for name in _MEASURES),
    "seconds_load", "seconds_compile", "seconds_total", "seconds_per_epoch", "images_per_second",
    "peak_memory_mb",
)  # fmt: skip

RESULT: dict[str, tuple[str, _Fits]] = {
    **dict.fromkeys(("dataset", "model", "backend"), ("a name", _is_name)),
    **dict.fromkeys(
        ("threads", "seed", "epochs_run", "best_epoch", "steps"), ("a whole number", _is_whole)
    ),
    **dict.fromkeys(_NUMBERS, ("a finite number", _is_number)),
    "stopped_because": ("why the run was over", lambda value: value in STOPPED),
    "images": ("images in words for each part", _are_parts),
    "changes": ("settings with an epoch and both values", _are_changes),
}
"""Name -> what it must be, in words and as a test. What is missing, that version did not know."""


def checked(
    values: Mapping[str, Any], schema: Mapping[str, tuple[str, _Fits]]
) -> Mapping[str, Any]:
    """The values, if each known one is what it must be; a ValueError names the first if not."""
    for name, (words, fits) in schema.items():
        if name in values and not fits(values[name]):
            shown = repr(values[name])
            shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
            raise ValueError(f"{name} must be {words}, got {shown}")
    return values
