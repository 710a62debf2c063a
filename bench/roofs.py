"""What memory can do at most: a triad through arrays that fit into no cache.

It runs on as many threads as the kernels (`jit.set_threads`); multiply-adds are in `kernels.peak`.
"""

import numpy as np
from numba import prange

from kernels import jit
from kernels.portion import MAX_CHUNKS
from kernels.simd import fma, lanes, load, splat, store


@jit.parallel
def _triad(a, b, c):
    """a = b + 0.5 c; the arrays are a multiple of chunks and vectors long."""
    step = lanes(a)
    vectors = a.size // step
    chunks = MAX_CHUNKS
    for chunk in prange(chunks):
        half = splat(a, np.float32(0.5))
        for i in range(
            vectors * chunk // chunks * step, vectors * (chunk + 1) // chunks * step, step
        ):
            store(a, i, fma(half, load(c, i), load(b, i)))


def triad_bytes(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> int:
    """Run the triad once; returns the bytes that it reads and writes."""
    _triad(a, b, c)
    return a.nbytes + b.nbytes + c.nbytes
