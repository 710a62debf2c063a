"""A mark that is another one whenever something changes that decides which kernels are called.

Whoever has listed the calls of kernels (`capture`) notes the mark beside the list, and trusts the
list only while the mark is the same. A layer's setting, arrays that are replaced, another backend:
each such place calls `changed`; where it is memory that a thread has for itself, `changed_here`.
"""

import itertools
import threading

_marks = itertools.count(1)
_latest = 0


class _Here(threading.local):
    latest = 0


_here = _Here()


def changed() -> None:
    """Let no list of calls be trusted that was made before."""
    global _latest
    _latest = next(_marks)  # of two threads either may be the latest: it is none from before


def changed_here() -> None:
    """Let this thread trust none of its lists that were made before."""
    _here.latest = next(_marks)


def mark() -> tuple[int, int]:
    """The mark as it is now, for this thread."""
    return _latest, _here.latest
