"""The input gradient of a convolution: `conv` backwards.

Two ways lead to it: an ordinary convolution of dy with flipped weights, or, for the few channels
of a first layer, the products of every tap, added to where they belong.
"""

import functools

import numpy as np
from numba import prange

from kernels import jit
from kernels.conv import winograd
from kernels.conv.forward import Pair
from kernels.conv.gradient_source import GradientSource, gradient_images
from kernels.conv.image import convolve_image
from kernels.jit import thread_id
from kernels.tile import (
    TILE_ROWS,
    Panel,
    Rows,
    Sums,
    TileShape,
    add_row,
    fill_row,
    mode_of,
    pack,
    pack_transposed,
    packed_mode,
    pad_image,
    padded_channels,
    panel_width,
    prepare,
    tiles,
    vector_width,
)
from kernels.workspace import Workspace

Phase = tuple[int, int, int, int, int]


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


@functools.lru_cache(maxsize=1024)
def _pairs_of_phases(
    dx_size: Pair, kernel: Pair, stride: Pair, padding: Pair, dy_width: int, tap_size: int
) -> tuple[np.ndarray, Pair, int]:
    """What `_input_gradient` calls phases and padding, and the numbers in all packed weights.

    tap_size : numbers in the packed weights of one tap
    """
    rows, columns = (
        _phases(dx_size[axis], kernel[axis], stride[axis], padding[axis]) for axis in (0, 1)
    )
    pairs, packed0 = [], 0
    for row in rows:
        for column in columns:
            pairs.append([*row, *column, packed0])
            packed0 += row[3] * column[3] * tap_size
    return np.array(pairs, np.int64), _columns_around(columns, dy_width), packed0


@jit.parallel
def _input_gradient(
    gradient, weight, dx, shapes, stride, phases, padding, packed, zeros, padded
):  # fmt: skip
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
        me = thread_id()
        dy, dy0 = gradient_images(gradient, n, n + 1)
        if not direct:
            narrow, narrow0 = dy, dy0
            dy, dy0 = padded[me], 0
            pad_image(
                narrow, narrow0, (dy_h, dy_w, out_channels), (0, left), dy, 0,
                (dy_h, columns, out_channels),
            )  # fmt: skip
        if any_empty:
            fill_row(dx, n * image, image)
        for p in range(phases.shape[0]):
            r_h, count_h, _, taps_h, base_h, r_w, count_w, _, taps_w, base_w, packed0 = phases[p]
            if taps_h * taps_w:
                convolve_image(
                    dy, dy0 + (base_w - taps_w + 1 + left) * out_channels,
                    (dy_h, base_h - taps_h + 1), (1, out_channels, columns * out_channels),
                    packed, packed0, (taps_h, taps_w * out_channels), mode, zeros,
                    dx, n * image + r_h * row + r_w * channels,
                    (count_h, count_w), (stride[0] * row, stride[1] * channels), channels,
                )  # fmt: skip


@jit.serial
def spread_row(products, width, count, kernel, stride, row, size, plane):
    """Add one output row's products to dx, where its windows lie.

    products[((c * kernel_h + i) * kernel_w + j) * width + w] belongs to channel c of row + i and
    column w * stride + j; plane is (channels, height, columns).
    """
    kernel_h, kernel_w = kernel
    channels, height, columns = size
    for c in range(channels):
        for i in range(max(0, -row), min(kernel_h, height - row)):
            for j in range(kernel_w):
                products_at = ((c * kernel_h + i) * kernel_w + j) * width
                plane_at = (c * height + row + i) * columns + j
                if stride == 1:
                    add_row(products, products_at, plane, plane_at, count)
                else:
                    for w in range(count):
                        plane[plane_at + w * stride] += products[products_at + w]


