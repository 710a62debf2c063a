"""What S1's author claims, each asked with as many seeds as decide it."""

import dataclasses
import itertools
import statistics
from collections.abc import Sequence

from ..comparing.evidence import Evidence
from .laboratory import Experiment, Laboratory, Question
from .records import Record
from .sections import convergence_epoch, epochs, gap, instability, of_result, test_accuracy
from .verdicts import Sample, Verdict, differs, stated

BASELINE = Experiment("mnist-baseline")
OPTIMIZED = Experiment("mnist-optimized")
_ADAM = {"optimizer": "adam", "lr": 1e-3}
_STOPPED = {
    "schedule": "cosine", "lr_min": 0.0, "validation": 0.1, "patience": 5, "monitor": "val_loss",
}  # fmt: skip
ADAM = BASELINE.but(**_ADAM)
MOMENTUM = BASELINE.but(momentum=0.9)
ABLATION = (
    ("baseline", BASELINE),
    ("+ Adam", ADAM),
    ("+ BatchNorm", ADAM.but(norm="batch")),
    ("+ Dropout", ADAM.but(norm="batch", dropout=0.5)),
    ("+ L2", ADAM.but(norm="batch", dropout=0.5, weight_decay=1e-4)),
    (
        "+ schedule and early stopping",
        ADAM.but(norm="batch", dropout=0.5, weight_decay=1e-4, **_STOPPED),
    ),
)
FREE = OPTIMIZED.but(dropout=0.0, weight_decay=0.0)
L2 = OPTIMIZED.but(dropout=0.0)
DROPOUT = OPTIMIZED.but(weight_decay=0.0)
WITHOUT_NORM = OPTIMIZED.but(norm="none")
CONSTANT = OPTIMIZED.but(schedule="constant")
STEPS = OPTIMIZED.but(schedule="step")
_LARGE_RATE = {"lr": 1e-2}
_LATE = 5  # epochs at the end of a run


def _test_loss(runs: Sequence[Record]) -> Sample:
    return of_result(runs, "test_loss")


def _rise(runs: Sequence[Record]) -> Sample:
    """Test loss of the last epoch less that of epoch 12."""
    losses = [epochs(run, "test_loss") for run in runs]
    return Sample([each[-1] - each[min(11, len(each) - 1)] for each in losses if each])


def _late_spread(runs: Sequence[Record]) -> Sample:
    """Standard deviation of the last epochs' test accuracies."""
    late = [epochs(run, "test_accuracy")[-_LATE:] for run in runs]
    return Sample([statistics.pstdev(each) if each else 0.0 for each in late])


def _alone(measure, experiment: Experiment, lab: Laboratory) -> Evidence:
    """Evidence that a number is above 0, from the seeds that every experiment has."""
    return Evidence(measure(lab.train([experiment.seeded(lab.first_seeds)])[0]).values)


def overall(lab: Laboratory) -> list[Verdict]:
    """Table 1."""
    loss, early = lab.decide(
        [
            Question(BASELINE, OPTIMIZED, _test_loss),
            Question(BASELINE, OPTIMIZED, convergence_epoch),
        ]
    )
    base, best = lab.train([BASELINE, OPTIMIZED])
    fall = 1 - _test_loss(best).mean / _test_loss(base).mean
    sooner = 1 - convergence_epoch(best).mean / convergence_epoch(base).mean
    totals = [
        lab.epoch(each).median * of_result(runs, "epochs_run").mean
        for each, runs in ((BASELINE, base), (OPTIMIZED, best))
    ]
    stops = [run.result["stopped_because"] == "early stopping" for run in best]
    time = 1 - totals[1] / totals[0]
    return [
        _share(differs("test loss falls (by 36.5 %)", loss, "nats"), fall),
        stated(
            "total time falls by 31 % (abstract: 30 %), because of early stopping", time > 0,
            f"ours {'falls' if time > 0 else 'rises'} by {abs(time):.0%}; stopped early in "
            f"{sum(stops)} of {len(stops)} runs",
        ),
        _share(differs("it converges faster (by 47 %)", early, "epochs"), sooner),
        differs(
            "the baseline's test loss rises from epoch 12 on", _alone(_rise, BASELINE, lab), "nats"
        ),
        _no_overfitting(lab),
    ]  # fmt: skip


def _share(verdict: Verdict, share: float) -> Verdict:
    return dataclasses.replace(verdict, evidence=f"ours by {share:.0%}; {verdict.evidence}")


def _no_overfitting(lab: Laboratory) -> Verdict:
    evidence = _alone(_rise, OPTIMIZED, lab)
    rises = evidence.is_decided and evidence.mean > 0
    return stated(
        "the optimized network shows no overfitting (its test loss does not rise)",
        not rises if evidence.is_decided else None,
        f"test loss {evidence.mean:+.4f} nats from epoch 12 to the last",
    )


