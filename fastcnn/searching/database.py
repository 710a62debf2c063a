"""The Optuna study that all workers of a search share, in any database that Optuna takes by URL."""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.exceptions import OptunaError
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ..config import ConfigError
from .plan import Plan
from .samplers import PlanSampler

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
_FIRST_JUDGED = 2  # epoch; after the first, luck counts for too much


def default_url(out: Path) -> str:
    """The SQLite file in the folder of the results."""
    return f"sqlite:///{(out / FILE).resolve().as_posix()}"


def connect(url: str) -> optuna.storages.RDBStorage:
    """The database; its tables are made if they are missing.

    Optuna gives a waiting trial to whom first marks it as running, by reading its state and then
    writing it. SQLite lets two processes read before either writes, so that both would get the
    trial; here every transaction takes SQLite's write lock before it reads.

    Raises
    ------
    ConfigError
        If the database cannot be used.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    is_sqlite = url.startswith("sqlite")
    engine_kwargs = {"connect_args": {"timeout": _WAIT}} if is_sqlite else {}
    for attempt in range(_TRIES):
        try:
            storage = optuna.storages.RDBStorage(url, engine_kwargs=engine_kwargs)
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
    cause: BaseException = error
    if isinstance(cause, OptunaError):
        cause = cause.__cause__ or cause
    cause = getattr(cause, "orig", None) or cause.__cause__ or cause
    lines = str(cause).splitlines() or [type(cause).__name__]
    sentence = f"the database {shown} cannot be used: {lines[0]}"
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
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        direction="maximize" if plan.is_higher_better else "minimize",
        sampler=PlanSampler(plan),
        pruner=_pruner(plan.prune),
        load_if_exists=True,
    )
    identity = json.loads(json.dumps(plan.identity()))
    theirs = study.user_attrs.get(_PLAN)
    if theirs is None and not study.get_trials(deepcopy=False):
        study.set_user_attr(_PLAN, identity)
    elif theirs is None:
        raise ConfigError(f"the study {name!r} in this database is none of fastcnn's: give --name")
    elif theirs != identity:
        raise ConfigError(
            f"the search {name!r} was begun with other settings, {_difference(theirs, identity)}: "
            f"give another --out (in a shared database: and --name), or the same settings"
        )
    return study


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