@jit.serial
def row_products(dy, dy0, size, weight, zeros, turned, products):
    """One output row times all filters: products[tap, w] = sum over o of dy[w, o] * weight[o, tap].

    Vectors run along the row. size : (pixels of the row, output channels, taps)
    """
    dy_w, out_channels, taps = size
    panel, row_width = panel_width(products, dy_w), padded_channels(products, dy_w)
    mode, lane_count = mode_of(products, dy_w), vector_width(products, dy_w)
    count = (taps + TILE_ROWS - 1) // TILE_ROWS
    for w in range(0, dy_w, panel):
        pack_transposed(dy, dy0, dy_w, out_channels, w, panel, turned)
        vectors = (min(panel, dy_w - w) + lane_count - 1) // lane_count
        for t in range(count):
            first, last = taps * t // count, taps * (t + 1) // count
            tiles(
                TileShape(mode, last - first, vectors, lane_count, inner=out_channels),
                Rows(weight, first, m=1, i=taps),
                Panel(turned, 0, i=panel),
                Sums(zeros, 0),
                Sums(products, first * row_width + w, m=row_width),
            )


@jit.parallel
def _input_gradient_few(dy, weight, dx, shapes, stride, padding, zeros, turned, products, planes):
    """One iteration owns one image of dx: every window's share of it, added window by window.

    Vectors run along the output row, because there are too few channels to fill one.
    """
    dy_shape, weight_shape, dx_shape = shapes
    images, dy_h, dy_w, out_channels = dy_shape
    _, channels, kernel_h, kernel_w = weight_shape
    _, height, width, _ = dx_shape
    row_size = (dy_w, out_channels, kernel_h * kernel_w * channels)
    row_width = padded_channels(dx, dy_w)
    fill_row(zeros, 0, zeros.size)
    columns = planes.shape[1] // (height * channels)
    for n in prange(images):
        me = thread_id()
        plane = planes[me]
        fill_row(plane, 0, plane.size)
        for h in range(dy_h):
            dy0 = (n * dy_h + h) * dy_w * out_channels
            row_products(dy, dy0, row_size, weight, zeros, turned[me], products[me])
            spread_row(
                products[me], row_width, dy_w, (kernel_h, kernel_w), stride[1],
                h * stride[0] - padding[0], (channels, height, columns), plane,
            )  # fmt: skip
        for c in range(channels):
            for row in range(height):
                plane0 = (c * height + row) * columns + padding[1]
                dx0 = (n * height + row) * width * channels + c
                for w in range(width):
                    dx[dx0 + w * channels] = plane[plane0 + w]


def prefers_products(
    dy_shape: tuple[int, ...], weight_shape: tuple[int, ...], dx_shape: tuple[int, ...],
    stride: Pair, flat: np.ndarray,
) -> bool:  # fmt: skip
    """Whether few input channels would leave most lanes of `_input_gradient` empty.

    Compares the vector operations of both ways: multiply-adds into dx directly, or one product
    per window and tap (and three operations to add each of them to dx), each of which was measured
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
        workspace.array("turned", (threads, dy.shape[3] * panel), dy.dtype),
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
    if prefers_products(*shapes, stride, dx.reshape(-1)):
        _gradient_by_products(dy, weight, dx, shapes, stride, padding, workspace)
        return
    run_input_gradient(GradientSource(dy), weight, stride, padding, dy.shape, dx, workspace)


def run_input_gradient(gradient, weight, stride, padding, y_shape, dx, workspace):
    """The input gradient, given where that of the output, of shape y_shape, comes from."""
    dtype = dx.dtype
    prepare(dtype)
    if winograd.suits(weight.shape, stride, dx.shape[1:3], dx.reshape(-1)):
        winograd.input_gradient(gradient, weight, padding, y_shape, dx, workspace)
        return
    out_channels, channels = weight.shape[:2]
    lanes_width = int(padded_channels(dx.reshape(-1), channels))
    phases, around, numbers = _pairs_of_phases(
        dx.shape[1:3], weight.shape[2:], tuple(stride), tuple(padding), y_shape[2],
        out_channels * lanes_width,
    )  # fmt: skip
    packed = workspace.array("packed_transposed", (max(1, numbers),), dtype)
    zeros = workspace.array("zeros", (lanes_width,), dtype)
    size = y_shape[1] * around[1] * out_channels
    padded = workspace.array("padded_gradient", (jit.max_threads(), size), dtype)
    _input_gradient(
        gradient.arguments(y_shape, 1, workspace), weight.reshape(-1), dx.reshape(-1),
        (y_shape, weight.shape, dx.shape), stride, phases, around, packed,
        zeros, padded,
    )  # fmt: skip
