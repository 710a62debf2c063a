"""Ctrl-C and SIGTERM, noted so that work can end at a place of its own choosing."""

import contextlib
import os
import signal
from collections.abc import Iterator


class Interrupt:
    """Notes Ctrl-C and SIGTERM, so that training can end between two batches.

    The first signal asks; the second kills at once.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self) -> bool:
        """Whether a signal has come."""
        return self.signal is not None

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Within this block signals are noted instead of obeyed."""
        before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _frame: object) -> None:
        self.signal = number
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        # print() may be interrupted within itself; a bare write may not.
        os.write(2, b"\nstopping after this batch (once more: at once)\n")


_SIGNALS = (signal.SIGINT, signal.SIGTERM)
