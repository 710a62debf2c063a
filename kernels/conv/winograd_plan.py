"""What `winograd` decides by shapes alone: whether it suits, sides, blocks, groups, scratch."""

import functools
import math
from typing import NamedTuple

import numpy as np

from kernels import jit
from kernels.conv.winograd_image import equal_tiles, planes_of
from kernels.portion import MAX_CHUNKS
from kernels.sizes import size
from kernels.tile import full_panel, full_vectors, odd_vectors, vector_lanes

Shape = tuple[int, ...]
Pair = tuple[int, int]

# Numbers in all planes of a block, of inputs and outputs together.
_NUMBERS = 1 << 17
# More bytes of filters in all planes than stay in a core's own caches from block to block, and the
# windows of a block that are worth reading them for, times planes.
_LARGE_FILTERS = 3 << 19
_MANY_WINDOWS = 1 << 10
# Channels, and filters, from which on it pays; the second for filters in pieces.
_LEAST_CHANNELS, _LEAST_IN_PIECES = 8, 16
# What a product costs here, transforms included, against one of the direct method.
_COST = 1.35
# Windows of 4 x 4 outputs: as many fewer products as make up for larger filters, and the most bytes
# of these to a window of an image. Networks that are compiled have one image at a time, and wait
# for filters; going back there are many. Sums should stay in a core's own caches.
_FEWER = 0.85
_FILTERS, _FILTERS_BACK = 64 << 10, 192 << 10
_LARGEST_SUMS = 3 << 18


class Blocks(NamedTuple):
    """How the windows of a batch are cut up: depends on shapes only."""

    # Rows and columns of windows in a part of an image, side of one; pieces down and across.
    grid: tuple[int, int, int, int, int]
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
        rows, columns, side, down, across = self.grid
        rows, columns = side * rows + 3 * down - 1, side * columns + 3 * across - 1
        return self.gaps[0] * self.gaps[1] * rows * columns


