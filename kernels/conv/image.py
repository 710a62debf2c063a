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
    transpose_block,
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
    image, image0, extent, steps, several,
    packed, packed0, taps, mode, bias, bias0,
    y, y0, size, y_steps, channels,
    asked, asked0, asked_size,
):  # fmt: skip
    """Slide packed weights over one image or several; one call owns their share of y.

    extent : (rows of the image, image row of the first kernel row at output row 0)
    steps : image rows per output row, image columns per output column as an offset, row length,
        image rows from one kernel row to the next
    several : (images, from one to the next, and in y). The rows of a tile are columns of an image,
        or the same place in several
    taps : (kernel rows, kernel columns * channels) that each output sums over
    size, y_steps : (rows, columns) of the output and their strides in y
    mode : how the weights were packed, `packed_mode`

    asked, asked0, asked_size : what is read after these images, to be fetched meanwhile; size 0
        for each panel of the weights to be fetched while the one before is used

    19 parameters in four groups: the callers are parallel functions, and Numba's analysis of
    those refuses a NamedTuple that is made inside them.
    """
    height, first_row = extent
    stride_h, column_step, row_length, dilation_h = steps
    images, image_step, y_step = several
    kernel_h, inner = taps
    lane_count = vector_width(packed, channels)
    panel = panel_width(packed, channels)
    in_rows, m, y_m = size[1], column_step, y_steps[1]
    if images > 1:
        in_rows, m, y_m = images, image_step, y_step
    count = (in_rows + TILE_ROWS - 1) // TILE_ROWS
    in_all = (channels + panel - 1) // panel * count * size[0] * kernel_h * inner
    if images > 1:
        in_all *= size[1]
    if asked_size == 0:
        asked, asked0 = packed, packed0 + panel * kernel_h * inner
        asked_size = channels * kernel_h * inner
    asked_i = asked_step(asked, asked_size, in_all)
    # Output rows whose windows lie within the image from top to bottom differ by a shift only.
    inside = rows_inside(first_row, stride_h, size[0], height - (kernel_h - 1) * dilation_h)
    for o in range(0, channels, panel):
        vectors = (min(panel, channels - o) + lane_count - 1) // lane_count
        tail = channels - o - (vectors - 1) * lane_count
        weights = packed0 + o * kernel_h * inner
        for t in range(count):
            # Even shares: 19 columns are 10 + 9, not 14 + 5.
            first, last = in_rows * t // count, in_rows * (t + 1) // count
            h = 0
            while h < size[0]:
                rows = inside[1] - h if h == inside[0] and inside[1] > h else 1
                repeats, r, y_r = rows, stride_h * row_length, y_steps[0]
                if images > 1:
                    rows, repeats, r, y_r = 1, size[1], column_step, y_steps[1]
                row = first_row + h * stride_h
                i, stop = rows_inside(row, dilation_h, kernel_h, height)
                image_at = image0 + (row + i * dilation_h) * row_length + first * m
                tiles(
                    TileShape(mode, last - first, vectors, tail, inner, stop - i, repeats),
                    Rows(image, image_at, m=m, o=dilation_h * row_length, i=1, r=r),
                    Panel(packed, weights + i * inner * panel, i=panel),
                    Sums(bias, bias0 + o),
                    Sums(y, y0 + h * y_steps[0] + first * y_m + o, m=y_m, r=y_r),
                    Asked(asked, asked0, asked_i),
                )
                asked0 += asked_i * repeats * inner * (stop - i)
                h += rows


