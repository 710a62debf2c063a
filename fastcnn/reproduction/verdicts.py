"""Whether a claim holds, from numbers with a spread.

A number measured with several seeds is their mean, give or take its standard error; one measured
with a single seed is taken to be uncertain by what a test set of its size can tell. A claim about a
difference gets seeds until they decide it (`fastcnn.comparing.evidence`), or are too many.
"""

import dataclasses
import math
import statistics
from collections.abc import Sequence

from ..comparing.evidence import Evidence

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


def outcome(sample: Sample, theirs: float) -> str:
    """What became of their accuracy (0 to 1), in words."""
    distance = sample.mean - theirs
    if not abs(distance) > sample.half_width:
        return "reached within the spread"
    points = f"{100 * abs(distance):.1f} points"
    return f"exceeded by {points}" if distance > 0 else f"missed by {points}"


def differs(
    claim: str, evidence: Evidence, unit: str = "points", said: float | None = None
) -> Verdict:
    """Whether one number is larger than another, from differences seed by seed.

    What stays undecided says how large the difference can still be at most. Where the claim says
    by how much (`said`, in the unit), a difference that may be none but is not so large does not
    hold either.
    """
    scale = 100 if unit == "points" else 1
    form = ".2f" if unit == "points" else ".3g"
    count, (low, high) = len(evidence.differences), (scale * end for end in evidence.interval)
    told = f"difference {scale * evidence.mean:+{form}} {unit}, {count} seeds"
    if evidence.is_decided:
        told += f" (95 %: {low:+{form}} to {high:+{form}})"
        if said is not None and 0 < high < said:
            told += f": less than {said:+g}"
        return Verdict(claim, HOLDS if evidence.mean > 0 else FAILS, told)
    if said is not None and high < said:
        told += f": at most {high:+{form}}, if it is one, and not {said:+g}"
        return Verdict(claim, FAILS, told)
    if math.isfinite(evidence.largest):
        told += f"; at most {scale * evidence.largest:{form}} either way"
    return Verdict(claim, OPEN, told)


def stated(claim: str, is_true: bool | None, evidence: str) -> Verdict:
    """A claim that is plainly so, or not; None: nothing can be said."""
    return Verdict(claim, OPEN if is_true is None else HOLDS if is_true else FAILS, evidence)
