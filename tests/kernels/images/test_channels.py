"""Channels put beside channels, and their gradients taken apart, against NumPy."""

import numpy as np
import pytest

from kernels import jit
from kernels.images import channels

# Less than a vector, tails, whole vectors; the last is large enough for threads.
SHAPES = [
    ((1,), 1, 1),
    ((3,), 17, 5),
    ((2, 3, 3), 24, 12),
    ((2, 1, 4), 16, 32),
    ((5, 2, 3), 33, 31),
    ((7, 30, 31), 20, 13),
]


def with_room(shape: tuple[int, ...], dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """An array to write into, and what lies behind it."""
    size = int(np.prod(shape))
    room = np.full(size + jit.SLACK, -1, dtype)
    return room[:size].reshape(shape), room[size:]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(("places", "first", "last"), SHAPES, ids=str)
def test_join_and_take_apart(places, first, last, dtype):
    rng = np.random.default_rng(0)
    a = rng.integers(-99, 99, (*places, first)).astype(dtype)
    b = rng.integers(-99, 99, (*places, last)).astype(dtype)
    wide, behind = with_room((*places, first + last), dtype)
    channels.join_channels(a, b, wide)
    np.testing.assert_array_equal(wide, np.concatenate([a, b], axis=-1))
    assert (behind == -1).all()

    end, behind = with_room(b.shape, dtype)
    channels.take_last_channels(wide, end)
    np.testing.assert_array_equal(end, b)
    assert (behind == -1).all()

    other = rng.integers(-99, 99, a.shape).astype(dtype)
    total, behind = with_room(a.shape, dtype)
    channels.add_first_channels(wide, other, total)
    np.testing.assert_array_equal(total, a + other)
    assert (behind == -1).all()
    channels.add_first_channels(wide, other, other)
    np.testing.assert_array_equal(other, total)
