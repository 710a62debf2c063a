"""A table run: all of a network, or a stretch of it, in one call.

What is run is cut into phases, and a phase into items, each for some samples and a part of each.
A phase is one step, or several that go one behind the other while a few samples are in the cache.
A phase begins when all items of the one before it are done.
"""

import numpy as np
from numba import prange

from kernels import jit
from kernels.inference.arranging import (
    elementwise,
    pool,
    put,
    scale,
    take_floats,
    take_pixels,
    turn,
)
from kernels.inference.convolution import convolve, convolve_by_windows, convolve_channels
from kernels.inference.multiplication import multiply
from kernels.inference.table import (
    CLAIMS,
    DENSE,
    DEPTHWISE,
    DIRECT_CONV,
    ELEMENTWISE,
    FIRST,
    FLOATS,
    GROUP,
    ITEMS,
    KIND,
    LAST,
    PARTS,
    PIXELS,
    POOL,
    PRIVATE,
    PUT,
    SCALE,
    TURN,
    WINOGRAD,
    Frame,
)
from kernels.inference.team import claim, exchange_add, wait_for
from kernels.tile import prepare


@jit.serial
def _do(step, values, constants, memory, scratch, given, frame, span):
    """One step, for the samples first to last of ``span`` and part span[2] of span[3] of each."""
    pixels, floats = given
    kind = step[KIND]
    if kind == PIXELS:
        take_pixels(step, values, constants, memory, pixels, frame, span)
    elif kind == FLOATS:
        take_floats(step, values, memory, floats, frame, span)
    elif kind == DIRECT_CONV:
        convolve(step, values, constants, memory, scratch, pixels[:0], frame, span)
    elif kind == WINOGRAD:
        convolve_by_windows(step, values, constants, memory, scratch, pixels[:0], frame, span)
    elif kind == DEPTHWISE:
        convolve_channels(step, values, constants, memory, scratch, frame, span)
    elif kind == DENSE:
        multiply(step, values, constants, memory, scratch, frame, span)
    elif kind == POOL:
        pool(step, values, memory, pixels[:0], frame, span)
    elif kind == TURN:
        turn(step, values, memory, frame, span)
    elif kind == SCALE:
        scale(step, values, constants, memory, frame, span)
    elif kind == PUT:
        put(step, values, memory, frame, span)
    elif kind == ELEMENTWISE:
        elementwise(step, values, constants, memory, frame, span)


@jit.serial
def _work(tables, phases, arrays, given, sizes, worker, workers):
    """All phases, with the help of those who work at them too."""
    steps, values = tables
    constants, memory, claims = arrays
    count, private0, scratch0, scratch_size, turn = sizes
    scratch = memory[scratch0 + worker * scratch_size : scratch0 + (worker + 1) * scratch_size]
    for p in range(len(phases)):
        phase = phases[p]
        group, parts, items, done = phase[GROUP], phase[PARTS], phase[ITEMS], phase[CLAIMS]
        # Everybody begins with a stretch of his own, and with the end of it where he began with its
        # beginning the last time: what was used last, samples or weights, is still in his cache.
        way = 1 - 2 * ((p + turn) % 2)
        first_item = items * worker // workers if way > 0 else items * (worker + 1) // workers - 1
        for k in range(items):
            item = (first_item + way * k) % items
            if workers > 1 and not claim(claims, done + 1 + item):
                continue
            first = item // parts * group
            last = min(count, first + group)
            frame = Frame(count, count, 0, private0)
            if phase[PRIVATE]:
                frame = Frame(count, group, first, private0 + worker * phase[PRIVATE] * group)
            span = (first, last, item % parts, parts)
            for s in range(phase[FIRST], phase[LAST]):
                _do(steps[s], values, constants, memory, scratch, given, frame, span)
            if workers > 1:
                exchange_add(claims, done, 1)
        if workers > 1:
            wait_for(claims, done, items)


@jit.parallel
def _run_together(tables, phases, arrays, given, sizes, workers):
    """One iteration is one who works; items belong to who claims them."""
    arrays[2][:] = 0
    for worker in prange(workers):
        _work(tables, phases, arrays, given, sizes, worker, workers)


def run(
    steps: np.ndarray,
    values: np.ndarray,
    phases: np.ndarray,
    constants: np.ndarray,
    memory: np.ndarray,
    claims: np.ndarray,
    given: tuple[np.ndarray, np.ndarray],
    sizes: tuple[int, int, int, int, int],
    workers: int,
) -> None:
    """Run the phases of a table.

    given : pixels and floats that go in, flat; one of them is empty
    sizes : samples; where values begin that are not shared; where scratch begins, and how many
        numbers a worker has of it; how often it has been run
    """
    prepare(memory.dtype)
    arrays = constants, memory, claims
    if workers == 1:
        _work((steps, values), phases, arrays, given, sizes, 0, 1)
    else:
        _run_together((steps, values), phases, arrays, given, sizes, workers)
