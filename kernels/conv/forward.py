"""Convolution on the register tile: forward, input gradient, weight gradient.

    y[n, h, w, o] = bias[o] + sum over i, j, c of
                    x[n, h * stride_h + i - top, w * stride_w + j - left, c] * weight[o, c, i, j]

(the cross-correlation that deep learning calls convolution; Goodfellow et al. 2016, eq. 9.6).
Arrays are N, H, W, C; weights are (out, in, kernel_h, kernel_w). Padding at the bottom and right is
whatever the output size asks for. All three directions are loop nests around the register tile
(`conv_image`) over differently packed operands; the input gradient is in `conv_input`. Where that
is sooner done, 3 x 3 convolutions are computed by `winograd` instead.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from kernels import jit
from kernels.conv import winograd
from kernels.conv.gradient_source import GradientSource, gradient_images
from kernels.conv.image import (
    accumulate_image,
    columns_read,
    combine_chunks,
    convolve_image,
    pool_and_rectify,
)
from kernels.jit import thread_id
from kernels.tile import (
    copy_row,
    fill_row,
    pack,
    packed_mode,
    pad_image,
    padded_channels,
    prepare,
    sum_rows,
    whole_vectors,
    widen_rows,
)
from kernels.workspace import Workspace

Pair = tuple[int, int]


# --- forward ----------------------------------------------------------------------------------


@jit.parallel
def _forward(x, weight, bias, y, shapes, stride, padding, packed, bias_padded, padded, pool):
    """One iteration owns one image of the output.

    pool : (index, sizes, relu, each thread's image before pooling); an empty index for no pooling
    """
    x_shape, weight_shape, y_shape = shapes
    index, sizes, relu, unpooled = pool
    pooled_size = sizes[2] * sizes[3] * sizes[4]
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
            packed, 0, (kernel_h, kernel_w * channels), bias_padded, (y_shape[1], y_shape[2]),
            target, target0, (y_row, out_channels), out_channels, mode,
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


# --- weight gradient --------------------------------------------------------------------------


@jit.parallel
def _weight_gradient(
    x, source, dweight, dbias, shapes, stride, padding, partial, padded, widened
):  # fmt: skip
    """One iteration owns one chunk of images and that chunk's partial sums."""
    x_shape, weight_shape, dy_shape = shapes
    images, height, width, channels = x_shape
    out_channels, _, kernel_h, kernel_w = weight_shape
    columns = columns_read(kernel_w, dy_shape[2], stride[1])
    direct = padding[1] == 0 and columns <= width
    row_length = (width if direct else columns) * channels
    wide = whole_vectors(x, out_channels)
    pixels = dy_shape[1] * dy_shape[2]
    taps_all = kernel_h * kernel_w * channels
    chunks = partial.shape[0]
    for chunk in prange(chunks):
        me = thread_id()
        sums = partial[chunk]
        fill_row(sums, 0, sums.size)
        for n in range(images * chunk // chunks, images * (chunk + 1) // chunks):
            gradient, gradient0 = gradient_images(source, n, n + 1)
            if dbias.size:
                sum_rows(gradient, gradient0, pixels, out_channels, sums, taps_all * wide)
            if wide != out_channels:
                narrow, narrow0 = gradient, gradient0
                gradient, gradient0 = widened[me], 0
                widen_rows(narrow, narrow0, pixels, out_channels, gradient, wide)
            image, image0 = x, n * height * width * channels
            if not direct:
                image, image0 = padded[me], 0
                pad_image(
                    x, n * height * width * channels, (height, width, channels), (0, padding[1]),
                    image, 0, (height, columns, channels),
                )  # fmt: skip
            accumulate_image(
                image, image0, (height, -padding[0]),
                (stride[0], stride[1] * channels, row_length), (kernel_h, kernel_w * channels),
                gradient, gradient0, (dy_shape[1], dy_shape[2]), wide, sums, 0,
            )  # fmt: skip
    # Chunks are added in order: the same bits for any number of threads.
    area = kernel_h * kernel_w
    for i in prange(taps_all):
        place = i % channels * area + i // channels
        combine_chunks(partial, i * wide, out_channels, dweight, place, channels * area)
    if dbias.size:
        combine_chunks(partial, taps_all * wide, out_channels, dbias, 0, 1)


def conv_backward_weight(
    x: np.ndarray,
    dy: np.ndarray,
    stride: Pair,
    padding: Pair,
    dweight: np.ndarray,
    dbias: np.ndarray,
    workspace: Workspace,
) -> None:
    """Fill dweight (O, C, kh, kw) and dbias (O,) or size 0 with the loss's gradients.

    dweight[o, c, i, j] = sum over n, h, w of
                          dy[n, h, w, o] * x[n, h * stride_h + i - top, w * stride_w + j - left, c]
    dbias[o] = sum over n, h, w of dy[n, h, w, o]
    """
    source = GradientSource(dy)
    run_weight_gradient(x, source, stride, padding, dy.shape, dweight, dbias, workspace)


def run_weight_gradient(x, source, stride, padding, y_shape, dweight, dbias, workspace):
    """The weight gradient, given where that of the output, of shape y_shape, comes from."""
    prepare(x.dtype)
    if winograd.suits(dweight.shape, stride, y_shape[1:3], x.reshape(-1)):
        winograd.weight_gradient(x, source, padding, y_shape, dweight, dbias, workspace)
        return
    shapes = (x.shape, dweight.shape, y_shape)
    flat = x.reshape(-1)
    wide = int(whole_vectors(flat, y_shape[3]))
    room = dweight[0].size * wide + y_shape[3]
    partial = workspace.array("partial", (jit.chunks_of(len(x)), room), x.dtype)
    padded = padded_images(*shapes, stride, x.dtype, workspace)
    size = y_shape[1] * y_shape[2] * wide + jit.SLACK if wide != y_shape[3] else 1
    widened = workspace.array("widened", (jit.max_threads(), size), x.dtype)
    _weight_gradient(
        flat, source.arguments(y_shape, 1, workspace), dweight.reshape(-1), dbias, shapes,
        stride, padding, partial, padded, widened,
    )  # fmt: skip
