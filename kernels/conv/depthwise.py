"""Depthwise convolution: every filter sees one channel. Forward, and both gradients.

There is no sum over channels, so vectors run along them: an output vector is a sum of as many
products of vectors as a filter has taps. With a multiplier a channel has so many filters, and is
repeated in scratch. Scratch holds whole vectors and the zeros beside the image.
"""

from numba import prange

from kernels import jit
from kernels.conv.depthwise_image import accumulate, gather, pack_taps, repeat, slide
from kernels.conv.gradient_source import gradient_images, make_normed
from kernels.conv.image import combine_chunks, pool_and_rectify
from kernels.jit import thread_id
from kernels.pool.image import image_sizes
from kernels.tile import copy_row, fill_row, full_vectors, pad_image, sum_rows, widen_rows


def suits(x_shape, weight_shape) -> bool:
    """Whether it is a depthwise convolution."""
    return weight_shape[1] == 1 and x_shape[3] > 1


@jit.parallel
def _forward(x, weight, bias, y, shapes, geometry, packed, start, padded, pool):
    """One iteration owns one image of y.

    geometry : (stride, padding, dilation, columns with padding)
    pool : as in `forward._forward`
    """
    x_shape, weight_shape, y_shape = shapes
    stride_h, stride_w, top, left, dilation_h, dilation_w, columns = geometry
    index, sizes, relu, unpooled = pool
    _, pooled_size = image_sizes(sizes)
    images, height, width, channels = x_shape
    filters, _, kernel_h, kernel_w = weight_shape
    filters_up = full_vectors(y, filters)
    pack_taps(weight, filters, kernel_h * kernel_w, packed)
    fill_row(start, 0, filters_up)
    copy_row(bias, 0, start, 0, bias.size)
    row_length = columns * filters_up
    y_row = y_shape[2] * filters
    for n in prange(images):
        image = padded[thread_id()]
        repeat(
            x, n * height * width * channels, (height, width, channels), left, image,
            (height, columns, filters_up), filters // channels,
        )  # fmt: skip
        target, target0 = y, n * y_shape[1] * y_row
        if index.size:
            target, target0 = unpooled[thread_id()], 0
        slide(
            image, 0, (height, -top),
            (stride_h, stride_w * filters_up, row_length, dilation_h, dilation_w * filters_up),
            packed, 0, (kernel_w * filters_up, filters_up), (kernel_h, kernel_w), start,
            target, target0, (y_shape[1], y_shape[2]), (y_row, filters), filters,
        )  # fmt: skip
        if index.size:
            pool_and_rectify(target, sizes, relu, y, n * pooled_size, index)


def _columns(shapes, geometry) -> int:
    """Columns that the outputs of one row read."""
    (_, stride_w), _, (_, dilation_w) = geometry
    return (shapes[2][2] - 1) * stride_w + (shapes[1][3] - 1) * dilation_w + 1


def forward(x, weight, bias, geometry, y_shape, y, pool, workspace):
    """See `forward.run_forward`; pool : what its kernel is given."""
    shapes = (x.shape, weight.shape, y_shape)
    columns = _columns(shapes, geometry)
    filters_up = int(full_vectors(y.reshape(-1), len(weight)))
    size = x.shape[1] * columns * filters_up
    _forward(
        x.reshape(-1), weight.reshape(-1), bias, y.reshape(-1), shapes,
        (*geometry[0], *geometry[1], *geometry[2], columns),
        workspace.array("depthwise_weight", (weight[0].size * filters_up,), x.dtype),
        workspace.array("start", (filters_up,), x.dtype),
        workspace.array("depthwise_padded", (jit.max_threads(), size + jit.SLACK), x.dtype), pool,
    )  # fmt: skip


# --- input gradient -------------------------------------------------------------------------------


