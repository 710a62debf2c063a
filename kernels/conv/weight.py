"""The weight gradient of a convolution: products of its images and of its output's gradient.

The bias's comes along with it, or alone where the two gradients are of different arrays.

Each chunk of the batch has sums of its own, which are added along a tree.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
from numba import prange

from kernels import jit
from kernels.conv import depthwise, grouped, winograd, winograd_plan
from kernels.conv.arrangement import (
    DIRECT,
    LARGE_WEIGHTS,
    Arrangement,
    arrange,
    arranged_size,
    arrangement_of,
    images_at_once,
)
from kernels.conv.forward import Pair
from kernels.conv.gradient_source import GradientSource, gradient_images
from kernels.conv.image import accumulate_image, combine_chunks, combine_rows
from kernels.conv.winograd_pieces import pieces_of
from kernels.jit import thread_id
from kernels.portion import WHOLE, chunks_with_sums, cut
from kernels.shares import shares_of
from kernels.simd import lanes
from kernels.tile import fill_row, panel_width, prepare, sum_rows, whole_vectors, widen_rows
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
    stride, top, dilation, at_once, image_step = geometry
    _, height, width, channels = x_shape
    out_channels, depth, kernel_h, kernel_w = weight_shape
    groups = channels // depth
    filters = out_channels // groups
    out_up = whole_vectors(x, filters)
    pixels = dy_shape[1] * dy_shape[2]
    taps = kernel_h * kernel_w * depth
    steps = (stride, arrangement.column_step, arrangement.row_length, dilation)
    size = height * width * channels
    is_widened = groups > 1 or out_up != out_channels
    # The next image, where images come one at a time: else sums do not stay in the caches.
    asked_size = size // groups if at_once == 1 else 0
    for chunk in prange(partial.shape[0]):
        me = thread_id()
        sums = partial[chunk]
        fill_row(sums, 0, sums.size)
        for first in range(borders[chunk], borders[chunk + 1], at_once):
            last = min(borders[chunk + 1], first + at_once)
            all_dy, all_dy0 = gradient_images(gradient, first, last)
            all_pixels = (last - first) * pixels
            if dbias.size:
                sum_rows(all_dy, all_dy0, all_pixels, out_channels, sums, groups * taps * out_up)
            for g in range(groups):
                dy, dy0 = all_dy, all_dy0
                if is_widened:
                    dy, dy0 = widened[me], 0
                    widen_rows(
                        all_dy, all_dy0 + g * filters, all_pixels, filters, out_channels, dy, out_up
                    )
                image, image0 = x, 0
                for n in range(first, last):
                    image, image0 = arrange(
                        x, n * size, (height, width, channels), arrangement,
                        (g * depth, depth), padded[me], (n - first) * image_step,
                    )  # fmt: skip
                image0 -= (last - first - 1) * image_step  # the first of several
                accumulate_image(
                    image, image0, (height, -top), steps,
                    (last - first, image_step, pixels * out_up), (kernel_h, kernel_w * depth),
                    dy, dy0, (dy_shape[1], dy_shape[2]), out_up, sums, g * taps * out_up,
                    x, last * size + g * asked_size, asked_size,
                )  # fmt: skip
    # Along a tree: the same bits for any number of threads.
    area = kernel_h * kernel_w
    shares = shares_of(partial.size)
    # A filter's taps of one channel lie side by side, or those of single pixels for some channels.
    at_a_time = lanes(x) if area == 1 else 1
    depth_up = (depth + at_a_time - 1) // at_a_time * at_a_time
    panel = panel_width(x, out_up)
    panels, runs = (filters + panel - 1) // panel, depth_up // at_a_time
    lines = groups * panels * runs
    for part in prange(shares):
        for line in range(lines * part // shares, lines * (part + 1) // shares):
            g, o = line // runs // panels, line // runs % panels * panel
            c, width = line % runs * at_a_time, min(panel, out_up - o)
            row, rows = depth * width, area
            if area == 1:
                row, rows = width, min(at_a_time, depth - c)
            combine_rows(
                partial, g * taps * out_up + o * taps + c * width, row, rows,
                min(panel, filters - o),
                dweight, ((g * filters + o) * depth + c) * area, depth * area,
            )  # fmt: skip
    if dbias.size:
        combine_chunks(partial, groups * taps * out_up, out_channels, dbias)


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


class _Plan(NamedTuple):
    """What follows from shapes alone: `_weight_gradient`'s arguments, and its scratch."""

    arrangement: Arrangement
    together: Pair
    scratch: Shapes


