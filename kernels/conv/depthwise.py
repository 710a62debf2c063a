"""Depthwise convolution: every filter sees one channel. Forward, and both gradients.

There is no sum over channels, so vectors run along them: an output vector is a sum of as many
products of vectors as a filter has taps. With a multiplier a channel has so many filters, and is
repeated in scratch. Channels that fill no vectors are copied to where they do. Zeros beside the
image are not there: its edges are computed with the taps that lie on it.
"""

from numba import prange

from kernels import jit
from kernels.conv.depthwise_image import gather, pack_taps, rows_ahead, slide, whole_pixels
from kernels.conv.depthwise_sums import accumulate
from kernels.conv.gradient_source import PLAIN, gradient_images, normed_from
from kernels.conv.image import combine_chunks, combine_rows, pool_and_rectify
from kernels.conv.normed import image_of, sum_up
from kernels.jit import thread_id
from kernels.pool.image import image_sizes
from kernels.shares import shares_of
from kernels.simd import lanes
from kernels.tile import copy_row, fill_row, full_vectors, sum_rows


def suits(x_shape, weight_shape) -> bool:
    """Whether it is a depthwise convolution."""
    return weight_shape[1] == 1 and x_shape[3] > 1


@jit.parallel
def _forward(images, weight, bias, y, shapes, geometry, packed, start, widened, pool, summing):
    """One iteration owns one image of y.

    images, summing : see `normed`
    geometry : (stride, padding, dilation), rows before columns
    pool : as in `forward._forward`
    """
    x_shape, weight_shape, y_shape = shapes
    stride_h, stride_w, top, left, dilation_h, dilation_w = geometry
    index, sizes, relu, unpooled = pool
    _, pooled_size = image_sizes(sizes)
    count, height, width, channels = x_shape
    filters, _, kernel_h, kernel_w = weight_shape
    filters_up = full_vectors(y, filters)
    pack_taps(weight, filters, kernel_h * kernel_w, packed)
    fill_row(start, 0, filters_up)
    copy_row(bias, 0, start, 0, bias.size)
    y_row = y_shape[2] * filters
    extent = (height, width, filters_up, -top, -left)
    steps = (stride_h, stride_w, dilation_h, dilation_w)
    # A copy is in the cache.
    asked_row = stride_h * width * channels if filters_up == channels else 0
    for n in prange(count):
        size = height * width * channels
        x, x0 = image_of(images, n * size, size)
        image, image0 = whole_pixels(
            x, x0, (height, width, channels, filters), widened[thread_id()], filters_up
        )
        target, target0 = y, n * y_shape[1] * y_row
        if index.size:
            target, target0 = unpooled[thread_id()], 0
        slide(
            image, image0, extent, steps,
            packed, 0, (kernel_w * filters_up, filters_up), (kernel_h, kernel_w), start,
            target, target0, (y_shape[1], y_shape[2]), (y_row, filters), filters,
            image, rows_ahead(image0, extent, steps, (kernel_h, kernel_w)), asked_row,
        )  # fmt: skip
        if index.size:
            pool_and_rectify(target, target0, sizes, relu, y, n * pooled_size, index)
        else:
            sum_up(summing, y, n, y_shape[1] * y_row, filters)


def _widened(name, shape, filters_up, dtype, workspace):
    """Each thread's scratch for an image (N, H, W, C), if C is not as many whole vectors."""
    size = shape[1] * shape[2] * filters_up + jit.SLACK if shape[3] != filters_up else 1
    return workspace.array(name, (jit.max_threads(), size), dtype)


def forward(images, weight, bias, geometry, shapes, y, pool, summing, workspace):
    """See `forward.run_forward`; pool and shapes : what its kernel is given."""
    filters_up = int(full_vectors(y.reshape(-1), len(weight)))
    _forward(
        images, weight.reshape(-1), bias, y.reshape(-1), shapes,
        (*geometry[0], *geometry[1], *geometry[2]),
        workspace.array("depthwise_weight", (weight[0].size * filters_up,), y.dtype),
        workspace.array("start", (filters_up,), y.dtype),
        _widened("wide_x", shapes[0], filters_up, y.dtype, workspace), pool, summing,
    )  # fmt: skip


