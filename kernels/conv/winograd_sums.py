"""Winograd's gradient by the filters: `winograd_image`'s formula, read backwards.

    dg = G^T [(B^T d B) * (A dY A^T)] G

The products, summed over the windows, are 16 matrix products of (channels x windows) by (windows x
filters): sums in 16 planes, to which each block of windows adds. They lie, as A dY A^T does, in the
order in which the tile goes through them, panel by panel of filters:

    spread [plane][group][panel][window][filter in panel]
    sums   [plane][group][panel][channel of the group][filter in panel]

A tile's sums are then one stretch of memory, right behind those of the tile before, and are asked
for while that one is computed: those of 192 filters do not stay in a core's caches.
"""

from kernels import jit
from kernels.conv.winograd_image import PLANES, place_of
from kernels.simd import lanes, load, load_part, splat, store
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
def _store_gradient_row(spread, at, plane, v0, v1):
    """One row of A dY times A^T."""
    store(spread, at, v0)
    store(spread, at + plane, v0 + v1)
    store(spread, at + 2 * plane, v0 - v1)
    store(spread, at + 3 * plane, splat(v1, 0.0) - v1)


@jit.serial
def transform_gradient(dy, dy0, size, groups, grid, gaps, first, last, spread, plane):
    """A dY A^T for the windows in rows first to last of some images that begin at dy0.

    size : (height, width, channels) of an image of dy
    groups : (how many, filters of each); a group's last vector may hold some of the next one
    """
    height, width, channels = size
    count, filters = groups
    n, filters_up = lanes(dy), full_vectors(dy, filters)
    full = TILE_VECTORS * n  # a panel's width
    step_h, step_w = gaps[0] * width * channels, gaps[1] * channels
    zero, windows = splat(dy, 0.0), (last - first) * grid[1]
    for row in range(first, last):
        image, upper, left, columns = place_of(row, grid, gaps, size)
        corner = dy0 + ((image * height + upper) * width + left) * channels
        below = upper + gaps[0] < height
        for column in range(grid[1]):
            here = upper < height and column < columns
            right = here and left + (2 * column + 1) * gaps[1] < width
            window = (row - first) * grid[1] + column
            for g in range(count):
                for c in range(0, filters_up, n):
                    o = c // full * full
                    spread_at = (g * filters_up + o) * windows + window * min(full, filters_up - o)
                    spread_at += c - o
                    dy_at = corner + 2 * column * step_w + g * filters + c
                    rest = channels - g * filters - c if here else 0
                    rest_right = rest if right else 0
                    rest_below = rest if below else 0
                    v00, v01 = load_part(dy, dy_at, rest), load_part(dy, dy_at + step_w, rest_right)
                    v10 = load_part(dy, dy_at + step_h, rest_below)
                    v11 = load_part(dy, dy_at + step_h + step_w, min(rest_below, rest_right))
                    _store_gradient_row(spread, spread_at, plane, v00, v01)
                    _store_gradient_row(spread, spread_at + 4 * plane, plane, v00 + v10, v01 + v11)
                    _store_gradient_row(spread, spread_at + 8 * plane, plane, v00 - v10, v01 - v11)
                    _store_gradient_row(
                        spread, spread_at + 12 * plane, plane, zero - v10, zero - v11
                    )


@jit.serial
def accumulate_planes(windows, spread, sums, zeros, is_first, count, planes, sizes):
    """sums[k] += windows[k]^T @ spread[k] over the first ``count`` windows of each plane k.

    zeros, is_first : a panel's width of zeros; whether the sums begin with these
    planes : distance between planes of windows, of spread and of sums
    sizes : (groups, input channels and filters of one, width of a row of windows)
    """
    groups, depth, filters, in_up = sizes
    panel, filters_up = full_panel(spread, filters), full_vectors(spread, filters)
    count_tiles, n = (depth + TILE_ROWS - 1) // TILE_ROWS, lanes(sums)
    for k in range(PLANES):
        for g in range(groups):
            for o in range(0, filters_up, panel):
                width = min(panel, filters_up - o)
                spread0 = k * planes[1] + (g * filters_up + o) * count
                for t in range(count_tiles):
                    first, last = depth * t // count_tiles, depth * (t + 1) // count_tiles
                    here = k * planes[2] + g * depth * filters_up + o * depth + first * width
                    numbers = (last - first) * width
                    tiles(
                        TileShape(FULL, last - first, width // n, n, inner=count),
                        Rows(windows, k * planes[0] + g * depth + first, m=1, i=in_up),
                        Panel(spread, spread0, i=width),
                        Sums(
                            zeros if is_first else sums, 0 if is_first else here,
                            m=0 if is_first else width,
                        ),
                        Sums(sums, here, m=width),
                        Asked(sums, here + numbers, i=asked_step(sums, numbers, count)),
                    )  # fmt: skip


@jit.serial
def _gradient_line(s0, s1, s2, s3, half):
    """G^T times one column of the sums."""
    both = half * (s1 + s2)
    return s0 + both, half * (s1 - s2), both + s3


@jit.serial
def _sums_row(sums, at, plane, half):
    """One row of the sums times G."""
    s0, s1 = load(sums, at), load(sums, at + plane)
    return _gradient_line(s0, s1, load(sums, at + 2 * plane), load(sums, at + 3 * plane), half)


@jit.serial
def transform_sums(sums, sums0, plane):
    """G^T S G of one vector of filters, in place: tap (i, j) becomes plane 3 i + j."""
    half = splat(sums, 0.5)
    a0, a1, a2 = _sums_row(sums, sums0, plane, half)
    b0, b1, b2 = _sums_row(sums, sums0 + 4 * plane, plane, half)
    c0, c1, c2 = _sums_row(sums, sums0 + 8 * plane, plane, half)
    d0, d1, d2 = _sums_row(sums, sums0 + 12 * plane, plane, half)
    for j, s0, s1, s2, s3 in ((0, a0, b0, c0, d0), (1, a1, b1, c1, d1), (2, a2, b2, c2, d2)):
        g0, g1, g2 = _gradient_line(s0, s1, s2, s3, half)
        store(sums, sums0 + j * plane, g0)
        store(sums, sums0 + (3 + j) * plane, g1)
        store(sums, sums0 + (6 + j) * plane, g2)
