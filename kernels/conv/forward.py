"""Convolution on the register tile, forward.

    y[n, h, w, o] = bias[o] + sum over i, j, c of
                    x[n, h * stride_h + i * dilation_h - top,
                      w * stride_w + j * dilation_w - left, c] * weight[o, c, i, j]

(the cross-correlation that deep learning calls convolution; Goodfellow et al. 2016, eq. 9.6).
Arrays are N, H, W, C; weights are (out, in / groups, kernel_h, kernel_w): each group of filters
sees its own part of the input's channels. Padding at the bottom and right is whatever the output
size asks for. All three directions are loop nests around the register tile
(`conv.image`) over differently packed operands; the gradients are in `input` and `weight`. Where
that is sooner done, convolutions with stride 1 are computed by `winograd` instead.

Groups, and gaps between a filter's columns, break up the stream of numbers that the tile reads, so
there each image is copied in the order in which it is read, one group at a time (`arrange`). Gaps
between rows are a matter of strides.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
from numba import prange

from kernels import jit
from kernels.conv import depthwise, grouped, winograd, winograd_plan
from kernels.conv.arrangement import (
    LARGE_WEIGHTS,
    Arrangement,
    arrange,
    arranged_size,
    arrangement_of,
    rows_of_images,
)
from kernels.conv.gradient_source import GradientSource, nothing
from kernels.conv.image import convolve_image, pool_and_rectify
from kernels.conv.normed import image_of, images_of, read_for, shape_of, sum_up
from kernels.conv.panels import Panels, pack_share, packed_before
from kernels.jit import thread_id
from kernels.pool.image import image_sizes
from kernels.tile import (
    copy_row,
    fill_row,
    packed_mode,
    padded_channels,
    prepare,
)
from kernels.workspace import Shapes, Workspace

Pair = tuple[int, int]
Shape = tuple[int, ...]


@jit.parallel
def _forward(
    images, weight, bias, y, shapes, geometry, arrangement, panels_packed, bias_padded, padded,
    pool, summing,
):  # fmt: skip
    """One iteration owns one image of the output, or some that are convolved at once.

    images, summing : see `normed`
    geometry : row stride, zeros above, row dilation; images at once and numbers of each that is
        arranged
    panels_packed : what is left to pack, see `panels`, and room for it
    pool : (index, sizes, relu, each thread's images before pooling); an empty index for no pooling
    """
    x_shape, weight_shape, y_shape = shapes
    stride, top, dilation, at_once, image_step = geometry
    panels, packed = panels_packed
    index, sizes, relu, unpooled = pool
    _, pooled_size = image_sizes(sizes)
    count, height, width, channels = x_shape
    out_channels, depth, kernel_h, kernel_w = weight_shape
    groups = channels // depth
    filters = out_channels // groups
    packed_size, bias_size = packed.size // groups, bias_padded.size // groups
    fill_row(bias_padded, 0, bias_padded.size)
    pack_share(weight, panels, packed, 0, 1)
    if bias.size:
        for g in range(groups):
            copy_row(bias, g * filters, bias_padded, g * bias_size, filters)
    mode = packed_mode(packed, filters, depth)
    steps = (stride, arrangement.column_step, arrangement.row_length, dilation)
    y_row = y_shape[2] * out_channels
    y_image = y_shape[1] * y_row
    # Threads take images by turns: what one of them reads next, a part of it for each group.
    size, ahead = height * width * channels, padded.shape[0]
    are_large = packed_size * packed.itemsize > LARGE_WEIGHTS
    asked_size = 0 if are_large else at_once * size // groups
    for part in prange((count + at_once - 1) // at_once):
        me, first = thread_id(), part * at_once
        last = min(count, first + at_once)
        target, target0 = y, first * y_image
        if index.size:
            target, target0 = unpooled[me], 0
        for g in range(groups):
            image, image0 = padded[me], 0
            for n in range(first, last):
                x, x0 = image_of(images, n * size, size)
                image, image0 = arrange(
                    x, x0, (height, width, channels), arrangement,
                    (g * depth, depth), padded[me], (n - first) * image_step,
                )  # fmt: skip
            image0 -= (last - first - 1) * image_step  # the first of several
            asked, asked0 = read_for(images, (first + ahead * at_once) * size + g * asked_size)
            convolve_image(
                image, image0, (height, -top), steps, (last - first, image_step, y_image),
                packed, g * packed_size, (kernel_h, kernel_w * depth), mode,
                bias_padded, g * bias_size, target, target0 + g * filters,
                (y_shape[1], y_shape[2]), (y_row, out_channels), filters,
                asked, asked0, asked_size,
            )  # fmt: skip
        for n in range(first, last):
            if index.size:
                pool_and_rectify(
                    target, (n - first) * y_image, sizes, relu, y, n * pooled_size, index
                )
            else:
                sum_up(summing, y, n, y_image, out_channels)


class Pooled(NamedTuple):
    """2 x 2 max pooling (and ReLU) after a convolution, to be done image by image.

    index (N, H_out // 2, W_out // 2, O) uint8; empty: no pooling. relu: whether ReLU follows.
    """

    index: np.ndarray
    relu: bool


NOT_POOLED = Pooled(np.empty((0, 0, 0, 0), np.uint8), False)


def _pool_sizes(y_shape: Shape, index_shape: Shape) -> tuple[int, ...]:
    """(height, width, those after pooling, channels)."""
    return (y_shape[1], y_shape[2], index_shape[1], index_shape[2], y_shape[3])


def _unpooled(y_shape: Shape, index_shape: Shape, at_once: int = 1) -> tuple[str, Shape]:
    """Name and shape of each thread's room for images that are to be pooled."""
    size = at_once * math.prod(y_shape[1:]) if index_shape[0] else 1
    return "unpooled", (jit.max_threads(), size)


def pool_arguments(pooled, y_shape, dtype, workspace):
    """What the kernel needs for pooling: flat index, sizes, relu, room for one unpooled image."""
    index = pooled.index
    unpooled = workspace.array(*_unpooled(y_shape, index.shape), dtype)
    return index.reshape(-1), _pool_sizes(y_shape, index.shape), pooled.relu, unpooled


def conv_forward(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    stride: Pair,
    padding: Pair,
    y: np.ndarray,
    workspace: Workspace,
    dilation: Pair = (1, 1),
) -> None:
    """Fill y (N, H_out, W_out, O) with the convolution of x (N, H, W, C) and weight (O, C / groups,
    kh, kw).

    ``bias`` has size O or 0.
    """
    run_forward(x, weight, bias, (stride, padding, dilation), y.shape, y, NOT_POOLED, workspace)


class _Plan(NamedTuple):
    """What follows from shapes and threads alone: `_forward`'s arguments, and its scratch."""

    arrangement: Arrangement
    together: Pair
    panels: Panels
    pool_sizes: tuple[int, ...]
    scratch: Shapes


@functools.lru_cache(maxsize=1000)
def _plan(shapes, geometry, index_shape, dtype, threads) -> _Plan:
    """shapes : of x, the weights and y; index_shape : of the pooled images, or some of size 0."""
    x_shape, (out_channels, depth, *kernel), y_shape = shapes
    arrangement, groups = arrangement_of(shapes, *geometry), x_shape[3] // depth
    filters, taps = out_channels // groups, math.prod(kernel)
    padded = groups * int(padded_channels(np.empty(0, dtype), filters))
    weights = padded * depth * taps
    table = [
        (g * filters * depth * taps, kernel[1], 1, taps, *kernel, depth, g * weights // groups)
        for g in range(groups)
    ]
    at_once = rows_of_images(
        -(-x_shape[0] // threads),
        x_shape[1] * arrangement.row_length * groups * dtype.itemsize,
        weights * dtype.itemsize,
        y_shape[2],
        taps,
    )
    arrangement = arrangement_of(shapes, *geometry, is_copied=at_once > 1)
    image_step = arranged_size(x_shape[1], arrangement, at_once, dtype)
    scratch = (
        ("packed", (weights,)),
        ("bias", (padded,)),
        ("padded", (jit.max_threads(), at_once * image_step)),
        _unpooled(y_shape, index_shape, at_once),
    )
    panels = Panels(np.array(table), depth * taps, filters)
    return _Plan(
        arrangement, (at_once, image_step), panels, _pool_sizes(y_shape, index_shape), scratch
    )


def run_forward(x, weight, bias, geometry, y_shape, y, pooled, workspace, summing=None):
    """Convolve into y, of shape y_shape; or pool that and write the pooled images to y.

    x : the images; or a `normed.NormedInput`, where `backward.suits`
    geometry : (stride, padding, dilation)
    summing : what to sum up of images that are not pooled, see `normed`
    """
    dtype = y.dtype
    prepare(dtype)
    stride, padding, dilation = geometry
    x_shape = shape_of(x)
    shapes = (x_shape, weight.shape, y_shape)
    groups, beside_norm = x_shape[3] // weight.shape[1], summing is not None
    summed = nothing(dtype) if summing is None else summing
    windows_pool = dilation == (1, 1) or not pooled.index.size
    way = None
    if depthwise.suits(x_shape, weight.shape):
        way = depthwise
    elif grouped.suits(x_shape, weight.shape, geometry, y_shape, dtype):
        way = grouped
    if (
        way is None
        and windows_pool
        and winograd_plan.suits(weight.shape, stride, y_shape[1:3], dtype, groups, dilation)
    ):
        pool = pooled.index.reshape(-1), pooled.relu
        winograd.forward(
            GradientSource(x, beside_norm=beside_norm), weight, bias, geometry, y_shape[1:3], y,
            pool, summed, workspace,
        )  # fmt: skip
        return
    images = images_of(x, workspace, beside_norm)
    if way is not None:
        pool = pool_arguments(pooled, y_shape, dtype, workspace)
        way.forward(images, weight, bias, geometry, shapes, y, pool, summed, workspace)
        return
    index = pooled.index
    plan = _plan(shapes, geometry, index.shape, dtype, jit.get_threads())
    packed, bias_padded, padded, unpooled = workspace.room(plan.scratch, dtype)
    flat = weight.reshape(-1)
    _forward(
        images, flat, bias, y.reshape(-1), shapes,
        (stride[0], padding[0], dilation[0], *plan.together), plan.arrangement,
        (packed_before(flat, plan.panels, packed), packed), bias_padded, padded,
        (index.reshape(-1), plan.pool_sizes, pooled.relu, unpooled), summed,
    )  # fmt: skip
