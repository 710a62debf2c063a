"""Winograd's F(2x2, 3x3): four outputs of a 3 x 3 convolution for 16 products instead of 36.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), section 4.1:

    Y = A^T [(G g G^T) * (B^T d B)] A      g: 3 x 3 filter, d: 4 x 4 window, Y: 2 x 2 outputs

          | 1  0 -1  0 |          | 1    0    0  |
    B^T = | 0  1  1  0 |      G = | 1/2  1/2 1/2 |      A^T = | 1 1  1  0 |
          | 0 -1  1  0 |          | 1/2 -1/2 1/2 |            | 0 1 -1 -1 |
          | 0  1  0 -1 |          | 0    0    1  |

The products, summed over the input channels, are 16 matrix products of (windows x channels) by
(channels x filters): the register tile's work. What the matrices contain are 0, 1 and 1/2, so whole
numbers stay exact. The gradient by g is in `winograd_sums`.

Here are the transforms, and the products, for a block of windows. Where the taps of a filter have
gaps between them, an image falls into parts, the pixels that are `gaps` (rows, columns) apart, and
each is convolved by itself. Windows are numbered row by row of windows, through the padded parts of
some images; each is two pixels of its part right of, or below, its neighbour. A transformed block
is 16 planes of (windows, width), width being channels rounded up to whole vectors. Planes lie an
odd number of vectors apart: at a power of two all 16 would compete for the same places in the
cache, which made the transforms three times as slow.
"""

from kernels import jit
from kernels.pool.image import max_of_four
from kernels.simd import lanes, load, splat, store, store_index, store_part
from kernels.simd.mathematics import rectified
from kernels.sizes import size
from kernels.tile import (
    FULL,
    TILE_ROWS,
    Asked,
    Panel,
    Rows,
    Sums,
    TileShape,
    ask_for_row,
    asked_step,
    fill_row,
    full_panel,
    odd_vectors,
    pad_image,
    tiles,
    transpose_block,
)

PLANES = 16
# Numbers in a plane of filters that are asked for before the tile comes to them.
_MANY_FILTERS = 1 << 13


