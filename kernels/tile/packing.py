"""Bringing operands into the order in which the register tile reads them.

Weights are packed into panels of up to `TILE_VECTORS` vectors of output channels,
``[panel][outer][middle][inner][channel in panel]``, with zeros past the last channel, so that the
tile reads them as one stream. Images whose columns need padding are copied into a thread's own
scratch, one at a time: no padded copy of a whole batch ever exists.
"""

from kernels import jit
from kernels.simd import ask_for, lanes, load_part, splat, store, store_part
from kernels.sizes import size
from kernels.tile.operands import FULL, HALF, PAIRED
from kernels.tile.register_tile import TILE_VECTORS
from kernels.tile.transpose import transpose_block

# Bytes of a cache line of most processors. Where they are twice as many, half is asked for twice.
_LINE = 64


@size
def use_half(array, channels):
    """Whether half-width vectors hold all ``channels`` of arrays like ``array``."""
    return lanes(array) > 1 and channels <= lanes(array) // 2


@size
def mode_of(array, channels):
    """How the tile uses its lanes for ``channels`` output channels."""
    return HALF if use_half(array, channels) else FULL


@size
def packed_mode(array, channels, depth):
    """The same for weights packed by `pack`: in pairs where half the lanes would be idle.

    depth : the innermost count of `pack`, which has to be even for that
    """
    if use_half(array, channels) and depth % 2 == 0:
        return PAIRED
    return mode_of(array, channels)


@size
def vector_width(array, channels):
    """Lanes of the vectors that the tile uses for ``channels`` output channels."""
    return lanes(array) // 2 if use_half(array, channels) else lanes(array)


@size
def whole_vectors(array, channels):
    """``channels`` rounded up to whole vectors."""
    width = vector_width(array, channels)
    return (channels + width - 1) // width * width


@size
def odd_vectors(numbers, array):
    """Distance between blocks of so many numbers, at least: an odd number of vectors.

    Numbers at one place of each block would else share a few sets of the L1 cache.
    """
    vectors = (numbers + lanes(array) - 1) // lanes(array)
    return (vectors | 1) * lanes(array)


@size
def vector_lanes(array):
    """Numbers in a whole vector of an array's kind."""
    return lanes(array)


@size
def full_vectors(array, channels):
    """``channels`` rounded up to whole vectors of full width."""
    return (channels + lanes(array) - 1) // lanes(array) * lanes(array)


@size
def full_panel(array, channels):
    """Channels in one panel of full vectors, padding included."""
    return min(lanes(array) * TILE_VECTORS, full_vectors(array, channels))


@size
def panel_width(array, channels):
    """Channels in one panel of packed weights, padding included."""
    width = vector_width(array, channels)
    most = width if use_half(array, channels) else width * TILE_VECTORS
    return min(most, whole_vectors(array, channels))


@size
def padded_channels(array, channels):
    """``channels`` rounded up to whole panels."""
    width = panel_width(array, channels)
    return (channels + width - 1) // width * width


@jit.serial
def pack(source, first, strides, counts, channel_stride, channels, share, packed, packed0):
    """Pack ``source[first + sum of index * stride]`` (three nested indices) into panels.

    strides, counts : tuples of three ints, from the outermost index to the innermost.
    share : (k, n), of n shares of the panels the one to be packed

    In PAIRED mode (`packed_mode`) two neighbours of the innermost index lie side by side.
    """
    width = panel_width(packed, channels)
    pair = 2 if packed_mode(packed, channels, counts[2]) == PAIRED else 1
    panels, size = (channels + width - 1) // width, counts[0] * counts[1] * counts[2] * width
    first_panel, last_panel = panels * share[0] // share[1], panels * (share[0] + 1) // share[1]
    packed_at = packed0 + first_panel * size
    for panel in range(first_panel * width, last_panel * width, width):
        for i in range(counts[0]):
            for j in range(counts[1]):
                start = first + i * strides[0] + j * strides[1] + panel * channel_stride
                for k in range(counts[2]):
                    for c in range(width):
                        inside = panel + c < channels
                        packed[packed_at + k // pair * pair * width + c * pair + k % pair] = (
                            source[start + k * strides[2] + c * channel_stride] if inside else 0
                        )
                packed_at += counts[2] * width


@jit.serial
def copy_row(source, source0, target, target0, count):
    """target[target0:][:count] = source[source0:][:count]"""
    for i in range(0, count, lanes(source)):
        store_part(target, target0 + i, load_part(source, source0 + i, count - i), count - i)


@jit.serial
def add_row(source, source0, target, target0, count):
    """target[target0:][:count] += source[source0:][:count]"""
    for i in range(0, count, lanes(source)):
        here = load_part(target, target0 + i, count - i)
        store_part(target, target0 + i, here + load_part(source, source0 + i, count - i), count - i)


