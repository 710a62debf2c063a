"""S1: optimisation strategies on MNIST, tables 1 to 7, the schedule comparison, the errors."""

from collections.abc import Sequence

from .. import plots
from ..plots.confusion import confused_pairs, confusion_matrix
from . import twins
from .laboratory import Experiment, Laboratory
from .sections import (
    Line,
    Picture,
    Section,
    Table,
    accuracy,
    convergence_epoch,
    counted,
    histories,
    instability,
    length,
    number,
    of_result,
    pictures,
    reached,
    seconds,
    test_accuracy,
)
from .verdicts import Sample, exceeds, stated

BASELINE = Experiment("mnist-baseline")
OPTIMIZED = Experiment("mnist-optimized", {"shift": 0})  # his tables are without augmentation
_ADAM = {"optimizer": "adam", "lr": 1e-3}
_STOPPED = {
    "schedule": "cosine", "lr_min": 0.0, "validation": 0.1, "patience": 5, "monitor": "val_loss",
}  # fmt: skip
_SECONDS = {"mnist-baseline": 45.0, "mnist-optimized": 62.0}  # an epoch, on an Intel i7
CONFUSED = ((4, 9), (7, 1), (3, 8))  # (true, predicted)
_PAIRS = 5
_STOPPED_AFTER = 10  # epochs, in the document

# One change after the other, in the network of the baseline; the last row of the document is its
# optimized network, which is wider too: that one is in table 1.
ABLATION = (
    ("baseline", BASELINE, 89.7),
    ("+ Adam", BASELINE.but(**_ADAM), 91.2),
    ("+ BatchNorm", BASELINE.but(**_ADAM, norm="batch"), 92.5),
    ("+ Dropout", BASELINE.but(**_ADAM, norm="batch", dropout=0.5), 93.1),
    ("+ L2", BASELINE.but(**_ADAM, norm="batch", dropout=0.5, weight_decay=1e-4), 93.3),
    (
        "+ schedule, early stopping",
        BASELINE.but(**_ADAM, norm="batch", dropout=0.5, weight_decay=1e-4, **_STOPPED),
        93.4,
    ),
)
OPTIMIZERS = (
    ("SGD 0.01", BASELINE, 89.7, 15),
    ("SGD 0.01, momentum 0.9", BASELINE.but(momentum=0.9), 90.8, 12),
    ("Adam 0.001", BASELINE.but(**_ADAM), 93.4, 8),
)
REGULARIZATION = (
    ("none", OPTIMIZED.but(dropout=0.0, weight_decay=0.0), 6.3),
    ("L2", OPTIMIZED.but(dropout=0.0), 3.4),
    ("Dropout", OPTIMIZED.but(weight_decay=0.0), 2.5),
    ("both", OPTIMIZED, 2.4),
)
NORMALIZATION = (
    ("without BatchNorm", OPTIMIZED.but(norm="none")),
    ("with BatchNorm", OPTIMIZED),
)
SCHEDULES = (
    ("constant", OPTIMIZED.but(schedule="constant")),
    ("step", OPTIMIZED.but(schedule="step")),
    ("cosine", OPTIMIZED),
)


def _table_1(lab: Laboratory) -> Section:
    section = Section()
    runs = lab.train([BASELINE, OPTIMIZED])
    totals = []
    for records, experiment, theirs in zip(runs, (BASELINE, OPTIMIZED), (89.7, 93.4), strict=True):
        name = experiment.model
        reached(section, name, records, theirs)
        section.lines += [
            accuracy(f"{name}: train accuracy", Sample(list(map(lab.train_accuracy, records)))),
            number(f"{name}: test loss", of_result(records, "test_loss"), form=".4f"),
            number(f"{name}: train loss", Sample(list(map(lab.train_loss, records))), form=".4f"),
            number(f"{name}: epochs to converge", convergence_epoch(records), form=".1f"),
        ]
        epoch = lab.seconds_per_epoch(experiment)
        epochs = of_result(records, "epochs_run")
        totals.append(epoch * epochs.mean)
        told = counted(round(epochs.mean), "epoch")
        section.lines += [
            seconds(f"{name}: time per epoch", _SECONDS[name], epoch),
            seconds(f"{name}: total time ({told})", None, totals[-1]),
        ]
    baseline, optimized = map(test_accuracy, runs)
    section.verdicts.append(
        exceeds("the optimized network is more accurate than the baseline", optimized, baseline)
    )
    stopped = [run.result["stopped_because"] == "early stopping" for run in runs[1]]
    epochs = [run.result["epochs_run"] for run in runs[1]]
    section.verdicts.append(
        stated(
            f"early stopping ends the optimized network's training after {_STOPPED_AFTER} epochs",
            all(stopped) and max(abs(count - _STOPPED_AFTER) for count in epochs) <= 2,
            f"ours ran for {_listed(epochs)} of {length(runs[1])}; "
            f"stopped early in {sum(stopped)} of {counted(len(stopped), 'run')}",
        )
    )
    both = histories({"mnist-baseline": runs[0], "mnist-optimized": runs[1]})
    section.pictures.append(
        Picture(
            "s1-curves",
            plots.side_by_side(both, "MNIST: baseline and optimized"),
            "Loss and accuracy of training and test images. The training accuracy of the "
            "optimized network is measured with dropout, which is why it lies below the test's.",
        )
    )
    return section


