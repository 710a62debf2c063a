"""Schedules that know beforehand what the rates will be."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..checks import above_0, at_least_0, flag, number, whole
from .base import Schedule


class StepDecay(Schedule):
    """Multiplied by ``factor`` every ``every`` epochs: lr * factor^floor(epoch / every).

    Raises
    ------
    ValueError
        If the factor is not positive or ``every`` is not a whole number above 0.

    Examples
    --------
    >>> [StepDecay(0.5, every=10).rate(0.1, epoch, 30) for epoch in (9, 10, 20)]
    [0.1, 0.05, 0.025]
    """

    def __init__(self, factor: float = 0.5, every: int = 10) -> None:
        self.factor = above_0("StepDecay", "factor", factor)
        self.every = whole("StepDecay", "every", every)

    def rate(self, lr: float, epoch: int, epochs: float) -> float:
        """``lr * factor ** (epoch // every)``."""
        return lr * self.factor ** (epoch // self.every)


class ExponentialDecay(Schedule):
    """Multiplied by ``decay`` each epoch: lr * decay^epoch.

    Raises
    ------
    ValueError
        If the decay is not positive.

    Examples
    --------
    >>> [ExponentialDecay(0.5).rate(0.8, epoch, 3) for epoch in range(3)]
    [0.8, 0.4, 0.2]
    """

    def __init__(self, decay: float = 0.95) -> None:
        self.decay = above_0(type(self).__name__, "decay", decay)

    def rate(self, lr: float, epoch: int, epochs: float) -> float:
        """``lr * decay ** epoch``."""
        return lr * self.decay**epoch


class CosineAnnealing(Schedule):
    """Half a cosine from ``lr`` down to ``lr_min`` over the run, a new rate per epoch or step.

    lr_min + (lr - lr_min) * (1 + cos(pi * epoch / epochs)) / 2, after Loshchilov and Hutter,
    "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017), without restarts. The last
    epoch is one step short of ``lr_min``, so that no epoch is spent on a rate of zero. With
    ``per_step`` the epoch is a fraction, 2.5 in the middle of the third.

    Raises
    ------
    ValueError
        If ``lr_min`` is negative.

    Examples
    --------
    >>> [round(CosineAnnealing().rate(0.1, epoch, 4), 4) for epoch in range(4)]
    [0.1, 0.0854, 0.05, 0.0146]
    """

    def __init__(self, lr_min: float = 0.0, per_step: bool = False) -> None:
        self.lr_min = at_least_0("CosineAnnealing", "lr_min", lr_min)
        self.per_step = flag("CosineAnnealing", "per_step", per_step)

    def rate(self, lr: float, epoch: float, epochs: float) -> float:
        """The formula above."""
        return self.lr_min + (lr - self.lr_min) * (1 + math.cos(math.pi * epoch / epochs)) / 2

    def step_rate(self, lr: float, epoch: int, epochs: float, step: int, steps: int) -> float:
        """The formula above, with the fraction if it is ``per_step``."""
        return self.rate(lr, epoch + step / steps if self.per_step else epoch, epochs)

    def by_step(self) -> "CosineAnnealing":
        """With ``per_step``."""
        return CosineAnnealing(self.lr_min, per_step=True)


class DecayAndHalve(Schedule):
    """Multiplied by ``decay`` each epoch, and halved at epochs 10, 20, 30, ... as well.

    The rule of the CIFAR-10 network `cifar-mlp`: in its loop the rate is halved when
    epoch >= 5 and epoch % 10 == 0, counting from 0.

    Raises
    ------
    ValueError
        If the decay is not positive.

    Examples
    --------
    >>> [DecayAndHalve(1.0).rate(0.8, epoch, 30) for epoch in (9, 10, 20)]
    [0.8, 0.4, 0.2]
    """

    def __init__(self, decay: float = 0.95) -> None:
        self.decay = above_0(type(self).__name__, "decay", decay)

    def rate(self, lr: float, epoch: int, epochs: float) -> float:
        """``lr * decay ** epoch / 2 ** (epoch // 10)``."""
        return lr * self.decay**epoch / 2 ** (epoch // 10)


class OneCycle(Schedule):
    """Up to ``lr`` and down to nearly nothing, a new rate per step, each way half a cosine.

    From lr / div_factor in the first step to lr after ``pct_start`` of all steps, and on to
    lr / div_factor / final_div_factor in the last. Smith and Topin, "Super-Convergence: Very Fast
    Training of Neural Networks Using Large Learning Rates" (2018), in the form of PyTorch's
    OneCycleLR. The momentum stays as it is: what of an optimizer would be cycled has another name
    in each, and the rate is what the method is about.

    Raises
    ------
    ValueError
        If ``pct_start`` is not between 0 and 1, or a factor not above 0.

    Examples
    --------
    >>> [round(OneCycle(pct_start=0.5).rate(1.0, step, 6), 4) for step in range(6)]
    [0.04, 0.52, 1.0, 0.75, 0.25, 0.0]
    """

    def __init__(
        self, pct_start: float = 0.3, div_factor: float = 25.0, final_div_factor: float = 1e4
    ) -> None:
        share = "a number between 0 and 1"
        self.pct_start = number("OneCycle", "pct_start", pct_start, math.nextafter(0, 1), 1, share)
        self.div_factor = above_0("OneCycle", "div_factor", div_factor)
        self.final_div_factor = above_0("OneCycle", "final_div_factor", final_div_factor)

    def rate(self, lr: float, epoch: int, epochs: float) -> float:
        """The rate if an epoch had a single step."""
        return self.step_rate(lr, epoch, epochs, 0, 1)

    def step_rate(self, lr: float, epoch: int, epochs: float, step: int, steps: int) -> float:
        """The cycle above."""
        now, last = epoch * steps + step, epochs * steps - 1
        highest = self.pct_start * epochs * steps - 1
        start = lr / self.div_factor
        if now < highest:
            return _half_cosine(start, lr, now / highest)
        return _half_cosine(lr, start / self.final_div_factor, (now - highest) / (last - highest))


class Warmup(Schedule):
    """Any schedule, its rates made smaller in the first epochs: gently into the first steps.

    During ``epochs`` epochs (2.5 is fine) the schedule's rate is multiplied by a factor that rises
    with every step, linearly from ``start`` to 1; from then on its rates are its own. Goyal et al.,
    "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour" (2017), section 2.2.

    Raises
    ------
    ValueError
        If ``epochs`` is not above 0, or ``start`` not between 0 and 1.

    Examples
    --------
    >>> schedule = Warmup(Constant(), epochs=2, start=0.2)
    >>> [round(schedule.step_rate(1.0, epoch, 3, 0, 2), 3) for epoch in range(3)]
    [0.2, 0.6, 1.0]
    """

    def __init__(self, schedule: Schedule, epochs: float = 1.0, start: float = 0.01) -> None:
        if not isinstance(schedule, Schedule):
            raise ValueError(
                f"Warmup: schedule must be a schedule, such as CosineAnnealing(), got {schedule!r}"
            )
        self.schedule = schedule
        self.epochs = above_0("Warmup", "epochs", epochs)
        share = "a number from 0 to 1"
        self.start = number("Warmup", "start", start, 0, math.nextafter(1, 2), share)

    def rate(self, lr: float, epoch: int, epochs: float) -> float:
        """The rate of the epoch's first step, if the schedule's own is per epoch."""
        return self.step_rate(lr, epoch, epochs, 0, 1)

    def step_rate(self, lr: float, epoch: int, epochs: float, step: int, steps: int) -> float:
        """The schedule's rate, or a part of it."""
        rate = self.schedule.step_rate(lr, epoch, epochs, step, steps)
        share = (epoch + step / steps) / self.epochs
        return rate * (self.start + (1 - self.start) * share) if share < 1 else rate

    def after(self, history: Mapping[str, Sequence[float]], begun: int = 0) -> Schedule:
        """Around what the schedule is then."""
        return Warmup(self.schedule.after(history, begun), self.epochs, self.start)

    def by_step(self) -> "Warmup":
        """Around such a schedule."""
        return Warmup(self.schedule.by_step(), self.epochs, self.start)

    def spec(self) -> dict[str, Any]:
        """Type and arguments, as JSON can hold them."""
        return {**super().spec(), "schedule": self.schedule.spec()}


def _half_cosine(start: float, end: float, share: float) -> float:
    """From ``start`` (share 0) to ``end`` (share 1)."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
