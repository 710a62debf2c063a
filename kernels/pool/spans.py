"""Pooling over spans (`kernels.spans`): each thread takes whole images.

    x, dx  (N, H, W, C)        y, dy  (N, rows, columns, C)

Arrays are C-contiguous, float32 or float64; results are overwritten.
"""

import numpy as np
from numba import prange

from kernels import jit
from kernels.shares import is_small
from kernels.simd import (
    lanes,
    load_index,
    load_part,
    overtakes,
    splat,
    store_index,
    store_part,
    where,
)
from kernels.spans import COUNT, DIVISOR, PLACE, START, Spans
from kernels.tile import fill_row

_NO_INDEX = np.empty(0, np.uint8)


def max_pool_spans_forward(
    x: np.ndarray, rows: Spans, columns: Spans, y: np.ndarray, index: np.ndarray
) -> None:
    """y = the largest value of each window; index = i * columns.window + j of the first one."""
    _forward(x, rows, columns, True, y, index)


def average_pool_spans_forward(x: np.ndarray, rows: Spans, columns: Spans, y: np.ndarray) -> None:
    """y = the sum of each window / (its divisor by rows * that by columns)."""
    _forward(x, rows, columns, False, y, _NO_INDEX)


def max_pool_spans_backward(
    dy: np.ndarray, index: np.ndarray, rows: Spans, columns: Spans, dx: np.ndarray
) -> None:
    """dx = the sum of dy over the windows in which the pixel was the (first) maximum."""
    _backward(dy, index, rows, columns, True, dx)


def average_pool_spans_backward(
    dy: np.ndarray, rows: Spans, columns: Spans, dx: np.ndarray
) -> None:
    """dx = the sum of dy / divisors over the windows that hold the pixel."""
    _backward(dy, _NO_INDEX, rows, columns, False, dx)


def _forward(
    x: np.ndarray, rows: Spans, columns: Spans, maximum: bool, y: np.ndarray, index: np.ndarray
) -> None:
    sizes = (*x.shape[1:3], *y.shape[1:], rows.step, columns.step, columns.window)
    run = _pool_share if is_small(x.size) else _pool
    run(
        x.reshape(-1), rows.table, columns.table, sizes, maximum, y.reshape(-1), index.reshape(-1),
        0, len(x),
    )  # fmt: skip


def _backward(
    dy: np.ndarray, index: np.ndarray, rows: Spans, columns: Spans, maximum: bool, dx: np.ndarray
) -> None:
    sizes = (*dx.shape[1:3], *dy.shape[1:], rows.step, columns.step, columns.window)
    run = _spread_share if is_small(dx.size) else _spread
    run(
        dy.reshape(-1), index.reshape(-1), rows.table, columns.table, sizes, maximum,
        dx.reshape(-1), 0, len(dx),
    )  # fmt: skip


# --- the loops over images; each iteration owns one image of the result --------------------------


@jit.parallel
def _pool(x, rows, columns, sizes, maximum, y, index, first, last):
    for n in prange(first, last):
        _pool_share(x, rows, columns, sizes, maximum, y, index, n, n + 1)


@jit.serial
def _pool_share(x, rows, columns, sizes, maximum, y, index, first, last):
    height, width, out_height, out_width, channels, row_step, column_step, window_w = sizes
    for n in range(first, last):
        x0, y0 = n * height * width * channels, n * out_height * out_width * channels
        for row in range(out_height):
            for column in range(out_width):
                places = rows[row, DIVISOR] * columns[column, DIVISOR]
                corner = (rows[row, START] * width + columns[column, START]) * channels + x0
                y_at = (row * out_width + column) * channels + y0
                first_place = rows[row, PLACE] * window_w + columns[column, PLACE]
                for c in range(0, channels, lanes(x)):
                    left = channels - c
                    best = load_part(x, corner + c, left)
                    sums = splat(x, 0.0)
                    which = splat(x, first_place)
                    for i in range(rows[row, COUNT]):
                        for j in range(columns[column, COUNT]):
                            x_at = corner + (i * row_step * width + j * column_step) * channels + c
                            v = load_part(x, x_at, left)
                            if maximum:
                                larger = overtakes(v, best)
                                best = where(larger, v, best)
                                place = splat(x, first_place + i * window_w + j)
                                which = where(larger, place, which)
                            else:
                                sums = sums + v
                    if maximum:
                        store_part(y, y_at + c, best, left)
                        store_index(index, y_at + c, which, left)
                    else:
                        store_part(y, y_at + c, sums / splat(x, places), left)


@jit.parallel
def _spread(dy, index, rows, columns, sizes, maximum, dx, first, last):
    for n in prange(first, last):
        _spread_share(dy, index, rows, columns, sizes, maximum, dx, n, n + 1)


@jit.serial
def _spread_share(dy, index, rows, columns, sizes, maximum, dx, first, last):
    height, width, out_height, out_width, channels, row_step, column_step, window_w = sizes
    zero = splat(dx, 0.0)
    for n in range(first, last):
        dx0, dy0 = n * height * width * channels, n * out_height * out_width * channels
        fill_row(dx, dx0, height * width * channels)
        for row in range(out_height):
            for column in range(out_width):
                divisor = splat(dx, rows[row, DIVISOR] * columns[column, DIVISOR])
                corner = (rows[row, START] * width + columns[column, START]) * channels + dx0
                dy_at = (row * out_width + column) * channels + dy0
                first_place = rows[row, PLACE] * window_w + columns[column, PLACE]
                for c in range(0, channels, lanes(dx)):
                    left = channels - c
                    gradient = load_part(dy, dy_at + c, left)
                    share, which = gradient / divisor, zero
                    if maximum:
                        which = load_index(index, dy_at + c, left, gradient)
                    for i in range(rows[row, COUNT]):
                        for j in range(columns[column, COUNT]):
                            at = corner + (i * row_step * width + j * column_step) * channels + c
                            if maximum:
                                here = which == splat(dx, first_place + i * window_w + j)
                                share = where(here, gradient, zero)
                            store_part(dx, at, load_part(dx, at, left) + share, left)
