"""Batches of images: picked, moved, normalised and turned to channels-last in one pass.

images are (M, C, H, W) as datasets hold them, uint8 or float, a batch is float (N, H, W, C) as the
first layer reads it; both C-contiguous. Nothing is checked, which is `fastcnn.training.batches`'
work.
"""

import math

import numpy as np
from numba import prange

from kernels import jit
from kernels.portion import chunks_of
from kernels.shares import is_small
from kernels.simd import fma, lanes, load_as, splat, store_part


def gather(
    images: np.ndarray,
    indices: np.ndarray,
    scale: np.ndarray,
    offset: np.ndarray,
    affine: np.ndarray,
    out: np.ndarray,
) -> None:
    """out[n, row, column, c] = images[indices[n], c, row, column] * scale[c] + offset[c].

    indices : int64 (N,)
    scale, offset : (C,)
    affine : float32 (N, 6), or size 0 to leave the images in place. Row [a b tx c d ty] says from
        where a pixel of the result is taken:

            source_row = a * row + b * column + tx,    source_column = c * row + d * column + ty

        Whole-number shifts and mirrorings (b = c = 0, a and d 1 or -1) copy pixels exactly,
        everything else interpolates between four pixels. Outside, images are 0, and so
        offset[c] in the result.
    out : (N, H, W, C), overwritten
    """
    count, shape = len(indices), images.shape[1:]
    arguments = (
        images.reshape(-1), shape, indices, scale, offset, affine.reshape(-1), out.reshape(-1)
    )  # fmt: skip
    run = gather_share if is_small(out.size) else _gather
    run(*arguments, 0, count)


@jit.parallel
def _gather(images, shape, indices, scale, offset, affine, out, first, last):
    for n in prange(first, last):  # owns image n of the batch
        gather_share(images, shape, indices, scale, offset, affine, out, n, n + 1)


@jit.serial
def gather_share(images, shape, indices, scale, offset, affine, out, first, last):
    """The images of a batch from ``first`` to ``last``, moved as `affine` says."""
    channels, height, width = shape
    size = channels * height * width
    moved = affine.size > 0
    for n in range(first, last):
        source, target = indices[n] * size, n * size
        if not moved:  # in place, all rows are one
            result = out[target : target + size]
            # `moved`, where False would have the function compiled once more for a constant.
            copy_pixels(images, source, height * width, moved, scale, offset, result)
            continue
        a, b, tx = affine[6 * n], affine[6 * n + 1], affine[6 * n + 2]
        c, d, ty = affine[6 * n + 3], affine[6 * n + 4], affine[6 * n + 5]
        whole = tx == math.floor(tx) and ty == math.floor(ty)
        if whole and b == 0 and c == 0 and abs(a) == 1 and abs(d) == 1:
            placement = (int(a), int(tx), int(d), int(ty))
            _copy(images, source, shape, placement, scale, offset, out, target)
        else:
            placement = (a, b, tx, c, d, ty)
            _interpolate(images, source, shape, placement, scale, offset, out, target)


# --- pixels copied ------------------------------------------------------------------------------


@jit.serial
def _copy(images, source, shape, placement, scale, offset, out, target):
    """One image, shifted by whole pixels and mirrored."""
    channels, height, width = shape
    row_sign, row_shift, column_sign, column_shift = placement
    # Result columns start to stop come from the image's columns first, first + 1, ... or, if
    # mirrored, from the same columns in the opposite order.
    mirrored = column_sign < 0
    if mirrored:
        start, stop = max(0, column_shift - width + 1), min(width, column_shift + 1)
        first = column_shift - stop + 1
    else:
        start, stop = max(0, -column_shift), min(width, width - column_shift)
        first = start + column_shift
    for row in range(height):
        source_row = row_sign * row + row_shift
        line = target + row * width * channels
        inside = 0 <= source_row < height and start < stop
        if not inside or start > 0 or stop < width:
            for k in range(width * channels):
                out[line + k] = offset[k % channels]
        if inside:
            begin = source + source_row * width + first
            result = out[line + start * channels : line + stop * channels]
            copy_pixels(images, begin, height * width, mirrored, scale, offset, result)


