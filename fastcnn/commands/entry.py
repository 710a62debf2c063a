"""How the command lines start: Ctrl-C is answered from the first moment, imports included."""

import importlib
import os
import signal
import sys
from collections.abc import Sequence

_INTERRUPTED = 128 + signal.SIGINT


def run(command: str, argv: Sequence[str] | None = None) -> int:
    """Import `fastcnn.commands.COMMAND` and call its `main`; returns the exit code.

    Parameters
    ----------
    command : str
        Name of the module.
    argv : sequence of str, optional
        The options; default: those of this process.
    """
    before = signal.signal(signal.SIGINT, _leave)
    try:
        module = importlib.import_module(f".{command}", __package__)
    finally:
        signal.signal(signal.SIGINT, before)
    return module.main(sys.argv[1:] if argv is None else argv)


def _leave(_number: int, _frame: object) -> None:
    """End at once: an exception might be lost, or dressed up, in the import it comes upon."""
    os.write(2, b"interrupted before the work began\n")
    os._exit(_INTERRUPTED)
