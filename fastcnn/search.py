"""Search for good settings: ``python -m fastcnn.search --model cifar-mlp --search lr=0.005,0.01``.

What it does is in `fastcnn.commands.search`.
"""

import sys
from collections.abc import Sequence

from .commands import entry


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return entry.run("search", argv)


if __name__ == "__main__":
    sys.exit(main())