def _table_2(lab: Laboratory) -> Section:
    section = Section()
    runs = lab.train([experiment for _, experiment, _ in ABLATION])
    for (name, _, theirs), records in zip(ABLATION, runs, strict=True):
        reached(section, name, records, theirs)
    for i in range(1, len(ABLATION)):
        claim = f"{ABLATION[i][0]} raises the test accuracy ({ABLATION[i - 1][2]} to "
        claim += f"{ABLATION[i][2]} % in the document)"
        gain = exceeds(claim, test_accuracy(runs[i]), test_accuracy(runs[i - 1]))
        section.verdicts.append(gain)
    return section


def _table_3(lab: Laboratory) -> Section:
    section = Section()
    runs = lab.train([experiment for _, experiment, _, _ in OPTIMIZERS])
    accuracies, epochs, times = [], [], []
    for (name, experiment, theirs, their_epoch), records in zip(OPTIMIZERS, runs, strict=True):
        reached(section, name, records, theirs)
        epochs.append(convergence_epoch(records))
        line = number(f"{name}: epochs to converge", epochs[-1], str(their_epoch), ".1f")
        section.lines.append(line)
        times.append(lab.seconds_per_epoch(experiment))
        theirs_too = _SECONDS["mnist-baseline"] if experiment == BASELINE else None
        section.lines.append(seconds(f"{name}: time per epoch", theirs_too, times[-1]))
        accuracies.append(test_accuracy(records))
    sgd, momentum, adam = accuracies
    section.verdicts += [
        exceeds("momentum is more accurate than plain SGD", momentum, sgd),
        exceeds("Adam is more accurate than momentum", adam, momentum),
        exceeds("momentum converges in fewer epochs than SGD", epochs[0], epochs[1], "epochs"),
        exceeds("Adam converges in fewer epochs than momentum", epochs[1], epochs[2], "epochs"),
    ]
    return section


def _table_4(lab: Laboratory) -> Section:
    section = Section()
    runs = lab.train([experiment for _, experiment, _ in REGULARIZATION])
    gaps = []
    for (name, _, theirs), records in zip(REGULARIZATION, runs, strict=True):
        train, test = Sample(list(map(lab.train_accuracy, records))), test_accuracy(records)
        gaps.append(train.minus(test))
        section.lines += [
            accuracy(f"{name}: train accuracy", train),
            accuracy(f"{name}: test accuracy", test),
            Line(
                f"{name}: gap between the two", f"{theirs:g} points",
                f"{100 * gaps[-1].mean:.2f} points", f"± {100 * gaps[-1].spread:.2f}",
            ),
        ]  # fmt: skip
    for index, claim in (
        (1, "L2 narrows the gap (6.3 to 3.4 points)"),
        (2, "Dropout narrows the gap (6.3 to 2.5 points)"),
        (3, "both together narrow the gap (6.3 to 2.4 points)"),
    ):
        section.verdicts.append(exceeds(claim, gaps[0], gaps[index]))
    claim = "Dropout narrows it more than L2 (2.5 and 3.4 points)"
    section.verdicts.append(exceeds(claim, gaps[1], gaps[2]))
    return section


