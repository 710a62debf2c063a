"""Lines for a person, who may have gone away: no run ends because nobody reads what it says."""

import os
import sys
import textwrap
import unicodedata
from collections.abc import Sequence
from typing import TextIO

# What NumPy says of arrays that no address reaches.
_TOO_LARGE = ("array is too big", "Maximum allowed dimension exceeded")


def say(line: str, stream: TextIO | None = None) -> None:
    r"""Print a line to a stream (default: standard output) if that can be.

    What its encoding cannot write becomes an escape, such as ``\u2192``. A terminal that was
    closed, a reader that has ended and a full disk are passed over. On a terminal a long sentence
    is broken between its words.
    """
    stream = sys.stdout if stream is None else stream
    if stream is None:  # Python was started without
        return
    try:
        line = _folded(line, stream)
        try:
            print(line, file=stream, flush=True)
        except UnicodeEncodeError:
            print(escaped(line, stream), file=stream, flush=True)
    except (OSError, ValueError):  # ValueError: closed by somebody in this process
        pass


def one_line(text: object) -> str:
    r"""The text with escapes, such as ``\n``, for what would break a line or a table.

    Files may be called anything; bytes that are no text are escaped too.
    """
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in str(text)
    )


def columns(text: str) -> int:
    """How many columns of a terminal a text takes.

    A Chinese character has two; an accent that is a letter of its own, as in names of files from
    a Mac, has none.
    """
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    return len(text) + wide - sum(unicodedata.category(each) in ("Mn", "Me") for each in text)


def left(text: str, width: int) -> str:
    """The text with blanks behind it, to so many columns."""
    return text + " " * (width - columns(text))


def right(text: str, width: int) -> str:
    """The text with blanks before it, to so many columns."""
    return " " * (width - columns(text)) + text


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, each cell under the one above it."""
    wide = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(left, row, wide)).rstrip() for row in rows]


def in_words(error: Exception) -> str:
    """What an error says; where the system raised it, without its number."""
    if isinstance(error, ValueError) and str(error).startswith(_TOO_LARGE):
        return (
            "there is not enough memory for an array that large anywhere; a smaller network, batch "
            "or image needs less"
        )
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    if error.filename is not None:
        return f"{os.fsdecode(error.filename)} cannot be used: {error.strerror}"
    try:
        os.getcwd()
    except FileNotFoundError:
        return "the folder that this command was called in is gone: change to another one"
    return error.strerror


def _folded(text: str, stream: TextIO) -> str:
    """The text in lines that a terminal shows as they are; for other streams as it is."""
    try:
        width = os.get_terminal_size(stream.fileno()).columns if stream.isatty() else 0
    except (OSError, ValueError):  # what says that it is a terminal and has no size
        return text
    if not width:
        return text
    fold = textwrap.TextWrapper(
        width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    lines = text.split("\n")
    return "\n".join(fold.fill(line) if len(line) > width else line for line in lines)


def escaped(text: str, stream: TextIO) -> str:
    """The text with escapes for what the encoding of a stream cannot write."""
    encoding = stream.encoding or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)
