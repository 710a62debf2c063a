"""Which of two settings is better: ``python -m fastcnn.compare A.toml B.toml``.

What it does is in `fastcnn.commands.compare`.
"""

import sys
from collections.abc import Sequence

from .commands import entry


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return entry.run("compare", argv)


if __name__ == "__main__":
    sys.exit(main())
