"""Check layers that somebody has written: ``python -m fastcnn.check mylayers.py``.

What it does is in `fastcnn.commands.check`; from Python it is `fastcnn.check.gradients`.
"""

import sys
from collections.abc import Sequence

from .checking.check import gradients
from .commands import entry

__all__ = ["gradients", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return entry.run("check", argv)


if __name__ == "__main__":
    sys.exit(main())
