"""A database that is away: waited for, told once, given up when told to stop; without a server."""

import sqlite3
import types
from multiprocessing import Pipe

import pytest

optuna = pytest.importorskip("optuna", reason="a search needs Optuna: pip install '.[search]'")

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError  # noqa: E402
from optuna.storages import RDBStorage  # noqa: E402
from optuna.trial import TrialState  # noqa: E402
from sqlalchemy.exc import (  # noqa: E402
    InterfaceError,
    OperationalError,
    PendingRollbackError,
    ProgrammingError,
)

from fastcnn.config import ConfigError  # noqa: E402
from fastcnn.searching import database, owner, patience, server, worker  # noqa: E402
from fastcnn.searching.patience import AwayError, Patience, PatientStorage  # noqa: E402

GONE = OperationalError("", {}, OSError("connection refused\nIs the server running?"))


def inside(error: Exception) -> StorageInternalError:
    """As Optuna hands it on."""
    outer = StorageInternalError("An exception is raised during the commit.")
    outer.__cause__ = error
    return outer


class Server:
    """Answers after so many failures."""

    def __init__(self, *failures: Exception) -> None:
        self.failures, self.refreshed = list(failures), 0

    def ask(self) -> str:
        if self.failures:
            raise self.failures.pop(0)
        return "answer"

    def refresh(self) -> None:
        self.refreshed += 1


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Time that passes only where somebody sleeps."""
    now = [0.0]
    time = types.SimpleNamespace(
        monotonic=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds)
    )
    for module in (patience, owner):  # not `time` itself, which other threads look at
        monkeypatch.setattr(module, "time", time)
    return now


@pytest.mark.parametrize(
    "error",
    [
        GONE,
        inside(GONE),
        InterfaceError("", {}, OSError("closed")),
        PendingRollbackError("invalid"),
    ],
)
def test_what_is_away_is_asked_again_and_told_once(error):
    said: list[str] = []
    found = Server(*[error] * 9)
    assert Patience(tell=said.append).through(found.ask, found.refresh) == ("answer", True)
    assert found.refreshed == 9
    away, back = said
    assert away.startswith("the database is away (") and "\n" not in away
    assert back == "the database is back after 4 s"


def test_a_broken_connection_is_told_to_nobody():
    said: list[str] = []
    found = Server(GONE)
    assert Patience(tell=said.append).through(found.ask, found.refresh) == ("answer", True)
    assert Patience(tell=said.append).through(found.ask, found.refresh) == ("answer", False)
    assert said == []


@pytest.mark.parametrize("error", [ProgrammingError("", {}, OSError("no")), ValueError("no")])
def test_what_the_server_does_not_like_is_not_asked_again(error):
    found = Server(error)
    for raised in (error, inside(error)):
        found.failures = [raised]
        with pytest.raises(type(raised)):
            Patience().through(found.ask, found.refresh)
    assert found.refreshed == 0


def test_who_is_told_to_stop_waits_no_longer():
    found = Server(*[GONE] * 99)
    with pytest.raises(AwayError, match=r"^the database is away: connection refused$"):
        Patience(lambda: len(found.failures) < 95).through(found.ask, found.refresh)


def test_a_worker_whose_database_is_full_says_so(tmp_path, monkeypatch):
    """And not what Optuna takes to be usual."""

    def full(*_):
        raise inside(OperationalError("", {}, sqlite3.OperationalError("disk is full")))

    monkeypatch.setattr(worker, "work", full)
    monkeypatch.setattr(database, "join", full)
    here, there = Pipe(duplex=False)
    there.close()
    place = worker.Place(tmp_path, database.default_url(tmp_path), "it")
    with here, pytest.raises(SystemExit, match=r"the database sqlite:.*used: disk is full$"):
        worker.main(None, place, 1, here)  # type: ignore[arg-type]


def stored(tmp_path, **options) -> PatientStorage:
    return PatientStorage(database.default_url(tmp_path), {}, Patience(**options))


def test_every_call_of_a_study_waits(tmp_path, monkeypatch):
    """The storage's own code fails once at each call that reaches the database."""
    storage, calls = stored(tmp_path), []
    real = storage.scoped_session

    def session():
        calls.append(1)
        if len(calls) % 2:
            raise GONE
        return real()

    session.remove = real.remove  # type: ignore[attr-defined]
    storage.scoped_session = session  # type: ignore[assignment]
    study = optuna.create_study(storage=storage, study_name="it")
    study.set_user_attr("plan", 1)
    study.enqueue_trial({}, user_attrs={"slot": 0})
    trial = study.ask()
    trial.suggest_float("lr", 0, 1)
    trial.report(0.5, 1)
    trial.set_user_attr("beat", 1)
    assert not trial.should_prune()
    study.tell(trial, 0.5)
    assert optuna.get_all_study_names(storage) == ["it"]
    [kept] = study.get_trials()
    assert (kept.value, kept.user_attrs) == (0.5, {"slot": 0, "beat": 1})
    assert len(calls) > 20


def test_a_verdict_whose_answer_was_lost_is_ours(tmp_path, monkeypatch):
    storage = stored(tmp_path)
    study = optuna.create_study(storage=storage)
    real, lost = RDBStorage.set_trial_state_values, []

    def answer_lost(self, *arguments):
        found = real(self, *arguments)
        if not lost:
            lost.append(1)
            raise inside(GONE)
        return found

    trial = study.ask()
    monkeypatch.setattr(RDBStorage, "set_trial_state_values", answer_lost)
    study.tell(trial, 0.5)
    assert lost and study.trials[0].state == TrialState.COMPLETE
    with pytest.raises(UpdateFinishedTrialError):
        storage.set_trial_state_values(study.trials[0]._trial_id, TrialState.FAIL)


def test_nobody_dies_of_a_silence_in_which_nobody_listened(monkeypatch, clock):
    watch, attributes = owner.Watch(), {"owner": {"host": "x", "pid": 1, "started": "1"}, "beat": 1}
    assert not watch.is_dead(0, attributes)
    clock[0] += 3600  # the database was away
    assert not watch.is_dead(0, attributes)
    for _ in range(50):
        clock[0] += 1
        assert not watch.is_dead(0, attributes)
    clock[0] += 1
    assert watch.is_dead(0, attributes)


def test_drivers_and_what_is_missing(monkeypatch):
    url = "postgresql://someone:secret@host/name"
    found, options = database.driven(url)
    assert found in (f"postgresql+{name}://someone:secret@host/name" for name in database._LIBPQ)
    assert options["connect_args"]["connect_timeout"] == 10
    assert database.driven("postgres://host/name")[0] == found.replace("someone:secret@", "")
    assert database.driven("mysql+pymysql://host/name") == ("mysql+pymysql://host/name", {})
    error = ModuleNotFoundError("No module named 'psycopg'", name="psycopg")
    assert "pip install '.[postgresql]'" in database._refusal(url, error)
    monkeypatch.setattr(server, "programs", lambda: None)
    with pytest.raises(ConfigError, match="--serve needs PostgreSQL: apt install postgresql"):
        server.Server(tmp := database.Path("nowhere"))
    assert not tmp.exists()
