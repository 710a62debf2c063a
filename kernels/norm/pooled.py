"""Batch normalisation, 2 x 2 max pooling and perhaps ReLU in one pass (see `batch`, `pool`).

    x          (N, H, W, C)
    y, dy      (N, H // 2, W // 2, C), index likewise: uint8, which of the four was the largest

The normalised images are never written: forward reads x twice (statistics, then normalise and
pool). Of the gradient only its sums are formed here; `gradient_source` makes it image by image.
Nothing is checked.
"""

import numpy as np
from numba import prange

from kernels import jit
from kernels.norm.batch import batch_statistics
from kernels.norm.batch_gradient import finish_gradient
from kernels.norm.wide_rows import BETA, FACTORS, LEVEL, MEAN, SCALE, SLOPE, begin
from kernels.pool.image import max_of_four
from kernels.simd import (
    fma,
    lanes,
    load_index,
    load_part,
    splat,
    store_index,
    store_part,
    where,
)
from kernels.simd.mathematics import rectified, through_relu
from kernels.workspace import Workspace


def norm_pool_training(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    eps: float,
    y: np.ndarray,
    index: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    inverse_std: np.ndarray,
    relu: bool,
    workspace: Workspace,
    sums: np.ndarray | None = None,
) -> None:
    """y = the largest of each four of  gamma * (x - mean) * inverse_std + beta, 0 at least if relu.

    mean, variance, inverse_std : (C,), filled in as `batch_norm_training` does
    sums : as in `batch_statistics`
    """
    factors, factors_row = batch_statistics(
        x, gamma, beta, eps, mean, variance, inverse_std, workspace, sums
    )
    sizes = (*x.shape[1:3], *y.shape[1:])
    flat = y.reshape(-1), index.reshape(-1)
    _pool(x.reshape(-1), factors, factors_row, relu, *flat, sizes, 0, len(x))


@jit.parallel
def _pool(x, factors, factors_row, relu, y, index, sizes, first, last):
    for n in prange(first, last):  # owns one image of y and index
        _pool_image(x, n, factors, factors_row, relu, y, index, sizes)


@jit.serial
def _pool_image(x, n, factors, factors_row, relu, y, index, sizes):
    height, width, out_height, out_width, channels = sizes
    x0, y0 = n * height * width * channels, n * out_height * out_width * channels
    for c in range(0, channels, lanes(x)):
        rest = channels - c
        mean = load_part(factors, MEAN * factors_row + c, rest)
        scale = load_part(factors, SCALE * factors_row + c, rest)
        beta = load_part(factors, BETA * factors_row + c, rest)
        for row in range(out_height):
            upper = x0 + 2 * row * width * channels + c
            target = y0 + row * out_width * channels + c
            for _ in range(out_width):
                lower = upper + width * channels
                best, which = max_of_four(
                    fma(load_part(x, upper, rest) - mean, scale, beta),
                    fma(load_part(x, upper + channels, rest) - mean, scale, beta),
                    fma(load_part(x, lower, rest) - mean, scale, beta),
                    fma(load_part(x, lower + channels, rest) - mean, scale, beta),
                )
                if relu:
                    best = rectified(best)
                store_part(y, target, best, rest)
                store_index(index, target, which, rest)
                upper += 2 * channels
                target += channels


# --- gradient -----------------------------------------------------------------------------------


