"""Channels beside channels: what `Concatenate` needs.

Arrays are C-contiguous with the channels last, float32 or float64, all of one dtype; the places
before the channels (N, or N, H, W) are the same for all. `wide` holds the channels of `first` and
then those of `last`.
"""

import numpy as np
from numba import prange

from kernels import jit
from kernels.shares import CHUNKS, is_small
from kernels.simd import lanes, load_part, store_part

# Operations that share a compiled loop, as in `kernels.activation`.
_JOIN, _TAKE_LAST, _ADD_FIRST = range(3)


def join_channels(first: np.ndarray, last: np.ndarray, wide: np.ndarray) -> None:
    """wide = the channels of first, then those of last."""
    _run(_JOIN, wide, first, last, wide)


def take_last_channels(wide: np.ndarray, last: np.ndarray) -> None:
    """last = as many of wide's channels, from its end."""
    _run(_TAKE_LAST, wide, wide, last, last)


def add_first_channels(wide: np.ndarray, first: np.ndarray, y: np.ndarray) -> None:
    """y = first + as many of wide's channels, from its beginning; y may be first."""
    _run(_ADD_FIRST, wide, first, first, y)


def _run(kind: int, wide: np.ndarray, a: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
    channels = wide.shape[-1], a.shape[-1], b.shape[-1]
    places = wide.size // channels[0]
    arrays = wide.reshape(-1), a.reshape(-1), b.reshape(-1), y.reshape(-1)
    if is_small(wide.size):
        _share(kind, *arrays, *channels, 0, places)
    else:
        _all(kind, *arrays, *channels, places)


@jit.parallel
def _all(kind, wide, a, b, y, wide_channels, a_channels, b_channels, places):
    for chunk in prange(CHUNKS):  # owns the channels of a stretch of places in y
        first, last = places * chunk // CHUNKS, places * (chunk + 1) // CHUNKS
        _share(kind, wide, a, b, y, wide_channels, a_channels, b_channels, first, last)


@jit.serial
def _share(kind, wide, a, b, y, wide_channels, a_channels, b_channels, first, last):
    for place in range(first, last):
        w0, a0, b0 = place * wide_channels, place * a_channels, place * b_channels
        if kind == _JOIN:
            _copy(a, a0, wide, w0, a_channels)
            _copy(b, b0, wide, w0 + a_channels, b_channels)
        elif kind == _TAKE_LAST:
            _copy(wide, w0 + wide_channels - b_channels, y, b0, b_channels)
        else:
            for i in range(0, a_channels, lanes(y)):
                left = a_channels - i
                v = load_part(wide, w0 + i, left) + load_part(a, a0 + i, left)
                store_part(y, a0 + i, v, left)


@jit.serial
def _copy(x, x0, y, y0, count):
    """y[y0 : y0 + count] = x[x0 : x0 + count]"""
    for i in range(0, count, lanes(y)):
        store_part(y, y0 + i, load_part(x, x0 + i, count - i), count - i)