# --- input gradient -------------------------------------------------------------------------------


@jit.parallel
def _input_gradient(
    gradient, weight, bias, dx, shapes, stride, phases, packed, start, widened, repeated
):  # fmt: skip
    """One iteration owns one image of dx. phases : `input.Phases`.

    start : room for what the sums begin with, and for the bias where they are gathered
    """
    dy_shape, weight_shape, dx_shape = shapes
    images, dy_h, dy_w, filters = dy_shape
    _, _, kernel_h, kernel_w = weight_shape
    _, height, width, channels = dx_shape
    pack_taps(weight, filters, kernel_h * kernel_w, packed)
    fill_row(start, 0, start.size)
    bias0 = 0 if filters == channels else full_vectors(dx, filters)
    copy_row(bias, 0, start, bias0, bias.size)
    sizes = (height, width, channels, filters, kernel_h, kernel_w, dy_h, dy_w)
    size = dy_h * dy_w * filters
    asked_size = size if gradient.kind == PLAIN and filters == full_vectors(dx, filters) else 0
    for n in prange(images):
        me = thread_id()
        dy, dy0 = gradient_images(gradient, n, n + 1)
        _input_image(
            dy, dy0, dx, n, sizes, stride, phases, packed, start, widened[me], repeated[me],
            dy, dy0 + kernel_h * dy_w * filters, asked_size,
        )  # fmt: skip


@jit.serial
def _input_image(
    dy, dy0, dx, n, sizes, stride, phases, packed, start, widened, repeated,
    asked, asked0, asked_size,
):  # fmt: skip
    """The gradient of input n, given that of its output.

    sizes : height and width of the input, channels, filters, height and width of the filters and
        of the output
    asked, asked0, asked_size : what is read next, to be asked for meanwhile

    14 parameters, in groups as those of `slide`.
    """
    height, width, channels, filters, _, kernel_w, dy_h, dy_w = sizes
    multiplier, filters_up = filters // channels, full_vectors(dx, filters)
    table = phases.table
    any_empty = False
    for p in range(table.shape[0]):
        any_empty |= table[p, 3] * table[p, 8] == 0
    dy, dy0 = whole_pixels(dy, dy0, (dy_h, dy_w, filters, filters), widened, filters_up)
    target, target0, pixel = dx, n * height * width * channels, channels
    if multiplier > 1:
        target, target0, pixel = repeated, 0, filters_up
    if any_empty:
        for k in range(height * width):
            copy_row(start, 0, target, target0 + k * pixel, pixel)
    for p in range(table.shape[0]):
        r_h, count_h, tap_h, taps_h, base_h, r_w, count_w, tap_w, taps_w, base_w, _ = table[p]
        if taps_h * taps_w:
            last = (tap_h + (taps_h - 1) * phases.tap_step_h) * kernel_w
            last += tap_w + (taps_w - 1) * phases.tap_step_w
            first_row = base_h - (taps_h - 1) * phases.gap_h
            first_column = base_w - (taps_w - 1) * phases.gap_w
            slide(
                dy, dy0, (dy_h, dy_w, filters_up, first_row, first_column),
                (1, 1, phases.gap_h, phases.gap_w), packed, last * filters_up,
                (-phases.tap_step_h * kernel_w * filters_up, -phases.tap_step_w * filters_up),
                (taps_h, taps_w), start,
                target, target0 + (r_h * width + r_w) * pixel, (count_h, count_w),
                (stride[0] * width * pixel, stride[1] * pixel), filters,
                asked, asked0, asked_size // count_h,
            )  # fmt: skip
            asked_size = 0
    if multiplier > 1:
        gather(
            target, height * width, filters_up, start, dx, n * height * width * channels,
            channels, multiplier,
        )  # fmt: skip


