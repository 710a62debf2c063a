"""Convert a network from one format to another: ``python -m fastcnn.convert run net.onnx``.

What it does is in `fastcnn.commands.convert`.
"""

import sys
from collections.abc import Sequence

from .commands import entry


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return entry.run("convert", argv)


if __name__ == "__main__":
    sys.exit(main())