def norm_pool_factors(
    dy: np.ndarray,
    y: np.ndarray,
    index: np.ndarray,
    x: np.ndarray,
    gamma: np.ndarray,
    mean: np.ndarray,
    inverse_std: np.ndarray,
    relu: bool,
    dgamma: np.ndarray,
    dbeta: np.ndarray,
    workspace: Workspace,
) -> np.ndarray:
    """dgamma, dbeta, and rows of C factors from which `spread_image` makes the gradient."""
    channels, portion = x.shape[3], workspace.portion
    sizes = (*x.shape[1:3], *dy.shape[1:])
    borders = portion.image_borders(len(x))
    chunks = len(borders) - 1
    sums = workspace.array("norm_sums", (2 * chunks * channels,), np.float64)
    scratch = workspace.array("norm_scratch", (chunks, 2 * channels), x.dtype)
    factors = workspace.array("norm_factors", (FACTORS * channels,), x.dtype)
    begin(mean, gamma, inverse_std, mean[:0], factors, channels)
    flat = dy.reshape(-1), y.reshape(-1), index.reshape(-1), x.reshape(-1)
    _sums(*flat, factors, sizes, borders, relu, scratch, sums)
    rows = portion.images(len(x)) * (x[0].size // channels)
    chunks = portion.totals(sums, chunks)
    finish_gradient(gamma, inverse_std, sums, chunks, rows, channels, dgamma, dbeta, factors)
    portion.settle(dgamma, dbeta)
    return factors


@jit.parallel
def _sums(dy, y, index, x, factors, sizes, borders, relu, scratch, sums):
    for chunk in prange(scratch.shape[0]):  # owns its rows of scratch and sums
        first, last = borders[chunk], borders[chunk + 1]
        _sums_share(dy, y, index, x, factors, sizes, first, last, relu, scratch[chunk], sums, chunk)


@jit.serial
def _sums_share(dy, y, index, x, factors, sizes, first, last, relu, scratch, sums, chunk):
    """Sums of dy, and of dy * (x - mean) at the maxima: in float64 from image to image."""
    channels = scratch.size // 2
    start = 2 * chunk * channels
    sums[start : start + 2 * channels] = 0
    for n in range(first, last):
        _sum_image(dy, y, index, x, factors, sizes, n, relu, scratch)
        for c in range(channels):
            sums[start + c] += np.float64(scratch[c])
            sums[start + channels + c] += np.float64(scratch[channels + c])


@jit.serial
def _sum_image(dy, y, index, x, factors, sizes, n, relu, scratch):
    height, width, out_height, out_width, channels = sizes
    x0, y0 = n * height * width * channels, n * out_height * out_width * channels
    one, two, three = splat(x, 1.0), splat(x, 2.0), splat(x, 3.0)
    for c in range(0, channels, lanes(x)):
        rest = channels - c
        mean = load_part(factors, MEAN * channels + c, rest)
        total, product = splat(x, 0.0), splat(x, 0.0)
        for row in range(out_height):
            upper = x0 + 2 * row * width * channels + c
            at = y0 + row * out_width * channels + c
            for _ in range(out_width):
                lower = upper + width * channels
                which = load_index(index, at, rest, one)
                largest = load_part(x, upper, rest)
                largest = where(which == one, load_part(x, upper + channels, rest), largest)
                largest = where(which == two, load_part(x, lower, rest), largest)
                largest = where(which == three, load_part(x, lower + channels, rest), largest)
                gradient = load_part(dy, at, rest)
                if relu:
                    gradient = through_relu(gradient, load_part(y, at, rest))
                total = total + gradient
                product = fma(gradient, largest - mean, product)
                upper += 2 * channels
                at += channels
        store_part(scratch, c, total, rest)
        store_part(scratch, channels + c, product, rest)


@jit.serial
def spread_image(dy, dy0, index, index0, x, x0, factors, sizes, dx, dx0):
    """dx = (x - mean) * slope + level, and dy * scale on top at the maxima, of one image.

    factors : rows of ``channels`` numbers
    """
    height, width, out_height, out_width, channels = sizes
    to, which0 = dx0 - x0, index0 - dy0
    zero, one, two, three = splat(x, 0.0), splat(x, 1.0), splat(x, 2.0), splat(x, 3.0)
    for c in range(0, channels, lanes(x)):
        rest = channels - c
        mean = load_part(factors, MEAN * channels + c, rest)
        scale = load_part(factors, SCALE * channels + c, rest)
        slope = load_part(factors, SLOPE * channels + c, rest)
        level = load_part(factors, LEVEL * channels + c, rest)
        for row in range(out_height):
            upper = x0 + 2 * row * width * channels + c
            at = dy0 + row * out_width * channels + c
            for _ in range(out_width):
                lower = upper + width * channels
                which = load_index(index, which0 + at, rest, one)
                gradient = load_part(dy, at, rest)
                v = fma(load_part(x, upper, rest) - mean, slope, level)
                v = fma(where(which == zero, gradient, zero), scale, v)
                store_part(dx, to + upper, v, rest)
                v = fma(load_part(x, upper + channels, rest) - mean, slope, level)
                v = fma(where(which == one, gradient, zero), scale, v)
                store_part(dx, to + upper + channels, v, rest)
                v = fma(load_part(x, lower, rest) - mean, slope, level)
                v = fma(where(which == two, gradient, zero), scale, v)
                store_part(dx, to + lower, v, rest)
                v = fma(load_part(x, lower + channels, rest) - mean, slope, level)
                v = fma(where(which == three, gradient, zero), scale, v)
                store_part(dx, to + lower + channels, v, rest)
                upper += 2 * channels
                at += channels
        # What no window covers: an odd last column, an odd last row.
        for row in range(height):
            first = 2 * out_width if row < 2 * out_height else 0
            for column in range(first, width):
                at = x0 + (row * width + column) * channels + c
                v = fma(load_part(x, at, rest) - mean, slope, level)
                store_part(dx, to + at, v, rest)
