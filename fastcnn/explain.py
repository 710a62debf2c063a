"""Explain one number of a trained network: ``python -m fastcnn.explain runs/mnist-baseline-mnist``.

What it does is in `fastcnn.commands.explain`.
"""

import sys
from collections.abc import Sequence

from .commands import entry


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return entry.run("explain", argv)


if __name__ == "__main__":
    sys.exit(main())
