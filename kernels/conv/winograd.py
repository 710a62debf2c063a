"""3 x 3 convolution with stride 1 by Winograd's F(2x2, 3x3): all three directions.

What is computed, and the transforms, are in `winograd_image`. Whole numbers give the same results
as the direct method, bit for bit; other numbers differ in the last places, as sums in another order
do. A pixel that is infinite or NaN reaches all four outputs of each window that holds it, which is
one row or column further than with the direct method.

A thread takes some images through all transforms, a block of windows at a time, so that a
block stays in its nearest caches.

With dilation each part of an image, the pixels so far apart, is an image of its own. Groups share
the transforms and are multiplied one by one. Where the filters of a group fill less than a vector,
several groups are multiplied as one, with zeros where a filter does not see a channel.
"""

import functools
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
from kernels.shares import shares_of
from kernels.simd import lanes
from kernels.tile import copy_row, fill_row, full_panel, full_vectors, sum_rows, vector_lanes

Shape = tuple[int, ...]
Pair = tuple[int, int]

# Numbers in one plane of a block, of inputs and outputs together.
_PLANE = 8192
_LEAST_CHANNELS = 8
# What a product costs here, transforms included, against one of the direct method.
_COST = 1.35


class Blocks(NamedTuple):
    """How the windows of a batch are cut up: depends on shapes only."""

    grid: tuple[int, int]  # rows and columns of windows in a part of an image
    images: int  # that a thread takes at a time
    rows: int  # rows of windows in a block
    gaps: tuple[int, int]  # rows and columns from a part's pixel to the next one: the dilation

    @property
    def windows(self) -> int:
        """Most windows in a block."""
        return self.rows * self.grid[1]

    @property
    def padded_size(self) -> int:
        """Pixels of an image's padded parts."""
        return self.gaps[0] * self.gaps[1] * (2 * self.grid[0] + 2) * (2 * self.grid[1] + 2)


