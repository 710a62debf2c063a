"""Which trial is whose: every trial of the plan is done exactly once, whoever is killed when.

Trial `slot` of the plan (from 0) is represented in the database by its attempts, each of which is
one of Optuna's trials: waiting, running, and finished with or without a verdict. An attempt whose
process was killed or interrupted has none; the next attempt, with the same settings, follows it.

Anybody may add an attempt that is missing. If two do, the one with the lower number counts, and
the other is never run. Databases hand out the numbers in the order in which the attempts become
visible, so all agree about which counts, without a lock that a killed process could leave behind.
"""

import contextlib
from collections.abc import Iterable

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from .owner import Watch, this_process

REFUSED = "refused"
"""Attribute of a failed attempt that must not be repeated: why."""


def attempts(trials: Iterable[FrozenTrial]) -> dict[int, list[FrozenTrial]]:
    """Slot -> its attempts that count, in order."""
    slots: dict[int, dict[int, FrozenTrial]] = {}
    for trial in sorted(trials, key=lambda trial: trial.number):
        if "slot" in trial.user_attrs:
            found = slots.setdefault(trial.user_attrs["slot"], {})
            found.setdefault(trial.user_attrs["attempt"], trial)
    return {slot: [found[each] for each in sorted(found)] for slot, found in slots.items()}


def has_verdict(attempt: FrozenTrial) -> bool:
    """Whether its slot is done."""
    if attempt.state == TrialState.FAIL:
        return REFUSED in attempt.user_attrs
    return attempt.state.is_finished()


class Slots:
    """The slots 0 to ``count`` - 1 of a study.

    Parameters
    ----------
    study : optuna.Study
        Shared by all workers.
    count : int
        Trials of the plan.
    watch : Watch, optional
        Who is dead.
    """

    def __init__(self, study: optuna.Study, count: int, watch: Watch | None = None) -> None:
        self._study = study
        self._count = count
        self._watch = watch or Watch()

    def attempts(self) -> dict[int, list[FrozenTrial]]:
        """Slot -> its attempts that count, as they are now."""
        found = attempts(self._study.get_trials(deepcopy=False))
        return {slot: tries for slot, tries in sorted(found.items()) if slot < self._count}

    def fill(self) -> None:
        """Add the first attempts that are missing."""
        known = self.attempts()
        for slot in range(self._count):
            if slot not in known:
                self._study.enqueue_trial({}, user_attrs={"slot": slot, "attempt": 0})

    def are_done(self) -> bool:
        """Whether every slot has a verdict."""
        known = self.attempts()
        return len(known) == self._count and all(has_verdict(tries[-1]) for tries in known.values())

    def claim(self) -> optuna.Trial | None:
        """An attempt that is now ours to run; None if there is nothing to run now."""
        self._repeat_the_lost()
        while any(tries[-1].state == TrialState.WAITING for tries in self.attempts().values()):
            trial = self._study.ask()
            if any(tries[-1].number == trial.number for tries in self.attempts().values()):
                trial.set_user_attr("owner", this_process())
                return trial
            # A second attempt of the same kind; or others were faster, and Optuna made a new one.
            self._study.tell(trial, state=TrialState.FAIL)
        return None

    def give_back(self, number: int) -> None:
        """End an attempt without a verdict."""
        with contextlib.suppress(ValueError, UpdateFinishedTrialError):  # somebody else did
            self._study.tell(number, state=TrialState.FAIL)

    def _repeat_the_lost(self) -> None:
        """Add an attempt to slots whose last one ended without a verdict."""
        for tries in self.attempts().values():
            last = tries[-1]
            is_running = last.state == TrialState.RUNNING
            if is_running and self._watch.is_dead(last.number, last.user_attrs):
                self.give_back(last.number)
        # Read again: whoever looked dead may just have finished, and ended.
        for slot, tries in self.attempts().items():
            last = tries[-1]
            if last.state == TrialState.FAIL and not has_verdict(last):
                attributes = {"slot": slot, "attempt": last.user_attrs["attempt"] + 1}
                self._study.enqueue_trial(last.params, user_attrs=attributes)
