"""From channels last to channels first and back: what `Flatten` needs."""

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
