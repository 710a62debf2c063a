"""Depthwise convolution of one image: vectors run along the channels.

Arrays are flat; image0, y0 and the like say where something begins in them.
"""

from kernels import jit
from kernels.conv.image import rows_inside
from kernels.simd import fma, lanes, load, settled, splat, store, store_part, touch
from kernels.tile import ask_for_row, fill_row, widen_rows

_BLOCK_NUMBERS = 4096  # of dy, which with as much of x stay in the L1 cache for all taps


@jit.serial
def _read_ahead(array, first, stop):
    """Have the numbers from ``first`` to ``stop`` in the cache.

    Filters read an image in strides, a vector of channels at a time, which comes from memory at a
    quarter of the speed of a row that is read from end to end.
    """
    for k in range(first, stop, lanes(array)):
        touch(array, k)


@jit.serial
def _add_tap(sums, x, at, x_step, w, outside):
    """Sums of eight neighbouring outputs, and w times what they see at one tap.

    outside : whether that is a zero beside the image for the first one, and for the last one
    """
    s0, s1, s2, s3, s4, s5, s6, s7 = sums
    zero = splat(w, 0.0)
    return (
        fma(zero if outside[0] else load(x, at), w, s0),
        fma(load(x, at + x_step), w, s1),
        fma(load(x, at + 2 * x_step), w, s2),
        fma(load(x, at + 3 * x_step), w, s3),
        fma(load(x, at + 4 * x_step), w, s4),
        fma(load(x, at + 5 * x_step), w, s5),
        fma(load(x, at + 6 * x_step), w, s6),
        fma(zero if outside[1] else load(x, at + 7 * x_step), w, s7),
    )


@jit.serial
def _eight(
    x, x0, beside, x_step, weights, w0, taps, x_steps, w_steps, start, y, y0, y_step, channels
):  # fmt: skip
    """Eight neighbouring outputs of all channels.

    beside : whether the first output's first column lies beside the image, and the last one's last
    x_step, y_step : from one output to the next; x_steps, w_steps : from tap to tap (row, column)

    14 parameters, in groups as those of `slide`.
    """
    last = taps[1] - 1
    for c in range(0, channels, lanes(y)):
        s0 = load(start, c)
        s = s0, s0, s0, s0, s0, s0, s0, s0
        for i in range(taps[0]):
            at, w_at = settled(x0 + c + i * x_steps[0]), w0 + c + i * w_steps[0]
            if last == 2:  # without a loop, in half the time
                s = _add_tap(s, x, at, x_step, load(weights, w_at), (beside[0], False))
                at, w_at = settled(at + x_steps[1]), w_at + w_steps[1]
                s = _add_tap(s, x, at, x_step, load(weights, w_at), (False, False))
                at, w_at = settled(at + x_steps[1]), w_at + w_steps[1]
                s = _add_tap(s, x, at, x_step, load(weights, w_at), (False, beside[1]))
            else:
                for j in range(taps[1]):
                    outside = j == 0 and beside[0], j == last and beside[1]
                    s = _add_tap(s, x, at, x_step, load(weights, w_at), outside)
                    at, w_at = settled(at + x_steps[1]), w_at + w_steps[1]
        s0, s1, s2, s3, s4, s5, s6, s7 = s
        y_at, left = settled(y0 + c), channels - c
        store_part(y, y_at, s0, left)
        store_part(y, y_at + y_step, s1, left)
        store_part(y, y_at + 2 * y_step, s2, left)
        store_part(y, y_at + 3 * y_step, s3, left)
        store_part(y, y_at + 4 * y_step, s4, left)
        store_part(y, y_at + 5 * y_step, s5, left)
        store_part(y, y_at + 6 * y_step, s6, left)
        store_part(y, y_at + 7 * y_step, s7, left)


@jit.serial
def _one(x, x0, weights, w0, taps, x_steps, w_steps, start, y, y0, channels):
    """One output of all channels."""
    for c in range(0, channels, lanes(y)):
        s = load(start, c)
        for i in range(taps[0]):
            for j in range(taps[1]):
                w = load(weights, w0 + c + i * w_steps[0] + j * w_steps[1])
                s = fma(load(x, x0 + c + i * x_steps[0] + j * x_steps[1]), w, s)
        store_part(y, y0 + c, s, channels - c)


