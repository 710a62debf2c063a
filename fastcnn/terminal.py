"""Lines for a person, who may have gone away: no run ends because nobody reads what it says."""

import sys
from typing import TextIO


def say(line: str, stream: TextIO | None = None) -> None:
    r"""Print a line to a stream (default: standard output) if that can be.

    What its encoding cannot write becomes an escape, such as ``\u2192``. A terminal that was
    closed, a reader that has ended and a full disk are passed over.
    """
    stream = sys.stdout if stream is None else stream
    if stream is None:  # Python was started without
        return
    try:
        try:
            print(line, file=stream, flush=True)
        except UnicodeEncodeError:
            print(escaped(line, stream), file=stream, flush=True)
    except (OSError, ValueError):  # ValueError: closed by somebody in this process
        pass


def escaped(text: str, stream: TextIO) -> str:
    """The text with escapes for what the encoding of a stream cannot write."""
    encoding = stream.encoding or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)