@jit.serial
def ask_for_row(array, first, stop):
    """`ask_for` every line of array[first:stop]."""
    line = _LINE // array.itemsize
    for i in range(first, min(stop, array.size), line):
        ask_for(array, i)


@jit.serial
def asked_step(array, count, steps):
    """`Asked.i` for so many numbers that are to be asked for evenly, in so many steps.

    Evenly, for requests are carried out a few at a time; at most a line in each step.
    """
    return min(_LINE // array.itemsize, count // steps + 1) if count > 0 and steps > 0 else 0


@jit.serial
def fill_row(target, target0, count):
    """target[target0:][:count] = 0"""
    zero = splat(target, 0.0)
    for i in range(0, count, lanes(target)):
        store_part(target, target0 + i, zero, count - i)


@jit.serial
def fill_pixels(target, target0, pixels, channels, bias):
    """The bias in every pixel, or 0 where there is none."""
    if bias.size == 0:
        fill_row(target, target0, pixels * channels)
        return
    for pixel in range(pixels):
        copy_row(bias, 0, target, target0 + pixel * channels, channels)


@jit.serial
def widen_rows(source, source0, rows, columns, step, target, width):
    """target[i, k] = source[i, k], and 0 for columns <= k < width: whole vectors for the tile.

    step : from a row of the source to the next one

    Whole vectors are written, in order, so the target needs a vector's room behind its end.
    """
    for i in range(rows):
        for k in range(0, width, lanes(source)):
            v = load_part(source, source0 + i * step + k, columns - k)
            store(target, i * width + k, v)


@jit.serial
def pack_panel(source, rows, columns, column, width, panel, panel0):
    """panel[i, k] = source[i, column + k], 0 past the last column."""
    count = min(width, columns - column)
    for row in range(rows):
        panel_at = panel0 + row * width
        copy_row(source, row * columns + column, panel, panel_at, count)
        if count < width:
            fill_row(panel, panel_at + count, width - count)


@jit.serial
def pack_transposed(source, source0, rows, columns, row, width, panel):
    """panel[i, k] = source[row + k, i] for the ``width`` rows from ``row`` on.

    source is (rows, columns) and begins at source0. Past the last row the panel holds zeros.
    """
    step = lanes(source)
    first = source0 + row * columns
    count = min(width, rows - row)
    if count < width:
        fill_row(panel, 0, width * columns)
    for k in range(0, count, step):
        for i in range(0, columns, step):
            transpose_block(
                source, first + k * columns + i, columns, min(step, count - k),
                min(step, columns - i), panel, i * width + k, width,
            )  # fmt: skip


@jit.serial
def pad_image(image, image0, size, before, steps, target, target0, padded_size):
    """Copy (height, width, channels) into (rows, columns, channels_up), zeros around it.

        target[i, j] = image[i * steps[0] - before[0], j * steps[1] - before[1]]

    channels_up : channels, or those rounded up to whole vectors
    before : (rows, columns) of zeros above and left of the image; below 0: what is left out
    """
    height, width, channels = size
    rows, columns, channels_up = padded_size
    first = min(columns, max(0, -(-before[1] // steps[1])))
    last = max(first, min(columns, -(-(width + before[1]) // steps[1])))
    for row in range(rows):
        target_at = target0 + row * columns * channels_up
        image_row = row * steps[0] - before[0]
        if image_row < 0 or image_row >= height:
            fill_row(target, target_at, columns * channels_up)
            continue
        fill_row(target, target_at, first * channels_up)
        image_at = image0 + (image_row * width + first * steps[1] - before[1]) * channels
        if channels_up == channels and steps[1] == 1:
            count = (last - first) * channels
            copy_row(image, image_at, target, target_at + first * channels, count)
        else:
            for column in range(first, last):
                for c in range(0, channels_up, lanes(image)):
                    v = load_part(image, image_at + c, channels - c)
                    store(target, target_at + column * channels_up + c, v)
                image_at += steps[1] * channels
        fill_row(target, target_at + last * channels_up, (columns - last) * channels_up)


@jit.serial
def sum_rows(source, source0, rows, columns, sums, sums0):
    """sums[c] += sum over rows of source[row, c], four running sums at a time."""
    for c in range(0, columns, lanes(source)):
        left = columns - c
        first, second = splat(source, 0.0), splat(source, 0.0)
        third, fourth = splat(source, 0.0), splat(source, 0.0)
        whole = rows // 4 * 4
        for row in range(0, whole, 4):
            source_at = source0 + row * columns + c
            first = first + load_part(source, source_at, left)
            second = second + load_part(source, source_at + columns, left)
            third = third + load_part(source, source_at + 2 * columns, left)
            fourth = fourth + load_part(source, source_at + 3 * columns, left)
        for row in range(whole, rows):
            first = first + load_part(source, source0 + row * columns + c, left)
        here = load_part(sums, sums0 + c, left)
        store_part(sums, sums0 + c, here + ((first + second) + (third + fourth)), left)
