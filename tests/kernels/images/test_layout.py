"""Channels last to channels first and back."""

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
