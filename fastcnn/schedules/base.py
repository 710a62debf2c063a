"""What all schedules share."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..foreign import Answering


class Schedule(Answering):
    """What all schedules share. A new one needs `rate`; `step_rate`, if its rate is per step.

    Examples
    --------
    >>> class Inverse(Schedule):
    ...     def rate(self, lr, epoch, epochs):
    ...         return lr / (1 + epoch)
    >>> [Inverse().rate(0.1, epoch, 2) for epoch in range(2)]
    [0.1, 0.05]
    """

    def rate(self, lr: float, epoch: int, epochs: float) -> float:
        """Learning rate of epoch ``epoch`` (0 to epochs - 1); ``lr`` is the optimizer's own."""
        raise NotImplementedError

    def step_rate(self, lr: float, epoch: int, epochs: float, step: int, steps: int) -> float:
        """Learning rate of step ``step`` (0 to steps - 1) of that epoch."""
        return self.rate(lr, epoch, epochs)

    def after(self, history: Mapping[str, Sequence[float]], begun: int = 0) -> "Schedule":
        """The schedule of the next epoch: this one, unless it depends on what was measured.

        Parameters
        ----------
        history : mapping
            Column -> number of each finished epoch.
        begun : int
            How many of them were finished before there was this schedule.
        """
        return self

    def by_step(self) -> "Schedule":
        """The same over the run, with a new rate in every step: for runs that may end anywhere."""
        return self

    def spec(self) -> dict[str, Any]:
        """Type and arguments, as JSON can hold them."""
        return {"type": type(self).__name__, **vars(self)}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({arguments})"


class Constant(Schedule):
    """The same rate throughout.

    Examples
    --------
    >>> Constant().rate(0.1, epoch=9, epochs=10)
    0.1
    """

    def rate(self, lr: float, epoch: int, epochs: float) -> float:
        """``lr``."""
        return lr
