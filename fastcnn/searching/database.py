"""The Optuna study that all workers of a search share, in any database that Optuna takes by URL."""

import contextlib
import functools
import importlib.util
import json
import os
import platform
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.exceptions import DuplicatedStudyError, OptunaError
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ..config import ConfigError
from .patience import Patience, PatientStorage, told_by
from .plan import Plan, from_file_tables
from .samplers import PlanSampler
from .slots import attempts

FILE = "search.db"
"""Name of the SQLite file in the folder of the results."""

WITHOUT_FILE = (
    "restore the file, or begin anew with another --out (or --storage); the networks of finished "
    "trials are still in the folder trials"
)
"""What to do about a database that is lost."""

_PLAN = "fastcnn"  # the study's attribute that holds the plan
_WAIT = 60  # seconds that SQLite waits for another process's transaction
_TRIES = 10
_BEGINNING = 5  # seconds between making a study and writing its plan, at most
_LIBPQ = ("psycopg", "psycopg2")
# Seconds, milliseconds: a machine that went without a word is noticed within a minute.
_NOTICED = {
    "connect_timeout": 10, "keepalives_idle": 20, "keepalives_interval": 10, "keepalives_count": 3,
    "tcp_user_timeout": 50_000,
}  # fmt: skip
_FIRST_JUDGED = 2  # epoch; after the first, luck counts for too much


def default_url(out: Path) -> str:
    """The SQLite file in the folder of the results."""
    return f"sqlite:///{(out / FILE).resolve().as_posix()}"


