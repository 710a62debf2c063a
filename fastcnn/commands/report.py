"""Options of ``python -m fastcnn.report``: one page about runs, to hand in.

Exit codes: 0 written, 1 writing failed, 2 cannot be written about.
"""

import dataclasses
import shlex
from collections.abc import Sequence
from typing import Annotated

import tyro

from .. import files
from ..gallery.page import page
from ..runs.saved import Saved
from ..terminal import one_line
from . import interrupt, options

_PROGRAM = "python -m fastcnn.report"


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Write runs down on one page of HTML: settings, curves, tables, confusion, mistakes, filters.

    The page is one file with its pictures inside, and opens without a network.

    Exit codes: 0 written, 1 writing failed, 2 cannot be written about.
    """

    runs: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="RUN ...")]] = ()
    """Folders of training runs."""
    out: Annotated[str | None, tyro.conf.arg(metavar="FILE|None")] = None
    """The page. None: report.html in the folder of the first run."""


def main(argv: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    try:
        arguments = options.parse(Arguments(), options.spelled(Arguments, argv), _PROGRAM)
        if not arguments.runs:
            raise ValueError(f"about which run? name its folder: {_PROGRAM} runs/MODEL-DATASET")
        runs = [Saved(run) for run in arguments.runs]
        for run in runs:
            if not run.is_run:
                raise ValueError(
                    f"{run.path} is a model; a report is about runs: name their folders"
                )
        with interrupt.answered("interrupted; nothing was written"):
            path = options.output(arguments.out or runs[0].path / "report.html")
            text = page(runs, shlex.join([*_PROGRAM.split(), *argv]))
            # Names of files may hold bytes that are no text.
            files.write_text(path, text.encode(errors="backslashreplace").decode())
    except ValueError as error:
        return options.refuse(error, 2)
    except OSError as error:
        return options.refuse(error, 1)
    print(f"written: {one_line(path)}")
    return 0
