"""Batch normalisation over the rows of an array (rows, C): per feature, or per channel of images.

    y = gamma * (x - mean) * inverse_std + beta,    inverse_std = 1 / sqrt(variance + eps)

(Ioffe and Szegedy 2015). An N, H, W, C image batch is (N * H * W, C). Arrays are C-contiguous,
float32 or float64, all of one dtype, per-channel ones (C,); results are overwritten. Nothing is
checked, which is the layers' work. Rows are read as `wide_rows`; the way back is in
`batch_gradient`.
"""

import math

import numpy as np
from numba import prange

from kernels import jit
from kernels.jit import thread_id
from kernels.norm.units import ROWS, fold_columns, in_units, room
from kernels.norm.wide_rows import (
    BETA,
    MEAN,
    SCALE,
    add_block,
    begin,
    block_rows,
    factors_of,
    fold,
    load_four,
    store_four,
    whole_rows,
)
from kernels.shares import AHEAD, CHUNKS, is_small
from kernels.simd import ask_for, fma, lanes, load, load_part, splat, store, store_part
from kernels.simd.mathematics import rectified
from kernels.tree import add_tree
from kernels.workspace import Workspace


def batch_norm_training(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    eps: float,
    y: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    inverse_std: np.ndarray,
    workspace: Workspace,
    shortcut: np.ndarray | None = None,
    relu: bool = False,
    sums: np.ndarray | None = None,
) -> None:
    """Normalise by the statistics of the batch; then add a shortcut, then max(y, 0).

    x, y : (N, ..., C), may be the same array; shortcut likewise, None for no addition
    mean, variance, inverse_std : (C,), filled in; the variance is the biased one (divisor rows)
    sums : as in `batch_statistics`
    """
    factors, width = batch_statistics(
        x, gamma, beta, eps, mean, variance, inverse_std, workspace, sums
    )
    _normalise(x.reshape(-1), factors, width, y.reshape(-1), shortcut, relu)


