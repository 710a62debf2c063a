"""Winograd's way to convolve with small filters, for a block of windows: transforms and products.

    Y = A^T [(G g G^T) * (B^T d B)] A      g: filter, d: window, Y: its outputs, 2 x 2 or 4 x 4

`winograd_two` and `winograd_four` have the matrices of 3 x 3 filters, and what is done with one
window of 4 x 4 or 6 x 6 pixels; `side` says which: outputs along a side of a window.
`winograd_pairs` has those of 2 x 2 filters, and side 2. The products, summed over the input
channels, are 16, 46 or 9 matrix products of (windows x channels) by (channels x filters): the
register tile's work. What the matrices contain are 0, 1, 1/2 and 1/4, so whole numbers stay exact.
The gradient by g is in `winograd_sums`.

Larger filters are cut into pieces of 3 x 3, which are 3 pixels apart: their convolution is the sum
of those of the pieces, each of the image moved by as much. So it is one of 3 x 3 with the channels
of all pieces, which lie one piece behind the other in a row of a transformed window. With a stride
a piece has every so-many-th tap of the filter, and a window every so-many-th pixel of the image.

Where the taps of a filter have gaps between them, an image falls into parts, the pixels that are
`gaps` (rows, columns) apart, and each is convolved by itself. So do, going back from a strided
convolution, the images that are made, each of whose parts is seen by other taps. Windows are
numbered row by row of windows, image by image, through the padded images of one part after the
other; each is `side` pixels of its part right of, or below, its neighbour. A transformed block is
so many planes of (windows, width), width being channels rounded up to whole vectors. Planes lie an
odd number of vectors apart: at a power of two all would compete for the same places in the cache,
which made the transforms three times as slow.

A grid is (rows and columns of windows in a part of an image, side of a window). `pairs` is True for
pieces of 2 x 2, and None for those of 3 x 3: then nothing of the others is compiled.
"""

from kernels import jit
from kernels.conv import winograd_four as four
from kernels.conv import winograd_pairs as of_pairs
from kernels.conv import winograd_two as two
from kernels.simd import lanes, load
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

# Numbers in a plane of filters that are asked for before the tile comes to them.
_MANY_FILTERS = 1 << 13


