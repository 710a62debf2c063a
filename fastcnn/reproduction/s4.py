"""S4: LeNet-5 on MNIST: learning rates, batch sizes, epochs."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from .. import plots
from ..runs.saved import Saved
from .laboratory import Experiment, Laboratory
from .sections import Picture, Section, Table, histories, length, reached, seconds, test_accuracy
from .verdicts import exceeds

LENET = Experiment("lenet5")

# Learning rate at batch 32, 10 epochs -> their test accuracy in percent.
RATES = {0.001: 95.58, 0.0015: 95.83, 0.002: 96.15, 0.005: 96.93}
# Batch size at learning rate 0.0015, 10 epochs -> (their test accuracy, minutes per epoch).
BATCHES = {32: (95.83, 13), 64: (95.72, 9), 128: (95.45, 6), 256: (94.84, 5)}
# Epochs at batch 64 -> their test accuracy.
EPOCHS = {10: 95.72, 50: 98.17}


def _rate(lr: float) -> Experiment:
    return LENET.but(batch_size=32) if lr == 0.0015 else LENET.but(batch_size=32, lr=lr)


def _batch(size: int) -> Experiment:
    return LENET if size == 64 else LENET.but(batch_size=size)


def _epochs(count: int) -> Experiment:
    return LENET if count == 10 else LENET.but(epochs=count)


def _rates(lab: Laboratory) -> Section:
    section = Section()
    runs = dict(zip(RATES, lab.train([_rate(lr) for lr in RATES]), strict=True))
    for lr, theirs in RATES.items():
        reached(section, f"learning rate {lr:g}, batch 32, {length(runs[lr])}", runs[lr], theirs)
    rates = list(RATES)
    for low, high in itertools.pairwise(rates):
        claim = f"{high:g} is more accurate than {low:g} after {length(runs[low])}"
        section.verdicts.append(exceeds(claim, test_accuracy(runs[high]), test_accuracy(runs[low])))
    section.pictures.append(_curves("s4-rates", "lenet5: learning rates", "lr", runs))
    return section


def _batches(lab: Laboratory) -> Section:
    section = Section()
    runs = dict(zip(BATCHES, lab.train([_batch(size) for size in BATCHES]), strict=True))
    for size, (theirs, minutes) in BATCHES.items():
        reached(section, f"batch {size}, rate 0.0015, {length(runs[size])}", runs[size], theirs)
        epoch = lab.seconds_per_epoch(_batch(size))
        section.lines.append(seconds(f"batch {size}: time per epoch", 60 * minutes, epoch))
    sizes = list(BATCHES)
    for small, large in itertools.pairwise(sizes):
        claim = f"batch {small} is more accurate than {large} after {length(runs[small])}"
        section.verdicts.append(
            exceeds(claim, test_accuracy(runs[small]), test_accuracy(runs[large]))
        )
    section.pictures.append(_curves("s4-batches", "lenet5: batch sizes", "batch", runs))
    return section


def _lengths(lab: Laboratory) -> Section:
    section = Section()
    runs = dict(zip(EPOCHS, lab.train([_epochs(count) for count in EPOCHS]), strict=True))
    for count, theirs in EPOCHS.items():
        reached(section, f"{length(runs[count])}, batch 64", runs[count], theirs)
    short, long = (runs[count] for count in EPOCHS)
    claim = f"{length(long)} are more accurate than {length(short)}"
    section.verdicts.append(exceeds(claim, test_accuracy(long), test_accuracy(short)))
    own = {records[0].config.training.epochs: records for records in (short, long)}
    section.pictures.append(
        _curves("s4-epochs", f"lenet5: {length(short)} and {length(long)}", "epochs", own)
    )
    return section


def _curves(name: str, title: str, what: str, runs: Mapping[Any, Sequence[Saved]]) -> Picture:
    named = histories({f"{what} {value:g}": records for value, records in runs.items()})
    figure = plots.overlay(named, "accuracy", title=title)
    return Picture(name, figure, "Training accuracy, measured during each epoch (first seed).")


TABLES = (
    Table("S4.1", "Learning rates", _rates, [_rate(lr) for lr in RATES]),
    Table("S4.2", "Batch sizes", _batches, [_batch(size) for size in BATCHES]),
    Table("S4.3", "Ten and fifty epochs", _lengths, [_epochs(count) for count in EPOCHS]),
)
