"""How the command lines start: what may happen at any moment, imports included, is answered here.

Signals end the work in one line, a stream that cannot be written does not end it. Once the work is
over they are ignored where the process is a command's own: as Python shuts down it answers none.
"""

import importlib
import sys
import time
from collections.abc import Sequence

from .. import signals
from . import interrupt, streams

_begun = time.monotonic()


def begun() -> float:
    """When the command that runs began, by `time.monotonic`."""
    return _begun


def run(command: str, argv: Sequence[str] | None = None) -> int:
    """Import `fastcnn.commands.COMMAND` and call its `main`; returns the exit code.

    Parameters
    ----------
    command : str
        Name of the module.
    argv : sequence of str, optional
        The options; default: those of this process.
    """
    for_good = signals.IS_COMMAND and argv is None
    global _begun
    _begun = time.monotonic()
    with streams.lasting() as out:
        with interrupt.answered(signals.BEFORE, then="interrupted", for_good=for_good):
            code = _called(command, sys.argv[1:] if argv is None else argv)
        out.flush()
        lost = streams.lost(out)
        if lost is not None:
            print(f"error: {lost}", file=sys.stderr)
    return code or int(lost is not None)


def _called(command: str, argv: Sequence[str]) -> int:
    try:
        module = importlib.import_module(f".{command}", __package__)
    except ImportError as error:
        if error.name is not None:  # a module that is missing, not a refusal of ours
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    return module.main(argv)
