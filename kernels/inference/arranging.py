"""Steps of a table that compute little: pixels in, images turned, sums, activations, pooling.

Each is done for the samples first to last of `span`, and of each for part `span[2]` of `span[3]`.
"""

from kernels import jit
from kernels.images.batch import copy_pixels
from kernels.images.layout import transpose_image
from kernels.inference.table import (
    ADD,
    EXTRA,
    LEAKY,
    MULTIPLY,
    NONE,
    OWN,
    RECTIFY,
    RELU,
    SIGMOID,
    TANH,
    X,
    Y,
    address,
)
from kernels.pool.image import average_pool_image, max_pool_image, pool_fours_image
from kernels.simd import fma, lanes, load, load_part, mathematics, splat, store_part, where
from kernels.tile import copy_row


@jit.serial
def share_of(count, part, parts, grain):
    """First and last of one part of so many things, in whole grains."""
    grains = (count + grain - 1) // grain
    return min(count, grains * part // parts * grain), min(
        count, grains * (part + 1) // parts * grain
    )


@jit.serial
def take_pixels(step, values, constants, memory, pixels, frame, span):
    """y = pixel * scale + offset; own : (channels, pixels of an image, scale0, apart)

    Channels come last, or stay one behind the other if `apart`.
    """
    channels, plane, scale0 = step[OWN], step[OWN + 1], step[OWN + 2]
    scale = constants[scale0 : scale0 + channels]
    offset = constants[scale0 + channels : scale0 + 2 * channels]
    moved = span[2] < 0  # a variable, as in `gather_share`
    for n in range(span[0], span[1]):
        y0, x0 = address(values, step[Y], frame, n), n * channels * plane
        if step[OWN + 3] and channels > 1:
            for c in range(channels):  # rounded twice, as `copy_pixels` does
                source = pixels[x0 + c * plane : x0 + (c + 1) * plane]
                result = memory[y0 + c * plane : y0 + (c + 1) * plane]
                factor, shift = scale[c], offset[c]
                for k in range(plane):
                    result[k] = source[k] * factor + shift
        else:
            copy_pixels(pixels, x0, plane, moved, scale, offset, memory[y0 : y0 + channels * plane])


@jit.serial
def take_floats(step, values, memory, floats, frame, span):
    """y = some numbers of each row that is given; own : (first, rows, columns, row length, turn)

    They are (rows, columns) of it, and turned if `turn`: channels first, as people have them.
    """
    first, rows, columns = step[OWN], step[OWN + 1], step[OWN + 2]
    length, turn = step[OWN + 3], step[OWN + 4]
    for n in range(span[0], span[1]):
        y0 = address(values, step[Y], frame, n)
        if turn and rows > 1:
            transpose_image(floats, n * length + first, rows, columns, memory, y0)
        else:
            copy_row(floats, n * length + first, memory, y0, rows * columns)


@jit.serial
def turn(step, values, memory, frame, span):
    """y = x turned: from channels last to the order of `Flatten`; own : (pixels, channels)"""
    for n in range(span[0], span[1]):
        x0, y0 = address(values, step[X], frame, n), address(values, step[Y], frame, n)
        transpose_image(memory, x0, step[OWN], step[OWN + 1], memory, y0)


@jit.serial
def pool(step, values, memory, nobody, frame, span):
    """The largest or the mean of windows; nobody : an empty index, for nobody asks which it was

    own : sizes and geometry as in `pool.image`, then (largest, count padding, tiles by two)
    """
    height, width, out_height = step[OWN], step[OWN + 1], step[OWN + 2]
    out_width, channels = step[OWN + 3], step[OWN + 4]
    geometry = (
        step[OWN + 5], step[OWN + 6], step[OWN + 7], step[OWN + 8], step[OWN + 9], step[OWN + 10],
    )  # fmt: skip
    maximum, count_padding, by_two = step[OWN + 11] != 0, step[OWN + 12] != 0, step[OWN + 13] != 0
    sizes = (height, width, out_height, out_width, channels)
    for n in range(span[0], span[1]):
        x0, y0 = address(values, step[X], frame, n), address(values, step[Y], frame, n)
        if by_two:
            pool_fours_image(memory, x0, sizes, maximum, memory, y0, nobody, 0)
        elif maximum:
            max_pool_image(memory, x0, sizes, geometry, memory, y0, nobody, 0)
        else:
            average_pool_image(memory, x0, sizes, geometry, count_padding, memory, y0)
        finish(memory, y0, out_height * out_width * channels, NONE, step[RELU])


