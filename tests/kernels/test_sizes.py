"""Python and compiled code get the same numbers from the same function."""

import numpy as np
import pytest

from kernels import jit, tile
from kernels.conv import windows, winograd_image, winograd_plan
from kernels.simd import lanes
from kernels.sizes import Size

BY_CHANNELS = (
    tile.use_half, tile.mode_of, tile.vector_width, tile.whole_vectors, tile.full_vectors,
    tile.full_panel, tile.panel_width, tile.padded_channels,
)  # fmt: skip


def compiled(function: Size):
    return jit.serial(lambda *arguments: function(*arguments))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("function", BY_CHANNELS, ids=lambda f: f.__name__)
def test_sizes_of_channels(function: Size, dtype: type) -> None:
    array, kernel = np.zeros(3, dtype), compiled(function)
    for channels in (1, 2, 3, 7, 8, 9, 16, 17, 31, 33, 64, 65):
        assert function(array, channels) == kernel(array, channels)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_other_sizes(dtype: type) -> None:
    array = np.zeros(0, dtype)
    assert lanes(array) == tile.vector_lanes(array) == compiled(tile.vector_lanes)(array)
    assert lanes(array) * array.itemsize == jit.target().register_bytes
    for a, b, c, d in ((1, 3, 2, 9), (5, 4, 1, 40), (49, 64, 2, 7), (200, 8, 3, 8)):
        for function, arguments in (
            (tile.packed_mode, (array, a, b)),
            (winograd_image.equal_tiles, (a,)),
            (winograd_plan.plane_step, (a, 16 * b, array)),
            (winograd_plan.row_width, (array, a, b)),
            (windows._plane_size, (a, b, c, d)),
        ):
            assert function(*arguments) == compiled(function)(*arguments)


def test_what_was_asked_before_is_remembered() -> None:
    asked = []

    def halved(array, count):
        asked.append(array.dtype)
        return count // 2

    half = Size(halved, jit.serial(lambda array, count: count // 2))
    assert [half(np.ones(9, kind), 7) for kind in ("f4", "f8", "f4")] == [3, 3, 3]
    assert asked == ["f4", "f8"]
