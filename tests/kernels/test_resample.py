"""Resampled images against the formula as plain loops, forward and back."""

import numpy as np
import pytest
from numpy.typing import DTypeLike

from kernels import jit, resample
from kernels.resample import Taps

PLACES = np.array([0, 0.25, 1.5, 2, 3])
ROWS, COLUMNS = resample.between(PLACES, 4), resample.copies(np.array([2, -1, 0, 1, 1, -1]))


def twin(
    x: np.ndarray, rows: Taps, columns: Taps, constant: float, dy: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(y, dx): every output collects from its taps, and hands its gradient back to them."""
    y, dx = np.full(dy.shape, constant, x.dtype), np.zeros_like(x)
    for n, row, column in np.ndindex(*dy.shape[:3]):
        taps = [
            (rows.table[row, t], columns.table[column, u],
             rows.weight[row, t] * columns.weight[column, u])
            for t in range(rows.table[row, 2])
            for u in range(columns.table[column, 2])
        ]  # fmt: skip
        if taps:
            y[n, row, column] = sum(x[n, i, j] * weight for i, j, weight in taps)
        for i, j, weight in taps:
            dx[n, i, j] += dy[n, row, column] * weight
    return y, dx


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f4", "f8"])
@pytest.mark.parametrize("channels", [1, 3, 16, 19])
@pytest.mark.parametrize(("rows", "columns"), [(ROWS, COLUMNS), (COLUMNS, ROWS), (ROWS, ROWS)])
def test_every_output_is_made_of_its_taps(
    rows: Taps, columns: Taps, channels: int, dtype: DTypeLike
) -> None:
    rng = np.random.default_rng(channels)
    x = rng.integers(-4, 5, (2, 4, 4, channels)).astype(dtype)
    dy = 16 * rng.integers(-4, 5, (2, len(rows.table), len(columns.table), channels)).astype(dtype)
    y, dx = np.full_like(dy, np.nan), np.full_like(x, np.nan)
    resample.resample(x, rows, columns, 7, y)
    resample.resample_backward(dy, rows, columns, dx)
    expected = twin(x, rows, columns, 7, dy)
    np.testing.assert_array_equal(y, expected[0])
    np.testing.assert_array_equal(dx, expected[1])


def test_an_infinity_stays_where_it_is():
    """A weight of 0 is no tap: 0 * infinity would be a NaN."""
    x = np.zeros((1, 4, 4, 1), np.float32)
    x[0, 1, 1] = np.inf
    y = np.empty((1, 5, 5, 1), np.float32)
    resample.resample(x, ROWS, ROWS, 0, y)
    assert not np.isnan(y).any()
    assert np.isinf(y).sum() == 4


def test_the_same_bits_for_any_number_of_threads():
    rng, before, found = np.random.default_rng(0), jit.get_threads(), []
    x = rng.standard_normal((40, 9, 9, 20)).astype(np.float32)
    taps = resample.between(np.arange(20) * 0.43, 9)
    dy = rng.standard_normal((40, 20, 20, 20)).astype(np.float32)
    for threads in (1, 2):
        jit.set_threads(min(threads, jit.max_threads()))
        y, dx = np.empty_like(dy), np.empty_like(x)
        resample.resample(x, taps, taps, 0, y)
        resample.resample_backward(dy, taps, taps, dx)
        found.append((y, dx))
    jit.set_threads(before)
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)
