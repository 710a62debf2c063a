"""Convolution by Winograd's F(2x2, 3x3), F(4x4, 3x3) or F(2x2, 2x2), in all three directions.

What is computed, how larger filters, and those with a stride, are cut into pieces, and the
transforms are in `winograd_image`. Whole numbers give the same results as the direct method, bit
for bit; other numbers differ in the last places, as sums in another order do. A pixel that is
infinite or NaN reaches further than with the direct method where windows have 4 x 4 outputs: up to
two rows and columns, with filters larger than 3 x 3 up to four, times the dilation.

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
    pool_products,
    transform_filters,
    transform_products,
    transform_windows,
)
from kernels.conv.winograd_pieces import reach_of
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
    groups, blocks : see `winograd_plan.Plan`
    turned : whether filters are, and what they read are their own outputs
    scratch : filters, padded bias, zeros; padded images, windows and products for each thread
    pool : (index, relu): y is to be pooled, and its size is that after pooling
    summing : see `normed`

    13 parameters, as many arrays as a convolution has.
    """
    images, height, width, channels = x_shape
    (grid, pairs, extent, planes, at_once, block_rows, gaps, apart, phases), table = blocks
    filters, bias_padded, zeros, padded, windows, products, taps = scratch
    index, relu = pool
    own_depth, own_filters, kernel, (joined, depth, columns) = groups
    pieces, area = table.shape[0] // phases, kernel[0] * kernel[1]
    pixel_up, in_up = full_vectors(y, channels), row_width(y, pieces, channels)
    out_up = row_width(y, joined, columns)
    windows_most = block_rows * grid[1]
    steps = plane_step(windows_most, in_up, y), plane_step(windows_most, out_up, y)
    panel = full_panel(y, columns)
    panels = (columns + panel - 1) // panel
    lines, each = pieces * channels, filters.size // phases
    for part in prange(phases * panels * ((lines + _CHANNELS - 1) // _CHANNELS)):
        phase, o = part % phases, part // phases % panels * panel
        first_line = part // phases // panels * _CHANNELS
        for c in range(first_line, min(lines, first_line + _CHANNELS)):
            g, inside, piece = c % channels // own_depth, c % own_depth, c // channels
            inner, outer = (area * own_filters, area) if turned else (area, area * own_depth)
            piece += phase * pieces
            transform_filters(
                weight, g * own_depth * own_filters * area + inside * inner, (outer, turned),
                kernel, (table[piece, 0], table[piece, 1]),
                (c % depth, depth, g % (depth // own_depth) * own_filters, own_filters, columns),
                o, grid[2], pairs, filters, phase * each + c // depth * (each // joined),
                taps[thread_id()],
            )  # fmt: skip
    fill_row(bias_padded, 0, bias_padded.size)
    copy_row(bias, 0, bias_padded, 0, bias.size)
    fill_row(zeros, 0, zeros.size)
    y_image = y_size[0] * y_size[1] * y_size[2]
    for b in prange((images + at_once - 1) // at_once):
        me = thread_id()
        first_image, last_image = b * at_once, min(images, (b + 1) * at_once)
        here, here0 = gradient_images(inputs, first_image, last_image)
        images_here = last_image - first_image
        all_rows = images_here * gaps[0] * gaps[1] * grid[0]
        count = images_here * y_image
        pad_images(
            here, here0, images_here, (height, width, channels), before, gaps, extent, pixel_up,
            padded[me],
        )  # fmt: skip
        for phase in range(phases):
            for first in range(0, all_rows, block_rows):
                last = min(all_rows, first + block_rows)
                for piece in range(pieces):
                    transform_windows(
                        padded[me], table[phase * pieces + piece, 2], grid, pairs, extent,
                        pixel_up, first, last, windows[me], piece * channels, in_up, steps[0],
                    )  # fmt: skip
                from_, to = phase * all_rows + first, phase * all_rows + last
                multiply_planes(
                    windows[me], filters, phase * each, zeros, products[me],
                    (last - first) * grid[1], planes, steps,
                    (joined, depth, columns, in_up, out_up),
                    y, first_image * y_image + count * from_ // (phases * all_rows),
                    count * (to - from_) // (phases * all_rows),
                )  # fmt: skip
                if index.size:
                    pool_products(
                        products[me], (steps[1], out_up), grid, pairs, first, last, bias_padded,
                        relu, y, index, first_image * y_image, y_size,
                    )  # fmt: skip
                else:
                    transform_products(
                        products[me], steps[1], grid, pairs, apart, out_up, from_, to, bias_padded,
                        y, first_image * y_image, (images_here, *y_size),
                    )  # fmt: skip
        for n in range(first_image, last_image):  # while they are in the cache
            sum_up(summing, y, n, y_image, y_size[2])


def forward(source, weight, bias, geometry, y_size, y, pool, summing, workspace):
    """y (N, H_out, W_out, O), or what is left of it after pooling; see `conv.run_forward`.

    source : of the images x, see `gradient_source`
    y_size : (H_out, W_out)
    pool : (flat index, relu); an empty index for no pooling
    """
    x_shape, (filters, depth, *kernel) = source.dy.shape, weight.shape
    count, (stride, padding, dilation) = x_shape[3] // depth, geometry
    plan = convolution_plan(
        x_shape[0], y_size, count, depth, filters // count, tuple(kernel), stride, dilation,
        (0, 0), y.dtype, jit.get_threads(), "",
    )  # fmt: skip
    _convolve(
        source.arguments(x_shape, plan.at_once, workspace), weight.reshape(-1), bias,
        y.reshape(-1), x_shape, y.shape[1:], padding, plan.groups, False, plan.blocks,
        workspace.room(plan.scratch, y.dtype), pool, summing,
    )  # fmt: skip


def input_gradient(gradient, weight, bias, geometry, dy_shape, dx, workspace):
    """dx (N, H, W, C): the convolution of dy with turned filters; see `conv.run_input_gradient`.

    gradient, dy_shape : where dy (N, H_out, W_out, O) comes from
    """
    filters, depth, *kernel = weight.shape
    count, (stride, padding, dilation) = dx.shape[3] // depth, geometry
    plan = convolution_plan(
        len(dx), dx.shape[1:3], count, filters // count, depth, tuple(kernel), stride, dilation,
        padding, dx.dtype, jit.get_threads(), "back_",
    )  # fmt: skip
    dtype = dx.dtype
    summing = nothing_summed(dtype, workspace) if gradient.beside_norm else nothing(dtype)
    reach = reach_of((kernel[0], kernel[1]), stride)
    before = tuple(
        (taps - 1) * d - p // s
        for taps, d, p, s in zip(reach, dilation, padding, stride, strict=True)
    )  # fmt: skip
    _convolve(
        gradient.arguments(dy_shape, plan.at_once, workspace), weight.reshape(-1), bias,
        dx.reshape(-1), dy_shape, dx.shape[1:], before, plan.groups, True, plan.blocks,
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
    (grid, pairs, extent, planes, at_once, block_rows, gaps, apart, _), table = blocks
    zeros, padded, windows, gradients = scratch
    own_depth, own_filters, kernel, (joined, depth, columns) = groups
    pieces, area = table.shape[0], kernel[0] * kernel[1]
    filters, all_channels = dy_size[2], pieces * channels
    pixel_up, in_up = full_vectors(x, channels), row_width(x, pieces, channels)
    columns_up = full_vectors(x, columns)
    windows_most = block_rows * grid[1]
    plane = odd_vectors(all_channels * columns_up, x)
    steps = (
        plane_step(windows_most, in_up, x), plane_step(windows_most, joined * columns_up, x), plane,
    )  # fmt: skip
    all_sums = planes * plane
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
            images_here = last_image - first_image
            pad_images(
                x, first_image * image_size, images_here, (height, width, channels), before, gaps,
                extent, pixel_up, padded[me],
            )  # fmt: skip
            all_rows = images_here * gaps[0] * gaps[1] * grid[0]
            for first in range(0, all_rows, block_rows):
                last = min(all_rows, first + block_rows)
                for piece in range(pieces):
                    transform_windows(
                        padded[me], table[piece, 2], grid, pairs, extent, pixel_up, first, last,
                        windows[me], piece * channels, in_up, steps[0],
                    )  # fmt: skip
                transform_gradient(
                    dy, dy0, (images_here, *dy_size), (joined, columns), grid, pairs, apart, first,
                    last, gradients[me], steps[1],
                )  # fmt: skip
                accumulate_planes(
                    windows[me], gradients[me], sums, zeros, first_image == start and first == 0,
                    (last - first) * grid[1], planes, steps, (joined, depth, columns, in_up),
                )  # fmt: skip
        # Before they are added: other processes add the taps of theirs.
        for o in range(0, all_channels * columns_up, lanes(x)):
            transform_sums(sums, o, grid[2], pairs, plane)
    # Along a tree: the same bits for any number of threads.
    shares, panel = shares_of(partial.size), full_panel(x, columns)
    lines = (own_filters + panel - 1) // panel * all_channels
    for part in prange(shares):
        for line in range(lines * part // shares, lines * (part + 1) // shares):
            o, c = line // all_channels * panel, line % all_channels
            g, inside = c % channels // own_depth, c % own_depth
            first_filter = g % (depth // own_depth) * own_filters  # 0 with several panels
            place = o * depth + c % depth * min(panel, columns_up - o) + first_filter
            piece = c // channels
            combine_piece(
                partial, c // depth * depth * columns_up + place, plane, kernel,
                (table[piece, 0], table[piece, 1]), min(panel, own_filters - o),
                dweight, ((g * own_filters + o) * own_depth + inside) * area, own_depth * area,
            )  # fmt: skip
    if dbias.size:
        combine_chunks(partial, all_sums, filters, dbias)


def weight_gradient(
    x, gradient, geometry, dy_shape, dweight, dbias, whole, borders, workspace
):  # fmt: skip
    """dweight (O, C / groups, kh, kw) and dbias (O,) or size 0; see `conv.run_weight_gradient`.

    gradient, dy_shape : where dy (N, H_out, W_out, O) comes from
    whole : (images, chunks) of the whole batch: blocks are the same wherever an image is
    """
    filters, depth, *kernel = dweight.shape
    count, (stride, padding, dilation) = x.shape[3] // depth, geometry
    plan, room = gradient_plan(
        *whole, dy_shape[1:3], count, depth, filters // count, tuple(kernel), stride, dilation,
        x.dtype,
    )  # fmt: skip
    partial = workspace.array("partial", (len(borders) - 1, room), x.dtype)
    _weight_gradient(
        x.reshape(-1), gradient.arguments(dy_shape, plan.at_once, workspace), dweight.reshape(-1),
        dbias, x.shape, dy_shape[1:], padding, plan.groups, plan.blocks, borders, partial,
        workspace.room(plan.scratch, x.dtype),
    )  # fmt: skip
