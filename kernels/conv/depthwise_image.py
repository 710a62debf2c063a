"""Depthwise convolution of one image: vectors run along the channels.

Arrays are flat; image0, y0 and the like say where something begins in them.
"""

from kernels import jit
from kernels.conv.image import rows_inside
from kernels.simd import fma, lanes, load, splat, store, store_part
from kernels.tile import fill_row, pad_image

_ROW_NUMBERS = 2048  # of dy, per vector of channels, that stay in the L1 cache for all taps


@jit.serial
def _eight(x, x0, x_step, weights, w0, taps, x_steps, w_steps, start, y, y0, y_step, count):
    """Eight neighbouring outputs of one vector of channels.

    x_step, y_step : from one output to the next; x_steps, w_steps : from tap to tap (row, column)
    count : lanes that are written

    13 parameters: those of a call that must not cost anything.
    """
    s0, s1, s2, s3, s4, s5, s6, s7 = start, start, start, start, start, start, start, start
    for i in range(taps[0]):
        for j in range(taps[1]):
            w = load(weights, w0 + i * w_steps[0] + j * w_steps[1])
            at = x0 + i * x_steps[0] + j * x_steps[1]
            s0 = fma(load(x, at), w, s0)
            s1 = fma(load(x, at + x_step), w, s1)
            s2 = fma(load(x, at + 2 * x_step), w, s2)
            s3 = fma(load(x, at + 3 * x_step), w, s3)
            s4 = fma(load(x, at + 4 * x_step), w, s4)
            s5 = fma(load(x, at + 5 * x_step), w, s5)
            s6 = fma(load(x, at + 6 * x_step), w, s6)
            s7 = fma(load(x, at + 7 * x_step), w, s7)
    store_part(y, y0, s0, count)
    store_part(y, y0 + y_step, s1, count)
    store_part(y, y0 + 2 * y_step, s2, count)
    store_part(y, y0 + 3 * y_step, s3, count)
    store_part(y, y0 + 4 * y_step, s4, count)
    store_part(y, y0 + 5 * y_step, s5, count)
    store_part(y, y0 + 6 * y_step, s6, count)
    store_part(y, y0 + 7 * y_step, s7, count)


@jit.serial
def _one(x, x0, weights, w0, taps, x_steps, w_steps, start, y, y0, count):
    """One output of one vector of channels."""
    s = start
    for i in range(taps[0]):
        for j in range(taps[1]):
            w = load(weights, w0 + i * w_steps[0] + j * w_steps[1])
            s = fma(load(x, x0 + i * x_steps[0] + j * x_steps[1]), w, s)
    store_part(y, y0, s, count)


@jit.serial
def slide(
    image, image0, extent, steps, weights, w0, w_steps, taps, start, y, y0, size, y_steps, channels
):  # fmt: skip
    """Slide filters over one image, every channel by itself; one call owns its share of y.

    extent : (rows of the image, image row of the first tap at output row 0)
    steps : image rows per output row, numbers per output column, numbers in a row, image rows per
        tap, numbers per tap column
    start : what the sums begin with, a number for each channel
    size, y_steps : (rows, columns) of the output and their strides in y

    14 parameters, in groups as those of `convolve_image`.
    """
    height, first_row = extent
    stride, x_step, row_length, gap, tap_step = steps
    x_steps = (gap * row_length, tap_step)
    for h in range(size[0]):
        row = first_row + h * stride
        i, stop = rows_inside(row, gap, taps[0], height)
        inside = (stop - i, taps[1])
        for c in range(0, channels, lanes(y)):
            begin, count = load(start, c), channels - c
            x_at = image0 + (row + i * gap) * row_length + c
            w_at = w0 + i * w_steps[0] + c
            y_at = y0 + h * y_steps[0] + c
            whole = size[1] // 8 * 8
            for w in range(0, whole, 8):
                _eight(
                    image, x_at + w * x_step, x_step, weights, w_at, inside, x_steps, w_steps,
                    begin, y, y_at + w * y_steps[1], y_steps[1], count,
                )  # fmt: skip
            for w in range(whole, size[1]):
                _one(
                    image, x_at + w * x_step, weights, w_at, inside, x_steps, w_steps,
                    begin, y, y_at + w * y_steps[1], count,
                )  # fmt: skip


@jit.serial
def pack_taps(weight, filters, area, packed):
    """packed[tap, o] = weight[o, tap], and 0 past the last filter."""
    filters_up = packed.size // area
    fill_row(packed, 0, packed.size)
    for o in range(filters):
        for tap in range(area):
            packed[tap * filters_up + o] = weight[o * area + tap]


