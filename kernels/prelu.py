"""A rectifier whose slope for negative numbers is learned, for each channel or one for all.

    x, dy, y, dx    (rows, C), C-contiguous, float32 or float64; dx may be dy
    slope, dslope   (C,)

Rows are read as wide rows (`norm.wide_rows`), so that few channels fill whole vectors too.
"""

import numpy as np
from numba import prange

from kernels import jit
from kernels.norm.wide_rows import (
    add_chunks,
    block_rows,
    fold,
    in_chunks,
    repeat,
    whole_rows,
)
from kernels.shares import CHUNKS, is_small
from kernels.simd import fma, lanes, load, load_part, splat, store, store_part, where
from kernels.workspace import Workspace


def prelu(x: np.ndarray, slope: np.ndarray, y: np.ndarray, workspace: Workspace) -> None:
    """y = x where x > 0, else slope * x."""
    _bend(x, x, slope, y, workspace)


def prelu_backward(
    dy: np.ndarray,
    x: np.ndarray,
    slope: np.ndarray,
    dx: np.ndarray,
    dslope: np.ndarray,
    workspace: Workspace,
) -> None:
    """dslope = sum of dy * x where x <= 0;  dx = dy where x > 0, else slope * dy."""
    channels = slope.size
    width = fold(channels) * channels
    flat, portion, borders = in_chunks(dy, x, channels=channels, portion=workspace.portion)
    chunks = len(borders) - 1
    sums = workspace.array("prelu_sums", (2 * chunks * width,), np.float64)
    block = workspace.array("prelu_block", (chunks * width,), x.dtype)
    if chunks == 1:
        _sums_share(*flat, width, block, sums, 0, 0, flat[0].size)
    else:
        _sums_all(*flat, width, block, sums, borders, 0, chunks)
    _finish(sums, portion.totals(sums, chunks), width, dslope)
    workspace.portion.settle(dslope)
    _bend(dy, x, slope, dx, workspace)


@jit.serial
def _finish(sums, chunks, width, dslope):
    """The gradient from the sums of all chunks and columns."""
    add_chunks(sums, chunks, width, dslope.size)
    for c in range(dslope.size):
        dslope[c] = sums[c]


def _bend(
    d: np.ndarray, x: np.ndarray, slope: np.ndarray, y: np.ndarray, workspace: Workspace
) -> None:
    """y = d where x > 0, else slope * d."""
    width = fold(slope.size) * slope.size
    slopes = workspace.array("prelu_slopes", (width,), x.dtype)
    repeat(np.ascontiguousarray(slope), slopes, 0, width)
    run = _bend_share if is_small(x.size) else _bend_all
    run(d.reshape(-1), x.reshape(-1), slopes, width, y.reshape(-1), 0, CHUNKS)


@jit.parallel
def _bend_all(d, x, slopes, width, y, first, last):
    for chunk in prange(first, last):  # owns some wide rows of y
        _bend_share(d, x, slopes, width, y, chunk, chunk + 1)


@jit.serial
def _bend_share(d, x, slopes, width, y, first_chunk, last_chunk):
    zero = splat(y, 0.0)
    first, _ = whole_rows(x.size, width, first_chunk, CHUNKS)
    _, last = whole_rows(x.size, width, last_chunk - 1, CHUNKS)
    for row in range(first, last):
        for c in range(0, width, lanes(y)):
            u = load(d, row * width + c)
            bent = u * load(slopes, c)
            store(y, row * width + c, where(load(x, row * width + c) > zero, u, bent))
    if last_chunk == CHUNKS:
        end = x.size // width * width
        for j in range(0, x.size - end, lanes(y)):
            left = x.size - end - j
            u = load_part(d, end + j, left)
            bent = u * load(slopes, j)
            store_part(y, end + j, where(load_part(x, end + j, left) > zero, u, bent), left)


@jit.parallel
def _sums_all(dy, x, width, block, sums, borders, first_chunk, last_chunk):
    for chunk in prange(first_chunk, last_chunk):  # owns its row of sums and of block
        _sums_share(dy, x, width, block, sums, chunk, borders[chunk], borders[chunk + 1])


@jit.serial
def _sums_share(dy, x, width, block, sums, chunk, first, last):
    """Sums of dy * x where x <= 0, for every column, over the chunk x[first:last]."""
    zero = splat(x, 0.0)
    start = 2 * chunk * width
    sums[start : start + 2 * width] = 0
    end = first + (last - first) // width * width
    block_size = block_rows(width) * width
    for row in range(first, end, block_size):
        rows = min(block_size, end - row) // width
        for c in range(0, width, lanes(x)):
            total, at = zero, row + c
            for _ in range(rows):
                v = load(x, at)
                product = fma(load(dy, at), v, total)
                total = where(v > zero, total, product)
                at += width
            store(block, chunk * width + c, total)
        for c in range(width):
            sums[start + c] += np.float64(block[chunk * width + c])
    for j in range(last - end):
        if not x[end + j] > 0:
            sums[start + j] += np.float64(dy[end + j] * x[end + j])
