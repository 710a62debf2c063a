"""Steps of a table that convolve: on the register tile, by Winograd's way, and depthwise.

Weights lie packed among the constants. Rows of the output are what is shared out. `nobody` is an
empty index: nobody asks which pixel of a pooling window was the largest.
"""

from kernels import jit
from kernels.conv.arrangement import Arrangement, arrange
from kernels.conv.depthwise_image import slide, whole_pixels
from kernels.conv.image import convolve_image, pool_and_rectify
from kernels.conv.winograd_image import (
    multiply_planes,
    pad_images,
    pool_products,
    transform_products,
    transform_windows,
)
from kernels.conv.winograd_plan import plane_step, row_width
from kernels.inference.arranging import finish, share_of
from kernels.inference.table import EXTRA, NONE, OWN, RELU, X, Y, address
from kernels.tile import full_panel, full_vectors, odd_vectors, packed_mode, padded_channels


@jit.serial
def _end_rows(step, values, memory, y0, frame, n, rows, row_length):
    """What follows the convolution, for the rows first to last that one sample's y now has."""
    extra0 = NONE
    if step[EXTRA] != NONE:
        extra0 = address(values, step[EXTRA], frame, n) + rows[0] * row_length
    finish(memory, y0 + rows[0] * row_length, (rows[1] - rows[0]) * row_length, extra0, step[RELU])


