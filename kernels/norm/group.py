"""Group normalisation: every image by itself, over its pixels and the channels of a group.

    y = gamma * (x - mean) * inverse_std + beta,    inverse_std = 1 / sqrt(variance + eps)

(Wu and He 2018), mean and variance of one image and one group of neighbouring channels. Arrays are
C-contiguous, float32 or float64, all of one dtype: x, y, dy, dx (N, pixels, C), gamma, beta (C,),
mean, inverse_std (N, groups); results are overwritten. Nothing is checked, which is the layers'
work.

An image is what one thread has in its cache, so that all of an image's work is done before the
next is read. Its channels are summed and scaled by what `batch` does with a batch, read in wide
rows. Vectors, images of one pixel, have no rows to sum: there a group is a stretch of memory, and
several small groups fit in a register.
"""

import math

import numpy as np
from numba import prange

from kernels import jit
from kernels.norm.batch import finished, normalise_share, statistics_share
from kernels.norm.batch_gradient import gradient_share, gradient_sums_share
from kernels.norm.wide_rows import (
    BETA,
    FACTORS,
    LEVEL,
    MEAN,
    SCALE,
    SLOPE,
    add_chunks,
    fold,
    repeat,
    repeat_row,
)
from kernels.portion import chunks_of
from kernels.shares import CHUNKS, is_small
from kernels.simd import (
    first_lanes,
    fma,
    group_totals,
    lanes,
    load_part,
    splat,
    sqrt,
    store_part,
    total,
    where,
)
from kernels.simd.mathematics import through_relu
from kernels.tree import chunk_sum
from kernels.workspace import Workspace

_COLUMNS = fold(1)  # of a wide row of one channel


def group_norm(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    eps: float,
    y: np.ndarray,
    mean: np.ndarray,
    inverse_std: np.ndarray,
    workspace: Workspace,
    shortcut: np.ndarray | None = None,
    relu: bool = False,
) -> None:
    """Normalise; then add a shortcut, then max(y, 0).

    x, y : (N, pixels, C), may be the same array; shortcut likewise, None for no addition
    mean, inverse_std : (N, groups), filled in; the variance is the biased one
    """
    width, sums, factors = _room(x, chunks_of(len(x)), workspace)
    added = x.reshape(-1)[:0] if shortcut is None else shortcut.reshape(-1)
    arrays = (x.reshape(-1), added, y.reshape(-1))
    parameters = (gamma, beta, float(eps), relu, mean, inverse_std)
    run = _forward_share if is_small(x.size, work=2) else _forward
    run(arrays, parameters, width, sums, factors, len(sums), 0, len(sums))


