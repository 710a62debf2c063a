"""Options of ``python -m fastcnn.reproduce``.

Exit codes: 0 done, 1 a run or writing failed, 2 wrong options, missing data or no place for the
results, 130 or 143 interrupted by Ctrl-C or SIGTERM (the same command goes on where it stopped).
"""

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from .. import datasets
from ..checks import unknown
from ..comparing.children import RunError
from ..config import ConfigError
from ..files import make_folder, place
from ..reproduction import s1, s2, s3, s4, s5, targets
from ..reproduction.laboratory import FULL, QUICK, Laboratory
from ..reproduction.report import PAGES, Report, page_of, save_pictures
from ..reproduction.sections import Section, Table, counted
from ..terminal import one_line, say
from . import interrupt, options

_PROGRAM = "python -m fastcnn.reproduce"
_KEPT = Path("docs/reproduction/runs.jsonl")
TABLES = {
    table.name: table
    for module in (s1, s2, s3, s4, s5, targets)
    for table in module.TABLES
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Make the experiments of the five authors again, and a report that puts both side by side.

    Finished runs are kept in --out: the same command goes on where it was interrupted.

    Exit codes: 0 done, 1 a run failed, 2 cannot start, 130 Ctrl-C, 143 SIGTERM.
    """

    tables: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[S1|S1.2|...]")
    ] = ()
    """Systems (S1 to S5), single tables (S1.2) or targets; none: all of them."""
    out: Annotated[str, tyro.conf.arg(metavar="DIR")] = "reproduction"
    """Folder for runs, pictures, report.md and report.html."""
    quick: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Few images, few epochs, one seed: shows in minutes that everything works."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="N|None")] = None
    """Runs at a time. None: as many as cores."""
    data_dir: Annotated[str | None, tyro.conf.arg(metavar="DIR|None")] = None
    """Folder with mnist/ and cifar-10-batches-bin/. None: FASTCNN_DATA or the user's cache."""
    records: Annotated[str | None, tyro.conf.arg(metavar="FILE|None")] = None
    """What finished runs have measured. None: docs/reproduction/runs.jsonl where there is such a
    folder (not with --quick), else in --out."""
    note: Annotated[tuple[str, ...], tyro.conf.arg(metavar="TEXT ...")] = ()
    """Sentences for the head of the report: what is special about data or machine."""
    offline: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Never download."""
    list: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the names of the tables and stop."""


def chosen(names: Sequence[str]) -> list[Table]:
    """The tables that the names mean, in the order of the report.

    Raises
    ------
    ConfigError
        If there is no such system or table.
    """
    systems = dict.fromkeys(_system(name) for name in TABLES)
    for name in names:
        if name not in TABLES and name not in systems:
            raise ConfigError(unknown("table", name, tuple({**systems, **TABLES})))
    return [
        table
        for name, table in TABLES.items()
        if not names or name in names or _system(name) in names
    ]


def _system(table: str) -> str:
    return table.split(".")[0]


def main(argv: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    try:
        arguments = options.parse(Arguments(), options.spelled(Arguments, argv), _PROGRAM)
        tables = chosen(arguments.tables)
        if arguments.list:
            print("\n".join(f"{table.name:8} {table.title}" for table in tables))
            return 0
        if arguments.workers is not None and arguments.workers < 1:
            raise ConfigError(f"workers must be at least 1, got {arguments.workers}")
        lab = _laboratory(arguments)
        words = "interrupted; the same command goes on where it stopped"
        with interrupt.answered(words, lab.children.stop):
            reproduce(arguments, tables, lab, shlex.join(_PROGRAM.split() + list(argv)))
    except (OSError, RunError) as error:
        return options.refuse(error, 1)
    except ValueError as error:
        return options.refuse(error, 2)
    return 0


def _laboratory(arguments: Arguments) -> Laboratory:
    """Where the runs are made and kept."""
    out = place(arguments.out)
    make_folder(out)
    return Laboratory(
        out / "runs", QUICK if arguments.quick else FULL, arguments.data_dir, arguments.workers,
        offline=arguments.offline, records=_records(arguments),
        note=lambda note: say(note, sys.stderr),
    )  # fmt: skip


def _records(arguments: Arguments) -> Path | None:
    if arguments.records is not None:
        return place(arguments.records)
    if arguments.quick or not _KEPT.parent.is_dir():
        return None
    return _KEPT


def reproduce(arguments: Arguments, tables: Sequence[Table], lab: Laboratory, command: str) -> None:
    """Make the tables and write the report, anew after each of them."""
    out = place(arguments.out)
    needed = [experiment for table in tables for experiment in table.experiments]
    notes = dict.fromkeys(arguments.note)
    for name in sorted({experiment.settings()["dataset"] for experiment in needed}):
        data = datasets.load(name, arguments.data_dir, arguments.offline)
        notes.update(dict.fromkeys(data.notes))
    print(f"{counted(len(tables), 'table')}; runs are kept in {lab.folder}", flush=True)
    kept, wanted = lab.kept(needed)
    if kept:
        print(f"runs that are there from before: {kept} of {wanted}", flush=True)
    lab.train(needed)
    lab.time([experiment for table in tables for experiment in table.timed])
    sections: dict[Table, Section] = {}
    for table in tables:
        print(f"{table.name}: {table.title}", flush=True)
        section = table.make(lab)
        save_pictures(section, out)
        sections[table] = section if lab.scale.decides else section.undecided()
        for page in PAGES:
            part = {each: made for each, made in sections.items() if page == page_of(each)}
            if part:
                Report(command, lab.scale, part, list(notes), page).write(out)
    pages = dict.fromkeys(map(page_of, tables))
    files = " and ".join(str(out / f"{page}.{kind}") for page in pages for kind in ("md", "html"))
    print(f"report in {one_line(files)}", flush=True)
