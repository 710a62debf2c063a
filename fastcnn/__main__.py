"""``python -m fastcnn``: the commands there are."""

import sys
from collections.abc import Sequence

from .commands import entry

COMMANDS = {
    "train": "train a named network on images",
    "predict": "ask a trained network what pictures show",
    "evaluate": "measure how good a trained network is",
    "explain": "show what made one number of a network",
    "convert": "bring a network to and from other formats",
    "demo": "look at a trained network in the browser",
    "report": "write a run down on one page to hand in",
    "plot": "draw pictures of training runs or saved models",
    "search": "search for settings that make a network better",
    "compare": "find out which of two settings is better",
    "check": "find mistakes in layers of your own",
    "reproduce": "make the experiments of the five authors again",
}


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return entry.guarded(_list, argv)


def _list(argv: Sequence[str]) -> int:
    """List the commands."""
    wide = max(map(len, COMMANDS))
    lines = [f"  python -m fastcnn.{name:{wide}}  {about}" for name, about in COMMANDS.items()]
    told = "\n".join(["the commands, each with --help:", *lines])
    if not argv or argv[0] in ("-h", "--help"):
        print(told)
        return 0
    name = argv[0]
    hint = f"python -m fastcnn.{name}, with a dot" if name in COMMANDS else told
    print(f"error: {name} is not an option of python -m fastcnn; {hint}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
