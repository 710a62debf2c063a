"""Learning rates by epoch and by step, compared with their formulas worked out by hand."""

import math

import pytest

from fastcnn import schedules
from fastcnn.schedules import (
    Constant,
    CosineAnnealing,
    DecayAndHalve,
    ExponentialDecay,
    OneCycle,
    ReduceLROnPlateau,
    Schedule,
    StepDecay,
    Warmup,
    gain,
)


def rates(schedule: Schedule, lr: float, epochs: int) -> list[float]:
    return [schedule.rate(lr, epoch, epochs) for epoch in range(epochs)]


def step_rates(schedule: Schedule, lr: float, epochs: int, steps: int) -> list[float]:
    return [
        schedule.step_rate(lr, epoch, epochs, step, steps)
        for epoch in range(epochs)
        for step in range(steps)
    ]


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


@pytest.mark.parametrize(
    "schedule",
    [Constant(), StepDecay(0.3, 2), ExponentialDecay(0.9), CosineAnnealing(0.01), DecayAndHalve()],
    ids=repr,
)
def test_rates_by_the_epoch_are_the_same_bits_in_every_step(schedule: Schedule):
    by_epoch = rates(schedule, 0.123, 12)
    assert step_rates(schedule, 0.123, 12, 5) == [rate for rate in by_epoch for _ in range(5)]


def test_cosine_per_step():
    schedule = CosineAnnealing(lr_min=0.2, per_step=True)
    expected = [0.2 + 0.4 * (1 + math.cos(math.pi * step / 12)) for step in range(12)]
    assert step_rates(schedule, 1.0, 3, 4) == pytest.approx(expected, rel=1e-14)
    # Each epoch begins with the rate that it has as a whole otherwise.
    assert step_rates(schedule, 1.0, 3, 4)[::4] == rates(CosineAnnealing(lr_min=0.2), 1.0, 3)


def test_one_cycle():
    schedule = OneCycle(pct_start=0.5, div_factor=10, final_div_factor=10)
    up, down = [0.1, 0.325, 0.775, 1.0], [1.0, 0.01]
    got = step_rates(schedule, 1.0, 2, 4)
    assert got[:4] == pytest.approx(up)
    assert [got[3], got[7]] == pytest.approx(down)
    assert got[5] == pytest.approx(0.505)
    assert rates(schedule, 1.0, 8) == got  # as if each epoch had one step


@pytest.mark.parametrize(("epochs", "steps"), [(1, 10), (4, 25), (3, 1), (1, 2), (1, 1)])
@pytest.mark.parametrize("options", [(), (0.45, 8.0, 50.0), (0.07, 3.0, 1.0)])
def test_one_cycle_is_that_of_pytorch(epochs: int, steps: int, options: tuple[float, ...]):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    names = ("pct_start", "div_factor", "final_div_factor")
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.3, total_steps=epochs * steps, cycle_momentum=False,
        **dict(zip(names, options, strict=False)),
    )  # fmt: skip
    expected = []
    for number in range(epochs * steps):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if number + 1 < epochs * steps:
            theirs.step()
    assert step_rates(OneCycle(*options), 0.3, epochs, steps) == pytest.approx(expected, rel=1e-14)


def test_warmup():
    got = step_rates(Warmup(Constant(), epochs=1.5, start=0.25), 0.8, 3, 2)
    assert got == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])
    assert rates(Warmup(Constant(), epochs=2, start=0.0), 0.8, 4) == [0.0, 0.4, 0.8, 0.8]


@pytest.mark.parametrize("schedule", [CosineAnnealing(per_step=True), StepDecay(0.5, 2)], ids=repr)
def test_after_the_warmup_the_schedule_is_alone(schedule: Schedule):
    alone = step_rates(schedule, 0.3, 6, 7)
    got = step_rates(Warmup(schedule, epochs=2), 0.3, 6, 7)
    assert got[14:] == alone[14:]
    factors = [0.01 + 0.99 * step / 14 for step in range(14)]
    assert got[:14] == pytest.approx([f * r for f, r in zip(factors, alone, strict=False)])


