"""The gradient of batch normalisation (see `batch`), and of max(y, 0) behind it."""

import numpy as np
from numba import prange

from kernels import jit
from kernels.jit import thread_id
from kernels.norm.units import ROWS, add_units, fold_columns, in_units, room
from kernels.norm.wide_rows import (
    BETA,
    LEVEL,
    MEAN,
    SCALE,
    SLOPE,
    add_block,
    begin,
    block_rows,
    factors_of,
    fold,
    repeat_row,
    whole_rows,
)
from kernels.shares import AHEAD, CHUNKS, is_small
from kernels.simd import ask_for, fma, lanes, load, load_part, splat, store, store_part
from kernels.simd.mathematics import through_relu
from kernels.tree import add_tree
from kernels.workspace import Workspace


def batch_norm_backward(
    dy: np.ndarray,
    x: np.ndarray,
    gamma: np.ndarray,
    mean: np.ndarray,
    inverse_std: np.ndarray,
    dx: np.ndarray,
    dgamma: np.ndarray,
    dbeta: np.ndarray,
    workspace: Workspace,
    beta: np.ndarray | None = None,
    sums: np.ndarray | None = None,
) -> None:
    """Gradients, through the batch's mean and variance too. With z = (x - mean) * inverse_std:

        dbeta = sum of dy,    dgamma = sum of dy * z
        dx = gamma * inverse_std * (dy - dbeta / rows - z * dgamma / rows)

    dy, x, dx : (N, ..., C); dx may be dy
    mean, inverse_std : (C,), as `batch_norm_training` filled them in
    beta : (C,) if max(y, 0) followed the normalisation: then dy reaches the places where y > 0
        only. They are found by computing y again, which is sooner done than reading it.
    sums : as in `batch_gradient_factors`
    """
    factors, width = batch_gradient_factors(
        dy, x, gamma, mean, inverse_std, dgamma, dbeta, workspace, beta, sums
    )
    dy, x, dx = dy.reshape(-1), x.reshape(-1), dx.reshape(-1)
    run = gradient_share if is_small(x.size) else _gradient
    run(dy, x, factors, width, beta is not None, dx, 0, CHUNKS)


