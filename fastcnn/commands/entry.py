"""How the command lines start: what may happen at any moment, imports included, is answered here.

Signals end the work in one line, a stream that cannot be written does not end it. Once the work is
over they are ignored where the process is a command's own: as Python shuts down it answers none.
"""

import functools
import importlib
import sys
import time
import warnings
from collections.abc import Callable, Sequence

from kernels.cores import refuse_variables

from .. import files, signals
from ..terminal import one_line, say
from . import interrupt, streams, waking

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
    return guarded(functools.partial(_called, command), argv)


def guarded(main: Callable[[Sequence[str]], int], argv: Sequence[str] | None = None) -> int:
    """Call what a command does where signals and streams are answered; returns the exit code.

    Raises
    ------
    SystemExit
        After --help.
    """
    for_good = signals.IS_COMMAND and argv is None
    global _begun
    _begun = time.monotonic()
    if for_good:
        warnings.showwarning = _noted
    stop = None
    with waking.awake(), files.folders_known(), streams.lasting() as out:
        with interrupt.answered(signals.BEFORE, then="interrupted", for_good=for_good):
            try:
                code = main(sys.argv[1:] if argv is None else argv)
            except SystemExit as error:
                stop, code = error, 0
        out.flush()
        lost = streams.lost(out)
        if lost is not None:
            print(f"error: {lost}", file=sys.stderr)
    if stop is not None and lost is None:
        raise stop
    return code or int(lost is not None)


def _noted(message: Warning | str, *_: object) -> None:
    """Show a warning as a line of ours, not as a line of a program."""
    say(one_line(f"note: {message}"), sys.stderr)


def _called(command: str, argv: Sequence[str]) -> int:
    try:
        refuse_variables()
        module = importlib.import_module(f".{command}", __package__)
    except ImportError as error:
        if error.name is not None:  # a module that is missing, not a refusal of ours
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        return module.main(argv)
    except OSError as error:  # that nobody has foreseen
        from . import options

        return options.refuse(error, 1)
    except MemoryError as error:
        asked = f": {error}" if str(error) else ""
        print(
            f"error: there is not enough memory{asked}; a smaller network, batch or number of "
            f"images needs less",
            file=sys.stderr,
        )
        return 2
