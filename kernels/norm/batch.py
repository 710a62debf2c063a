"""Batch normalisation over the rows of an array (rows, C): per feature, or per channel of images.

    y = gamma * (x - mean) * inverse_std + beta,    inverse_std = 1 / sqrt(variance + eps)

(Ioffe and Szegedy 2015). An N, H, W, C image batch is (N * H * W, C). Arrays are C-contiguous,
float32 or float64, all of one dtype, per-channel ones (C,); results are overwritten. Nothing is
checked, which is the layers' work.

Inside, a few rows are read as one wide row that fills whole vectors: 8 rows of 8 channels are a
wide row of 64 columns, of which c, c + 8, ... belong to channel c. Sums run over a block of
wide rows in the arrays' dtype, from block to block in float64, and over the columns of a channel
at the end.
"""

import math

import numpy as np
from numba import prange

from kernels import jit
from kernels.shares import CHUNKS, is_small
from kernels.simd import fma, lanes, load, load_part, splat, store, store_part
from kernels.simd.mathematics import rectified, through_relu
from kernels.workspace import Workspace

# The columns of a wide row are a multiple of four vectors of any processor; a block has about so
# many numbers: what the first pass over a block reads, the second finds in the nearest cache.
_COLUMNS = 64
_BLOCK = 1 << 12
_LEAST_BLOCK_ROWS = 8
_LEAST_CHUNK_ROWS = 16


def fold(channels: int) -> int:
    """Rows in a wide row."""
    return _COLUMNS // math.gcd(channels, _COLUMNS)


def _chunks(numbers: int, width: int) -> int:
    """Number of chunks that have sums of their own: depends on the array's shape only."""
    if is_small(numbers):
        return 1
    return jit.chunks_of(numbers // (width * _LEAST_CHUNK_ROWS))


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
) -> None:
    """Normalise by the statistics of the batch; then add a shortcut, then max(y, 0).

    x, y : (rows, C), may be the same array; shortcut likewise, None for no addition
    mean, variance, inverse_std : (C,), filled in; the variance is the biased one (divisor rows)
    """
    wide, width = batch_statistics(x, gamma, beta, eps, mean, variance, inverse_std, workspace)
    _normalise(x.reshape(-1), wide, width, y.reshape(-1), shortcut, relu)


def batch_statistics(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    eps: float,
    mean: np.ndarray,
    variance: np.ndarray,
    inverse_std: np.ndarray,
    workspace: Workspace,
) -> tuple[np.ndarray, int]:
    """Mean, variance and 1 / standard deviation (C,) of each column of x (rows, C).

    Returns rows of the mean, gamma * inverse_std and beta, each repeated to a width, and the width.
    """
    channels = x.shape[1]
    x = x.reshape(-1)
    width, chunks, sums, scratch, wide = _room(x, channels, workspace)
    repeat(x[:channels], wide, 0, width)
    run = statistics_share if chunks == 1 else _statistics
    run(x, channels, wide, width, scratch, sums, chunks, 0, chunks)
    _finish_statistics(
        x, gamma, beta, float(eps), sums, chunks, width, mean, variance, inverse_std, wide
    )
    return wide, width


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
    wide = np.concatenate([np.tile(part, copies) for part in (running_mean, scale, beta)])
    _normalise(x.reshape(-1), wide, copies * x.shape[1], y.reshape(-1))


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
) -> None:
    """Gradients, through the batch's mean and variance too. With z = (x - mean) * inverse_std:

        dbeta = sum of dy,    dgamma = sum of dy * z
        dx = gamma * inverse_std * (dy - dbeta / rows - z * dgamma / rows)

    dy, x, dx : (rows, C); dx may be dy
    mean, inverse_std : (C,), as `batch_norm_training` filled them in
    beta : (C,) if max(y, 0) followed the normalisation: then dy reaches the places where y > 0
        only. They are found by computing y again, which is sooner done than reading it.
    """
    channels = x.shape[1]
    dy, x, dx = dy.reshape(-1), x.reshape(-1), dx.reshape(-1)
    width, chunks, sums, scratch, wide = _room(x, channels, workspace)
    relu = beta is not None
    repeat(mean, wide, 0, width)
    if relu:
        repeat(gamma * inverse_std, wide, width, width)
        repeat(beta, wide, 4 * width, width)
    run = gradient_sums_share if chunks == 1 else _gradient_sums
    run(dy, x, wide, width, relu, scratch, sums, chunks, 0, chunks)
    rows = x.size // channels
    finish_gradient(gamma, inverse_std, sums, chunks, rows, width, dgamma, dbeta, wide)
    run = gradient_share if is_small(x.size) else _gradient
    run(dy, x, wide, width, relu, dx, 0, CHUNKS)


