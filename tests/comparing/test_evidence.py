"""Looking after every seed: how often equal settings are called different, and different ones not.

The simulations use the class itself, so that what is tested is what decides.
"""

import math

import numpy as np
import pytest

from fastcnn.comparing.evidence import Evidence, factor

LOOKS = 30  # seeds at most, as the command line has it


def first_decision(differences: np.ndarray, resolution: float = 0.0) -> int | None:
    """The number of seeds after which it is decided; None if it never is."""
    for count in range(2, len(differences) + 1):
        if Evidence(list(differences[:count]), resolution).is_decided:
            return count
    return None


def one_normal(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0.97, 0.002, LOOKS)


def one_of_few_images(rng: np.random.Generator) -> np.ndarray:
    return rng.binomial(100, 0.97, LOOKS) / 100


def one_that_sometimes_fails(rng: np.random.Generator) -> np.ndarray:
    return np.where(rng.random(LOOKS) < 0.3, 0.1, rng.normal(0.97, 0.002, LOOKS))


def one_with_heavy_tails(rng: np.random.Generator) -> np.ndarray:
    return 0.97 + 0.001 * rng.standard_t(2, LOOKS)


def one_skewed(rng: np.random.Generator) -> np.ndarray:
    return 0.97 - 0.002 * rng.exponential(size=LOOKS)


KINDS = [
    (one_normal, 0.0), (one_of_few_images, 0.01), (one_that_sometimes_fails, 1e-4),
    (one_with_heavy_tails, 0.0), (one_skewed, 0.0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "resolution"), KINDS, ids=lambda value: getattr(value, "__name__", "")
)
def test_equal_settings_are_rarely_called_different(kind, resolution) -> None:
    """Both sides have seeds of their own; 2,000 comparisons, looked at after every seed."""
    rng = np.random.default_rng(1)
    pairs = 2000
    called = sum(
        first_decision(kind(rng) - kind(rng), resolution) is not None for _ in range(pairs)
    )
    assert called <= 0.05 * pairs


def test_two_hundred_comparisons_of_a_setting_with_itself() -> None:
    rng = np.random.default_rng(7)
    decisions = [first_decision(one_normal(rng) - one_normal(rng)) for _ in range(200)]
    assert sum(decision is not None for decision in decisions) <= 12


def test_an_ordinary_interval_would_not_do() -> None:
    """The check can fail: Student's intervals, looked at after every seed, are wrong too often."""
    rng, called = np.random.default_rng(3), 0
    student = {count: 2.0 + 2.7 / (count - 1.3) for count in range(3, LOOKS + 1)}  # about t at 95 %
    for _ in range(500):
        d = one_normal(rng) - one_normal(rng)
        called += any(
            abs(d[:count].mean()) > student[count] * d[:count].std(ddof=1) / math.sqrt(count)
            for count in student
        )
    assert called > 0.1 * 500


def test_the_interval_holds_the_true_difference_at_all_times() -> None:
    rng, missed = np.random.default_rng(5), 0
    for _ in range(1000):
        differences = list(rng.normal(0.5, 1.0, LOOKS))
        for count in range(2, LOOKS + 1):
            low, high = Evidence(differences[:count]).interval
            if not low <= 0.5 <= high:
                missed += 1
                break
    assert missed <= 50


@pytest.mark.parametrize(("effect", "most"), [(5.0, 7), (2.0, 12), (1.2, 20)])
def test_different_settings_are_told_apart(effect: float, most: int) -> None:
    """Effect: difference over the deviation of the differences. Nine in ten are done by then."""
    rng = np.random.default_rng(2)
    decisions = [first_decision(rng.normal(effect, 1.0, LOOKS)) or 99 for _ in range(200)]
    assert sorted(decisions)[180] <= most
    assert min(decisions) >= 4


def test_the_factor_solves_its_equation() -> None:
    """At the edge of the interval the ratio of likelihoods is 20; from the docstring's formula."""
    for count in range(4, 40):
        t2 = count * factor(count) ** 2
        r, rest = 1 + 4 * count, count - 1
        ratio = r**-0.5 * ((1 + t2 / rest) / (1 + t2 / (rest * r))) ** (count / 2)
        assert ratio == pytest.approx(20)
    assert factor(2) == factor(3) == math.inf
    widths = [factor(count) for count in range(4, 100)]
    assert widths == sorted(widths, reverse=True)


def test_few_or_broken_seeds_decide_nothing() -> None:
    for differences in ([1.0], [1.0, 1.0, 1.0], [1.0, math.nan, 1.0, 1.0, 1.0, 1.0]):
        assert not Evidence(differences).is_decided
        assert Evidence(differences).half_width == math.inf


def test_equal_differences_are_known_no_better_than_an_image() -> None:
    same = [0.01] * 5
    assert Evidence(same).is_decided
    assert not Evidence(same, resolution=0.01).is_decided
    assert Evidence([0.0] * 9, 0.01).largest < 0.01
