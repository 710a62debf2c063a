"""Sums of chunks added along a binary tree; some leaves may not be there (see `portion`)."""

from kernels import jit
from kernels.simd import load_part


@jit.serial
def add_tree(sums, chunks, size):
    """sums[:size] becomes the sum of so many stretches, each of ``size``, one behind the other."""
    step = 1
    while step < chunks:
        for chunk in range(0, chunks - step, 2 * step):
            here, other = sums[chunk * size :], sums[(chunk + step) * size :]
            for i in range(size):
                here[i] += other[i]
        step *= 2


# In registers: a vector of the sum of 2, 4, 8 and all 16 chunks from one on.


@jit.serial
def _two(sums, chunk, at, count):
    total = load_part(sums[chunk], at, count)
    if chunk + 1 < sums.shape[0]:
        total = total + load_part(sums[chunk + 1], at, count)
    return total


@jit.serial
def _four(sums, chunk, at, count):
    total = _two(sums, chunk, at, count)
    if chunk + 2 < sums.shape[0]:
        total = total + _two(sums, chunk + 2, at, count)
    return total


@jit.serial
def _eight(sums, chunk, at, count):
    total = _four(sums, chunk, at, count)
    if chunk + 4 < sums.shape[0]:
        total = total + _four(sums, chunk + 4, at, count)
    return total


@jit.serial
def chunk_sum(sums, at, count):
    """The vector sums[:, at:] added over the chunks, at most `MAX_CHUNKS`; its first ``count``."""
    first = sums.shape[0] * 0  # a plain 0 would be a constant, for which `_eight` is compiled anew
    total = _eight(sums, first, at, count)
    if sums.shape[0] > 8:
        total = total + _eight(sums, first + 8, at, count)
    return total
