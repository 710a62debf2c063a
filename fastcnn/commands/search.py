"""Options of ``python -m fastcnn.search``: reading them, running the search, exit codes.

What differs between trials is given by --search, what is the same for all by the options of
fastcnn.train; both may stand in a TOML file. Exit codes: 0 all trials are over, 1 they are not (a
worker could not go on) or results cannot be written, 2 the search cannot start, 130 or 143
interrupted by Ctrl-C or SIGTERM (the same command continues).
"""

import dataclasses
import importlib.util
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from .. import config as settings
from ..config import Config, ConfigError, presets
from ..files import place
from ..runs.folder import PLAN, holds_search
from ..searching import plan as plans
from ..searching import space
from ..searching.plan import Plan
from ..signals import exit_code
from ..terminal import say
from . import options
from .interrupt import Interrupt, answered

if TYPE_CHECKING:
    from ..searching.search import Search

_PROGRAM = "python -m fastcnn.search"

_Text = Annotated[str | None, tyro.conf.arg(metavar="TEXT|None")]


@dataclasses.dataclass(frozen=True)
class SearchOptions:
    """What is searched, how, and where results go."""

    search: Annotated[
        tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=VALUES")
    ] = ()
    """A setting and its values: lr=0.01,0.1 or filters=16+32,32+64 or dropout=0..1 or
    weight_decay=0.001..0.01:log. Once for each setting."""
    method: Annotated[
        Literal["grid", "random", "tpe"] | None, tyro.conf.arg(metavar="KIND|None")
    ] = None
    """grid: every combination once; random; tpe: learns from the trials before. None: grid if
    every setting has a list of values, else tpe."""
    trials: Annotated[int | None, tyro.conf.arg(metavar="N|None")] = None
    """How many, over all workers. None: 20; a grid has its own number."""
    objective: Literal["val_accuracy", "val_loss"] = "val_accuracy"
    """What is compared: the best epoch's, on the images held out by --validation."""
    prune: Annotated[
        Literal["none", "median", "halving"] | None, tyro.conf.arg(metavar="KIND|None")
    ] = None
    """End hopeless trials early: worse than the median, or successive halving. None: none for a
    grid, so that its table is complete, else median."""
    workers: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Processes that train at the same time, each with its share of the cores."""
    out: Annotated[str | None, tyro.conf.arg(metavar="DIR|None")] = None
    """Folder for the results. None: runs/search-MODEL. One with a search.toml needs no other
    options to be continued."""
    config: Annotated[str | None, tyro.conf.arg(metavar="FILE|None")] = None
    """TOML file with settings and a table [search], such as the search.toml of an earlier one."""
    storage: Annotated[str | None, tyro.conf.arg(metavar="URL|None")] = None
    """Database in which machines share the search. None: the SQLite file search.db in --out."""
    serve: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Keep the trials in a PostgreSQL server in --out that runs as long as the search, and print
    the command by which another machine joins."""
    name: _Text = None
    """Name of the search in the database. None: that of the only one in --out, or the name of the
    folder."""
    show: Annotated[str | None, tyro.conf.arg(metavar="DIR|None")] = None
    """Write table and pictures of the search in DIR as it stands, and run nothing."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print nothing but errors and notes, which go to standard error."""
    no_pictures: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write the table, and draw nothing (--show DIR draws later)."""


@dataclasses.dataclass(frozen=True)
class Arguments(Config):
    """Search for settings that make a network better.

    Options that are not searched are those of fastcnn.train, the same for all trials; their
    defaults are those of the model's preset. The same command joins a search that runs, and
    continues one that was ended or killed.

    Exit codes: 0 done, 1 not all trials done, 2 cannot start, 130 Ctrl-C, 143 SIGTERM.
    """

    run: SearchOptions = dataclasses.field(default_factory=SearchOptions)


def parse(argv: Sequence[str]) -> tuple[SearchOptions, Plan]:
    """What to search, and where results go.

    Raises
    ------
    ConfigError
        If something is unknown, has a wrong value or contradicts something else.
    SystemExit
        After --help.
    """
    argv = options.spelled(Arguments, argv)
    file = _file(argv)
    told: dict[str, Any] = {"axes": [], "fixed": {}}
    if file is not None:
        told = plans.read(file)
    elif not _is_given(argv, "search"):
        told = _told_by_others(argv) or told
    axes, fixed = told.pop("axes"), told.pop("fixed")
    for name in ("dataset", "model", "preset", "optimizer"):  # they decide what the defaults are
        value = options.given(argv, name)
        if value is not None:
            fixed[name] = value
    base = presets.configure(fixed)
    groups = {field.name: getattr(base, field.name) for field in dataclasses.fields(Config)}
    parsed = options.parse(Arguments(**groups), argv, _PROGRAM)
    searched = [space.from_text(text) for text in parsed.run.search]
    names = [axis.name for axis in searched]
    axes = [axis for axis in axes if axis.name not in names] + searched
    fixed = {name: value for name, value in fixed.items() if name not in names}
    values = settings.to_dict(parsed)
    fixed |= {name: values[name] for name in settings.names() if _is_given(argv, name)}
    for name in ("method", "trials", "objective", "prune"):
        if _is_given(argv, name):
            told[name] = getattr(parsed.run, name)
    return parsed.run, plans.make(fixed, axes, **told)


def _file(argv: Sequence[str]) -> str | None:
    """The TOML file to read: that of the user, or of the search to show or to continue."""
    file = options.given(argv, "config")
    folder = options.given(argv, "show")
    if folder is not None:
        return str(place(folder) / PLAN)
    folder = options.given(argv, "out")
    if file is None and folder is not None and not _is_given(argv, "search"):
        kept = place(folder) / PLAN
        return str(kept) if kept.is_file() else None
    return file


def _told_by_others(argv: Sequence[str]) -> dict[str, Any] | None:
    """Arguments of the plan with which others have begun the search that is named, if any."""
    url, name = options.given(argv, "storage"), options.given(argv, "name")
    if url is None or name is None:
        return None
    _require_optuna()
    from ..searching import database

    with database.in_words(url):
        return database.begun(url, name)


def _require_optuna() -> None:
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError(
            "a search needs Optuna: pip install '.[search]' in the folder of the clone"
        )


def _is_given(argv: Sequence[str], name: str) -> bool:
    """Whether an option is among the words."""
    words = {word.partition("=")[0] for word in argv}
    option = name.replace("_", "-")
    return not words.isdisjoint((f"--{option}", f"--no-{option}"))


def main(argv: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    interrupt, search = Interrupt(), None
    try:
        wanted, plan = parse(argv)
        search = _search(wanted, plan)
        with search.refusals_in_words():
            if wanted.show is not None:
                search.join()
            else:
                search.prepare()
    except (ValueError, OSError) as error:
        if search is not None:
            search.release()
        return options.refuse(error, 2)
    try:
        if wanted.serve and wanted.show is None and not wanted.quiet:
            say(f"another machine joins with: {_join(search)}")
        return _ended(wanted, search, interrupt)
    except (ValueError, OSError) as error:
        return options.refuse(error, 1)
    finally:
        search.release()


def _ended(wanted: SearchOptions, search: "Search", interrupt: Interrupt) -> int:
    """Run the search to its end, and tell about it; the exit code."""
    from ..searching.patience import AwayError

    again = _again(wanted, search.place.out)
    with answered(f"interrupted; to continue: {again}"), search.refusals_in_words():
        try:
            with interrupt.noted():
                done = wanted.show is not None or search.run(wanted.workers, interrupt)
            search.report(pictures=not wanted.no_pictures)
            has_result = any(trial.value is not None for trial in search.trials())
        except AwayError:
            if not interrupt():
                raise
            done = has_result = False
    if done and (has_result or wanted.show is not None):
        return 0
    if done:
        print("no trial came to a result; the last column says why", file=sys.stderr)
        return 1
    reason = "interrupted" if interrupt() else "the search ended before all trials were done"
    print(f"{reason}; to continue: {again}", file=sys.stderr)
    return 1 if interrupt.signal is None else exit_code(interrupt.signal)


def _search(wanted: SearchOptions, plan: Plan) -> "Search":
    """The search that the options describe, not yet begun.

    Raises
    ------
    ConfigError
        If Optuna is not installed, or an option does not fit.
    """
    _require_optuna()
    if wanted.workers < 1:
        raise ConfigError(f"workers must be at least 1, got {wanted.workers}")
    from ..searching import database, server
    from ..searching.search import Place, Search

    if wanted.serve and wanted.storage is not None:
        raise ConfigError("--serve starts a database and --storage names another: leave one out")
    model = plan.config(plan.settings(0)).model.model
    out = place(wanted.show or wanted.out or f"runs/search-{model}")
    is_begun = holds_search(out)
    served = out / server.FOLDER
    is_served = wanted.serve or (wanted.storage is None and server.is_kept_in(served))
    own = server.Server(served) if is_served else None
    is_elsewhere = own is not None or wanted.storage is not None
    names = [] if is_elsewhere else database.kept_in(out)
    if is_begun and not is_elsewhere and not names:
        raise ConfigError(
            f"the search in {out} has no trials in its {database.FILE}: give --storage if it was "
            f"begun with it, else {database.WITHOUT_FILE}"
        )
    if wanted.name is None and len(names) > 1:
        raise ConfigError(f"{out} holds several searches: give --name, one of {', '.join(names)}")
    name = wanted.name or (names[0] if names else out.resolve().name)
    url = own.url if own is not None else wanted.storage or database.default_url(out)
    return Search(plan, Place(out, url, name), server=own, quiet=wanted.quiet)


def _join(search: "Search") -> str:
    """The command by which another machine joins a search that is served."""
    place = search.place
    words = ["--storage", place.url, "--name", place.name, "--out", place.name]
    return f"{_PROGRAM} {shlex.join(words)}"


def _again(wanted: SearchOptions, out: Path) -> str:
    """The command that continues the search."""
    words = ["--out", str(out), "--workers", str(wanted.workers)]
    for name in ("storage", "name"):
        if getattr(wanted, name) is not None:
            words += [f"--{name}", getattr(wanted, name)]
    words += ["--serve"] * wanted.serve + ["--no-pictures"] * wanted.no_pictures
    return f"{_PROGRAM} {shlex.join(words)}"
