"""What the processor can do at most: multiply-adds in registers, as wide as the kernels' vectors.

They run on as many threads as the kernels (`jit.set_threads`), one share per thread.
"""

import time
from typing import Any

import numpy as np
from llvmlite import ir
from numba import prange, types

from kernels import jit
from kernels.simd import (
    I64,
    broadcast,
    intrinsic,
    multiply_add,
    splat,
    total,
    vector_ir,
    vector_of,
)
from kernels.tile import TILE_ROWS, TILE_VECTORS

# As many independent sums as the register tile has: more than the multiply-adds in flight.
SUMS = TILE_ROWS * TILE_VECTORS
_ROUNDS = 50_000  # in a fifth of a millisecond: to start the threads takes a hundredth of that


@intrinsic
def _multiply_add_chains(_, factor, count):
    """`SUMS` vectors, each replaced ``count`` times by itself times ``factor`` plus factor."""
    vector: Any = vector_of(factor)

    def codegen(context, builder, sig, args):
        kind = vector_ir(vector)
        entry, loop = builder.block, builder.append_basic_block("loop")
        done = builder.append_basic_block("done")
        first = [broadcast(builder, ir.Constant(kind.element, k), kind.count) for k in range(SUMS)]
        builder.branch(loop)
        builder.position_at_end(loop)
        i, sums = builder.phi(I64), [builder.phi(kind) for _ in range(SUMS)]
        new = [multiply_add(builder, value, args[0], args[0]) for value in sums]
        i_next = builder.add(i, I64(1))
        for phi, start, again in zip([i, *sums], [I64(0), *first], [i_next, *new], strict=True):
            phi.add_incoming(start, entry)
            phi.add_incoming(again, loop)
        builder.cbranch(builder.icmp_signed("<", i_next, args[1]), loop, done)
        builder.position_at_end(done)
        result = new[0]
        for value in new[1:]:
            result = builder.fadd(result, value)
        return result

    return vector(factor, types.intp), codegen


@jit.parallel
def _multiply_add_all(count, factor, results):
    """One iteration is one thread's share; its result is kept, or the compiler would drop it."""
    for thread in prange(results.size):
        results[thread] = total(_multiply_add_chains(splat(results, factor), count))


def multiply_add_operations(count: int, results: np.ndarray) -> int:
    """Run ``count`` rounds of multiply-adds on as many threads as ``results`` has elements.

    Returns the number of multiplications and additions.
    """
    _multiply_add_all(count, np.float32(0.5), results)
    width = jit.target().register_bytes // results.itemsize
    return 2 * count * SUMS * width * results.size


def gflops(dtype: Any = np.float32, seconds: float = 0.005) -> float:
    """10^9 multiplications and additions per second, over about so many seconds.

    Examples
    --------
    >>> gflops() > 0
    True
    """
    results = np.empty(jit.get_threads(), dtype)
    multiply_add_operations(1, results)  # it may compile
    done, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        done += multiply_add_operations(_ROUNDS, results)
    return done / passed / 1e9
