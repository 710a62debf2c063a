"""Learning rates by the epoch, compared with their formulas worked out by hand."""

import math

import pytest

from fastcnn import schedules
from fastcnn.schedules import (
    Constant,
    CosineAnnealing,
    DecayAndHalve,
    ExponentialDecay,
    Schedule,
    StepDecay,
)


def rates(schedule: Schedule, lr: float, epochs: int) -> list[float]:
    return [schedule.rate(lr, epoch, epochs) for epoch in range(epochs)]


def test_constant():
    assert rates(Constant(), 0.3, 3) == [0.3, 0.3, 0.3]


def test_step():
    assert rates(StepDecay(0.5, every=2), 0.8, 5) == [0.8, 0.8, 0.4, 0.4, 0.2]


def test_exponential():
    assert rates(ExponentialDecay(0.5), 0.8, 3) == [0.8, 0.4, 0.2]


def test_cosine():
    expected = [1.0, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]
    assert rates(CosineAnnealing(), 1.0, 4) == pytest.approx(expected)
    assert rates(CosineAnnealing(lr_min=0.2), 1.0, 2) == pytest.approx([1.0, 0.6])


def test_decay_and_halve():
    got = rates(DecayAndHalve(0.5), 1.0, 21)
    # Halved after 10 and after 20 epochs, not at epoch 0.
    assert got[0] == 1.0
    assert got[9] == 0.5**9
    assert got[10] == 0.5**10 / 2
    assert got[20] == 0.5**20 / 4


def test_named():
    assert schedules.names() == ("constant", "step", "exponential", "cosine", "s5")
    step = schedules.from_name("step", factor=0.1, every=3)
    assert step.spec() == {"type": "StepDecay", "factor": 0.1, "every": 3}
    assert repr(step) == "StepDecay(factor=0.1, every=3)"
    with pytest.raises(ValueError, match="did you mean 'cosine'"):
        schedules.from_name("cosin")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("step", {"factor": 0}),
        ("step", {"every": 0}),
        ("step", {"every": 1.5}),
        ("exponential", {"decay": -1}),
        ("s5", {"decay": math.nan}),
        ("cosine", {"lr_min": -0.1}),
    ],
)
def test_refused(name, arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        schedules.from_name(name, **arguments)
