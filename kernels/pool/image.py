"""Pooling of one image: vectors across the channels of a pixel.

These functions work on flat arrays; x0, y0 and the like say where the image begins in them. They
are `pool`'s inner part, and that of kernels that pool an image while it is in the cache.

    sizes = (height, width, out_height, out_width, channels)
    geometry = (window_h, window_w, stride_h, stride_w, top, left)
"""

from kernels import jit
from kernels.simd import (
    lanes,
    load_index,
    load_part,
    overtakes,
    splat,
    store_index,
    store_part,
    where,
)
from kernels.simd.mathematics import rectified
from kernels.tile import fill_row


@jit.serial
def image_sizes(sizes):
    """Numbers in one image before and after pooling."""
    height, width, out_height, out_width, channels = sizes
    return height * width * channels, out_height * out_width * channels


@jit.serial
def _span(position, step, before, window, size):
    """The part of a window that lies on the image: first place, and the one after the last."""
    start = position * step - before
    return max(0, -start), min(window, size - start)


# --- forward ------------------------------------------------------------------------------------


@jit.serial
def max_pool_image(x, x0, sizes, geometry, y, y0, index, index0):
    """Max pooling of the image at x[x0], to y[y0] and index[index0], which may be empty."""
    height, width, out_height, out_width, channels = sizes
    window_h, window_w, stride_h, stride_w, top, left = geometry
    for row in range(out_height):
        i_start, i_stop = _span(row, stride_h, top, window_h, height)
        for column in range(out_width):
            j_start, j_stop = _span(column, stride_w, left, window_w, width)
            corner = ((row * stride_h - top) * width + column * stride_w - left) * channels + x0
            y_at = (row * out_width + column) * channels
            for c in range(0, channels, lanes(x)):
                left_over = channels - c
                place = i_start * window_w + j_start
                x_at = corner + (i_start * width + j_start) * channels + c
                best = load_part(x, x_at, left_over)
                which = splat(x, place)
                for i in range(i_start, i_stop):
                    for j in range(j_start, j_stop):
                        x_at = corner + (i * width + j) * channels + c
                        v = load_part(x, x_at, left_over)
                        larger = overtakes(v, best)
                        best = where(larger, v, best)
                        which = where(larger, splat(x, i * window_w + j), which)
                store_part(y, y0 + y_at + c, best, left_over)
                if index.size:
                    store_index(index, index0 + y_at + c, which, left_over)


@jit.serial
def average_pool_image(x, x0, sizes, geometry, count_padding, y, y0):
    """Average pooling of the image at x[x0], to y[y0]."""
    height, width, out_height, out_width, channels = sizes
    window_h, window_w, stride_h, stride_w, top, left = geometry
    for row in range(out_height):
        i_start, i_stop = _span(row, stride_h, top, window_h, height)
        for column in range(out_width):
            j_start, j_stop = _span(column, stride_w, left, window_w, width)
            places = (i_stop - i_start) * (j_stop - j_start)
            divisor = splat(x, window_h * window_w if count_padding else places)
            corner = ((row * stride_h - top) * width + column * stride_w - left) * channels + x0
            y_at = (row * out_width + column) * channels + y0
            for c in range(0, channels, lanes(x)):
                left_over = channels - c
                sums = splat(x, 0.0)
                for i in range(i_start, i_stop):
                    for j in range(j_start, j_stop):
                        x_at = corner + (i * width + j) * channels + c
                        sums = sums + load_part(x, x_at, left_over)
                store_part(y, y_at + c, sums / divisor, left_over)


# --- windows of 2 x 2 that tile the image: every network here has them, 4 times as fast unrolled --


@jit.serial
def max_of_four(a, b, c, d):
    """Largest of four vectors, and which it was: 0, 1, 2, 3, the first one if equal."""
    larger = overtakes(b, a)
    best, which = where(larger, b, a), where(larger, splat(a, 1.0), splat(a, 0.0))
    larger = overtakes(c, best)
    best, which = where(larger, c, best), where(larger, splat(a, 2.0), which)
    larger = overtakes(d, best)
    return where(larger, d, best), where(larger, splat(a, 3.0), which)


@jit.serial
def store_largest(a, b, c, d, relu, y, index, at, rest):
    """The largest of four vectors, rectified if so wished, and which it was; index may be empty."""
    best, which = max_of_four(a, b, c, d)
    if relu:
        best = rectified(best)
    store_part(y, at, best, rest)
    if index.size:
        store_index(index, at, which, rest)


@jit.serial
def pool_fours_image(x, x0, sizes, maximum, y, y0, index, index0):
    """2 x 2 pooling of one image: the largest of each four and its number, or their mean.

    An empty index takes no numbers.
    """
    _, width, out_height, out_width, channels = sizes
    quarter = splat(x, 0.25)
    for row in range(out_height):
        for column in range(out_width):
            for c in range(0, channels, lanes(x)):
                rest = channels - c
                upper = x0 + (2 * row * width + 2 * column) * channels + c
                lower = upper + width * channels
                y_at = (row * out_width + column) * channels + c
                v00 = load_part(x, upper, rest)
                v01 = load_part(x, upper + channels, rest)
                v10 = load_part(x, lower, rest)
                v11 = load_part(x, lower + channels, rest)
                if maximum:
                    best, which = max_of_four(v00, v01, v10, v11)
                    store_part(y, y0 + y_at, best, rest)
                    if index.size:
                        store_index(index, index0 + y_at, which, rest)
                else:
                    store_part(y, y0 + y_at, (v00 + v01 + v10 + v11) * quarter, rest)


