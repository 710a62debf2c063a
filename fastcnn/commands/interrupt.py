"""Ctrl-C, SIGTERM and a terminal that goes away: answered in one line, or noted for later.

No exception is raised: one might be lost, or dressed up, in the code that it comes upon.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator

from ..files import remove_unfinished

_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


def exit_code(number: int) -> int:
    """130 for Ctrl-C, 143 for SIGTERM and SIGHUP."""
    return 128 + (signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)


@contextlib.contextmanager
def answered(words: str, before: Callable[[], None] | None = None) -> Iterator[None]:
    """Within this block a signal ends the process at once, with these words; no file is left half.

    Parameters
    ----------
    words : str
        A line for standard error.
    before : function, optional
        Called first.
    """

    def leave(number: int, _frame: object) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        with contextlib.suppress(Exception):
            if before is not None:
                before()
        remove_unfinished()
        with contextlib.suppress(Exception):  # it may have been printing
            sys.stdout.flush()
        _say(words)
        os._exit(exit_code(number))

    with _handled(leave):
        yield


class Interrupt:
    """Notes signals, so that training can end between two batches.

    The first signal asks; the second is answered at once.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self) -> bool:
        """Whether a signal has come."""
        return self.signal is not None

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Within this block the first signal is noted instead of obeyed."""
        with answered("interrupted at once"):
            at_once = {number: signal.getsignal(number) for number in _SIGNALS}

            def note(number: int, _frame: object) -> None:
                self.signal = number
                for each, handler in at_once.items():
                    signal.signal(each, handler)
                _say("\nstopping after this batch (once more: at once)")

            with _handled(note):
                yield


@contextlib.contextmanager
def _handled(handler: Callable[[int, object], None]) -> Iterator[None]:
    """Within this block signals go to the handler; but in Python's main thread alone."""
    before = {}
    try:
        for number in _SIGNALS:
            current = signal.getsignal(number)
            if number == signal.SIGINT or current != signal.SIG_IGN:  # nohup means what it says
                signal.signal(number, handler)
                before[number] = signal.SIG_DFL if current is None else current
    except ValueError:
        pass  # signals are not this thread's to answer
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _say(line: str) -> None:
    """Print on standard error: `print` may be interrupted within itself, a bare write may not."""
    with contextlib.suppress(OSError):
        os.write(2, f"{line}\n".encode())
