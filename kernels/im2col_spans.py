"""Pooling over spans (`kernels.spans`) for the "im2col" backend: a place of all windows at once."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from kernels.spans import COUNT, DIVISOR, PLACE, START, Spans


def _places(rows: Spans, columns: Spans) -> Iterator[tuple[Any, Any, np.ndarray]]:
    """Every place in row-major order: y[outputs] and x[inputs] of it, and its number (rows, 1)."""
    everything = slice(None)
    for i in range(int(rows.table[:, COUNT].max())):
        y_rows = np.flatnonzero(rows.table[:, COUNT] > i)
        x_rows = rows.table[y_rows, START] + i * rows.step
        for j in range(int(columns.table[:, COUNT].max())):
            y_columns = np.flatnonzero(columns.table[:, COUNT] > j)
            x_columns = columns.table[y_columns, START] + j * columns.step
            number = (rows.table[y_rows, PLACE, None] + i) * columns.window + (
                columns.table[y_columns, PLACE] + j
            )
            yield (
                (everything, y_rows[:, None], y_columns),
                (everything, x_rows[:, None], x_columns),
                number[:, :, None],
            )


def _divisor(rows: Spans, columns: Spans, dtype: np.dtype) -> np.ndarray:
    return np.outer(rows.table[:, DIVISOR], columns.table[:, DIVISOR])[:, :, None].astype(dtype)


def max_pool_spans_forward(
    x: np.ndarray, rows: Spans, columns: Spans, y: np.ndarray, index: np.ndarray
) -> None:
    """y = the largest value of each window; index = i * columns.window + j of the first one."""
    for first, (outputs, inputs, number) in enumerate(_places(rows, columns)):
        value = x[inputs]
        if first == 0:
            y[outputs], index[outputs] = value, number
            continue
        best = y[outputs]
        improved = (value > best) | (np.isnan(value) & ~np.isnan(best))
        y[outputs] = np.where(improved, value, best)
        index[outputs] = np.where(improved, number, index[outputs])


def max_pool_spans_backward(
    dy: np.ndarray, index: np.ndarray, rows: Spans, columns: Spans, dx: np.ndarray
) -> None:
    """dx = the sum of dy over the windows in which the pixel was the (first) maximum."""
    dx.fill(0)
    for outputs, inputs, number in _places(rows, columns):
        np.add.at(dx, inputs, np.where(index[outputs] == number, dy[outputs], 0))


def average_pool_spans_forward(x: np.ndarray, rows: Spans, columns: Spans, y: np.ndarray) -> None:
    """y = the sum of each window / (its divisor by rows * that by columns)."""
    y.fill(0)
    for outputs, inputs, _ in _places(rows, columns):
        y[outputs] += x[inputs]
    y /= _divisor(rows, columns, x.dtype)


def average_pool_spans_backward(
    dy: np.ndarray, rows: Spans, columns: Spans, dx: np.ndarray
) -> None:
    """dx = the sum of dy / divisors over the windows that hold the pixel."""
    dx.fill(0)
    share = dy / _divisor(rows, columns, dy.dtype)
    for outputs, inputs, _ in _places(rows, columns):
        np.add.at(dx, inputs, share[outputs])