@jit.parallel
def _input_gradient(
    gradient, weight, bias, dx, shapes, stride, phases, packed, start, padded, repeated
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
    for n in prange(images):
        me = thread_id()
        dy, dy0 = gradient_images(gradient, n, n + 1)
        _input_image(dy, dy0, dx, n, sizes, stride, phases, packed, start, padded[me], repeated[me])


@jit.serial
def _input_image(dy, dy0, dx, n, sizes, stride, phases, packed, start, padded, repeated):
    """The gradient of input n, given that of its output.

    sizes : height and width of the input, channels, filters, height and width of the filters and
        of the output
    """
    height, width, channels, filters, _, kernel_w, dy_h, dy_w = sizes
    multiplier, filters_up = filters // channels, full_vectors(dx, filters)
    table, columns = phases.table, phases.columns
    row_length = columns * filters_up
    any_empty = False
    for p in range(table.shape[0]):
        any_empty |= table[p, 3] * table[p, 8] == 0
    pad_image(
        dy, dy0, (dy_h, dy_w, filters), (0, phases.left), (1, 1), padded, 0,
        (dy_h, columns, filters_up),
    )  # fmt: skip
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
            offset = base_w - (taps_w - 1) * phases.gap_w + phases.left
            slide(
                padded, offset * filters_up, (dy_h, base_h - (taps_h - 1) * phases.gap_h),
                (1, filters_up, row_length, phases.gap_h, phases.gap_w * filters_up),
                packed, last * filters_up,
                (-phases.tap_step_h * kernel_w * filters_up, -phases.tap_step_w * filters_up),
                (taps_h, taps_w), start,
                target, target0 + (r_h * width + r_w) * pixel, (count_h, count_w),
                (stride[0] * width * pixel, stride[1] * pixel), filters,
            )  # fmt: skip
    if multiplier > 1:
        gather(
            target, height * width, filters_up, start, dx, n * height * width * channels,
            channels, multiplier,
        )  # fmt: skip


def input_gradient(gradient, weight, bias, stride, phases, y_shape, dx, workspace):
    """See `input.run_input_gradient`."""
    flat, threads = dx.reshape(-1), jit.max_threads()
    filters_up = int(full_vectors(flat, len(weight)))
    padded = y_shape[1] * phases.columns * filters_up + jit.SLACK
    repeats = len(weight) > dx.shape[3]
    repeated = dx.shape[1] * dx.shape[2] * filters_up + jit.SLACK if repeats else 1
    _input_gradient(
        gradient.arguments(y_shape, 1, workspace), weight.reshape(-1), bias, flat,
        (y_shape, weight.shape, dx.shape), stride, phases,
        workspace.array("depthwise_weight", (weight[0].size * filters_up,), dx.dtype),
        workspace.array("start", (2 * filters_up,), dx.dtype),
        workspace.array("depthwise_padded", (threads, padded), dx.dtype),
        workspace.array("depthwise_repeated", (threads, repeated), dx.dtype),
    )  # fmt: skip


# --- weight gradient ------------------------------------------------------------------------------


@jit.parallel
def _weight_gradient(
    x, gradient, dweight, dbias, shapes, geometry, borders, partial, padded, widened
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
    for chunk in prange(partial.shape[0]):
        me = thread_id()
        fill_row(partial[chunk], 0, partial.shape[1])
        for n in range(borders[chunk], borders[chunk + 1]):
            dy, dy0 = gradient_images(gradient, n, n + 1)
            _weight_image(
                x, n, dy, dy0, dbias.size > 0, sizes, geometry, partial[chunk], padded[me],
                widened[me],
            )  # fmt: skip
    # Along a tree: the same bits for any number of threads.
    for tap in prange(area):
        combine_chunks(partial, tap * filters_up, filters, dweight, tap, area)
    if dbias.size:
        combine_chunks(partial, area * filters_up, filters, dbias, 0, 1)


@jit.serial
def _weight_image(x, n, dy, dy0, has_bias, sizes, geometry, sums, padded, widened):
    """Add image n's share to the sums of a chunk. sizes : as in `_input_image`."""
    stride_h, stride_w, top, left, dilation_h, dilation_w, columns = geometry
    height, width, channels, filters, kernel_h, kernel_w, dy_h, dy_w = sizes
    filters_up, pixels = full_vectors(x, filters), dy_h * dy_w
    if has_bias:
        sum_rows(dy, dy0, pixels, filters, sums, kernel_h * kernel_w * filters_up)
    if filters_up != filters:
        widen_rows(dy, dy0, pixels, filters, filters, widened, filters_up)
        dy, dy0 = widened, 0
    repeat(
        x, n * height * width * channels, (height, width, channels), left, padded,
        (height, columns, filters_up), filters // channels,
    )  # fmt: skip
    accumulate(
        padded, (height, -top),
        (
            stride_h, stride_w * filters_up, columns * filters_up, dilation_h,
            dilation_w * filters_up,
        ),
        (kernel_h, kernel_w), dy, dy0, (dy_h, dy_w), filters_up, sums,
    )  # fmt: skip


def weight_gradient(x, gradient, geometry, y_shape, dweight, dbias, workspace):
    """See `weight.run_weight_gradient`."""
    shapes = (x.shape, dweight.shape, y_shape)
    columns, threads = _columns(shapes, geometry), jit.max_threads()
    flat = x.reshape(-1)
    filters_up = int(full_vectors(flat, y_shape[3]))
    padded = x.shape[1] * columns * filters_up + jit.SLACK
    widened = y_shape[1] * y_shape[2] * filters_up + jit.SLACK if filters_up > y_shape[3] else 1
    room = (dweight[0].size + 1) * filters_up
    borders = workspace.portion.image_borders(len(x))
    _weight_gradient(
        flat, gradient.arguments(y_shape, 1, workspace), dweight.reshape(-1), dbias, shapes,
        (*geometry[0], *geometry[1], *geometry[2], columns), borders,
        workspace.array("partial", (len(borders) - 1, room), x.dtype),
        workspace.array("depthwise_padded", (threads, padded), x.dtype),
        workspace.array("widened", (threads, widened), x.dtype),
    )  # fmt: skip


# --- both, behind batch normalisation -------------------------------------------------------------


@jit.parallel
def _both_gradients(x, normed, weight, results, sizes, geometry, phases, borders, room):
    """One iteration owns one chunk of images, of dx too.

    normed : a `NormedGradient`; results : dweight, dbias, dx; sizes : as in `_input_image`
    """
    dweight, dbias, dx = results
    packed, start, partial, images, padded, widened = room
    _, _, _, filters, kernel_h, kernel_w, dy_h, dy_w = sizes
    filters_up, area = full_vectors(x, filters), kernel_h * kernel_w
    size, stride = dy_h * dy_w * filters, (geometry[0], geometry[1])
    pack_taps(weight, filters, area, packed)
    fill_row(start, 0, start.size)
    for chunk in prange(partial.shape[0]):
        me = thread_id()
        fill_row(partial[chunk], 0, partial.shape[1])
        for n in range(borders[chunk], borders[chunk + 1]):
            dy = images[me]
            make_normed(normed, n * size, size, dy)
            _weight_image(
                x, n, dy, 0, dbias.size > 0, sizes, geometry, partial[chunk], padded[me],
                widened[me],
            )  # fmt: skip
            _input_image(dy, 0, dx, n, sizes, stride, phases, packed, start, padded[me], padded[me])
    for tap in prange(area):
        combine_chunks(partial, tap * filters_up, filters, dweight, tap, area)
    if dbias.size:
        combine_chunks(partial, area * filters_up, filters, dbias, 0, 1)


def both_gradients(x, normed, weight, geometry, phases, y_shape, dweight, dbias, dx, workspace):
    """See `backward.run_both_gradients`; as many filters as channels."""
    threads, flat = jit.max_threads(), x.reshape(-1)
    filters, _, kernel_h, kernel_w = weight.shape
    sizes = (*x.shape[1:], filters, kernel_h, kernel_w, *y_shape[1:3])
    columns = _columns((x.shape, weight.shape, y_shape), geometry)
    filters_up, pixels = int(full_vectors(flat, filters)), y_shape[1] * y_shape[2]
    padded = max(x.shape[1] * columns, y_shape[1] * phases.columns) * filters_up + jit.SLACK
    widened = pixels * filters_up + jit.SLACK if filters_up > filters else 1
    borders, taps = workspace.portion.image_borders(len(x)), weight[0].size
    room = (
        workspace.array("depthwise_weight", (taps * filters_up,), x.dtype),
        workspace.array("start", (2 * filters_up,), x.dtype),
        workspace.array("partial", (len(borders) - 1, (taps + 1) * filters_up), x.dtype),
        workspace.array("gradients", (threads, pixels * filters + jit.SLACK), x.dtype),
        workspace.array("depthwise_padded", (threads, padded), x.dtype),
        workspace.array("widened", (threads, widened), x.dtype),
    )
    _both_gradients(
        flat, normed, weight.reshape(-1), (dweight.reshape(-1), dbias, dx.reshape(-1)), sizes,
        (*geometry[0], *geometry[1], *geometry[2], columns), phases, borders, room,
    )  # fmt: skip
