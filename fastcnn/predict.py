"""Ask a trained network what pictures show: ``python -m fastcnn.predict RUN photo.jpg``.

What it does is in `fastcnn.commands.predict`.
"""

import sys
from collections.abc import Sequence

from .commands import entry


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return entry.run("predict", argv)


if __name__ == "__main__":
    sys.exit(main())
