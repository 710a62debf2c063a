"""Convolution on the register tile: forward, input gradient, weight gradient.

    y[n, h, w, o] = bias[o] + sum over i, j, c of
                    x[n, h * stride_h + i - top, w * stride_w + j - left, c] * weight[o, c, i, j]

(the cross-correlation that deep learning calls convolution; Goodfellow et al. 2016, eq. 9.6).
Arrays are N, H, W, C; weights are (out, in, kernel_h, kernel_w). Padding at the bottom and right is
whatever the output size asks for. All three directions are one loop nest, `_convolve_image`, over
differently packed operands.
"""

import numpy as np
from numba import prange

from kernels import jit
from kernels.jit import thread_id
from kernels.packing import (
    add_row,
    copy_row,
    fill_row,
    mode_of,
    pack,
    pack_transposed,
    packed_mode,
    pad_columns,
    padded_channels,
    panel_width,
    sum_rows,
    vector_width,
    whole_vectors,
)
from kernels.tile import TILE_ROWS, prepare, tile
from kernels.workspace import Workspace

Pair = tuple[int, int]
Phase = tuple[int, int, int, int, int]


# --- one image --------------------------------------------------------------------------------


@jit.serial
def rows_inside(first, step, count, height):
    """Range of k < count for which row ``first + k * step`` lies within 0 and ``height``."""
    start = 0 if first >= 0 else (step - 1 - first) // step
    stop = 0 if first >= height else (height - 1 - first) // step + 1
    return min(start, count), max(min(start, count), min(stop, count))


@jit.serial
def convolve_image(
    image, image0, extent, steps, packed, packed0, taps, bias, size, y, y0, y_steps, channels,
    mode,
):  # fmt: skip
    """Slide packed weights over one image; one call owns that image's share of y.

    extent : (rows of the image, image row of the first kernel row at output row 0)
    steps : image rows per output row, image columns per output column as an offset, row length
    taps : (kernel rows, kernel columns * channels) that each output sums over
    size, y_steps : (rows, columns) of the output and their strides in y
    mode : how the weights were packed, `packed_mode`
    """
    height, first_row = extent
    stride_h, column_step, row_length = steps
    kernel_h, inner = taps
    lane_count = vector_width(packed, channels)
    panel = panel_width(packed, channels)
    tiles = (size[1] + TILE_ROWS - 1) // TILE_ROWS
    for o in range(0, channels, panel):
        vectors = (min(panel, channels - o) + lane_count - 1) // lane_count
        tail = channels - o - (vectors - 1) * lane_count
        weights = packed0 + o * kernel_h * inner
        for h in range(size[0]):
            row = first_row + h * stride_h
            i, stop = rows_inside(row, 1, kernel_h, height)
            for t in range(tiles):
                # Even shares: 19 columns are 10 + 9, not 14 + 5.
                first, last = size[1] * t // tiles, size[1] * (t + 1) // tiles
                tile(
                    mode, last - first, vectors,
                    image, image0 + (row + i) * row_length + first * column_step,
                    column_step, row_length, 1,
                    packed, weights + i * inner * panel, panel, inner, stop - i, bias, o, 0,
                    y, y0 + h * y_steps[0] + first * y_steps[1] + o, y_steps[1], tail,
                )  # fmt: skip


@jit.serial
def accumulate_image(
    image, image0, extent, steps, taps, dy, dy0, size, channels, partial, partial0
):  # fmt: skip
    """Add one image's share of the weight gradient to (kernel row, tap, channel) sums.

    dy has ``channels`` per pixel, whole vectors of the width that `vector_width` names.
    """
    height, first_row = extent
    stride_h, column_step, row_length = steps
    kernel_h, inner = taps
    mode = mode_of(dy, channels)
    lane_count = vector_width(dy, channels)
    panel = panel_width(dy, channels)
    tiles = (inner + TILE_ROWS - 1) // TILE_ROWS
    for o in range(0, channels, panel):
        vectors = min(panel, channels - o) // lane_count
        for i in range(kernel_h):
            h, stop = rows_inside(first_row + i, stride_h, size[0], height)
            row = first_row + i + h * stride_h
            for t in range(tiles):
                first, last = inner * t // tiles, inner * (t + 1) // tiles
                place = partial0 + (i * inner + first) * channels + o
                tile(
                    mode, last - first, vectors,
                    image, image0 + row * row_length + first, 1, stride_h * row_length,
                    column_step, dy, dy0 + h * size[1] * channels + o, channels, size[1],
                    stop - h, partial, place, channels, partial, place, channels, lane_count,
                )  # fmt: skip