def ablation(lab: Laboratory) -> list[Verdict]:
    """Table 2: every step raises the test accuracy by so much, together by more than the sum."""
    steps = [
        Question(more, less, test_accuracy) for (_, less), (_, more) in itertools.pairwise(ABLATION)
    ]
    gains = (1.5, 1.3, 0.6, 0.2, 0.1)
    found = lab.decide(steps)
    verdicts = [
        differs(f"{name} raises the test accuracy ({gain:+} points)", evidence, said=gain)
        for (name, _), gain, evidence in zip(ABLATION[1:], gains, found, strict=True)
    ]
    means = [evidence.mean for evidence in found]
    most = max(range(len(means)), key=means.__getitem__)
    verdicts.append(
        stated(
            "Adam raises it most", most == 0 if found[most].is_decided else None,
            f"ours: {ABLATION[1 + most][0]} with {100 * means[most]:+.2f} points",
        )
    )  # fmt: skip
    verdicts.append(
        stated(
            "together they bring more than the sum of the parts", False,
            "each step is measured on top of those before it, so the steps sum to the whole by "
            "construction; so do his, to exactly 3.7 points",
        )
    )  # fmt: skip
    return verdicts


def optimizers(lab: Laboratory) -> list[Verdict]:
    """Table 3: Adam before momentum before SGD, in accuracy and in epochs."""
    found = lab.decide(
        [
            Question(ADAM, MOMENTUM, test_accuracy),
            Question(MOMENTUM, BASELINE, test_accuracy),
            Question(MOMENTUM, ADAM, convergence_epoch),
            Question(BASELINE, MOMENTUM, convergence_epoch),
        ]
    )
    told = (
        ("Adam is more accurate than momentum", "points"),
        ("momentum is more accurate than SGD", "points"),
        ("Adam converges sooner than momentum (abstract: by 40 %)", "epochs"),
        ("momentum converges sooner than SGD", "epochs"),
    )
    return [
        differs(claim, evidence, unit) for (claim, unit), evidence in zip(told, found, strict=True)
    ]


def regularization(lab: Laboratory) -> list[Verdict]:
    """Table 4: both narrow the gap, together most; by how much is the table's."""
    told = (
        ("L2 narrows the gap", FREE, L2, 2.9),
        ("Dropout narrows the gap", FREE, DROPOUT, 3.8),
        ("both together narrow it more than L2", L2, OPTIMIZED, 1.0),
        ("both together narrow it more than Dropout", DROPOUT, OPTIMIZED, 0.1),
    )
    found = lab.decide([Question(more, less, gap) for _, more, less, _ in told])
    return [
        differs(f"{claim} (by {points} points)", each, said=points)
        for (claim, _, _, points), each in zip(told, found, strict=True)
    ]


def normalization(lab: Laboratory) -> list[Verdict]:
    """Table 5."""
    soon, steady, large = lab.decide(
        [
            Question(WITHOUT_NORM, OPTIMIZED, convergence_epoch),
            Question(WITHOUT_NORM, OPTIMIZED, instability),
            Question(OPTIMIZED.but(**_LARGE_RATE), WITHOUT_NORM.but(**_LARGE_RATE), test_accuracy),
        ]
    )
    return [
        differs("BatchNorm converges sooner (by a third)", soon, "epochs"),
        differs("BatchNorm makes the loss steadier", steady, "nats"),
        differs("BatchNorm allows larger rates: it is more accurate at 0.01", large),
    ]


def schedules(lab: Laboratory) -> list[Verdict]:
    """Table 6."""
    late, over_constant, over_steps = lab.decide(
        [
            Question(CONSTANT, OPTIMIZED, _late_spread),
            Question(OPTIMIZED, CONSTANT, test_accuracy),
            Question(OPTIMIZED, STEPS, test_accuracy),
        ]
    )
    ran = {
        name: of_result(runs, "epochs_run").mean
        for name, runs in zip(
            ("constant", "step", "cosine"), lab.train([CONSTANT, STEPS, OPTIMIZED]), strict=True
        )
    }
    told = ", ".join(f"{name} {mean:.1f}" for name, mean in ran.items())
    return [
        differs("a constant rate oscillates late, against cosine", late),
        differs("cosine is more accurate than a constant rate", over_constant),
        differs("cosine is more accurate than steps", over_steps),
        stated(
            "cosine is fastest", min(ran, key=ran.__getitem__) == "cosine", f"epochs run: {told}"
        ),
    ]
