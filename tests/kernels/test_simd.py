"""Loads and stores of some of a vector's lanes: those and no others; lanes that change places."""

import numba
import numpy as np
import pytest

from kernels import jit
from kernels.simd import ask_for, crossed, lanes, load, load_part, store, store_index, store_part
from kernels.tile import ask_for_row


@pytest.fixture(params=[False, True], ids=["masked", "pieces"])
def storing(request, monkeypatch):
    """Both ways to store, whatever this processor's is."""
    monkeypatch.setattr(jit.target(), "stores_pieces", request.param)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exactly_so_many_lanes_are_stored(storing, dtype):
    @numba.njit
    def copy(x, y, count):
        store_part(y, 2, load_part(x, 1, count), count)
        return lanes(x)

    x = np.arange(1, 40, dtype=dtype)
    width = copy(x, x.copy(), 0)
    for count in range(-3, width + 3):
        y, expected = np.full(40, -1, dtype), np.full(40, -1, dtype)
        copy(x, y, count)
        most = min(max(count, 0), width)
        expected[2 : 2 + most] = x[1 : 1 + most]
        np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_exactly_so_many_numbers_are_stored(storing, dtype):
    @numba.njit
    def write(x, index, count):
        store_index(index, 3, load_part(x, 0, count), count)
        return lanes(x)

    x = np.arange(1, 40, dtype=np.float32)
    width = write(x, np.zeros(40, dtype), 0)
    for count in range(width + 3):
        index, expected = np.full(40, 99, dtype), np.full(40, 99, dtype)
        write(x, index, count)
        expected[3 : 3 + min(count, width)] = x[: min(count, width)]
        np.testing.assert_array_equal(index, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_line_may_be_asked_for(dtype):
    """Also of memory that is nobody's: nothing is read or written, and nothing fails."""

    @numba.njit
    def ask(x, offset):
        ask_for(x, offset)
        ask_for_row(x, offset, offset + 1000)

    x = np.arange(40, dtype=dtype)
    for offset in (0, 1, 39, 40, -1, 10**6, -(10**6), 2**50, -(2**50)):
        ask(x, offset)
    np.testing.assert_array_equal(x, np.arange(40))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lanes_change_places(dtype):
    @numba.njit
    def cross(x, y, distance):
        store(y, 0, crossed(load(x, 0), distance))
        return lanes(x)

    x = np.arange(40, dtype=dtype)
    for distance in (1, 2, 4):
        y = np.full(40, -1, dtype)
        width = cross(x, y, distance)
        if distance < width:
            expected = [lane ^ distance for lane in range(width)]
            assert y.tolist() == expected + [-1] * (40 - width)
