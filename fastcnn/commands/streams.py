"""Standard output and error that never end the work: a reader gone, a full disk, few letters."""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from ..terminal import escaped

_READER_GONE = (errno.EPIPE, errno.EIO)  # `| head` has enough; a terminal was closed


class Stream:
    """A text stream whose writing never fails: what cannot be written any more is dropped.

    Attributes
    ----------
    failure : OSError or ValueError, optional
        Why writing ended.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.failure: OSError | ValueError | None = None

    def write(self, text: str) -> int:
        """Write what can be written."""
        try:
            self._try(self._stream.write, text)
        except UnicodeEncodeError:
            self._try(self._stream.write, escaped(text, self._stream))
        return len(text)

    def flush(self) -> None:
        """Write what waits."""
        self._try(self._stream.flush)

    def _try(self, call: Any, *arguments: Any) -> None:
        if self.failure is not None:
            return
        try:
            call(*arguments)
        except UnicodeEncodeError:
            raise
        except (OSError, ValueError) as error:  # ValueError: closed by somebody in this process
            self.failure = error
            # What waits would fail again as Python ends.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def lasting() -> Iterator[Stream]:
    """Within this block printing never fails; gives standard output."""
    for number in (0, 1, 2):  # else the next file that is opened would take its place
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    before = sys.stdout, sys.stderr
    out, err = (Stream(_able(stream)) for stream in before)
    sys.stdout, sys.stderr = out, err  # type: ignore[assignment]
    try:
        yield out
    finally:
        out.flush()
        sys.stdout, sys.stderr = before


def _able(stream: TextIO | None) -> TextIO:
    """The stream, able to write any text; one that is closed becomes one that nobody reads."""
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    # A program or a test has put another there, or it is closed, or text waits that nobody takes.
    with contextlib.suppress(AttributeError, ValueError, OSError):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]
    return stream


def lost(stream: Stream) -> str | None:
    """Why what was printed is not complete, in words; None if it is, or nobody wanted more."""
    if not isinstance(stream.failure, OSError) or stream.failure.errno in _READER_GONE:
        return None
    return f"standard output cannot be written: {stream.failure.strerror}"
