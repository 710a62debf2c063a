"""Numbers of images in another order: what `Flatten`, `Reshape` and `PixelShuffle` need."""

import numpy as np
from numba import prange

from kernels import jit
from kernels.shares import is_small
from kernels.simd import lanes
from kernels.tile import transpose_block

_WORK = 2  # a number's way, in simple operations


def transpose_images(x: np.ndarray, y: np.ndarray) -> None:
    """y[n, j, i] = x[n, i, j];  x (N, rows, columns), y (N, columns, rows), C-contiguous."""
    images, rows, columns = x.shape
    run = _transpose_share if is_small(x.size, _WORK) else _transpose
    run(x.reshape(-1), rows, columns, y.reshape(-1), 0, images)


@jit.parallel
def _transpose(x, rows, columns, y, first, last):
    for n in prange(first, last):  # owns one image of y
        _transpose_share(x, rows, columns, y, n, n + 1)


@jit.serial
def _transpose_share(x, rows, columns, y, first, last):
    for n in range(first, last):
        transpose_image(x, n * rows * columns, rows, columns, y, n * rows * columns)


@jit.serial
def transpose_image(x, x0, rows, columns, y, y0):
    """y[y0 + j * rows + i] = x[x0 + i * columns + j]"""
    step = lanes(x)
    for j in range(0, columns, step):
        for i in range(0, rows, step):
            transpose_block(
                x, x0 + i * columns + j, columns, min(step, rows - i), min(step, columns - j),
                y, y0 + j * rows + i, rows,
            )  # fmt: skip


def shuffle_pixels(x: np.ndarray, y: np.ndarray, factor: int, back: bool = False) -> None:
    """y[n, h * r + i, w * r + j, c] = x[n, h, w, c * r * r + i * r + j], r the factor.

    x (N, H, W, C * r * r), y (N, H * r, W * r, C), C-contiguous; back: x is overwritten from y.
    """
    batch, height, width, _ = x.shape
    run = _shuffle_share if is_small(x.size, _WORK) else _shuffle
    run(x.reshape(-1), width, y.shape[3], factor, back, y.reshape(-1), 0, batch * height)


@jit.parallel
def _shuffle(x, width, channels, factor, back, y, first, last):
    for row in prange(first, last):  # owns a row of x, and as many rows of y as the factor
        _shuffle_share(x, width, channels, factor, back, y, row, row + 1)


@jit.serial
def _shuffle_share(x, width, channels, factor, back, y, first, last):
    for row in range(first, last):
        for i in range(factor):
            for column in range(width * factor):
                w, j = column // factor, column % factor
                y_at = ((row * factor + i) * width * factor + column) * channels
                x_at = ((row * width + w) * channels * factor + i) * factor + j
                for c in range(channels):
                    if back:
                        x[x_at + c * factor * factor] = y[y_at + c]
                    else:
                        y[y_at + c] = x[x_at + c * factor * factor]
