"""Options of ``python -m fastcnn.check``: a student's layers against gradients and our formulas.

Exit codes: 0 all is right, 1 a mistake was found, 2 something could not be checked.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from ..checking import check, source
from ..checks import unknown
from ..terminal import one_line
from . import interrupt, options

_PROGRAM = "python -m fastcnn.check"


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Check layers and losses of your own: forward against ours, backward against differences.

    Every class with a forward and a backward method is made with small settings and run. The report
    names the first wrong number and the probable cause. The file is run: what trains in it belongs
    under ``if __name__ == "__main__":``.

    Exit codes: 0 all is right, 1 a mistake was found, 2 something could not be checked.
    """

    files: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE.py")] = ()
    """Python files with layers."""
    only: Annotated[tuple[str, ...], tyro.conf.arg(metavar="CLASS")] = ()
    """Check only these classes. Default: all."""


def main(argv: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    try:
        arguments = options.parse(Arguments(), options.spelled(Arguments, argv), _PROGRAM)
        if not arguments.files:
            raise ValueError(f"which file holds the layers? {_PROGRAM} mylayers.py")
        with interrupt.answered("interrupted; what is printed is complete"):
            return max([_file(Path(name), arguments.only) for name in arguments.files], key=_worse)
    except (ValueError, OSError) as error:
        return options.refuse(error, 2)


def _worse(code: int) -> int:
    """A mistake tells more than a class that could not be checked."""
    return {0: 0, 2: 1, 1: 2}[code]


def _file(path: Path, only: tuple[str, ...]) -> int:
    """Check one file, and print what is found as it comes."""
    names, wrong, unchecked, right = [], 0, 0, 0
    for name, make in source.found(source.load(path)):
        names.append(name)
        if only and name not in only:
            continue
        result = check.of(make)
        if isinstance(result, str):
            words = f"{name}: not checked: {result}"
            network = source.is_network(name)
            unchecked += not network
            tail = "it looks like a network, and layers are checked one by one" if network else (
                f"write at the end of the file: def make(): return {name}(...), or return "
                f"{name}(...), x with an input that it takes")  # fmt: skip
            print(f"{words}\n  {tail}\n")
            continue
        wrong, right = wrong + (not result), right + bool(result)
        print(f"{result}\n", flush=True)
    for name in only:
        if name not in names:
            raise ValueError(unknown(f"layer in {path}", name, tuple(names)))
    parts = [f"{right} right", f"{wrong} with mistakes"]
    parts += [f"{unchecked} not checked"] if unchecked else []
    print(f"{one_line(path)}: {', '.join(parts)}")
    return 1 if wrong else 2 if unchecked or not right else 0
