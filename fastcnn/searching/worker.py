"""One process that trains trial after trial until none is left.

What a trial found is kept with it in the database and, with the trained network, in the folder
``trials/NUMBER`` of the search's folder. A trial that was interrupted leaves its checkpoint there,
and goes on from it when it is taken up again on the same machine.
"""

import contextlib
import csv
import dataclasses
import sys
import threading
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from ..config import Config, ConfigError, replace
from ..datasets.dataset import DataError
from ..files import PlaceError
from ..network.checkpoint import CheckpointError
from ..runs.folder import CHECKPOINT, remove_checkpoints
from ..runs.going_on import was_run_with
from ..runs.run import Run
from ..training.fit import TrainingDiverged
from ..training.progress import Progress
from . import database
from .owner import Heartbeat
from .patience import AwayError, Patience
from .plan import Plan
from .samplers import suggest
from .slots import REFUSED, Slots

RESULT = "result"
"""Attribute of a finished attempt: what it found."""

HOPELESS = "hopeless beside the others at the same epoch"
"""Reason of a trial that was ended early; the rule is the plan's."""

# What another try may not meet: a file that is missing, a full disk, too little memory.
_CHANCE = (CheckpointError, DataError, PlaceError, OSError, MemoryError)

_PAUSE = 0.5  # seconds until a worker with nothing to do looks again


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a search keeps things.

    Attributes
    ----------
    out : Path
        Folder of the results.
    url : str
        The database.
    name : str
        The study's name in it.
    """

    out: Path
    url: str
    name: str

    def folder(self, slot: int) -> Path:
        """Where a trial's run is kept."""
        return self.out / "trials" / f"{slot:04}"


def main(plan: Plan, place: Place, threads: int, parent: Connection) -> None:
    """What a worker process does; it stops early once the parent closes its end, or dies."""
    is_over = threading.Event()

    def wait_for_parent() -> None:
        with contextlib.suppress(EOFError, OSError):
            parent.recv()
        is_over.set()

    threading.Thread(target=wait_for_parent, daemon=True).start()
    try:
        with database.in_words(place.url):
            storage = database.connect(place.url, Patience(is_over.is_set), at_once=False)
            work(plan, database.join(storage, place.name, plan), place, threads, is_over)
    except AwayError:  # we were told to stop, and cannot tell anybody what becomes of the trial
        return
    except (ConfigError, *_CHANCE) as error:
        sys.exit(f"error: a worker of the search ends: {error or 'there is not enough memory'}")


def work(
    plan: Plan, study: optuna.Study, place: Place, threads: int, is_over: threading.Event
) -> None:
    """Train trials until all have a verdict, or `is_over` is set."""
    slots = Slots(study, plan.trials)
    while not is_over.is_set():
        trial = slots.claim()
        if trial is not None:
            _Attempt(plan, trial, slots, place, threads).run(is_over.is_set)
        elif slots.are_done():
            return
        else:  # others are at work; one of them may be killed
            is_over.wait(_PAUSE)


class _Reporter(Progress):
    """Tells the database the objective after each epoch, and learns whether to go on."""

    def __init__(self, trial: optuna.Trial, objective: str) -> None:
        self._trial = trial
        self._objective = objective
        self.is_hopeless = False

    def on_epoch_end(self, row: Mapping[str, float]) -> None:
        # Taken from us, then `Heartbeat` knows too; or told to stop while the database was away.
        with contextlib.suppress(UpdateFinishedTrialError, AwayError):
            self._trial.report(row[self._objective], int(row["epoch"]))
            self.is_hopeless = self._trial.should_prune()


class _Attempt:
    """One run of one trial."""

    def __init__(
        self, plan: Plan, trial: optuna.Trial, slots: Slots, place: Place, threads: int
    ) -> None:
        self._plan = plan
        self._trial = trial
        self._slots = slots
        self._folder = place.folder(trial.user_attrs["slot"])
        self._threads = threads

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Train, and leave a verdict, or (if it was stopped) none."""
        reporter = _Reporter(self._trial, self._plan.objective)
        with Heartbeat(self._trial) as heart:
            try:
                run = self._prepared(reporter)
                result = run.train(lambda: should_stop() or reporter.is_hopeless or heart.is_lost)
            except TrainingDiverged as error:
                self._finish(TrialState.PRUNED, {"reason": str(error)})
                return
            except _CHANCE:  # not the fault of the settings
                self._slots.give_back(self._trial.number)
                raise
            except ValueError as error:
                self._refuse(str(error))
                return
        if result["stopped_because"] != "interrupted":
            self._finish(TrialState.COMPLETE, result)
        elif reporter.is_hopeless:
            self._finish(TrialState.PRUNED, {**result, "reason": HOPELESS})
        else:
            self._slots.give_back(self._trial.number)

    def _prepared(self, reporter: Progress) -> Run:
        """The run, its data loaded and its kernels compiled."""
        settings = suggest(self._trial, self._plan)
        config = replace(self._plan.config(settings), {"threads": self._threads})
        options: Any = {"quiet": True, "progress": reporter, "pictures": False}
        if self._is_begun(config):
            with contextlib.suppress(ValueError):  # a checkpoint that cannot be used
                run = Run(config, self._folder, resume=True, **options)
                run.prepare()
                for row in run.resumed.rows():  # what the attempt before has told for itself
                    reporter.on_epoch_end(row)
                return run
        run = Run(config, self._folder, replace=True, **options)
        run.prepare()
        return run

    def _is_begun(self, config: Config) -> bool:
        """Whether the folder holds a checkpoint of this very trial."""
        return (self._folder / CHECKPOINT).is_file() and was_run_with(self._folder, config)

    def _finish(self, state: TrialState, result: Mapping[str, Any]) -> None:
        """Leave a verdict and what was found; the checkpoint is no longer needed."""
        rows = self._history()
        best = rows[result.get("best_epoch", 0) - 1] if result.get("best_epoch") else {}
        found = {
            "epochs_run": len(rows),
            "best_epoch": result.get("best_epoch"),
            "reason": result.get("reason", ""),
            "seconds": sum(row["seconds"] for row in rows),
            "train_accuracy": best.get("accuracy"),
            **{name: best.get(name) for name in _MEASURED},
        }
        try:
            self._trial.set_user_attr(RESULT, found)
            value = best.get(self._plan.objective) if state == TrialState.COMPLETE else None
            self._trial.study.tell(self._trial, value, state=state)
        except (ValueError, UpdateFinishedTrialError):
            return  # we were silent for too long, and another took the trial
        remove_checkpoints(self._folder)

    def _refuse(self, reason: str) -> None:
        """The settings do not go together, which no repetition will change."""
        with contextlib.suppress(UpdateFinishedTrialError):
            self._trial.set_user_attr(REFUSED, reason)
        self._slots.give_back(self._trial.number)

    def _history(self) -> list[dict[str, float]]:
        with open(self._folder / "history.csv", newline="") as file:
            return [
                {name: float(value) for name, value in row.items()} for row in csv.DictReader(file)
            ]


_MEASURED = ("val_accuracy", "val_loss", "test_accuracy", "test_loss")