def _grid_of(out_size: Pair, gaps: Pair, side: int) -> tuple[int, int, int]:
    """Rows and columns of windows in the largest part of an output of that size; side of one."""
    return -(-out_size[0] // (side * gaps[0])), -(-out_size[1] // (side * gaps[1])), side


def _windows_of(out_size: Pair, gaps: Pair, side: int) -> int:
    """Windows in all parts of an image."""
    rows, columns, _ = _grid_of(out_size, gaps, side)
    return gaps[0] * gaps[1] * rows * columns


def _side_of(out_size: Pair, gaps: Pair, size: int, to_a_window: int) -> int:
    """Outputs along a side of a window: 4, where that saves enough products.

    size, to_a_window : bytes of the filters, or sums, of such windows; the most to one of an image
    """
    small, large = (_windows_of(out_size, gaps, side) for side in (2, 4))
    saves = planes_of(4) * large <= _FEWER * planes_of(2) * small
    return 4 if saves and size <= to_a_window * large else 2


def blocks_of(
    images: int,
    out_size: Pair,
    numbers: int,
    gaps: Pair,
    side: int,
    most: int = _NUMBERS,
    pieces: Pair = (1, 1),
) -> Blocks:
    """Equal blocks for images of an output size, with so many numbers per window and plane.

    most : numbers in all planes, which fewer than 22 large windows may exceed
    """
    images = max(1, images)
    if side == 4:
        most = max(most, _MANY_WINDOWS * numbers)
    grid = (*_grid_of(out_size, gaps, side), *pieces)
    image_rows = gaps[0] * gaps[1] * grid[0]
    rows = max(1, most // int(planes_of(side)) // (numbers * grid[1]))
    if rows < image_rows:
        return Blocks(grid, 1, -(-image_rows // -(-image_rows // rows)), gaps)
    at_once = -(-images // -(-images // (rows // image_rows)))
    return Blocks(grid, at_once, at_once * image_rows, gaps)


class Groups(NamedTuple):
    """How the groups of a convolution are multiplied."""

    count: int
    depth: int  # input channels of a group
    filters: int
    joined: int  # groups that are multiplied as one
    pieces: int = 1  # of a filter, each with channels of its own

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Joined groups, and input channels and filters of each of them."""
        depth = self.pieces * self.joined * self.depth
        return self.count // self.joined, depth, self.joined * self.filters


def pieces_of(kernel: Pair) -> Pair:
    """3 x 3 pieces of a filter, down and across."""
    return -(-kernel[0] // 3), -(-kernel[1] // 3)


def groups_of(
    count: int, depth: int, filters: int, dtype: np.dtype, kernel: Pair = (3, 3)
) -> Groups:
    """Groups of so many channels each; as many are joined as a vector holds the filters of."""
    most = max(1, int(vector_lanes(np.empty(0, dtype))) // filters)
    joined = max(k for k in range(1, min(count, most) + 1) if count % k == 0)
    return Groups(count, depth, filters, joined, math.prod(pieces_of(kernel)))


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
    if stride != (1, 1) or min(kernel) < 3:
        return False
    if max(kernel) > 3:
        return groups == 1 and _suits_in_pieces(weight_shape, out_size, dtype, dilation)
    least = max(_LEAST_CHANNELS, int(vector_lanes(np.empty(0, dtype))) // 2 + 1)
    forward = groups_of(groups, depth, filters // groups, dtype)
    backward = groups_of(groups, filters // groups, depth, dtype)
    if min(forward.sizes[2], backward.sizes[2]) < least:
        return False
    return _COST * planes_of(2) * _windows_of(out_size, dilation, 2) < 9 * out_size[0] * out_size[1]


def _suits_in_pieces(weight_shape: Shape, out_size: Pair, dtype: np.dtype, dilation: Pair) -> bool:
    """The same of filters larger than 3 x 3, in windows of 4 x 4 outputs.

    Each piece has windows and filters of its own, so that half of the products must be saved.
    """
    filters, channels, *kernel = weight_shape
    groups = groups_of(1, channels, filters, dtype, (kernel[0], kernel[1]))
    windows, size = _windows_of(out_size, dilation, 4), _size_of(groups, 4, dtype)
    saves = 2 * groups.pieces * planes_of(4) * windows <= math.prod((*kernel, *out_size))
    return saves and min(channels, filters) >= _LEAST_IN_PIECES and size <= _FILTERS_BACK * windows


@size
def plane_step(windows, width, array):
    """Distance between planes of windows of whole vectors."""
    rows, repeats = equal_tiles(windows)
    return odd_vectors(rows * repeats * width, array)


@size
def row_width(array, groups, channels):
    """Numbers in a window's row of all groups' channels, each read or written in whole vectors."""
    return full_vectors(array, (groups - 1) * channels + full_vectors(array, channels))


# --- plans ---------------------------------------------------------------------------------------


class Plan(NamedTuple):
    """What follows from shapes alone: groups and blocks as kernels take them, shapes of scratch."""

    at_once: int
    groups: tuple
    blocks: tuple
    scratch: tuple[tuple[str, Shape], ...]


def _size_of(groups: Groups, side: int, dtype: np.dtype) -> int:
    """Bytes of all transformed filters, or of their sums."""
    joined, depth, columns = groups.sizes
    return int(planes_of(side)) * joined * depth * columns * dtype.itemsize


@functools.lru_cache(maxsize=1000)
def convolution_side(
    out_size: Pair, count: int, depth: int, filters: int, kernel: Pair, dilation: Pair,
    dtype: np.dtype, forward: bool,
) -> int:  # fmt: skip
    """Outputs along a side of a window, of an output or an input's gradient of that size.

    The same for any number of images, and in networks that are compiled for single ones.
    """
    groups = groups_of(count, depth, filters, dtype, kernel)
    if groups.pieces > 1:
        return 4
    size = _size_of(groups, 4, dtype)
    return _side_of(out_size, dilation, size, _FILTERS if forward else _FILTERS_BACK)


@functools.lru_cache(maxsize=1000)
def sums_of(
    out_size: Pair, count: int, depth: int, filters: int, kernel: Pair, dilation: Pair,
    dtype: np.dtype,
) -> tuple[int, int]:  # fmt: skip
    """Outputs along a side of a window, for a weight gradient; bytes of the sums of a chunk."""
    groups = groups_of(count, depth, filters, dtype, kernel)
    size = _size_of(groups, 4, dtype)
    side = 2
    if groups.pieces > 1:
        side = 4
    elif size <= _LARGEST_SUMS:
        side = _side_of(out_size, dilation, size, _FILTERS_BACK)
    return side, _size_of(groups, side, dtype)


def _room_for(blocks: Blocks, width: int, like: np.ndarray) -> int:
    """Numbers in a block of transformed windows, or of their products, of that width."""
    return int(planes_of(blocks.grid[2]) * plane_step(blocks.windows, width, like))


@functools.lru_cache(maxsize=1000)
def convolution_plan(
    images, out_size, count, depth, filters, kernel, dilation, dtype, threads, prefix
) -> Plan:
    """Of `_convolve`, with so many groups of so many channels and filters each."""
    groups, pieces = groups_of(count, depth, filters, dtype, kernel), pieces_of(kernel)
    numbers = count * (groups.pieces * depth + filters)
    side = convolution_side(out_size, count, depth, filters, kernel, dilation, dtype, prefix == "")
    share, most = -(-images // MAX_CHUNKS), _NUMBERS
    if _size_of(groups, side, dtype) > _LARGE_FILTERS:
        share, most = -(-images // threads), _MANY_WINDOWS * numbers
    blocks = blocks_of(share, out_size, numbers, dilation, side, most, pieces)
    like = np.empty(0, dtype)
    joined, all_depth, columns = groups.sizes
    pixel_up = int(full_vectors(like, count * depth))
    in_up = int(row_width(like, groups.pieces, count * depth))
    out_up = int(row_width(like, joined, columns))
    panel = int(full_panel(like, columns))
    panels = -(-columns // panel) * panel
    all_threads = jit.max_threads()
    scratch = (
        ("filters", (int(planes_of(side)) * joined * int(odd_vectors(all_depth * panels, like)),)),
        ("bias", (out_up,)),
        ("zeros", (panels,)),
        ("padded", (all_threads, blocks.images * blocks.padded_size * pixel_up)),
        ("windows", (all_threads, _room_for(blocks, in_up, like))),
        ("products", (all_threads, _room_for(blocks, out_up, like))),
        ("taps", (all_threads, 9 * int(vector_lanes(like)))),
    )
    return Plan(
        blocks.images,
        (groups.depth, groups.filters, kernel, groups.sizes),
        tuple(blocks),
        tuple((f"winograd_{prefix}{name}", shape) for name, shape in scratch),
    )


@functools.lru_cache(maxsize=1000)
def gradient_plan(
    images, chunks, out_size, count, depth, filters, kernel, dilation, dtype
) -> tuple[Plan, int]:
    """Of `_weight_gradient`, with so many groups; and the sums of a chunk."""
    groups = groups_of(count, depth, filters, dtype, kernel)
    joined, _, columns = groups.sizes
    channels, like = groups.pieces * count * depth, np.empty(0, dtype)
    numbers = channels + count * filters
    side, size = sums_of(out_size, count, depth, filters, kernel, dilation, dtype)
    # Large sums are read and written for more windows at a time.
    most = _NUMBERS if side == 2 and channels * filters < 8192 else 2 * _NUMBERS
    pieces = pieces_of(kernel)
    if size > _LARGE_FILTERS:
        most = _MANY_WINDOWS * numbers
    elif size > _LARGEST_SUMS and side == 4:
        most = 2 * _MANY_WINDOWS * numbers
    blocks = blocks_of(-(-images // chunks), out_size, numbers, dilation, side, most, pieces)
    pixel_up = int(full_vectors(like, count * depth))
    in_up = int(row_width(like, groups.pieces, count * depth))
    columns_up = int(full_vectors(like, columns))
    threads = jit.max_threads()
    scratch = (
        ("zeros", (int(full_panel(like, columns)),)),
        ("padded", (threads, blocks.images * blocks.padded_size * pixel_up)),
        ("windows", (threads, _room_for(blocks, in_up, like))),
        ("gradients", (threads, _room_for(blocks, joined * columns_up, like))),
    )
    plan = Plan(
        blocks.images,
        (groups.depth, groups.filters, kernel, groups.sizes),
        tuple(blocks),
        tuple((f"winograd_{name}", shape) for name, shape in scratch),
    )
    sums = int(planes_of(side)) * int(odd_vectors(channels * columns_up, like))
    return plan, sums + int(full_vectors(like, count * filters))
