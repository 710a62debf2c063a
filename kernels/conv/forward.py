"""Convolution on the register tile, forward.

    y[n, h, w, o] = bias[o] + sum over i, j, c of
                    x[n, h * stride_h + i - top, w * stride_w + j - left, c] * weight[o, c, i, j]

(the cross-correlation that deep learning calls convolution; Goodfellow et al. 2016, eq. 9.6).
Arrays are N, H, W, C; weights are (out, in, kernel_h, kernel_w). Padding at the bottom and right is
whatever the output size asks for. All three directions are loop nests around the register tile
(`conv.image`) over differently packed operands; the gradients are in `input` and `weight`. Where
that is sooner done, 3 x 3 convolutions are computed by `winograd` instead.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from kernels import jit
from kernels.conv import winograd
from kernels.conv.image import (
    columns_read,
    convolve_image,
    pool_and_rectify,
)
from kernels.jit import thread_id
from kernels.pool.image import image_sizes
from kernels.tile import (
    copy_row,
    fill_row,
    pack,
    packed_mode,
    pad_image,
    padded_channels,
    prepare,
)
from kernels.workspace import Workspace

Pair = tuple[int, int]


@jit.parallel
def _forward(x, weight, bias, y, shapes, stride, padding, packed, bias_padded, padded, pool):
    """One iteration owns one image of the output.

    pool : (index, sizes, relu, each thread's image before pooling); an empty index for no pooling
    """
    x_shape, weight_shape, y_shape = shapes
    index, sizes, relu, unpooled = pool
    _, pooled_size = image_sizes(sizes)
    images, height, width, channels = x_shape
    out_channels, _, kernel_h, kernel_w = weight_shape
    area = kernel_h * kernel_w
    pack(
        weight, 0, (kernel_w, 1, area), (kernel_h, kernel_w, channels), channels * area,
        out_channels, packed, 0,
    )  # fmt: skip
    fill_row(bias_padded, 0, bias_padded.size)
    copy_row(bias, 0, bias_padded, 0, bias.size)
    mode = packed_mode(packed, out_channels, channels)
    columns = columns_read(kernel_w, y_shape[2], stride[1])
    direct = padding[1] == 0 and columns <= width
    row_length = (width if direct else columns) * channels
    y_row = y_shape[2] * out_channels
    for n in prange(images):
        image, image0 = x, n * height * width * channels
        if not direct:
            image, image0 = padded[thread_id()], 0
            pad_image(
                x, n * height * width * channels, (height, width, channels), (0, padding[1]),
                image, 0, (height, columns, channels),
            )  # fmt: skip
        target, target0 = y, n * y_shape[1] * y_row
        if index.size:
            target, target0 = unpooled[thread_id()], 0
        convolve_image(
            image, image0, (height, -padding[0]), (stride[0], stride[1] * channels, row_length),
            packed, 0, (kernel_h, kernel_w * channels), mode, bias_padded,
            target, target0, (y_shape[1], y_shape[2]), (y_row, out_channels), out_channels,
        )  # fmt: skip
        if index.size:
            pool_and_rectify(target, sizes, relu, y, n * pooled_size, index)


def padded_images(x_shape, weight_shape, y_shape, stride, dtype, workspace):
    """Each thread's scratch for one image with padded columns."""
    columns = int(columns_read(weight_shape[3], y_shape[2], stride[1]))
    size = x_shape[1] * columns * x_shape[3]
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
) -> None:
    """Fill y (N, H_out, W_out, O) with the convolution of x (N, H, W, C) and weight (O, C, kh, kw).

    ``bias`` has size O or 0.
    """
    run_forward(x, weight, bias, stride, padding, y.shape, y, NOT_POOLED, workspace)


def run_forward(x, weight, bias, stride, padding, y_shape, y, pooled, workspace):
    """Convolve into y, of shape y_shape; or pool that and write the pooled images to y."""
    prepare(x.dtype)
    if winograd.suits(weight.shape, stride, y_shape[1:3], x.reshape(-1)):
        pool = pooled.index.reshape(-1), pooled.relu
        winograd.forward(x, weight, bias, padding, y_shape[1:3], y, pool, workspace)
        return
    shapes = (x.shape, weight.shape, y_shape)
    out_channels = int(padded_channels(y.reshape(-1), weight.shape[0]))
    packed = workspace.array("packed", (out_channels * weight[0].size,), x.dtype)
    bias_padded = workspace.array("bias", (out_channels,), x.dtype)
    padded = padded_images(*shapes, stride, x.dtype, workspace)
    index, sizes, relu, unpooled = pool_arguments(pooled, y_shape, x.dtype, workspace)
    _forward(
        x.reshape(-1), weight.reshape(-1), bias, y.reshape(-1), shapes, stride, padding,
        packed, bias_padded, padded, (index, sizes, relu, unpooled),
    )  # fmt: skip
