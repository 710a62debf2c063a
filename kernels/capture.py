"""Kernels that some Python calls are listed while they run, and run again without that Python.

A training step calls the same kernels with the same memory as the step before. Between them lies
Python that finds this out anew, a third of the time of a small network. `capturing` lists the calls
that a thread makes; `Capture.run` makes them again.

Memory may hold other numbers by then; numbers that are arguments themselves are as they were, and
what Python does besides calling kernels is not in the list. Whoever runs one sees to it that this
is right (`fastcnn.network.replay`).
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numba.core.registry import CPUDispatcher

from kernels import jit
from kernels.dispatch import Kernel, Serial

_captures: dict[int, "Capture"] = {}  # by the thread whose calls are listed
_guard = threading.Lock()


def _begin_anew() -> None:
    """In a forked process, where the other threads are no more."""
    global _guard
    _guard = threading.Lock()
    mine = _captures.get(threading.get_ident())
    _captures.clear()
    if mine is not None:
        _captures[threading.get_ident()] = mine
    _let_go()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


class Capture:
    """Calls of kernels in their order, with what they were given."""

    def __init__(self) -> None:
        self._calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, kernel: Kernel, arguments: tuple[Any, ...]) -> None:
        """List a call, of the code itself: Numba need not look at the arguments' types again."""
        made = kernel.wholes if isinstance(kernel, Serial) else kernel.overloads
        whole = made.get(tuple(map(kernel.typeof_pyval, arguments)))
        self._calls.append((kernel if whole is None else whole.entry_point, arguments))

    def is_like(self, other: "Capture") -> bool:
        """Whether the same kernels were given the same numbers and the same memory.

        Tables of whole numbers may lie elsewhere; floats that do were made by NumPy on the way.
        """
        return _is_same(tuple(self._calls), tuple(other._calls))

    def run(self) -> None:
        """Make all calls again."""
        for code, arguments in self._calls:
            code(*arguments)


def _is_same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(_is_same, a, b))
    if isinstance(a, np.ndarray):
        same = a.size == b.size == 0 or a.__array_interface__ == b.__array_interface__
        return same or (a.dtype.kind != "f" and np.array_equal(a, b))
    return bool(a == b)


def is_possible() -> bool:
    """Whether kernels may be called without what `jit` puts around them."""
    return not jit.is_collecting() and jit.threading_layer() != "workqueue"


def _listed_call(kernel: Any, *arguments: Any) -> Any:
    result = CPUDispatcher.__call__(kernel, *arguments)
    capture = _captures.get(threading.get_ident())
    if capture is not None and result is None:  # those that give a number decide on other calls
        capture.add(kernel, arguments)
    return result


@contextlib.contextmanager
def capturing(capture: Capture) -> Iterator[None]:
    """A with block in which the kernels that this thread calls are listed.

    While there is such a block, every call goes through Python, 0.3 us each.
    """
    me = threading.get_ident()
    try:
        with _guard:
            _captures[me] = capture
            Kernel.__call__ = _listed_call  # type: ignore[method-assign]
        yield
    finally:
        with _guard:
            _captures.pop(me, None)
            _let_go()


def _let_go() -> None:
    """Call kernels without Python again, unless a thread's calls are listed."""
    if not _captures and "__call__" in vars(Kernel):
        del Kernel.__call__
