"""The weight gradient of a convolution: products of its images and of its output's gradient.

Each chunk of the batch has sums of its own, which are added in order.
"""

import numpy as np
from numba import prange

from kernels import jit
from kernels.conv import winograd
from kernels.conv.forward import Pair, padded_images
from kernels.conv.gradient_source import GradientSource, gradient_images
from kernels.conv.image import accumulate_image, columns_read, combine_chunks
from kernels.jit import thread_id
from kernels.tile import fill_row, pad_image, prepare, sum_rows, whole_vectors, widen_rows
from kernels.workspace import Workspace


@jit.parallel
def _weight_gradient(
    x, gradient, dweight, dbias, shapes, stride, padding, partial, padded, widened
):  # fmt: skip
    """One iteration owns one chunk of images and that chunk's partial sums."""
    x_shape, weight_shape, dy_shape = shapes
    images, height, width, channels = x_shape
    out_channels, _, kernel_h, kernel_w = weight_shape
    columns = columns_read(kernel_w, dy_shape[2], stride[1])
    direct = padding[1] == 0 and columns <= width
    row_length = (width if direct else columns) * channels
    out_up = whole_vectors(x, out_channels)
    pixels = dy_shape[1] * dy_shape[2]
    taps_all = kernel_h * kernel_w * channels
    chunks = partial.shape[0]
    for chunk in prange(chunks):
        me = thread_id()
        sums = partial[chunk]
        fill_row(sums, 0, sums.size)
        for n in range(images * chunk // chunks, images * (chunk + 1) // chunks):
            dy, dy0 = gradient_images(gradient, n, n + 1)
            if dbias.size:
                sum_rows(dy, dy0, pixels, out_channels, sums, taps_all * out_up)
            if out_up != out_channels:
                narrow, narrow0 = dy, dy0
                dy, dy0 = widened[me], 0
                widen_rows(narrow, narrow0, pixels, out_channels, dy, out_up)
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
                dy, dy0, (dy_shape[1], dy_shape[2]), out_up, sums, 0,
            )  # fmt: skip
    # Chunks are added in order: the same bits for any number of threads.
    area = kernel_h * kernel_w
    for i in prange(taps_all):
        dweight0 = i % channels * area + i // channels
        combine_chunks(partial, i * out_up, out_channels, dweight, dweight0, channels * area)
    if dbias.size:
        combine_chunks(partial, taps_all * out_up, out_channels, dbias, 0, 1)


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
    gradient = GradientSource(dy)
    run_weight_gradient(x, gradient, stride, padding, dy.shape, dweight, dbias, workspace)


def run_weight_gradient(x, gradient, stride, padding, y_shape, dweight, dbias, workspace):
    """The weight gradient, given where that of the output, of shape y_shape, comes from."""
    prepare(x.dtype)
    if winograd.suits(dweight.shape, stride, y_shape[1:3], x.reshape(-1)):
        winograd.weight_gradient(x, gradient, padding, y_shape, dweight, dbias, workspace)
        return
    shapes = (x.shape, dweight.shape, y_shape)
    flat = x.reshape(-1)
    out_up = int(whole_vectors(flat, y_shape[3]))
    room = dweight[0].size * out_up + y_shape[3]
    partial = workspace.array("partial", (jit.chunks_of(len(x)), room), x.dtype)
    padded = padded_images(*shapes, stride, x.dtype, workspace)
    size = y_shape[1] * y_shape[2] * out_up + jit.SLACK if out_up != y_shape[3] else 1
    widened = workspace.array("widened", (jit.max_threads(), size), x.dtype)
    _weight_gradient(
        flat, gradient.arguments(y_shape, 1, workspace), dweight.reshape(-1), dbias, shapes,
        stride, padding, partial, padded, widened,
    )  # fmt: skip
