"""Make the authors' experiments again: ``python -m fastcnn.reproduce S1 --out DIR``.

What it does is in `fastcnn.commands.reproduce`.
"""

import sys
from collections.abc import Sequence

from .commands import entry


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return entry.run("reproduce", argv)


if __name__ == "__main__":
    sys.exit(main())
