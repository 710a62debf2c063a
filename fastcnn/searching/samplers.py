"""Which values a trial gets: what the plan says for its number, or what the model of tpe proposes.

Every proposal has its own generator, keyed by the seed and the number of the trial. For grid and
random it depends on nothing else; tpe's also depends on which trials are finished at that moment,
so a tpe search repeats itself only with one worker.
"""

from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from ..random import key
from . import space
from .plan import Plan
from .space import Axis, Choice


class PlanSampler(optuna.samplers.BaseSampler):
    """Optuna's interface to `Plan.settings` and to the tree-structured Parzen estimator.

    Bergstra, Bardenet, Bengio, Kegl, "Algorithms for Hyper-Parameter Optimization" (2011).
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._axes = {axis.name: axis for axis in plan.axes}

    def _tpe(self, trial: FrozenTrial) -> optuna.samplers.TPESampler:
        seed = key(self._plan.seed, "tpe", _slot(trial)) % 2**32
        return optuna.samplers.TPESampler(seed=seed)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The axes that tpe decides about together."""
        if self._plan.method != "tpe":
            return {}
        return self._tpe(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """tpe's proposal; none before it has seen ten trials."""
        if self._plan.method != "tpe":
            return {}
        return self._tpe(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """What the plan says."""
        return encoded(self._plan.settings(_slot(trial))[param_name])


def _slot(trial: FrozenTrial) -> int:
    return trial.user_attrs.get("slot", trial.number)


def suggest(trial: optuna.Trial, plan: Plan) -> dict[str, Any]:
    """The settings of a trial; asked again, the same."""
    return {axis.name: _suggest(trial, axis) for axis in plan.axes}


def _suggest(trial: optuna.Trial, axis: Axis) -> Any:
    if isinstance(axis, Choice):
        chosen = trial.suggest_categorical(axis.name, [encoded(value) for value in axis.values])
        return decoded(axis, chosen)
    if axis.is_whole:
        return trial.suggest_int(axis.name, int(axis.low), int(axis.high), log=axis.log)
    return trial.suggest_float(axis.name, axis.low, axis.high, log=axis.log)


def decoded(axis: Axis, value: Any) -> Any:
    """A value from the database as the setting has it."""
    if isinstance(axis, Choice):
        return next(each for each in axis.values if encoded(each) == value)
    return value


def encoded(value: Any) -> Any:
    """A setting's value as Optuna can keep it: several numbers become a text."""
    return space.show(value) if isinstance(value, tuple) else value
