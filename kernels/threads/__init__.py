"""The threads that run `prange`: a crew of our own on Linux, elsewhere a layer of Numba's.

Between two parallel loops of a small network lie 10 to 200 us of Python. TBB's threads need 6 to
30 us to come together for each loop; those of OpenMP, which wait by spinning, 1 to 2, but beside a
busy process everyone then waits for the one that is not running. The crew does both: a thread spins
for a while after each loop, then sleeps until it is called, and what a thread has not begun another
one does, so that only a share that somebody is at is ever waited for.

Numba compiles ``for i in prange(n)`` into a call of ``numba_parallel_for``, which is to run shares
of the loop, and asks ``get_thread_id`` for scratch of its own; `launch` puts the crew's functions
in their place. `loops` is what they do, `code` what they are written in, `crew` starts them.
"""

from kernels.threads.crew import Crew, launch
from kernels.threads.layers import load_tbb, threads_advice

__all__ = ["Crew", "launch", "load_tbb", "threads_advice"]
