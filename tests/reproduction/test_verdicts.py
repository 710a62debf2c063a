"""Claims that hold, that do not, and that cannot be told; checked against hand calculation."""

import pytest

from fastcnn.reproduction.verdicts import FAILS, HOLDS, OPEN, Sample, exceeds, percent, reaches


def test_half_width_is_students_interval() -> None:
    # Deviation 0.001, three seeds: 4.30 * 0.001 / sqrt(3).
    sample = Sample([0.970, 0.971, 0.972], images=10_000)
    assert sample.mean == pytest.approx(0.971)
    assert sample.spread == pytest.approx(0.001)
    assert sample.half_width == pytest.approx(0.00248, abs=1e-5)


def test_half_width_of_one_seed_is_that_of_the_test_set() -> None:
    # 1.96 * sqrt(0.9 * 0.1 / 100)
    assert Sample([0.9], images=100).half_width == pytest.approx(0.0588)
    assert Sample([0.9]).half_width == 0


@pytest.mark.parametrize(
    ("values", "target", "word"),
    [
        ([0.970, 0.971, 0.972], 0.96, HOLDS),
        ([0.970, 0.971, 0.972], 0.98, FAILS),
        ([0.970, 0.971, 0.972], 0.970, OPEN),
        ([0.970, 0.971, 0.972], 0.972, OPEN),
        ([0.9], 0.89, HOLDS),
        ([0.9], 0.897, OPEN),
    ],
)
def test_reaches(values: list[float], target: float, word: str) -> None:
    assert reaches("it does", Sample(values, 10_000), target).word == word


def test_differences_are_taken_seed_by_seed() -> None:
    """Means apart by less than the spread over seeds: told all the same, as each seed agrees."""
    less = Sample([0.95, 0.96, 0.97], 10_000)
    more = Sample([0.951, 0.9612, 0.9711], 10_000)
    verdict = exceeds("it is more", more, less)
    assert verdict.word == HOLDS
    assert verdict.evidence == "difference +0.11 ± 0.02 points"
    assert exceeds("it is more", less, more).word == FAILS
    shuffled = Sample([0.9711, 0.951, 0.9612], 10_000)
    assert exceeds("it is more", shuffled, less).word == OPEN


def test_difference_of_single_seeds_has_the_error_of_both_test_sets() -> None:
    # Each give or take 1.96 * sqrt(0.25 / 10000) = 0.98 points; together 1.39.
    low, high = Sample([0.5], 10_000), Sample([0.513], 10_000)
    assert exceeds("it is more", high, low).word == OPEN
    assert exceeds("it is more", Sample([0.515], 10_000), low).word == HOLDS


def test_other_units() -> None:
    verdict = exceeds("it takes longer", Sample([3.0, 5.0]), Sample([1.0, 1.0]), "epochs")
    assert verdict.word == OPEN  # 12.71 * sqrt(2) / sqrt(2) = 12.7 epochs
    assert verdict.evidence == "difference +3 ± 13 epochs"


def test_percent() -> None:
    assert percent(Sample([0.98, 0.99])) == "98.50 % ± 0.71"
    assert percent(Sample([0.98])) == "98.00 %"


def test_undecided_keeps_the_evidence() -> None:
    verdict = reaches("it does", Sample([0.99], 100), 0.1)
    assert (verdict.word, verdict.undecided().word) == (HOLDS, OPEN)
    assert verdict.undecided().evidence == verdict.evidence
