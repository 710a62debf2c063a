"""How long a run is: so many epochs, or so many minutes.

With a budget of time the clock decides: whatever speed the machine has at the moment, the schedule
is where the time is, and the last step is made while what follows it still fits in. The last epoch
may be a part of one, or a little more than one. Such a run is not the same to the bit when it is
repeated; its history says how many steps it has made.
"""

import dataclasses
import time
from collections.abc import Callable

from ..checks import is_number

_SMOOTH = 0.9  # of the mean duration of a step: what the newest does not replace
_LEAST_SHARE = 0.4  # of a processor that a thread gets, or so it is taken
_LEAST = 0.01  # of the whole time: no epoch is begun for less
_SHORT = 0.1  # epochs: a last stretch shorter than this is added to the epoch before it


@dataclasses.dataclass(frozen=True)
class Budget:
    """The time a run is given.

    Attributes
    ----------
    minutes : float
        From the start to the end, measuring included.
    started : float
        When they began, by `time.monotonic`.
    reserve : float
        Seconds of a processor that are needed after training.
    """

    minutes: float
    started: float = dataclasses.field(default_factory=lambda: clock()[0])
    reserve: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no time."""
        minutes = self.minutes
        if not is_number(minutes) or not 0 < minutes < float("inf"):
            raise ValueError(f"minutes must be a finite number above 0, got {minutes!r}")


def clock() -> tuple[float, float]:
    """Seconds that have gone by, and those that this thread has worked."""
    return time.monotonic(), time.thread_time()


class ByEpochs:
    """A run of so many epochs.

    Attributes
    ----------
    over : str
        Why it is over in the end.
    """

    over = "all epochs done"

    def __init__(self, count: int) -> None:
        self.count = count

    def epochs(self, done: float, steps: int) -> float:
        """Epochs of the whole run, of which so many are done, each of so many steps."""
        return self.count

    def shown(self, epoch: int, steps: int) -> int:
        """The same for a person."""
        return self.count

    def is_over(self, finished: int) -> bool:
        """Whether there is no other epoch after so many."""
        return finished >= self.count

    def begin_epoch(self) -> None:
        """What comes next is a step."""

    def ends_after_step(self) -> bool:
        """Told that a step is made; whether the epoch ends here."""
        return False

    def extends(self, steps: int) -> bool:
        """Whether an epoch of so many steps, all of them done, is to go on with others."""
        return False

    def end_epoch(self) -> None:
        """The epoch is measured and kept."""

    def row(self, steps: int) -> dict[str, float]:
        """What the history shall say of an epoch of so many steps."""
        return {}


class ByTime(ByEpochs):
    """A run with a budget.

    Parameters
    ----------
    budget : Budget
    spent : float
        Seconds that an earlier process has needed for the epochs that are finished.
    measuring : float
        Seconds from the last step of an epoch to its end, as far as they are known.
    batches : float
        How many training steps as long is what comes to it.
    clock : function, optional
        Seconds that have gone by, and those that this thread has worked.
    """

    over = "time is up"

    def __init__(
        self,
        budget: Budget,
        spent: float,
        measuring: float,
        batches: float,
        clock: Callable[[], tuple[float, float]] = clock,
    ) -> None:
        self._spent, self._clock = spent, clock
        self._first, self._worked = clock()
        self._last = self._first
        self._begun, self._least = budget.started - spent, _LEAST * 60 * budget.minutes
        self._end = budget.started + 60 * budget.minutes - spent
        self._reserve = budget.reserve
        self._step, self._count = 0.0, 0
        self._measuring, self._batches = measuring, batches

    @property
    def _after(self) -> float:
        return self._measuring + self._batches * self._step

    @property
    def _left(self) -> float:
        """Seconds for steps, were this epoch the last."""
        now, worked = self._clock()
        after = self._after
        if self._reserve:  # beside others it takes longer, by the share that this thread gets
            share = (worked - self._worked) / max(now - self._first, 1e-9)
            after += self._reserve / min(1.0, max(share, _LEAST_SHARE))
        return self._end - after - now

    def epochs(self, done: float, steps: int) -> float:
        """So many that the share of the epochs that are done is the share of the time."""
        over, left = self._spent + self._clock()[0] - self._first, self._left
        share = over / (over + left) if left > 0 else 1.0
        least = done + 1 / steps  # this step is a part of the run
        return max(least, done / max(share, 1e-9)) if done else least + 1

    def shown(self, epoch: int, steps: int) -> int:
        """As many as there will be at this speed."""
        return max(epoch, round(self.epochs(epoch - 1, steps)) if epoch > 1 else 1)

    def is_over(self, finished: int) -> bool:
        """Whether there is no time for another epoch, however short, and its measuring."""
        return finished > 0 and self._left < max(self._step / 2, self._least)

    def begin_epoch(self) -> None:
        """What comes next is a step."""
        self._last = self._clock()[0]

    def ends_after_step(self) -> bool:
        """Whether the next step would end too late by more than half of it."""
        now, worked = self._clock()
        duration, self._last = now - self._last, now
        self._count += 1
        if self._count == 1:  # it may have compiled, and says nothing
            self._first, self._worked = now, worked
        else:
            keep = _SMOOTH if self._count > 2 else 0.0
            self._step = keep * self._step + (1 - keep) * duration
        return self._left < self._step / 2

    def extends(self, steps: int) -> bool:
        """Whether after this epoch's measuring there would be no time for another worth it."""
        return self._left - self._after < max(_SHORT * steps, 1) * self._step

    def end_epoch(self) -> None:
        """Now it is known how long measuring takes."""
        self._measuring, self._batches = self._clock()[0] - self._last, 0

    def row(self, steps: int) -> dict[str, float]:
        """How many steps there were, and how much of the time is over."""
        return {"steps": steps, "elapsed": self._clock()[0] - self._begun}
