"""Train a named network: ``python -m fastcnn.train --dataset mnist --model mnist-baseline``.

What it does is in `fastcnn.commands.train`.
"""

import sys
from collections.abc import Sequence

from .commands import entry


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return entry.run("train", argv)


if __name__ == "__main__":
    sys.exit(main())
