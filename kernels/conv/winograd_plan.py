"""What `winograd` decides by shapes alone: whether it suits, sides, blocks, groups, scratch."""

import functools
import math
from typing import NamedTuple

import numpy as np

from kernels import jit
from kernels.conv.winograd_image import equal_tiles
from kernels.conv.winograd_pieces import (
    ONE_PIECE,
    Groups,
    Pair,
    Pieces,
    groups_of,
    pieces_of,
    planes_of,
    reach_of,
)
from kernels.portion import MAX_CHUNKS
from kernels.sizes import size
from kernels.tile import full_panel, full_vectors, odd_vectors, vector_lanes

Shape = tuple[int, ...]

# Numbers in all planes of a block, of inputs and outputs together.
_NUMBERS = 1 << 17
# More bytes of filters in all planes than stay in a core's own caches from block to block, and the
# windows of a block that are worth reading them for, times planes.
_LARGE_FILTERS = 3 << 19
_MANY_WINDOWS = 1 << 10
# Channels, and filters, from which on it pays; the second for filters in pieces of 3 x 3.
_LEAST_CHANNELS, _LEAST_IN_PIECES = 8, 16
# What a product costs here, transforms included, against one of the direct method; in pieces of
# 3 x 3; and of 2 x 2, where what transforms cost is told by the vectors that they are shared by.
_COST, _COST_IN_PIECES = 1.35, 2
_COST_OF_PAIRS, _COST_OF_TRANSFORMS = 1.3, 0.8
# Windows of 4 x 4 outputs: as many fewer products as make up for larger filters, and the most bytes
# of these to a window of an image. Networks that are compiled have one image at a time, and wait
# for filters; going back there are many. Sums should stay in a core's own caches.
_FEWER = 0.85
_FILTERS, _FILTERS_BACK = 64 << 10, 192 << 10
_LARGEST_SUMS = 3 << 18


class Blocks(NamedTuple):
    """How the windows of a batch are cut up: depends on shapes only."""

    grid: tuple[int, int, int]  # see `winograd_image`
    pairs: bool | None
    extent: tuple[int, int, int, int]  # see `winograd_image.transform_windows`
    planes: int
    images: int  # that a thread takes at a time
    rows: int  # rows of windows in a block
    gaps: Pair  # rows and columns from a part's pixel to the next one: the dilation
    apart: Pair  # the same of what is made: going back with a stride, that
    phases: int  # parts of what is made that have filters of their own, else 1

    @property
    def windows(self) -> int:
        """Most windows in a block."""
        return self.rows * self.grid[1]

    @property
    def padded_size(self) -> int:
        """Pixels of an image's padded parts."""
        return math.prod(self.gaps) * self.extent[0] * self.extent[1]


