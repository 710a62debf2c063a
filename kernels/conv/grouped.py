"""Convolution in small groups: of two, four or eight channels, and as many filters.

Vectors run along the channels and hold several whole groups, so that what a filter sees lies in the
lane which it fills, and in those whose numbers differ from that one's in the last bits. With copies
of the image in which lanes have changed places,

    copy_r[h, w, c] = x[h, w, c ^ r]                  r < channels of a group, ^ bit by bit

no sum over channels is left that goes across lanes:

    y[h, w, o] = sum over taps and r of  copy_r[tap, o] * weight[o, o ^ r, tap]

The copies of one vector of channels stand pixel by pixel side by side, with the zeros beside the
image, and stay in the cache while they are used (`grouped_image`). The input gradient is the same
with filters turned, as c ^ r ^ r is c, and in the weight gradient each r has sums of its own.
"""

from numba import prange

from kernels import jit
from kernels.conv.gradient_source import gradient_images
from kernels.conv.grouped_image import (
    TOGETHER,
    accumulate,
    columns_at_once,
    convolve,
    pack,
    rows_at_once,
    unpack,
)
from kernels.conv.image import combine_chunks, pool_and_rectify
from kernels.conv.normed import image_of, sum_up
from kernels.jit import thread_id
from kernels.pool.image import image_sizes
from kernels.shares import shares_of
from kernels.simd import lanes
from kernels.tile import copy_row, fill_row, full_vectors, sum_rows


def suits(x_shape, weight_shape, geometry, y_shape, dtype) -> bool:
    """Whether groups are small enough for that, and rows of the output long enough."""
    filters, group = weight_shape[:2]
    if not filters == x_shape[3] > group or group not in (2, 4, 8):
        return False  # soonest, as of all convolutions but those of groups
    return group < lanes(dtype) and geometry[2][1] == 1 and y_shape[2] >= TOGETHER


def suits_back(weight_shape, geometry, dx_shape, dtype) -> bool:
    """The same for the input gradient."""
    return geometry[0] == (1, 1) and suits(dx_shape, weight_shape, geometry, dx_shape, dtype)


@jit.parallel
def _forward(images, weight, bias, y, shapes, geometry, packed, start, copies, pool, summing):
    """One iteration owns one image of y.

    images, summing : see `normed`
    geometry : (stride, padding, dilation), rows before columns
    pool : as in `forward._forward`
    """
    x_shape, weight_shape, y_shape = shapes
    stride_h, stride_w, top, left, dilation_h, _ = geometry
    index, sizes, relu, unpooled = pool
    _, pooled_size = image_sizes(sizes)
    count, height, width, channels = x_shape
    _, group, kernel_h, kernel_w = weight_shape
    pack(weight, channels, group, kernel_h * kernel_w, False, packed)
    fill_row(start, 0, start.size)
    copy_row(bias, 0, start, 0, bias.size)
    size, y_size = height * width * channels, y_shape[1] * y_shape[2] * channels
    extent = (height, width, channels, -top, -left)
    for n in prange(count):
        x, x0 = image_of(images, n * size, size)
        target, target0 = y, n * y_size
        if index.size:
            target, target0 = unpooled[thread_id()], 0
        convolve(
            x, x0, extent, (stride_h, stride_w, dilation_h), group, packed, (kernel_h, kernel_w),
            start, target, target0, (y_shape[1], y_shape[2]), copies[thread_id()],
        )  # fmt: skip
        if index.size:
            pool_and_rectify(target, target0, sizes, relu, y, n * pooled_size, index)
        else:
            sum_up(summing, y, n, y_size, channels)


def _room(weight_shape, outputs, steps, flat, workspace):
    """Each thread's scratch for the copies that are kept together.

    outputs : in a row; steps : columns from output to output, rows from tap to tap
    """
    _, group, kernel_h, kernel_w = weight_shape
    kept = (kernel_h - 1) * steps[1] + 1
    _, columns = columns_at_once(outputs, steps[0], kernel_w, kept, group, flat)
    numbers = kept * columns * group * lanes(flat)
    return workspace.array("crossed", (jit.max_threads(), numbers), flat.dtype)


def forward(images, weight, bias, geometry, shapes, y, pool, summing, workspace):
    """See `forward.run_forward`; pool and shapes : what its kernel is given."""
    flat, (stride, padding, dilation) = y.reshape(-1), geometry
    filters_up = int(full_vectors(flat, len(weight)))
    room = _room(weight.shape, shapes[2][2], (stride[1], dilation[0]), flat, workspace)
    _forward(
        images, weight.reshape(-1), bias, flat, shapes, (*stride, *padding, *dilation),
        workspace.array("grouped_weight", (weight[0].size * filters_up,), y.dtype),
        workspace.array("start", (filters_up,), y.dtype),
        room, pool, summing,
    )  # fmt: skip


# --- input gradient -------------------------------------------------------------------------------


