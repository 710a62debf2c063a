"""Protocol buffers as they lie in a file: numbered fields, read in place and without recursion.

https://protobuf.dev/programming-guides/encoding has the format.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_LONGEST = 10  # bytes of a number
MOST = 1_000_000  # numbers of one field that are written one by one


class DamagedError(ValueError):
    """Bytes that are no message."""


def fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """(number, value) of each field: an int, or the bytes of what is longer.

    Raises
    ------
    DamagedError
        If it ends too early, or is no message.
    """
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise DamagedError("it has a field without a number")
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in (_EIGHT, _FOUR):
            size = 8 if kind == _EIGHT else 4
        else:
            raise DamagedError(f"it has a field of unknown kind {kind}")
        if size > end - at:
            raise DamagedError("its end is missing")
        yield number, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number, seven bits a byte, and where it ends."""
    value = 0
    for count, byte in enumerate(data[at : at + _LONGEST]):
        value |= (byte & 127) << (7 * count)
        if byte < 128:
            return value & (2**64 - 1), at + count + 1
    raise DamagedError(
        "its end is missing" if len(data) - at < _LONGEST else "a number is too long"
    )


def signed(value: Any) -> int:
    """A field as an int64.

    Raises
    ------
    DamagedError
        If it is no number.
    """
    if not isinstance(value, int):
        raise DamagedError("there is something else where a number should be")
    return value - 2**64 if value >= 2**63 else value


def numbers(value: Any) -> list[int]:
    """Whole numbers of a repeated field, of which this is one or all."""
    if isinstance(value, int):
        return [signed(value)]
    if len(value) > MOST:
        raise ValueError("it has a long list of numbers that are not written as raw data")
    found, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        found.append(signed(number))
    return found


def floats(value: Any, kind: str = "<f4") -> np.ndarray:
    """Floats of a repeated field, of which this is one or all; a view."""
    size = np.dtype(kind).itemsize
    if isinstance(value, int) or len(value) % size:
        raise DamagedError("there is something else where floats should be")
    return np.frombuffer(value, kind)


def real(value: Any) -> float:
    """A field as a float."""
    if isinstance(value, int) or len(value) != 4:
        raise DamagedError("there is something else where a float should be")
    return shortest(np.frombuffer(value, "<f4")[0])


def shortest(number: Any) -> float:
    """The shortest number that is this one in float32, as people write it: 0.1."""
    return float(str(np.float32(number)))


def text(value: Any) -> str:
    """A field as text."""
    try:
        return bytes(part(value)).decode()
    except UnicodeDecodeError:
        raise DamagedError("a text in it is none") from None


def part(value: Any) -> memoryview:
    """A field as a message of its own."""
    if isinstance(value, int):
        raise DamagedError("there is a number where something else should be")
    return value
