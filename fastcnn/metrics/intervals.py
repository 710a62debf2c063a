"""A number and how sure of it one is: the interval that holds it with 95 %."""

import math
from dataclasses import dataclass

import numpy as np

_Z = 1.959963984540054  # 97.5 % of the normal law lie below
_PERCENTILES = (2.5, 97.5)

RESAMPLES = 1000
"""How often images are drawn anew for a bootstrap."""


@dataclass(frozen=True)
class Measured:
    """A number and the interval that holds it with 95 %.

    Examples
    --------
    >>> accuracy = wilson(right=9, count=10)
    >>> f"{accuracy.value:.0%}, with 95 % certainty {accuracy.low:.0%} to {accuracy.high:.0%}"
    '90%, with 95 % certainty 60% to 98%'
    """

    value: float
    low: float
    high: float


def wilson(right: float, count: float) -> Measured:
    """The share `right / count` with Wilson's interval; 0, and nothing known, of no images.

    Examples
    --------
    >>> round(wilson(right=0, count=100).high, 3)
    0.037
    """
    if count == 0:
        return Measured(0.0, 0.0, 1.0)
    share, factor = right / count, 1 + _Z**2 / count
    middle = (share + _Z**2 / (2 * count)) / factor
    half = _Z * math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2)) / factor
    # At the ends the interval is exactly 0 or 1; rounding may miss it.
    low = 0.0 if right == 0 else max(0.0, middle - half)
    return Measured(float(share), low, 1.0 if right == count else min(1.0, middle + half))


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and 0 where whole is 0."""
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)


def mean(values: np.ndarray) -> Measured:
    """The mean of numbers that are not negative, by the normal law."""
    middle = float(values.mean())
    half = _Z * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.inf
    return Measured(middle, max(0.0, middle - half), middle + half)


def percentiles(value: float, draws: np.ndarray) -> Measured:
    """A number with the percentiles of what other draws gave."""
    low, high = np.percentile(draws, _PERCENTILES)
    return Measured(float(value), float(low), float(high))
