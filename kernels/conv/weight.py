"""The weight gradient of a convolution: products of its images and of its output's gradient.

The bias's comes along with it, or alone where the two gradients are of different arrays.

Each chunk of the batch has sums of its own, which are added along a tree.
"""

import functools
import math

import numpy as np
from numba import prange

from kernels import jit
from kernels.conv import depthwise, winograd, winograd_plan
from kernels.conv.arrangement import Arrangement, arrange, arrangement_of
from kernels.conv.forward import Pair, arranged_images
from kernels.conv.gradient_source import GradientSource, gradient_images
from kernels.conv.image import accumulate_image, combine_chunks
from kernels.conv.winograd_image import PLANES
from kernels.jit import thread_id
from kernels.portion import WHOLE, chunks_with_sums, cut
from kernels.shares import shares_of
from kernels.tile import fill_row, prepare, sum_rows, whole_vectors, widen_rows
from kernels.workspace import Shapes, Workspace


@jit.parallel
def _weight_gradient(
    x, gradient, dweight, dbias, shapes, geometry, arrangement, borders, partial, padded, widened
):  # fmt: skip
    """One iteration owns one chunk of images and that chunk's partial sums.

    geometry : as in `_forward`
    borders : first image of each chunk
    """
    x_shape, weight_shape, dy_shape = shapes
    stride, top, dilation = geometry
    _, height, width, channels = x_shape
    out_channels, depth, kernel_h, kernel_w = weight_shape
    groups = channels // depth
    filters = out_channels // groups
    out_up = whole_vectors(x, filters)
    pixels = dy_shape[1] * dy_shape[2]
    taps = kernel_h * kernel_w * depth
    steps = (stride, arrangement.column_step, arrangement.row_length, dilation)
    size = height * width * channels
    asked_size = size // groups
    for chunk in prange(partial.shape[0]):
        me = thread_id()
        sums = partial[chunk]
        fill_row(sums, 0, sums.size)
        for n in range(borders[chunk], borders[chunk + 1]):
            all_dy, all_dy0 = gradient_images(gradient, n, n + 1)
            if dbias.size:
                sum_rows(all_dy, all_dy0, pixels, out_channels, sums, groups * taps * out_up)
            for g in range(groups):
                dy, dy0 = all_dy, all_dy0
                if groups > 1 or out_up != out_channels:
                    dy, dy0 = widened[me], 0
                    widen_rows(
                        all_dy, all_dy0 + g * filters, pixels, filters, out_channels, dy, out_up
                    )
                image, image0 = arrange(
                    x, n * size, (height, width, channels), arrangement,
                    (g * depth, depth), padded[me],
                )  # fmt: skip
                accumulate_image(
                    image, image0, (height, -top), steps, (kernel_h, kernel_w * depth),
                    dy, dy0, (dy_shape[1], dy_shape[2]), out_up, sums, g * taps * out_up,
                    x, (n + 1) * size + g * asked_size, asked_size,
                )  # fmt: skip
    # Along a tree: the same bits for any number of threads.
    area = kernel_h * kernel_w
    shares = shares_of(partial.size)
    for part in prange(shares):
        for i in range(groups * taps * part // shares, groups * taps * (part + 1) // shares):
            g, tap = i // taps, i % taps
            dweight0 = (g * filters * depth + tap % depth) * area + tap // depth
            combine_chunks(partial, i * out_up, filters, dweight, dweight0, depth * area)
    if dbias.size:
        combine_chunks(partial, groups * taps * out_up, out_channels, dbias, 0, 1)


def conv_backward_weight(
    x: np.ndarray,
    dy: np.ndarray,
    stride: Pair,
    padding: Pair,
    dweight: np.ndarray,
    dbias: np.ndarray,
    workspace: Workspace,
    dilation: Pair = (1, 1),
) -> None:
    """Fill dweight (O, C / groups, kh, kw) and dbias (O,) or size 0 with the loss's gradients.

    dweight[o, c, i, j] = sum over n, h, w of
                          dy[n, h, w, o] * x[n, h * stride_h + i * dilation_h - top,
                                                w * stride_w + j * dilation_w - left, c]
    dbias[o] = sum over n, h, w of dy[n, h, w, o]
    """
    geometry = (stride, padding, dilation)
    run_weight_gradient(x, GradientSource(dy), geometry, dy.shape, dweight, dbias, workspace)


@functools.lru_cache(maxsize=1000)
def _plan(shapes, geometry, chunks, dtype) -> tuple[Arrangement, Shapes]:
    """How images are arranged, and the scratch of `_weight_gradient`.

    shapes : of x, the weights and y
    """
    x_shape, (_, depth, kernel_h, kernel_w), y_shape = shapes
    arrangement, groups = arrangement_of(shapes, *geometry), x_shape[3] // depth
    out_up = int(whole_vectors(np.empty(0, dtype), y_shape[3] // groups))
    widens = groups > 1 or out_up != y_shape[3]
    widened = y_shape[1] * y_shape[2] * out_up + jit.SLACK if widens else 1
    sums = groups * depth * kernel_h * kernel_w * out_up + y_shape[3]
    return arrangement, (
        ("partial", (chunks, sums)),
        arranged_images(x_shape, arrangement),
        ("widened", (jit.max_threads(), widened)),
    )


@functools.lru_cache(maxsize=1000)
def _way(x_shape, weight_shape, y_shape, geometry, dtype) -> tuple[str, int]:
    """By which kernel, and how many bytes the sums of a chunk have."""
    if depthwise.suits(x_shape, weight_shape):
        return "depthwise", 0  # decides itself
    stride, _, dilation = geometry
    groups, numbers = x_shape[3] // weight_shape[1], math.prod(weight_shape)
    if winograd_plan.suits(weight_shape, stride, y_shape[1:3], dtype, groups, dilation):
        return "winograd", numbers // 9 * PLANES * dtype.itemsize
    return "direct", numbers * dtype.itemsize


def run_weight_gradient(x, gradient, geometry, y_shape, dweight, dbias, workspace):
    """The weight gradient, given where that of the output, of shape y_shape, comes from."""
    dtype = x.dtype
    prepare(dtype)
    stride, padding, dilation = geometry
    way, size = _way(x.shape, dweight.shape, y_shape, geometry, dtype)
    if way == "depthwise":
        depthwise.weight_gradient(x, gradient, geometry, y_shape, dweight, dbias, workspace)
        return
    portion = workspace.portion
    images = portion.images(len(x))
    chunks = chunks_with_sums(images, size)
    borders = portion.borders(len(x), chunks)
    here = portion
    if not portion.splits(chunks):  # there are more processes than chunks: each computes them all
        (x, gradient), here = gradient.whole(portion, x), WHOLE
        borders = cut(images, chunks)
        y_shape = (images, *y_shape[1:])
    if way == "winograd":
        winograd.weight_gradient(
            x, gradient, padding, dilation, y_shape, dweight, dbias, (images, chunks), borders,
            workspace,
        )  # fmt: skip
    else:
        shapes = (x.shape, dweight.shape, y_shape)
        arrangement, scratch = _plan(shapes, geometry, len(borders) - 1, dtype)
        partial, padded, widened = workspace.room(scratch, dtype)
        _weight_gradient(
            x.reshape(-1), gradient.arguments(y_shape, 1, workspace), dweight.reshape(-1), dbias,
            shapes, (stride[0], padding[0], dilation[0]), arrangement, borders, partial, padded,
            widened,
        )  # fmt: skip
    if here is not portion:
        portion.settle(dweight, dbias)


# --- the bias alone -------------------------------------------------------------------------------


@jit.parallel
def _bias_gradient(dy, dbias, pixels, borders, partial):
    """One iteration owns one chunk of images and that chunk's partial sums."""
    channels = dbias.size
    for chunk in prange(partial.shape[0]):
        fill_row(partial[chunk], 0, channels)
        for n in range(borders[chunk], borders[chunk + 1]):
            sum_rows(dy, n * pixels * channels, pixels, channels, partial[chunk], 0)
    combine_chunks(partial, 0, channels, dbias, 0, 1)


def conv_backward_bias(dy: np.ndarray, dbias: np.ndarray, workspace: Workspace) -> None:
    """dbias[o] = sum over n, h, w of dy[n, h, w, o], as `conv_backward_weight` computes it.

    For a transposed convolution, whose weight gradient takes dy for x.
    """
    borders = workspace.portion.image_borders(len(dy))
    partial = workspace.array("partial", (len(borders) - 1, dbias.size), dy.dtype)
    _bias_gradient(dy.reshape(-1), dbias, dy.shape[1] * dy.shape[2], borders, partial)
