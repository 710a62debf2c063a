"""Draw a picture of a saved model or run: ``python -m fastcnn.plot filters RUN``.

What it does is in `fastcnn.commands.plot`.
"""

import sys
from collections.abc import Sequence

from .commands import entry


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return entry.run("plot", argv)


if __name__ == "__main__":
    sys.exit(main())
