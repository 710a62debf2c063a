"""Arrays of what people give: lists, tables, other number types; exact, or refused in a sentence.

Samples become pixels (uint8) or floats, labels become class numbers or rows of probabilities. Of
all that is given only float64 may lose something: to a float32 model it is rounded, as every one
of its own numbers is.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .checks import refuse_masked

PIXELS = np.dtype(np.uint8)
_BEYOND = 2**63  # the least number that no int64 is
_NAMED = 10  # class names that a sentence lists before it only counts them


def array_of(who: str, value: Any) -> np.ndarray:
    """`value` as an array in the processor's byte order; objects as what they all are.

    Raises
    ------
    TypeError, ValueError
        If it is no array of numbers or strings, or some of its values are masked.
    """
    if type(value) is np.ndarray and value.dtype.isnative and value.dtype.kind in "fiub":
        return value
    refuse_masked(who, value)
    try:
        array = np.asarray(value)
        if array.dtype == object:  # a table of mixed columns, strings of pandas
            array = np.array(array.tolist())
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise TypeError(
            f"{who}: expected an array, got a {type(value).__name__} that NumPy makes none of "
            f"({error})"
        ) from None
    if array.dtype.kind in "US" and not _is_text(value):
        _refuse_mixture(who, np.asarray(value, object))
    if array.dtype.kind not in "fiubUST":
        raise TypeError(
            f"{who}: expected an array of numbers, got {_kind(value, array)} that holds "
            f"{array.dtype}"
        )
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _is_text(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "US"


def _refuse_mixture(who: str, objects: np.ndarray) -> None:
    """NumPy would make names of numbers, and "nan" of what is missing."""
    for each in objects.flat:
        if not isinstance(each, str | bytes):
            raise TypeError(f"{who}: text and {each!r} stand side by side; give one of both")


def _kind(value: Any, array: np.ndarray) -> str:
    return f"an array of shape {array.shape}" if array.ndim else f"a {type(value).__name__}"


def for_kernels(array: np.ndarray, dtype: DTypeLike | None = None) -> np.ndarray:
    """An array as kernels are compiled for: of no class of its own, C-contiguous, and writable.

    Itself if it is so, else a copy. For one that is read-only kernels would be compiled once more,
    which takes seconds, or not at all where they write to it on other occasions.
    """
    array = np.asarray(array, dtype)
    return array if array.flags.carray else np.array(array, order="C")


def samples(who: str, value: Any, dtype: np.dtype) -> np.ndarray:
    """Samples as pixels (uint8), or as floats of `dtype`.

    Whole numbers within 0 to 255 are pixels, whatever their type.

    Raises
    ------
    TypeError, ValueError
        For other whole numbers, for True and False, for text, for numbers too large for `dtype`.
    """
    x = array_of(who, value)
    if x.dtype in (dtype, PIXELS):
        return x
    if x.dtype.kind == "f":
        return _rounded(who, x, dtype)
    if x.dtype.kind in "iu":
        low, high = (x.min(), x.max()) if x.size else (0, 0)
        if low < 0 or high > 255:
            raise ValueError(
                f"{who}: whole numbers are pixels, which lie within 0 to 255, but these reach from "
                f"{low} to {high}; scale them, or give floats: x.astype(np.{dtype})"
            )
        return x.astype(PIXELS)
    if x.dtype.kind == "b":
        raise TypeError(
            f"{who}: True and False may be pixels or numbers; give x * np.uint8(255) for black and "
            f"white, or x.astype(np.{dtype}) for 0 and 1"
        )
    raise TypeError(f"{who}: expected numbers, got text such as {x.flat[0]!s:.40}")


def _rounded(who: str, x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Numbers as floats of `dtype`, unless they are too large for it."""
    with np.errstate(over="ignore"):
        floats = x.astype(dtype)
    if np.isinf(floats).sum() > np.isinf(x).sum():
        raise ValueError(f"{who}: {x.dtype} numbers up to {np.abs(x).max():g} exceed {dtype}")
    return floats