def _table_5(lab: Laboratory) -> Section:
    section = Section()
    runs = lab.train([experiment for _, experiment in NORMALIZATION])
    for (name, experiment), records in zip(NORMALIZATION, runs, strict=True):
        section.lines += [
            accuracy(f"{name}: test accuracy", test_accuracy(records)),
            number(f"{name}: epochs to converge", convergence_epoch(records), form=".1f"),
            number(f"{name}: deviation of the loss change", instability(records), form=".4f"),
            seconds(f"{name}: time per epoch", None, lab.seconds_per_epoch(experiment)),
        ]
    without, normalized = runs
    section.verdicts += [
        exceeds(
            "BatchNorm raises the test accuracy", test_accuracy(normalized), test_accuracy(without)
        ),
        exceeds(
            "training converges in fewer epochs with BatchNorm",
            convergence_epoch(without), convergence_epoch(normalized), "epochs",
        ),
        exceeds(
            "training is steadier with BatchNorm (smaller deviation of the loss change)",
            instability(without), instability(normalized), "nats",
        ),
    ]  # fmt: skip
    return section


def _table_6(lab: Laboratory) -> Section:
    section = Section()
    runs = lab.train([experiment for _, experiment in SCHEDULES])
    named = dict(zip((name for name, _ in SCHEDULES), runs, strict=True))
    for name, experiment in SCHEDULES:
        epochs, epoch = of_result(named[name], "epochs_run"), lab.seconds_per_epoch(experiment)
        section.lines += [
            accuracy(f"{name}: test accuracy", test_accuracy(named[name])),
            number(f"{name}: epochs run", epochs, form=".1f"),
            seconds(f"{name}: total time", None, epoch * epochs.mean),
        ]
    cosine, constant = test_accuracy(named["cosine"]), test_accuracy(named["constant"])
    section.verdicts += [
        exceeds("the cosine schedule is more accurate than a constant rate", cosine, constant),
        exceeds(
            "the cosine schedule is more accurate than steps", cosine, test_accuracy(named["step"])
        ),
    ]
    section.pictures += [
        Picture(
            "s1-schedules",
            plots.overlay(histories(named), "accuracy", "test", "MNIST: three schedules"),
            "Test accuracy with each schedule (first seed).",
        ),
        Picture(
            "s1-rates",
            plots.overlay(histories(named), "lr", title="mnist-optimized: the rate in each epoch"),
            "The learning rates that the three schedules gave.",
        ),
    ]
    return section


def _errors(lab: Laboratory) -> Section:
    section = Section()
    run = lab.train([OPTIMIZED.once()])[0][0]
    data = run.dataset()
    predicted = run.model.predict(data.x_test)
    matrix = confusion_matrix(data.y_test, predicted, len(data.class_names))
    pairs = confused_pairs(matrix, _PAIRS)
    told = ", ".join(f"{true} as {guess} ({count})" for true, guess, count in pairs)
    theirs = ", ".join(f"{true} as {guess}" for true, guess in CONFUSED)
    section.lines.append(Line("most confused pairs (test images)", theirs, told or "none"))
    for true, guess in CONFUSED:
        count = int(matrix[true, guess])
        section.verdicts.append(
            stated(
                f"{true} taken for {guess} is among the {_PAIRS} most frequent errors",
                (true, guess) in [pair[:2] for pair in pairs],
                f"{count} of {int(matrix[true].sum()):,} images of a {true}",
            )
        )
    captions = {
        "confusion": "Rows are the true digits, columns the predicted ones.",
        "misclassified": "The mistakes that the network was most certain of.",
    }
    section.pictures += pictures("s1", run, captions)
    return section


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in numbers)


def _of(*rows: Sequence[object]) -> list[Experiment]:
    """The experiments in rows of a table."""
    return [cell for row in rows for cell in row if isinstance(cell, Experiment)]


TABLES = (
    Table("S1.1", "Baseline against optimized", _table_1, (BASELINE, OPTIMIZED)),
    Table("S1.2", "Ablation: one technique after the other", _table_2, _of(*ABLATION)),
    Table("S1.3", "Optimizers", _table_3, _of(*OPTIMIZERS)),
    Table("S1.4", "Regularisation", _table_4, _of(*REGULARIZATION)),
    Table("S1.5", "With and without BatchNorm", _table_5, _of(*NORMALIZATION)),
    Table("S1.6", "Schedules", _table_6, _of(*SCHEDULES)),
    Table("S1.7", "NumPy against PyTorch", twins.table),
    Table("S1.8", "Errors", _errors, (OPTIMIZED,)),
)