@jit.serial
def pad_images(images, images0, count, size, before, gaps, extent, width, padded):
    """Pad (height, width, channels) images: their parts, those of all images one by one.

    before : rows and columns of zeros above and left of an image
    gaps : rows and columns from a part's pixel to the next one
    extent : rows and columns of a padded part
    """
    rows, columns = extent[0], extent[1]
    for n in range(count):
        for part in range(gaps[0] * gaps[1]):
            pad_image(
                images, images0 + n * size[0] * size[1] * size[2], size,
                (before[0] - part // gaps[1], before[1] - part % gaps[1]), gaps,
                padded, (part * count + n) * rows * columns * width, (rows, columns, width),
            )  # fmt: skip


@jit.serial
def place_of(row, count, grid, gaps, size):
    """Where a row of windows lies: (its image's number, first row and column, columns of windows).

    A part may have fewer rows and columns than the grid: the first row may lie below the image.

    count : of images
    gaps : rows and columns from a part's pixel to the next one, of what is made
    """
    side = grid[2]
    image, part = row // grid[0] % count, row // grid[0] // count
    first = part % gaps[1]
    columns = (size[1] - first + side * gaps[1] - 1) // (side * gaps[1])
    return image, side * (row % grid[0]) * gaps[0] + part // gaps[1], first, columns


@jit.serial
def transform_windows(
    padded, padded0, grid, pairs, extent, width, first, last, windows, windows0, row_width, plane
):  # fmt: skip
    """B^T d B for the windows in rows first to last of the padded parts of some images.

    padded0 : where the first window begins
    extent : rows and columns of a padded part; pixels from one tap of a piece to the next, down and
        across
    width : of a pixel of padded; what its last vector has too much of the piece before the next
        one overwrites
    windows0, row_width : where the channels of this piece begin, width of a window's row
    """
    _, columns, side = grid
    row_length = extent[1] * width
    down, right = extent[2] * row_length, extent[3] * width
    for row in range(first, last):
        corner = padded0 + row // grid[0] * extent[0] * row_length + row % grid[0] * side * down
        for column in range(columns):
            to = windows0 + ((row - first) * columns + column) * row_width
            at = corner + side * column * right
            for c in range(0, width, lanes(padded)):
                if pairs is not None:
                    of_pairs.transform_window(padded, at + c, down, right, windows, to + c, plane)
                elif side == 4:
                    four.transform_window(padded, at + c, down, right, windows, to + c, plane)
                else:
                    two.transform_window(padded, at + c, down, right, windows, to + c, plane)


@jit.serial
def lines_of(kernel):
    """How the taps of a piece lie: (lines, lines in a row, its taps in one, the filter's in a row).

    Lines are rows of the filter, or single taps where these are apart; those of a filter that is
    one piece lie side by side and are one line.

    kernel : as in `transform_filters`
    """
    _, columns, down, across, taps = kernel
    if across > 1:
        return taps * taps, taps, 1, columns
    if kernel[0] == taps and columns == taps and down == 1:
        return 1, 1, taps * taps, taps * taps
    return taps, 1, taps, columns


@jit.serial
def transform_filters(
    weight, weight0, strides, kernel, corner, place, panel0, side, pairs, filters, filters0, taps
):  # fmt: skip
    """G g G^T of one panel of the filters that read one input channel, into all planes.

    strides : (from a filter to the next one in weight, whether filters are turned)
    kernel : rows and columns of a filter; from one tap of a piece to the next, down and across;
        rows, and columns, of a piece
    corner : row and column of its tap that the piece begins with, below 0 in some turned ones; what
        the piece has outside the filter is 0
    place : (this channel among depth channels, depth, first of these filters among all columns of
        the panels, how many they are, columns); in other columns the channel gets zeros
    panel0 : the panel's first column
    taps : room for nine vectors
    """
    outer, turned = strides
    row0, column0 = corner
    lines, in_row, length, whole = lines_of(kernel)
    channel, depth, first, count, columns = place
    width = full_panel(filters, columns)
    plane = odd_vectors(depth * ((columns + width - 1) // width * width), filters)
    n = lanes(filters)
    for o in range(panel0, min(columns, panel0 + width), n):
        start, stop = max(first, o), min(first + count, o + n)
        if stop - start < n or lines > 1:
            fill_row(taps, 0, 9 * n)
        if start < stop:
            weight_at = weight0 + (start - first) * outer
            for line in range(lines):
                row, column = row0 + line // in_row * kernel[2], column0 + line % in_row * kernel[3]
                right = min(whole, column + length) if 0 <= row < kernel[0] else 0
                for tap in range(max(0, column), right, n):
                    transpose_block(
                        weight, weight_at + row * whole + tap, outer, stop - start,
                        min(n, right - tap), taps,
                        (length * line + tap - column) * n + start - o, n,
                    )  # fmt: skip
        tap0, step = ((lines * length - 1) * n, -n) if turned else (0, n)
        filters_at = filters0 + o // width * width * depth + channel * width + o % width
        if pairs is not None:
            of_pairs.transform_filter(taps, tap0, step, filters, filters_at, plane)
        elif side == 4:
            four.transform_filter(taps, tap0, step, filters, filters_at, plane)
        else:
            two.transform_filter(taps, tap0, step, filters, filters_at, plane)


@size
def equal_tiles(windows):
    """Rows of a register tile and number of such tiles for at least so many windows.

    Nobody reads the products of the windows past the last one.
    """
    repeats = (windows + TILE_ROWS - 1) // TILE_ROWS
    return (windows + repeats - 1) // repeats, repeats


@jit.serial
def multiply_planes(
    windows, filters, filters0, zeros, products, count, planes, steps, sizes, y, y0, y_count
):  # fmt: skip
    """products[k] = windows[k] @ filters[k] for the first ``count`` windows of all planes k.

    steps : from a plane of windows to the next one, and of products
    y, y0, y_count : what is written next, to be fetched meanwhile
    sizes : (groups, input channels and filters of one, width of a row of windows and of products)

    A group's last vector may reach into the next group, which is computed later.
    """
    groups, depth, channels, in_up, out_up = sizes
    panel = full_panel(filters, channels)
    plane = odd_vectors((channels + panel - 1) // panel * panel * depth, filters)
    rows, repeats = equal_tiles(count)
    ahead = panel * depth if plane >= _MANY_FILTERS else 0  # to the next panel
    for k in range(planes):
        ask_for_row(y, y0 + y_count * k // planes, y0 + y_count * (k + 1) // planes)
        # What nobody wrote may be denormal, which some processors multiply 100 times as slowly.
        fill_row(windows, k * steps[0] + count * in_up, (rows * repeats - count) * in_up)
        for g in range(groups):
            for o in range(0, channels, panel):
                vectors = (min(panel, channels - o) + lanes(windows) - 1) // lanes(windows)
                here = filters0 + (g * planes + k) * plane + o * depth
                tiles(
                    TileShape(FULL, rows, vectors, lanes(windows), depth, outer=1, repeats=repeats),
                    Rows(windows, k * steps[0] + g * depth, m=in_up, i=1, o=0, r=rows * in_up),
                    Panel(filters, here, i=panel),
                    Sums(zeros, 0),
                    Sums(products, k * steps[1] + g * channels + o, m=out_up, r=rows * out_up),
                    Asked(filters, here + ahead, i=asked_step(filters, ahead, repeats * depth)),
                )  # fmt: skip


@jit.serial
def transform_products(
    products, plane, grid, pairs, gaps, out_up, first, last, bias, y, y0, size
):  # fmt: skip
    """A^T M A + bias for the windows in rows first to last of some images that begin at y0.

    size : (how many, height and width of one, channels) of the images of y
    """
    images, height, width, channels = size
    side = grid[2]
    steps = gaps[0] * width * channels, gaps[1] * channels
    for row in range(first, last):
        image, upper, left, columns = place_of(row, images, grid, gaps, (height, width))
        corner = y0 + ((image * height + upper) * width + left) * channels
        rows_inside = (height - upper + gaps[0] - 1) // gaps[0]
        columns_inside = (width - left + gaps[1] - 1) // gaps[1]
        for column in range(columns if rows_inside > 0 else 0):
            inside = rows_inside, columns_inside - side * column
            at = ((row - first) * grid[1] + column) * out_up
            y_at = corner + side * column * steps[1]
            for c in range(0, channels, lanes(y)):
                rest, b = channels - c, load(bias, c)
                if pairs is not None:
                    of_pairs.store_outputs(
                        products, at + c, plane, b, y, y_at + c, steps, inside, rest
                    )
                elif side == 4:
                    four.store_outputs(products, at + c, plane, b, y, y_at + c, steps, inside, rest)
                else:
                    two.store_outputs(products, at + c, plane, b, y, y_at + c, steps, inside, rest)


@jit.serial
def pool_products(products, steps, grid, pairs, first, last, bias, relu, y, index, y0, size):
    """The same without gaps, 2 x 2 max pooled: windows of the pool lie in those of the outputs.

    steps : from a plane of products to the next one, and in it from a window
    size : (height, width, channels) of a pooled image; index is like y, or empty
    """
    height, width, channels = size
    side, (plane, out_up) = grid[2], steps
    pooled = side // 2  # of a window, along a side
    for row in range(first, last):
        upper = row % grid[0] * pooled
        corner = y0 + (row // grid[0] * height + upper) * width * channels
        for column in range((width + pooled - 1) // pooled if upper < height else 0):
            inside = height - upper, width - pooled * column
            at = ((row - first) * grid[1] + column) * out_up
            y_at = corner + pooled * column * channels
            for c in range(0, channels, lanes(y)):
                rest, b = channels - c, load(bias, c)
                if pairs is not None:
                    of_pairs.store_pooled(
                        products, at + c, plane, b, relu, y, index, y_at + c, rest
                    )
                elif side == 4:
                    four.store_pooled(
                        products, at + c, plane, b, relu, y, index, y_at + c,
                        (width * channels, channels), inside, rest,
                    )  # fmt: skip
                else:
                    two.store_pooled(products, at + c, plane, b, relu, y, index, y_at + c, rest)