def input_gradient(gradient, weight, bias, stride, phases, y_shape, dx, workspace):
    """See `input.run_input_gradient`."""
    flat, threads = dx.reshape(-1), jit.max_threads()
    filters_up = int(full_vectors(flat, len(weight)))
    repeats = len(weight) > dx.shape[3]
    repeated = dx.shape[1] * dx.shape[2] * filters_up + jit.SLACK if repeats else 1
    _input_gradient(
        gradient.arguments(y_shape, 1, workspace), weight.reshape(-1), bias, flat,
        (y_shape, weight.shape, dx.shape), stride, phases,
        workspace.array("depthwise_weight", (weight[0].size * filters_up,), dx.dtype),
        workspace.array("start", (2 * filters_up,), dx.dtype),
        _widened("wide_dy", y_shape, filters_up, dx.dtype, workspace),
        workspace.array("depthwise_repeated", (threads, repeated), dx.dtype),
    )  # fmt: skip


# --- weight gradient ------------------------------------------------------------------------------


@jit.parallel
def _weight_gradient(
    x, gradient, dweight, dbias, shapes, geometry, borders, partial, wide_x, wide_dy
):  # fmt: skip
    """One iteration owns one chunk of images and that chunk's partial sums.

    geometry : as in `_forward`
    borders : first image of each chunk
    """
    x_shape, weight_shape, dy_shape = shapes
    _, height, width, channels = x_shape
    filters, _, kernel_h, kernel_w = weight_shape
    filters_up, area = full_vectors(x, filters), kernel_h * kernel_w
    sizes = (height, width, channels, filters, kernel_h, kernel_w, dy_shape[1], dy_shape[2])
    asked_row = dy_shape[2] * filters if gradient.kind == PLAIN else 0
    for chunk in prange(partial.shape[0]):
        me = thread_id()
        fill_row(partial[chunk], 0, partial.shape[1])
        for n in range(borders[chunk], borders[chunk + 1]):
            dy, dy0 = gradient_images(gradient, n, n + 1)
            _weight_image(
                x, n * height * width * channels, n, dy, dy0, dbias.size > 0, sizes, geometry,
                partial[chunk], wide_x[me], wide_dy[me], gradient.dy, asked_row,
            )  # fmt: skip
    # Along a tree: the same bits for any number of threads.
    shares = shares_of(partial.size)
    for part in prange(shares):
        _combine(partial, part, shares, area, filters_up, filters, dweight)
    if dbias.size:
        combine_chunks(partial, area * filters_up, filters, dbias)


@jit.serial
def _weight_image(
    x, x0, n, dy, dy0, has_bias, sizes, geometry, sums, wide_x, wide_dy, asked, asked_row
):  # fmt: skip
    """Add the share of image n, which begins at x[x0], to the sums of a chunk.

    sizes : as in `_input_image`
    asked, asked_row : where the next image's gradient comes from, and how much of it for a row

    13 parameters, in groups as those of `slide`.
    """
    stride_h, stride_w, top, left, dilation_h, dilation_w = geometry
    height, width, channels, filters, kernel_h, kernel_w, dy_h, dy_w = sizes
    filters_up, pixels = full_vectors(x, filters), dy_h * dy_w
    if has_bias:
        sum_rows(dy, dy0, pixels, filters, sums, kernel_h * kernel_w * filters_up)
    dy, dy0 = whole_pixels(dy, dy0, (dy_h, dy_w, filters, filters), wide_dy, filters_up)
    image, image0 = whole_pixels(x, x0, (height, width, channels, filters), wide_x, filters_up)
    accumulate(
        image, image0, (height, width, filters_up, -top, -left),
        (stride_h, stride_w, dilation_h, dilation_w), (kernel_h, kernel_w), dy, dy0, (dy_h, dy_w),
        sums, asked, (n + 1) * dy_h * asked_row, asked_row, filters_up == channels,
    )  # fmt: skip