def test_warmup_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    theirs = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=10)
    expected = []
    for _ in range(15):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    got = step_rates(Warmup(Constant(), epochs=2, start=0.1), 0.3, 3, 5)
    assert got == pytest.approx(expected, rel=1e-13)


def test_a_schedule_of_ones_own_needs_no_more_than_rate():
    class Half(Schedule):
        def rate(self, lr: float, epoch: int, epochs: int) -> float:
            return lr / 2

    assert step_rates(Half(), 1.0, 1, 2) == [0.5, 0.5]
    assert step_rates(Warmup(Half(), start=0.5), 1.0, 1, 2) == [0.25, 0.375]


def test_decay_and_halve():
    got = rates(DecayAndHalve(0.5), 1.0, 21)
    # Halved after 10 and after 20 epochs, not at epoch 0.
    assert got[0] == 1.0
    assert got[9] == 0.5**9
    assert got[10] == 0.5**10 / 2
    assert got[20] == 0.5**20 / 4


def test_named():
    assert schedules.names() == (
        "constant", "step", "exponential", "cosine", "s5", "onecycle", "plateau"
    )  # fmt: skip
    step = schedules.from_name("step", factor=0.1, every=3)
    assert step.spec() == {"type": "StepDecay", "factor": 0.1, "every": 3}
    assert repr(step) == "StepDecay(factor=0.1, every=3)"
    warmup = Warmup(CosineAnnealing(per_step=True), 2)
    inner = {"type": "CosineAnnealing", "lr_min": 0.0, "per_step": True}
    assert warmup.spec() == {"type": "Warmup", "schedule": inner, "epochs": 2, "start": 0.01}
    assert repr(warmup) == f"Warmup(schedule={warmup.schedule}, epochs=2.0, start=0.01)"
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
        ("onecycle", {"pct_start": 1.0}),
        ("onecycle", {"pct_start": 0.0}),
        ("onecycle", {"div_factor": 0.0}),
        ("onecycle", {"final_div_factor": math.inf}),
        ("onecycle", {"pct_start": "0.3"}),
        ("cosine", {"lr_min": math.inf}),
        ("cosine", {"per_step": "no"}),
        ("step", {"factor": "0.5"}),
        ("plateau", {"monitor": 3}),
    ],
)
def test_refused(name, arguments):
    made = type(schedules.from_name(name)).__name__
    with pytest.raises(ValueError, match=f"^{made}: {next(iter(arguments))} must be "):
        schedules.from_name(name, **arguments)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((Constant(), 0.0), "Warmup: epochs must be a finite number above 0, got 0.0"),
        ((Constant(), 1.0, 1.5), "Warmup: start must be a number from 0 to 1, got 1.5"),
        (("cosine",), "such as CosineAnnealing\\(\\), got 'cosine'"),
    ],
)
def test_refused_warmup(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        Warmup(*arguments)


@pytest.mark.parametrize("name", [
    "loss", "val_loss", "val_digit_loss", "val_mae", "val_rmse", "val_error_rate", "val_top5_error",
    "val_perplexity", "test_nll", "val_nll_per_pixel", "val_mape", "val_brier", "val_kl_divergence",
])  # fmt: skip
def test_what_should_fall_gains_by_falling(name):
    assert gain(name, 3.0, 2.0) == 1
    schedule = ReduceLROnPlateau(0.5, patience=0, monitor=name)
    assert schedule.after({name: [3.0, 2.0, 1.0]}).rate(1.0, 3, 9) == 1
    assert schedule.after({name: [1.0, 2.0]}).rate(1.0, 2, 9) == 0.5


@pytest.mark.parametrize("name", ["accuracy", "val_r2", "val_auc", "val_worst_recall", "val_f1"])
def test_all_else_gains_by_rising(name):
    assert gain(name, 2.0, 3.0) == 1
