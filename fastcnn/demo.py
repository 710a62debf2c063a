"""Look at a trained network in the browser: ``python -m fastcnn.demo runs/mnist-baseline-mnist``.

What it does is in `fastcnn.commands.demo`.
"""

import sys
from collections.abc import Sequence

from .commands import entry


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return entry.run("demo", argv)


if __name__ == "__main__":
    sys.exit(main())