# --- forward ----------------------------------------------------------------------------------


@jit.serial
def columns_read(kernel_w, out_w, stride_w):
    """Columns, padding included, that the outputs of one row read."""
    return (out_w - 1) * stride_w + kernel_w


@jit.parallel
def _forward(x, weight, bias, y, shapes, stride, padding, packed, bias_padded, padded):
    """One iteration owns one image of the output."""
    x_shape, weight_shape, y_shape = shapes
    images, height, width, channels = x_shape
    out_channels, _, kernel_h, kernel_w = weight_shape
    area = kernel_h * kernel_w
    pack(
        weight, 0, (kernel_w, 1, area), (kernel_h, kernel_w, channels), channels * area,
        out_channels, packed, 0,
    )  # fmt: skip
    fill_row(bias_padded, 0, bias_padded.size)
    copy_row(bias, 0, bias_padded, 0, bias.size)
    mode = packed_mode(packed, out_channels, channels)
    columns = columns_read(kernel_w, y_shape[2], stride[1])
    direct = padding[1] == 0 and columns <= width
    row_length = (width if direct else columns) * channels
    y_row = y_shape[2] * out_channels
    for n in prange(images):
        image, image0 = x, n * height * width * channels
        if not direct:
            image, image0 = padded[thread_id()], 0
            pad_columns(
                x, n * height * width * channels, height, width, channels, padding[1], image,
                columns,
            )  # fmt: skip
        convolve_image(
            image, image0, (height, -padding[0]), (stride[0], stride[1] * channels, row_length),
            packed, 0, (kernel_h, kernel_w * channels), bias_padded, (y_shape[1], y_shape[2]),
            y, n * y_shape[1] * y_row, (y_row, out_channels), out_channels, mode,
        )  # fmt: skip


def _padded_images(x_shape, weight_shape, y_shape, stride, dtype, workspace):
    """Each thread's scratch for one image with padded columns."""
    columns = int(columns_read(weight_shape[3], y_shape[2], stride[1]))
    size = x_shape[1] * columns * x_shape[3]
    return workspace.array("padded", (jit.max_threads(), size), dtype)


def conv_forward(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    stride: Pair,
    padding: Pair,
    y: np.ndarray,
    workspace: Workspace,
) -> None:
    """Fill y (N, H_out, W_out, O) with the convolution of x (N, H, W, C) and weight (O, C, kh, kw).

    ``bias`` has size O or 0.
    """
    prepare(x.dtype)
    shapes = (x.shape, weight.shape, y.shape)
    out_channels = int(padded_channels(y.reshape(-1), weight.shape[0]))
    packed = workspace.array("packed", (out_channels * weight[0].size,), x.dtype)
    bias_padded = workspace.array("bias", (out_channels,), x.dtype)
    padded = _padded_images(*shapes, stride, x.dtype, workspace)
    _forward(
        x.reshape(-1), weight.reshape(-1), bias, y.reshape(-1), shapes, stride, padding,
        packed, bias_padded, padded,
    )  # fmt: skip


# --- input gradient ---------------------------------------------------------------------------


