"""Two processes that compile the same kernels, and none of them twice.

Each tells the other what it begins to make ("+name") and that it is done with it ("-name"). Who
needs what the other is making waits for it. They never wait for each other: who makes something
waits for what it calls, and no kernel calls itself.
"""

import threading
from collections.abc import Callable

PATIENCE = 30.0  # seconds after which a partner is taken to have stopped
_TICK = 0.5  # seconds; Windows lets nobody interrupt a thread that waits


class Partner:
    """The other process.

    Parameters
    ----------
    say : callable
        Gets a line to be sent to it.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._makes: set[str] = set()
        self._changed = threading.Condition()

    def begin(self, name: str) -> None:
        """Tell it that this process begins to make something."""
        self._say(f"+{name}")

    def end(self, name: str) -> None:
        """Tell it that this process is done with something."""
        self._say(f"-{name}")

    def hear(self, line: str) -> None:
        """Take note of a line that it sent."""
        with self._changed:
            change = self._makes.add if line.startswith("+") else self._makes.discard
            change(line[1:])
            self._changed.notify_all()

    def leave(self) -> None:
        """Take note of its end."""
        with self._changed:
            self._makes.clear()
            self._changed.notify_all()

    def wait_for(self, name: str) -> bool:
        """Wait while it makes something; gives whether it was making it."""
        with self._changed:
            if name not in self._makes:
                return False
            waited = 0.0
            while name in self._makes and waited < PATIENCE:
                self._changed.wait(_TICK)
                waited += _TICK
            return True