@jit.serial
def slide(
    image, image0, extent, steps, weights, w0, w_steps, taps, start, y, y0, size, y_steps, channels
):  # fmt: skip
    """Slide filters over one image, every channel by itself; one call owns its share of y.

    extent : (rows, columns, numbers in a pixel of the image, and row and column of the first tap
        for the first output)
    steps : image rows and columns from output to output, and from tap to tap
    start : what the sums begin with, a number for each channel
    size, y_steps : (rows, columns) of the output and their strides in y

    14 parameters, in groups as those of `convolve_image`.
    """
    height, width, pixel, first_row, first_column = extent
    stride_h, stride_w, gap_h, gap_w = steps
    x_steps, x_step = (gap_h * width * pixel, gap_w * pixel), stride_w * pixel
    # Eight at once where all columns that they read lie on the image, but perhaps the first one's
    # first and the last one's last.
    reach, least = (taps[1] - 1) * gap_w, min(stride_w, gap_w)
    inside = width - 7 * stride_w - reach + 2 * least
    eights, stop_eights = rows_inside(first_column + least, stride_w, size[1] - 7, inside)
    row_length, read = width * pixel, max(0, first_row)
    for h in range(size[0]):
        row = first_row + h * stride_h
        i, stop = rows_inside(row, gap_h, taps[0], height)
        below = min(height, row + (taps[0] - 1) * gap_h + 1)
        if read < below:
            _read_ahead(image, image0 + read * row_length, image0 + below * row_length)
            read = below
        next_row = y0 + (h + 1) * y_steps[0]
        ask_for_row(y, next_row, next_row + size[1] * y_steps[1])
        x_row, w_row = image0 + (row + i * gap_h) * row_length, w0 + i * w_steps[0]
        w = 0
        while w < size[1]:
            are_eight = eights <= w < stop_eights + 7 and eights < stop_eights
            if are_eight:
                w = min(w, stop_eights - 1)  # the last eight may overlap those before
            column, y_at = first_column + w * stride_w, y0 + h * y_steps[0] + w * y_steps[1]
            if are_eight:
                beside = column < 0, column + 7 * stride_w + reach >= width
                _eight(
                    image, x_row + column * pixel, beside, x_step, weights, w_row,
                    (stop - i, taps[1]), x_steps, w_steps, start, y, y_at, y_steps[1], channels,
                )  # fmt: skip
                w += 8
            else:
                j, end = rows_inside(column, gap_w, taps[1], width)
                _one(
                    image, x_row + (column + j * gap_w) * pixel, weights, w_row + j * w_steps[1],
                    (stop - i, end - j), x_steps, w_steps, start, y, y_at, channels,
                )  # fmt: skip
                w += 1


@jit.serial
def pack_taps(weight, filters, area, packed):
    """packed[tap, o] = weight[o, tap], and 0 past the last filter."""
    filters_up = packed.size // area
    fill_row(packed, 0, packed.size)
    for o in range(filters):
        for tap in range(area):
            packed[tap * filters_up + o] = weight[o * area + tap]


