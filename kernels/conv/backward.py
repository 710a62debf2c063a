"""Both gradients of a convolution in one pass over the images.

The gradient of the output is used for the weights and for the input while an image of it is in the
cache. Where BatchNorm (and ReLU) follow, it is made from that behind them, image by image, in a
thread's own scratch, and is never written to memory. That pays where memory is what takes the time:
in depthwise convolutions and those of single pixels.
"""

import math

import numpy as np
from numba import prange

from kernels import jit
from kernels.conv import depthwise
from kernels.conv.forward import Pair
from kernels.conv.gradient_source import GradientSource, gradient_images, nothing
from kernels.conv.image import accumulate_image, combine_chunks, combine_rows, convolve_image
from kernels.conv.input import phases_of
from kernels.conv.normed import NormedInput, SumsBefore, image_of, images_of, read_for, sum_up
from kernels.jit import thread_id
from kernels.portion import MAX_CHUNKS, chunks_with_sums
from kernels.shares import shares_of
from kernels.tile import (
    fill_row,
    pack,
    packed_mode,
    padded_channels,
    panel_width,
    prepare,
    sum_rows,
    whole_vectors,
    widen_rows,
)
from kernels.workspace import Workspace

Geometry = tuple[Pair, Pair, Pair]  # stride, padding, dilation


def suits(weight_shape: tuple[int, ...], stride: Pair, padding: object, channels: int) -> bool:
    """Whether both gradients are sooner made together.

    Threads share the chunks of the weight gradient, so there should be no more than that; and as
    many filters as make large sums are fewer chunks' work.
    """
    pointwise = weight_shape[1:] == (channels, 1, 1) and stride == (1, 1) and padding == (0, 0)
    depthwise_ = weight_shape[:2] == (channels, 1) and channels > 1
    sums = math.prod(weight_shape) * np.dtype(np.float32).itemsize
    all_chunks = chunks_with_sums(MAX_CHUNKS, sums) == MAX_CHUNKS
    return (pointwise or depthwise_) and all_chunks and jit.max_threads() <= MAX_CHUNKS


@jit.parallel
def _pointwise(inputs, gradient, weight, results, sizes, borders, room, summing):
    """One iteration owns one chunk of images: its partial sums and its dx.

    inputs, summing : see `normed`; the sums are of dx
    results : dweight, dbias, dx; sizes : height and width of the images, channels, filters
    """
    dweight, dbias, dx = results
    packed, start, partial, widened = room
    height, width, channels, filters = sizes
    pixels = height * width
    out_up, size = whole_vectors(dx, filters), pixels * filters
    fill_row(start, 0, start.size)
    pack(weight, 0, (0, 0, channels), (1, 1, filters), 1, channels, (0, 1), packed, 0)
    mode = packed_mode(packed, channels, filters)
    for chunk in prange(partial.shape[0]):
        me = thread_id()
        sums = partial[chunk]
        fill_row(sums, 0, sums.size)
        for n in range(borders[chunk], borders[chunk + 1]):
            at = n * pixels * channels
            dy, dy0 = gradient_images(gradient, n, n + 1)
            asked, asked0 = read_for(inputs, at)
            convolve_image(
                dy, dy0, (height, 0), (1, filters, width * filters, 1), (1, 0, 0),
                packed, 0, (1, filters), mode, start, 0,
                dx, at, (height, width), (width * channels, channels), channels,
                asked, asked0, pixels * channels,
            )  # fmt: skip
            sum_up(summing, dx, n, pixels * channels, channels)
            x, x0 = image_of(inputs, at, pixels * channels)
            if dbias.size:
                sum_rows(dy, dy0, pixels, filters, sums, channels * out_up)
            if out_up != filters:
                widen_rows(dy, dy0, pixels, filters, filters, widened[me], out_up)
                dy, dy0 = widened[me], 0
            accumulate_image(
                x, x0, (1, 0), (1, channels, pixels * channels, 1), (1, 0, 0), (1, channels),
                dy, dy0, (1, pixels), out_up, sums, 0, gradient.dy, (n + 1) * size, size,
            )  # fmt: skip
    shares, panel = shares_of(partial.size), panel_width(dx, out_up)
    for part in prange(shares):
        c, stop = channels * part // shares, channels * (part + 1) // shares
        for o in range(0, filters, panel):
            panel_up, here = min(panel, out_up - o), o * channels
            combine_rows(
                partial, here + c * panel_up, panel_up, stop - c, min(panel, filters - o),
                dweight, here + c, channels,
            )  # fmt: skip
    if dbias.size:
        combine_chunks(partial, channels * out_up, filters, dbias)


def run_both_gradients(
    x: np.ndarray | NormedInput,
    gradient: GradientSource,
    weight: np.ndarray,
    geometry: Geometry,
    dweight: np.ndarray,
    dbias: np.ndarray,
    dx: np.ndarray,
    workspace: Workspace,
    summing: SumsBefore | None = None,
) -> None:
    """dweight, dbias, dx of a convolution for which `suits` holds, of the images x (N, H, W, C).

    gradient : where that of the output comes from, which is not pooled, its dy (N, H_out, W_out, O)
    dbias : (O,), or size 0
    summing : what to sum up of dx
    """
    prepare(dx.dtype)
    y_shape = gradient.dy.shape
    inputs = images_of(x, workspace, gradient.beside_norm)
    summed = nothing(dx.dtype) if summing is None else summing
    if depthwise.suits(dx.shape, weight.shape):
        phases = phases_of(weight.shape, geometry, y_shape, dx.shape, dx.dtype)
        depthwise.both_gradients(
            inputs, gradient, weight, geometry, phases, y_shape, (dweight, dbias, dx), summed,
            workspace,
        )  # fmt: skip
        return
    filters, channels = weight.shape[:2]
    flat, threads, pixels = dx.reshape(-1), jit.max_threads(), dx.shape[1] * dx.shape[2]
    width, out_up = int(padded_channels(flat, channels)), int(whole_vectors(flat, filters))
    borders = workspace.portion.image_borders(len(dx))
    widened = pixels * out_up + jit.SLACK if out_up != filters else 1
    room = (
        workspace.array("packed_transposed", (filters * width,), dx.dtype),
        workspace.array("start", (width,), dx.dtype),
        workspace.array("partial", (len(borders) - 1, channels * out_up + filters), dx.dtype),
        workspace.array("widened", (threads, widened), dx.dtype),
    )
    _pointwise(
        inputs, gradient.arguments(y_shape, 1, workspace), weight.reshape(-1),
        (dweight.reshape(-1), dbias, flat), (*dx.shape[1:3], channels, filters), borders, room,
        summed,
    )  # fmt: skip
