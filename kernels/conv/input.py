"""The input gradient of a convolution: `conv` backwards.

An ordinary convolution of dy with flipped weights; `winograd` and, where few channels would leave
lanes empty, `windows` do the same.
"""

import functools

import numpy as np
from numba import prange

from kernels import jit
from kernels.conv import windows, winograd
from kernels.conv.forward import Pair
from kernels.conv.gradient_source import GradientSource, gradient_images
from kernels.conv.image import convolve_image
from kernels.jit import thread_id
from kernels.tile import (
    fill_row,
    pack,
    packed_mode,
    pad_image,
    padded_channels,
    prepare,
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
    ordinary convolution of dy with the taps that reach it.
    """
    run_input_gradient(GradientSource(dy), weight, stride, padding, dy.shape, dx, workspace)


def run_input_gradient(gradient, weight, stride, padding, y_shape, dx, workspace):
    """The input gradient, given where that of the output, of shape y_shape, comes from."""
    dtype = dx.dtype
    prepare(dtype)
    if winograd.suits(weight.shape, stride, dx.shape[1:3], dx.reshape(-1)):
        winograd.input_gradient(gradient, weight, padding, y_shape, dx, workspace)
        return
    if windows.suits(y_shape, weight.shape, dx.shape, stride, dx.reshape(-1)):
        windows.input_gradient(gradient, weight, stride, padding, y_shape, dx, workspace)
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