def _room(x: np.ndarray, channels: int, workspace: Workspace):
    """Width of a wide row, number of chunks, and scratch: their sums, a block's, five wide rows."""
    width = fold(channels) * channels
    chunks = _chunks(x.size, width)
    sums = workspace.array("norm_sums", (2 * chunks * width,), np.float64)
    scratch = workspace.array("norm_scratch", (2 * chunks * width,), x.dtype)
    return width, chunks, sums, scratch, workspace.array("norm_wide", (5 * width,), x.dtype)


def _normalise(
    x: np.ndarray,
    wide: np.ndarray,
    width: int,
    y: np.ndarray,
    shortcut: np.ndarray | None = None,
    relu: bool = False,
) -> None:
    added = x[:0] if shortcut is None else shortcut.reshape(-1)
    run = normalise_share if is_small(x.size) else _normalise_all
    run(x, wide, width, added, relu, y, 0, CHUNKS)


# --- shares of wide rows ------------------------------------------------------------------------


@jit.serial
def repeat(values, wide, start, width):
    """Write the values of the channels again and again: wide[start:start + width]."""
    for begin in range(start, start + width, values.size):
        for c in range(values.size):  # a slice assignment takes Numba two seconds to compile
            wide[begin + c] = values[c]


@jit.serial
def _whole_rows(numbers, width, chunk, chunks):
    """First wide row of a chunk, and the one after its last; an incomplete one is in none."""
    rows = numbers // width
    return rows * chunk // chunks, rows * (chunk + 1) // chunks


