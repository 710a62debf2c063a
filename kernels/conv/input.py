"""The input gradient of a convolution: `conv` backwards.

An ordinary convolution of dy with flipped weights; `winograd` and, where few channels would leave
lanes empty, `windows` and `grouped` do the same.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
from numba import prange

from kernels import jit
from kernels.conv import depthwise, grouped, windows, winograd, winograd_plan
from kernels.conv.arrangement import LARGE_WEIGHTS, rows_of_images, spread_columns
from kernels.conv.forward import Pair
from kernels.conv.gradient_source import PLAIN, GradientSource, gradient_images, nothing
from kernels.conv.image import convolve_image
from kernels.conv.panels import Panels, pack_share, packed_before
from kernels.jit import thread_id
from kernels.tile import (
    copy_row,
    fill_pixels,
    fill_row,
    odd_vectors,
    packed_mode,
    pad_image,
    padded_channels,
    prepare,
)
from kernels.workspace import Shapes, Workspace

Shape = tuple[int, ...]
Geometry = tuple[Pair, Pair, Pair]  # stride, padding, dilation
Phase = tuple[int, int, int, int, int]


def _phases(size: int, kernel: int, stride: int, before: int, dilation: int) -> list[Phase]:
    """Along one axis, the positions of dx that share the taps which reach them.

    Position ``r + stride * t`` (t < count) of dx receives

        dy[t + base - j * dilation / common] * weight[first_tap + j * stride / common]

    for j < taps, where common is the greatest divisor of stride and dilation: a convolution of dy
    with every so-many-th tap, in reverse. Returns (r, count, first_tap, taps, base) per phase.
    """
    tap_step = stride // math.gcd(stride, dilation)
    phases = []
    for r in range(min(stride, size)):
        reach = (tap for tap in range(tap_step) if (r + before - tap * dilation) % stride == 0)
        first_tap = next(reach, kernel)
        taps = max(0, -(-(kernel - first_tap) // tap_step))
        count = -(-(size - r) // stride)
        phases.append((r, count, first_tap, taps, (r + before - first_tap * dilation) // stride))
    return phases


def _columns_around(phases: list[Phase], dy_width: int, gap: int) -> Pair:
    """Zeros needed left of dy so that every phase stays inside, and the padded width.

    gap : columns of dy from one tap to the next
    """
    reached = [phase for phase in phases if phase[3]]
    before = max([0] + [(taps - 1) * gap - base for _, _, _, taps, base in reached])
    last = max([dy_width - 1] + [count - 1 + base for _, count, _, _, base in reached])
    return before, before + last + 1


class Phases(NamedTuple):
    """How the positions of dx are computed, phase by phase.

    table : rows of (row phase, column phase, start of its packed weights)
    tap_step_h, gap_h, ... : from one tap of a phase to the next one, in the filter and on dy
    spread : whether a phase's taps have gaps between them, so that dy is spread out for it
    left, columns : zeros left of dy, and its width with zeros, for all phases
    numbers : in the packed weights of a group
    """

    table: np.ndarray
    tap_step_h: int
    tap_step_w: int
    gap_h: int
    gap_w: int
    spread: bool
    left: int
    columns: int
    numbers: int


def _pairs_of_phases(
    dx_size: Pair, kernel: Pair, geometry: Geometry, dy_width: int, tap_size: int
) -> Phases:
    """The phases of a convolution. tap_size : numbers in the packed weights of one tap."""
    stride, padding, dilation = geometry
    rows, columns = (
        _phases(dx_size[axis], kernel[axis], stride[axis], padding[axis], dilation[axis])
        for axis in (0, 1)
    )
    common = [math.gcd(stride[axis], dilation[axis]) for axis in (0, 1)]
    gap = (dilation[0] // common[0], dilation[1] // common[1])
    spread = gap[1] > 1 and any(taps > 1 for _, _, _, taps, _ in columns)
    pairs, packed0 = [], 0
    for row in rows:
        for column in columns:
            pairs.append([*row, *column, packed0])
            packed0 += row[3] * column[3] * tap_size
    if spread:
        pairs.sort(key=lambda pair: pair[5])  # dy is spread once for all with the same columns
    table, tap_step = np.array(pairs, np.int64), (stride[0] // common[0], stride[1] // common[1])
    around = _columns_around(columns, dy_width, gap[1])
    return Phases(table, *tap_step, *gap, spread, *around, packed0)


class Folded(NamedTuple):
    """Shapes of an input gradient with column phases as channels, side by side.

    Where the filters are a multiple of the stride wide, each phase has equally many taps, and the
    ``stride`` positions of dx from stride * u - left on read the same columns of dy. In memory they
    are one position with so many times the channels, which fill vectors where one pixel's do not.
    They may reach over both ends of a row, which is then cut out of them.
    """

    weight: Shape
    geometry: Geometry
    dx: Shape


def _folded(weight_shape: Shape, geometry: Geometry, dx_shape: Shape, dtype: np.dtype) -> Folded:
    """What is computed: that, where it is possible and fills vectors better; else what is asked."""
    filters, depth, kernel_h, kernel_w = weight_shape
    (stride_h, stride_w), (top, left), dilation = geometry
    as_it_is = Folded(weight_shape, geometry, dx_shape)
    if depth < dx_shape[3] or dilation[1] > 1 or stride_w == 1 or kernel_w % stride_w:
        return as_it_is
    cost = windows.step_cost(dtype, depth, filters)
    if windows.step_cost(dtype, stride_w * depth, filters) >= stride_w * cost:
        return as_it_is
    width = -(-(left + dx_shape[2]) // stride_w)
    return Folded(
        (filters, stride_w * depth, kernel_h, kernel_w // stride_w),
        ((stride_h, 1), (top, 0), dilation),
        (dx_shape[0], dx_shape[1], width, stride_w * depth),
    )


def _fold(weight: np.ndarray, stride: int, shape: Shape, workspace: Workspace) -> np.ndarray:
    """The weights in that shape."""
    filters, channels, kernel_h, kernel_w = weight.shape
    taps = kernel_w // stride
    folded = workspace.array("folded_weight", shape, weight.dtype)
    folded.reshape(filters, stride, channels, kernel_h, taps)[...] = weight.reshape(
        filters, channels, kernel_h, taps, stride
    ).transpose(0, 4, 1, 2, 3)
    return folded


@functools.lru_cache(maxsize=1000)
def phases_of(
    weight_shape: Shape, geometry: Geometry, y_shape: Shape, dx_shape: Shape, dtype: np.dtype
) -> Phases:
    """The phases of the gradient dx of a convolution's input."""
    depth = weight_shape[1]
    width = int(padded_channels(np.empty(0, dtype), depth))
    tap_size = weight_shape[0] * depth // dx_shape[3] * width
    dx_size, kernel = (dx_shape[1], dx_shape[2]), (weight_shape[2], weight_shape[3])
    return _pairs_of_phases(dx_size, kernel, geometry, y_shape[2], tap_size)


