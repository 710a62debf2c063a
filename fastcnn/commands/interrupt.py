"""Ctrl-C, SIGTERM and a terminal that goes away: answered in one line, or noted for later.

No exception is raised: one might be lost, or dressed up, in the code that it comes upon.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence

from ..files import remove_unfinished
from ..signals import SAVE, exit_code, ignore, mine, say


class _Leave:
    """Ends the process at once with some words; no file is left half."""

    def __init__(
        self, words: str, before: Callable[[], None] | None = None, then: str | None = None
    ) -> None:
        self.words = words
        self.then = then or words
        self._before = before

    def __call__(self, number: int, _frame: object) -> None:
        ignore()
        with contextlib.suppress(Exception):
            if self._before is not None:
                self._before()
        remove_unfinished()
        with contextlib.suppress(Exception):  # it may have been printing
            sys.stdout.flush()
        say(self.words)
        os._exit(exit_code(number))


@contextlib.contextmanager
def answered(
    words: str,
    before: Callable[[], None] | None = None,
    *,
    then: str | None = None,
    for_good: bool = False,
) -> Iterator[None]:
    """Within this block a signal ends the process at once, with these words; no file is left half.

    Parameters
    ----------
    words : str
        A line for standard error.
    before : function, optional
        Called first.
    then : str, optional
        The words after a block inside this one, where others hold.
    for_good : bool
        Whether the process has nothing left to do after the block: signals are ignored then.
    """
    with _handled(_Leave(words, before, then), for_good):
        yield


class Interrupt:
    """Notes signals, so that training can end between two batches.

    The first signal asks; the second is answered at once.

    Parameters
    ----------
    speaks : bool
        Whether it says so; of several processes one does.
    """

    def __init__(self, speaks: bool = True) -> None:
        self._say = say if speaks else str
        self.signal: int | None = None
        self._is_asked = False

    def __call__(self) -> bool:
        """Whether a signal has come."""
        return self.signal is not None

    def asks_to_save(self) -> bool:
        """Whether the signal to save has come since this was asked last."""
        asked, self._is_asked = self._is_asked, False
        return asked

    def _ask_to_save(self, _number: int, _frame: object) -> None:
        self._is_asked = True
        self._say("\nsaving after this batch")

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Within this block the first signal is noted instead of obeyed, as is that to save."""
        at_once = _Leave("interrupted at once")

        def note(number: int, _frame: object) -> None:
            self.signal = number
            for each in mine():
                signal.signal(each, at_once)
            self._say("\nstopping after this batch (once more: at once)")

        save = () if SAVE is None else (SAVE,)
        with _handled(note), _handled(self._ask_to_save, numbers=save):
            yield


@contextlib.contextmanager
def _handled(
    handler: Callable[[int, object], None],
    for_good: bool = False,
    numbers: Sequence[int] | None = None,
) -> Iterator[None]:
    """Within this block signals go to the handler; but in Python's main thread alone."""
    before = {}
    try:
        for number in mine() if numbers is None else numbers:
            current = signal.getsignal(number)
            signal.signal(number, handler)
            before[number] = signal.SIG_DFL if current is None else current
    except ValueError:
        pass  # signals are not this thread's to answer
    try:
        yield
    finally:
        if before and for_good:
            ignore()
        for number, old in before.items():
            if isinstance(old, _Leave):
                old.words = old.then
            if not for_good:
                signal.signal(number, old)
