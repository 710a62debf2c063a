"""What is done to the pixels of a batch besides moving them: colours, noise, squares cut out.

Images and batches are those of `batch.gather`. Colours and noise act on pixels from 0 to 1, that
is pixel / 255 of uint8 and floats as they are, before they are normalised; all of an image's work
is done while it is in the cache.
"""

import numpy as np
from numba import prange

from kernels import jit
from kernels.images.batch import gather_share
from kernels.portion import chunks_of
from kernels.random_bits import key_halves, random_bits
from kernels.shares import is_small
from kernels.simd import fma, lanes, load_part, splat, sqrt, store_part
from kernels.simd.mathematics import log

# Luma of ITU-R BT.601: how bright red, green and blue seem.
_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114
# Random numbers that are made before they are used.
_BLOCK = 512
# The standard normal quantile of (1 + x) / 2 is x * (NORMAL[0] + NORMAL[1] s + ...) with s =
# sqrt(-log(1 - x**2)) (the variable is Giles's, "Approximating the erfinv function", 2010): least
# squares on Chebyshev points, weighted anew until the error is the same everywhere (1.4e-4).
_NORMAL = (
    1.2584338, -0.05975766, 0.5628782, -0.435327, 0.44644141, -0.23273949, 0.06220014,
    -0.0083687985, 0.00045233866,
)  # fmt: skip


def gather_changed(
    images: np.ndarray,
    indices: np.ndarray,
    scale: np.ndarray,
    offset: np.ndarray,
    affine: np.ndarray,
    factors: np.ndarray,
    noise: float,
    key: int,
    boxes: np.ndarray,
    out: np.ndarray,
) -> None:
    """As `batch.gather`, which see, but with the pixels changed on the way:

        p = b * p,    p = c * p + (1 - c) * m,    p = s * p + (1 - s) * grey(p)

    with m the mean of grey(p) over the image as it is stored, kept within 0 and 1; then noise is
    added, then p is normalised, then a box becomes 0 (black), so offset[c] in the result. Grey is
    0.299 red + 0.587 green + 0.114 blue, or, if there are not three channels, their mean.

    factors : float32 (N, 3), [b c s] for brightness, contrast and saturation, or size 0
    noise : standard deviation of normally distributed numbers, one for each number of the batch
    key : 0 <= key < 2**63, what they are a hash of, together with their place in the batch
    boxes : int64 (N, 4), rows [top, bottom) and columns [left, right) within the image, or size 0
    """
    count, shape = len(indices), images.shape[1:]
    chunks = chunks_of(count)
    white = out.dtype.type(255 if images.dtype == np.uint8 else 1)
    normal = scale, offset, np.full_like(scale, 1 / float(white)), np.zeros_like(offset), white
    arguments = (
        images.reshape(-1), shape, indices, normal, affine.reshape(-1),
        (factors, out.dtype.type(noise), *key_halves(key), boxes),
        out.reshape(-1), np.empty((chunks, _BLOCK), out.dtype), chunks,
    )  # fmt: skip
    run = _changed_share if is_small(out.size, work=4) else _changed
    run(*arguments, 0, chunks)


@jit.parallel
def _changed(
    images, shape, indices, normal, affine, changes, out, scratch, chunks, first_chunk, last_chunk
):
    for chunk in prange(first_chunk, last_chunk):  # owns some images of the batch, and scratch
        _changed_share(
            images, shape, indices, normal, affine, changes, out, scratch, chunks, chunk, chunk + 1
        )


