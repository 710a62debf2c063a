"""S4: LeNet-5 on MNIST: learning rates, batch sizes, epochs."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from .. import plots
from .laboratory import Experiment, Laboratory, Question
from .records import Record
from .sections import (
    Picture,
    Section,
    Table,
    epochs,
    histories,
    length,
    reached,
    seconds,
    test_accuracy,
)
from .verdicts import Sample, differs, stated

LENET = Experiment("lenet5")

# Learning rate at batch 32, 10 epochs -> their test accuracy in percent.
RATES = {0.001: 95.58, 0.0015: 95.83, 0.002: 96.15, 0.005: 96.93}
# Batch size at learning rate 0.0015, 10 epochs -> (their test accuracy, minutes per epoch).
BATCHES = {32: (95.83, 13), 64: (95.72, 9), 128: (95.45, 6), 256: (94.84, 5)}
# (rate, batch, epochs) -> their test accuracy.
EPOCHS = {
    (0.0015, 64, 10): 95.72, (0.0015, 64, 50): 98.17,
    (0.002, 32, 10): 96.15, (0.002, 32, 50): 98.13,
}  # fmt: skip
LONGEST = LENET.but(epochs=100)
_HOPED = 99.0


def _with(lr: float = 0.0015, batch: int = 64, count: int = 10) -> Experiment:
    """The author's network; only what differs from his preset is a change."""
    given = {"lr": (lr, 0.0015), "batch_size": (batch, 64), "epochs": (count, 10)}
    return LENET.but(**{name: mine for name, (mine, usual) in given.items() if mine != usual})


def _rates(lab: Laboratory) -> Section:
    section = Section()
    runs = dict(zip(RATES, lab.train([_with(lr, 32) for lr in RATES]), strict=True))
    for lr, theirs in RATES.items():
        reached(section, f"learning rate {lr:g}, batch 32, {length(runs[lr])}", runs[lr], theirs)
    pairs = list(itertools.pairwise(RATES))
    found = lab.decide([Question(_with(high, 32), _with(low, 32), test_accuracy)
                        for low, high in pairs])  # fmt: skip
    for (low, high), evidence in zip(pairs, found, strict=True):
        claim = f"a larger rate converges faster: {high:g} is more accurate than {low:g}"
        section.verdicts.append(differs(f"{claim} after {length(runs[low])}", evidence))
    section.pictures.append(_curves("s4-rates", "lenet5: learning rates", "lr", runs))
    return section


def _batches(lab: Laboratory) -> Section:
    section = Section()
    runs = dict(zip(BATCHES, lab.train([_with(batch=size) for size in BATCHES]), strict=True))
    times = {size: lab.epoch(_with(batch=size)) for size in BATCHES}
    for size, (theirs, minutes) in BATCHES.items():
        reached(section, f"batch {size}, rate 0.0015, {length(runs[size])}", runs[size], theirs)
        line = seconds(f"batch {size}: time per epoch ({minutes} min)", 60 * minutes,
                       times[size].whole)  # fmt: skip
        section.lines.append(line)
    pairs = list(itertools.pairwise(BATCHES))
    found = lab.decide([Question(_with(batch=small), _with(batch=large), test_accuracy)
                        for small, large in pairs])  # fmt: skip
    for (small, large), evidence in zip(pairs, found, strict=True):
        claim = f"a larger batch makes the accuracy lower: {large} than {small}"
        section.verdicts.append(differs(claim, evidence))
        faster = times[small].median / times[large].median
        is_clear = min(times[small].whole) > max(times[large].whole)
        is_reverse = max(times[small].whole) < min(times[large].whole)
        section.verdicts.append(
            stated(f"a larger batch makes an epoch shorter: {large} than {small}",
                   is_clear if is_clear or is_reverse else None, f"{faster:.2f} times as fast")
        )  # fmt: skip
    section.pictures.append(_curves("s4-batches", "lenet5: batch sizes", "batch", runs))
    return section


def _first_gain(runs: Sequence[Record]) -> Sample:
    """Test accuracy gained in epochs 2 to 10."""
    return Sample([each[min(9, len(each) - 1)] - each[0] for each in map(_tested, runs)])


def _late_gain(runs: Sequence[Record]) -> Sample:
    """And from there to the end."""
    return Sample([each[-1] - each[min(9, len(each) - 1)] for each in map(_tested, runs)])


def _tested(run: Record) -> list[float]:
    return epochs(run, "test_accuracy") or [0.1]


def _lengths(lab: Laboratory) -> Section:
    section = Section()
    runs = dict(zip(EPOCHS, lab.train([_with(*each) for each in EPOCHS]), strict=True))
    for (lr, batch, _), records in runs.items():
        theirs = EPOCHS[lr, batch, _]
        reached(section, f"rate {lr:g}, batch {batch}, {length(records)}", records, theirs)
    long = runs[0.0015, 64, 50]
    first, late = _first_gain(long), _late_gain(long)
    section.verdicts.append(
        stated("the gain per epoch shrinks",
               all(f > w for f, w in zip(first.values, late.values, strict=True)),
               f"{100 * first.mean:+.2f} points up to epoch 10, {100 * late.mean:+.2f} from there "
               f"to the end")
    )  # fmt: skip
    longest = lab.train([LONGEST])[0]
    test = test_accuracy(longest)
    is_there = 100 * (test.mean - test.half_width) >= _HOPED
    is_short = 100 * (test.mean + test.half_width) < _HOPED
    section.verdicts.append(
        stated("100 to 200 epochs would bring 99 %", is_there if is_there or is_short else None,
               f"ours after {length(longest)} {test.mean:.2%}")
    )  # fmt: skip
    own = {f"{lr:g}, batch {batch}": each for (lr, batch, n), each in runs.items() if n == 50}
    title = f"lenet5: {length(long)}"
    section.pictures.append(_curves("s4-epochs", title, "rate", own))
    return section


def _curves(name: str, title: str, what: str, runs: Mapping[Any, Sequence[Record]]) -> Picture:
    named = histories({f"{what} {value}": records for value, records in runs.items()})
    picture = plots.overlay(named, "accuracy", title=title)
    return Picture(name, picture, "Training accuracy, measured during each epoch (first seed).")


_BATCHED = [_with(batch=size) for size in BATCHES]
TABLES = (
    Table("S4.1", "Learning rates", _rates, [_with(lr, 32) for lr in RATES]),
    Table("S4.2", "Batch sizes", _batches, _BATCHED, _BATCHED),
    Table("S4.3", "Epochs", _lengths, [*(_with(*each) for each in EPOCHS), LONGEST]),
)
