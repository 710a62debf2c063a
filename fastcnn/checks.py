"""Refusals that many share: checks of arguments, and the sentence for a misspelt name."""

import difflib
import itertools
import math
from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np

Pair = tuple[int, int]
_LARGEST = float(np.finfo(np.float32).max)
_INFINITE = 2.0**128 - 2.0**103  # the first that float32 rounds to infinity


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether it is a whole number, of Python or NumPy; True and False are none."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_number(value: Any) -> TypeGuard[float]:
    """Whether it is a number, of Python or NumPy; True and False are none."""
    return is_whole(value) or isinstance(value, (float, np.floating))


def whole(layer: str, name: str, value: Any, least: int | None = 1) -> int:
    """`value` as an int of at least `least`, or any where that is None."""
    if not is_whole(value) or (least is not None and value < least):
        at_least = "" if least is None else f" of at least {least}"
        wanted = "a whole number above 0" if least == 1 else f"a whole number{at_least}"
        raise ValueError(f"{layer}: {name} must be {wanted}, got {value!r}")
    return int(value)


def pair(layer: str, name: str, value: Any, least: int | None = 1) -> Pair:
    """A whole number for both axes, or a pair (height, width), as a pair."""
    if isinstance(value, (tuple, list)) or (isinstance(value, np.ndarray) and value.ndim):
        if len(value) != 2:
            raise ValueError(
                f"{layer}: {name} must be a whole number or a pair (height, width), got {value!r}"
            )
        return whole(layer, name, value[0], least), whole(layer, name, value[1], least)
    number = whole(layer, name, value, least)
    return number, number


def sizes(who: str, name: str, value: Any) -> tuple[int, ...]:
    """A shape, or one number, as a tuple of whole numbers above 0."""
    found = tuple(value) if isinstance(value, (tuple, list, np.ndarray)) else (value,)
    return tuple(whole(who, name, size) for size in found)


def number(layer: str, name: str, value: Any, low: float, high: float, wanted: str) -> float:
    """`value` as a float with low <= value < high, which float32 can hold, as kernels do."""
    if isinstance(value, np.generic):
        value = value.item()  # one of float32 would be compared with a rounded limit
    if not is_number(value) or not low <= value < high:
        raise ValueError(f"{layer}: {name} must be {wanted}, got {value!r}")
    if abs(value) >= _INFINITE:
        raise ValueError(
            f"{layer}: {name} must be {wanted} within {_LARGEST:.2g}, the range of float32, "
            f"got {value!r:.40}"
        )
    return float(value)


def finite(layer: str, name: str, value: Any) -> float:
    """`value` as a finite float."""
    return number(layer, name, value, math.nextafter(-math.inf, 0), np.inf, "a finite number")


def above_0(layer: str, name: str, value: Any) -> float:
    """`value` as a finite float above 0."""
    return number(layer, name, value, math.nextafter(0, 1), np.inf, "a finite number above 0")


def at_least_0(layer: str, name: str, value: Any) -> float:
    """`value` as a finite float of at least 0."""
    return number(layer, name, value, 0, np.inf, "a finite number of at least 0")


def flag(layer: str, name: str, value: Any) -> bool:
    """`value`, which must be True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{layer}: {name} must be True or False, got {value!r}")
    return bool(value)


def refuse_masked(who: str, value: Any) -> None:
    """Raise for an array with masked values.

    NumPy's conversions drop the mask, and what lies under it would count like all else.
    """
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        places = np.argwhere(np.ma.getmaskarray(value))
        first = ", ".join(map(str, places[0].tolist()))
        raise ValueError(
            f"{who}: {len(places):,} of {value.size:,} values are masked, the first at [{first}]: "
            f"fill them in, as with filled(0), or leave out the samples that have them"
        )


def refuse_too_large(who: str, value: np.ndarray, dtype: np.dtype) -> None:
    """Raise for numbers that would become infinite in another dtype."""
    if value.dtype.kind != "f" or value.dtype.itemsize <= dtype.itemsize:
        return
    with np.errstate(over="ignore"):
        wrong = np.isinf(value.astype(dtype)) & ~np.isinf(value)
    if wrong.any():
        raise ValueError(
            f"{who}: {value[wrong][0]:g} is too large for {dtype}, in which it would be infinite: "
            f"call astype(np.float64) first, or write smaller numbers"
        )


def refuse_nan(who: str, outputs: np.ndarray, first: int = 0) -> None:
    """Raise where a network gives NaN, which `argmax` would take for the largest number.

    first : which sample the first row is
    """
    is_none = np.isnan(outputs)
    if is_none.any():
        row = first + int(is_none.reshape(len(outputs), -1).any(axis=1).argmax())
        raise ValueError(
            f"{who}: the network gives NaN for sample {row}, which is no answer: the sample holds "
            f"NaN or is too large, or the network's weights do"
        )


def seed(layer: str, value: Any) -> int | None:
    """`value`, which must be None or a whole number of at least 0."""
    return None if value is None else whole(layer, "seed", value, least=0)


def unknown(kind: str, name: object, known: tuple[str, ...]) -> str:
    """The sentence for a name that does not exist: the nearest one, and all there are."""
    match = nearest(str(name), known)
    hint = f"did you mean {match!r}? " if match else ""
    return f"there is no {kind} {name!r}; {hint}known are {', '.join(known)}"


def same(name: object, known: Sequence[str]) -> str | None:
    """The known name that is written like this one but for case, dashes and underscores."""
    bare = {_plain(each).replace("_", ""): each for each in known}
    return bare.get(_plain(str(name)).replace("_", ""))


def nearest(name: str, known: Sequence[str]) -> str | None:
    """The known name that is meant by a misspelt one; None if none is like it.

    Words that begin alike count for more than equal letters elsewhere: lrate is lr, not rotate.
    """
    plain = {_plain(each): each for each in known}
    name = _plain(name)

    def likeness(other: str) -> float:
        words = itertools.product(name.split("_"), other.split("_"))
        alike = max((_beginning(one, two) for one, two in words if one and two), default=0.0)
        return difflib.SequenceMatcher(None, name, other).ratio() + 0.3 * alike

    near = [each for each in plain if difflib.get_close_matches(name, [each], 1, 0.5)]
    return plain[max(near, key=likeness)] if near else None


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")


def _beginning(one: str, two: str) -> float:
    """How much of the shorter word is the beginning of both, from 0 to 1."""
    pairs = zip(one, two, strict=False)
    same = itertools.takewhile(lambda letters: letters[0] == letters[1], pairs)
    return len(list(same)) / min(len(one), len(two))