@jit.serial
def _changed_share(
    images, shape, indices, normal, affine, changes, out, scratch, chunks, first_chunk, last_chunk
):
    scale, offset, per_unit, nothing, white = normal
    factors, noise, low, high, boxes = changes
    count, size = len(indices), shape[0] * shape[1] * shape[2]
    coloured = factors.size > 0
    for n in range(count * first_chunk // chunks, count * last_chunk // chunks):
        image = out[n * size : (n + 1) * size]
        if not coloured and noise == 0:
            gather_share(images, shape, indices, scale, offset, affine, out, n, n + 1)
        else:
            gather_share(images, shape, indices, per_unit, nothing, affine, out, n, n + 1)
            if coloured:
                start = indices[n] * size
                _recolour(image, images[start : start + size], shape[0], factors[n], white)
            if noise > 0:
                _add_noise(image, n * size, noise, low, high, scratch[first_chunk])
            _normalise(image, scale, offset, white)
        if boxes.size > 0:
            _cut_out(image, shape, boxes[n], offset)


# --- colours ------------------------------------------------------------------------------------


@jit.serial
def _mean_grey(pixels, channels, white):
    """The mean of grey over an image (C, H, W) of numbers from 0 to white, from 0 to 1."""
    plane = pixels.size // channels
    mean = 0.0
    for c in range(channels):
        total = pixels[0] * np.int64(0)  # a whole number for whole numbers, else float64
        for value in pixels[c * plane : (c + 1) * plane]:
            total += value * np.int64(1)
        weight = 1 / channels
        if channels == 3:
            weight = _RED if c == 0 else _GREEN if c == 1 else _BLUE
        mean += weight * total
    return mean / (np.float64(white) * plane)


@jit.serial
def _recolour(image, stored, channels, factors, white):
    """Brightness, contrast and saturation in one: p becomes own * p + shared * grey(p) + level."""
    brightness, contrast, saturation = factors
    one, zero = image.dtype.type(1), image.dtype.type(0)
    gain = brightness * contrast
    level = image.dtype.type((1 - contrast) * brightness * _mean_grey(stored, channels, white))
    if channels == 3:
        own = image.dtype.type(gain * saturation)
        shared = gain - gain * saturation
        red = image.dtype.type(shared * _RED)
        green = image.dtype.type(shared * _GREEN)
        blue = image.dtype.type(shared * _BLUE)
        for k in range(image.size // 3):
            r, g, b = image[3 * k], image[3 * k + 1], image[3 * k + 2]
            added = red * r + green * g + blue * b + level
            image[3 * k] = min(max(own * r + added, zero), one)
            image[3 * k + 1] = min(max(own * g + added, zero), one)
            image[3 * k + 2] = min(max(own * b + added, zero), one)
    else:
        own = image.dtype.type(gain)
        for k in range(image.size):
            image[k] = min(max(own * image[k] + level, zero), one)


# --- noise --------------------------------------------------------------------------------------


@jit.serial
def _normal(x):
    """Standard normal numbers from numbers x that are uniform between -1 and 1."""
    zero, one = splat(x, 0.0), splat(x, 1.0)
    s = sqrt(zero - log((one - x) * (one + x)))
    p = fma(splat(x, _NORMAL[8]), s, splat(x, _NORMAL[7]))
    p = fma(p, s, splat(x, _NORMAL[6]))
    p = fma(p, s, splat(x, _NORMAL[5]))
    p = fma(p, s, splat(x, _NORMAL[4]))
    p = fma(p, s, splat(x, _NORMAL[3]))
    p = fma(p, s, splat(x, _NORMAL[2]))
    p = fma(p, s, splat(x, _NORMAL[1]))
    p = fma(p, s, splat(x, _NORMAL[0]))
    return x * p


@jit.serial
def _add_noise(image, first_counter, noise, low, high, scratch):
    step, least = image.dtype.type(2.0**-23), image.dtype.type(2.0**-24 - 1)
    deviation = splat(image, noise)
    for start in range(0, image.size, _BLOCK):
        block = image[start : start + _BLOCK]
        uniform = scratch[: block.size]
        for k in range(uniform.size):  # a loop over whole numbers: see `activation.dropout`
            bits = random_bits(first_counter + start + k, low, high)
            uniform[k] = np.float32(bits >> np.uint32(8)) * step + least
        for k in range(0, block.size, lanes(block)):
            left = block.size - k
            z = _normal(load_part(uniform, k, left))
            store_part(block, k, fma(z, deviation, load_part(block, k, left)), left)


# --- normalisation and boxes --------------------------------------------------------------------


@jit.serial
def _normalise(image, scale, offset, white):
    """From pixels between 0 and 1 to what the network is given."""
    channels = scale.size
    if channels == 3:
        # As in `batch`, the constant 3 lets the compiler interleave whole vectors.
        r, g, b = scale[0] * white, scale[1] * white, scale[2] * white
        r0, g0, b0 = offset[0], offset[1], offset[2]
        for k in range(image.size // 3):
            image[3 * k] = image[3 * k] * r + r0
            image[3 * k + 1] = image[3 * k + 1] * g + g0
            image[3 * k + 2] = image[3 * k + 2] * b + b0
    else:
        for c in range(channels):
            factor, shift = scale[c] * white, offset[c]
            for k in range(image.size // channels):
                image[k * channels + c] = image[k * channels + c] * factor + shift


@jit.serial
def _cut_out(image, shape, box, offset):
    channels, _, width = shape
    top, bottom, left, right = box
    for row in range(top, bottom):
        line = row * width * channels
        for column in range(left, right):
            for c in range(channels):
                image[line + column * channels + c] = offset[c]
