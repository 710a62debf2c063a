"""Learning rates that change with the epoch or with the step.

A schedule is a rule without memory: ``schedule.rate(lr, epoch, epochs)`` is the learning rate of
epoch number ``epoch`` (the first is 0) in a run of ``epochs``, where ``lr`` is the rate that the
optimizer was made with. Having no memory, it gives a resumed run the rates of an uninterrupted
one. `ReduceLROnPlateau` looks at the numbers of the epochs so far, which a resumed run has too.

Training asks for ``schedule.step_rate(lr, epoch, epochs, step, steps)`` at every step, the first of
``steps`` in the epoch being 0. It is the epoch's rate, but for `OneCycle`, `Warmup` and
``CosineAnnealing(per_step=True)``, which change within the epoch.

Examples
--------
>>> from fastcnn.schedules import StepDecay
>>> [StepDecay(factor=0.5, every=10).rate(0.1, epoch, 30) for epoch in (0, 9, 10, 20)]
[0.1, 0.1, 0.05, 0.025]
"""

from typing import Any

from ..checks import same, unknown
from .base import Constant, Schedule
from .plateau import ReduceLROnPlateau, gain
from .rules import CosineAnnealing, DecayAndHalve, ExponentialDecay, OneCycle, StepDecay, Warmup

__all__ = [
    "Constant",
    "CosineAnnealing",
    "DecayAndHalve",
    "ExponentialDecay",
    "OneCycle",
    "ReduceLROnPlateau",
    "Schedule",
    "StepDecay",
    "Warmup",
    "from_name",
    "gain",
    "names",
]

_NAMES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "step": StepDecay,
    "exponential": ExponentialDecay,
    "cosine": CosineAnnealing,
    "s5": DecayAndHalve,
    "onecycle": OneCycle,
    "plateau": ReduceLROnPlateau,
}


def names() -> tuple[str, ...]:
    """Short names, as the command line has them; `Warmup` needs another schedule and has none.

    Examples
    --------
    >>> names()
    ('constant', 'step', 'exponential', 'cosine', 's5', 'onecycle', 'plateau')
    """
    return tuple(_NAMES)


def from_name(name: str, **arguments: Any) -> Schedule:
    """The schedule of that short name; ``arguments`` go to its class.

    Raises
    ------
    ValueError
        If there is no such schedule, or it refuses an argument's value.

    Examples
    --------
    >>> from_name("step", every=5)
    StepDecay(factor=0.5, every=5)
    """
    known = same(name, names())
    if known is None:
        raise ValueError(unknown("schedule", name, names()))
    return _NAMES[known](**arguments)