@jit.serial
def convolve(step, values, constants, memory, scratch, nobody, frame, span):
    """On the register tile; own, in order:

    height, width, channels of x; filters, channels per group, rows and columns of one; rows and
    columns of y before pooling; stride, zeros above, dilation, all by rows; the eight numbers of an
    `Arrangement`; where weights and biases begin; columns of y after pooling, 0 for none; where in
    scratch an image before pooling lies.
    """
    height, width, channels, filters = step[OWN], step[OWN + 1], step[OWN + 2], step[OWN + 3]
    depth, kernel_h, kernel_w = step[OWN + 4], step[OWN + 5], step[OWN + 6]
    out_h, out_w = step[OWN + 7], step[OWN + 8]
    stride, top, dilation = step[OWN + 9], step[OWN + 10], step[OWN + 11]
    arrangement = Arrangement(
        step[OWN + 12], step[OWN + 13], step[OWN + 14], step[OWN + 15], step[OWN + 16],
        step[OWN + 17], step[OWN + 18], step[OWN + 19],
    )  # fmt: skip
    packed0, bias0, pooled_w, unpooled0 = (
        step[OWN + 20], step[OWN + 21], step[OWN + 22], step[OWN + 23]
    )  # fmt: skip
    groups = channels // depth
    own = filters // groups
    own_up = padded_channels(constants, own)
    mode = packed_mode(constants, own, depth)
    steps = (stride, arrangement.column_step, arrangement.row_length, dilation)
    fold = 2 if pooled_w else 1
    first, last = share_of(out_h // fold, span[2], span[3], 1)
    if first == last:
        return
    rows = (last - first) * fold
    first_row = first * fold * stride - top
    row0 = min(height, max(0, first_row))
    row1 = min(height, first_row + (rows - 1) * stride + (kernel_h - 1) * dilation + 1)
    here = max(0, row1 - row0)
    y_row = out_w * filters
    for n in range(span[0], span[1]):
        x0 = address(values, step[X], frame, n) + row0 * width * channels
        y0 = address(values, step[Y], frame, n)
        target, target0 = memory, y0 + first * y_row
        if pooled_w:
            target, target0 = scratch, unpooled0
        for g in range(groups):
            image, image0 = arrange(
                memory, x0, (here, width, channels), arrangement, (g * depth, depth), scratch,
                0,
            )  # fmt: skip
            convolve_image(
                image, image0, (here, first_row - row0), steps, (1, 0, 0),
                constants, packed0 + g * own_up * depth * kernel_h * kernel_w,
                (kernel_h, kernel_w * depth), mode, constants, bias0 + g * own_up,
                target, target0 + g * own, (rows, out_w), (y_row, filters), own, constants, 0, 0,
            )  # fmt: skip
        if pooled_w:
            pool_and_rectify(
                scratch, unpooled0, (rows, out_w, last - first, pooled_w, filters),
                step[RELU] != 0, memory, y0 + first * pooled_w * filters, nobody,
            )  # fmt: skip
        else:
            _end_rows(step, values, memory, y0, frame, n, (first, last), y_row)


@jit.serial
def convolve_by_windows(step, values, constants, memory, scratch, nobody, frame, span):
    """By `conv.winograd_image`; own, in order:

    height, width, channels of x; filters; rows and columns of y before pooling; zeros above and
    left; where the filters, the biases and zeros begin; rows of windows in a block; rows and
    columns of y after pooling, 0 for none; outputs along a side of a window; pieces of a filter
    down and across; planes of a block.
    """
    height, width, channels, filters = step[OWN], step[OWN + 1], step[OWN + 2], step[OWN + 3]
    out_h, out_w, top, left = step[OWN + 4], step[OWN + 5], step[OWN + 6], step[OWN + 7]
    filters0, bias0, zeros0 = step[OWN + 8], step[OWN + 9], step[OWN + 10]
    block, pooled_h, pooled_w = step[OWN + 11], step[OWN + 12], step[OWN + 13]
    side, down, across = step[OWN + 14], step[OWN + 15], step[OWN + 16]
    pieces, planes, pooled_side = down * across, step[OWN + 17], side // 2
    grid_h, grid_w = (out_h + side - 1) // side, (out_w + side - 1) // side
    pixel_up, in_up = full_vectors(memory, channels), row_width(memory, pieces, channels)
    out_up = full_vectors(memory, filters)
    panel = full_panel(memory, filters)
    panels = (filters + panel - 1) // panel * panel
    plane = odd_vectors(pieces * channels * panels, memory)
    packed = constants[filters0 : filters0 + planes * plane]
    bias, zeros = constants[bias0 : bias0 + panels], constants[zeros0 : zeros0 + panels]
    steps = plane_step(block * grid_w, in_up, memory), plane_step(block * grid_w, out_up, memory)
    windows = scratch[: planes * steps[0]]
    products = scratch[planes * steps[0] : planes * (steps[0] + steps[1])]
    padded = scratch[planes * (steps[0] + steps[1]) :]
    first, last = share_of(grid_h, span[2], span[3], 1)
    at_once = max(1, block // grid_h) if first == 0 and last == grid_h else 1
    y_row = out_w * filters
    for n in range(span[0], span[1], at_once):
        count = min(at_once, span[1] - n)
        x0, y0 = address(values, step[X], frame, n), address(values, step[Y], frame, n)
        for row in range(first, last, block):
            rows = min(block, last - row)
            if count > 1:
                rows = grid_h
            grid = (rows, grid_w, side)
            extent = (side * rows + 3 * down - 1, side * grid_w + 3 * across - 1, 1, 1)
            pad_images(
                memory, x0, count, (height, width, channels), (top - side * row, left), (1, 1),
                extent, pixel_up, padded,
            )  # fmt: skip
            for piece in range(pieces):
                place = 3 * (piece // across * extent[1] + piece % across)
                transform_windows(
                    padded, place * pixel_up, grid, None, extent, pixel_up, 0, count * rows,
                    windows, piece * channels, in_up, steps[0],
                )  # fmt: skip
            multiply_planes(
                windows, packed, 0, zeros, products, count * rows * grid_w, planes, steps,
                (1, pieces * channels, filters, in_up, out_up),
                memory, y0, 0,  # what a phase writes is in the cache
            )  # fmt: skip
            if pooled_w:
                pool_products(
                    products, (steps[1], out_up), grid, None, 0, count * rows, bias,
                    step[RELU] != 0, memory, nobody, y0 + row * pooled_side * pooled_w * filters,
                    (pooled_h - row * pooled_side if count == 1 else pooled_h, pooled_w, filters),
                )  # fmt: skip
            else:
                transform_products(
                    products, steps[1], grid, None, (1, 1), out_up, 0, count * rows, bias,
                    memory, y0 + side * row * y_row,
                    (count, out_h - side * row if count == 1 else out_h, out_w, filters),
                )  # fmt: skip
                for k in range(count):
                    _end_rows(
                        step, values, memory, y0 + k * out_h * y_row, frame, n + k,
                        (side * row, min(out_h, side * (row + rows))), y_row,
                    )  # fmt: skip


@jit.serial
def convolve_channels(step, values, constants, memory, scratch, frame, span):
    """Depthwise; own, in order:

    height, width, channels of x; filters, rows and columns of one; rows and columns of y; strides,
    zeros above and left, dilations, rows before columns; where the packed taps and what the sums
    begin with lie.
    """
    height, width, channels, filters = step[OWN], step[OWN + 1], step[OWN + 2], step[OWN + 3]
    kernel_h, kernel_w, out_h, out_w = step[OWN + 4], step[OWN + 5], step[OWN + 6], step[OWN + 7]
    stride_h, stride_w, top, left = step[OWN + 8], step[OWN + 9], step[OWN + 10], step[OWN + 11]
    dilation_h, dilation_w = step[OWN + 12], step[OWN + 13]
    packed0, start0 = step[OWN + 14], step[OWN + 15]
    filters_up = full_vectors(memory, filters)
    first, last = share_of(out_h, span[2], span[3], 1)
    if first == last:
        return
    first_row = first * stride_h - top
    row0 = min(height, max(0, first_row))
    row1 = min(height, first_row + (last - first - 1) * stride_h + (kernel_h - 1) * dilation_h + 1)
    here = max(0, row1 - row0)
    y_row = out_w * filters
    for n in range(span[0], span[1]):
        x0 = address(values, step[X], frame, n) + row0 * width * channels
        y0 = address(values, step[Y], frame, n)
        image, image0 = whole_pixels(
            memory, x0, (here, width, channels, filters), scratch, filters_up
        )
        slide(
            image, image0, (here, width, filters_up, first_row - row0, -left),
            (stride_h, stride_w, dilation_h, dilation_w),
            constants, packed0, (kernel_w * filters_up, filters_up), (kernel_h, kernel_w),
            constants[start0 : start0 + filters_up], memory, y0 + first * y_row,
            (last - first, out_w), (y_row, filters), filters, memory, 0, 0,
        )  # fmt: skip
        _end_rows(step, values, memory, y0, frame, n, (first, last), y_row)
