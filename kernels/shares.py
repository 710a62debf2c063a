"""How a loop over the elements of a flat array is cut into shares for the threads.

    @jit.serial
    def _double_share(x, y, start, stop): ...

    @jit.parallel
    def _double(x, y):
        for chunk in prange(CHUNKS):                       # owns y[start:stop]
            start, stop = share(x.size, chunk)
            _double_share(x, y, start, stop)

    def double(x, y):
        if is_small(x.size):
            _double_share(x, y, 0, x.size)
        else:
            _double(x, y)

Every element is computed by itself, so the bits are the same either way.
"""

from kernels import jit
from kernels.portion import MAX_CHUNKS

CHUNKS = MAX_CHUNKS
# The crew's threads come within 1 or 2 us, those of TBB within 10, in which one thread does a
# simple operation on half to all of so many elements: fewer it does sooner by itself.
_SMALL = 1 << (15 if jit.threading_layer() == "crew" else 17)
# Shares begin at multiples of this: whole cache lines, and no vector across two of them.
_GRAIN = 64
# Loops that write more than caches hold ask for the line so many elements on.
AHEAD = 512


def is_small(elements: int, work: int = 1) -> bool:
    """Whether an elementwise loop over so many elements is done sooner by one thread.

    work : how many times longer than a simple operation such as relu an element takes
    """
    return elements * work < _SMALL


@jit.serial
def shares_of(elements):
    """Into how many shares a loop over so many elements is cut: one, if that is done sooner."""
    return 1 if elements < _SMALL else CHUNKS


@jit.serial
def share(elements, chunk):
    """First element of a chunk, and the first one after it."""
    start = elements * chunk // CHUNKS // _GRAIN * _GRAIN
    stop = elements * (chunk + 1) // CHUNKS // _GRAIN * _GRAIN
    return start, elements if chunk == CHUNKS - 1 else stop