@jit.serial
def _combine(partial, part, shares, area, filters_up, filters, dweight):
    """One share of the filters of dweight: the sums of all chunks."""
    vectors = filters_up // lanes(partial)
    first = vectors * part // shares * lanes(partial)
    last = min(filters, vectors * (part + 1) // shares * lanes(partial))
    combine_rows(partial, first, filters_up, area, last - first, dweight, first * area, area)


def weight_gradient(x, gradient, geometry, y_shape, dweight, dbias, workspace):
    """See `weight.run_weight_gradient`."""
    shapes = (x.shape, dweight.shape, y_shape)
    flat = x.reshape(-1)
    filters_up = int(full_vectors(flat, y_shape[3]))
    room = (dweight[0].size + 1) * filters_up
    borders = workspace.portion.image_borders(len(x))
    _weight_gradient(
        flat, gradient.arguments(y_shape, 1, workspace), dweight.reshape(-1), dbias, shapes,
        (*geometry[0], *geometry[1], *geometry[2]), borders,
        workspace.array("partial", (len(borders) - 1, room), x.dtype),
        _widened("wide_x", x.shape, filters_up, x.dtype, workspace),
        _widened("wide_dy", y_shape, filters_up, x.dtype, workspace),
    )  # fmt: skip


# --- both -----------------------------------------------------------------------------------------


@jit.parallel
def _both_gradients(
    inputs, gradient, weight, results, sizes, geometry, phases, borders, room, summing
):  # fmt: skip
    """One iteration owns one chunk of images, of dx too.

    inputs, summing : see `normed`; the sums are of dx
    gradient : see `gradient_source`; results : dweight, dbias, dx; sizes : as in `_input_image`
    """
    dweight, dbias, dx = results
    packed, start, partial, wide_x, wide_dy = room
    height, width, channels, filters, kernel_h, kernel_w, dy_h, dy_w = sizes
    filters_up, area = full_vectors(dx, filters), kernel_h * kernel_w
    x_size = height * width * channels
    size, stride = dy_h * dy_w * filters, (geometry[0], geometry[1])
    pack_taps(weight, filters, area, packed)
    fill_row(start, 0, start.size)
    for chunk in prange(partial.shape[0]):
        me = thread_id()
        fill_row(partial[chunk], 0, partial.shape[1])
        for n in range(borders[chunk], borders[chunk + 1]):
            dy, dy0 = gradient_images(gradient, n, n + 1)
            x, x0 = image_of(inputs, n * x_size, x_size)
            _weight_image(
                x, x0, n, dy, dy0, dbias.size > 0, sizes, geometry, partial[chunk], wide_x[me],
                wide_dy[me], gradient.dy, dy_w * filters,
            )  # fmt: skip
            before, before0 = normed_from(gradient, (n + 1) * size)
            _input_image(
                dy, dy0, dx, n, sizes, stride, phases, packed, start, wide_dy[me], wide_dy[me],
                before, before0, min(size, before.size),
            )  # fmt: skip
            sum_up(summing, dx, n, x_size, channels)
    shares = shares_of(partial.size)
    for part in prange(shares):
        _combine(partial, part, shares, area, filters_up, filters, dweight)
    if dbias.size:
        combine_chunks(partial, area * filters_up, filters, dbias)


def both_gradients(
    inputs, gradient, weight, geometry, phases, y_shape, results, summing, workspace
):  # fmt: skip
    """See `backward.run_both_gradients`; as many filters as channels."""
    dweight, dbias, dx = results
    flat = dx.reshape(-1)
    filters, _, kernel_h, kernel_w = weight.shape
    sizes = (*dx.shape[1:], filters, kernel_h, kernel_w, *y_shape[1:3])
    filters_up = int(full_vectors(flat, filters))
    borders, taps = workspace.portion.image_borders(len(dx)), weight[0].size
    room = (
        workspace.array("depthwise_weight", (taps * filters_up,), dx.dtype),
        workspace.array("start", (2 * filters_up,), dx.dtype),
        workspace.array("partial", (len(borders) - 1, (taps + 1) * filters_up), dx.dtype),
        _widened("wide_x", dx.shape, filters_up, dx.dtype, workspace),
        _widened("wide_dy", y_shape, filters_up, dx.dtype, workspace),
    )
    _both_gradients(
        inputs, gradient.arguments(y_shape, 1, workspace), weight.reshape(-1),
        (dweight.reshape(-1), dbias, flat), sizes,
        (*geometry[0], *geometry[1], *geometry[2]), phases, borders, room, summing,
    )  # fmt: skip