def batch_statistics(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    eps: float,
    mean: np.ndarray,
    variance: np.ndarray,
    inverse_std: np.ndarray,
    workspace: Workspace,
    sums: np.ndarray | None = None,
    kept_in: Workspace | None = None,
) -> tuple[np.ndarray, int]:
    """Mean, variance and 1 / standard deviation (C,) of each channel of x (N, ..., C).

    sums : of the units (`units`), if somebody formed them already
    kept_in : where the factors lie, if they are needed later
    Returns the factors MEAN, SCALE and BETA of `wide_rows`, and the width of a wide row.
    """
    channels = x.shape[-1]
    rows = workspace.portion.images(len(x)) * (x[0].size // channels)
    (x,), portion, borders, firsts = in_units(x, channels=channels, portion=workspace.portion)
    units, chunks = len(borders) - 1, len(firsts) - 1
    if sums is None:
        where = room(units, channels, x.dtype, workspace)
        sums = where.sums
        if units == 1:
            statistics_unit(x, 0, x.size, channels, where, 0, 0)
        else:
            _statistics(x, channels, where, borders, 0, units)
    width = fold(channels) * channels
    factors = factors_of(width, x.dtype, workspace if kept_in is None else kept_in)
    shift = portion.first(sums[2 * channels : ROWS * channels])
    totals = workspace.array("norm_sums", (chunks * 2 * channels,), np.float64)
    _add_statistics(sums, shift, borders, firsts, totals)
    chunks = portion.totals(totals, chunks)
    _finish_statistics(
        shift, gamma, beta, float(eps), totals, chunks, rows, width, mean, variance, inverse_std,
        factors,
    )  # fmt: skip
    return factors, width


def follow(
    running_mean: np.ndarray,
    running_var: np.ndarray,
    momenta: np.ndarray,
    begun: np.ndarray | None,
    mean: np.ndarray,
    variance: np.ndarray,
) -> None:
    """running = momenta[0] * running + momenta[1] * that of the batch, all (C,).

    momenta : (2,), momentum and 1 - momentum
    begun : (1,), which is 0 before the first batch, which counts alone, and then 1; or None
    """
    _follow(
        running_mean, running_var, momenta, mean[:0] if begun is None else begun, mean, variance
    )


@jit.serial
def _follow(running_mean, running_var, momenta, begun, mean, variance):
    is_first = begun.size and begun[0] == 0
    if is_first:
        begun[0] = 1
    for c in range(mean.size):
        if is_first:
            running_mean[c], running_var[c] = mean[c], variance[c]
        else:
            running_mean[c] = running_mean[c] * momenta[0] + momenta[1] * mean[c]
            running_var[c] = running_var[c] * momenta[0] + momenta[1] * variance[c]


def batch_norm_inference(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    running_mean: np.ndarray,
    running_var: np.ndarray,
    eps: float,
    y: np.ndarray,
) -> None:
    """Normalise by given statistics (C,);  x, y (rows, C), may be the same array."""
    copies = fold(x.shape[1])
    scale = gamma / np.sqrt(running_var + x.dtype.type(eps))
    factors = np.concatenate([np.tile(part, copies) for part in (running_mean, scale, beta)])
    _normalise(x.reshape(-1), factors, copies * x.shape[1], y.reshape(-1))


def _normalise(
    x: np.ndarray,
    factors: np.ndarray,
    width: int,
    y: np.ndarray,
    shortcut: np.ndarray | None = None,
    relu: bool = False,
) -> None:
    added = x[:0] if shortcut is None else shortcut.reshape(-1)
    run = normalise_share if is_small(x.size) else _normalise_all
    run(x, factors, width, added, relu, y, 0, CHUNKS)


# --- statistics ---------------------------------------------------------------------------------


@jit.parallel
def _statistics(x, channels, room, borders, first, last):
    for unit in prange(first, last):  # owns its rows of sums
        statistics_unit(x, borders[unit], borders[unit + 1], channels, room, thread_id(), unit)


@jit.serial
def statistics_unit(x, first, last, channels, room, me, unit):
    """Sums of x - shift and of its squares, for every channel, over the unit x[first:last].

    The shift of a channel is the first number of it there: it keeps a large common mean out of
    the sums.
    """
    width, start, columns = room.width, 2 * room.width * me, room.columns.reshape(-1)
    statistics_share(x, x, first, width, room.block.reshape(-1), columns, start, first, last)
    # Until here every column had a shift of its own, the first number of it.
    count = min(width, last - first)
    for column in range(channels, count, channels):
        rows = (last - first - column - 1) // width + 1
        totals, squares = columns[start + column :], columns[start + width + column :]
        for c in range(channels):
            offset = np.float64(x[first + column + c]) - np.float64(x[first + c])
            moved = rows * offset
            squares[c] += offset * (2 * totals[c] + moved)
            totals[c] += moved
    at = unit * ROWS * channels
    fold_columns(columns, start, width, count, channels, room.sums, at)
    for c in range(channels):
        room.sums[at + 2 * channels + c] = x[first + c]


@jit.serial
def statistics_share(x, shift, shift0, width, scratch, sums, start, first, last):
    """Sums of x - shift and of its squares, for every column, over x[first:last].

    shift : from shift[shift0] on, a number for every column
    start : where the columns' room begins in scratch and sums

    Two passes over each block, the second about the block's mean, are as exact as two passes over
    the batch, for one reading of the memory.
    """
    sums[start : start + 2 * width] = 0
    end = first + (last - first) // width * width
    block = block_rows(width) * width
    for at in range(first, end, block):
        rows = min(block, end - at) // width
        for c in range(0, width, 4 * lanes(x)):
            _block_statistics(x, at + c, rows, width, shift, shift0 + c, scratch, start + c)
        add_block(scratch, start, width, 1 / rows, sums)
    for j in range(last - end):
        value = np.float64(x[end + j]) - shift[shift0 + j]
        sums[start + j] += value
        sums[start + width + j] += value * value


@jit.serial
def _block_statistics(x, at, rows, width, shift, shift0, scratch, target):
    """Four vectors of columns of a block: sums of x - shift, and of squares about the mean.

    Four at a time, for then the memory is read in order, and an addition need not wait for the
    one before it.
    """
    s0, s1, s2, s3 = load_four(shift, shift0)
    zero, share = splat(x, 0.0), splat(x, 1 / rows)
    t0, t1, t2, t3 = zero, zero, zero, zero
    for row in range(rows):
        v0, v1, v2, v3 = load_four(x, at + row * width)
        t0, t1, t2, t3 = t0 + (v0 - s0), t1 + (v1 - s1), t2 + (v2 - s2), t3 + (v3 - s3)
    m0, m1, m2, m3 = fma(t0, share, s0), fma(t1, share, s1), fma(t2, share, s2), fma(t3, share, s3)
    q0, q1, q2, q3 = zero, zero, zero, zero
    for row in range(rows):
        v0, v1, v2, v3 = load_four(x, at + row * width)
        v0, v1, v2, v3 = v0 - m0, v1 - m1, v2 - m2, v3 - m3
        q0, q1, q2, q3 = fma(v0, v0, q0), fma(v1, v1, q1), fma(v2, v2, q2), fma(v3, v3, q3)
    store_four(scratch, target, t0, t1, t2, t3)
    store_four(scratch, target + width, q0, q1, q2, q3)


@jit.serial
def _add_statistics(unit_sums, shift, borders, firsts, sums):
    """The sums of each chunk, about the shift of the batch: those of its units, in order."""
    channels = shift.size
    two = splat(sums, 2.0)
    for chunk in range(firsts.size - 1):
        for c in range(0, channels, lanes(sums)):
            left, center = channels - c, load_part(shift, c, channels - c)
            total, square = splat(sums, 0.0), splat(sums, 0.0)
            for unit in range(firsts[chunk], firsts[chunk + 1]):
                at = unit * ROWS * channels + c
                rows = splat(sums, (borders[unit + 1] - borders[unit]) // channels)
                here = load_part(unit_sums, at, left)
                offset = load_part(unit_sums, at + 2 * channels, left) - center
                moved = rows * offset
                total = total + (here + moved)
                more = fma(two, here, moved) * offset
                square = square + (load_part(unit_sums, at + channels, left) + more)
            store_part(sums, 2 * chunk * channels + c, total, left)
            store_part(sums, (2 * chunk + 1) * channels + c, square, left)


@jit.serial
def _finish_statistics(
    shift, gamma, beta, eps, sums, chunks, rows, width, mean, variance, inverse_std, factors
):
    """Statistics from the sums about the shift; the factors that go forward."""
    channels = mean.size
    add_tree(sums, chunks, 2 * channels)
    for c in range(channels):
        offset = sums[c] / rows
        spread = max(sums[channels + c] / rows - offset * offset, 0.0)
        mean[c] = shift[c] + offset
        variance[c] = spread
        inverse_std[c] = 1 / math.sqrt(spread + eps)
    begin(mean, gamma, inverse_std, beta, factors, width)


# --- normalising --------------------------------------------------------------------------------


@jit.parallel
def _normalise_all(x, factors, width, added, relu, y, first_chunk, last_chunk):
    for chunk in prange(first_chunk, last_chunk):  # owns a stretch of y
        normalise_share(x, factors, width, added, relu, y, chunk, chunk + 1)


@jit.serial
def normalise_share(x, factors, width, added, relu, y, first_chunk, last_chunk):
    """y = (x - mean) * scale + beta for the wide rows of some chunks; see `finished`."""
    first = whole_rows(x.size, width, first_chunk, CHUNKS)[0] * width
    stop = whole_rows(x.size, width, last_chunk - 1, CHUNKS)[1] * width
    if last_chunk == CHUNKS:
        stop = x.size
    count = stop - first
    normalise_stretch(x, first, count, factors, width, added, relu, y, first, y, first + AHEAD)


@jit.serial
def normalise_stretch(x, first, count, factors, width, added, relu, y, y0, asked, asked0):
    """y[y0:] of x[first:] and added[first:], so many numbers, the first one of channel 0.

    asked, asked0 : what is asked for meanwhile, from there on
    """
    to, asked_to, end = y0 - first, asked0 - first, first + count // width * width
    for at in range(first, end, width):
        for c in range(0, width, lanes(x)):
            ask_for(asked, asked_to + at + c)
            v = load(x, at + c) - load(factors, MEAN * width + c)
            v = fma(v, load(factors, SCALE * width + c), load(factors, BETA * width + c))
            store(y, to + at + c, finished(v, added, at + c, lanes(x), relu))
    for c in range(0, first + count - end, lanes(x)):
        left = first + count - end - c
        v = load_part(x, end + c, left) - load(factors, MEAN * width + c)
        v = fma(v, load(factors, SCALE * width + c), load(factors, BETA * width + c))
        store_part(y, to + end + c, finished(v, added, end + c, left, relu), left)


@jit.serial
def finished(v, added, at, count, relu):
    """What follows the normalisation: ``added``, unless empty, and max(v, 0) if ``relu``."""
    if added.size:
        v = v + load_part(added, at, count)
    return rectified(v) if relu else v
