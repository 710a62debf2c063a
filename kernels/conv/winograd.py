"""Convolution with stride 1 by Winograd's F(2x2, 3x3) or F(4x4, 3x3), in all three directions.

What is computed, how larger filters are cut into pieces of 3 x 3, and the transforms are in
`winograd_image`. Whole numbers give the same results as the direct method, bit for bit; other
numbers differ in the last places, as sums in another order do. A pixel that is infinite or NaN
reaches further than with the direct method where windows have 4 x 4 outputs: up to two rows and
columns, with filters larger than 3 x 3 up to four, times the dilation.

A thread takes some images through all transforms, a block of windows at a time, so that a
block stays in its nearest caches.

With dilation each part of an image, the pixels so far apart, is an image of its own. Groups share
the transforms and are multiplied one by one. Where the filters of a group fill less than a vector,
several groups are multiplied as one, with zeros where a filter does not see a channel.
"""

import numpy as np
from numba import prange

from kernels import jit
from kernels.conv.gradient_source import gradient_images, nothing
from kernels.conv.image import combine_chunks
from kernels.conv.normed import nothing_summed, sum_up
from kernels.conv.winograd_image import (
    multiply_planes,
    pad_images,
    planes_of,
    pool_products,
    transform_filters,
    transform_products,
    transform_windows,
)
from kernels.conv.winograd_plan import convolution_plan, gradient_plan, plane_step, row_width
from kernels.conv.winograd_sums import (
    accumulate_planes,
    combine_piece,
    transform_gradient,
    transform_sums,
)
from kernels.jit import thread_id
from kernels.shares import shares_of
from kernels.simd import lanes
from kernels.tile import copy_row, fill_row, full_panel, full_vectors, odd_vectors, sum_rows

# Whose filters are transformed one after the other, so that they are written side by side.
_CHANNELS = 16

# --- forward and input gradient -----------------------------------------------------------------


