"""A search from its plan to its results: starts the workers, tells what happens, writes the files.

    search.toml   the plan, usable as --config
    search.db     the trials (SQLite; with --storage they are elsewhere)
    trials/0007   trial 7: config.toml, history.csv, result.json, best.npz
    trials.csv    a row per trial
    best.toml     every setting of the best trial, for fastcnn.train --config
    *.png         pictures

The same search started again, also while it runs, also on another machine with the same database,
works on the same trials.
"""

import contextlib
import dataclasses
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from tqdm import tqdm

from kernels.cores import available_cores

from ..config.recipe import load_data, only_classes
from ..files import PlaceError, make_folder, write_text
from ..holding import Hold
from ..runs.folder import PLAN, holds_run, holds_search
from ..terminal import one_line, say
from . import database, results, worker
from .patience import Patience
from .plan import Plan
from .results import Trial
from .samplers import decoded
from .server import Server
from .slots import REFUSED, Slots, attempts, has_verdict
from .space import show
from .worker import Place

_PAUSE = 0.5  # seconds from one look at the trials to the next
_ROWS = 30  # of the table on the terminal


class Search:
    """One search, as one of perhaps several machines that work on it sees it.

    Parameters
    ----------
    plan : Plan
        What is searched.
    place : Place
        Where results are kept.
    server : Server, optional
        Holds the database; runs from `prepare` or `join` to `release`.
    quiet : bool
        Print nothing but notes, to standard error.
    """

    def __init__(
        self, plan: Plan, place: Place, *, server: Server | None = None, quiet: bool = False
    ) -> None:
        self.plan = plan
        self.place = place
        self._server = server
        self._quiet = quiet
        self._hold: Hold | None = None
        self._patience = Patience(tell=self._tell)
        self._is_done = False

    def _tell(self, line: str) -> None:
        tqdm.write(f"note: {one_line(line)}", file=sys.stderr)

    def refusals_in_words(self) -> AbstractContextManager[None]:
        """Within this block, what the database refuses is an OSError with a sentence."""
        return database.in_words(self.place.url)

    # --- before -------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Find every reason why the search cannot run; make the folder, the database, the trials.

        Raises
        ------
        ValueError
            In one sentence.
        """
        self._refuse_run()
        self._pin_dataset()
        make_folder(self.place.out)
        # Other searches share the folder; no run may begin in it.
        self._hold = Hold(self.place.out, (PLAN, *results.FILES), shared=True)
        self._refuse_run()
        storage = self._connect()
        names = optuna.get_all_study_names(storage)
        if holds_search(self.place.out) and self.place.name not in names:
            raise PlaceError(
                f"{self.place.out} holds another search, whose trials would be mixed with those of "
                f"{self.place.name!r}: give another --out, or the --name of that search"
            )
        self.study = database.join(storage, self.place.name, self.plan)
        Slots(self.study, self.plan.trials).fill()
        write_text(self.place.out / PLAN, self.plan.to_toml())

    def _connect(self) -> optuna.storages.RDBStorage:
        if self._server is not None:
            self._server.start()
        return database.connect(self.place.url, self._patience)

    def _refuse_run(self) -> None:
        if not holds_search(self.place.out) and holds_run(self.place.out):
            raise PlaceError(
                f"{self.place.out} holds a training run: give a folder of its own as --out"
            )

    def join(self) -> None:
        """Find the search as others have left it, to look at it.

        Raises
        ------
        ValueError
            If there is none.
        """
        storage = self._connect()
        names = optuna.get_all_study_names(storage)
        if self.place.name not in names:
            raise PlaceError(database.absent(self.place.name, names))
        self.study = database.join(storage, self.place.name, self.plan)

    def _pin_dataset(self) -> None:
        """Name the dataset that "auto" means here, and check the settings against it."""
        config = self.plan.config(self.plan.settings(0))
        only_classes(config, "a search")
        data = load_data(config)
        if all(axis.name != "dataset" for axis in self.plan.axes):
            fixed = {**self.plan.fixed, "dataset": data.name}
            self.plan = dataclasses.replace(self.plan, fixed=fixed)
        self.plan.check(data.x_train.shape[1:], data.class_names)
        for note in data.notes:
            self._tell(note)

    # --- while it runs ------------------------------------------------------------------------

    def run(self, workers: int, should_stop: Callable[[], bool]) -> bool:
        """Run trials until all are over; returns whether they are.

        Parameters
        ----------
        workers : int
            Processes to start, each with its share of the threads.
        should_stop : function
            Asked twice a second; True ends the workers after their batch.

        Raises
        ------
        AwayError
            If the database was away when that was so.
        """
        self._patience.should_stop = should_stop
        threads = self.plan.fixed.get("threads") or max(1, available_cores() // workers)
        before = self.trials()
        self._is_done = all(trial.is_over for trial in before)
        if self._is_done:
            return True
        if not self._quiet:
            say(_headline(self.plan, before, workers, threads))
        with _started(workers, self.plan, self.place, threads) as (processes, pipes):
            watcher = _Watcher(self.plan, before, self._quiet)
            with contextlib.closing(watcher):
                while any(process.is_alive() for process in processes):
                    if should_stop():
                        for pipe in pipes:
                            pipe.close()
                    # Without those that have ended, which would end the waiting at once.
                    wait([p.sentinel for p in processes if p.is_alive()], timeout=_PAUSE)
                    watcher.look(self.trials())
        _say_deaths(processes)
        self._is_done = all(trial.is_over for trial in self.trials())
        return self._is_done

    def report(self, pictures: bool = True) -> None:
        """Print the table, and write trials.csv, best.toml and, where wanted, the pictures.

        Raises
        ------
        OSError
            If they cannot be written.
        """
        trials = self.trials()
        if not self._quiet:
            print(results.table(trials, self.plan, _ROWS))
        results.write(self.place.out, trials, self.plan, pictures)
        if not self._quiet:
            print(f"results in {one_line(self.place.out)}")

    def release(self) -> None:
        """Let others have the folder; a server of our own ends."""
        if self._server is not None:
            self._server.stop(at_once=not self._is_done)
        if self._hold is not None:
            self._hold.release()

    def trials(self) -> list[Trial]:
        """The trials as they are now, in order."""
        return read(self.study, self.plan)


@contextlib.contextmanager
def _started(
    workers: int, plan: Plan, place: Place, threads: int
) -> Iterator[tuple[list[BaseProcess], list[Connection]]]:
    """Worker processes, and for each the end of a pipe whose closing makes it stop.

    It is closed too when this process is killed.
    """
    context = multiprocessing.get_context("spawn")  # a fork would inherit Numba's threads
    processes: list[BaseProcess] = []
    pipes: list[Connection] = []
    try:
        with _held_back():
            for _ in range(workers):
                theirs, ours = context.Pipe(duplex=False)
                process = context.Process(target=worker.main, args=(plan, place, threads, theirs))
                process.start()
                theirs.close()
                processes.append(process)
                pipes.append(ours)
        yield processes, pipes
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.join()


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """What a terminal sends to all its processes reaches us after this block, and none begun in it.

    Those are told by us.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # as it starts, it would let signals through again
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _say_deaths(processes: Sequence[BaseProcess]) -> None:
    """Name the workers that were killed: their trials have gone to others, or wait."""
    for process in processes:
        code = process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            print(f"note: a worker (process {process.pid}) was ended by {name}", file=sys.stderr)


