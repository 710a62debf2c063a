"""What `winograd` decides by shapes alone: whether it suits, blocks, groups, sizes of scratch."""

import functools
from typing import NamedTuple

import numpy as np

from kernels import jit
from kernels.conv.winograd_image import PLANES, equal_tiles
from kernels.portion import MAX_CHUNKS
from kernels.sizes import size
from kernels.tile import full_panel, full_vectors, odd_vectors, vector_lanes

Shape = tuple[int, ...]
Pair = tuple[int, int]

# Numbers in one plane of a block, of inputs and outputs together.
_PLANE = 8192
# More bytes of filters in all planes than stay in a core's own caches from block to block, and the
# windows of a block that are worth reading them for.
_LARGE_FILTERS = 3 << 19
_MANY_WINDOWS = 64
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
    """Equal blocks for images of an output size, with so many numbers per window and plane."""
    images = max(1, images)
    grid = _grid_of(out_size, gaps)
    image_rows = gaps[0] * gaps[1] * grid[0]
    rows = max(1, most // (numbers * grid[1]))
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


def _are_large(groups: Groups, dtype: np.dtype) -> bool:
    """Whether all transformed filters, or their sums, are large."""
    joined, depth, columns = groups.sizes
    return PLANES * joined * depth * columns * dtype.itemsize > _LARGE_FILTERS


@functools.lru_cache(maxsize=1000)
def convolution_plan(
    images, out_size, count, depth, filters, dilation, dtype, threads, prefix
) -> Plan:
    """Of `_convolve`, with so many groups of so many channels and filters each."""
    groups, numbers = groups_of(count, depth, filters, dtype), count * (depth + filters)
    share, most = -(-images // MAX_CHUNKS), _PLANE
    if _are_large(groups, dtype):
        share, most = -(-images // threads), _MANY_WINDOWS * numbers
    blocks = blocks_of(share, out_size, numbers, dilation, most)
    like = np.empty(0, dtype)
    joined, depth, columns = groups.sizes
    in_up, out_up = int(full_vectors(like, joined * depth)), int(row_width(like, joined, columns))
    panel = int(full_panel(like, columns))
    panels = -(-columns // panel) * panel
    all_threads = jit.max_threads()
    scratch = (
        ("filters", (PLANES * joined * int(odd_vectors(depth * panels, like)),)),
        ("bias", (out_up,)),
        ("zeros", (panels,)),
        ("padded", (all_threads, blocks.images * blocks.padded_size * in_up)),
        ("windows", (all_threads, PLANES * int(plane_step(blocks.windows, in_up, like)))),
        ("products", (all_threads, PLANES * int(plane_step(blocks.windows, out_up, like)))),
        ("taps", (all_threads, 9 * int(vector_lanes(like)))),
    )
    return Plan(
        blocks.images,
        (groups.depth, groups.filters, groups.sizes),
        tuple(blocks),
        tuple((f"winograd_{prefix}{name}", shape) for name, shape in scratch),
    )


@functools.lru_cache(maxsize=1000)
def gradient_plan(
    images, chunks, out_size, count, depth, filters, dilation, dtype
) -> tuple[Plan, int]:
    """Of `_weight_gradient`, with so many groups; and the sums of a chunk."""
    groups = groups_of(count, depth, filters, dtype)
    joined, _, columns = groups.sizes
    channels, like = count * depth, np.empty(0, dtype)
    # Large sums are read and written for more windows at a time.
    numbers = channels + count * filters
    most = _PLANE if channels * filters < _PLANE else 2 * _PLANE
    if _are_large(groups, dtype):
        most = _MANY_WINDOWS * numbers
    blocks = blocks_of(-(-images // chunks), out_size, numbers, dilation, most)
    in_up, columns_up = int(full_vectors(like, channels)), int(full_vectors(like, columns))
    threads = jit.max_threads()
    scratch = (
        ("zeros", (int(full_panel(like, columns)),)),
        ("padded", (threads, blocks.images * blocks.padded_size * in_up)),
        ("windows", (threads, PLANES * int(plane_step(blocks.windows, in_up, like)))),
        (
            "gradients",
            (threads, PLANES * int(plane_step(blocks.windows, joined * columns_up, like))),
        ),
    )
    plan = Plan(
        blocks.images,
        (groups.depth, groups.filters, groups.sizes),
        tuple(blocks),
        tuple((f"winograd_{name}", shape) for name, shape in scratch),
    )
    sums = PLANES * int(odd_vectors(channels * columns_up, like))
    return plan, sums + int(full_vectors(like, count * filters))
