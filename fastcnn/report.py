"""Write a run down on one page to hand in: ``python -m fastcnn.report RUN --out report.html``.

What it does is in `fastcnn.commands.report`.
"""

import sys
from collections.abc import Sequence

from .commands import entry


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return entry.run("report", argv)


if __name__ == "__main__":
    sys.exit(main())