@functools.lru_cache(maxsize=1000)
def _plan(shapes, geometry, chunks, each, dtype) -> _Plan:
    """shapes : of x, the weights and y; chunks : here; each : images of the largest chunk."""
    x_shape, (_, depth, kernel_h, kernel_w), y_shape = shapes
    arrangement, groups = arrangement_of(shapes, *geometry), x_shape[3] // depth
    out_up = int(whole_vectors(np.empty(0, dtype), y_shape[3] // groups))
    widens, sums = groups > 1 or out_up != y_shape[3], groups * depth * kernel_h * kernel_w * out_up
    pixels = y_shape[1] * y_shape[2]
    numbers = groups * x_shape[1] * arrangement.row_length + pixels * groups * out_up
    at_once = 1
    if sums * dtype.itemsize > LARGE_WEIGHTS:
        at_once = images_at_once(each, numbers * dtype.itemsize)
    image_step = arranged_size(x_shape[1], arrangement, at_once, dtype)
    padded = at_once * image_step
    if arrangement.kind == DIRECT:
        image_step, padded = math.prod(x_shape[1:]), 1
    widened = at_once * pixels * out_up + jit.SLACK if widens else 1
    scratch = (
        ("partial", (chunks, sums + y_shape[3])),
        ("padded", (jit.max_threads(), padded)),
        ("widened", (jit.max_threads(), widened)),
    )
    return _Plan(arrangement, (at_once, image_step), scratch)


@functools.lru_cache(maxsize=1000)
def _way(x_shape, weight_shape, y_shape, geometry, dtype) -> tuple[str, int]:
    """By which kernel, and how many bytes the sums of a chunk have."""
    if depthwise.suits(x_shape, weight_shape):
        return "depthwise", 0  # decides itself
    if grouped.suits(x_shape, weight_shape, geometry, y_shape, dtype):
        return "grouped", 0
    stride, _, dilation = geometry
    groups, numbers = x_shape[3] // weight_shape[1], math.prod(weight_shape)
    if winograd_plan.suits(weight_shape, stride, y_shape[1:3], dtype, groups, dilation):
        depth, filters = weight_shape[1], weight_shape[0] // groups
        pieces = pieces_of(weight_shape[2:], stride)
        _, size = winograd_plan.sums_of(
            y_shape[1:3], groups, depth, filters, pieces, dilation, dtype
        )
        return "winograd", size
    return "direct", numbers * dtype.itemsize


def run_weight_gradient(x, gradient, geometry, y_shape, dweight, dbias, workspace):
    """The weight gradient, given where that of the output, of shape y_shape, comes from."""
    dtype = x.dtype
    prepare(dtype)
    stride, padding, dilation = geometry
    way, size = _way(x.shape, dweight.shape, y_shape, geometry, dtype)
    if way in ("depthwise", "grouped"):
        kernel = depthwise if way == "depthwise" else grouped
        kernel.weight_gradient(x, gradient, geometry, y_shape, dweight, dbias, workspace)
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
            x, gradient, geometry, y_shape, dweight, dbias, (images, chunks), borders, workspace,
        )  # fmt: skip
    else:
        shapes = (x.shape, dweight.shape, y_shape)
        plan = _plan(shapes, geometry, len(borders) - 1, -(-images // chunks), dtype)
        partial, padded, widened = workspace.room(plan.scratch, dtype)
        _weight_gradient(
            x.reshape(-1), gradient.arguments(y_shape, plan.together[0], workspace),
            dweight.reshape(-1), dbias, shapes,
            (stride[0], padding[0], dilation[0], *plan.together), plan.arrangement, borders,
            partial, padded, widened,
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
    combine_chunks(partial, 0, channels, dbias)


def conv_backward_bias(dy: np.ndarray, dbias: np.ndarray, workspace: Workspace) -> None:
    """dbias[o] = sum over n, h, w of dy[n, h, w, o], as `conv_backward_weight` computes it.

    For a transposed convolution, whose weight gradient takes dy for x.
    """
    borders = workspace.portion.image_borders(len(dy))
    partial = workspace.array("partial", (len(borders) - 1, dbias.size), dy.dtype)
    _bias_gradient(dy.reshape(-1), dbias, dy.shape[1] * dy.shape[2], borders, partial)