@jit.serial
def accumulate_image(
    image, image0, extent, steps, several, taps, dy, dy0, size, channels, partial, partial0,
    asked, asked0, asked_size,
):  # fmt: skip
    """Add the share of one image or several to the sums, image by image.

    dy has ``channels`` per pixel, whole vectors of the width that `vector_width` names.
    several : (images, from one to the next, and in dy)
    partial : sums [panel][kernel row][tap][channel in panel], as the tile goes through them
    asked, asked0, asked_size : as in `convolve_image`; size 0 to ask for the next tile's sums

    15 parameters, in groups as there.
    """
    height, first_row = extent
    stride_h, column_step, row_length, dilation_h = steps
    images, image_step, dy_step = several
    kernel_h, inner = taps
    mode = mode_of(dy, channels)
    lane_count = vector_width(dy, channels)
    panel = panel_width(dy, channels)
    count = (inner + TILE_ROWS - 1) // TILE_ROWS
    in_all = (channels + panel - 1) // panel * count * images * size[0] * kernel_h * size[1]
    asked_i = asked_step(asked, asked_size, in_all)
    for o in range(0, channels, panel):
        width = min(panel, channels - o)
        vectors = width // lane_count
        for i in range(kernel_h):
            h, stop = rows_inside(first_row + i * dilation_h, stride_h, size[0], height)
            row = first_row + i * dilation_h + h * stride_h
            for t in range(count):
                first, last = inner * t // count, inner * (t + 1) // count
                image_at = image0 + row * row_length + first
                dy_at = dy0 + h * size[1] * channels + o
                sums0 = partial0 + o * kernel_h * inner + (i * inner + first) * width
                sums = Sums(partial, sums0, m=width)
                twice = vectors == 1 and last - first <= TWICE_ROWS and size[1] % 2 == 0
                how = mode + TWICE if twice else mode
                run, outer, calls = size[1], stop - h, images
                if outer == size[0] and stride_h * row_length == run * column_step and not twice:
                    # Pixels lie one behind the other, perhaps of all images.
                    run, outer = run * outer, 1
                    if image_step == run * column_step and dy_step == run * channels:
                        run, calls = run * images, 1
                for n in range(calls):
                    tiles(
                        TileShape(how, last - first, vectors, lane_count, run, outer),
                        Rows(
                            image,
                            image_at + n * image_step,
                            m=1,
                            o=stride_h * row_length,
                            i=column_step,
                        ),
                        Panel(dy, dy_at + n * dy_step, i=channels),
                        sums,
                        sums,
                        Asked(asked, asked0, asked_i) if asked_i else Asked(
                            partial, sums0 + (last - first) * width,
                            asked_step(partial, (last - first) * width, run * outer),
                        ),
                    )  # fmt: skip
                    asked0 += asked_i * run * outer


@jit.serial
def combine_chunks(partial, first, count, target):
    """target[k] = sum over chunks of partial[chunk, first + k] for k < count."""
    for k in range(0, count, lanes(partial)):
        rest = count - k
        store_part(target, k, chunk_sum(partial, first + k, rest), rest)


@jit.serial
def combine_rows(partial, first, row, rows, count, target, target0, target_step):
    """target[k * target_step + j] = sum over chunks of partial[chunk, first + j * row + k].

    For j < rows and k < count; target begins at target0. Spoils partial[0]. Turned in blocks, for a
    number here and there would be written to as many cache lines.
    """
    sums, n = partial[0], lanes(partial)
    for j in range(0, rows, n):
        block = min(n, rows - j)
        for k in range(0, count, n):
            here, rest = first + j * row + k, min(n, count - k)
            for i in range(block):
                at = here + i * row
                store_part(sums, at, chunk_sum(partial, at, rest), rest)
            transpose_block(
                sums, here, row, block, rest, target, target0 + k * target_step + j, target_step
            )


# --- 2 x 2 max pooling of an image while it is in the cache ---------------------------------------


@jit.serial
def pool_and_rectify(image, image0, sizes, relu, y, y0, index):
    """Pool an image into y[y0:] and index[y0:]; then y = max(y, 0) if ``relu``.

    sizes : (height, width, pooled height, pooled width, channels)
    """
    pool_fours_image(image, image0, sizes, True, y, y0, index, y0)
    if relu:
        stop = y0 + image_sizes(sizes)[1]
        for i in range(y0, stop, lanes(y)):
            v = load_part(y, i, stop - i)
            store_part(y, i, rectified(v), stop - i)
