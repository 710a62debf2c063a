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
    chunks_for,
    fold,
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
    chunks = chunks_for(x.size, width)
    sums = workspace.array("prelu_sums", (2 * chunks * width,), np.float64)
    block = workspace.array("prelu_block", (chunks * width,), x.dtype)
    run = _sums_share if chunks == 1 else _sums_all
    run(dy.reshape(-1), x.reshape(-1), width, block, sums, chunks, 0, chunks)
    add_chunks(sums, chunks, width, channels)
    dslope[...] = sums[:channels]
    _bend(dy, x, slope, dx, workspace)


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
def _sums_all(dy, x, width, block, sums, chunks, first_chunk, last_chunk):
    for chunk in prange(first_chunk, last_chunk):  # owns its row of sums and of block
        _sums_share(dy, x, width, block, sums, chunks, chunk, chunk + 1)


@jit.serial
def _sums_share(dy, x, width, block, sums, chunks, first_chunk, last_chunk):
    """Sums of dy * x where x <= 0, for every column and chunk."""
    zero = splat(x, 0.0)
    for chunk in range(first_chunk, last_chunk):
        start = 2 * chunk * width
        sums[start : start + 2 * width] = 0
        first, last = whole_rows(x.size, width, chunk, chunks)
        for row in range(first, last, block_rows(width)):
            rows = min(block_rows(width), last - row)
            for c in range(0, width, lanes(x)):
                total, at = zero, row * width + c
                for _ in range(rows):
                    v = load(x, at)
                    product = fma(load(dy, at), v, total)
                    total = where(v > zero, total, product)
                    at += width
                store(block, chunk * width + c, total)
            for c in range(width):
                sums[start + c] += np.float64(block[chunk * width + c])
    if last_chunk == chunks:
        end = x.size // width * width
        for j in range(x.size - end):
            if not x[end + j] > 0:
                sums[2 * (chunks - 1) * width + j] += np.float64(dy[end + j] * x[end + j])
