"""A signal is answered even where the main thread waits, whichever thread the system gave it to.

Python answers signals in its main thread. Of two that come at once, Linux may give both to another
thread: then a main thread that waits for a lock, a process or a socket would not hear of them until
that wait is over, which may be never. So a thread listens to what Python's own handler in C writes,
and interrupts the wait.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

_NUDGE: signal.Signals | None = getattr(signal, "SIGURG", None)
"""Interrupts a wait and means nothing else: without a handler it is ignored."""
_FIRST, _LONGEST = 0.02, 1.0  # seconds until the main thread is nudged again


@contextlib.contextmanager
def awake() -> Iterator[None]:
    """Within this block signals interrupt the main thread, wherever it waits.

    In another thread, or where the system has no such signals, nothing changes.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or _NUDGE is None or not hasattr(signal, "pthread_kill"):
        yield
        return
    listener = _Listener(threading.get_ident(), _NUDGE)
    before = signal.signal(_NUDGE, listener.hear)
    other = signal.set_wakeup_fd(listener.into, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(other)
        listener.end()
        signal.signal(_NUDGE, signal.SIG_DFL if before is None else before)


class _Listener:
    """A thread that nudges the main thread until it has answered each signal that came."""

    def __init__(self, main: int, nudge: signal.Signals) -> None:
        self._main, self._nudge = main, nudge
        self._answered = threading.Event()
        self._from, self.into = os.pipe()
        os.set_blocking(self.into, False)  # Python asks for that
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def hear(self, _number: int, _frame: object) -> None:
        """Answer a nudge: Python calls the handlers of all other signals in the same moment."""
        self._answered.set()

    def end(self) -> None:
        """End the thread, and close the pipe."""
        os.close(self.into)
        self._answered.set()
        self._thread.join()
        os.close(self._from)

    def _listen(self) -> None:
        while numbers := os.read(self._from, 64):
            if not set(numbers) - {int(self._nudge)}:
                continue
            self._answered.clear()
            pause = _FIRST
            # Again: the main thread may have been between its last look and its wait.
            while not self._answered.is_set():
                signal.pthread_kill(self._main, self._nudge)
                self._answered.wait(pause)
                pause = min(2 * pause, _LONGEST)