def connect(
    url: str, patience: Patience | None = None, *, at_once: bool = True
) -> optuna.storages.RDBStorage:
    """The database; its tables are made if they are missing.

    A server that goes away later is waited for.

    Optuna gives a waiting trial to whom first marks it as running, by reading its state and then
    writing it. SQLite lets two processes read before either writes, so that both would get the
    trial; here every transaction takes SQLite's write lock before it reads.

    Parameters
    ----------
    url : str
        Where it is.
    patience : Patience, optional
        How a server is waited for.
    at_once : bool
        Whether one that is away now is refused: its name may be wrong.

    Raises
    ------
    ConfigError
        If the database cannot be used.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    is_sqlite, patience = url.startswith("sqlite"), patience or Patience()
    for attempt in range(_TRIES):
        try:
            if is_sqlite:
                options: Any = {"connect_args": {"timeout": _WAIT}}
                storage = optuna.storages.RDBStorage(url, engine_kwargs=options)
            else:
                make = functools.partial(PatientStorage, *driven(url), patience)
                storage = make() if at_once else patience.through(make, lambda: None)[0]
            break
        except (SQLAlchemyError, ImportError, RuntimeError, ValueError) as error:
            # Two processes may be making the tables at the same moment.
            if attempt == _TRIES - 1 or not isinstance(error, DBAPIError):
                raise ConfigError(_refusal(url, error)) from None
            time.sleep(0.1)
    if is_sqlite:
        event.listen(storage.engine, "connect", _no_implicit_begin)
        event.listen(storage.engine, "begin", _begin_immediate)
        storage.engine.dispose()  # connections made before
    return storage


def driven(url: str) -> tuple[str, dict[str, Any]]:
    """The URL with a driver of PostgreSQL that is installed, and options for the connections."""
    found = sqlalchemy.make_url(url)
    if found.get_backend_name() not in ("postgresql", "postgres"):
        return url, {}
    if "+" not in found.drivername:
        driver = "psycopg2" if importlib.util.find_spec("psycopg2") else "psycopg"
        found = found.set(drivername=f"postgresql+{driver}")
    options = {}
    if found.get_driver_name() in _LIBPQ:
        options = {"connect_args": {**_NOTICED, "application_name": caller()}}
    return found.render_as_string(hide_password=False), options


def caller() -> str:
    """The name by which PostgreSQL knows the connections of this process."""
    return f"fastcnn {os.getpid()} on {platform.node()}"[:63]


@contextlib.contextmanager
def in_words(url: str) -> Iterator[None]:
    """Within this block, what the database refuses is an OSError with a sentence."""
    try:
        yield
    except (OptunaError, SQLAlchemyError) as error:
        raise OSError(_refusal(url, error)) from None


def _no_implicit_begin(connection: Any, _record: Any) -> None:
    connection.isolation_level = None


def _begin_immediate(connection: sqlalchemy.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _refusal(url: str, error: Exception) -> str:
    """Why the database cannot be used, without the password."""
    try:
        shown = sqlalchemy.make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return (
            "the database must be given as a URL such as sqlite:///search.db or "
            "postgresql://user@host/name"
        )
    cause = told_by(error)
    said = (str(cause).splitlines() or [type(cause).__name__])[0]
    if isinstance(cause, ModuleNotFoundError) and cause.name in _LIBPQ:
        said = "pip install '.[postgresql]' in the folder of the clone"
    sentence = f"the database {shown} cannot be used: {said}"
    if type(cause) is sqlite3.DatabaseError:  # what it has when the file itself is wrong
        sentence += f"; {WITHOUT_FILE}"
    return sentence


def join(storage: optuna.storages.RDBStorage, name: str, plan: Plan) -> optuna.Study:
    """The study of that name with this plan, new or as others have begun it.

    Raises
    ------
    ConfigError
        If there is a study of that name with another plan; says what differs.
    """
    options: Any = {
        "storage": storage,
        "study_name": name,
        "direction": "maximize" if plan.is_higher_better else "minimize",
        "sampler": PlanSampler(plan),
        "pruner": _pruner(plan.prune),
    }
    identity = json.loads(json.dumps(plan.identity()))
    try:
        study = optuna.create_study(**options)  # by one process only, whose plan it has
        study.set_user_attr(_PLAN, identity)
    except DuplicatedStudyError:
        study = optuna.create_study(**options, load_if_exists=True)
        if (theirs := _plan_of(study)) is None:
            if study.get_trials(deepcopy=False):
                raise ConfigError(
                    f"the study {name!r} in this database is none of fastcnn's: give --name"
                ) from None
            study.set_user_attr(_PLAN, identity)  # whoever made it stopped there
        elif theirs != identity:
            raise ConfigError(
                f"the search {name!r} was begun with other settings, "
                f"{_difference(theirs, identity)}: give another --out (in a shared database: and "
                f"--name), or the same settings"
            ) from None
    return study


def _plan_of(study: optuna.Study) -> dict[str, Any] | None:
    """The plan that a study was begun with; None if it has none.

    One that another process is just making is waited for. A plan is written before any trial, and
    trials are looked for before the plan: a study of ours that has trials is seen with its plan.
    """
    end = time.monotonic() + _BEGINNING
    while True:
        is_last = time.monotonic() > end  # before the look: this process may be held after it
        has_trials = bool(study.get_trials(deepcopy=False))
        plan = study.user_attrs.get(_PLAN)
        if plan is not None or has_trials or is_last:
            return plan
        time.sleep(0.05)


def absent(name: str, names: Sequence[str]) -> str:
    """The sentence about a search that a database does not have."""
    there = f"one of {', '.join(names)}" if names else "it has none"
    return f"the database has no search {name!r}: give --name, {there}"


def begun(url: str, name: str) -> dict[str, Any] | None:
    """Arguments for `plan.make` of the search that others have begun; None if it is not ours.

    Raises
    ------
    ConfigError
        If the database cannot be used, or holds no such search.
    """
    found = sqlalchemy.make_url(url)
    if found.get_backend_name() == "sqlite" and not Path(found.database or "").is_file():
        raise ConfigError(absent(name, []))  # it would be made
    storage = connect(url)
    names = optuna.get_all_study_names(storage)
    if name not in names:
        raise ConfigError(absent(name, names))
    study = optuna.load_study(study_name=name, storage=storage)
    tables = _plan_of(study)
    if tables is None:
        return None
    tables["search"].pop("order")
    told = from_file_tables(tables)
    if tables["search"]["method"] != "grid":
        told["trials"] = len(attempts(study.get_trials(deepcopy=False)))
    return told


def kept_in(out: Path) -> list[str]:
    """Names of the studies in a folder's own SQLite file; none where there is no such file.

    Raises
    ------
    ConfigError
        If the file cannot be used.
    OSError
        likewise.
    """
    if not (out / FILE).is_file():
        return []
    url = default_url(out)
    with in_words(url):
        return optuna.get_all_study_names(connect(url))


def _pruner(kind: str) -> optuna.pruners.BasePruner:
    if kind == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=_FIRST_JUDGED)
    if kind == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(_FIRST_JUDGED, reduction_factor=3)
    return optuna.pruners.NopPruner()


def _difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """The first setting that differs, in words."""
    one, other = _flat(theirs), _flat(ours)
    for name in {**one, **other}:
        if one.get(name) != other.get(name):
            there, here = (side.get(name, "not given") for side in (one, other))
            return f"{name} was {json.dumps(there)} and is {json.dumps(here)}"
    raise AssertionError("the plans do not differ")


def _flat(tables: dict[str, Any]) -> dict[str, Any]:
    flat = {}
    for name, value in tables.items():
        if isinstance(value, dict) and name != "space":
            flat |= _flat(value)
        elif name == "space":
            flat |= {f"the search over {axis}": values for axis, values in value.items()}
        else:
            flat[name] = value
    return flat
