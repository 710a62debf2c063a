"""Claims that hold, that do not, and that cannot be told; checked against hand calculation."""

import pytest

from fastcnn.comparing.evidence import Evidence
from fastcnn.reproduction.verdicts import (
    FAILS,
    HOLDS,
    OPEN,
    Sample,
    differs,
    outcome,
    stated,
)


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
    ("values", "theirs", "words"),
    [
        ([0.970, 0.971, 0.972], 0.881, "exceeded by 9.0 points"),
        ([0.970, 0.971, 0.972], 0.992, "missed by 2.1 points"),
        ([0.970, 0.971, 0.972], 0.970, "reached within the spread"),
        ([0.970, 0.971, 0.972], 0.972, "reached within the spread"),
        ([0.9], 0.89, "exceeded by 1.0 points"),
        ([0.9], 0.903, "reached within the spread"),
    ],
)
def test_what_became_of_a_figure(values: list[float], theirs: float, words: str) -> None:
    assert outcome(Sample(values, 10_000), theirs) == words


def test_differences_are_taken_seed_by_seed() -> None:
    """Means apart by less than the spread over seeds: told all the same, as each seed agrees."""
    less = Sample([0.95, 0.96, 0.97, 0.98], 10_000)
    more = Sample([0.951, 0.9612, 0.9711, 0.9811], 10_000)
    verdict = differs("it is more", Evidence(more.minus(less).values))
    assert verdict.word == HOLDS
    assert verdict.evidence == "difference +0.11 points, 4 seeds (95 %: +0.08 to +0.14)"
    assert differs("it is more", Evidence(less.minus(more).values)).word == FAILS
    shuffled = Sample([0.9711, 0.951, 0.9811, 0.9612], 10_000)
    undecided = differs("it is more", Evidence(shuffled.minus(less).values))
    assert undecided.word == OPEN
    assert "either way" in undecided.evidence


def test_a_claim_of_a_size_fails_where_the_size_is_excluded() -> None:
    """Though the direction is open; a difference that is there but smaller holds, and says so."""
    unsure = Evidence([0.001, -0.001, 0.0005, -0.0005, 0.0012, -0.0009, 0.0003, 0.0001])
    small = differs("it is more", unsure, said=0.6)
    assert small.word == FAILS and "if it is one, and not +0.6" in small.evidence
    assert differs("it is more", unsure, said=0.1).word == OPEN
    sure = Evidence([0.002, 0.0021, 0.0019, 0.002, 0.0022])
    assert differs("it is more", sure, said=0.6).word == HOLDS
    assert differs("it is more", sure, said=0.6).evidence.endswith(": less than +0.6")
    assert "less" not in differs("it is more", sure, said=0.2).evidence


def test_too_few_seeds_exclude_nothing() -> None:
    verdict = differs("it takes longer", Evidence([3.0, 5.0]), "epochs")
    assert (verdict.word, verdict.evidence) == (OPEN, "difference +4 epochs, 2 seeds")


def test_undecided_keeps_the_evidence() -> None:
    verdict = stated("it does", True, "so")
    assert (verdict.word, verdict.undecided().word) == (HOLDS, OPEN)
    assert verdict.undecided().evidence == "so"