@jit.parallel
def _input_gradient(
    gradient, weight, bias, dx, shapes, stride, phases, together, panels_packed, start, padded,
    wide,
):  # fmt: skip
    """One iteration owns one image of dx, or some that are convolved at once.

    together : (images at once, numbers of one of dy that is arranged), see `arrangement`
    panels_packed : as in `forward._forward`
    start : room for the bias of each group
    wide : (numbers cut off at the beginning of a row, numbers kept, each thread's images that are
        cut); without numbers in these images dx itself is computed
    """
    dy_shape, weight_shape, dx_shape = shapes
    images, dy_h, dy_w, out_channels = dy_shape
    depth, channels = weight_shape[1], dx_shape[3]
    groups = channels // depth
    filters = out_channels // groups
    panels, packed = panels_packed
    table, columns = phases.table, phases.columns
    fill_row(start, 0, start.size)
    start_size = start.size // groups
    any_empty = False
    for p in range(table.shape[0]):
        any_empty |= table[p, 3] * table[p, 8] == 0
    pack_share(weight, panels, packed, 0, 1)
    if bias.size:
        for g in range(groups):
            copy_row(bias, g * depth, start, g * start_size, depth)
    pixels, row = dx_shape[1] * dx_shape[2], dx_shape[2] * channels
    cut, kept, uncut = wide
    mode = packed_mode(packed, depth, filters)
    image, at_once, step = pixels * channels, together[0], together[1]
    # Threads take images by turns: what one of them reads next, if weights stay in the caches.
    dy_size, ahead = dy_h * dy_w * out_channels, padded.shape[0]
    asked_size = 0
    if gradient.kind == PLAIN and packed.size * packed.itemsize <= LARGE_WEIGHTS * groups:
        asked_size = at_once * dy_size // (groups * table.shape[0])
    for part in prange((images + at_once - 1) // at_once):
        me, first = thread_id(), part * at_once
        last = min(images, first + at_once)
        asked0 = (first + ahead * at_once) * dy_size
        dy, dy0 = gradient_images(gradient, first, last)
        if groups == 1 and not phases.spread and (at_once > 1 or columns != dy_w):
            narrow, narrow0 = dy, dy0
            dy, dy0 = padded[me], 0
            for n in range(last - first):
                pad_image(
                    narrow, narrow0 + n * dy_size, (dy_h, dy_w, out_channels), (0, phases.left),
                    (1, 1), dy, n * step, (dy_h, columns, out_channels),
                )  # fmt: skip
        target, target0 = dx, first * image
        if uncut.size:
            target, target0 = uncut[me], 0
        if any_empty:
            fill_pixels(target, target0, (last - first) * pixels, channels, bias)
        for g in range(groups):
            source, source0 = dy, dy0
            spread_for = -1
            for p in range(table.shape[0]):
                r_h, count_h, _, taps_h, base_h, r_w, count_w, _, taps_w, base_w, packed0 = table[p]
                if taps_h * taps_w == 0:
                    continue
                column_step, row_length = filters, columns * filters
                offset = (base_w - taps_w + 1 + phases.left) * filters
                spread = columns, 1, 1, 1, phases.left
                if phases.spread:
                    gap = phases.gap_w
                    column_step, row_length, offset = (
                        taps_w * filters,
                        count_w * taps_w * filters,
                        0,
                    )
                    spread = count_w, 1, taps_w, gap, (taps_w - 1) * gap - base_w
                if (phases.spread and spread_for != r_w) or (groups > 1 and spread_for < 0):
                    spread_for = r_w
                    source, source0 = padded[me], 0
                    for n in range(last - first):
                        spread_columns(
                            dy, dy0 + n * dy_size, (dy_h, dy_w, out_channels),
                            (g * filters, filters), spread, source, n * step,
                        )  # fmt: skip
                convolve_image(
                    source, source0 + offset, (dy_h, base_h - (taps_h - 1) * phases.gap_h),
                    (1, column_step, row_length, phases.gap_h), (last - first, step, image),
                    packed, g * phases.numbers + packed0, (taps_h, taps_w * filters), mode,
                    start, g * start_size,
                    target, target0 + r_h * row + r_w * channels + g * depth,
                    (count_h, count_w), (stride[0] * row, stride[1] * channels), depth,
                    gradient.dy, asked0, asked_size,
                )  # fmt: skip
                asked0 += asked_size
        if uncut.size:
            for n in range(last - first):
                for k in range(dx_shape[1]):
                    copy_row(
                        uncut[me], n * image + k * row + cut,
                        dx, ((first + n) * dx_shape[1] + k) * kept, kept,
                    )  # fmt: skip


def conv_backward_input(
    dy: np.ndarray,
    weight: np.ndarray,
    stride: Pair,
    padding: Pair,
    dx: np.ndarray,
    workspace: Workspace,
    dilation: Pair = (1, 1),
    bias: np.ndarray | None = None,
) -> None:
    """Fill dx (N, H, W, C) with the loss's gradient by x, given dy (N, H_out, W_out, O).

    dx[n, a, b, c] = sum over o, i, j of dy[n, h, w, o] * weight[o, c, i, j]
                     with a = h * stride_h + i * dilation_h - top,
                          b = w * stride_w + j * dilation_w - left

    With strides above 1 the positions of dx fall into stride_h * stride_w phases; each is an
    ordinary convolution of dy with the taps that reach it.

    A transposed convolution computes that forward, from dy to dx, and adds its ``bias``.
    """
    geometry = (stride, padding, dilation)
    run_input_gradient(GradientSource(dy), weight, geometry, dy.shape, dx, workspace, bias)


def _panels_of(weight_shape: Shape, groups: int, phases: Phases) -> Panels:
    """The flipped taps of all phases of all groups."""
    filters, depth, kernel_h, kernel_w = weight_shape
    filters, area, rows = filters // groups, kernel_h * kernel_w, []
    for g in range(groups):
        for _, _, tap_h, taps_h, _, _, _, tap_w, taps_w, _, packed0 in phases.table:
            last_h = tap_h + (taps_h - 1) * phases.tap_step_h
            last_w = tap_w + (taps_w - 1) * phases.tap_step_w
            first = g * filters * depth * area + last_h * kernel_w + last_w
            steps = -phases.tap_step_h * kernel_w, -phases.tap_step_w, depth * area
            rows.append((first, *steps, taps_h, taps_w, filters, g * phases.numbers + packed0))
    return Panels(np.array(rows, np.int64), area, depth)


class _Plan(NamedTuple):
    """What follows from shapes alone. way : which kernel is soonest done."""

    way: str
    folded: Folded
    phases: Phases
    together: Pair
    panels: Panels
    scratch: Shapes


@functools.lru_cache(maxsize=1000)
def _plan(
    weight_shape: Shape,
    geometry: Geometry,
    y_shape: Shape,
    dx_shape: Shape,
    dtype: np.dtype,
    threads: int,
) -> _Plan:
    dilation = geometry[2]
    groups, folded = dx_shape[3] // weight_shape[1], Folded(weight_shape, geometry, dx_shape)
    if depthwise.suits(dx_shape, weight_shape):
        way = "depthwise"
    elif grouped.suits_back(weight_shape, geometry, dx_shape, dtype):
        way = "grouped"
    elif winograd_plan.suits_back(weight_shape, geometry, dx_shape, dtype):
        way = "winograd"
    else:
        folded = _folded(weight_shape, geometry, dx_shape, dtype)
        way, shapes = "direct", (y_shape, folded.weight, folded.dx)
        if groups == 1 and dilation == (1, 1):
            way = "windows" if windows.suits(*shapes, folded.geometry[0], dtype) else way
    phases = phases_of(folded.weight, folded.geometry, y_shape, folded.dx, dtype)
    columns, all_threads = phases.columns, jit.max_threads()
    if phases.spread:
        columns = int((phases.table[:, 6] * phases.table[:, 8]).max())  # positions times taps
    is_whole = folded.dx[2] * folded.dx[3] == dx_shape[2] * dx_shape[3]
    width = int(padded_channels(np.empty(0, dtype), folded.weight[1]))
    numbers = y_shape[1] * columns * weight_shape[0] // groups
    at_once = rows_of_images(
        -(-y_shape[0] // threads), groups * numbers * dtype.itemsize,
        groups * phases.numbers * dtype.itemsize, int(phases.table[:, 6].max()),
        math.prod(folded.weight[2:]),
    )  # fmt: skip
    step = int(odd_vectors(numbers, dtype)) if at_once > 1 else numbers
    scratch = (
        ("packed_transposed", (max(1, groups * phases.numbers),)),
        ("start", (groups * width,)),
        ("padded_gradient", (all_threads, at_once * step)),
        ("uncut", (all_threads, 0 if is_whole else at_once * math.prod(folded.dx[1:]))),
    )
    panels = _panels_of(folded.weight, groups, phases)
    return _Plan(way, folded, phases, (at_once, step), panels, scratch)


def run_input_gradient(gradient, weight, geometry, y_shape, dx, workspace, bias=None):
    """The input gradient, given where that of the output, of shape y_shape, comes from."""
    dtype, flat = dx.dtype, dx.reshape(-1)
    prepare(dtype)
    bias = nothing(dtype) if bias is None else bias
    stride, padding, _ = geometry
    plan = _plan(weight.shape, geometry, y_shape, dx.shape, dtype, jit.get_threads())
    way, folded = plan.way, plan.folded
    if way == "winograd":
        winograd.input_gradient(gradient, weight, bias, geometry, y_shape, dx, workspace)
        return
    if way == "windows":
        windows.input_gradient(gradient, weight, bias, stride, padding, y_shape, dx, workspace)
        return
    if way == "grouped":
        grouped.input_gradient(gradient, weight, bias, geometry, y_shape, dx, workspace)
        return
    if way == "depthwise":
        phases = plan.phases
        depthwise.input_gradient(gradient, weight, bias, stride, phases, y_shape, dx, workspace)
        return
    if folded.dx != dx.shape:
        weight = _fold(weight, stride[1], folded.weight, workspace)
        bias = np.tile(bias, stride[1])
    packed, start, padded, uncut = workspace.room(plan.scratch, dtype)
    flat_weight = weight.reshape(-1)
    cut, kept = padding[1] * dx.shape[3], dx.shape[2] * dx.shape[3]
    _input_gradient(
        gradient.arguments(y_shape, plan.together[0], workspace), flat_weight, bias, flat,
        (y_shape, folded.weight, folded.dx), folded.geometry[0], plan.phases, plan.together,
        (packed_before(flat_weight, plan.panels, packed), packed), start, padded,
        (cut, kept, uncut),
    )  # fmt: skip
