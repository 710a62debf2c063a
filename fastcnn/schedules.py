"""Learning rates that change with the epoch.

A schedule is a rule without memory: ``schedule.rate(lr, epoch, epochs)`` is the learning rate of
epoch number ``epoch`` (the first is 0) in a run of ``epochs``, where ``lr`` is the rate that the
optimizer was made with. Having no memory, it gives a resumed run the rates of an uninterrupted
one.

Example:
    >>> from fastcnn.schedules import StepDecay
    >>> [StepDecay(factor=0.5, every=10).rate(0.1, epoch, 30) for epoch in (0, 9, 10, 20)]
    [0.1, 0.1, 0.05, 0.025]
"""

import difflib
import math
from typing import Any


class Schedule:
    """What all schedules share. A new one needs `rate`, and `spec` if it takes arguments."""

    def rate(self, lr: float, epoch: int, epochs: int) -> float:
        """Learning rate of epoch ``epoch`` (0 to epochs - 1); ``lr`` is the optimizer's own."""
        raise NotImplementedError

    def spec(self) -> dict[str, Any]:
        """Type and arguments, as JSON can hold them."""
        return {"type": type(self).__name__, **vars(self)}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({arguments})"


class Constant(Schedule):
    """The same rate throughout."""

    def rate(self, lr: float, epoch: int, epochs: int) -> float:
        """``lr``."""
        return lr


class StepDecay(Schedule):
    """Multiplied by ``factor`` every ``every`` epochs: lr * factor^floor(epoch / every).

    Raises
    ------
    ValueError
        If the factor is not positive or ``every`` is not a whole number above 0.
    """

    def __init__(self, factor: float = 0.5, every: int = 10) -> None:
        _check_positive("factor", factor)
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"StepDecay: every must be a whole number above 0, got {every!r}")
        self.factor = factor
        self.every = every

    def rate(self, lr: float, epoch: int, epochs: int) -> float:
        """``lr * factor ** (epoch // every)``."""
        return lr * self.factor ** (epoch // self.every)


class ExponentialDecay(Schedule):
    """Multiplied by ``decay`` each epoch: lr * decay^epoch.

    Raises
    ------
    ValueError
        If the decay is not positive.
    """

    def __init__(self, decay: float = 0.95) -> None:
        _check_positive("decay", decay)
        self.decay = decay

    def rate(self, lr: float, epoch: int, epochs: int) -> float:
        """``lr * decay ** epoch``."""
        return lr * self.decay**epoch


class CosineAnnealing(Schedule):
    """Half a cosine from ``lr`` down to ``lr_min`` over the run, a new rate per epoch.

    lr_min + (lr - lr_min) * (1 + cos(pi * epoch / epochs)) / 2, after Loshchilov and Hutter,
    "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017), without restarts. The last
    epoch is one step short of ``lr_min``, so that no epoch is spent on a rate of zero.

    Raises
    ------
    ValueError
        If ``lr_min`` is negative.
    """

    def __init__(self, lr_min: float = 0.0) -> None:
        if not lr_min >= 0:
            raise ValueError(f"CosineAnnealing: lr_min must not be negative, got {lr_min!r}")
        self.lr_min = lr_min

    def rate(self, lr: float, epoch: int, epochs: int) -> float:
        """The formula above."""
        return self.lr_min + (lr - self.lr_min) * (1 + math.cos(math.pi * epoch / epochs)) / 2


class DecayAndHalve(Schedule):
    """Multiplied by ``decay`` each epoch, and halved at epochs 10, 20, 30, ... as well.

    The rule of the CIFAR-10 network `cifar-mlp`: in its loop the rate is halved when
    epoch >= 5 and epoch % 10 == 0, counting from 0.

    Raises
    ------
    ValueError
        If the decay is not positive.
    """

    def __init__(self, decay: float = 0.95) -> None:
        _check_positive("decay", decay)
        self.decay = decay

    def rate(self, lr: float, epoch: int, epochs: int) -> float:
        """``lr * decay ** epoch / 2 ** (epoch // 10)``."""
        return lr * self.decay**epoch / 2 ** (epoch // 10)


_NAMES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "step": StepDecay,
    "exponential": ExponentialDecay,
    "cosine": CosineAnnealing,
    "s5": DecayAndHalve,
}


def names() -> tuple[str, ...]:
    """Short names, as the command line has them."""
    return tuple(_NAMES)


def from_name(name: str, **arguments: Any) -> Schedule:
    """The schedule of that short name; ``arguments`` go to its class.

    Raises
    ------
    ValueError
        If there is no such schedule, or it refuses an argument's value.
    """
    if name not in _NAMES:
        near = difflib.get_close_matches(name, _NAMES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(_NAMES)}"
        raise ValueError(f"there is no schedule {name!r}; {hint}")
    return _NAMES[name](**arguments)


def _check_positive(name: str, value: float) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"the schedule's {name} must be a number above 0, got {value!r}")