@jit.serial
def finish(y, y0, count, extra0, relu):
    """y += what begins at extra0, unless that is none; then max(y, 0) if ``relu``."""
    if extra0 == NONE and not relu:
        return
    for i in range(0, count, lanes(y)):
        v = load_part(y, y0 + i, count - i)
        if extra0 != NONE:
            v = v + load_part(y, extra0 + i, count - i)
        if relu:
            v = mathematics.rectified(v)
        store_part(y, y0 + i, v, count - i)


@jit.serial
def scale(step, values, constants, memory, frame, span):
    """y = (x - mean) * scale + beta, as BatchNorm has it; own : (pixels, channels, mean0)

    The three lie one behind the other, each in whole vectors.
    """
    pixels, channels, mean0 = step[OWN], step[OWN + 1], step[OWN + 2]
    width = (channels + lanes(memory) - 1) // lanes(memory) * lanes(memory)
    first, last = share_of(pixels, span[2], span[3], 1)
    for n in range(span[0], span[1]):
        x0, y0 = address(values, step[X], frame, n), address(values, step[Y], frame, n)
        for c in range(0, channels, lanes(memory)):
            mean = load(constants, mean0 + c)
            slope, beta = (
                load(constants, mean0 + width + c),
                load(constants, mean0 + 2 * width + c),
            )
            for pixel in range(first, last):
                at = pixel * channels + c
                v = load_part(memory, x0 + at, channels - c) - mean
                v = fma(v, slope, beta)
                if step[RELU]:
                    v = mathematics.rectified(v)
                store_part(memory, y0 + at, v, channels - c)


@jit.serial
def put(step, values, memory, frame, span):
    """Some channels of y = x; own : (pixels, channels of x, those of y, the first of them)"""
    pixels, channels, joined, at = step[OWN], step[OWN + 1], step[OWN + 2], step[OWN + 3]
    first, last = share_of(pixels, span[2], span[3], 1)
    for n in range(span[0], span[1]):
        x0, y0 = address(values, step[X], frame, n), address(values, step[Y], frame, n)
        for pixel in range(first, last):
            copy_row(memory, x0 + pixel * channels, memory, y0 + pixel * joined + at, channels)


@jit.serial
def elementwise(step, values, constants, memory, frame, span):
    """y = f(x), or of x and EXTRA; own : (what, numbers of a sample, place of its constant)"""
    what, count = step[OWN], step[OWN + 1]
    slope = splat(memory, constants[step[OWN + 2]])
    zero = splat(memory, 0.0)
    first, last = share_of(count, span[2], span[3], 1024)
    for n in range(span[0], span[1]):
        x0, y0 = address(values, step[X], frame, n), address(values, step[Y], frame, n)
        other0 = x0
        if step[EXTRA] != NONE:
            other0 = address(values, step[EXTRA], frame, n)
        for i in range(first, last, lanes(memory)):
            v = load_part(memory, x0 + i, last - i)
            if what == ADD:
                v = v + load_part(memory, other0 + i, last - i)
            elif what == MULTIPLY:
                v = v * load_part(memory, other0 + i, last - i)
            elif what == RECTIFY:
                v = mathematics.rectified(v)
            elif what == LEAKY:
                v = where(v < zero, v * slope, v)
            elif what == SIGMOID:
                v = mathematics.sigmoid(v)
            elif what == TANH:
                v = mathematics.tanh(v)
            if step[RELU]:
                v = mathematics.rectified(v)
            store_part(memory, y0 + i, v, last - i)
