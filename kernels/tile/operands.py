"""What the register tile is told: how large it is, and where its operands lie."""

from typing import NamedTuple

import numpy as np

FULL, HALF, PAIRED, FULL_TWICE, HALF_TWICE = range(5)  # how lanes are used, see `TileShape`
TWICE = FULL_TWICE - FULL
# The multiply-adds of more rows do not wait for one another.
TWICE_ROWS = 5


class TileShape(NamedTuple):
    """How large equal tiles are, and how many.

    mode : FULL; HALF for vectors of half width, which hold few channels; or PAIRED, which puts
        two products of each channel into one full vector. It needs `Rows.i` = 1, an even ``inner``
        and b packed in pairs: b[o, i, v] and b[o, i + 1, v] side by side. FULL or HALF + TWICE: up
        to `TWICE_ROWS` rows with two sums each, over even and odd i, because a few sums would wait
        for their last multiply-add; ``inner`` is even. In all modes but FULL ``vectors`` is 1.
    tail : lanes of a row's last vector that are written
    inner, outer : steps of the sum; ``inner`` and ``repeats`` are at least 1
    """

    mode: int
    rows: int
    vectors: int
    tail: int
    inner: int
    outer: int = 1
    repeats: int = 1


class Rows(NamedTuple):
    """Operand a: a flat array, the index of its first number, and the step by each index."""

    array: np.ndarray
    first: int
    m: int
    i: int
    o: int = 0
    r: int = 0


class Panel(NamedTuple):
    """Operand b, likewise; whole vectors lie side by side."""

    array: np.ndarray
    first: int
    i: int
    r: int = 0


class Sums(NamedTuple):
    """Operands start and c, likewise."""

    array: np.ndarray
    first: int
    m: int = 0
    r: int = 0


class Asked(NamedTuple):
    """What is read later, not here: each step of the sum asks for a line of it, `simd.ask_for`.

    i : from step to step, see `asked_step`; 0 where nothing is read later, and this is then where
        b begins, which is at hand
    """

    array: np.ndarray
    first: int
    i: int = 0
