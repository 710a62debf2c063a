"""Channels beside channels: what `Concatenate` and `Concat` need.

Arrays are C-contiguous with the channels last, float32 or float64, all of one dtype; the pixels
before the channels (N, or N, H, W) are the same for all. `joined` holds the channels of `first` and
then those of `last`, or those of any number of parts.
"""

import numpy as np
from numba import prange

from kernels import jit
from kernels.shares import CHUNKS, is_small
from kernels.simd import lanes, load_part, store_part

# Operations that share a compiled loop, as in `kernels.activation`.
_JOIN, _PUT, _TAKE, _ADD_FIRST = range(4)


def join_channels(first: np.ndarray, last: np.ndarray, joined: np.ndarray) -> None:
    """joined = the channels of first, then those of last."""
    _run(_JOIN, joined, first, last, joined)


def put_channels(part: np.ndarray, at: int, joined: np.ndarray) -> None:
    """As many of joined's channels, from `at` on, = those of part."""
    _run(_PUT, joined, part, part, joined, at)


def take_channels(joined: np.ndarray, at: int, part: np.ndarray) -> None:
    """part = as many of joined's channels, from `at` on."""
    _run(_TAKE, joined, joined, part, part, at)


def take_last_channels(joined: np.ndarray, last: np.ndarray) -> None:
    """last = as many of joined's channels, from its end."""
    take_channels(joined, joined.shape[-1] - last.shape[-1], last)


def add_first_channels(joined: np.ndarray, first: np.ndarray, y: np.ndarray) -> None:
    """y = first + as many of joined's channels, from its beginning; y may be first."""
    _run(_ADD_FIRST, joined, first, first, y)


def _run(
    kind: int, joined: np.ndarray, a: np.ndarray, b: np.ndarray, y: np.ndarray, at: int = 0
) -> None:
    channels = joined.shape[-1], a.shape[-1], b.shape[-1]
    pixels = joined.size // channels[0]
    arrays = joined.reshape(-1), a.reshape(-1), b.reshape(-1), y.reshape(-1)
    if is_small(joined.size):
        _share(kind, *arrays, *channels, at, 0, pixels)
    else:
        _all(kind, *arrays, *channels, at, pixels)


@jit.parallel
def _all(kind, joined, a, b, y, joined_channels, a_channels, b_channels, at, pixels):
    for chunk in prange(CHUNKS):  # owns the channels of a stretch of pixels in y
        first, last = pixels * chunk // CHUNKS, pixels * (chunk + 1) // CHUNKS
        _share(kind, joined, a, b, y, joined_channels, a_channels, b_channels, at, first, last)


@jit.serial
def _share(kind, joined, a, b, y, joined_channels, a_channels, b_channels, at, first, last):
    for pixel in range(first, last):
        j0, a0, b0 = pixel * joined_channels, pixel * a_channels, pixel * b_channels
        if kind == _JOIN:
            _copy(a, a0, joined, j0, a_channels)
            _copy(b, b0, joined, j0 + a_channels, b_channels)
        elif kind == _PUT:
            _copy(a, a0, joined, j0 + at, a_channels)
        elif kind == _TAKE:
            _copy(joined, j0 + at, y, b0, b_channels)
        else:
            for i in range(0, a_channels, lanes(y)):
                left = a_channels - i
                v = load_part(joined, j0 + i, left) + load_part(a, a0 + i, left)
                store_part(y, a0 + i, v, left)


@jit.serial
def _copy(x, x0, y, y0, count):
    """y[y0 : y0 + count] = x[x0 : x0 + count]"""
    for i in range(0, count, lanes(y)):
        store_part(y, y0 + i, load_part(x, x0 + i, count - i), count - i)