@jit.serial
def whole_pixels(image, image0, size, target, filters_up):
    """(array, start in it) of an image with each channel as often as it has filters.

    Where pixels are whole vectors of one filter each that is the image itself, else a copy.
    size : (height, width, channels, filters)
    """
    height, width, channels, filters = size
    if filters_up == channels:
        return image, image0
    if filters == channels:
        widen_rows(image, image0, height * width, channels, channels, target, filters_up)
        return target, 0
    multiplier = filters // channels
    fill_row(target, 0, height * width * filters_up)
    for pixel in range(height * width):
        for o in range(filters):
            target[pixel * filters_up + o] = image[image0 + pixel * channels + o // multiplier]
    return target, 0


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
def _on_image(x, at, column, width, d, total):
    """total + x[at] * d, if the column is one of the image."""
    return fma(load(x, at), d, total) if 0 <= column < width else total


@jit.serial
def _three(x, x0, extent, steps, dy, dy0, dy_steps, size, sums, at, next_sum):
    """Add to the sums of three neighbouring taps, of one vector of channels.

    extent : columns of the image, numbers in a pixel, the first tap's column for the first of dy
    steps : numbers from row to row, columns from column to column of dy, columns from tap to tap
    size : rows and columns of dy
    Even and odd columns have sums of their own, so that additions need not wait for each other.
    """
    width, pixel, first = extent
    row_step, stride, gap = steps
    left, right = rows_inside(first, stride, size[1], width - 2 * gap)
    a0, a1, a2 = load(sums, at), load(sums, at + next_sum), load(sums, at + 2 * next_sum)
    b0, b1, b2 = splat(a0, 0.0), splat(a0, 0.0), splat(a0, 0.0)
    x_step, tap_step = stride * pixel, gap * pixel
    for h in range(size[0]):
        x_row, dy_row, w = x0 + h * row_step, dy0 + h * dy_steps[0], 0
        while w < size[1]:
            x_at, dy_at = x_row + w * x_step, dy_row + w * dy_steps[1]
            d = load(dy, dy_at)
            if left <= w < right - 1:
                e = load(dy, dy_at + dy_steps[1])
                a0 = fma(load(x, x_at), d, a0)
                a1 = fma(load(x, x_at + tap_step), d, a1)
                a2 = fma(load(x, x_at + 2 * tap_step), d, a2)
                b0 = fma(load(x, x_at + x_step), e, b0)
                b1 = fma(load(x, x_at + x_step + tap_step), e, b1)
                b2 = fma(load(x, x_at + x_step + 2 * tap_step), e, b2)
                w += 2
            else:
                column = first + w * stride
                a0 = _on_image(x, x_at, column, width, d, a0)
                a1 = _on_image(x, x_at + tap_step, column + gap, width, d, a1)
                a2 = _on_image(x, x_at + 2 * tap_step, column + 2 * gap, width, d, a2)
                w += 1
    store(sums, at, a0 + b0)
    store(sums, at + next_sum, a1 + b1)
    store(sums, at + 2 * next_sum, a2 + b2)


@jit.serial
def _single(x, x0, extent, steps, dy, dy0, dy_steps, size, sums, at):
    """Add to the sum of one tap, of one vector of channels; arguments as those of `_three`."""
    width, pixel, first = extent
    row_step, stride, _ = steps
    left, right = rows_inside(first, stride, size[1], width)
    s = load(sums, at)
    for h in range(size[0]):
        x_at, dy_at = x0 + h * row_step, dy0 + h * dy_steps[0]
        for w in range(left, right):
            s = fma(load(x, x_at + w * stride * pixel), load(dy, dy_at + w * dy_steps[1]), s)
    store(sums, at, s)


@jit.serial
def accumulate(image, image0, extent, steps, taps, dy, dy0, size, sums):
    """Add one image's share to the sums [tap, channel].

    extent, steps : as in `slide`; size : rows and columns of dy; both have pixels of whole vectors
    """
    height, width, pixel, first_row, first_column = extent
    stride_h, stride_w, gap_h, gap_w = steps
    block = max(1, _BLOCK_NUMBERS // (size[1] * pixel))
    row_length, read = width * pixel, max(0, first_row)
    dy_steps, x_steps = (size[1] * pixel, pixel), (stride_h * row_length, stride_w, gap_w)
    for first in range(0, size[0], block):
        last = min(size[0], first + block)
        below = min(height, first_row + (last - 1) * stride_h + (taps[0] - 1) * gap_h + 1)
        if read < below:
            _read_ahead(image, image0 + read * row_length, image0 + below * row_length)
            read = below
        _read_ahead(dy, dy0 + first * dy_steps[0], dy0 + last * dy_steps[0])
        for c in range(0, pixel, lanes(dy)):
            for i in range(taps[0]):
                row = first_row + i * gap_h
                h, stop = rows_inside(row, stride_h, size[0], height)
                h, stop = max(h, first), min(stop, last)
                if h >= stop:
                    continue
                x_at = image0 + (row + h * stride_h) * row_length + first_column * pixel + c
                dy_at = dy0 + h * dy_steps[0] + c
                part, at = (stop - h, size[1]), i * taps[1] * pixel + c
                threes = taps[1] // 3 * 3
                for j in range(0, threes, 3):
                    _three(
                        image, x_at + j * gap_w * pixel, (width, pixel, first_column + j * gap_w),
                        x_steps, dy, dy_at, dy_steps, part, sums, at + j * pixel, pixel,
                    )  # fmt: skip
                for j in range(threes, taps[1]):
                    _single(
                        image, x_at + j * gap_w * pixel, (width, pixel, first_column + j * gap_w),
                        x_steps, dy, dy_at, dy_steps, part, sums, at + j * pixel,
                    )  # fmt: skip
