"""Convolution of one image: the loop nests around the register tile.

Arrays are flat; image0, y0 and the like say where something begins in them.
"""

from kernels import jit
from kernels.pool.image import image_sizes, pool_fours_image
from kernels.simd import lanes, load_part, store_part
from kernels.simd.mathematics import rectified
from kernels.tile import (
    TILE_ROWS,
    TWICE,
    TWICE_ROWS,
    Asked,
    Panel,
    Rows,
    Sums,
    TileShape,
    asked_step,
    mode_of,
    panel_width,
    tiles,
    vector_width,
)
from kernels.tree import chunk_sum


@jit.serial
def rows_inside(first, step, count, height):
    """Range of k < count for which row ``first + k * step`` lies within 0 and ``height``."""
    start = 0 if first >= 0 else (step - 1 - first) // step
    stop = 0 if first >= height else (height - 1 - first) // step + 1
    return min(start, count), max(min(start, count), min(stop, count))


@jit.serial
def convolve_image(
    image, image0, extent, steps,
    packed, packed0, taps, mode, bias, bias0,
    y, y0, size, y_steps, channels,
    asked, asked0, asked_size,
):  # fmt: skip
    """Slide packed weights over one image; one call owns that image's share of y.

    extent : (rows of the image, image row of the first kernel row at output row 0)
    steps : image rows per output row, image columns per output column as an offset, row length,
        image rows from one kernel row to the next
    taps : (kernel rows, kernel columns * channels) that each output sums over
    size, y_steps : (rows, columns) of the output and their strides in y
    mode : how the weights were packed, `packed_mode`

    asked, asked0, asked_size : what is read after this image, to be fetched meanwhile

    18 parameters in four groups: the callers are parallel functions, and Numba's analysis of
    those refuses a NamedTuple that is made inside them.
    """
    height, first_row = extent
    stride_h, column_step, row_length, dilation_h = steps
    kernel_h, inner = taps
    lane_count = vector_width(packed, channels)
    panel = panel_width(packed, channels)
    count = (size[1] + TILE_ROWS - 1) // TILE_ROWS
    in_all = (channels + panel - 1) // panel * count * size[0] * kernel_h * inner
    asked_i = asked_step(asked, asked_size, in_all)
    # Output rows whose windows lie within the image from top to bottom differ by a shift only.
    inside = rows_inside(first_row, stride_h, size[0], height - (kernel_h - 1) * dilation_h)
    for o in range(0, channels, panel):
        vectors = (min(panel, channels - o) + lane_count - 1) // lane_count
        tail = channels - o - (vectors - 1) * lane_count
        weights = packed0 + o * kernel_h * inner
        for t in range(count):
            # Even shares: 19 columns are 10 + 9, not 14 + 5.
            first, last = size[1] * t // count, size[1] * (t + 1) // count
            h = 0
            while h < size[0]:
                repeats = inside[1] - h if h == inside[0] and inside[1] > h else 1
                row = first_row + h * stride_h
                i, stop = rows_inside(row, dilation_h, kernel_h, height)
                image_at = image0 + (row + i * dilation_h) * row_length + first * column_step
                y_at = y0 + h * y_steps[0] + first * y_steps[1] + o
                tiles(
                    TileShape(mode, last - first, vectors, tail, inner, stop - i, repeats),
                    Rows(
                        image,
                        image_at,
                        m=column_step,
                        o=dilation_h * row_length,
                        i=1,
                        r=stride_h * row_length,
                    ),
                    Panel(packed, weights + i * inner * panel, i=panel),
                    Sums(bias, bias0 + o),
                    Sums(y, y_at, m=y_steps[1], r=y_steps[0]),
                    Asked(asked, asked0, asked_i) if asked_i else Asked(packed, weights, 0),
                )
                asked0 += asked_i * repeats * inner * (stop - i)
                h += repeats


@jit.serial
def accumulate_image(
    image, image0, extent, steps, taps, dy, dy0, size, channels, partial, partial0,
    asked, asked0, asked_size,
):  # fmt: skip
    """Add one image's share of the weight gradient to (kernel row, tap, channel) sums.

    dy has ``channels`` per pixel, whole vectors of the width that `vector_width` names.
    asked, asked0, asked_size : as in `convolve_image`

    14 parameters, in groups as there.
    """
    height, first_row = extent
    stride_h, column_step, row_length, dilation_h = steps
    kernel_h, inner = taps
    mode = mode_of(dy, channels)
    lane_count = vector_width(dy, channels)
    panel = panel_width(dy, channels)
    count = (inner + TILE_ROWS - 1) // TILE_ROWS
    in_all = (channels + panel - 1) // panel * count * size[0] * kernel_h * size[1]
    asked_i = asked_step(asked, asked_size, in_all)
    for o in range(0, channels, panel):
        vectors = min(panel, channels - o) // lane_count
        for i in range(kernel_h):
            h, stop = rows_inside(first_row + i * dilation_h, stride_h, size[0], height)
            row = first_row + i * dilation_h + h * stride_h
            for t in range(count):
                first, last = inner * t // count, inner * (t + 1) // count
                image_at = image0 + row * row_length + first
                sums = Sums(partial, partial0 + (i * inner + first) * channels + o, m=channels)
                twice = vectors == 1 and last - first <= TWICE_ROWS and size[1] % 2 == 0
                how = mode + TWICE if twice else mode
                tiles(
                    TileShape(how, last - first, vectors, lane_count, size[1], stop - h),
                    Rows(image, image_at, m=1, o=stride_h * row_length, i=column_step),
                    Panel(dy, dy0 + h * size[1] * channels + o, i=channels),
                    sums,
                    sums,
                    Asked(asked, asked0, asked_i) if asked_i else Asked(dy, dy0, 0),
                )
                asked0 += asked_i * size[1] * (stop - h)


@jit.serial
def combine_chunks(partial, first, count, target, target0, target_step):
    """target[k * step] = sum over chunks of partial[chunk, first + k]; spoils partial[0]"""
    for k in range(0, count, lanes(partial)):
        rest = count - k
        store_part(partial[0], first + k, chunk_sum(partial, first + k, rest), rest)
    for k in range(count):
        target[target0 + k * target_step] = partial[0, first + k]


@jit.serial
def combine_rows(partial, part, shares, rows, width, count, target):
    """One share of target[k * rows + row] = sum over chunks of partial[chunk, row * width + k].

    k < count, which is at most width
    """
    for row in range(rows * part // shares, rows * (part + 1) // shares):
        combine_chunks(partial, row * width, count, target, row, rows)


# --- 2 x 2 max pooling of an image while it is in the cache ---------------------------------------


@jit.serial
def pool_and_rectify(image, sizes, relu, y, y0, index):
    """Pool an image into y[y0:] and index[y0:]; then y = max(y, 0) if ``relu``.

    sizes : (height, width, pooled height, pooled width, channels)
    """
    pool_fours_image(image, 0, sizes, True, y, y0, index, y0)
    if relu:
        stop = y0 + image_sizes(sizes)[1]
        for i in range(y0, stop, lanes(y)):
            v = load_part(y, i, stop - i)
            store_part(y, i, rectified(v), stop - i)
