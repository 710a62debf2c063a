"""Convolution in small groups of one image: see `grouped`.

Arrays are flat; image0, y0 and the like say where something begins in them.
"""

from kernels import jit
from kernels.conv.depthwise_image import add_tap, store_eight
from kernels.conv.image import rows_inside
from kernels.simd import crossed, fma, lanes, load, load_part, settled, splat, store
from kernels.sizes import size
from kernels.tile import fill_row

TOGETHER = 8  # neighbouring outputs: rows have at least so many
_NUMBERS = 6144  # of the copies, which with the rest stay in the L1 cache for all taps
_STRIP_NUMBERS = 65536  # of the rows whose channels are gone through before the next ones'


@size
def columns_at_once(outputs, stride, taps, rows, group, array):
    """Into how many columns of outputs rows are cut; how many of the image these see.

    rows : of copies that are kept together, at least; taps : in a row of the filters
    """
    fits = (_NUMBERS // (rows * group * lanes(array)) - taps) // stride + 1
    eights, most = -(-outputs // TOGETHER), max(1, fits // TOGETHER)
    parts = -(-eights // most)
    part = min(outputs, -(-eights // parts) * TOGETHER)
    return part, (part - 1) * stride + taps


@size
def rows_at_once(row_length, stride, reach):
    """How many rows of dy the weight gradient takes at once; how many of copies are kept for them.

    row_length : numbers in a row of copies; reach : rows that all taps see for one row of dy
    """
    block = 1 + max(0, _NUMBERS // row_length - reach) // stride
    return block, (block - 1) * stride + reach


@jit.serial
def strip_rows(row, reach, stride):
    """How many rows of outputs at once, of which all channels are computed. row : of the image."""
    return max(4 * reach, _STRIP_NUMBERS // row) // stride + 1


@jit.serial
def pack(weight, channels, group, area, turned, packed):
    """packed[vector of channels, tap, r, lane] = weight[o, i, tap] for lanes o, and i = o ^ r.

    turned : whether it is weight[i, o, last - tap], for the input gradient
    """
    n = lanes(packed)
    for k in range(packed.size // (group * area)):
        vector, lane = k // n * n, k % n
        for tap in range(area):
            for r in range(group):
                at = vector * area * group + (tap * group + r) * n + lane
                o, i = (k ^ r, k) if turned else (k, k ^ r)
                from_tap = area - 1 - tap if turned else tap
                at_weight = (o * group + (i & (group - 1))) * area + from_tap
                packed[at] = weight[at_weight] if k < channels else 0


@jit.serial
def unpack(sums, first, stop, group, area, dweight):
    """dweight[o, o ^ r, tap] = sums[vector of channels, tap, r, lane], first <= o < stop."""
    n = lanes(sums)
    for o in range(first, stop):
        for tap in range(area):
            for r in range(group):
                at = o // n * n * area * group + (tap * group + r) * n + o % n
                dweight[(o * group + ((o ^ r) & (group - 1))) * area + tap] = sums[at]


@jit.inlined
def _store_copies(v, target, at, group):
    """v and, side by side, what its lanes are in the other channels' order."""
    n = lanes(target)
    store(target, at, v)
    if group == 1:
        return
    w = crossed(v, 1)
    store(target, at + n, w)
    if group > 2:
        x, y = crossed(v, 2), crossed(w, 2)
        store(target, at + 2 * n, x)
        store(target, at + 3 * n, y)
        if group > 4:
            store(target, at + 4 * n, crossed(v, 4))
            store(target, at + 5 * n, crossed(w, 4))
            store(target, at + 6 * n, crossed(x, 4))
            store(target, at + 7 * n, crossed(y, 4))


@jit.serial
def _copy(image, image0, extent, columns, group, rows, kept, target):
    """target[row % kept, column, r, lane] = image[row, first + column, lane ^ r], if that is there.

    image0 : where the vector's channels of the first pixel are
    extent : columns, numbers in a pixel, how many of them from here on, and the first column
    columns : of the target; rows : the first one, and the first one not copied
    """
    width, pixel, count, first = extent
    n = lanes(target)
    left, right = max(0, -first), min(columns, width - first)
    for row in range(rows[0], rows[1]):
        at = (row % kept * columns + left) * group * n
        here = image0 + (row * width + first + left) * pixel
        for _ in range(left, right):
            _store_copies(load_part(image, here, count), target, at, group)
            here, at = here + pixel, at + group * n


@jit.inlined
def _eight(x, at, x_step, rows, weights, w_at, taps, s0, y, y_at, y_step, count):
    """Eight neighbouring outputs of one vector of channels.

    rows : where the first kernel row's copies are, rows from tap to tap, how many are kept, numbers
        in one
    taps : kernel rows, and taps in a row; s0 : what the sums begin with
    """
    n, nothing_beside = lanes(x), (False, False)
    s, (row, gap, kept, row_length) = (s0, s0, s0, s0, s0, s0, s0, s0), rows
    for _ in range(taps[0]):
        here = at + row * row_length
        for _ in range(0, taps[1], 2):
            s = add_tap(s, x, here, x_step, load(weights, w_at), nothing_beside)
            s = add_tap(s, x, here + n, x_step, load(weights, w_at + n), nothing_beside)
            here, w_at = settled(here + 2 * n), w_at + 2 * n
        row = row + gap if row + gap < kept else row + gap - kept
    store_eight(y, y_at, y_step, s, count)


@jit.serial
def convolve(
    image, image0, extent, steps, group, packed, kernel, start, y, y0, size, copies
):  # fmt: skip
    """One image of y, of rows and columns `size`: at least eight columns.

    extent : rows, columns and channels of the image, row and column of the first tap for the first
        output
    steps : rows and columns from output to output, and rows from tap to tap
    kernel : rows and columns; start : what the sums of each channel begin with
    copies : room for those of one vector of channels
    """
    height, width, channels, first_row, first_column = extent
    stride_h, stride_w, gap = steps
    n, taps, kept = lanes(y), kernel[1] * group, (kernel[0] - 1) * gap + 1
    part, columns = columns_at_once(size[1], stride_w, kernel[1], kept, group, y)
    strip, parts = strip_rows(width * channels, kept, stride_h), -(-size[1] // part)
    row_length = columns * group * n
    for place in range(-(-size[0] // strip) * parts):
        top, left = place // parts * strip, place % parts * part
        left = min(left, size[1] - TOGETHER)  # what is computed twice comes out the same
        width_here = min(part, size[1] - left)
        fill_row(copies, 0, kept * row_length)  # with the zeros beside the image
        for c in range(0, channels, n):
            count, done = min(n, channels - c), 0
            seen = width, channels, count, first_column + left * stride_w
            s = load(start, c)
            for h in range(top, min(size[0], top + strip)):
                row, i, stop = first_row + h * stride_h, 0, kernel[0]
                if row < 0 or row + kept > height:
                    i, stop = rows_inside(row, gap, kernel[0], height)
                end = min(height, row + kept)
                _copy(image, image0 + c, seen, columns, group, (max(done, row), end), kept, copies)
                done, w_at = max(done, end), (c * kernel[0] + i * n) * taps
                rows = (row + i * gap) % kept, gap, kept, row_length
                for first in range(0, width_here, TOGETHER):
                    w = min(first, width_here - TOGETHER)
                    _eight(
                        copies, w * stride_w * group * n, stride_w * group * n,
                        rows, packed, w_at, (stop - i, taps), s,
                        y, y0 + (h * size[1] + left + w) * channels + c, channels, count,
                    )  # fmt: skip


@jit.inlined
def _six(x, x0, x_step, rows, dy, dy0, size, sums, at):
    """Add to the sums of six taps side by side.

    x_step : from output to output
    rows : where the copies for dy's first row are, rows from output to output, how many are kept,
        numbers in one
    Even and odd columns have sums of their own, so that additions need not wait for each other.
    """
    n, (row, stride, kept, row_length) = lanes(x), rows
    a0, a1, a2 = load(sums, at), load(sums, at + n), load(sums, at + 2 * n)
    a3, a4, a5 = load(sums, at + 3 * n), load(sums, at + 4 * n), load(sums, at + 5 * n)
    zero = splat(a0, 0.0)
    b0, b1, b2, b3, b4, b5 = zero, zero, zero, zero, zero, zero
    dy_at = dy0
    for _ in range(size[0]):
        here = x0 + row * row_length
        row = row + stride if row + stride < kept else row + stride - kept
        for _ in range(0, size[1] - 1, 2):
            d, e = load(dy, dy_at), load(dy, dy_at + n)
            next_ = settled(here + x_step)
            a0, b0 = fma(load(x, here), d, a0), fma(load(x, next_), e, b0)
            a1, b1 = fma(load(x, here + n), d, a1), fma(load(x, next_ + n), e, b1)
            a2, b2 = fma(load(x, here + 2 * n), d, a2), fma(load(x, next_ + 2 * n), e, b2)
            a3, b3 = fma(load(x, here + 3 * n), d, a3), fma(load(x, next_ + 3 * n), e, b3)
            a4, b4 = fma(load(x, here + 4 * n), d, a4), fma(load(x, next_ + 4 * n), e, b4)
            a5, b5 = fma(load(x, here + 5 * n), d, a5), fma(load(x, next_ + 5 * n), e, b5)
            here, dy_at = settled(next_ + x_step), dy_at + 2 * n
        if size[1] % 2:
            d = load(dy, dy_at)
            a0, a1 = fma(load(x, here), d, a0), fma(load(x, here + n), d, a1)
            a2, a3 = fma(load(x, here + 2 * n), d, a2), fma(load(x, here + 3 * n), d, a3)
            a4, a5 = fma(load(x, here + 4 * n), d, a4), fma(load(x, here + 5 * n), d, a5)
            dy_at += n
    store(sums, at, a0 + b0)
    store(sums, at + n, a1 + b1)
    store(sums, at + 2 * n, a2 + b2)
    store(sums, at + 3 * n, a3 + b3)
    store(sums, at + 4 * n, a4 + b4)
    store(sums, at + 5 * n, a5 + b5)


@jit.serial
def _two(x, x0, x_step, rows, dy, dy0, size, sums, at):
    """Add to the sums of two taps; arguments as those of `_six`."""
    n, dy_at, (row, stride, kept, row_length) = lanes(x), dy0, rows
    a, b = load(sums, at), load(sums, at + n)
    for _ in range(size[0]):
        here = x0 + row * row_length
        row = row + stride if row + stride < kept else row + stride - kept
        for _ in range(size[1]):
            d = load(dy, dy_at)
            a, b = fma(load(x, here), d, a), fma(load(x, here + n), d, b)
            here, dy_at = settled(here + x_step), dy_at + n
    store(sums, at, a)
    store(sums, at + n, b)


@jit.serial
def accumulate(
    image, image0, extent, steps, group, kernel, dy, dy0, size, sums, copies, dy_copies
):  # fmt: skip
    """Add one image's share to the sums [vector of channels, tap, r, lane].

    extent, steps, kernel, copies : as in `convolve`; size : rows and columns of dy
    dy_copies : room for one vector of channels of dy
    """
    height, width, channels, first_row, first_column = extent
    stride_h, stride_w, gap = steps
    n, taps, reach = lanes(dy), kernel[1] * group, (kernel[0] - 1) * gap + 1
    part, columns = columns_at_once(size[1], stride_w, kernel[1], reach, group, dy)
    block, kept = rows_at_once(columns * group * n, stride_h, reach)
    sixes, x_step = taps // 6 * 6, stride_w * group * n
    strip, parts = strip_rows(width * channels, reach, stride_h), -(-size[1] // part)
    for place in range(-(-size[0] // strip) * parts):
        top, left = place // parts * strip, place % parts * part
        width_here, below = min(part, size[1] - left), min(size[0], top + strip)
        fill_row(copies, 0, kept * columns * group * n)  # with the zeros beside the image
        for c in range(0, channels, n):
            count, done = min(n, channels - c), 0
            seen = width, channels, count, first_column + left * stride_w
            for first in range(top, below, block):
                last = min(below, first + block)
                row = first_row + first * stride_h
                end = min(height, first_row + (last - 1) * stride_h + reach)
                _copy(image, image0 + c, seen, columns, group, (max(done, row), end), kept, copies)
                done = max(done, end)
                dy_seen, dy_row = (size[1], channels, count, left), dy0 + first * size[1] * channels
                _copy(dy, dy_row + c, dy_seen, width_here, 1, (0, last - first), block, dy_copies)
                for i in range(kernel[0]):
                    row = first_row + i * gap
                    h, stop = rows_inside(row, stride_h, last, height)
                    h = max(h, first)
                    if h >= stop:
                        continue
                    rows = (row + h * stride_h) % kept, stride_h, kept, columns * group * n
                    at, dy_at = (c * kernel[0] + i * n) * taps, (h - first) * width_here * n
                    here = stop - h, width_here
                    for t in range(0, sixes, 6):
                        _six(copies, t * n, x_step, rows, dy_copies, dy_at, here, sums, at + t * n)
                    for t in range(sixes, taps, 2):
                        _two(copies, t * n, x_step, rows, dy_copies, dy_at, here, sums, at + t * n)