def _grid_of(out_size: Pair, gaps: Pair) -> Pair:
    """Rows and columns of windows in the largest part of an output of that size."""
    return -(-out_size[0] // (2 * gaps[0])), -(-out_size[1] // (2 * gaps[1]))


def blocks_of(
    images: int, out_size: Pair, numbers: int, gaps: Pair = (1, 1), most: int = _PLANE
) -> Blocks:
    """Blocks for images of an output size, with so many numbers per window and plane."""
    grid = _grid_of(out_size, gaps)
    image_rows = gaps[0] * gaps[1] * grid[0]
    rows = max(1, most // (numbers * grid[1]))
    if rows < image_rows:
        return Blocks(grid, 1, -(-image_rows // -(-image_rows // rows)), gaps)
    at_once = max(1, min(rows // image_rows, images // MAX_CHUNKS))
    return Blocks(grid, at_once, at_once * image_rows, gaps)


class Groups(NamedTuple):
    """How the groups of a convolution are multiplied."""

    count: int
    depth: int  # input channels of a group
    filters: int
    joined: int  # groups that are multiplied as one

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Joined groups, and input channels and filters of each of them."""
        return self.count // self.joined, self.joined * self.depth, self.joined * self.filters


def groups_of(count: int, depth: int, filters: int, dtype: np.dtype) -> Groups:
    """Groups of so many channels each; as many are joined as a vector holds the filters of."""
    most = max(1, int(vector_lanes(np.empty(0, dtype))) // filters)
    joined = max(k for k in range(1, min(count, most) + 1) if count % k == 0)
    return Groups(count, depth, filters, joined)


@functools.lru_cache(maxsize=1000)
def suits(
    weight_shape: Shape,
    stride: Pair,
    out_size: Pair,
    dtype: np.dtype,
    groups: int = 1,
    dilation: Pair = (1, 1),
) -> bool:
    """Whether an output of that size is sooner computed so than by the direct method.

    With few channels, or few in joined groups, vectors would be half empty; at odd sizes the last
    windows are.
    """
    filters, depth, *kernel = weight_shape
    if kernel != [3, 3] or stride != (1, 1):
        return False
    least = max(_LEAST_CHANNELS, int(vector_lanes(np.empty(0, dtype))) // 2 + 1)
    forward = groups_of(groups, depth, filters // groups, dtype)
    backward = groups_of(groups, filters // groups, depth, dtype)
    if min(forward.sizes[2], backward.sizes[2]) < least:
        return False
    grid = _grid_of(out_size, dilation)
    windows = dilation[0] * dilation[1] * grid[0] * grid[1]
    return _COST * PLANES * windows < 9 * out_size[0] * out_size[1]


@jit.serial
def plane_step(windows, width, array):
    """Distance between planes of windows of whole vectors: an odd number of vectors."""
    rows, repeats = equal_tiles(windows)
    return (rows * repeats * width // lanes(array) | 1) * lanes(array)


@jit.serial
def row_width(array, groups, channels):
    """Numbers in a window's row of all groups' channels, each read or written in whole vectors."""
    return full_vectors(array, (groups - 1) * channels + full_vectors(array, channels))


# --- forward and input gradient -----------------------------------------------------------------


@jit.parallel
def _convolve(
    inputs, weight, bias, y, x_shape, y_size, before, groups, turned, blocks, scratch, pool
):  # fmt: skip
    """One iteration owns some images of y.

    inputs : of the images x that are convolved, see `gradient_source`
    before : zeros above and left of an image of x
    groups : (input channels and filters of one, sizes of joined ones)
    turned : whether filters are, and what they read are their own outputs
    blocks : the fields of `Blocks`
    scratch : filters, padded bias, zeros; padded images, windows and products for each thread
    pool : (index, relu): y is to be pooled, and its size is that after pooling
    """
    images, height, width, channels = x_shape
    grid, at_once, block_rows, gaps = blocks
    filters, bias_padded, zeros, padded, windows, products, taps = scratch
    index, relu = pool
    own_depth, own_filters, (joined, depth, columns) = groups
    in_up, out_up = full_vectors(y, channels), row_width(y, joined, columns)
    windows_most = block_rows * grid[1]
    planes = plane_step(windows_most, in_up, y), plane_step(windows_most, out_up, y)
    for c in prange(channels):
        g, inside = c // own_depth, c % own_depth
        inner, outer = (9 * own_filters, 9) if turned else (9, 9 * own_depth)
        transform_filters(
            weight, g * own_depth * own_filters * 9 + inside * inner, (outer, turned),
            (c % depth, depth, g % (depth // own_depth) * own_filters, own_filters, columns),
            filters, c // depth * (filters.size // joined), taps[thread_id()],
        )  # fmt: skip
    fill_row(bias_padded, 0, bias_padded.size)
    copy_row(bias, 0, bias_padded, 0, bias.size)
    fill_row(zeros, 0, zeros.size)
    y_image = y_size[0] * y_size[1] * y_size[2]
    for b in prange((images + at_once - 1) // at_once):
        me = thread_id()
        first_image, last_image = b * at_once, min(images, (b + 1) * at_once)
        here, here0 = gradient_images(inputs, first_image, last_image)
        pad_images(
            here, here0, last_image - first_image, (height, width, channels), before, gaps,
            grid, in_up, padded[me],
        )  # fmt: skip
        all_rows = (last_image - first_image) * gaps[0] * gaps[1] * grid[0]
        for first in range(0, all_rows, block_rows):
            last = min(all_rows, first + block_rows)
            transform_windows(padded[me], grid, in_up, first, last, windows[me], planes[0])
            multiply_planes(
                windows[me], filters, zeros, products[me], (last - first) * grid[1], planes,
                (joined, depth, columns, in_up, out_up),
            )  # fmt: skip
            if index.size:
                pool_products(
                    products[me], planes[1], grid, out_up, first, last, bias_padded, relu,
                    y, index, first_image * y_image, y_size,
                )  # fmt: skip
            else:
                transform_products(
                    products[me], planes[1], grid, gaps, out_up, first, last, bias_padded,
                    y, first_image * y_image, y_size,
                )  # fmt: skip


class _Plan(NamedTuple):
    """What follows from shapes alone: groups and blocks as kernels take them, shapes of scratch."""

    at_once: int
    groups: tuple
    blocks: tuple
    scratch: tuple[tuple[str, Shape], ...]


@functools.lru_cache(maxsize=1000)
def _convolution_plan(images, out_size, count, depth, filters, dilation, dtype, prefix) -> _Plan:
    """Of `_convolve`, with so many groups of so many channels and filters each."""
    groups = groups_of(count, depth, filters, dtype)
    blocks = blocks_of(images, out_size, count * (depth + filters), dilation)
    like = np.empty(0, dtype)
    joined, depth, columns = groups.sizes
    in_up, out_up = int(full_vectors(like, joined * depth)), int(row_width(like, joined, columns))
    panel = int(full_panel(like, columns))
    panels = -(-columns // panel) * panel
    threads = jit.max_threads()
    scratch = (
        ("filters", (PLANES * joined * depth * panels,)),
        ("bias", (out_up,)),
        ("zeros", (panels,)),
        ("padded", (threads, blocks.images * blocks.padded_size * in_up)),
        ("windows", (threads, PLANES * int(plane_step(blocks.windows, in_up, like)))),
        ("products", (threads, PLANES * int(plane_step(blocks.windows, out_up, like)))),
        ("taps", (threads, 9 * int(vector_lanes(like)))),
    )
    return _Plan(
        blocks.images,
        (groups.depth, groups.filters, groups.sizes),
        tuple(blocks),
        tuple((f"winograd_{prefix}{name}", shape) for name, shape in scratch),
    )


def forward(x, weight, bias, padding, dilation, y_size, y, pool, workspace):
    """y (N, H_out, W_out, O), or what is left of it after pooling; see `conv.run_forward`.

    y_size : (H_out, W_out)
    pool : (flat index, relu); an empty index for no pooling
    """
    filters, depth = weight.shape[:2]
    count = x.shape[3] // depth
    plan = _convolution_plan(len(x), y_size, count, depth, filters // count, dilation, x.dtype, "")
    images = GradientSource(x).arguments(x.shape, 0, workspace)
    _convolve(
        images, weight.reshape(-1), bias, y.reshape(-1), x.shape, y.shape[1:], padding,
        plan.groups, False, plan.blocks, workspace.room(plan.scratch, x.dtype), pool,
    )  # fmt: skip


def input_gradient(gradient, weight, bias, padding, dilation, dy_shape, dx, workspace):
    """dx (N, H, W, C): the convolution of dy with turned filters; see `conv.run_input_gradient`.

    gradient, dy_shape : where dy (N, H_out, W_out, O) comes from
    """
    filters, depth = weight.shape[:2]
    count = dx.shape[3] // depth
    plan = _convolution_plan(
        len(dx), dx.shape[1:3], count, filters // count, depth, dilation, dx.dtype, "back_"
    )
    before = (2 * dilation[0] - padding[0], 2 * dilation[1] - padding[1])
    _convolve(
        gradient.arguments(dy_shape, plan.at_once, workspace), weight.reshape(-1),
        bias, dx.reshape(-1), dy_shape, dx.shape[1:], before, plan.groups, True, plan.blocks,
        workspace.room(plan.scratch, dx.dtype), (np.empty(0, np.uint8), False),
    )  # fmt: skip


# --- weight gradient ----------------------------------------------------------------------------


@jit.parallel
def _weight_gradient(
    x, gradient, dweight, dbias, x_shape, dy_size, before, groups, blocks, borders, partial, scratch
):  # fmt: skip
    """One iteration owns one chunk of images and that chunk's partial sums.

    borders : first image of each chunk
    partial : (chunks, 16 planes of (channels, whole vectors of a joined group's filters), then the
        bias's)
    Other arguments as in `_convolve`.
    """
    _, height, width, channels = x_shape
    grid, at_once, block_rows, gaps = blocks
    padded, windows, gradients = scratch
    own_depth, own_filters, (joined, depth, columns) = groups
    filters = dy_size[2]
    in_up, out_up = full_vectors(x, channels), row_width(x, joined, columns)
    sums_up = full_vectors(x, columns)
    windows_most = block_rows * grid[1]
    planes = plane_step(windows_most, in_up, x), plane_step(windows_most, out_up, x)
    all_sums = PLANES * channels * sums_up
    image_size = height * width * channels
    pixels = dy_size[0] * dy_size[1]
    for chunk in prange(partial.shape[0]):
        me = thread_id()
        sums = partial[chunk]
        fill_row(sums, 0, sums.size)
        stop = borders[chunk + 1]
        for first_image in range(borders[chunk], stop, at_once):
            last_image = min(stop, first_image + at_once)
            dy, dy0 = gradient_images(gradient, first_image, last_image)
            if dbias.size:
                sum_rows(
                    dy, dy0, (last_image - first_image) * pixels, filters, sums,
                    all_sums,
                )  # fmt: skip
            pad_images(
                x, first_image * image_size, last_image - first_image, (height, width, channels),
                before, gaps, grid, in_up, padded[me],
            )  # fmt: skip
            all_rows = (last_image - first_image) * gaps[0] * gaps[1] * grid[0]
            for first in range(0, all_rows, block_rows):
                last = min(all_rows, first + block_rows)
                transform_windows(padded[me], grid, in_up, first, last, windows[me], planes[0])
                transform_gradient(
                    dy, dy0, dy_size, grid, gaps, out_up, first, last, gradients[me],
                    planes[1],
                )  # fmt: skip
                accumulate_planes(
                    windows[me], gradients[me], sums, (last - first) * grid[1], planes,
                    (joined, depth, columns, in_up, out_up),
                )  # fmt: skip
        # Before they are added: other processes add the taps of theirs.
        for o in range(0, channels * sums_up, lanes(x)):
            transform_sums(sums, o, channels * sums_up)
    # Along a tree: the same bits for any number of threads.
    shares = shares_of(partial.size)
    for part in prange(shares):
        for c in range(channels * part // shares, channels * (part + 1) // shares):
            g, inside = c // own_depth, c % own_depth
            column = g % (depth // own_depth) * own_filters
            dweight0 = (g * own_filters * own_depth + inside) * 9
            for tap in range(9):
                plane = tap // 3 * 4 + tap % 3
                first = (plane * channels + c) * sums_up + column
                combine_chunks(partial, first, own_filters, dweight, dweight0 + tap, own_depth * 9)
    if dbias.size:
        combine_chunks(partial, all_sums, filters, dbias, 0, 1)


@functools.lru_cache(maxsize=1000)
def _gradient_plan(images, out_size, count, depth, filters, dilation, dtype) -> tuple[_Plan, int]:
    """Of `_weight_gradient`, with so many groups; and the sums of a chunk."""
    groups = groups_of(count, depth, filters, dtype)
    joined, _, columns = groups.sizes
    channels, like = count * depth, np.empty(0, dtype)
    # Large sums are read and written for more windows at a time.
    most = _PLANE if channels * filters < _PLANE else 2 * _PLANE
    blocks = blocks_of(images, out_size, channels + count * filters, dilation, most)
    in_up, out_up = int(full_vectors(like, channels)), int(row_width(like, joined, columns))
    threads = jit.max_threads()
    scratch = (
        ("padded", blocks.images * blocks.padded_size * in_up),
        ("windows", PLANES * int(plane_step(blocks.windows, in_up, like))),
        ("gradients", PLANES * int(plane_step(blocks.windows, out_up, like))),
    )
    plan = _Plan(
        blocks.images,
        (groups.depth, groups.filters, groups.sizes),
        tuple(blocks),
        tuple((f"winograd_{name}", (threads, size)) for name, size in scratch),
    )
    sums = PLANES * channels * int(full_vectors(like, columns))
    return plan, sums + int(full_vectors(like, count * filters))


def weight_gradient(x, gradient, padding, dilation, dy_shape, dweight, dbias, workspace):
    """dweight (O, C / groups, 3, 3) and dbias (O,) or size 0; see `conv.run_weight_gradient`.

    gradient, dy_shape : where dy (N, H_out, W_out, O) comes from
    """
    filters, depth = dweight.shape[:2]
    count = x.shape[3] // depth
    images = workspace.portion.images(len(x))  # blocks are the same wherever an image is
    plan, room = _gradient_plan(
        images, dy_shape[1:3], count, depth, filters // count, dilation, x.dtype
    )
    borders = workspace.portion.image_borders(len(x))
    partial = workspace.array("partial", (len(borders) - 1, room), x.dtype)
    _weight_gradient(
        x.reshape(-1), gradient.arguments(dy_shape, plan.at_once, workspace), dweight.reshape(-1),
        dbias, x.shape, dy_shape[1:], padding, plan.groups, plan.blocks, borders, partial,
        workspace.room(plan.scratch, x.dtype),
    )  # fmt: skip