@jit.serial
def spread_fours_image(dy, dy0, index, index0, sizes, maximum, dx, dx0):
    """The gradient of `pool_fours_image`."""
    height, width, out_height, out_width, channels = sizes
    zero, quarter = splat(dx, 0.0), splat(dx, 0.25)
    one, two, three = splat(dx, 1.0), splat(dx, 2.0), splat(dx, 3.0)
    step = width * channels
    for row in range(out_height):
        for column in range(out_width):
            for c in range(0, channels, lanes(dx)):
                rest = channels - c
                dy_at = (row * out_width + column) * channels + c
                dx_at = dx0 + 2 * row * step + 2 * column * channels + c
                v = load_part(dy, dy0 + dy_at, rest)
                if maximum:
                    which = load_index(index, index0 + dy_at, rest, v)
                    store_part(dx, dx_at, where(which == zero, v, zero), rest)
                    store_part(dx, dx_at + channels, where(which == one, v, zero), rest)
                    store_part(dx, dx_at + step, where(which == two, v, zero), rest)
                    store_part(dx, dx_at + step + channels, where(which == three, v, zero), rest)
                else:
                    v = v * quarter
                    store_part(dx, dx_at, v, rest)
                    store_part(dx, dx_at + channels, v, rest)
                    store_part(dx, dx_at + step, v, rest)
                    store_part(dx, dx_at + step + channels, v, rest)
        for line in range(2 * row, 2 * row + 2):
            end = dx0 + (line + 1) * step
            rest = (width - 2 * out_width) * channels
            fill_row(dx, end - rest, rest)
    fill_row(dx, dx0 + 2 * out_height * step, (height - 2 * out_height) * step)


# --- backward -----------------------------------------------------------------------------------


@jit.serial
def _windows_over(row, step, before, window, out_size):
    """The outputs whose windows hold an input row: the first, and the one after the last."""
    first = max(0, (row + before - window + step) // step)
    return first, max(first, min(out_size, (row + before) // step + 1))


@jit.serial
def max_spread_image(dy, dy0, index, index0, sizes, geometry, dx, dx0):
    """Gradient of max pooling of one image: from dy[dy0] and index[index0] to dx[dx0].

    Goes through dx row by row, so that a row is complete before it leaves the cache; in a row
    the first output row writes where windows cannot overlap, else it adds like the others.
    """
    height, width, out_height, out_width, channels = sizes
    window_h, window_w, stride_h, stride_w, top, left = geometry
    apart = window_w <= stride_w
    whole = window_w == stride_w and out_width * stride_w - left >= width
    zero = splat(dx, 0.0)
    for row in range(height):
        first, last = _windows_over(row, stride_h, top, window_h, out_height)
        start = dx0 + row * width * channels
        if first == last or not whole:
            fill_row(dx, start, width * channels)
        for out_row in range(first, last):
            place_row = (row + top - out_row * stride_h) * window_w
            add = not apart or out_row > first
            for column in range(out_width):
                j_start, j_stop = _span(column, stride_w, left, window_w, width)
                dy_at = (out_row * out_width + column) * channels
                corner = start + (column * stride_w - left) * channels
                for c in range(0, channels, lanes(dx)):
                    left_over = channels - c
                    gradient = load_part(dy, dy0 + dy_at + c, left_over)
                    which = load_index(index, index0 + dy_at + c, left_over, gradient)
                    for j in range(j_start, j_stop):
                        dx_at = corner + j * channels + c
                        here = which == splat(dx, place_row + j)
                        v = where(here, gradient, zero)
                        if add:
                            v = v + load_part(dx, dx_at, left_over)
                        store_part(dx, dx_at, v, left_over)


@jit.serial
def average_spread_image(dy, dy0, sizes, geometry, count_padding, dx, dx0):
    """Gradient of average pooling of one image: from dy[dy0] to dx[dx0]."""
    height, width, out_height, out_width, channels = sizes
    window_h, window_w, stride_h, stride_w, top, left = geometry
    apart = window_w <= stride_w
    whole = window_w == stride_w and out_width * stride_w - left >= width
    for row in range(height):
        first, last = _windows_over(row, stride_h, top, window_h, out_height)
        start = dx0 + row * width * channels
        if first == last or not whole:
            fill_row(dx, start, width * channels)
        for out_row in range(first, last):
            i_start, i_stop = _span(out_row, stride_h, top, window_h, height)
            add = not apart or out_row > first
            for column in range(out_width):
                j_start, j_stop = _span(column, stride_w, left, window_w, width)
                places = (i_stop - i_start) * (j_stop - j_start)
                divisor = splat(dx, window_h * window_w if count_padding else places)
                dy_at = dy0 + (out_row * out_width + column) * channels
                corner = start + (column * stride_w - left) * channels
                for c in range(0, channels, lanes(dx)):
                    left_over = channels - c
                    share = load_part(dy, dy_at + c, left_over) / divisor
                    for j in range(j_start, j_stop):
                        dx_at = corner + j * channels + c
                        v = share
                        if add:
                            v = v + load_part(dx, dx_at, left_over)
                        store_part(dx, dx_at, v, left_over)
