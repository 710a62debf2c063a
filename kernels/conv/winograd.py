"""3 x 3 convolution with stride 1 by Winograd's F(2x2, 3x3): all three directions.

What is computed, and the transforms, are in `winograd_image`. Whole numbers give the same results
as the direct method, bit for bit; other numbers differ in the last places, as sums in another order
do. A pixel that is infinite or NaN reaches all four outputs of each window that holds it, which is
one row or column further than with the direct method.

A thread takes a group of images through all transforms, a block of windows at a time, so that a
block stays in its nearest caches.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from kernels import jit
from kernels.conv.gradient_source import GradientSource, gradient_images
from kernels.conv.image import combine_chunks
from kernels.conv.winograd_image import (
    PLANES,
    accumulate_planes,
    equal_tiles,
    multiply_planes,
    pad_images,
    pool_products,
    transform_filters,
    transform_gradient,
    transform_products,
    transform_sums,
    transform_windows,
)
from kernels.jit import thread_id
from kernels.portion import MAX_CHUNKS
from kernels.simd import lanes
from kernels.tile import copy_row, fill_row, full_panel, full_vectors, sum_rows, vector_lanes

Shape = tuple[int, ...]

# Numbers in one plane of a block, of inputs and outputs together.
_PLANE = 8192
_LEAST_CHANNELS = 8
# What a product costs here, transforms included, against one of the direct method.
_COST = 1.35


class Blocks(NamedTuple):
    """How the windows of a batch are cut up: depends on shapes only."""

    grid: tuple[int, int]  # rows and columns of windows in an image
    group: int  # images that a thread takes at a time
    rows: int  # rows of windows in a block

    @property
    def windows(self) -> int:
        """Most windows in a block."""
        return self.rows * self.grid[1]

    @property
    def padded_size(self) -> tuple[int, int]:
        """Rows and columns of a padded image."""
        return 2 * self.grid[0] + 2, 2 * self.grid[1] + 2


def blocks_of(images: int, out_size: tuple[int, int], numbers: int) -> Blocks:
    """Blocks for images of an output size, with so many numbers per window and plane."""
    grid = (out_size[0] + 1) // 2, (out_size[1] + 1) // 2
    rows = max(1, _PLANE // (numbers * grid[1]))
    if rows < grid[0]:
        return Blocks(grid, 1, -(-grid[0] // -(-grid[0] // rows)))
    group = max(1, min(rows // grid[0], images // MAX_CHUNKS))
    return Blocks(grid, group, group * grid[0])


def suits(
    weight_shape: Shape, stride: tuple[int, int], out_size: tuple[int, int], flat: np.ndarray
) -> bool:
    """Whether an output of that size is sooner computed so than by the direct method.

    With few channels the vectors of the transforms would be half empty; at odd sizes the last
    windows are.
    """
    filters, channels, *kernel = weight_shape
    least = max(_LEAST_CHANNELS, int(vector_lanes(flat)) // 2 + 1)
    if kernel != [3, 3] or tuple(stride) != (1, 1) or min(filters, channels) < least:
        return False
    windows = ((out_size[0] + 1) // 2) * ((out_size[1] + 1) // 2)
    return _COST * PLANES * windows < 9 * out_size[0] * out_size[1]


@jit.serial
def plane_step(windows, width, array):
    """Distance between planes of windows of whole vectors: an odd number of vectors."""
    rows, repeats = equal_tiles(windows)
    return (rows * repeats * width // lanes(array) | 1) * lanes(array)


# --- forward and input gradient -----------------------------------------------------------------


@jit.parallel
def _convolve(
    inputs, weight, bias, y, x_shape, y_size, before, strides, blocks, scratch, pool
):  # fmt: skip
    """One iteration owns one group of images of y.

    inputs : of the images x that are convolved, see `gradient_source`
    before : zeros above and left of an image of x
    strides : those of `transform_filters`
    blocks : (grid, group, rows of a block)
    scratch : filters, padded bias, zeros; padded images, windows and products for each thread
    pool : (index, relu): y is to be pooled, and its size is that after pooling
    """
    images, height, width, channels = x_shape
    grid, group, block_rows = blocks
    filters, bias_padded, zeros, padded, windows, products, taps = scratch
    index, relu = pool
    out_channels = y_size[2]
    in_up, out_up = full_vectors(y, channels), full_vectors(y, out_channels)
    windows_most = block_rows * grid[1]
    planes = plane_step(windows_most, in_up, y), plane_step(windows_most, out_up, y)
    for c in prange(channels):
        transform_filters(weight, c, strides, channels, out_channels, filters, taps[thread_id()])
    fill_row(bias_padded, 0, bias_padded.size)
    copy_row(bias, 0, bias_padded, 0, bias.size)
    fill_row(zeros, 0, zeros.size)
    y_image = y_size[0] * y_size[1] * out_channels
    for g in prange((images + group - 1) // group):
        me = thread_id()
        first_image, last_image = g * group, min(images, (g + 1) * group)
        here, here0 = gradient_images(inputs, first_image, last_image)
        pad_images(
            here, here0, last_image - first_image, (height, width, channels), before,
            grid, in_up, padded[me],
        )  # fmt: skip
        all_rows = (last_image - first_image) * grid[0]
        for first in range(0, all_rows, block_rows):
            last = min(all_rows, first + block_rows)
            transform_windows(padded[me], grid, in_up, first, last, windows[me], planes[0])
            multiply_planes(
                windows[me], filters, zeros, products[me], (last - first) * grid[1], planes,
                (channels, in_up, out_channels, out_up),
            )  # fmt: skip
            if index.size:
                pool_products(
                    products[me], planes[1], grid, out_up, first, last, bias_padded, relu,
                    y, index, first_image * y_image, y_size,
                )  # fmt: skip
            else:
                transform_products(
                    products[me], planes[1], grid, out_up, first, last, bias_padded,
                    y, first_image * y_image, y_size,
                )  # fmt: skip


def _scratch(blocks, depth, channels, dtype, workspace, prefix):
    """What `_convolve` calls scratch."""
    like = np.empty(0, dtype)
    in_up, out_up = int(full_vectors(like, depth)), int(full_vectors(like, channels))
    panel = int(full_panel(like, channels))
    panels = -(-channels // panel) * panel
    threads = jit.max_threads()
    rows, columns = blocks.padded_size
    return tuple(
        workspace.array(f"winograd_{prefix}{name}", shape, dtype)
        for name, shape in (
            ("filters", (PLANES * depth * panels,)),
            ("bias", (panels,)),
            ("zeros", (panels,)),
            ("padded", (threads, blocks.group * rows * columns * in_up)),
            ("windows", (threads, PLANES * int(plane_step(blocks.windows, in_up, like)))),
            ("products", (threads, PLANES * int(plane_step(blocks.windows, out_up, like)))),
            ("taps", (threads, 9 * int(vector_lanes(like)))),
        )
    )


def forward(x, weight, bias, padding, y_size, y, pool, workspace):
    """y (N, H_out, W_out, O), or what is left of it after pooling; see `conv.run_forward`.

    y_size : (H_out, W_out)
    pool : (flat index, relu); an empty index for no pooling
    """
    filters, channels = weight.shape[:2]
    blocks = blocks_of(len(x), y_size, channels + filters)
    scratch = _scratch(blocks, channels, filters, x.dtype, workspace, "")
    images = GradientSource(x).arguments(x.shape, 0, workspace)
    _convolve(
        images, weight.reshape(-1), bias, y.reshape(-1), x.shape, y.shape[1:], padding,
        (9, 9 * channels, False), tuple(blocks), scratch, pool,
    )  # fmt: skip


def input_gradient(gradient, weight, bias, padding, dy_shape, dx, workspace):
    """dx (N, H, W, C): the convolution of dy with turned filters; see `conv.run_input_gradient`.

    gradient, dy_shape : where dy (N, H_out, W_out, O) comes from
    """
    filters, channels = weight.shape[:2]
    blocks = blocks_of(len(dx), dx.shape[1:3], channels + filters)
    scratch = _scratch(blocks, filters, channels, dx.dtype, workspace, "back_")
    before = (2 - padding[0], 2 - padding[1])
    _convolve(
        gradient.arguments(dy_shape, blocks.group, workspace), weight.reshape(-1),
        bias, dx.reshape(-1), dy_shape, dx.shape[1:], before,
        (9 * channels, 9, True), tuple(blocks), scratch,
        (np.empty(0, np.uint8), False),
    )  # fmt: skip


# --- weight gradient ----------------------------------------------------------------------------


@jit.parallel
def _weight_gradient(
    x, gradient, dweight, dbias, x_shape, dy_size, before, blocks, borders, partial, scratch
):  # fmt: skip
    """One iteration owns one chunk of images and that chunk's partial sums.

    borders : first image of each chunk
    partial : (chunks, 16 planes of (channels, in_up vectors of filters), then the bias's)
    Other arguments as in `_convolve`.
    """
    _, height, width, channels = x_shape
    grid, group, block_rows = blocks
    padded, windows, gradients = scratch
    filters = dy_size[2]
    in_up, out_up = full_vectors(x, channels), full_vectors(x, filters)
    windows_most = block_rows * grid[1]
    planes = plane_step(windows_most, in_up, x), plane_step(windows_most, out_up, x)
    all_sums = PLANES * channels * out_up
    image_size = height * width * channels
    pixels = dy_size[0] * dy_size[1]
    for chunk in prange(partial.shape[0]):
        me = thread_id()
        sums = partial[chunk]
        fill_row(sums, 0, sums.size)
        stop = borders[chunk + 1]
        for first_image in range(borders[chunk], stop, group):
            last_image = min(stop, first_image + group)
            dy, dy0 = gradient_images(gradient, first_image, last_image)
            if dbias.size:
                sum_rows(
                    dy, dy0, (last_image - first_image) * pixels, filters, sums,
                    all_sums,
                )  # fmt: skip
            pad_images(
                x, first_image * image_size, last_image - first_image, (height, width, channels),
                before, grid, in_up, padded[me],
            )  # fmt: skip
            all_rows = (last_image - first_image) * grid[0]
            for first in range(0, all_rows, block_rows):
                last = min(all_rows, first + block_rows)
                transform_windows(padded[me], grid, in_up, first, last, windows[me], planes[0])
                transform_gradient(
                    dy, dy0, dy_size, grid, out_up, first, last, gradients[me],
                    planes[1],
                )  # fmt: skip
                accumulate_planes(
                    windows[me], gradients[me], sums, (last - first) * grid[1], planes,
                    (channels, in_up, out_up),
                )  # fmt: skip
        # Before they are added: other processes add the taps of theirs.
        for o in range(0, channels * out_up, lanes(x)):
            transform_sums(sums, o, channels * out_up)
    # Along a tree: the same bits for any number of threads.
    for c in prange(channels):
        for tap in range(9):
            plane = tap // 3 * 4 + tap % 3
            first = (plane * channels + c) * out_up
            combine_chunks(partial, first, filters, dweight, c * 9 + tap, channels * 9)
    if dbias.size:
        combine_chunks(partial, all_sums, filters, dbias, 0, 1)


def weight_gradient(x, gradient, padding, dy_shape, dweight, dbias, workspace):
    """dweight (O, C, 3, 3) and dbias (O,) or size 0; see `conv.run_weight_gradient`.

    gradient, dy_shape : where dy (N, H_out, W_out, O) comes from
    """
    filters, channels = dweight.shape[:2]
    images = workspace.portion.images(len(x))  # blocks are the same wherever an image is
    blocks = blocks_of(images, dy_shape[1:3], channels + filters)
    flat = x.reshape(-1)
    in_up, out_up = int(full_vectors(flat, channels)), int(full_vectors(flat, filters))
    rows, columns = blocks.padded_size
    threads = jit.max_threads()
    room = PLANES * channels * out_up + out_up
    borders = workspace.portion.image_borders(len(x))
    partial = workspace.array("partial", (len(borders) - 1, room), x.dtype)
    scratch = tuple(
        workspace.array(f"winograd_{name}", (threads, size), x.dtype)
        for name, size in (
            ("padded", blocks.group * rows * columns * in_up),
            ("windows", PLANES * int(plane_step(blocks.windows, in_up, flat))),
            ("gradients", PLANES * int(plane_step(blocks.windows, out_up, flat))),
        )
    )
    _weight_gradient(
        flat, gradient.arguments(dy_shape, blocks.group, workspace), dweight.reshape(-1), dbias,
        x.shape, dy_shape[1:], padding, tuple(blocks), borders, partial, scratch,
    )  # fmt: skip