def batch_gradient_factors(
    dy: np.ndarray,
    x: np.ndarray,
    gamma: np.ndarray,
    mean: np.ndarray,
    inverse_std: np.ndarray,
    dgamma: np.ndarray,
    dbeta: np.ndarray,
    workspace: Workspace,
    beta: np.ndarray | None = None,
    sums: np.ndarray | None = None,
) -> tuple[np.ndarray, int]:
    """dgamma, dbeta, and what `gradient_stretch` makes dx of: factors, and their width.

    sums : of the units (`units`), if somebody formed them already
    """
    channels = x.shape[-1]
    width, relu = fold(channels) * channels, beta is not None
    rows = workspace.portion.images(len(x)) * (x[0].size // channels)
    flat, portion, borders, firsts = in_units(dy, x, channels=channels, portion=workspace.portion)
    units, chunks = len(borders) - 1, len(firsts) - 1
    factors = factors_of(width, x.dtype, workspace)
    begin(mean, gamma, inverse_std, mean[:0] if beta is None else beta, factors, width)
    if sums is None:
        where = room(units, channels, x.dtype, workspace)
        sums = where.sums
        if units == 1:
            gradient_sums_unit(*flat, 0, flat[1].size, factors, relu, channels, where, 0, 0)
        else:
            _gradient_sums(*flat, factors, relu, channels, where, borders, 0, units)
    totals = workspace.array("norm_sums", (chunks * 2 * channels,), np.float64)
    add_units(sums, firsts, channels, totals)
    chunks = portion.totals(totals, chunks)
    finish_gradient(gamma, inverse_std, totals, chunks, rows, width, dgamma, dbeta, factors)
    workspace.portion.settle(dgamma, dbeta)
    return factors, width


@jit.serial
def _reaching(d, v, column, factors, width, relu):
    """The part of the gradient d that gets through ReLU; v = x - mean, at a column."""
    if relu:
        y = fma(v, load(factors, SCALE * width + column), load(factors, BETA * width + column))
        d = through_relu(d, y)
    return d


@jit.parallel
def _gradient_sums(dy, x, factors, relu, channels, room, borders, first, last):
    for unit in prange(first, last):  # owns its rows of sums
        gradient_sums_unit(
            dy, x, borders[unit], borders[unit + 1], factors, relu, channels, room, thread_id(),
            unit,
        )  # fmt: skip


@jit.serial
def gradient_sums_unit(dy, x, first, last, factors, relu, channels, room, me, unit):
    """Sums of dy and of dy * (x - mean), for every channel, over the unit x[first:last]."""
    width, columns = room.width, room.columns.reshape(-1)
    start, block = 2 * width * me, room.block.reshape(-1)
    gradient_sums_share(dy, x, factors, width, relu, block, columns, start, first, last)
    fold_columns(columns, start, width, width, channels, room.sums, unit * ROWS * channels)


@jit.serial
def gradient_sums_share(dy, x, factors, width, relu, scratch, sums, start, first, last):
    """Sums of dy and of dy * (x - mean), for every column, over x[first:last].

    start : where the columns' room begins in scratch and sums
    """
    sums[start : start + 2 * width] = 0
    end = first + (last - first) // width * width
    block = block_rows(width) * width
    for at in range(first, end, block):
        rows = min(block, end - at) // width
        for c in range(0, width, 2 * lanes(x)):
            _block_products(dy, x, at + c, rows, width, factors, c, relu, scratch, start + c)
        add_block(scratch, start, width, 0.0, sums)
    for j in range(0, last - end, lanes(x)):
        left = last - end - j
        v = load_part(x, end + j, left) - load(factors, MEAN * width + j)
        d = _reaching(load_part(dy, end + j, left), v, j, factors, width, relu)
        store_part(scratch, start + j, d, left)
        store_part(scratch, start + width + j, d * v, left)
    for j in range(last - end):
        sums[start + j] += np.float64(scratch[start + j])
        sums[start + width + j] += np.float64(scratch[start + width + j])


@jit.serial
def _block_products(dy, x, at, rows, width, factors, c, relu, scratch, target):
    """Two vectors of columns of a block: sums of dy, and of dy * (x - mean).

    Two rows at a time, for an addition should not have to wait for the one before it. The next
    block of x is asked for: this one is read in strides.
    """
    n = lanes(x)
    m0, m1 = load(factors, MEAN * width + c), load(factors, MEAN * width + c + n)
    zero = splat(x, 0.0)
    t0, t1, t2, t3 = zero, zero, zero, zero
    p0, p1, p2, p3 = zero, zero, zero, zero
    ahead = rows * width
    for _ in range(rows // 2):
        ask_for(x, at + ahead)
        ask_for(x, at + ahead + n)
        ask_for(x, at + ahead + width)
        ask_for(x, at + ahead + width + n)
        v0, v1 = load(x, at) - m0, load(x, at + n) - m1
        d0 = _reaching(load(dy, at), v0, c, factors, width, relu)
        d1 = _reaching(load(dy, at + n), v1, c + n, factors, width, relu)
        at += width
        v2, v3 = load(x, at) - m0, load(x, at + n) - m1
        d2 = _reaching(load(dy, at), v2, c, factors, width, relu)
        d3 = _reaching(load(dy, at + n), v3, c + n, factors, width, relu)
        at += width
        t0, t1, t2, t3 = t0 + d0, t1 + d1, t2 + d2, t3 + d3
        p0, p1, p2, p3 = fma(d0, v0, p0), fma(d1, v1, p1), fma(d2, v2, p2), fma(d3, v3, p3)
    if rows % 2:
        v0, v1 = load(x, at) - m0, load(x, at + n) - m1
        d0 = _reaching(load(dy, at), v0, c, factors, width, relu)
        d1 = _reaching(load(dy, at + n), v1, c + n, factors, width, relu)
        t0, t1 = t0 + d0, t1 + d1
        p0, p1 = fma(d0, v0, p0), fma(d1, v1, p1)
    store(scratch, target, t0 + t2)
    store(scratch, target + n, t1 + t3)
    store(scratch, target + width, p0 + p2)
    store(scratch, target + width + n, p1 + p3)


@jit.serial
def finish_gradient(gamma, inverse_std, sums, chunks, rows, width, dgamma, dbeta, factors):
    """Gradients from the sums; the factors of dx, of which MEAN is there already."""
    channels = gamma.size
    add_tree(sums, chunks, 2 * channels)
    for c in range(channels):
        total, product, inverse = sums[c], sums[channels + c], np.float64(inverse_std[c])
        dbeta[c] = total
        dgamma[c] = product * inverse
        scale = gamma[c] * inverse
        factors[SCALE * width + c] = scale
        factors[SLOPE * width + c] = -scale * inverse * inverse * product / rows
        factors[LEVEL * width + c] = -scale * total / rows
    for row in (SCALE, SLOPE, LEVEL):
        repeat_row(factors, row, channels, width)


@jit.parallel
def _gradient(dy, x, factors, width, relu, dx, first_chunk, last_chunk):
    for chunk in prange(first_chunk, last_chunk):  # owns a stretch of dx
        gradient_share(dy, x, factors, width, relu, dx, chunk, chunk + 1)


@jit.serial
def gradient_share(dy, x, factors, width, relu, dx, first_chunk, last_chunk):
    """dx of some chunks."""
    first = whole_rows(x.size, width, first_chunk, CHUNKS)[0] * width
    stop = whole_rows(x.size, width, last_chunk - 1, CHUNKS)[1] * width
    if last_chunk == CHUNKS:
        stop = x.size
    gradient_stretch(dy, x, first, stop - first, factors, width, relu, dx, first)


@jit.serial
def gradient_stretch(dy, x, first, count, factors, width, relu, dx, dx0):
    """dx[dx0:] of dy[first:] and x[first:], so many numbers, the first one of channel 0."""
    to, end = dx0 - first, first + count // width * width
    for at in range(first, end, width):
        for c in range(0, width, lanes(x)):
            ask_for(x, at + c + 2 * AHEAD)
            ask_for(dy, at + c + 2 * AHEAD)
            v = load(x, at + c) - load(factors, MEAN * width + c)
            d = _reaching(load(dy, at + c), v, c, factors, width, relu)
            v = fma(v, load(factors, SLOPE * width + c), load(factors, LEVEL * width + c))
            store(dx, to + at + c, fma(d, load(factors, SCALE * width + c), v))
    for c in range(0, first + count - end, lanes(x)):
        left = first + count - end - c
        v = load_part(x, end + c, left) - load(factors, MEAN * width + c)
        d = _reaching(load_part(dy, end + c, left), v, c, factors, width, relu)
        v = fma(v, load(factors, SLOPE * width + c), load(factors, LEVEL * width + c))
        store_part(dx, to + end + c, fma(d, load(factors, SCALE * width + c), v), left)
