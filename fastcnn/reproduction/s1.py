"""S1: optimisation strategies on MNIST: the author's eight tables, and what he claims of them."""

import math
from collections.abc import Sequence

from .. import plots
from . import s1_claims as claims
from . import twins
from .laboratory import Experiment, Laboratory
from .records import Record
from .sections import (
    Line,
    Picture,
    Section,
    Table,
    convergence_epoch,
    figure,
    gap,
    histories,
    instability,
    of_result,
    pictures,
    reached,
    seconds,
    share,
    test_accuracy,
    train_accuracy,
    train_loss,
)
from .verdicts import Sample

BASELINE, OPTIMIZED, ABLATION = claims.BASELINE, claims.OPTIMIZED, claims.ABLATION

# Train and test accuracy in percent, train and test loss, seconds of an epoch and of the run,
# epochs run, epoch of convergence.
OVERALL = (
    ("baseline", BASELINE, (92.3, 89.7, 0.245, 0.312, 45, 900, 20, 15)),
    ("optimized", OPTIMIZED, (95.8, 93.4, 0.135, 0.198, 62, 620, 10, 8)),
)
# Test accuracy and test loss after each step.
STEPS = (
    (89.7, 0.312), (91.2, 0.276), (92.5, 0.241), (93.1, 0.215), (93.3, 0.205), (93.4, 0.198),
)  # fmt: skip
# Test accuracy, epoch of convergence, seconds of an epoch.
OPTIMIZERS = (
    ("SGD 0.01", BASELINE, (89.7, 15, 45)),
    ("momentum 0.9", claims.MOMENTUM, (90.8, 12, 47)),
    ("Adam 0.001", claims.ADAM, (93.4, 8, 62)),
)
# Train accuracy, test accuracy, gap in points.
REGULARIZATION = (
    ("none", claims.FREE, (96.5, 90.2, 6.3)),
    ("L2", claims.L2, (95.2, 91.8, 3.4)),
    ("Dropout", claims.DROPOUT, (94.8, 92.3, 2.5)),
    ("both", OPTIMIZED, (95.8, 93.4, 2.4)),
)
# Epoch of convergence, test accuracy, standard deviation of the loss change.
NORMALIZATION = (
    ("without BatchNorm", claims.WITHOUT_NORM, (12, 91.2, 0.045)),
    ("with BatchNorm", OPTIMIZED, (8, 93.4, 0.018)),
)
# Test accuracy, seconds of the run.
SCHEDULES = (
    ("constant", claims.CONSTANT, (92.8, 680)),
    ("step", claims.STEPS, (93.1, 650)),
    ("cosine", OPTIMIZED, (93.4, 620)),
)
# True digit, what it was taken for, share of all errors in percent.
CONFUSED = ((4, 9, 18), (7, 1, 12), (3, 8, 10))
_HIS_ERRORS = 660


def _trained(lab: Laboratory, rows: Sequence[tuple[str, Experiment, tuple[float, ...]]]):
    """Name, their figures, records, for each row of a table."""
    records = lab.train([experiment for _, experiment, _ in rows])
    return [(name, theirs, runs) for (name, _, theirs), runs in zip(rows, records, strict=True)]


def _overall(lab: Laboratory) -> Section:
    section = Section()
    named: dict[str, list[Record]] = {}
    for (name, theirs, runs), (_, experiment, _) in zip(
        _trained(lab, OVERALL), OVERALL, strict=True
    ):
        named[name] = runs
        train, test, train_nats, test_nats, epoch, total, epochs, converged = theirs
        ran, times = of_result(runs, "epochs_run"), lab.epoch(experiment).whole
        section.lines += [
            share(f"{name}: train accuracy", train_accuracy(runs), train),
            share(f"{name}: test accuracy", test_accuracy(runs), test),
            figure(f"{name}: train loss", f"{train_nats:g}", train_loss(runs), ".4f"),
            figure(f"{name}: test loss", f"{test_nats:g}", of_result(runs, "test_loss"), ".4f"),
            seconds(f"{name}: time per epoch", epoch, times),
            seconds(f"{name}: total time", total, times, ran.mean),
            figure(f"{name}: epochs run", f"{epochs:g}", ran, ".1f"),
            figure(f"{name}: converged at epoch", f"{converged:g}", convergence_epoch(runs), ".1f"),
        ]
    section.verdicts += claims.overall(lab)
    section.notes.append(
        "Early stopping holds out a tenth of the training images, which the author does with a "
        "part that he does not number. His target for convergence is not given."
    )
    title = "MNIST: baseline and optimized"
    picture = plots.side_by_side(histories(named), title)
    caption = "Loss and accuracy of training and test images (training: with dropout)."
    section.pictures.append(Picture("s1-curves", picture, caption))
    return section


def _ablation(lab: Laboratory) -> Section:
    section = Section()
    runs = lab.train([experiment for _, experiment in ABLATION])
    for (name, _), (test, nats), records in zip(ABLATION, STEPS, runs, strict=True):
        section.lines += [
            share(f"{name}: test accuracy", test_accuracy(records), test),
            figure(f"{name}: test loss", f"{nats:g}", of_result(records, "test_loss"), ".4f"),
        ]
    section.verdicts += claims.ablation(lab)
    section.notes.append(
        "Each row is the baseline's network with one technique more; his last row is his optimized "
        "network, which is wider too, and stands in table 1."
    )
    return section