@jit.parallel
def _convolve(
    inputs, weight, bias, y, x_shape, y_size, before, groups, turned, blocks, scratch, pool,
    summing,
):  # fmt: skip
    """One iteration owns some images of y.

    inputs : of the images x that are convolved, see `gradient_source`
    before : zeros above and left of an image of x
    groups : (input channels and filters of one, rows and columns of a filter, sizes of joined
        groups, whose depth is that of all pieces)
    turned : whether filters are, and what they read are their own outputs
    blocks : the fields of `Blocks`
    scratch : filters, padded bias, zeros; padded images, windows and products for each thread
    pool : (index, relu): y is to be pooled, and its size is that after pooling
    summing : see `normed`

    13 parameters, as many arrays as a convolution has.
    """
    images, height, width, channels = x_shape
    grid, at_once, block_rows, gaps = blocks
    side = grid[2]
    filters, bias_padded, zeros, padded, windows, products, taps = scratch
    index, relu = pool
    own_depth, own_filters, kernel, (joined, depth, columns) = groups
    pieces, taps_down, taps_across = grid[3] * grid[4], kernel[0], kernel[1]
    pixel_up, in_up = full_vectors(y, channels), row_width(y, pieces, channels)
    out_up = row_width(y, joined, columns)
    windows_most = block_rows * grid[1]
    steps = plane_step(windows_most, in_up, y), plane_step(windows_most, out_up, y)
    panel = full_panel(y, columns)
    panels = (columns + panel - 1) // panel
    area = taps_down * taps_across
    for part in prange(panels * ((pieces * channels + _CHANNELS - 1) // _CHANNELS)):
        first_channel, o = part // panels * _CHANNELS, part % panels * panel
        for c in range(first_channel, min(pieces * channels, first_channel + _CHANNELS)):
            g, inside = c % channels // own_depth, c % own_depth
            inner, outer = (area * own_filters, area) if turned else (area, area * own_depth)
            row, column = c // channels // grid[4] * 3, c // channels % grid[4] * 3
            if turned:
                row, column = taps_down - 3 - row, taps_across - 3 - column
            transform_filters(
                weight, g * own_depth * own_filters * area + inside * inner, (outer, turned),
                (taps_down, taps_across), (row, column),
                (c % depth, depth, g % (depth // own_depth) * own_filters, own_filters, columns),
                o, side, filters, c // depth * (filters.size // joined), taps[thread_id()],
            )  # fmt: skip
    fill_row(bias_padded, 0, bias_padded.size)
    copy_row(bias, 0, bias_padded, 0, bias.size)
    fill_row(zeros, 0, zeros.size)
    y_image = y_size[0] * y_size[1] * y_size[2]
    for b in prange((images + at_once - 1) // at_once):
        me = thread_id()
        first_image, last_image = b * at_once, min(images, (b + 1) * at_once)
        here, here0 = gradient_images(inputs, first_image, last_image)
        pad_images(
            here, here0, last_image - first_image, (height, width, channels), before, gaps,
            grid, pixel_up, padded[me],
        )  # fmt: skip
        image_rows = gaps[0] * gaps[1] * grid[0]
        all_rows = (last_image - first_image) * image_rows
        count = (last_image - first_image) * y_image
        for first in range(0, all_rows, block_rows):
            last = min(all_rows, first + block_rows)
            transform_windows(
                padded[me], grid, (channels, pixel_up, in_up), first, last, windows[me], steps[0]
            )
            multiply_planes(
                windows[me], filters, zeros, products[me], (last - first) * grid[1], side, steps,
                (joined, depth, columns, in_up, out_up),
                y, first_image * y_image + count * first // all_rows,
                count * (last - first) // all_rows,
            )  # fmt: skip
            if index.size:
                pool_products(
                    products[me], steps[1], grid, out_up, first, last, bias_padded, relu,
                    y, index, first_image * y_image, y_size,
                )  # fmt: skip
            else:
                transform_products(
                    products[me], steps[1], grid, gaps, out_up, first, last, bias_padded,
                    y, first_image * y_image, y_size,
                )  # fmt: skip
            # Images that this block ends are in the cache.
            for n in range(first // image_rows, last // image_rows):
                sum_up(summing, y, first_image + n, y_image, y_size[2])


def forward(source, weight, bias, padding, dilation, y_size, y, pool, summing, workspace):
    """y (N, H_out, W_out, O), or what is left of it after pooling; see `conv.run_forward`.

    source : of the images x, see `gradient_source`
    y_size : (H_out, W_out)
    pool : (flat index, relu); an empty index for no pooling
    """
    x_shape, (filters, depth, *kernel) = source.dy.shape, weight.shape
    count = x_shape[3] // depth
    plan = convolution_plan(
        x_shape[0], y_size, count, depth, filters // count, tuple(kernel), dilation, y.dtype,
        jit.get_threads(), "",
    )  # fmt: skip
    _convolve(
        source.arguments(x_shape, plan.at_once, workspace), weight.reshape(-1), bias,
        y.reshape(-1), x_shape, y.shape[1:], padding, plan.groups, False, plan.blocks,
        workspace.room(plan.scratch, y.dtype), pool, summing,
    )  # fmt: skip


def input_gradient(gradient, weight, bias, padding, dilation, dy_shape, dx, workspace):
    """dx (N, H, W, C): the convolution of dy with turned filters; see `conv.run_input_gradient`.

    gradient, dy_shape : where dy (N, H_out, W_out, O) comes from
    """
    filters, depth, *kernel = weight.shape
    count = dx.shape[3] // depth
    plan = convolution_plan(
        len(dx), dx.shape[1:3], count, filters // count, depth, tuple(kernel), dilation, dx.dtype,
        jit.get_threads(), "back_",
    )  # fmt: skip
    dtype = dx.dtype
    summing = nothing_summed(dtype, workspace) if gradient.beside_norm else nothing(dtype)
    before = tuple((k - 1) * d - p for k, d, p in zip(kernel, dilation, padding, strict=True))
    _convolve(
        gradient.arguments(dy_shape, plan.at_once, workspace), weight.reshape(-1),
        bias, dx.reshape(-1), dy_shape, dx.shape[1:], before, plan.groups, True, plan.blocks,
        workspace.room(plan.scratch, dx.dtype), (np.empty(0, np.uint8), False), summing,
    )  # fmt: skip


# --- weight gradient ----------------------------------------------------------------------------


@jit.parallel
def _weight_gradient(
    x, gradient, dweight, dbias, x_shape, dy_size, before, groups, blocks, borders, partial, scratch
):  # fmt: skip
    """One iteration owns one chunk of images and that chunk's partial sums.

    borders : first image of each chunk
    partial : (chunks, all planes of sums, see `winograd_sums`, then the bias's)
    Other arguments as in `_convolve`.
    """
    _, height, width, channels = x_shape
    grid, at_once, block_rows, gaps = blocks
    side = grid[2]
    zeros, padded, windows, gradients = scratch
    own_depth, own_filters, kernel, (joined, depth, columns) = groups
    pieces, taps_down, taps_across = grid[3] * grid[4], kernel[0], kernel[1]
    filters, all_channels = dy_size[2], pieces * channels
    pixel_up, in_up = full_vectors(x, channels), row_width(x, pieces, channels)
    columns_up = full_vectors(x, columns)
    windows_most = block_rows * grid[1]
    plane = odd_vectors(all_channels * columns_up, x)
    steps = (
        plane_step(windows_most, in_up, x), plane_step(windows_most, joined * columns_up, x), plane,
    )  # fmt: skip
    all_sums = planes_of(side) * plane
    image_size = height * width * channels
    pixels = dy_size[0] * dy_size[1]
    fill_row(zeros, 0, zeros.size)
    for chunk in prange(partial.shape[0]):
        me = thread_id()
        sums = partial[chunk]
        start, stop = borders[chunk], borders[chunk + 1]
        unwritten = 0 if start == stop else all_sums
        fill_row(sums, unwritten, sums.size - unwritten)
        for first_image in range(start, stop, at_once):
            last_image = min(stop, first_image + at_once)
            dy, dy0 = gradient_images(gradient, first_image, last_image)
            if dbias.size:
                sum_rows(
                    dy, dy0, (last_image - first_image) * pixels, filters, sums,
                    all_sums,
                )  # fmt: skip
            pad_images(
                x, first_image * image_size, last_image - first_image, (height, width, channels),
                before, gaps, grid, pixel_up, padded[me],
            )  # fmt: skip
            all_rows = (last_image - first_image) * gaps[0] * gaps[1] * grid[0]
            for first in range(0, all_rows, block_rows):
                last = min(all_rows, first + block_rows)
                transform_windows(
                    padded[me], grid, (channels, pixel_up, in_up), first, last, windows[me],
                    steps[0],
                )  # fmt: skip
                transform_gradient(
                    dy, dy0, dy_size, (joined, columns), grid, gaps, first, last,
                    gradients[me], steps[1],
                )  # fmt: skip
                accumulate_planes(
                    windows[me], gradients[me], sums, zeros, first_image == start and first == 0,
                    (last - first) * grid[1], side, steps, (joined, depth, columns, in_up),
                )  # fmt: skip
        # Before they are added: other processes add the taps of theirs.
        for o in range(0, all_channels * columns_up, lanes(x)):
            transform_sums(sums, o, side, plane)
    # Along a tree: the same bits for any number of threads.
    shares, panel = shares_of(partial.size), full_panel(x, columns)
    lines, area = (own_filters + panel - 1) // panel * all_channels, taps_down * taps_across
    for part in prange(shares):
        for line in range(lines * part // shares, lines * (part + 1) // shares):
            o, c = line // all_channels * panel, line % all_channels
            g, inside = c % channels // own_depth, c % own_depth
            first_filter = g % (depth // own_depth) * own_filters  # 0 with several panels
            place = o * depth + c % depth * min(panel, columns_up - o) + first_filter
            row, column = c // channels // grid[4] * 3, c // channels % grid[4] * 3
            combine_piece(
                partial, c // depth * depth * columns_up + place, plane,
                (taps_down, taps_across), (row, column), min(panel, own_filters - o),
                dweight, ((g * own_filters + o) * own_depth + inside) * area, own_depth * area,
            )  # fmt: skip
    if dbias.size:
        combine_chunks(partial, all_sums, filters, dbias)


def weight_gradient(
    x, gradient, padding, dilation, dy_shape, dweight, dbias, whole, borders, workspace
):  # fmt: skip
    """dweight (O, C / groups, kh, kw) and dbias (O,) or size 0; see `conv.run_weight_gradient`.

    gradient, dy_shape : where dy (N, H_out, W_out, O) comes from
    whole : (images, chunks) of the whole batch: blocks are the same wherever an image is
    """
    filters, depth, *kernel = dweight.shape
    count = x.shape[3] // depth
    plan, room = gradient_plan(
        *whole, dy_shape[1:3], count, depth, filters // count, tuple(kernel), dilation, x.dtype
    )
    partial = workspace.array("partial", (len(borders) - 1, room), x.dtype)
    _weight_gradient(
        x.reshape(-1), gradient.arguments(dy_shape, plan.at_once, workspace), dweight.reshape(-1),
        dbias, x.shape, dy_shape[1:], padding, plan.groups, plan.blocks, borders, partial,
        workspace.room(plan.scratch, x.dtype),
    )  # fmt: skip