def values(who: str, value: Any, dtype: np.dtype) -> np.ndarray:
    """Targets that are numbers, as (N, outputs, ...) of `dtype`; (N,) means one output.

    Raises
    ------
    TypeError, ValueError
        If they are text, or one number.
    """
    y = array_of(who, value)
    if y.dtype.kind not in "fiub":
        raise TypeError(
            f"{who}: this loss takes numbers as targets, got text such as {y.flat[0]!s:.40}; for "
            f"classes take CrossEntropyLoss"
        )
    if y.ndim == 0:
        raise ValueError(f"{who}: expected targets as (N,) or (N, outputs), got one number {y}")
    return _rounded(who, y[:, None] if y.ndim == 1 else y, dtype)


def labels(
    who: str, value: Any, class_names: Sequence[str] | None = None, axes: int = 1
) -> np.ndarray:
    """Class numbers int64 (N,), or rows of numbers (N, classes); of names, their numbers.

    Floats that are whole numbers, True and False, and a column (N, 1) of any of these are class
    numbers too.

    axes : how many class numbers have; 3 where each place of an image has a class, (N, H, W)

    Raises
    ------
    TypeError, ValueError
        For names without `class_names` or not among them, and for fractions.
    """
    y = array_of(who, value)
    if y.ndim == 0:
        raise ValueError(f"{who}: expected labels as (N,), got one number {y}")
    is_column = y.ndim == axes + 1 and y.shape[1] == 1
    if is_column and (y.dtype.kind in "iuUST" or y.size != 1):
        y = y[:, 0]
    if y.dtype.kind in "UST":
        return _places(who, y, class_names)
    if y.ndim != axes or y.dtype == np.int64:
        return y
    if y.dtype.kind == "f" and not (np.isfinite(y) & (y == np.floor(y))).all():
        raise TypeError(
            f"{who}: labels must be whole numbers, names or one-hot rows, got {y.dtype} such as "
            f"{y[~(y == np.floor(y)) | ~np.isfinite(y)][0]:g}"
        )
    if y.dtype.kind in "uf" and y.size and not -_BEYOND <= y.min() <= y.max() < _BEYOND:
        wrong = y.max() if y.max() >= _BEYOND else y.min()  # as int64 it would be another number
        raise ValueError(f"{who}: labels are the numbers of classes, from 0, got {wrong}")
    return y.astype(np.int64)


def names_of(who: str, value: Any) -> tuple[str, ...] | None:
    """The classes that labels name, in the order of `np.unique`; None if they name none."""
    y = array_of(who, value)
    return tuple(map(_text, np.unique(y))) if y.dtype.kind in "UST" else None


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _places(who: str, names: np.ndarray, class_names: Sequence[str] | None) -> np.ndarray:
    if class_names is None:
        raise TypeError(
            f"{who}: labels are names, such as {_text(names.flat[0])!r}, but nobody said which "
            f"number each has: train with them, or give numbers: "
            f"class_names, labels = np.unique(labels, return_inverse=True)"
        )
    found, which = np.unique(names, return_inverse=True)
    known = {name: place for place, name in enumerate(class_names)}
    for name in map(_text, found):
        if name not in known:
            listed = ", ".join(map(str, class_names[:_NAMED]))
            more = f" and {len(class_names) - _NAMED} more" if len(class_names) > _NAMED else ""
            raise ValueError(f"{who}: there is no class {name!r}; known are {listed}{more}")
    places = np.array([known[_text(name)] for name in found], np.int64)
    return places[which].reshape(names.shape)


# --- targets of several outputs -------------------------------------------------------------------


def table_of(names: Sequence[str], arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays (N, ...) as one of N rows, which has a field for each and is cut and sorted as one."""
    fields = [(n, a.dtype, a.shape[1:]) for n, a in zip(names, arrays, strict=True)]
    table = np.zeros(len(arrays[0]), np.dtype(fields, align=True))
    for name, array in zip(names, arrays, strict=True):
        table[name] = array
    return table


def fields_of(table: Any) -> tuple[Any, ...]:
    """The arrays of such a table, each contiguous; a tuple of arrays as it is."""
    if not isinstance(table, np.ndarray):
        return tuple(table)
    return tuple(np.ascontiguousarray(table[name]) for name in table.dtype.names or ())