def _grid_of(out_size: Pair, apart: Pair, side: int) -> Pair:
    """Rows and columns of windows in the largest part of an output of that size."""
    return -(-out_size[0] // (side * apart[0])), -(-out_size[1] // (side * apart[1]))


def _windows_of(out_size: Pair, gaps: Pair, side: int) -> int:
    """Windows in all parts of an image."""
    rows, columns = _grid_of(out_size, gaps, side)
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
    apart: Pair,
    side: int,
    most: int = _NUMBERS,
    pieces: Pieces = ONE_PIECE,
) -> Blocks:
    """Equal blocks for images of an output size, with so many numbers per window and plane.

    most : numbers in all planes, which fewer than 22 large windows may exceed
    """
    images = max(1, images)
    if side == 4:
        most = max(most, _MANY_WINDOWS * numbers)
    size = _grid_of(out_size, apart, side)
    phases = math.prod(pieces.phases)
    gaps = apart if phases == 1 else (1, 1)
    planes, steps = planes_of(side, pieces.taps), pieces.steps
    beyond = int(phases > 1)  # some begin a pixel later
    rows, columns = (
        steps[axis] * (side * size[axis] - 1) + pieces.taps * count + beyond
        for axis, count in enumerate((pieces.down, pieces.across))
    )
    fixed = (*size, side), pieces.pairs, (rows, columns, *steps), planes
    image_rows = math.prod(gaps) * size[0]
    block = max(1, most // planes // (numbers * size[1]))
    if block < image_rows:
        return Blocks(*fixed, 1, -(-image_rows // -(-image_rows // block)), gaps, apart, phases)
    at_once = -(-images // -(-images // (block // image_rows)))
    return Blocks(*fixed, at_once, at_once * image_rows, gaps, apart, phases)


@functools.lru_cache(maxsize=1000)
def suits(
    weight_shape: Shape,
    stride: Pair,
    out_size: Pair,
    dtype: np.dtype,
    groups: int = 1,
    dilation: Pair = (1, 1),
    is_back: bool = False,
) -> bool:
    """Whether an output of that size is sooner computed so than by the direct method.

    With few channels, or few in joined groups, vectors would be half empty; at odd sizes the last
    windows are.
    """
    filters, depth, *kernel = weight_shape
    if pieces_of((kernel[0], kernel[1]), stride) != ONE_PIECE:
        few = min(reach_of((kernel[0], kernel[1]), stride)) < 2
        if groups > 1 or few or min(max(stride), max(dilation)) > 1:
            return False
        return _suits_in_pieces(weight_shape, stride, out_size, dtype, dilation, is_back)
    least = max(_LEAST_CHANNELS, int(vector_lanes(np.empty(0, dtype))) // 2 + 1)
    forward = groups_of(groups, depth, filters // groups, dtype)
    backward = groups_of(groups, filters // groups, depth, dtype)
    if min(kernel) < 3 or min(forward.sizes[2], backward.sizes[2]) < least:
        return False
    products = planes_of(2) * _windows_of(out_size, dilation, 2)
    return _COST * products < 9 * out_size[0] * out_size[1]


def suits_back(
    weight_shape: Shape, geometry: tuple[Pair, Pair, Pair], dx_shape: Shape, dtype: np.dtype
) -> bool:
    """The same of an input's gradient, with a stride of the parts that have their own filters."""
    stride, _, dilation = geometry
    size = reach_of((dx_shape[1], dx_shape[2]), stride)
    groups = dx_shape[3] // weight_shape[1]
    return suits(weight_shape, stride, size, dtype, groups, dilation, is_back=True)


def _suits_in_pieces(
    weight_shape: Shape, stride: Pair, out_size: Pair, dtype: np.dtype, dilation: Pair,
    is_back: bool,
) -> bool:  # fmt: skip
    """The same of other filters than 3 x 3, in windows of 2 x 2 or 4 x 4 outputs.

    Each piece has windows and filters of its own, so that half of the products must be saved. Of
    pairs fewer are, which is worth it where many channels and filters share the transforms.
    """
    filters, channels, *kernel = weight_shape
    pieces = pieces_of((kernel[0], kernel[1]), stride)
    side = _least_side(pieces)
    groups = groups_of(1, channels, filters, dtype, pieces)
    windows, size = _windows_of(out_size, dilation, side), _size_of(groups, side, dtype)
    products = pieces.count * planes_of(side, pieces.taps) * windows
    pays, cost = min(channels, filters) >= _LEAST_IN_PIECES, _COST_IN_PIECES
    if pieces.taps == 2:
        depth, columns = pieces.count * channels, filters
        if is_back:
            depth, columns = pieces.count // math.prod(stride) * filters, channels
        transforms = int(vector_lanes(np.empty(0, dtype))) * (1 / depth + 1 / columns)
        pays, cost = True, _COST_OF_PAIRS + _COST_OF_TRANSFORMS * transforms
    saves = cost * products <= math.prod((*kernel, *out_size))
    return saves and pays and size <= _FILTERS_BACK * windows


def _least_side(pieces: Pieces) -> int:
    """Outputs along a side of a window, but for filters of 3 x 3."""
    return 4 if pieces.taps == 3 else 2


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
    """What follows from shapes alone, as kernels take it.

    groups : (input channels and filters of one; rows and columns of a filter, then as in
        `winograd_image.transform_filters`; sizes of joined groups, whose depth is that of all
        pieces)
    blocks : the fields of `Blocks`, and `Pieces.table`
    scratch : names and shapes
    """

    at_once: int
    groups: tuple
    blocks: tuple
    scratch: tuple[tuple[str, Shape], ...]


def _plan(
    prefix: str, groups: Groups, kernel: Pair, blocks: Blocks, table: np.ndarray, scratch: tuple
) -> Plan:
    filters = (*kernel, *groups.pieces.stride, groups.pieces.taps)
    return Plan(
        blocks.images,
        (groups.depth, groups.filters, filters, groups.sizes),
        (tuple(blocks), table),
        tuple((prefix + name, shape) for name, shape in scratch),
    )


def _size_of(groups: Groups, side: int, dtype: np.dtype) -> int:
    """Bytes of all transformed filters, or of their sums."""
    joined, depth, columns = groups.sizes
    return planes_of(side, groups.pieces.taps) * joined * depth * columns * dtype.itemsize


@functools.lru_cache(maxsize=1000)
def convolution_side(
    out_size: Pair, count: int, depth: int, filters: int, pieces: Pieces, dilation: Pair,
    dtype: np.dtype, forward: bool,
) -> int:  # fmt: skip
    """Outputs along a side of a window, of an output or an input's gradient of that size.

    The same for any number of images, and in networks that are compiled for single ones.
    """
    if pieces != ONE_PIECE:
        return _least_side(pieces)
    groups = groups_of(count, depth, filters, dtype)
    size = _size_of(groups, 4, dtype)
    return _side_of(out_size, dilation, size, _FILTERS if forward else _FILTERS_BACK)


@functools.lru_cache(maxsize=1000)
def sums_of(
    out_size: Pair, count: int, depth: int, filters: int, pieces: Pieces, dilation: Pair,
    dtype: np.dtype,
) -> tuple[int, int]:  # fmt: skip
    """Outputs along a side of a window, for a weight gradient; bytes of the sums of a chunk."""
    groups = groups_of(count, depth, filters, dtype, pieces)
    side = _least_side(pieces)
    if pieces == ONE_PIECE:
        size, side = _size_of(groups, 4, dtype), 2
        if size <= _LARGEST_SUMS:
            side = _side_of(out_size, dilation, size, _FILTERS_BACK)
    return side, _size_of(groups, side, dtype)


def _room_for(blocks: Blocks, width: int, like: np.ndarray) -> int:
    """Numbers in a block of transformed windows, or of their products, of that width."""
    return int(blocks.planes * plane_step(blocks.windows, width, like))


@functools.lru_cache(maxsize=1000)
def convolution_plan(
    images, out_size, count, depth, filters, kernel, stride, dilation, padding, dtype, threads,
    prefix,
) -> Plan:  # fmt: skip
    """Of `_convolve`, with so many groups of so many channels and filters each.

    padding : that of the images that are made, going back
    prefix : "" for the images of a convolution, else for those that it goes back to
    """
    is_back = prefix != ""
    pieces = pieces_of(kernel, stride, is_back)
    gaps = stride if pieces.phases != (1, 1) else dilation
    groups = groups_of(count, depth, filters, dtype, pieces)
    numbers = count * (pieces.count * depth + filters)
    side = convolution_side(out_size, count, depth, filters, pieces, gaps, dtype, not is_back)
    share, most = -(-images // MAX_CHUNKS), _NUMBERS
    if _size_of(groups, side, dtype) > _LARGE_FILTERS:
        share, most = -(-images // threads), _MANY_WINDOWS * numbers
    blocks = blocks_of(share, out_size, numbers, gaps, side, most, pieces)
    like = np.empty(0, dtype)
    joined, all_depth, columns = groups.sizes
    pixel_up = int(full_vectors(like, count * depth))
    in_up = int(row_width(like, pieces.count, count * depth))
    out_up = int(row_width(like, joined, columns))
    panel = int(full_panel(like, columns))
    panels = -(-columns // panel) * panel
    all_threads, plane = jit.max_threads(), int(odd_vectors(all_depth * panels, like))
    scratch = (
        ("filters", (blocks.phases * blocks.planes * joined * plane,)),
        ("bias", (out_up,)),
        ("zeros", (panels,)),
        ("padded", (all_threads, blocks.images * blocks.padded_size * pixel_up)),
        ("windows", (all_threads, _room_for(blocks, in_up, like))),
        ("products", (all_threads, _room_for(blocks, out_up, like))),
        ("taps", (all_threads, 9 * int(vector_lanes(like)))),
    )
    table = pieces.table(kernel, is_back, padding, blocks.extent[1], pixel_up)
    return _plan(f"winograd_{prefix}", groups, kernel, blocks, table, scratch)


@functools.lru_cache(maxsize=1000)
def gradient_plan(
    images, chunks, out_size, count, depth, filters, kernel, stride, dilation, dtype
) -> tuple[Plan, int]:
    """Of `_weight_gradient`, with so many groups; and the sums of a chunk."""
    pieces = pieces_of(kernel, stride)
    groups = groups_of(count, depth, filters, dtype, pieces)
    joined, _, columns = groups.sizes
    channels, like = pieces.count * count * depth, np.empty(0, dtype)
    numbers = channels + count * filters
    side, size = sums_of(out_size, count, depth, filters, pieces, dilation, dtype)
    # Large sums are read and written for more windows at a time.
    most = _NUMBERS if side == 2 and channels * filters < 8192 else 2 * _NUMBERS
    if size > _LARGE_FILTERS:
        most = _MANY_WINDOWS * numbers
    elif size > _LARGEST_SUMS and side == 4:
        most = 2 * _MANY_WINDOWS * numbers
    blocks = blocks_of(-(-images // chunks), out_size, numbers, dilation, side, most, pieces)
    pixel_up = int(full_vectors(like, count * depth))
    in_up = int(row_width(like, pieces.count, count * depth))
    columns_up = int(full_vectors(like, columns))
    threads = jit.max_threads()
    scratch = (
        ("zeros", (int(full_panel(like, columns)),)),
        ("padded", (threads, blocks.images * blocks.padded_size * pixel_up)),
        ("windows", (threads, _room_for(blocks, in_up, like))),
        ("gradients", (threads, _room_for(blocks, joined * columns_up, like))),
    )
    table = pieces.table(kernel, False, (0, 0), blocks.extent[1], pixel_up)
    plan = _plan("winograd_", groups, kernel, blocks, table, scratch)
    sums = blocks.planes * int(odd_vectors(channels * columns_up, like))
    return plan, sums + int(full_vectors(like, count * filters))
