"""Measure a trained network: ``python -m fastcnn.evaluate runs/mnist-baseline-mnist``.

What it does is in `fastcnn.commands.evaluate`.
"""

import sys
from collections.abc import Sequence

from .commands import entry


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return entry.run("evaluate", argv)


if __name__ == "__main__":
    sys.exit(main())
