"""Weight gradient of a depthwise convolution, from one image: vectors run along the channels.

Arrays are flat; image0, dy0 and the like say where something begins in them.
"""

from kernels import jit
from kernels.conv.depthwise_image import read_ahead
from kernels.conv.image import rows_inside
from kernels.simd import fma, lanes, load, settled, splat, store
from kernels.tile import ask_for_row

_BLOCK_NUMBERS = 4096  # of dy, which with as much of x stay in the L1 cache for all taps


@jit.serial
def _on_image(x, at, column, width, d, total):
    """total + x[at] * d, if the column is one of the image."""
    return fma(load(x, at), d, total) if 0 <= column < width else total


@jit.serial
def _store_three(sums, at, step, a, b, c):
    store(sums, at, a)
    store(sums, at + step, b)
    store(sums, at + 2 * step, c)


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
    _store_three(sums, at, next_sum, a0 + b0, a1 + b1, a2 + b2)


@jit.serial
def _three_rows(x, at, row, d, a, b, c):
    """Three sums, and what d sees of one column in three rows."""
    return fma(load(x, at), d, a), fma(load(x, at + row), d, b), fma(load(x, at + 2 * row), d, c)


@jit.inlined
def _nine(x, x0, extent, steps, gap_row, dy, dy0, dy_steps, size, sums, at, next_sum):
    """Add to the sums of nine taps, the rows of all of which lie on the image; else as `_three`.

    gap_row : numbers from a tap's row to that of the next
    """
    width, pixel, first = extent
    row_step, stride, gap = steps
    left, right = rows_inside(first, stride, size[1], width - 2 * gap)
    x_step, tap = stride * pixel, gap * pixel
    at1, at2 = at + 3 * next_sum, at + 6 * next_sum
    a0, a1, a2 = load(sums, at), load(sums, at + next_sum), load(sums, at + 2 * next_sum)
    b0, b1, b2 = load(sums, at1), load(sums, at1 + next_sum), load(sums, at1 + 2 * next_sum)
    c0, c1, c2 = load(sums, at2), load(sums, at2 + next_sum), load(sums, at2 + 2 * next_sum)
    for h in range(size[0]):
        x_row, dy_row, w = x0 + h * row_step, dy0 + h * dy_steps[0], 0
        while w < size[1]:
            x_at, dy_at = settled(x_row + w * x_step), settled(dy_row + w * dy_steps[1])
            if w == left and left < right:
                for _ in range(left, right):
                    d = load(dy, dy_at)
                    a0, b0, c0 = _three_rows(x, x_at, gap_row, d, a0, b0, c0)
                    a1, b1, c1 = _three_rows(x, x_at + tap, gap_row, d, a1, b1, c1)
                    a2, b2, c2 = _three_rows(x, x_at + 2 * tap, gap_row, d, a2, b2, c2)
                    x_at, dy_at = settled(x_at + x_step), dy_at + dy_steps[1]
                w = right
            else:
                d, column = load(dy, dy_at), first + w * stride
                if 0 <= column < width:
                    a0, b0, c0 = _three_rows(x, x_at, gap_row, d, a0, b0, c0)
                if 0 <= column + gap < width:
                    a1, b1, c1 = _three_rows(x, x_at + tap, gap_row, d, a1, b1, c1)
                if 0 <= column + 2 * gap < width:
                    a2, b2, c2 = _three_rows(x, x_at + 2 * tap, gap_row, d, a2, b2, c2)
                w += 1
    _store_three(sums, at, next_sum, a0, a1, a2)
    _store_three(sums, at1, next_sum, b0, b1, b2)
    _store_three(sums, at2, next_sum, c0, c1, c2)


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
def _add_rows(
    image, image0, extent, steps, taps, dy, dy0, dy_steps, columns, sums, c, first, last
):  # fmt: skip
    """`accumulate` for the rows of dy from ``first`` to ``last``, and one vector of channels c.

    dy_steps, columns : of dy

    13 parameters, in groups as those of `accumulate`.
    """
    height, width, pixel, first_row, first_column = extent
    stride_h, stride_w, gap_h, gap_w = steps
    row_length = width * pixel
    x_steps = stride_h * row_length, stride_w, gap_w
    for i in range(taps[0]):
        row = first_row + i * gap_h
        h, stop = rows_inside(row, stride_h, last, height)
        h = max(h, first)
        if h >= stop:
            continue
        x_at = image0 + (row + h * stride_h) * row_length + first_column * pixel + c
        dy_at = dy0 + h * dy_steps[0] + c
        part, at = (stop - h, columns), i * taps[1] * pixel + c
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


@jit.serial
def accumulate(
    image, image0, extent, steps, taps, dy, dy0, size, sums, asked, asked0, asked_row, rows_asked
):  # fmt: skip
    """Add one image's share to the sums [tap, channel].

    extent, steps : as in `slide`; size : rows and columns of dy; both have pixels of whole vectors
    asked, asked0, asked_row : what else is read next, asked for while a row of dy is used
    rows_asked : whether the image's next rows are to be asked for

    13 parameters, in groups as those of `slide`.
    """
    height, width, pixel, first_row, first_column = extent
    stride_h, stride_w, gap_h, gap_w = steps
    block = max(1, _BLOCK_NUMBERS // (size[1] * pixel))
    row_length, vectors = width * pixel, pixel // lanes(dy)
    dy_steps, x_steps = (size[1] * pixel, pixel), (stride_h * row_length, stride_w, gap_w)
    nine = size[0], size[0]  # from which row of dy to which all of nine taps' rows are on the image
    if taps[0] == 3 and taps[1] == 3:
        nine = rows_inside(first_row, stride_h, size[0], height - 2 * gap_h)
    rows = first_row + (block - 1) * stride_h + (taps[0] - 1) * gap_h + 1
    below = image0 + min(height, rows) * row_length
    read_ahead(image, image0 + max(0, first_row) * row_length, below)
    read_ahead(dy, dy0, dy0 + min(block, size[0]) * dy_steps[0])
    for first in range(0, size[0], block):
        last = min(size[0], first + block)
        begin = min(last, max(first, nine[0]))
        end = max(begin, min(last, nine[1]))
        each = (last - first) * asked_row // vectors
        next_rows = block * stride_h * row_length // vectors if rows_asked else 0
        for c in range(0, pixel, lanes(dy)):
            ask_for_row(asked, asked0, asked0 + each)
            ask_for_row(image, below, below + next_rows)
            asked0, below = asked0 + each, below + next_rows
            if begin < end:
                x_at = image0 + (first_row + begin * stride_h) * row_length + first_column * pixel
                _nine(
                    image, x_at + c, (width, pixel, first_column), x_steps, gap_h * row_length,
                    dy, dy0 + begin * dy_steps[0] + c, dy_steps, (end - begin, size[1]), sums, c,
                    pixel,
                )  # fmt: skip
            _add_rows(
                image, image0, extent, steps, taps, dy, dy0, dy_steps, size[1], sums, c, first,
                begin,
            )  # fmt: skip
            _add_rows(
                image, image0, extent, steps, taps, dy, dy0, dy_steps, size[1], sums, c, end, last
            )