@jit.serial
def repeat(image, image0, size, left, target, padded_size, multiplier):
    """An image with zeros beside it, in whole vectors, each channel as often as it has filters."""
    height, width, channels = size
    if multiplier == 1:
        pad_image(image, image0, size, (0, left), (1, 1), target, 0, padded_size)
        return
    rows, columns, filters_up = padded_size
    fill_row(target, 0, rows * columns * filters_up)
    for row in range(height):
        for column in range(max(0, -left), min(width, columns - left)):
            at = image0 + (row * width + column) * channels
            target_at = (row * columns + column + left) * filters_up
            for o in range(channels * multiplier):
                target[target_at + o] = image[at + o // multiplier]


@jit.serial
def gather(repeated, pixels, filters_up, start, dx, dx0, channels, multiplier):
    """dx[pixel, c] = start[filters_up + c], the bias, + what the filters of channel c send back."""
    for pixel in range(pixels):
        for c in range(channels):
            value = start[filters_up + c]
            for m in range(multiplier):
                value += repeated[pixel * filters_up + c * multiplier + m]
            dx[dx0 + pixel * channels + c] = value


@jit.serial
def _three(x, x0, x_steps, tap_step, dy, dy0, dy_steps, size, sums, at, next_sum):
    """Add to the sums of three neighbouring taps, of one vector of channels.

    x_steps, dy_steps : from row to row and from column to column of dy; size : its rows and columns
    Even and odd columns have sums of their own, so that additions need not wait for each other.
    """
    a0, a1, a2 = load(sums, at), load(sums, at + next_sum), load(sums, at + 2 * next_sum)
    b0, b1, b2 = splat(a0, 0.0), splat(a0, 0.0), splat(a0, 0.0)
    for h in range(size[0]):
        x_at, dy_at = x0 + h * x_steps[0], dy0 + h * dy_steps[0]
        for _ in range(size[1] // 2):
            d, e = load(dy, dy_at), load(dy, dy_at + dy_steps[1])
            a0 = fma(load(x, x_at), d, a0)
            a1 = fma(load(x, x_at + tap_step), d, a1)
            a2 = fma(load(x, x_at + 2 * tap_step), d, a2)
            b0 = fma(load(x, x_at + x_steps[1]), e, b0)
            b1 = fma(load(x, x_at + x_steps[1] + tap_step), e, b1)
            b2 = fma(load(x, x_at + x_steps[1] + 2 * tap_step), e, b2)
            x_at += 2 * x_steps[1]
            dy_at += 2 * dy_steps[1]
        if size[1] % 2:
            d = load(dy, dy_at)
            a0 = fma(load(x, x_at), d, a0)
            a1 = fma(load(x, x_at + tap_step), d, a1)
            a2 = fma(load(x, x_at + 2 * tap_step), d, a2)
    store(sums, at, a0 + b0)
    store(sums, at + next_sum, a1 + b1)
    store(sums, at + 2 * next_sum, a2 + b2)


@jit.serial
def _single(x, x0, x_steps, dy, dy0, dy_steps, size, sums, at):
    """Add to the sum of one tap, of one vector of channels."""
    s = load(sums, at)
    for h in range(size[0]):
        x_at, dy_at = x0 + h * x_steps[0], dy0 + h * dy_steps[0]
        for w in range(size[1]):
            s = fma(load(x, x_at + w * x_steps[1]), load(dy, dy_at + w * dy_steps[1]), s)
    store(sums, at, s)


@jit.serial
def accumulate(image, extent, steps, taps, dy, dy0, size, filters_up, sums):
    """Add one image's share to the sums [tap, channel].

    extent, steps : as in `slide`; size : rows and columns of dy, which has whole vectors
    """
    height, first_row = extent
    stride, x_step, row_length, gap, tap_step = steps
    block = max(1, _ROW_NUMBERS // (size[1] * lanes(dy)))
    x_steps, dy_steps = (stride * row_length, x_step), (size[1] * filters_up, filters_up)
    for first in range(0, size[0], block):
        for c in range(0, filters_up, lanes(dy)):
            for i in range(taps[0]):
                row = first_row + i * gap
                h, stop = rows_inside(row, stride, size[0], height)
                h, stop = max(h, first), min(stop, first + block)
                if h >= stop:
                    continue
                x_at = (row + h * stride) * row_length + c
                dy_at = dy0 + h * dy_steps[0] + c
                part, at = (stop - h, size[1]), i * taps[1] * filters_up + c
                threes = taps[1] // 3 * 3
                for j in range(0, threes, 3):
                    _three(
                        image, x_at + j * tap_step, x_steps, tap_step, dy, dy_at, dy_steps, part,
                        sums, at + j * filters_up, filters_up,
                    )  # fmt: skip
                for j in range(threes, taps[1]):
                    _single(
                        image, x_at + j * tap_step, x_steps, dy, dy_at, dy_steps, part,
                        sums, at + j * filters_up,
                    )  # fmt: skip
