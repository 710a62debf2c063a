"""Train a named network: ``python -m fastcnn.train --dataset mnist --model mnist-baseline``.

What it does is in `command_line`; this file imports that so that Ctrl-C is answered from the start.
"""

import os
import signal
import sys
from collections.abc import Sequence

_INTERRUPTED = 128 + signal.SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    before = signal.signal(signal.SIGINT, _leave)
    try:
        from . import command_line
    finally:
        signal.signal(signal.SIGINT, before)
    return command_line.main(sys.argv[1:] if argv is None else argv)


def _leave(_number: int, _frame: object) -> None:
    """End at once: an exception might be lost, or dressed up, in the import it comes upon."""
    os.write(2, b"interrupted before training began\n")
    os._exit(_INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
