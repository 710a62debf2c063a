"""Convolution on the register tile, forward.

    y[n, h, w, o] = bias[o] + sum over i, j, c of
                    x[n, h * stride_h + i * dilation_h - top,
                      w * stride_w + j * dilation_w - left, c] * weight[o, c, i, j]

(the cross-correlation that deep learning calls convolution; Goodfellow et al. 2016, eq. 9.6).
Arrays are N, H, W, C; weights are (out, in / groups, kernel_h, kernel_w): each group of filters
sees its own part of the input's channels. Padding at the bottom and right is whatever the output
size asks for. All three directions are loop nests around the register tile
(`conv.image`) over differently packed operands; the gradients are in `input` and `weight`. Where
that is sooner done, 3 x 3 convolutions are computed by `winograd` instead.

Groups, and gaps between a filter's columns, break up the stream of numbers that the tile reads, so
there each image is copied in the order in which it is read, one group at a time (`arrange`). Gaps
between rows are a matter of strides.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from kernels import jit
from kernels.conv import depthwise, winograd
from kernels.conv.arrangement import DIRECT, arrange, arrangement_of
from kernels.conv.image import convolve_image, pool_and_rectify
from kernels.jit import thread_id
from kernels.pool.image import image_sizes
from kernels.tile import (
    copy_row,
    fill_row,
    pack,
    packed_mode,
    padded_channels,
    prepare,
)
from kernels.workspace import Workspace

Pair = tuple[int, int]


@jit.parallel
def _forward(x, weight, bias, y, shapes, geometry, arrangement, packed, bias_padded, padded, pool):
    """One iteration owns one image of the output.

    geometry : row stride, zeros above, row dilation
    pool : (index, sizes, relu, each thread's image before pooling); an empty index for no pooling
    """
    x_shape, weight_shape, y_shape = shapes
    stride, top, dilation = geometry
    index, sizes, relu, unpooled = pool
    _, pooled_size = image_sizes(sizes)
    images, height, width, channels = x_shape
    out_channels, depth, kernel_h, kernel_w = weight_shape
    groups = channels // depth
    filters = out_channels // groups
    area = kernel_h * kernel_w
    packed_size, bias_size = packed.size // groups, bias_padded.size // groups
    fill_row(bias_padded, 0, bias_padded.size)
    for g in range(groups):
        pack(
            weight, g * filters * depth * area, (kernel_w, 1, area), (kernel_h, kernel_w, depth),
            depth * area, filters, packed, g * packed_size,
        )  # fmt: skip
        if bias.size:
            copy_row(bias, g * filters, bias_padded, g * bias_size, filters)
    mode = packed_mode(packed, filters, depth)
    steps = (stride, arrangement.column_step, arrangement.row_length, dilation)
    y_row = y_shape[2] * out_channels
    for n in prange(images):
        target, target0 = y, n * y_shape[1] * y_row
        if index.size:
            target, target0 = unpooled[thread_id()], 0
        for g in range(groups):
            image, image0 = arrange(
                x, n * height * width * channels, (height, width, channels), arrangement,
                (g * depth, depth), padded[thread_id()],
            )  # fmt: skip
            convolve_image(
                image, image0, (height, -top), steps,
                packed, g * packed_size, (kernel_h, kernel_w * depth), mode,
                bias_padded, g * bias_size, target, target0 + g * filters,
                (y_shape[1], y_shape[2]), (y_row, out_channels), filters,
            )  # fmt: skip
        if index.size:
            pool_and_rectify(target, sizes, relu, y, n * pooled_size, index)


def scratch_images(x_shape, arrangement, dtype, workspace):
    """Each thread's scratch for one arranged image."""
    size = x_shape[1] * arrangement.row_length if arrangement.kind != DIRECT else 1
    return workspace.array("padded", (jit.max_threads(), size), dtype)


class Pooled(NamedTuple):
    """2 x 2 max pooling (and ReLU) after a convolution, to be done image by image.

    index (N, H_out // 2, W_out // 2, O) uint8; empty: no pooling. relu: whether ReLU follows.
    """

    index: np.ndarray
    relu: bool


NOT_POOLED = Pooled(np.empty((0, 0, 0, 0), np.uint8), False)


def pool_arguments(pooled, y_shape, dtype, workspace):
    """What the kernel needs for pooling: flat index, sizes, relu, room for one unpooled image."""
    _, height, width, channels = y_shape
    index = pooled.index
    size = height * width * channels if index.size else 1
    unpooled = workspace.array("unpooled", (jit.max_threads(), size), dtype)
    sizes = (height, width, index.shape[1], index.shape[2], channels)
    return index.reshape(-1), sizes, pooled.relu, unpooled


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


def run_forward(x, weight, bias, geometry, y_shape, y, pooled, workspace):
    """Convolve into y, of shape y_shape; or pool that and write the pooled images to y.

    geometry : (stride, padding, dilation)
    """
    prepare(x.dtype)
    stride, padding, dilation = geometry
    shapes = (x.shape, weight.shape, y_shape)
    if depthwise.suits(x.shape, weight.shape):
        pool = pool_arguments(pooled, y_shape, x.dtype, workspace)
        depthwise.forward(x, weight, bias, geometry, y_shape, y, pool, workspace)
        return
    groups = x.shape[3] // weight.shape[1]
    windows_pool = tuple(dilation) == (1, 1) or not pooled.index.size
    if windows_pool and winograd.suits(
        weight.shape, stride, y_shape[1:3], x.reshape(-1), groups, dilation
    ):
        pool = pooled.index.reshape(-1), pooled.relu
        winograd.forward(x, weight, bias, padding, dilation, y_shape[1:3], y, pool, workspace)
        return
    pool = pool_arguments(pooled, y_shape, x.dtype, workspace)
    out_channels = groups * int(padded_channels(y.reshape(-1), len(weight) // groups))
    packed = workspace.array("packed", (out_channels * weight[0].size,), x.dtype)
    bias_padded = workspace.array("bias", (out_channels,), x.dtype)
    arrangement = arrangement_of(shapes, *geometry)
    padded = scratch_images(x.shape, arrangement, x.dtype, workspace)
    _forward(
        x.reshape(-1), weight.reshape(-1), bias, y.reshape(-1), shapes,
        (stride[0], padding[0], dilation[0]), arrangement, packed, bias_padded, padded,
        pool,
    )  # fmt: skip
