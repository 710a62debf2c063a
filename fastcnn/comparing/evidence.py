"""From differences, one for each seed, to a decision that may be looked for after every seed.

Whoever looks after every new seed whether an ordinary 95 % interval excludes zero, and stops when
it does, finds a difference between equal settings far more often than in 5 % of cases. The interval
here is a confidence sequence: it holds the true mean after *all* numbers of seeds at once in 95 %
of cases, so one may look, stop or go on as one likes.

The differences d[1] ... d[n] are taken as normal with unknown mean and deviation, their effect
(mean / deviation) before they were seen as normal with deviation sqrt(G). What the data says
against the mean m is then the ratio of likelihoods

    B = (1 + n G)^(-1/2) * ((1 + t^2 / (n - 1)) / (1 + t^2 / ((n - 1) (1 + n G))))^(n / 2)
    t = sqrt(n) * (mean(d) - m) / s

which is a martingale if m is true, whatever the deviation, and by Ville's inequality ever reaches
1 / 0.05 with a probability of at most 0.05 (Lai, "On Confidence Sequences", Annals of Statistics 4,
1976; Hendriksen, de Heide, Grünwald, "Optional Stopping with Bayes Factors", Bayesian Analysis 16,
2021; Wang, Ramdas, "Anytime-Valid t-Tests and Confidence Sequences for Gaussian Means with Unknown
Variance", 2023). The interval is all m with B below that. Differences of two *equal* settings are
symmetric about 0 even where they are not normal; the tests simulate such ones too.
"""

import dataclasses
import math
from collections.abc import Sequence

ERROR = 0.05
"""How often two equal settings may be called different."""

_G = 4.0  # variance of the effect: two deviations are an ordinary one. Decides from 4 seeds on


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Differences between two settings, one for each seed.

    Parameters
    ----------
    differences : sequence of float
        In the order in which they were measured.
    resolution : float
        The smallest step between two values, such as 1 / images of an accuracy: the spread of so
        few seeds is not taken to be smaller than that of rounding to it.
    """

    differences: Sequence[float]
    resolution: float = 0.0

    @property
    def mean(self) -> float:
        """Mean of the differences."""
        return math.fsum(self.differences) / len(self.differences)

    @property
    def half_width(self) -> float:
        """Half of the interval about the mean; infinite while the seeds are too few."""
        count, mean = len(self.differences), self.mean
        if not (math.isfinite(factor(count)) and all(map(math.isfinite, self.differences))):
            return math.inf
        variance = math.fsum((each - mean) ** 2 for each in self.differences) / (count - 1)
        variance = max(variance, self.resolution**2 / 2)
        return math.sqrt(variance) * factor(count)

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true difference is, whenever one looks."""
        return self.mean - self.half_width, self.mean + self.half_width

    @property
    def is_decided(self) -> bool:
        """Whether the settings differ: the interval excludes zero."""
        return abs(self.mean) > self.half_width

    @property
    def largest(self) -> float:
        """The largest difference, in either direction, that is not excluded."""
        return abs(self.mean) + self.half_width


def factor(count: int) -> float:
    """Half of the interval in deviations of the differences."""
    if count < 2:
        return math.inf
    ratio = 1 + count * _G
    bound = (ratio / ERROR**2) ** (1 / count)
    if bound >= ratio:
        return math.inf
    return math.sqrt((count - 1) / count * (bound - 1) / (1 - bound / ratio))
