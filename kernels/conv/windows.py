"""The input gradient where there are few input channels: window by window, all taps side by side.

    products[w, (i, j, c)] = sum over o of dy[w, o] * weight[o, c, i, j]

is a product of matrices whose columns fill whole vectors where the channels of one pixel would not.
Each row holds what one output sends back to its window; a kernel row (j, c) of it is contiguous in
dx, where it is added.
"""

import functools

import numpy as np
from numba import prange

from kernels import jit
from kernels.conv.gradient_source import gradient_images
from kernels.jit import thread_id
from kernels.simd import first_lanes, lanes, load, splat, store, where
from kernels.sizes import size
from kernels.tile import (
    PAIRED,
    copy_row,
    fill_pixels,
    fill_row,
    full_vectors,
    multiply_block,
    packed_mode,
    padded_channels,
    panel_width,
    vector_lanes,
    vector_width,
)

Shape = tuple[int, ...]

_NUMBERS = 16384  # of products that are computed at once: they stay in the L2 cache
# Measured on Zen 5, with AVX2 and AVX-512, in multiply-adds of whole vectors:
_ADDING = 12  # adding a vector to dx
_NARROW = 1.6  # one step of a convolution's tile that is one vector wide: it loads more


@functools.lru_cache(maxsize=1000)
def step_cost(dtype: np.dtype, channels: int, depth: int) -> float:
    """What a step of the tile costs, for so many channels that sum over so many numbers."""
    flat = np.empty(0, dtype)
    cost = -(-channels // int(vector_width(flat, channels)))
    if packed_mode(flat, channels, depth) == PAIRED:
        cost /= 2
    return cost * _NARROW if channels <= int(vector_lanes(flat)) else cost


@functools.lru_cache(maxsize=1000)
def suits(
    y_shape: Shape, weight_shape: Shape, dx_shape: Shape, stride: tuple[int, int], dtype: np.dtype
) -> bool:
    """Whether this takes less time than a convolution with flipped weights."""
    out_channels, channels, kernel_h, kernel_w = weight_shape
    vector, taps = int(vector_lanes(np.empty(0, dtype))), kernel_h * kernel_w
    positions = y_shape[1] * dx_shape[2] // stride[1]  # it leaves out rows of padding
    direct = positions * taps * out_channels * step_cost(dtype, channels, out_channels)
    products = -(-taps * channels // vector) * out_channels
    adding = _ADDING * kernel_h * -(-kernel_w * channels // vector)
    return taps > 1 and y_shape[1] * y_shape[2] * (products + adding) < direct


@jit.serial
def _pack(weight, shape, width, packed):
    """Panels of the weights, (out, in, kernel_h, kernel_w), with columns (i, j, c), then zeros."""
    out_channels, channels, kernel_h, kernel_w = shape
    area = kernel_h * kernel_w
    for column in range(packed.size // out_channels):
        tap, c = column // channels, column % channels
        at = column // width * width * out_channels + column % width
        for o in range(out_channels):
            inside = tap < area
            packed[at + o * width] = weight[(o * channels + c) * area + tap] if inside else 0


@jit.serial
def _add_windows(products, products0, width, count, kernel, step, plane, plane0, row_length):
    """Add what one row of outputs sends back to its windows, which begin at plane[plane0].

    width : numbers per output; kernel : (rows, numbers in a row)
    step : from one window to the next
    """
    kernel_h, row = kernel
    zero = splat(plane, 0.0)
    # Neighbours overlap, and what was just stored is slow to load: first those that do not.
    apart = min(count, (full_vectors(plane, row) + step - 1) // step)
    for first in range(apart):
        for w in range(first, count, apart):
            for k in range(0, row, lanes(plane)):
                inside = first_lanes(zero, row - k)
                products_at, plane_at = products0 + w * width + k, plane0 + w * step + k
                for i in range(kernel_h):
                    v = where(inside, load(products, products_at + i * row), zero)
                    here = load(plane, plane_at + i * row_length)
                    store(plane, plane_at + i * row_length, here + v)


@jit.parallel
def _input_gradient(
    gradient, weight, bias, dx, shapes, stride, padding, packed, zeros, products, planes
):
    """One iteration owns one image of dx, which it sums in a plane with padding around it."""
    y_shape, weight_shape, dx_shape = shapes
    images, y_height, y_width, out_channels = y_shape
    _, channels, kernel_h, kernel_w = weight_shape
    height, width = dx_shape[1], dx_shape[2]
    columns = zeros.size
    panel = panel_width(dx, columns)
    _pack(weight, weight_shape, panel, packed)
    fill_row(zeros, 0, columns)
    at_once = products.shape[1] // (y_width * columns)
    row_length = _plane_size(y_width, kernel_w, stride[1], width + padding[1]) * channels
    for n in prange(images):
        dy, dy0 = gradient_images(gradient, n, n + 1)
        room, plane = products[thread_id()], planes[thread_id()]
        pixels = plane.size // channels
        fill_pixels(plane, 0, pixels, channels, bias)
        fill_row(plane, pixels * channels, plane.size - pixels * channels)
        for row in range(0, y_height, at_once):
            rows = min(at_once, y_height - row)
            for column in range(0, columns, panel):
                multiply_block(
                    dy, dy0 + row * y_width * out_channels, (out_channels, 1), (0, rows * y_width),
                    out_channels, packed, column * out_channels, panel, (column, columns), zeros,
                    room,
                )  # fmt: skip
            for k in range(rows):
                _add_windows(
                    room, k * y_width * columns, columns, y_width, (kernel_h, kernel_w * channels),
                    stride[1] * channels, plane, (row + k) * stride[0] * row_length, row_length,
                )  # fmt: skip
        for row in range(height):
            copy_row(
                plane, (row + padding[0]) * row_length + padding[1] * channels,
                dx, (n * height + row) * width * channels, width * channels,
            )  # fmt: skip


@size
def _plane_size(outputs, kernel, stride, padded):
    """Numbers along one axis of a plane: the windows, and the image where that reaches further."""
    return max((outputs - 1) * stride + kernel, padded)


def input_gradient(gradient, weight, bias, stride, padding, y_shape, dx, workspace):
    """Fill dx (N, H, W, C); the gradient of y, of shape y_shape, comes from a `GradientSource`."""
    flat, threads = dx.reshape(-1), jit.max_threads()
    columns = int(full_vectors(flat, weight[0].size))
    packed = int(padded_channels(flat, columns)) * y_shape[3]
    at_once = max(1, min(y_shape[1], _NUMBERS // (y_shape[2] * columns)))
    # Whole vectors are read and written.
    products = at_once * y_shape[2] * columns + jit.SLACK
    plane = weight.shape[1]
    for axis in (0, 1):
        plane *= int(
            _plane_size(
                y_shape[1 + axis], weight.shape[2 + axis], stride[axis],
                dx.shape[1 + axis] + padding[axis],
            )
        )  # fmt: skip
    _input_gradient(
        gradient.arguments(y_shape, 1, workspace), weight.reshape(-1), bias, flat,
        (y_shape, weight.shape, dx.shape), stride, padding,
        workspace.array("packed_windows", (packed,), dx.dtype),
        workspace.array("zeros", (columns,), dx.dtype),
        workspace.array("products", (threads, products), dx.dtype),
        workspace.array("planes", (threads, plane + jit.SLACK), dx.dtype),
    )  # fmt: skip
