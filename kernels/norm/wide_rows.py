"""Wide rows: a few rows of an array (rows, C), read as one that fills whole vectors.

8 rows of 8 channels are a wide row of 64 columns, of which c, c + 8, ... belong to channel c. Sums
run over a block of wide rows in the array's dtype, from block to block in float64, and over the
columns of a channel at the end.

    factors    wide rows with the numbers that each column is computed with, named below
    sums       for each chunk two rows of float64: sums of the columns, and of squares or products
    scratch    the same of a block, in the array's dtype
"""

import math

import numpy as np

from kernels import jit
from kernels.portion import MAX_CHUNKS, WHOLE, Portion, chunks_of, cut
from kernels.shares import is_small
from kernels.simd import lanes, load, store
from kernels.tree import add_tree
from kernels.workspace import Workspace

# The rows of ``factors``:  y = (x - MEAN) * SCALE + BETA  going forward, and going back
# dx = dy * SCALE + (x - MEAN) * SLOPE + LEVEL.
MEAN, SCALE, BETA, SLOPE, LEVEL = range(5)
FACTORS = 5

# The columns of a wide row are a multiple of four vectors of any processor; a block has about so
# many numbers: what the first pass over a block reads, the second finds in the nearest cache.
_COLUMNS = 64
_BLOCK = 1 << 12
_LEAST_BLOCK_ROWS = 8
LEAST_CHUNK_ROWS = 16


def fold(channels: int) -> int:
    """Rows in a wide row."""
    return _COLUMNS // math.gcd(channels, _COLUMNS)


def in_chunks(
    *arrays: np.ndarray, channels: int, portion: Portion
) -> tuple[tuple[np.ndarray, ...], Portion, np.ndarray]:
    """Arrays (N, ..., C) as flat ones, what portion of the batch they are, where chunks begin.

    Chunks have sums of their own. They are images, as many in each process, if the batch has
    enough: one of little is summed up by everybody, and one of a few large images by rows. All
    that depends on the shape of the batch only.
    """
    width = fold(channels) * channels
    here = len(arrays[0])
    images, size = portion.images(here), arrays[0].size // here
    chunks = 1
    if not is_small(images * size):
        chunks = chunks_of(images * size // (width * LEAST_CHUNK_ROWS))
    if images >= MAX_CHUNKS:
        chunks = 1 << chunks.bit_length() - 1  # a branch of the tree for each process
    if not portion.splits(chunks):
        arrays, portion, here = portion.whole(*arrays), WHOLE, images
    flat = tuple(array.reshape(-1) for array in arrays)
    if images >= MAX_CHUNKS:
        return flat, portion, portion.borders(here, chunks) * size
    borders = cut(flat[0].size // width, chunks) * width
    borders[-1] = flat[0].size  # an incomplete wide row belongs to the last chunk
    return flat, portion, borders


def factors_of(width: int, dtype: np.dtype, workspace: Workspace) -> np.ndarray:
    """Room for the factors."""
    return workspace.array("norm_factors", (FACTORS * width,), dtype)


@jit.serial
def repeat(values, factors, start, width):
    """Write the values of the channels again and again: factors[start:start + width]."""
    for begin in range(start, start + width, values.size):
        for c in range(values.size):  # a slice assignment takes Numba two seconds to compile
            factors[begin + c] = values[c]


@jit.serial
def begin(mean, gamma, inverse_std, beta, factors, width):
    """The factors of MEAN; with a beta, unless that is empty, those that go forward, too."""
    repeat(mean, factors, MEAN * width, width)
    if beta.size:
        channels = mean.size
        for c in range(channels):
            factors[SCALE * width + c] = gamma[c] * inverse_std[c]
        repeat_row(factors, SCALE, channels, width)
        repeat(beta, factors, BETA * width, width)


@jit.serial
def repeat_row(factors, row, channels, width):
    """Repeat the first ``channels`` numbers of a row of factors."""
    repeat(factors[row * width : row * width + channels], factors, row * width, width)


@jit.serial
def whole_rows(numbers, width, chunk, chunks):
    """First wide row of a chunk, and the one after its last; an incomplete one is in none."""
    rows = numbers // width
    return rows * chunk // chunks, rows * (chunk + 1) // chunks


@jit.serial
def block_rows(width):
    """Wide rows in a block."""
    return max(_LEAST_BLOCK_ROWS, _BLOCK // width)


@jit.serial
def load_four(array, at):
    """Read four vectors in a row."""
    n = lanes(array)
    return (
        load(array, at),
        load(array, at + n),
        load(array, at + 2 * n),
        load(array, at + 3 * n),
    )


@jit.serial
def store_four(array, at, v0, v1, v2, v3):
    """Write four vectors in a row."""
    n = lanes(array)
    store(array, at, v0)
    store(array, at + n, v1)
    store(array, at + 2 * n, v2)
    store(array, at + 3 * n, v3)


@jit.serial
def add_block(scratch, start, width, factor, sums):
    """Add a block's two rows of sums to those of the chunk, in float64.

    The second is that of squares about the block's own mean, and becomes that about the shift by
    adding (first sum)**2 * factor.
    """
    first, second = scratch[start : start + width], scratch[start + width : start + 2 * width]
    totals, squares = sums[start : start + width], sums[start + width : start + 2 * width]
    for j in range(width):
        value = np.float64(first[j])
        totals[j] += value
        squares[j] += np.float64(second[j]) + value * value * factor


@jit.serial
def add_chunks(sums, chunks, width, channels):
    """Add the sums of all chunks, and of a channel's columns, into sums[c] and sums[width + c]."""
    add_tree(sums, chunks, 2 * width)
    for column in range(channels, width, channels):
        for c in range(channels):
            sums[c] += sums[column + c]
            sums[width + c] += sums[width + column + c]
