"""Channels last to channels first and back, and pixels into channels."""

import numpy as np
import pytest

from kernels import jit
from kernels.images import layout


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (3, 49, 16), (2, 17, 33), (5, 16, 1), (4, 1, 40), (40, 100, 31)]
)
def test_transposes_each_image(shape, dtype):
    x = np.arange(np.prod(shape), dtype=dtype).reshape(shape)
    room = np.full(x.size + jit.SLACK, -1, dtype)
    y = room[: x.size].reshape(shape[0], shape[2], shape[1])
    layout.transpose_images(x, y)
    np.testing.assert_array_equal(y, x.transpose(0, 2, 1))
    assert (room[x.size :] == -1).all()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 5, 4), (1, 4, 1, 17), (30, 9, 8, 33)])
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_shuffles_pixels_there_and_back(shape, factor, dtype):
    batch, height, width, channels = shape
    x = np.arange(np.prod(shape) * factor**2, dtype=dtype).reshape(*shape[:3], -1)
    y = np.full((batch, height * factor, width * factor, channels), np.nan, dtype)
    layout.shuffle_pixels(x, y, factor)
    apart = x.reshape(batch, height, width, channels, factor, factor)
    np.testing.assert_array_equal(y, apart.transpose(0, 1, 4, 2, 5, 3).reshape(y.shape))
    again = np.full_like(x, np.nan)
    layout.shuffle_pixels(again, y, factor, back=True)
    np.testing.assert_array_equal(again, x)