class _Watcher:
    """Prints a line for each trial that is over, below them a bar with those that are running."""

    def __init__(self, plan: Plan, before: Sequence[Trial], quiet: bool) -> None:
        self._plan = plan
        self._quiet = quiet
        self._told = {trial.number for trial in before if trial.is_over}
        self._bar = tqdm(
            total=plan.trials,
            desc="trials",
            unit="trial",
            leave=False,
            disable=True if quiet else None,
            dynamic_ncols=True,
        )

    def look(self, trials: Sequence[Trial]) -> None:
        """Tell what is new."""
        best = results.best(trials, self._plan)
        for trial in trials:
            if trial.is_over and trial.number not in self._told:
                self._told.add(trial.number)
                self._print(describe(trial, self._plan) + ("; best so far" * (trial is best)))
        self._bar.n = len(self._told)
        running = [trial for trial in trials if trial.state == "running"]
        self._bar.set_postfix_str(", ".join(map(_now, running)), refresh=False)
        self._bar.refresh()

    def _print(self, line: str) -> None:
        if not self._quiet:
            with self._bar.external_write_mode(file=sys.stdout):
                say(line)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()


def _headline(plan: Plan, before: Sequence[Trial], workers: int, threads: int) -> str:
    """What is about to happen."""
    names = ", ".join(axis.name for axis in plan.axes)
    line = f"{plan.trials} trials, {plan.method} over {names}"
    over = sum(trial.is_over for trial in before)
    if over:
        line += f", {over} of them done before"
    several = "s" * (workers > 1)
    return f"{line}; {workers} worker{several} with {threads} thread{'s' * (threads > 1)} each"


def _now(trial: Trial) -> str:
    return f"{trial.number} in epoch {max(trial.history, default=0) + 1}"


def describe(trial: Trial, plan: Plan) -> str:
    """A trial that is over, in a line."""
    settings = ", ".join(f"{name} {show(value)}" for name, value in trial.settings.items())
    outcome = trial.state
    if trial.value is not None:
        outcome = f"{plan.objective} {trial.value:.4f}"
        if plan.objective == "val_accuracy":
            outcome = f"val acc {trial.value:.2%}"
    line = f"trial {trial.number}: {outcome} with {settings}"
    if trial.found:
        epochs = trial.found["epochs_run"]
        line += f" ({epochs} epoch{'s' * (epochs != 1)}, {trial.found['seconds']:.1f} s)"
    if trial.state in ("diverged", "refused"):
        line += f": {trial.reason}"
    return line


# --- from Optuna's trials to ours ---------------------------------------------------------------


def read(study: optuna.Study, plan: Plan) -> list[Trial]:
    """The trials of the plan, in order, as they are now."""
    found = attempts(study.get_trials(deepcopy=False))
    return [_trial(slot, found.get(slot, []), plan) for slot in range(plan.trials)]


def _trial(slot: int, tries: Sequence[FrozenTrial], plan: Plan) -> Trial:
    if not tries:
        return Trial(slot, {}, "waiting")
    last = tries[-1]
    params: Mapping[str, Any] = last.params
    settings = {
        axis.name: decoded(axis, params[axis.name]) for axis in plan.axes if axis.name in params
    }
    found = dict(last.user_attrs.get(worker.RESULT, {})) if has_verdict(last) else {}
    reason = found.pop("reason", "") or last.user_attrs.get(REFUSED, "")
    begun = sum(1 for each in tries if each.state != TrialState.WAITING)
    state, value = _state(last, reason), None
    if state == "done":
        value = found[plan.objective]
    return Trial(
        slot,
        settings if len(settings) == len(plan.axes) else {},
        state,
        value,
        found,
        reason,
        begun,
        dict(last.intermediate_values),
    )


def _state(attempt: FrozenTrial, reason: str) -> results.State:
    if attempt.state == TrialState.COMPLETE:
        return "done"
    if attempt.state == TrialState.PRUNED:
        return "pruned" if reason == worker.HOPELESS else "diverged"
    if attempt.state == TrialState.RUNNING:
        return "running"
    return "refused" if has_verdict(attempt) else "waiting"
