"""Holding NumPy's BLAS to one thread while the kernels' threads use the cores."""

import contextlib
import functools
import threading
from collections.abc import Iterator
from typing import Any


class _Hold:
    """BLAS at one thread for as long as at least one Python thread wants it.

    BLAS has one number of threads for the whole process. If each Python thread put back what it
    had found, one that began while another was training would put back 1.
    """

    def __init__(self) -> None:
        from threadpoolctl import ThreadpoolController

        self._controller = ThreadpoolController()
        self._lock = threading.Lock()
        self._users = 0
        self._limiter: Any = None

    def take(self) -> None:
        with self._lock:
            if self._users == 0:
                self._limiter = self._controller.limit(limits=1, user_api="blas")
                self._let_go()
            self._users += 1

    def give_back(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._limiter.restore_original_limits()
                self._let_go()

    def _let_go(self) -> None:
        """Since 3.8 threadpoolctl obeys only the Python thread that first set a number."""
        for library in self._controller.lib_controllers:
            getattr(library, "clear_controlling_thread", lambda: None)()


_making = threading.Lock()


@functools.cache
def _made() -> _Hold:
    return _Hold()


def _hold() -> _Hold:
    with _making:  # the cache alone would let two threads make one each
        return _made()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS to one thread: its threads and the kernels' would fight for the same cores."""
    _hold().take()
    try:
        yield
    finally:
        _hold().give_back()
