"""Images of another size, each pixel a weighted sum of a few: padding, and scaling up or down.

    y[row, column] = sum over the taps t of the row and u of the column of
                     rows.weight[row, t] * columns.weight[column, u] * x[rows.table[row, t],
                                                                        columns.table[column, u]]

A pixel that has no taps, in its row or its column, is a constant. Images are (N, H, W, C),
C-contiguous, float32 or float64; results are overwritten.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from kernels import jit
from kernels.shares import is_small
from kernels.simd import lanes, load_part, splat, store_part
from kernels.tile import fill_row


class Taps(NamedTuple):
    """Of one axis: what each output is made of.

    Attributes
    ----------
    table : array
        Int64 (outputs, 3): two inputs, and how many of the two count.
    weight : array
        Float64 (outputs, 2).
    """

    table: np.ndarray
    weight: np.ndarray


def copies(index: np.ndarray) -> Taps:
    """Output o is input index[o]; where that is negative it has no taps."""
    index = np.asarray(index, np.int64)
    place = np.maximum(index, 0)
    return _taps([place, place, index >= 0], [np.ones(len(index))] * 2)


def between(place: np.ndarray, size: int) -> Taps:
    """Output o lies at a place among the inputs 0 ... size - 1, and is mixed of its neighbours."""
    first = np.minimum(place.astype(np.int64), size - 1)
    second = np.minimum(first + 1, size - 1)
    far = place - first
    count = np.where((far > 0) & (second > first), 2, 1)
    return _taps([first, second, count], [np.where(count == 2, 1 - far, 1.0), far])


def _taps(table: list[np.ndarray], weight: list[np.ndarray]) -> Taps:
    """Taps from the columns of both arrays."""
    return Taps(np.stack(table, axis=1), np.stack(weight, axis=1))


def resample(x: np.ndarray, rows: Taps, columns: Taps, constant: float, y: np.ndarray) -> None:
    """y as the taps say."""
    _call(x, rows, columns, constant, False, y)


def resample_backward(dy: np.ndarray, rows: Taps, columns: Taps, dx: np.ndarray) -> None:
    """dx = the sum of dy * weight over the outputs that a pixel is a tap of."""
    _call(dx, rows, columns, 0.0, True, dy)


def _call(
    x: np.ndarray, rows: Taps, columns: Taps, constant: float, back: bool, y: np.ndarray
) -> None:
    run = _resample_share if is_small(y.size, work=4) else _resample
    run(
        x.reshape(-1), *rows, *columns, (*x.shape[1:3], x.shape[3]), float(constant), back,
        y.reshape(-1), 0, len(x),
    )  # fmt: skip


@jit.parallel
def _resample(x, rows, row_weight, columns, column_weight, sizes, constant, back, y, first, last):
    for n in prange(first, last):  # owns an image of the result
        _resample_share(
            x, rows, row_weight, columns, column_weight, sizes, constant, back, y, n, n + 1
        )


@jit.serial
def _resample_share(
    x, rows, row_weight, columns, column_weight, sizes, constant, back, y, first, last
):
    height, width, channels = sizes
    out_height, out_width = len(rows), len(columns)
    for n in range(first, last):
        x0, y0 = n * height * width * channels, n * out_height * out_width * channels
        if back:
            fill_row(x, x0, height * width * channels)
        for row in range(out_height):
            for column in range(out_width):
                y_at = y0 + (row * out_width + column) * channels
                empty = rows[row, 2] * columns[column, 2] == 0
                for c in range(0, channels, lanes(y)):
                    left = channels - c
                    v = load_part(y, y_at + c, left)
                    sums = splat(y, constant if empty else 0.0)
                    for t in range(rows[row, 2]):
                        line = x0 + rows[row, t] * width * channels + c
                        for u in range(columns[column, 2]):
                            at = line + columns[column, u] * channels
                            weight = splat(y, row_weight[row, t] * column_weight[column, u])
                            here = load_part(x, at, left)
                            if back:
                                store_part(x, at, here + v * weight, left)
                            else:
                                sums = sums + here * weight
                    if not back:
                        store_part(y, y_at + c, sums, left)