def group_norm_backward(
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
    """Gradients, through mean and variance too. With z = (x - mean) * inverse_std:

        dbeta = sum of dy,    dgamma = sum of dy * z      over all images and pixels
        dx = inverse_std * (gamma * dy - mean of (gamma * dy) - z * mean of (gamma * dy * z))

    where the means are over a group of an image.

    dy, x, dx : (N, pixels, C); dx may be dy
    mean, inverse_std : (N, groups), as `group_norm` filled them in
    beta : (C,) if max(y, 0) followed the normalisation: then dy reaches the places where y > 0
        only. They are found by computing y again.
    """
    borders = workspace.portion.image_borders(len(x))
    width, sums, factors = _room(x, len(borders) - 1, workspace)
    arrays = (dy.reshape(-1), x.reshape(-1), dx.reshape(-1))
    relu = beta is not None
    parameters = (gamma, beta if relu else gamma, relu, mean, inverse_std)
    run = _backward_share if is_small(x.size, work=2) else _backward
    run(arrays, parameters, width, sums, factors, borders, 0, len(sums))
    _add_totals(sums, factors, dgamma, dbeta)


def _room(x: np.ndarray, chunks: int, workspace: Workspace):
    """Width of a wide row, and what each chunk has for itself.

    sums (float64): the channels' gradients (2 rows) and the columns of an image (2).
    factors: behind those of `wide_rows` the columns of a block (2 rows).
    """
    width = fold(x.shape[2]) * x.shape[2]
    sums = workspace.array("group_norm_sums", (chunks, 4 * width), np.float64)
    factors = workspace.array("group_norm_factors", (chunks, (FACTORS + 2) * width), x.dtype)
    return width, sums, factors


@jit.parallel
def _forward(arrays, parameters, width, sums, factors, chunks, first_chunk, last_chunk):
    for chunk in prange(first_chunk, last_chunk):  # owns some images of y, their mean, and scratch
        _forward_share(arrays, parameters, width, sums, factors, chunks, chunk, chunk + 1)


@jit.serial
def _forward_share(arrays, parameters, width, sums, factors, chunks, first_chunk, last_chunk):
    x, added, y = arrays
    gamma, beta, eps, relu, mean, inverse_std = parameters
    (batch, groups), size = mean.shape, x.size // len(mean)
    for chunk in range(first_chunk, last_chunk):
        repeat(beta, factors[chunk], BETA * width, width)
        for n in range(batch * chunk // chunks, batch * (chunk + 1) // chunks):
            start, stop = n * size, (n + 1) * size
            images = x[start:stop], added[start:stop], y[start:stop]
            statistics = mean[n], inverse_std[n]
            if size == gamma.size and _fits(x, size // groups):
                _normalise_small_groups(images, gamma, beta, eps, relu, statistics, factors[chunk])
            elif size == gamma.size:
                _normalise_vector(images, gamma, beta, eps, relu, statistics)
            else:
                _normalise_image(
                    images, gamma, eps, relu, statistics, width, sums[chunk], factors[chunk]
                )


@jit.parallel
def _backward(arrays, parameters, width, sums, factors, borders, first_chunk, last_chunk):
    for chunk in prange(first_chunk, last_chunk):  # owns some images of dx, a row of sums, scratch
        _backward_share(arrays, parameters, width, sums, factors, borders, chunk, chunk + 1)


@jit.serial
def _backward_share(arrays, parameters, width, sums, factors, borders, first_chunk, last_chunk):
    dy, x, dx = arrays
    gamma, beta, relu, mean, inverse_std = parameters
    (_, groups), channels, size = mean.shape, gamma.size, x.size // len(mean)
    for chunk in range(first_chunk, last_chunk):
        totals, rows = sums[chunk, : 2 * channels], factors[chunk]
        totals[:] = 0
        rows[: 2 * channels] = 0  # totals of vectors; statistics of small groups come behind
        repeat(beta, rows, BETA * width, width)
        for n in range(borders[chunk], borders[chunk + 1]):
            start, stop = n * size, (n + 1) * size
            images = dy[start:stop], x[start:stop], dx[start:stop]
            statistics = mean[n], inverse_std[n]
            if size == channels and _fits(x, channels // groups):
                _spread_small_groups(images, gamma, beta, relu, statistics, rows)
            elif size == channels:
                _spread_vector(images, gamma, beta, relu, statistics, rows)
            else:
                _spread_image(images, gamma, relu, statistics, width, sums[chunk], rows)
        if size == channels:
            for c in range(2 * channels):
                totals[c] = rows[c]


@jit.serial
def _add_totals(sums, factors, dgamma, dbeta):
    """Chunks' sums, rounded before they are added: other processes add theirs to the result."""
    channels = dbeta.size
    for chunk in range(len(sums)):
        for c in range(2 * channels):
            factors[chunk, c] = sums[chunk, c]
    for c in range(0, channels, lanes(dbeta)):
        rest = channels - c
        store_part(dbeta, c, chunk_sum(factors, c, rest), rest)
        store_part(dgamma, c, chunk_sum(factors, channels + c, rest), rest)


# --- one image: (pixels, C) -----------------------------------------------------------------------


@jit.serial
def _repeat_by_group(values, channels, factors, start, width):
    """A wide row from a value for each group."""
    group = channels // values.size
    for g in range(values.size):
        value = values[g]
        for c in range(start + g * group, start + (g + 1) * group):
            factors[c] = value
    repeat(factors[start : start + channels], factors, start, width)


@jit.serial
def _normalise_image(images, gamma, eps, relu, statistics, width, sums, factors):
    x, added, y = images
    mean, inverse_std = statistics
    channels, groups = gamma.size, mean.size
    group = channels // groups
    # All channels of an image are one stretch of memory, wherever a row begins.
    period = 1 if groups == 1 else channels
    columns = _COLUMNS if groups == 1 else width
    columns_sums, scratch = sums[: 2 * columns], factors[FACTORS * width :]
    for g in range(groups):
        mean[g] = x[g * group]
    _repeat_by_group(mean, period, factors, MEAN * width, columns)
    statistics_share(x, factors, MEAN * width, columns, scratch, columns_sums, 0, 0, x.size)
    add_chunks(columns_sums, 1, columns, period)
    count = x.size // groups
    for g in range(groups):
        offset, square = 0.0, 0.0
        for c in range(g * period // groups, (g + 1) * period // groups):
            offset += columns_sums[c]
            square += columns_sums[columns + c]
        offset, square = offset / count, square / count
        mean[g] += offset
        inverse_std[g] = 1 / math.sqrt(max(square - offset * offset, 0.0) + eps)
        level, inverse = mean[g], inverse_std[g]
        for c in range(g * group, (g + 1) * group):
            factors[MEAN * width + c] = level
            factors[SCALE * width + c] = gamma[c] * inverse
    for row in (MEAN, SCALE):
        repeat_row(factors, row, channels, width)
    normalise_share(x, factors, width, added, relu, y, 0, CHUNKS)


@jit.serial
def _spread_image(images, gamma, relu, statistics, width, sums, factors):
    dy, x, dx = images
    mean, inverse_std = statistics
    channels, groups = gamma.size, mean.size
    group, count = channels // groups, x.size // groups
    totals, columns = sums[: 2 * channels], sums[2 * width :]
    for g in range(groups):
        level, scale = mean[g], inverse_std[g]
        for c in range(g * group, (g + 1) * group):
            factors[MEAN * width + c] = level
            factors[SCALE * width + c] = gamma[c] * scale
    for row in (MEAN, SCALE):
        repeat_row(factors, row, channels, width)
    scratch = factors[FACTORS * width :]
    gradient_sums_share(dy, x, factors, width, relu, scratch, columns, 0, 0, x.size)
    add_chunks(columns, 1, width, channels)
    for g in range(groups):
        inverse, total_dy, product = np.float64(inverse_std[g]), 0.0, 0.0
        for c in range(g * group, (g + 1) * group):
            totals[c] += columns[c]
            totals[channels + c] += columns[width + c] * inverse
            total_dy += gamma[c] * columns[c]
            product += gamma[c] * columns[width + c]
        slope = -inverse * inverse * inverse * product / count
        level = -inverse * total_dy / count
        for c in range(g * group, (g + 1) * group):
            factors[SLOPE * width + c] = slope
            factors[LEVEL * width + c] = level
    for row in (SLOPE, LEVEL):
        repeat_row(factors, row, channels, width)
    gradient_share(dy, x, factors, width, relu, dx, 0, CHUNKS)


# --- one vector: (C,) -----------------------------------------------------------------------------


@jit.serial
def _normalise_vector(vectors, gamma, beta, eps, relu, statistics):
    x, added, y = vectors
    mean, inverse_std = statistics
    group, zero = gamma.size // mean.size, splat(x, 0.0)
    for g in range(mean.size):
        first, last = g * group, (g + 1) * group
        sums = zero
        for c in range(first, last, lanes(x)):
            sums = sums + load_part(x, c, last - c)
        mean[g] = total(sums) / group
        shift, sums, squares = splat(x, mean[g]), zero, zero
        for c in range(first, last, lanes(x)):
            v = load_part(x, c, last - c) - shift
            v = where(first_lanes(v, last - c), v, zero)
            sums, squares = sums + v, fma(v, v, squares)
        # The mean of what remains is not quite 0, as the first sum was rounded.
        offset, square = total(sums) / group, total(squares) / group
        mean[g] += offset
        inverse_std[g] = 1 / math.sqrt(max(square - offset * offset, 0.0) + eps)
        shift, inverse = splat(x, mean[g]), splat(x, inverse_std[g])
        for c in range(first, last, lanes(x)):
            left = last - c
            v = load_part(x, c, left) - shift
            v = fma(v, load_part(gamma, c, left) * inverse, load_part(beta, c, left))
            store_part(y, c, finished(v, added, c, left, relu), left)


@jit.serial
def _spread_vector(vectors, gamma, beta, relu, statistics, rows):
    """dx, and what this vector adds to dbeta (rows[:C]) and dgamma (rows[C : 2 * C])."""
    dy, x, dx = vectors
    mean, inverse_std = statistics
    channels = gamma.size
    group, zero = channels // mean.size, splat(x, 0.0)
    for g in range(mean.size):
        first, last = g * group, (g + 1) * group
        shift, inverse = splat(x, mean[g]), splat(x, inverse_std[g])
        sums, products = zero, zero
        for c in range(first, last, lanes(x)):
            left = last - c
            v, factor = load_part(x, c, left) - shift, load_part(gamma, c, left)
            d = load_part(dy, c, left)
            if relu:
                d = through_relu(d, fma(v, factor * inverse, load_part(beta, c, left)))
            store_part(rows, c, load_part(rows, c, left) + d, left)
            at, z = channels + c, v * inverse
            store_part(rows, at, fma(d, z, load_part(rows, at, left)), left)
            sums = fma(d, factor, sums)
            products = fma(d * factor, z, products)
        level = splat(x, -inverse_std[g] * total(sums) / group)
        slope = splat(x, -inverse_std[g] * inverse_std[g] * total(products) / group)
        for c in range(first, last, lanes(x)):
            left = last - c
            v, factor = load_part(x, c, left) - shift, load_part(gamma, c, left) * inverse
            d = load_part(dy, c, left)
            if relu:
                d = through_relu(d, fma(v, factor, load_part(beta, c, left)))
            store_part(dx, c, fma(d, factor, fma(v, slope, level)), left)


# --- one vector with small groups: (C,) -----------------------------------------------------------


@jit.serial
def _fits(x, group):
    """Whether a register holds whole groups only, so that each can be summed within it."""
    return group <= lanes(x) and lanes(x) % group == 0


@jit.serial
def _normalise_small_groups(vectors, gamma, beta, eps, relu, statistics, scratch):
    x, added, y = vectors
    mean, inverse_std = statistics
    channels = gamma.size
    group = channels // mean.size
    share, least, zero, one = splat(x, 1 / group), splat(x, eps), splat(x, 0.0), splat(x, 1.0)
    for c in range(0, channels, lanes(x)):
        left = channels - c
        numbers = load_part(x, c, left)
        shift = group_totals(numbers, group) * share
        v = numbers - shift
        # The mean of what remains is not quite 0, as the first sum was rounded.
        offset, square = group_totals(v, group) * share, group_totals(v * v, group) * share
        shift, variance = shift + offset, square - offset * offset
        inverse = one / sqrt(where(zero > variance, zero, variance) + least)
        store_part(scratch, c, shift, left)
        store_part(scratch, channels + c, inverse, left)
        factor = load_part(gamma, c, left) * inverse
        v = fma(numbers - shift, factor, load_part(beta, c, left))
        store_part(y, c, finished(v, added, c, left, relu), left)
    for g in range(mean.size):
        mean[g], inverse_std[g] = scratch[g * group], scratch[channels + g * group]


@jit.serial
def _spread_small_groups(vectors, gamma, beta, relu, statistics, rows):
    """As `_spread_vector`; rows[2 * C:] are for the statistics, in every lane of a group."""
    dy, x, dx = vectors
    mean, inverse_std = statistics
    channels = gamma.size
    group, share = channels // mean.size, splat(x, mean.size / channels)
    for g in range(mean.size):
        at = 2 * channels + g * group
        store_part(rows, at, splat(x, mean[g]), group)
        store_part(rows, channels + at, splat(x, inverse_std[g]), group)
    for c in range(0, channels, lanes(x)):
        left, at = channels - c, channels + c
        v = load_part(x, c, left) - load_part(rows, channels + at, left)
        inverse, factor = load_part(rows, 2 * channels + at, left), load_part(gamma, c, left)
        d, z = load_part(dy, c, left), v * inverse
        if relu:
            d = through_relu(d, fma(v, factor * inverse, load_part(beta, c, left)))
        store_part(rows, c, load_part(rows, c, left) + d, left)
        store_part(rows, at, fma(d, z, load_part(rows, at, left)), left)
        d = d * factor
        level, slope = group_totals(d, group) * share, group_totals(d * z, group) * share
        store_part(dx, c, (d - level - z * slope) * inverse, left)
