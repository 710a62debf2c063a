"""Depthwise convolution of one image: vectors run along the channels.

Arrays are flat; image0, y0 and the like say where something begins in them.
"""

from kernels import jit
from kernels.conv.image import rows_inside
from kernels.simd import ask_for, fma, lanes, load, settled, splat, store_part, touch
from kernels.tile import ask_for_row, fill_row, widen_rows


@jit.serial
def read_ahead(array, first, stop):
    """Have the numbers from ``first`` to ``stop`` in the cache: nobody has asked for them.

    Filters read an image in strides, a vector of channels at a time, which comes from memory at a
    quarter of the speed of a row that is read from end to end.
    """
    for k in range(first, stop, lanes(array)):
        touch(array, k)


@jit.serial
def add_tap(sums, x, at, x_step, w, outside):
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
def store_eight(y, at, step, sums, count):
    """Eight vectors, so far apart, as many lanes of each as there are."""
    s0, s1, s2, s3, s4, s5, s6, s7 = sums
    store_part(y, at, s0, count)
    store_part(y, at + step, s1, count)
    store_part(y, at + 2 * step, s2, count)
    store_part(y, at + 3 * step, s3, count)
    store_part(y, at + 4 * step, s4, count)
    store_part(y, at + 5 * step, s5, count)
    store_part(y, at + 6 * step, s6, count)
    store_part(y, at + 7 * step, s7, count)


@jit.serial
def _add_close_taps(sums, x, at, step, weights, w_at, w_step, outside):
    """Sums of eight neighbouring outputs, and what they see at three taps side by side.

    step : from tap to tap, and from output to output as well, which see ten columns between them
    outside : whether the first of those is a zero beside the image, and the last one
    """
    s0, s1, s2, s3, s4, s5, s6, s7 = sums
    w0, w1 = load(weights, w_at), load(weights, w_at + w_step)
    w2, zero = load(weights, w_at + 2 * w_step), splat(w0, 0.0)
    v0, v1, v2 = zero if outside[0] else load(x, at), load(x, at + step), load(x, at + 2 * step)
    at = settled(at + 4 * step)
    v3, v4, v5, v6 = load(x, at - step), load(x, at), load(x, at + step), load(x, at + 2 * step)
    at = settled(at + 4 * step)
    v7, v8, v9 = load(x, at - step), load(x, at), zero if outside[1] else load(x, at + step)
    return (
        fma(v2, w2, fma(v1, w1, fma(v0, w0, s0))),
        fma(v3, w2, fma(v2, w1, fma(v1, w0, s1))),
        fma(v4, w2, fma(v3, w1, fma(v2, w0, s2))),
        fma(v5, w2, fma(v4, w1, fma(v3, w0, s3))),
        fma(v6, w2, fma(v5, w1, fma(v4, w0, s4))),
        fma(v7, w2, fma(v6, w1, fma(v5, w0, s5))),
        fma(v8, w2, fma(v7, w1, fma(v6, w0, s6))),
        fma(v9, w2, fma(v8, w1, fma(v7, w0, s7))),
    )


@jit.inlined
def _eight(
    x, x0, beside, x_step, weights, w0, taps, x_steps, w_steps, start, y, y0, y_steps, channels,
    asked, asked0, count,
):  # fmt: skip
    """Eight neighbouring outputs of all channels.

    beside : whether the first output's first column lies beside the image, and the last one's last
    x_step : from one output to the next; y_steps : likewise, from row to row and within a row
    x_steps, w_steps : from tap to tap (row, column)
    asked, asked0, count : so many numbers from there on are asked for, a few for each vector

    17 parameters, in groups as those of `slide`.
    """
    last, y_step = taps[1] - 1, y_steps[1]
    each = count // ((channels + lanes(y) - 1) // lanes(y))
    for c in range(0, channels, lanes(y)):
        s0 = load(start, c)
        s = s0, s0, s0, s0, s0, s0, s0, s0
        ask_for_row(asked, asked0, asked0 + each)
        asked0 += each
        for k in range(8):
            ask_for(y, y0 + y_steps[0] + k * y_step + c)
        for i in range(taps[0]):
            at, w_at = settled(x0 + c + i * x_steps[0]), w0 + c + i * w_steps[0]
            if last == 2 and x_step == x_steps[1]:
                s = _add_close_taps(s, x, at, x_step, weights, w_at, w_steps[1], beside)
            elif last == 2:  # without a loop, in half the time
                s = add_tap(s, x, at, x_step, load(weights, w_at), (beside[0], False))
                at, w_at = settled(at + x_steps[1]), w_at + w_steps[1]
                s = add_tap(s, x, at, x_step, load(weights, w_at), (False, False))
                at, w_at = settled(at + x_steps[1]), w_at + w_steps[1]
                s = add_tap(s, x, at, x_step, load(weights, w_at), (False, beside[1]))
            else:
                for j in range(taps[1]):
                    outside = j == 0 and beside[0], j == last and beside[1]
                    s = add_tap(s, x, at, x_step, load(weights, w_at), outside)
                    at, w_at = settled(at + x_steps[1]), w_at + w_steps[1]
        store_eight(y, settled(y0 + c), y_step, s, channels - c)


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
    image, image0, extent, steps, weights, w0, w_steps, taps, start, y, y0, size, y_steps, channels,
    asked, asked0, asked_row,
):  # fmt: skip
    """Slide filters over one image, every channel by itself; one call owns its share of y.

    extent : (rows, columns, numbers in a pixel of the image, and row and column of the first tap
        for the first output)
    steps : image rows and columns from output to output, and from tap to tap
    start : what the sums begin with, a number for each channel
    size, y_steps : (rows, columns) of the output and their strides in y
    asked, asked0, asked_row : what is read next, and how much of it is asked for while one row of
        the output is computed; see `rows_ahead`

    17 parameters, in groups as those of `convolve_image`.
    """
    height, width, pixel, first_row, first_column = extent
    stride_h, stride_w, gap_h, gap_w = steps
    x_steps, x_step = (gap_h * width * pixel, gap_w * pixel), stride_w * pixel
    # Eight at once where all columns that they read lie on the image, but perhaps the first one's
    # first and the last one's last.
    reach, least = (taps[1] - 1) * gap_w, min(stride_w, gap_w)
    inside = width - 7 * stride_w - reach + 2 * least
    eights, stop_eights = rows_inside(first_column + least, stride_w, size[1] - 7, inside)
    row_length = width * pixel
    below = min(height, first_row + (taps[0] - 1) * gap_h + 1)
    read_ahead(image, image0 + max(0, first_row) * row_length, image0 + below * row_length)
    for h in range(size[0]):
        row = first_row + h * stride_h
        i, stop = rows_inside(row, gap_h, taps[0], height)
        asked_at = asked0 + h * asked_row
        if eights >= stop_eights:
            next_row = y0 + (h + 1) * y_steps[0]
            ask_for_row(asked, asked_at, asked_at + asked_row)
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
                    (stop - i, taps[1]), x_steps, w_steps, start, y, y_at, y_steps, channels,
                    asked, asked_at + asked_row * w // size[1], asked_row * 8 // size[1],
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
def rows_ahead(image0, extent, steps, taps):
    """Where in an image those rows begin that `slide` needs for its second row, and not before."""
    _, width, pixel, first_row, _ = extent
    return image0 + (first_row + (taps[0] - 1) * steps[2] + 1) * width * pixel


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