@jit.parallel
def _input_gradient(gradient, weight, bias, dx, shapes, geometry, packed, start, copies):
    """One iteration owns one image of dx; a stride of 1."""
    dy_shape, weight_shape, dx_shape = shapes
    _, _, top, left, dilation_h, _ = geometry
    count, dy_h, dy_w, channels = dy_shape
    _, group, kernel_h, kernel_w = weight_shape
    pack(weight, channels, group, kernel_h * kernel_w, True, packed)
    fill_row(start, 0, start.size)
    copy_row(bias, 0, start, 0, bias.size)
    size = dx_shape[1] * dx_shape[2] * channels
    first = (top - (kernel_h - 1) * dilation_h, left - (kernel_w - 1))
    for n in prange(count):
        dy, dy0 = gradient_images(gradient, n, n + 1)
        convolve(
            dy, dy0, (dy_h, dy_w, channels, first[0], first[1]), (1, 1, dilation_h), group,
            packed, (kernel_h, kernel_w), start, dx, n * size, (dx_shape[1], dx_shape[2]),
            copies[thread_id()],
        )  # fmt: skip


def input_gradient(gradient, weight, bias, geometry, y_shape, dx, workspace):
    """See `input.run_input_gradient`."""
    flat, (stride, padding, dilation) = dx.reshape(-1), geometry
    filters_up = int(full_vectors(flat, len(weight)))
    _input_gradient(
        gradient.arguments(y_shape, 1, workspace), weight.reshape(-1), bias, flat,
        (y_shape, weight.shape, dx.shape), (*stride, *padding, *dilation),
        workspace.array("grouped_weight", (weight[0].size * filters_up,), dx.dtype),
        workspace.array("start", (filters_up,), dx.dtype),
        _room(weight.shape, dx.shape[2], (1, dilation[0]), flat, workspace),
    )  # fmt: skip


# --- weight gradient ------------------------------------------------------------------------------


@jit.parallel
def _weight_gradient(x, gradient, dweight, dbias, shapes, geometry, borders, room):
    """One iteration owns one chunk of images and that chunk's partial sums.

    borders : first image of each chunk
    """
    x_shape, weight_shape, dy_shape = shapes
    partial, sums, copies, dy_copies = room
    stride_h, stride_w, top, left, dilation_h, _ = geometry
    _, height, width, channels = x_shape
    _, group, kernel_h, kernel_w = weight_shape
    area, channels_up = kernel_h * kernel_w, full_vectors(x, channels)
    numbers = group * area * channels_up
    extent = (height, width, channels, -top, -left)
    for chunk in prange(partial.shape[0]):
        me, here = thread_id(), partial[chunk]
        fill_row(here, 0, here.size)
        for n in range(borders[chunk], borders[chunk + 1]):
            dy, dy0 = gradient_images(gradient, n, n + 1)
            if dbias.size:
                sum_rows(dy, dy0, dy_shape[1] * dy_shape[2], channels, here, numbers)
            accumulate(
                x, n * height * width * channels, extent, (stride_h, stride_w, dilation_h), group,
                (kernel_h, kernel_w), dy, dy0, (dy_shape[1], dy_shape[2]), here, copies[me],
                dy_copies[me],
            )  # fmt: skip
    shares, n = shares_of(partial.size), lanes(x)
    for part in prange(shares):
        c, stop = channels_up // n * part // shares * n, channels_up // n * (part + 1) // shares * n
        first = c * group * area
        combine_chunks(partial, first, (stop - c) * group * area, sums[first:])
        unpack(sums, c, min(stop, channels), group, area, dweight)
    if dbias.size:
        combine_chunks(partial, numbers, channels, dbias)


def weight_gradient(x, gradient, geometry, y_shape, dweight, dbias, workspace):
    """See `weight.run_weight_gradient`."""
    flat, (stride, padding, dilation) = x.reshape(-1), geometry
    channels_up, group = int(full_vectors(flat, y_shape[3])), dweight.shape[1]
    borders = workspace.portion.image_borders(len(x))
    (_, _, kernel_h, kernel_w), numbers = dweight.shape, dweight[0].size
    reach, threads = (kernel_h - 1) * dilation[0] + 1, jit.max_threads()
    part, columns = columns_at_once(y_shape[2], stride[1], kernel_w, reach, group, flat)
    row_length = columns * group * lanes(flat)
    block, kept = rows_at_once(row_length, stride[0], reach)
    room = (
        workspace.array("partial", (len(borders) - 1, (numbers + 1) * channels_up), x.dtype),
        workspace.array("grouped_sums", (numbers * channels_up,), x.dtype),
        workspace.array("crossed", (threads, kept * row_length), x.dtype),
        workspace.array("narrow_dy", (threads, block * part * lanes(flat)), x.dtype),
    )
    _weight_gradient(
        flat, gradient.arguments(y_shape, 1, workspace), dweight.reshape(-1), dbias,
        (x.shape, dweight.shape, y_shape), (*stride, *padding, *dilation), borders, room,
    )  # fmt: skip
