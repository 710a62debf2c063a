"""Max and average pooling, forward and backward: each thread takes whole images.

    x, dx      (N, H, W, C)                 window, stride  (height, width)
    y, dy      (N, out_H, out_W, C)         padding         (top, left)

Output (row, column) sees the input rows  row * stride_h - top + i  for i < window_h, as far as
they lie on the image, and columns likewise; every window must hold a part of the image. Arrays are
C-contiguous, float32 or float64; results are overwritten. Nothing is checked, which is the layers'
work. What is done to one image stands in `pool_image`.
"""

import numpy as np
from numba import prange

from kernels import jit
from kernels.pool.image import (
    average_pool_image,
    average_spread_image,
    image_sizes,
    max_pool_image,
    max_spread_image,
    pool_fours_image,
    spread_fours_image,
)
from kernels.shares import is_small

Pair = tuple[int, int]

_NO_INDEX = np.empty(0, np.uint8)


def max_pool_forward(
    x: np.ndarray, window: Pair, stride: Pair, padding: Pair, y: np.ndarray, index: np.ndarray
) -> None:
    """y = the largest value of each window; a NaN counts as larger than any number.

    index : the shape of y, uint8 (int32 for windows of more than 256 places); i * window_w + j
        of the first maximum in row-major order
    """
    sizes, geometry = (*x.shape[1:3], *y.shape[1:]), (*window, *stride, *padding)
    arrays = x.reshape(-1), y.reshape(-1), index.reshape(-1)
    if _tiles_by_two(sizes, geometry):
        run = _pool_fours_share if is_small(x.size) else _pool_fours
        run(*arrays, sizes, True, 0, len(x))
    else:
        run = _max_pool_share if is_small(x.size) else _max_pool
        run(*arrays, sizes, geometry, 0, len(x))


def average_pool_forward(
    x: np.ndarray,
    window: Pair,
    stride: Pair,
    padding: Pair,
    count_include_pad: bool,
    y: np.ndarray,
) -> None:
    """y = the sum of each window / number of its places, those on the padding counted or not."""
    sizes, geometry = (*x.shape[1:3], *y.shape[1:]), (*window, *stride, *padding)
    arrays = x.reshape(-1), y.reshape(-1)
    if _tiles_by_two(sizes, geometry):
        run = _pool_fours_share if is_small(x.size) else _pool_fours
        run(*arrays, _NO_INDEX, sizes, False, 0, len(x))
    else:
        run = _average_pool_share if is_small(x.size) else _average_pool
        run(*arrays, sizes, geometry, bool(count_include_pad), 0, len(x))


def max_pool_backward(
    dy: np.ndarray, index: np.ndarray, window: Pair, stride: Pair, padding: Pair, dx: np.ndarray
) -> None:
    """dx = the sum of dy over the windows in which the pixel was the (first) maximum."""
    sizes, geometry = (*dx.shape[1:3], *dy.shape[1:]), (*window, *stride, *padding)
    arrays = dy.reshape(-1), index.reshape(-1), dx.reshape(-1)
    if _tiles_by_two(sizes, geometry):
        run = _spread_fours_share if is_small(dx.size) else _spread_fours
        run(*arrays, sizes, True, 0, len(dx))
    else:
        run = _max_spread_share if is_small(dx.size) else _max_spread
        run(*arrays, sizes, geometry, 0, len(dx))


def average_pool_backward(
    dy: np.ndarray,
    window: Pair,
    stride: Pair,
    padding: Pair,
    count_include_pad: bool,
    dx: np.ndarray,
) -> None:
    """dx = the sum of dy / number of places over the windows that hold the pixel."""
    sizes, geometry = (*dx.shape[1:3], *dy.shape[1:]), (*window, *stride, *padding)
    dy, dx_flat = dy.reshape(-1), dx.reshape(-1)
    if _tiles_by_two(sizes, geometry):
        run = _spread_fours_share if is_small(dx.size) else _spread_fours
        run(dy, _NO_INDEX, dx_flat, sizes, False, 0, len(dx))
    else:
        run = _average_spread_share if is_small(dx.size) else _average_spread
        run(dy, dx_flat, sizes, geometry, bool(count_include_pad), 0, len(dx))


def _tiles_by_two(sizes: tuple[int, ...], geometry: tuple[int, ...]) -> bool:
    """Whether the windows are 2 x 2, side by side, and within the image."""
    height, width, out_height, out_width, _ = sizes
    inside = 2 * out_height <= height and 2 * out_width <= width
    return geometry == (2, 2, 2, 2, 0, 0) and inside


# --- the loops over images; each iteration owns one image of the result --------------------------


@jit.parallel
def _pool_fours(x, y, index, sizes, maximum, first, last):
    for n in prange(first, last):
        _pool_fours_share(x, y, index, sizes, maximum, n, n + 1)


@jit.serial
def _pool_fours_share(x, y, index, sizes, maximum, first, last):
    size, out_size = image_sizes(sizes)
    for n in range(first, last):
        y0 = n * out_size
        pool_fours_image(x, n * size, sizes, maximum, y, y0, index, y0)


@jit.parallel
def _spread_fours(dy, index, dx, sizes, maximum, first, last):
    for n in prange(first, last):
        _spread_fours_share(dy, index, dx, sizes, maximum, n, n + 1)


@jit.serial
def _spread_fours_share(dy, index, dx, sizes, maximum, first, last):
    size, out_size = image_sizes(sizes)
    for n in range(first, last):
        dy0 = n * out_size
        spread_fours_image(dy, dy0, index, dy0, sizes, maximum, dx, n * size)


@jit.parallel
def _max_pool(x, y, index, sizes, geometry, first, last):
    for n in prange(first, last):
        _max_pool_share(x, y, index, sizes, geometry, n, n + 1)


@jit.serial
def _max_pool_share(x, y, index, sizes, geometry, first, last):
    size, out_size = image_sizes(sizes)
    for n in range(first, last):
        y0 = n * out_size
        max_pool_image(x, n * size, sizes, geometry, y, y0, index, y0)


@jit.parallel
def _average_pool(x, y, sizes, geometry, count_padding, first, last):
    for n in prange(first, last):
        _average_pool_share(x, y, sizes, geometry, count_padding, n, n + 1)


@jit.serial
def _average_pool_share(x, y, sizes, geometry, count_padding, first, last):
    size, out_size = image_sizes(sizes)
    for n in range(first, last):
        average_pool_image(x, n * size, sizes, geometry, count_padding, y, n * out_size)


@jit.parallel
def _max_spread(dy, index, dx, sizes, geometry, first, last):
    for n in prange(first, last):
        _max_spread_share(dy, index, dx, sizes, geometry, n, n + 1)


@jit.serial
def _max_spread_share(dy, index, dx, sizes, geometry, first, last):
    size, out_size = image_sizes(sizes)
    for n in range(first, last):
        dy0 = n * out_size
        max_spread_image(dy, dy0, index, dy0, sizes, geometry, dx, n * size)


@jit.parallel
def _average_spread(dy, dx, sizes, geometry, count_padding, first, last):
    for n in prange(first, last):
        _average_spread_share(dy, dx, sizes, geometry, count_padding, n, n + 1)


@jit.serial
def _average_spread_share(dy, dx, sizes, geometry, count_padding, first, last):
    size, out_size = image_sizes(sizes)
    for n in range(first, last):
        average_spread_image(dy, n * out_size, sizes, geometry, count_padding, dx, n * size)