def _phases(size: int, kernel: int, stride: int, before: int) -> list[Phase]:
    """Along one axis, the positions of dx that share the taps which reach them.

    Position ``r + stride * t`` (t < count) of dx receives
    dy[t + base - j] * weight[first_tap + stride * j] for j < taps: an ordinary convolution of
    dy with every stride-th tap, in reverse. Returns (r, count, first_tap, taps, base) per phase.
    """
    phases = []
    for r in range(min(stride, size)):
        first_tap = (r + before) % stride
        taps = max(0, -(-(kernel - first_tap) // stride))
        count = -(-(size - r) // stride)
        phases.append((r, count, first_tap, taps, (r + before - first_tap) // stride))
    return phases


def _columns_around(phases: list[Phase], dy_width: int) -> Pair:
    """Zeros needed left of dy so that every phase stays inside, and the padded width."""
    reached = [phase for phase in phases if phase[3]]
    before = max([0] + [taps - 1 - base for _, _, _, taps, base in reached])
    last = max([dy_width - 1] + [count - 1 + base for _, count, _, _, base in reached])
    return before, before + last + 1


@jit.parallel
def _input_gradient(dy, weight, dx, shapes, stride, phases, padding, packed, zeros, padded):
    """One iteration owns one image of dx. phases: rows of (row phase, column phase, packed0)."""
    dy_shape, weight_shape, dx_shape = shapes
    images, dy_h, dy_w, out_channels = dy_shape
    _, channels, kernel_h, kernel_w = weight_shape
    area = kernel_h * kernel_w
    left, columns = padding
    any_empty = False
    for p in range(phases.shape[0]):
        _, _, tap_h, taps_h, _, _, _, tap_w, taps_w, _, packed0 = phases[p]
        if taps_h * taps_w == 0:
            any_empty = True
            continue
        last = (tap_h + (taps_h - 1) * stride[0]) * kernel_w + tap_w + (taps_w - 1) * stride[1]
        pack(
            weight, last, (-stride[0] * kernel_w, -stride[1], channels * area),
            (taps_h, taps_w, out_channels), area, channels, packed, packed0,
        )  # fmt: skip
    fill_row(zeros, 0, zeros.size)
    row, image = dx_shape[2] * channels, dx_shape[1] * dx_shape[2] * channels
    direct = columns == dy_w
    mode = packed_mode(packed, channels, out_channels)
    for n in prange(images):
        source, source0 = dy, n * dy_h * dy_w * out_channels
        if not direct:
            source, source0 = padded[thread_id()], 0
            pad_columns(
                dy, n * dy_h * dy_w * out_channels, dy_h, dy_w, out_channels, left, source,
                columns,
            )  # fmt: skip
        if any_empty:
            fill_row(dx, n * image, image)
        for p in range(phases.shape[0]):
            r_h, count_h, _, taps_h, base_h, r_w, count_w, _, taps_w, base_w, packed0 = phases[p]
            if taps_h * taps_w:
                convolve_image(
                    source, source0 + (base_w - taps_w + 1 + left) * out_channels,
                    (dy_h, base_h - taps_h + 1), (1, out_channels, columns * out_channels),
                    packed, packed0, (taps_h, taps_w * out_channels), zeros, (count_h, count_w),
                    dx, n * image + r_h * row + r_w * channels,
                    (stride[0] * row, stride[1] * channels), channels, mode,
                )  # fmt: skip


@jit.serial
def spread_row(products, width, count, kernel, stride, row, size, plane):
    """Add one output row's products to the places of dx that its windows cover.

    products[((c * kernel_h + i) * kernel_w + j) * width + w] belongs to channel c of row + i and
    column w * stride + j; plane is (channels, height, columns).
    """
    kernel_h, kernel_w = kernel
    channels, height, columns = size
    for c in range(channels):
        for i in range(max(0, -row), min(kernel_h, height - row)):
            for j in range(kernel_w):
                source = ((c * kernel_h + i) * kernel_w + j) * width
                place = (c * height + row + i) * columns + j
                if stride == 1:
                    add_row(products, source, plane, place, count)
                else:
                    for w in range(count):
                        plane[place + w * stride] += products[source + w]


@jit.parallel
def _input_gradient_few(dy, weight, dx, shapes, stride, padding, zeros, turned, products, planes):
    """One iteration owns one image of dx: every window's share of it, added window by window.

    Vectors run along the output row, because there are too few channels to fill one.
    """
    dy_shape, weight_shape, dx_shape = shapes
    images, dy_h, dy_w, out_channels = dy_shape
    _, channels, kernel_h, kernel_w = weight_shape
    _, height, width, _ = dx_shape
    window = kernel_h * kernel_w * channels
    panel = panel_width(dx, dy_w)
    mode, lane_count = mode_of(dx, dy_w), vector_width(dx, dy_w)
    row_width = padded_channels(dx, dy_w)
    fill_row(zeros, 0, zeros.size)
    columns = planes.shape[1] // (height * channels)
    tiles = (window + TILE_ROWS - 1) // TILE_ROWS
    for n in prange(images):
        me = thread_id()
        plane = planes[me]
        fill_row(plane, 0, plane.size)
        for h in range(dy_h):
            dy0 = (n * dy_h + h) * dy_w * out_channels
            for w in range(0, dy_w, panel):
                pack_transposed(dy, dy0, dy_w, out_channels, w, panel, turned[me])
                vectors = (min(panel, dy_w - w) + lane_count - 1) // lane_count
                for t in range(tiles):
                    first, last = window * t // tiles, window * (t + 1) // tiles
                    tile(
                        mode, last - first, vectors, weight, first, 1, 0, window,
                        turned[me], 0, panel, out_channels, 1, zeros, 0, 0,
                        products[me], first * row_width + w, row_width, lane_count,
                    )  # fmt: skip
            spread_row(
                products[me], row_width, dy_w, (kernel_h, kernel_w), stride[1],
                h * stride[0] - padding[0], (channels, height, columns), plane,
            )  # fmt: skip
        for c in range(channels):
            for row in range(height):
                source = (c * height + row) * columns + padding[1]
                target = (n * height + row) * width * channels + c
                for w in range(width):
                    dx[target + w * channels] = plane[source + w]


def _prefers_products(
    dy_shape: tuple[int, ...], weight_shape: tuple[int, ...], dx_shape: tuple[int, ...],
    stride: Pair, flat: np.ndarray,
) -> bool:  # fmt: skip
    """Whether few input channels would leave most lanes of `_input_gradient` empty.

    Compares the vector operations of both ways: multiply-adds into dx directly, or one product
    per window place (and three operations to add each of them to dx), each of which was measured
    to take about three times as long.
    """
    out_channels, channels, kernel_h, kernel_w = weight_shape
    taps = kernel_h * kernel_w
    direct = dx_shape[1] * dx_shape[2] // (stride[0] * stride[1]) * taps * out_channels
    direct *= -(-channels // int(vector_width(flat, channels)))
    row = int(padded_channels(flat, dy_shape[2])) // int(vector_width(flat, dy_shape[2]))
    products = dy_shape[1] * row * taps * channels * (out_channels + 3)
    return 3 * products < direct


def _gradient_by_products(dy, weight, dx, shapes, stride, padding, workspace):
    flat = dx.reshape(-1)
    _, height, width, channels = dx.shape
    out_w = dy.shape[2]
    panel, row = int(panel_width(flat, out_w)), int(padded_channels(flat, out_w))
    columns = max((out_w - 1) * stride[1] + weight.shape[3], width + padding[1])
    threads = jit.max_threads()
    _input_gradient_few(
        dy.reshape(-1), weight.reshape(-1), flat, shapes, stride, padding,
        workspace.array("zeros", (panel,), dy.dtype),
        workspace.array("turned", (threads, dy.shape[3] * panel + jit.SLACK), dy.dtype),
        workspace.array("products", (threads, weight[0].size * row), dy.dtype),
        workspace.array("planes", (threads, channels * height * columns), dy.dtype),
    )  # fmt: skip


def conv_backward_input(
    dy: np.ndarray,
    weight: np.ndarray,
    stride: Pair,
    padding: Pair,
    dx: np.ndarray,
    workspace: Workspace,
) -> None:
    """Fill dx (N, H, W, C) with the loss's gradient by x, given dy (N, H_out, W_out, O).

    dx[n, a, b, c] = sum over o, i, j with a = h * stride_h + i - top, b = w * stride_w + j - left
                     of dy[n, h, w, o] * weight[o, c, i, j]

    With strides above 1 the positions of dx fall into stride_h * stride_w phases; each is an
    ordinary convolution of dy with the taps that reach it. With few input channels, where that
    would fill few lanes, each window's products are computed together and added to dx instead.
    """
    prepare(dy.dtype)
    shapes = (dy.shape, weight.shape, dx.shape)
    if _prefers_products(*shapes, stride, dx.reshape(-1)):
        _gradient_by_products(dy, weight, dx, shapes, stride, padding, workspace)
        return
    _, channels, kernel_h, kernel_w = weight.shape
    rows = _phases(dx.shape[1], kernel_h, stride[0], padding[0])
    columns = _phases(dx.shape[2], kernel_w, stride[1], padding[1])
    around = _columns_around(columns, dy.shape[2])
    width = int(padded_channels(dx.reshape(-1), channels))
    phases, packed0 = [], 0
    for row in rows:
        for column in columns:
            phases.append([*row, *column, packed0])
            packed0 += row[3] * column[3] * dy.shape[3] * width
    packed = workspace.array("packed_transposed", (max(1, packed0),), dy.dtype)
    zeros = workspace.array("zeros", (width,), dy.dtype)
    padded = workspace.array(
        "padded_gradient", (jit.max_threads(), dy.shape[1] * around[1] * dy.shape[3]), dy.dtype
    )
    _input_gradient(
        dy.reshape(-1), weight.reshape(-1), dx.reshape(-1), shapes, stride,
        np.array(phases, np.int64), around, packed, zeros, padded,
    )  # fmt: skip


# --- weight gradient --------------------------------------------------------------------------


@jit.parallel
def _weight_gradient(x, dy, dweight, dbias, shapes, stride, padding, partial, padded, widened):
    """One iteration owns one chunk of images and that chunk's partial sums."""
    x_shape, weight_shape, dy_shape = shapes
    images, height, width, channels = x_shape
    out_channels, _, kernel_h, kernel_w = weight_shape
    columns = columns_read(kernel_w, dy_shape[2], stride[1])
    direct = padding[1] == 0 and columns <= width
    row_length = (width if direct else columns) * channels
    wide = whole_vectors(dy, out_channels)
    pixels = dy_shape[1] * dy_shape[2]
    taps_all = kernel_h * kernel_w * channels
    chunks = partial.shape[0]
    for chunk in prange(chunks):
        me = thread_id()
        sums = partial[chunk]
        fill_row(sums, 0, sums.size)
        for n in range(images * chunk // chunks, images * (chunk + 1) // chunks):
            gradient, gradient0 = dy, n * pixels * out_channels
            if dbias.size:
                sum_rows(dy, gradient0, pixels, out_channels, sums, taps_all * wide)
            if wide != out_channels:
                gradient, gradient0 = widened[me], 0
                for p in range(pixels):
                    place = (n * pixels + p) * out_channels
                    copy_row(dy, place, gradient, p * wide, out_channels)
                    fill_row(gradient, p * wide + out_channels, wide - out_channels)
            image, image0 = x, n * height * width * channels
            if not direct:
                image, image0 = padded[me], 0
                pad_columns(
                    x, n * height * width * channels, height, width, channels, padding[1], image,
                    columns,
                )  # fmt: skip
            accumulate_image(
                image, image0, (height, -padding[0]),
                (stride[0], stride[1] * channels, row_length), (kernel_h, kernel_w * channels),
                gradient, gradient0, (dy_shape[1], dy_shape[2]), wide, sums, 0,
            )  # fmt: skip
    # Chunks are added in order: the same bits for any number of threads.
    area = kernel_h * kernel_w
    for i in prange(taps_all):
        place = i % channels * area + i // channels
        combine_chunks(partial, i * wide, out_channels, dweight, place, channels * area)
    if dbias.size:
        combine_chunks(partial, taps_all * wide, out_channels, dbias, 0, 1)


@jit.serial
def combine_chunks(partial, first, count, target, target0, target_step):
    """target[k * step] = sum over chunks, in order, of partial[chunk, first + k]"""
    for k in range(count):
        value = partial[0, first + k]
        for chunk in range(1, partial.shape[0]):
            value += partial[chunk, first + k]
        target[target0 + k * target_step] = value


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
    prepare(x.dtype)
    shapes = (x.shape, dweight.shape, dy.shape)
    flat = dy.reshape(-1)
    wide = int(whole_vectors(flat, dy.shape[3]))
    room = dweight[0].size * wide + dy.shape[3]
    partial = workspace.array("partial", (jit.chunks_of(len(x)), room), x.dtype)
    padded = _padded_images(*shapes, stride, x.dtype, workspace)
    pixels = dy.shape[1] * dy.shape[2] if wide != dy.shape[3] else 1
    widened = workspace.array("widened", (jit.max_threads(), pixels * wide), x.dtype)
    _weight_gradient(
        x.reshape(-1), flat, dweight.reshape(-1), dbias, shapes, stride, padding, partial,
        padded, widened,
    )  # fmt: skip