@jit.serial
def pad_images(images, images0, count, size, before, gaps, grid, width, padded):
    """Pad the parts of images one behind the other, (height, width, channels) each image.

    before : rows and columns of zeros above and left of an image
    grid : rows and columns of windows in a part
    """
    rows, columns = 2 * grid[0] + 2, 2 * grid[1] + 2
    padded_at = 0
    for n in range(count):
        for part in range(gaps[0] * gaps[1]):
            pad_image(
                images, images0 + n * size[0] * size[1] * size[2], size,
                (before[0] - part // gaps[1], before[1] - part % gaps[1]), gaps,
                padded, padded_at, (rows, columns, width),
            )  # fmt: skip
            padded_at += rows * columns * width


@jit.serial
def place_of(row, grid, gaps, size):
    """Where a row of windows lies: (its image's number, first row and column, columns of windows).

    A part may have fewer rows and columns than the grid: the first row may lie below the image.
    """
    image = row // grid[0] // (gaps[0] * gaps[1])
    part = row // grid[0] % (gaps[0] * gaps[1])
    first = part % gaps[1]
    columns = (size[1] - first + 2 * gaps[1] - 1) // (2 * gaps[1])
    return image, 2 * (row % grid[0]) * gaps[0] + part // gaps[1], first, columns


@jit.serial
def _window_column(padded, at, row):
    """B^T times one column of a window."""
    d0, d1 = load(padded, at), load(padded, at + row)
    d2, d3 = load(padded, at + 2 * row), load(padded, at + 3 * row)
    return d0 - d2, d1 + d2, d2 - d1, d1 - d3


@jit.serial
def _store_window_row(windows, at, plane, v0, v1, v2, v3):
    """One row of B^T d times B."""
    store(windows, at, v0 - v2)
    store(windows, at + plane, v1 + v2)
    store(windows, at + 2 * plane, v2 - v1)
    store(windows, at + 3 * plane, v1 - v3)


@jit.serial
def transform_windows(padded, grid, width, first, last, windows, plane):
    """B^T d B for the windows in rows first to last of the padded parts of some images."""
    row_length = (2 * grid[1] + 2) * width
    image = (2 * grid[0] + 2) * row_length
    for row in range(first, last):
        corner = row // grid[0] * image + row % grid[0] * 2 * row_length
        for column in range(grid[1]):
            windows_at = ((row - first) * grid[1] + column) * width
            for padded_at in range(
                corner + 2 * column * width, corner + (2 * column + 1) * width, lanes(padded)
            ):
                a0, a1, a2, a3 = _window_column(padded, padded_at, row_length)
                b0, b1, b2, b3 = _window_column(padded, padded_at + width, row_length)
                c0, c1, c2, c3 = _window_column(padded, padded_at + 2 * width, row_length)
                d0, d1, d2, d3 = _window_column(padded, padded_at + 3 * width, row_length)
                _store_window_row(windows, windows_at, plane, a0, b0, c0, d0)
                _store_window_row(windows, windows_at + 4 * plane, plane, a1, b1, c1, d1)
                _store_window_row(windows, windows_at + 8 * plane, plane, a2, b2, c2, d2)
                _store_window_row(windows, windows_at + 12 * plane, plane, a3, b3, c3, d3)
                windows_at += lanes(padded)


@jit.serial
def _filter_line(g0, g1, g2):
    """G times one column of a filter."""
    half = splat(g0, 0.5)
    return g0, half * (g0 + g1 + g2), half * (g0 - g1 + g2), g2


@jit.serial
def transform_filters(weight, weight0, strides, place, panel0, filters, filters0, taps):
    """G g G^T of one panel of the filters that read one input channel, into 16 planes.

    strides : (from a filter to the next one in weight, whether filters are turned)
    place : (this channel among depth channels, depth, first of these filters among all columns of
        the panels, how many they are, columns); in other columns the channel gets zeros
    panel0 : the panel's first column
    taps : room for nine vectors
    """
    outer, turned = strides
    channel, depth, first, count, columns = place
    width = full_panel(filters, columns)
    plane = odd_vectors(depth * ((columns + width - 1) // width * width), filters)
    n = lanes(filters)
    for o in range(panel0, min(columns, panel0 + width), n):
        start, stop = max(first, o), min(first + count, o + n)
        if stop - start < n:
            fill_row(taps, 0, 9 * n)
        if start < stop:
            for tap in range(0, 9, n):
                transpose_block(
                    weight, weight0 + (start - first) * outer + tap, outer, stop - start,
                    min(n, 9 - tap), taps, tap * n + start - o, n,
                )  # fmt: skip
        corner, step = (8 * n, -n) if turned else (0, n)
        a0, a1, a2, a3 = _filter_line(
            load(taps, corner), load(taps, corner + 3 * step), load(taps, corner + 6 * step)
        )
        b0, b1, b2, b3 = _filter_line(
            load(taps, corner + step), load(taps, corner + 4 * step), load(taps, corner + 7 * step)
        )
        c0, c1, c2, c3 = _filter_line(
            load(taps, corner + 2 * step), load(taps, corner + 5 * step),
            load(taps, corner + 8 * step),
        )  # fmt: skip
        filters_at = filters0 + o // width * width * depth + channel * width + o % width
        _store_filter_row(filters, filters_at, plane, a0, b0, c0)
        _store_filter_row(filters, filters_at + 4 * plane, plane, a1, b1, c1)
        _store_filter_row(filters, filters_at + 8 * plane, plane, a2, b2, c2)
        _store_filter_row(filters, filters_at + 12 * plane, plane, a3, b3, c3)


@jit.serial
def _store_filter_row(filters, at, plane, g0, g1, g2):
    """One row of G g times G^T."""
    u0, u1, u2, u3 = _filter_line(g0, g1, g2)
    store(filters, at, u0)
    store(filters, at + plane, u1)
    store(filters, at + 2 * plane, u2)
    store(filters, at + 3 * plane, u3)


@size
def equal_tiles(windows):
    """Rows of a register tile and number of such tiles for at least so many windows.

    Nobody reads the products of the windows past the last one.
    """
    repeats = (windows + TILE_ROWS - 1) // TILE_ROWS
    return (windows + repeats - 1) // repeats, repeats


@jit.serial
def multiply_planes(windows, filters, zeros, products, count, planes, sizes, y, y0, y_count):
    """products[k] = windows[k] @ filters[k] for the first ``count`` windows of each plane k.

    planes : distance between planes of windows and of products
    y, y0, y_count : what is written next, to be fetched meanwhile
    sizes : (groups, input channels and filters of one, width of a row of windows and of products)

    A group's last vector may reach into the next group, which is computed later.
    """
    groups, depth, channels, in_up, out_up = sizes
    panel = full_panel(filters, channels)
    plane = odd_vectors((channels + panel - 1) // panel * panel * depth, filters)
    rows, repeats = equal_tiles(count)
    ahead = panel * depth if plane >= _MANY_FILTERS else 0  # to the next panel
    for k in range(PLANES):
        ask_for_row(y, y0 + y_count * k // PLANES, y0 + y_count * (k + 1) // PLANES)
        # What nobody wrote may be denormal, which some processors multiply 100 times as slowly.
        fill_row(windows, k * planes[0] + count * in_up, (rows * repeats - count) * in_up)
        for g in range(groups):
            for o in range(0, channels, panel):
                vectors = (min(panel, channels - o) + lanes(windows) - 1) // lanes(windows)
                here = (g * PLANES + k) * plane + o * depth
                tiles(
                    TileShape(FULL, rows, vectors, lanes(windows), depth, outer=1, repeats=repeats),
                    Rows(windows, k * planes[0] + g * depth, m=in_up, i=1, o=0, r=rows * in_up),
                    Panel(filters, here, i=panel),
                    Sums(zeros, 0),
                    Sums(products, k * planes[1] + g * channels + o, m=out_up, r=rows * out_up),
                    Asked(filters, here + ahead, i=asked_step(filters, ahead, repeats * depth)),
                )  # fmt: skip


@jit.serial
def _output_row(products, at, plane):
    """One row of the products times A."""
    m0, m1 = load(products, at), load(products, at + plane)
    m2, m3 = load(products, at + 2 * plane), load(products, at + 3 * plane)
    return m0 + m1 + m2, m1 - m2 - m3


@jit.serial
def _outputs(products, at, plane, bias):
    """The four outputs of a window: upper left, upper right, lower left, lower right."""
    a0, a1 = _output_row(products, at, plane)
    b0, b1 = _output_row(products, at + 4 * plane, plane)
    c0, c1 = _output_row(products, at + 8 * plane, plane)
    d0, d1 = _output_row(products, at + 12 * plane, plane)
    return a0 + b0 + c0 + bias, a1 + b1 + c1 + bias, b0 - c0 - d0 + bias, b1 - c1 - d1 + bias


@jit.serial
def transform_products(products, plane, grid, gaps, out_up, first, last, bias, y, y0, size):
    """A^T M A + bias for the windows in rows first to last of some images that begin at y0.

    size : (height, width, channels) of an image of y
    """
    height, width, channels = size
    step_h, step_w = gaps[0] * width * channels, gaps[1] * channels
    for row in range(first, last):
        image, upper, left, columns = place_of(row, grid, gaps, size)
        if upper >= height:
            continue
        corner = y0 + ((image * height + upper) * width + left) * channels
        for column in range(columns):
            right = left + (2 * column + 1) * gaps[1] < width
            for c in range(0, channels, lanes(y)):
                rest = channels - c
                products_at = ((row - first) * grid[1] + column) * out_up + c
                v00, v01, v10, v11 = _outputs(products, products_at, plane, load(bias, c))
                y_at = corner + 2 * column * step_w + c
                store_part(y, y_at, v00, rest)
                if right:
                    store_part(y, y_at + step_w, v01, rest)
                if upper + gaps[0] < height:
                    y_at += step_h
                    store_part(y, y_at, v10, rest)
                    if right:
                        store_part(y, y_at + step_w, v11, rest)


@jit.serial
def pool_products(products, plane, grid, out_up, first, last, bias, relu, y, index, y0, size):
    """The same without gaps, 2 x 2 max pooled: a window's outputs are the window of the pool.

    size : (height, width, channels) of a pooled image; index is like y, or empty
    """
    height, width, channels = size
    for row in range(first, last):
        upper = row % grid[0]
        if upper >= height:
            continue
        corner = y0 + (row // grid[0] * height + upper) * width * channels
        for column in range(width):
            for c in range(0, channels, lanes(y)):
                rest = channels - c
                products_at = ((row - first) * grid[1] + column) * out_up + c
                v00, v01, v10, v11 = _outputs(products, products_at, plane, load(bias, c))
                best, which = max_of_four(v00, v01, v10, v11)
                if relu:
                    best = rectified(best)
                y_at = corner + column * channels + c
                store_part(y, y_at, best, rest)
                if index.size:
                    store_index(index, y_at, which, rest)
