"""Winograd's gradient by the filters: `winograd_image`'s formula, read backwards.

    dg = G^T [(B^T d B) * (A dY A^T)] G

The products, summed over the windows, are 16, 46 or 9 matrix products of (channels x windows) by
(windows x filters): sums in as many planes, to which each block of windows adds. They lie, as
A dY A^T does, in the order in which the tile goes through them, panel by panel of filters:

    spread [plane][group][panel][window][filter in panel]
    sums   [plane][group][panel][channel of the group][filter in panel]

A tile's sums are then one stretch of memory, right behind those of the tile before, and are asked
for while that one is computed: those of 192 filters do not stay in a core's caches.
"""

from kernels import jit
from kernels.conv import winograd_four as four
from kernels.conv import winograd_pairs as of_pairs
from kernels.conv import winograd_two as two
from kernels.conv.image import combine_rows
from kernels.conv.winograd_image import lines_of, place_of
from kernels.simd import lanes
from kernels.tile import (
    FULL,
    TILE_ROWS,
    TILE_VECTORS,
    Asked,
    Panel,
    Rows,
    Sums,
    TileShape,
    asked_step,
    full_panel,
    full_vectors,
    tiles,
)


@jit.serial
def transform_gradient(dy, dy0, size, groups, grid, pairs, gaps, first, last, spread, plane):
    """A dY A^T for the windows in rows first to last of some images that begin at dy0.

    size : (how many, height and width of one, channels) of the images of dy
    groups : (how many, filters of each); a group's last vector may hold some of the next one
    """
    images, height, width, channels = size
    count, filters = groups
    side = grid[2]
    n, filters_up = lanes(dy), full_vectors(dy, filters)
    full = TILE_VECTORS * n  # a panel's width
    steps = gaps[0] * width * channels, gaps[1] * channels
    windows = (last - first) * grid[1]
    for row in range(first, last):
        image, upper, left, _ = place_of(row, images, grid, gaps, (height, width))
        corner = dy0 + ((image * height + upper) * width + left) * channels
        rows_inside = (height - upper + gaps[0] - 1) // gaps[0]
        columns_inside = (width - left + gaps[1] - 1) // gaps[1]
        for column in range(grid[1]):
            inside = rows_inside, columns_inside - side * column
            window = (row - first) * grid[1] + column
            for g in range(count):
                for c in range(0, filters_up, n):
                    o = c // full * full
                    at = (g * filters_up + o) * windows + window * min(full, filters_up - o)
                    at += c - o
                    own = g * filters + c
                    dy_at, rest = corner + side * column * steps[1] + own, channels - own
                    if pairs is not None:
                        of_pairs.spread_gradient(dy, dy_at, steps, inside, rest, spread, at, plane)
                    elif side == 4:
                        four.spread_gradient(dy, dy_at, steps, inside, rest, spread, at, plane)
                    else:
                        two.spread_gradient(dy, dy_at, steps, inside, rest, spread, at, plane)


@jit.serial
def accumulate_planes(windows, spread, sums, zeros, is_first, count, planes, steps, sizes):
    """sums[k] += windows[k]^T @ spread[k] over the first ``count`` windows of each plane k.

    zeros, is_first : a panel's width of zeros; whether the sums begin with these
    steps : from a plane of windows to the next one, of spread, and of sums
    sizes : (groups, input channels and filters of one, width of a row of windows)
    """
    groups, depth, filters, in_up = sizes
    panel, filters_up = full_panel(spread, filters), full_vectors(spread, filters)
    count_tiles, n = (depth + TILE_ROWS - 1) // TILE_ROWS, lanes(sums)
    for k in range(planes):
        for g in range(groups):
            for o in range(0, filters_up, panel):
                width = min(panel, filters_up - o)
                spread0 = k * steps[1] + (g * filters_up + o) * count
                for t in range(count_tiles):
                    first, last = depth * t // count_tiles, depth * (t + 1) // count_tiles
                    here = k * steps[2] + g * depth * filters_up + o * depth + first * width
                    numbers = (last - first) * width
                    tiles(
                        TileShape(FULL, last - first, width // n, n, inner=count),
                        Rows(windows, k * steps[0] + g * depth + first, m=1, i=in_up),
                        Panel(spread, spread0, i=width),
                        Sums(
                            zeros if is_first else sums, 0 if is_first else here,
                            m=0 if is_first else width,
                        ),
                        Sums(sums, here, m=width),
                        Asked(sums, here + numbers, i=asked_step(sums, numbers, count)),
                    )  # fmt: skip


@jit.serial
def transform_sums(sums, sums0, side, pairs, plane):
    """G^T S G of one vector of filters, in place: its taps become planes, row by row."""
    if pairs is not None:
        of_pairs.transform_sums(sums, sums0, plane)
    elif side == 4:
        four.transform_sums(sums, sums0, plane)
    else:
        two.transform_sums(sums, sums0, plane)


@jit.serial
def combine_piece(partial, first, plane, kernel, corner, count, dweight, dweight0, step):
    """The gradients by a piece of some filters: those of all chunks added up, see `combine_rows`.

    kernel, corner : as in `transform_filters`
    count, step : filters, and numbers from one to the next in dweight
    """
    lines, in_row, length, whole = lines_of(kernel)
    for line in range(lines):
        row = corner[0] + line // in_row * kernel[2]
        column = corner[1] + line % in_row * kernel[3]
        if row < kernel[0]:
            combine_rows(
                partial, first + length * line * plane, plane, min(length, whole - column), count,
                dweight, dweight0 + row * whole + column, step,
            )  # fmt: skip
