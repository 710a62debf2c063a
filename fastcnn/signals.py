"""Signals that end a command, and one that has it save, from its first moment to its last.

This is the first that a command imports: what comes before `answer_early` ends as Python ends it.
"""

import contextlib
import os
import signal
import sys

_ENDS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGXCPU")
SIGNALS = tuple(getattr(signal, name) for name in _ENDS if hasattr(signal, name))
"""Those that end a command: Ctrl-C, a batch system, a terminal that goes away, Ctrl-\\, no time."""

SAVE: signal.Signals | None = getattr(signal, "SIGUSR1", None)
"""The one by which batch systems warn of the end: training saves, and goes on until it comes."""

BEFORE = "interrupted before the work began"


def _is_command() -> bool:
    """Whether this process is a command of ours, not a program or a notebook that imports us."""
    argv = getattr(sys, "argv", None) or [""]
    if argv[0] == "-m":  # so it is called while Python looks for the module that was named
        return sys.orig_argv[-len(argv)].removeprefix("-m").partition(".")[0] == "fastcnn"
    # A script that pip made; workers of a search have its name too, but were not called by it.
    return os.path.basename(argv[0]).startswith("fastcnn-") and argv[0] in sys.orig_argv


IS_COMMAND = _is_command()


def exit_code(number: int) -> int:
    """130 for Ctrl-C, 143 for all others."""
    return 128 + (signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)


def say(line: str) -> None:
    """Print on standard error: `print` may be interrupted within itself, a bare write may not."""
    with contextlib.suppress(OSError):
        os.write(2, f"{line}\n".encode())


def mine() -> list[signal.Signals]:
    """The signals that are to be answered."""
    # nohup means what it says.
    return [n for n in SIGNALS if n == signal.SIGINT or signal.getsignal(n) != signal.SIG_IGN]


def answer_early() -> None:
    """Answer signals in one line until the command itself does: it is still being imported."""

    def leave(number: int, _frame: object) -> None:
        say(BEFORE)
        os._exit(exit_code(number))

    for number in mine():
        signal.signal(number, leave)
    if SAVE is not None:
        signal.signal(SAVE, signal.SIG_IGN)  # there is nothing to save yet, nor in helpers


def ignore() -> None:
    """Let the last moments of this process be: its work is done, its exit code says how it went."""

    def nothing(_number: int, _frame: object) -> None: ...

    # Python complains of a signal that came before and is ignored now, so those are answered first:
    # it looks at all that came when there is a new one.
    for number in SIGNALS:
        signal.signal(number, nothing)
    signal.raise_signal(SIGNALS[0])
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


if IS_COMMAND:
    answer_early()