def _optimizers(lab: Laboratory) -> Section:
    section = Section()
    for (name, theirs, runs), (_, experiment, _) in zip(
        _trained(lab, OPTIMIZERS), OPTIMIZERS, strict=True
    ):
        test, converged, epoch = theirs
        reached(section, name, runs, test)
        section.lines += [
            figure(f"{name}: converged at epoch", f"{converged:g}", convergence_epoch(runs), ".1f"),
            seconds(f"{name}: time per epoch", epoch, lab.epoch(experiment).whole),
        ]
    section.verdicts += claims.optimizers(lab)
    section.notes.append(
        "His Adam row repeats his optimized network (the same three figures as in table 1), while "
        "his SGD row is the baseline. Ours are all the baseline's network."
    )
    return section


def _regularization(lab: Laboratory) -> Section:
    section = Section()
    for name, (train, test, points), runs in _trained(lab, REGULARIZATION):
        apart = gap(runs)
        section.lines += [
            share(f"{name}: train accuracy", train_accuracy(runs), train),
            share(f"{name}: test accuracy", test_accuracy(runs), test),
            figure(
                f"{name}: gap in points", f"{points:g}",
                Sample([100 * each for each in apart.values]), ".2f",
            ),
        ]  # fmt: skip
    section.verdicts += claims.regularization(lab)
    return section


def _normalization(lab: Laboratory) -> Section:
    section = Section()
    for name, (converged, test, unsteady), runs in _trained(lab, NORMALIZATION):
        section.lines += [
            figure(f"{name}: converged at epoch", f"{converged:g}", convergence_epoch(runs), ".1f"),
            share(f"{name}: test accuracy", test_accuracy(runs), test),
            figure(
                f"{name}: deviation of the loss change", f"{unsteady:.3f}", instability(runs), ".4f"
            ),
        ]
    section.verdicts += claims.normalization(lab)
    return section


def _schedules(lab: Laboratory) -> Section:
    section = Section()
    times, named = lab.epoch(OPTIMIZED).whole, {}
    for name, (test, total), runs in _trained(lab, SCHEDULES):
        named[name] = runs
        ran = of_result(runs, "epochs_run").mean
        reached(section, name, runs, test)
        section.lines.append(seconds(f"{name}: total time", total, times, ran))
    section.verdicts += claims.schedules(lab)
    for name, column, part, title, caption in (
        ("s1-schedules", "accuracy", "test", "MNIST: three schedules",
         "Test accuracy with each schedule (first seed)."),
        ("s1-rates", "lr", "train", "mnist-optimized: the rate in each epoch",
         "The learning rates that the three schedules gave."),
    ):  # fmt: skip
        given = {} if column == "lr" else {"part": part}
        picture = plots.overlay(histories(named), column, title=title, **given)
        section.pictures.append(Picture(name, picture, caption))
    return section


def _errors(lab: Laboratory) -> Section:
    section = Section()
    runs = lab.train([OPTIMIZED])[0]
    errors = sum(count for run in runs for _, _, count in run.confused)
    for true, guess, percent in CONFUSED:
        count = sum(n for run in runs for a, b, n in run.confused if (a, b) == (true, guess))
        among = 100 * count / errors if errors else math.nan
        half = 196 * math.sqrt(count) / errors if errors else math.nan
        section.lines.append(
            Line(
                f"{true} taken for {guess}, of all errors", f"{percent:g} %", f"{among:.1f} %",
                f"± {half:.1f} ({count} of {errors} errors)",
            )
        )  # fmt: skip
    section.notes.append(
        f"His network made about {_HIS_ERRORS} errors, ours {errors / len(runs):.0f} in a run: "
        f"what is left are other errors than his."
    )
    captions = {
        "confusion": "Rows are the true digits, columns the predicted ones.",
        "misclassified": "The mistakes that the network was most certain of.",
    }
    section.pictures += pictures("s1", lab.saved(OPTIMIZED), captions)
    return section


def _of(rows: Sequence[Sequence[object]]) -> list[Experiment]:
    return [cell for row in rows for cell in row if isinstance(cell, Experiment)]


_TIMED = (BASELINE, OPTIMIZED, claims.MOMENTUM, claims.ADAM)
TABLES = (
    Table("S1.1", "Baseline against optimized", _overall, _of(OVERALL), _TIMED),
    Table("S1.2", "Ablation: one technique after the other", _ablation, _of(ABLATION)),
    Table("S1.3", "Optimizers", _optimizers, _of(OPTIMIZERS), _TIMED),
    Table("S1.4", "Regularisation", _regularization, _of(REGULARIZATION)),
    Table("S1.5", "With and without BatchNorm", _normalization, _of(NORMALIZATION)),
    Table("S1.6", "Schedules", _schedules, _of(SCHEDULES), _TIMED),
    Table("S1.7", "NumPy against PyTorch", twins.table, (), (*_TIMED, twins.NUMPY)),
    Table("S1.8", "Errors", _errors, (OPTIMIZED,)),
)
