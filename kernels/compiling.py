"""A sign of life while kernels are compiled, which takes long and otherwise happens in silence.

    compiling kernels, the first time on this machine: 12 of 40, 23 s

is said on standard error as soon as it has taken a second, and taken away again afterwards. How
many there are is known where a helper process compiles too (`fastcnn.training.compilation`).
"""

import atexit
import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from numba.core import event, types

from kernels.cache import KernelCache

PATIENCE = 1.0  # seconds of compiling that nobody is told about
_TICK = 0.5  # seconds from one look to the next
_REST = 2.0  # seconds without compiling after which it is over
_WHEN = ("terminal", "always", "never")


def announce(when: str) -> None:
    """Choose when it is said that kernels are compiled.

    Parameters
    ----------
    when : {"terminal", "always", "never"}
        "terminal", the default: where standard error is a terminal or a notebook's, on a line that
        is written anew. "always": elsewhere too, there one line.

    Raises
    ------
    ValueError
        If it is another word.
    """
    if when not in _WHEN:
        raise ValueError(f"when must be one of {', '.join(_WHEN)}, got {when!r}")
    watcher.when, watcher.has_said = when, False


@contextlib.contextmanager
def announced(when: str) -> Iterator[None]:
    """Let `announce` hold within a block."""
    before = watcher.when
    announce(when)
    try:
        yield
    finally:
        watcher.when = before


class Watcher(event.Listener):
    """Told by Numba when it begins and ends compiling; all of it in Numba's compiler lock.

    Attributes
    ----------
    done : int
        Kernels that this process has compiled.
    expected : int
        How many there will have been, with those that a helper compiles; 0 if that is not known.
    helped : int
        How many of them the helper has compiled.
    lasts : bool
        Whether they will be there at the next start.
    """

    def __init__(self) -> None:
        self.when, self.lasts = "terminal", True
        self.has_said = False  # the one line that what is no terminal gets
        self.done = self.expected = self.helped = 0
        self._depth = 0  # a kernel compiles the functions that it calls
        self._began = 0.0
        self._thread: threading.Thread | None = None
        self._over = threading.Event()

    def on_start(self, event: Any) -> None:
        """Begin to watch the clock."""
        if not is_kernel(event):
            return
        self._depth += 1
        if self._thread is None:
            self._began = time.monotonic()
            self._over.clear()
            self._thread = threading.Thread(target=self._watch, name="fastcnn-compiling")
            self._thread.daemon = True
            self._thread.start()

    def on_end(self, event: Any) -> None:
        """Count what is done."""
        if not is_kernel(event):
            return
        self._depth -= 1
        if self._depth == 0:
            self.done += _is_listed(**event.data)

    def expect(self, missing: int) -> None:
        """So many kernels are missing still; 0: that is not known."""
        self.expected, self.helped = missing and self.done + missing, 0

    def stop(self) -> None:
        """Take the line away: compiling is over, or the process is."""
        thread = self._thread
        self._over.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(1)

    def _watch(self) -> None:
        line, busy = _Line(), time.monotonic()
        while not self._over.wait(_TICK):
            now = time.monotonic()
            if self._depth:
                busy = now
                if now - self._began >= PATIENCE:
                    self._say(line, self._words(now - self._began))
            else:
                line.clear()
                if now - busy > _REST:
                    break
        line.clear()
        self._thread = None

    def _say(self, line: "_Line", words: tuple[str, str]) -> None:
        if self.when == "never" or sys.stderr is None:
            return
        if is_live(sys.stderr):
            line.show(": ".join(words))
        elif self.when == "always" and not self.has_said:
            self.has_said = True
            write(f"{words[0]} ...\n")

    def _words(self, seconds: float) -> tuple[str, str]:
        """What is happening, and how far it is."""
        often = "the first time on this machine" if self.lasts else "as at every start"
        done = min(self.done + self.helped, self.expected)
        count = f"{done} of {self.expected}, " if self.expected else ""
        return f"compiling kernels, {often}", f"{count}{seconds:.0f} s"


class _Line:
    """A line of a terminal that is written anew."""

    def __init__(self) -> None:
        self._width = 0

    def show(self, text: str) -> None:
        write("\r" + text.ljust(self._width))
        self._width = len(text)

    def clear(self) -> None:
        if self._width:
            write("\r" + " " * self._width + "\r")
            self._width = 0


def write(text: str) -> None:
    """Write to standard error, if it is there and somebody reads it."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(text)
        sys.stderr.flush()


def is_live(stream: Any) -> bool:
    """Whether a stream shows a line that is written anew: a terminal, or a notebook's output."""
    if type(stream).__module__.partition(".")[0] == "ipykernel":
        return True
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # something else put in its place; closed
        return False


def is_kernel(event: Any) -> bool:
    """Whether what is compiled is ours."""
    return isinstance(getattr(event.data["dispatcher"], "_cache", None), KernelCache)


def _is_listed(dispatcher: Any, args: tuple[Any, ...], **_: Any) -> bool:
    """Whether `jit.collect_calls` would have listed it: kernels that give no result."""
    compiled = dispatcher.overloads.get(tuple(args))
    return compiled is not None and compiled.signature.return_type == types.none


watcher = Watcher()


def watch(lasts: bool) -> None:
    """Begin; ``lasts``: whether what is compiled will be there at the next start."""
    watcher.lasts = lasts
    event.register("numba:compile", watcher)
    atexit.register(watcher.stop)  # a thread that writes while Python ends would crash it
