"""Whether a claim holds, from numbers with a spread.

A number measured with several seeds is their mean, give or take its standard error; one measured
with a single seed is taken to be uncertain by what a test set of its size can tell. A claim
holds, or does not, if it does so on both ends of the 95 % interval; else it cannot be told.
"""

import dataclasses
import math
import statistics
from collections.abc import Sequence

HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot be told"

# Student's t, two-sided 95 %, by degrees of freedom (any table of the distribution).
_T95 = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26}
_NORMAL95 = 1.96


@dataclasses.dataclass(frozen=True)
class Sample:
    """One quantity, measured once for each seed."""

    values: Sequence[float]
    images: int | None = None
    """If the values are accuracies (0 to 1): how many images they were measured on."""

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float:
        """Standard deviation over the seeds; 0 for one."""
        return statistics.stdev(self.values) if len(self.values) > 1 else 0.0

    @property
    def half_width(self) -> float:
        """Half of the 95 % interval of the mean."""
        count = len(self.values)
        if count > 1:
            return _T95.get(count - 1, _NORMAL95) * self.spread / math.sqrt(count)
        if self.images:
            share = min(max(self.mean, 0.0), 1.0)
            return _NORMAL95 * math.sqrt(share * (1 - share) / self.images)
        return 0.0

    def minus(self, other: "Sample") -> "Sample":
        """Differences seed by seed: what both owe to a seed falls out."""
        pairs = zip(self.values, other.values, strict=False)
        return Sample([mine - its for mine, its in pairs], self.images)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What came of a claim."""

    claim: str
    word: str
    """`HOLDS`, `FAILS` or `OPEN`."""
    evidence: str

    def undecided(self) -> "Verdict":
        """The same where the numbers are too few to decide anything."""
        return dataclasses.replace(self, word=OPEN)


def reaches(claim: str, sample: Sample, target: float) -> Verdict:
    """Whether an accuracy (0 to 1) is at least `target`."""
    distance = sample.mean - target
    told = f"ours {percent(sample)}, {abs(distance) * 100:.2f} points "
    told += "above" if distance >= 0 else "below"
    return Verdict(claim, _word(distance, sample.half_width), told)


def exceeds(claim: str, more: Sample, less: Sample, unit: str = "points") -> Verdict:
    """Whether one quantity is larger than another, seed by seed."""
    difference = more.minus(less)
    if unit == "points":
        told = f"difference {100 * difference.mean:+.2f} ± {100 * difference.half_width:.2f} points"
    else:
        told = f"difference {difference.mean:+.3g} ± {difference.half_width:.2g} {unit}"
    half_width = difference.half_width
    if len(difference.values) == 1 and difference.images:
        half_width = math.hypot(more.half_width, less.half_width)
        told = f"difference {100 * difference.mean:+.2f} ± {100 * half_width:.2f} points"
    return Verdict(claim, _word(difference.mean, half_width), told)


def stated(claim: str, is_true: bool | None, evidence: str) -> Verdict:
    """A claim that is plainly so, or not; None: nothing can be said."""
    return Verdict(claim, OPEN if is_true is None else HOLDS if is_true else FAILS, evidence)


def percent(sample: Sample) -> str:
    """Mean and spread of an accuracy, in percent."""
    text = f"{100 * sample.mean:.2f} %"
    return f"{text} ± {100 * sample.spread:.2f}" if len(sample.values) > 1 else text


def _word(distance: float, half_width: float) -> str:
    if not abs(distance) > half_width:  # also where one is not a number
        return OPEN
    return HOLDS if distance > 0 else FAILS