@jit.serial
def copy_pixels(images, begin, plane, mirrored, scale, offset, result):
    """A stretch of one row, with special loops for grey and for red, green and blue."""
    channels = scale.size
    count = result.size // channels
    if channels == 1 and not mirrored:
        factor, shift = splat(result, scale[0]), splat(result, offset[0])
        for k in range(0, count, lanes(result)):
            v = load_as(images, begin + k, count - k, factor)
            store_part(result, k, fma(v, factor, shift), count - k)
    elif channels == 3:
        # The constant 3 lets the compiler interleave whole vectors: 0.1 ns a number, not 1.4.
        red = images[begin : begin + count]
        green = images[begin + plane : begin + plane + count]
        blue = images[begin + 2 * plane : begin + 2 * plane + count]
        r, g, b = scale
        r0, g0, b0 = offset
        for k in range(count):
            i = count - 1 - k if mirrored else k
            result[3 * k] = red[i] * r + r0
            result[3 * k + 1] = green[i] * g + g0
            result[3 * k + 2] = blue[i] * b + b0
    else:
        for channel in range(channels):
            factor, shift = scale[channel], offset[channel]
            start = begin + channel * plane
            pixels = images[start : start + count]
            for k in range(count):
                i = count - 1 - k if mirrored else k
                result[k * channels + channel] = pixels[i] * factor + shift


# --- pixels interpolated ------------------------------------------------------------------------


@jit.serial
def _neighbours(position, size):
    """Pixels before and after a position on an axis, and their weights: 0 outside the image."""
    # Beyond one pixel outside all is 0; so far, every position fits a whole number.
    position = min(max(position, -1.0), float(size))
    before = math.floor(position)
    after = before + 1
    nearness = position - before
    first_weight = 1 - nearness if 0 <= before < size else 0.0
    second_weight = nearness if after < size else 0.0
    return max(0, min(before, size - 1)), min(after, size - 1), first_weight, second_weight


@jit.serial
def _interpolate(images, source, shape, placement, scale, offset, out, target):
    """One image, every pixel a mean of the four around its source, weighted by nearness."""
    channels, height, width = shape
    a, b, tx, c, d, ty = placement
    size = height * width
    for row in range(height):
        for column in range(width):
            top, down, upper, lower = _neighbours(a * row + b * column + tx, height)
            left, right, near, far = _neighbours(c * row + d * column + ty, width)
            for channel in range(channels):
                plane = images[source + channel * size : source + (channel + 1) * size]
                value = upper * (
                    near * plane[top * width + left] + far * plane[top * width + right]
                ) + lower * (near * plane[down * width + left] + far * plane[down * width + right])
                pixel = target + (row * width + column) * channels + channel
                out[pixel] = value * scale[channel] + offset[channel]


# --- mean and standard deviation of a dataset ---------------------------------------------------


def channel_moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (divisor: number of pixels) per channel of images / 255.

    images : uint8 (M, C, H, W), M >= 1
    Returns two float64 arrays (C,). All sums are whole numbers, so nothing is rounded before the
    last division.

    Examples
    --------
    >>> channel_moments(np.array([0, 255], np.uint8).reshape(1, 1, 1, 2))
    (array([0.5]), array([0.5]))
    """
    count, channels = images.shape[:2]
    chunks = chunks_of(count)
    sums = np.zeros((chunks, channels, 2), np.int64)
    _moments(np.ascontiguousarray(images).reshape(count, channels, -1), sums)
    pixels = images.size // channels
    mean, std = np.empty(channels), np.empty(channels)
    for channel, (total, squares) in enumerate(sums.sum(axis=0).tolist()):
        mean[channel] = total / (255 * pixels)
        std[channel] = math.sqrt(pixels * squares - total**2) / (255 * pixels)
    return mean, std


@jit.parallel
def _moments(images, sums):
    chunks = len(sums)
    for chunk in prange(chunks):  # owns one row of sums
        first, last = len(images) * chunk // chunks, len(images) * (chunk + 1) // chunks
        _moments_share(images, sums, chunk, first, last)


@jit.serial
def _moments_share(images, sums, chunk, first, last):
    for n in range(first, last):
        for channel in range(images.shape[1]):
            total, squares = 0, 0
            for value in images[n, channel]:
                total += value
                squares += np.int64(value) * np.int64(value)
            sums[chunk, channel, 0] += total
            sums[chunk, channel, 1] += squares
