"""A mark that is another one whenever something changes that decides which kernels are called.

Whoever has listed the calls of kernels (`capture`) notes the mark beside the list, and trusts the
list only while the mark is the same. Memory that is replaced, a layer's setting, another backend:
each such place calls `changed`.
"""

import itertools

_marks = itertools.count(1)
_latest = 0


def changed() -> None:
    """Let no list of calls be trusted that was made before."""
    global _latest
    _latest = next(_marks)  # of two threads either may be the latest: it is none from before


def mark() -> int:
    """The mark as it is now."""
    return _latest