@jit.serial
def _block_rows(width):
    return max(_LEAST_BLOCK_ROWS, _BLOCK // width)


@jit.serial
def _load_four(array, place):
    """Four vectors in a row."""
    n = lanes(array)
    return (
        load(array, place),
        load(array, place + n),
        load(array, place + 2 * n),
        load(array, place + 3 * n),
    )


@jit.serial
def _store_four(array, place, v0, v1, v2, v3):
    n = lanes(array)
    store(array, place, v0)
    store(array, place + n, v1)
    store(array, place + 2 * n, v2)
    store(array, place + 3 * n, v3)


@jit.serial
def _add_up(scratch, start, width, factor, sums):
    """Add a block's two rows of sums to those of the chunk, in float64.

    The second is that of squares about the block's own mean, and becomes that about the shift by
    adding (first sum)**2 * factor.
    """
    first, second = scratch[start : start + width], scratch[start + width : start + 2 * width]
    totals, squares = sums[start : start + width], sums[start + width : start + 2 * width]
    for j in range(width):
        value = np.float64(first[j])
        totals[j] += value
        squares[j] += np.float64(second[j]) + value * value * factor


# --- statistics ---------------------------------------------------------------------------------


@jit.parallel
def _statistics(x, channels, wide, width, scratch, sums, chunks, first_chunk, last_chunk):
    for chunk in prange(first_chunk, last_chunk):  # owns its rows of sums and scratch
        statistics_share(x, channels, wide, width, scratch, sums, chunks, chunk, chunk + 1)


@jit.serial
def statistics_share(x, channels, wide, width, scratch, sums, chunks, first_chunk, last_chunk):
    """Sums of x - shift and of its squares, for every column and chunk; the shift is x's first row.

    Two passes over each block, the second about the block's mean, are as exact as two passes over
    the batch, for one reading of the memory. The shift keeps a large common mean out of the sums.
    """
    for chunk in range(first_chunk, last_chunk):
        start = 2 * chunk * width
        sums[start : start + 2 * width] = 0
        first, last = _whole_rows(x.size, width, chunk, chunks)
        for row in range(first, last, _block_rows(width)):
            rows = min(_block_rows(width), last - row)
            for c in range(0, width, 4 * lanes(x)):
                _block_statistics(x, row * width + c, rows, width, wide, c, scratch, start + c)
            _add_up(scratch, start, width, 1 / rows, sums)
    if last_chunk == chunks:
        start, end = 2 * (chunks - 1) * width, x.size // width * width
        for j in range(x.size - end):
            value = np.float64(x[end + j]) - wide[j]
            sums[start + j] += value
            sums[start + width + j] += value * value


@jit.serial
def _block_statistics(x, place, rows, width, wide, c, scratch, target):
    """Four vectors of columns of a block: sums of x - shift, and of squares about the mean.

    Four at a time, for then the memory is read in order, and an addition need not wait for the
    one before it.
    """
    s0, s1, s2, s3 = _load_four(wide, c)
    zero, share = splat(x, 0.0), splat(x, 1 / rows)
    t0, t1, t2, t3 = zero, zero, zero, zero
    for row in range(rows):
        v0, v1, v2, v3 = _load_four(x, place + row * width)
        t0, t1, t2, t3 = t0 + (v0 - s0), t1 + (v1 - s1), t2 + (v2 - s2), t3 + (v3 - s3)
    m0, m1, m2, m3 = fma(t0, share, s0), fma(t1, share, s1), fma(t2, share, s2), fma(t3, share, s3)
    q0, q1, q2, q3 = zero, zero, zero, zero
    for row in range(rows):
        v0, v1, v2, v3 = _load_four(x, place + row * width)
        v0, v1, v2, v3 = v0 - m0, v1 - m1, v2 - m2, v3 - m3
        q0, q1, q2, q3 = fma(v0, v0, q0), fma(v1, v1, q1), fma(v2, v2, q2), fma(v3, v3, q3)
    _store_four(scratch, target, t0, t1, t2, t3)
    _store_four(scratch, target + width, q0, q1, q2, q3)


@jit.serial
def add_chunks(sums, chunks, width, channels):
    """Add the sums of all chunks, and of a channel's columns, into sums[c] and sums[width + c]."""
    for chunk in range(1, chunks):
        other = sums[2 * chunk * width : 2 * (chunk + 1) * width]
        for j in range(other.size):
            sums[j] += other[j]
    for column in range(channels, width, channels):
        for c in range(channels):
            sums[c] += sums[column + c]
            sums[width + c] += sums[width + column + c]


@jit.serial
def _finish_statistics(x, gamma, beta, eps, sums, chunks, width, mean, variance, inverse_std, wide):
    """Statistics from the sums; wide rows of mean, gamma * inverse_std and beta."""
    channels = mean.size
    rows = x.size // channels
    add_chunks(sums, chunks, width, channels)
    for c in range(channels):
        offset = sums[c] / rows
        spread = max(sums[width + c] / rows - offset * offset, 0.0)
        mean[c] = np.float64(x[c]) + offset
        variance[c] = spread
        inverse_std[c] = 1 / math.sqrt(spread + eps)
        wide[width + c] = gamma[c] * inverse_std[c]
    repeat(mean, wide, 0, width)
    repeat(wide[width : width + channels], wide, width, width)
    repeat(beta, wide, 2 * width, width)


@jit.parallel
def _normalise_all(x, wide, width, added, relu, y, first_chunk, last_chunk):
    for chunk in prange(first_chunk, last_chunk):  # owns a stretch of y
        normalise_share(x, wide, width, added, relu, y, chunk, chunk + 1)


@jit.serial
def normalise_share(x, wide, width, added, relu, y, first_chunk, last_chunk):
    """y = (x - wide[0]) * wide[1] + wide[2] for the wide rows of some chunks; see `finished`."""
    first = _whole_rows(x.size, width, first_chunk, CHUNKS)[0]
    last = _whole_rows(x.size, width, last_chunk - 1, CHUNKS)[1]
    for place in range(first * width, last * width, width):
        for c in range(0, width, lanes(x)):
            v = load(x, place + c) - load(wide, c)
            v = fma(v, load(wide, width + c), load(wide, 2 * width + c))
            store(y, place + c, finished(v, added, place + c, lanes(x), relu))
    if last_chunk == CHUNKS:
        end = last * width
        for c in range(0, x.size - end, lanes(x)):
            left = x.size - end - c
            v = load_part(x, end + c, left) - load(wide, c)
            v = fma(v, load(wide, width + c), load(wide, 2 * width + c))
            store_part(y, end + c, finished(v, added, end + c, left, relu), left)


@jit.serial
def finished(v, added, place, count, relu):
    """What follows the normalisation: ``added``, unless empty, and max(v, 0) if ``relu``."""
    if added.size:
        v = v + load_part(added, place, count)
    return rectified(v) if relu else v


# --- gradient -----------------------------------------------------------------------------------


@jit.serial
def _reaching(d, v, place, wide, width, relu):
    """The part of the gradient d that gets through ReLU; v = x - mean, at a place of wide rows."""
    if relu:
        y = fma(v, load(wide, width + place), load(wide, 4 * width + place))
        d = through_relu(d, y)
    return d


@jit.parallel
def _gradient_sums(dy, x, wide, width, relu, scratch, sums, chunks, first_chunk, last_chunk):
    for chunk in prange(first_chunk, last_chunk):  # owns its rows of sums and scratch
        gradient_sums_share(dy, x, wide, width, relu, scratch, sums, chunks, chunk, chunk + 1)


@jit.serial
def gradient_sums_share(dy, x, wide, width, relu, scratch, sums, chunks, first_chunk, last_chunk):
    """Sums of dy and of dy * (x - mean), for every column and chunk."""
    for chunk in range(first_chunk, last_chunk):
        start = 2 * chunk * width
        sums[start : start + 2 * width] = 0
        first, last = _whole_rows(x.size, width, chunk, chunks)
        for row in range(first, last, _block_rows(width)):
            rows = min(_block_rows(width), last - row)
            for c in range(0, width, 2 * lanes(x)):
                _block_products(
                    dy, x, row * width + c, rows, width, wide, c, relu, scratch, start + c
                )
            _add_up(scratch, start, width, 0.0, sums)
    if last_chunk == chunks:
        start, end = 2 * (chunks - 1) * width, x.size // width * width
        for j in range(0, x.size - end, lanes(x)):
            left = x.size - end - j
            v = load_part(x, end + j, left) - load(wide, j)
            d = _reaching(load_part(dy, end + j, left), v, j, wide, width, relu)
            store_part(scratch, start + j, d, left)
            store_part(scratch, start + width + j, d * v, left)
        for j in range(x.size - end):
            sums[start + j] += np.float64(scratch[start + j])
            sums[start + width + j] += np.float64(scratch[start + width + j])


@jit.serial
def _block_products(dy, x, place, rows, width, wide, c, relu, scratch, target):
    """Two vectors of columns of a block: sums of dy, and of dy * (x - mean).

    Two rows at a time, for an addition should not have to wait for the one before it.
    """
    n = lanes(x)
    m0, m1 = load(wide, c), load(wide, c + n)
    zero = splat(x, 0.0)
    t0, t1, t2, t3 = zero, zero, zero, zero
    p0, p1, p2, p3 = zero, zero, zero, zero
    for _ in range(rows // 2):
        v0, v1 = load(x, place) - m0, load(x, place + n) - m1
        d0 = _reaching(load(dy, place), v0, c, wide, width, relu)
        d1 = _reaching(load(dy, place + n), v1, c + n, wide, width, relu)
        place += width
        v2, v3 = load(x, place) - m0, load(x, place + n) - m1
        d2 = _reaching(load(dy, place), v2, c, wide, width, relu)
        d3 = _reaching(load(dy, place + n), v3, c + n, wide, width, relu)
        place += width
        t0, t1, t2, t3 = t0 + d0, t1 + d1, t2 + d2, t3 + d3
        p0, p1, p2, p3 = fma(d0, v0, p0), fma(d1, v1, p1), fma(d2, v2, p2), fma(d3, v3, p3)
    if rows % 2:
        v0, v1 = load(x, place) - m0, load(x, place + n) - m1
        d0 = _reaching(load(dy, place), v0, c, wide, width, relu)
        d1 = _reaching(load(dy, place + n), v1, c + n, wide, width, relu)
        t0, t1 = t0 + d0, t1 + d1
        p0, p1 = fma(d0, v0, p0), fma(d1, v1, p1)
    store(scratch, target, t0 + t2)
    store(scratch, target + n, t1 + t3)
    store(scratch, target + width, p0 + p2)
    store(scratch, target + width + n, p1 + p3)


@jit.serial
def finish_gradient(gamma, inverse_std, sums, chunks, rows, width, dgamma, dbeta, wide):
    """Gradients from the sums; wide rows of the mean (there already) and of the factors of dx.

    dx = dy * wide[1] + (x - mean) * wide[2] + wide[3]
    """
    channels = gamma.size
    add_chunks(sums, chunks, width, channels)
    for c in range(channels):
        total, product, inverse = sums[c], sums[width + c], np.float64(inverse_std[c])
        dbeta[c] = total
        dgamma[c] = product * inverse
        scale = gamma[c] * inverse
        wide[width + c] = scale
        wide[2 * width + c] = -scale * inverse * inverse * product / rows
        wide[3 * width + c] = -scale * total / rows
    for k in range(1, 4):
        repeat(wide[k * width : k * width + channels], wide, k * width, width)


@jit.parallel
def _gradient(dy, x, wide, width, relu, dx, first_chunk, last_chunk):
    for chunk in prange(first_chunk, last_chunk):  # owns a stretch of dx
        gradient_share(dy, x, wide, width, relu, dx, chunk, chunk + 1)


@jit.serial
def gradient_share(dy, x, wide, width, relu, dx, first_chunk, last_chunk):
    """dx of some chunks."""
    first = _whole_rows(x.size, width, first_chunk, CHUNKS)[0]
    last = _whole_rows(x.size, width, last_chunk - 1, CHUNKS)[1]
    for place in range(first * width, last * width, width):
        for c in range(0, width, lanes(x)):
            v = load(x, place + c) - load(wide, c)
            d = _reaching(load(dy, place + c), v, c, wide, width, relu)
            v = fma(v, load(wide, 2 * width + c), load(wide, 3 * width + c))
            store(dx, place + c, fma(d, load(wide, width + c), v))
    if last_chunk == CHUNKS:
        end = last * width
        for c in range(0, x.size - end, lanes(x)):
            left = x.size - end - c
            v = load_part(x, end + c, left) - load(wide, c)
            d = _reaching(load_part(dy, end + c, left), v, c, wide, width, relu)
            v = fma(v, load(wide, 2 * width + c), load(wide, 3 * width + c))
            store_part(dx, end + c, fma(d, load(wide, width + c), v), left)
