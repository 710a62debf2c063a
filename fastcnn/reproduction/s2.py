"""S2: the quick run of a laboratory exercise on MNIST, and what it promises."""

from collections.abc import Sequence

from ..comparing.evidence import Evidence
from .laboratory import Experiment, Laboratory, Question
from .records import Record
from .sections import (
    Section,
    Table,
    epochs,
    figure,
    instability,
    length,
    pictures,
    seconds,
    share,
    test_accuracy,
)
from .verdicts import HOLDS, OPEN, Sample, Verdict, differs, stated

# With 100 test images a share of 33 % is uncertain by 9 points: hence more seeds.
LAB = Experiment("lab-cnn", seeds=(42, 43, 44, 45, 46))
WHOLE = Experiment("lab-cnn", {"limit_train": None, "limit_test": None, "epochs": 20})
MOVED = WHOLE.but(shift=1, rotate=10.0, append=1)
LARGE = WHOLE.but(lr=0.1)
# Train loss, train accuracy in percent, test loss, test accuracy in percent after each epoch.
EPOCHS = ((2.2617, 16.30, 2.1494, 24.00), (2.1542, 22.60, 2.0632, 33.00))
SECONDS, TOTAL = 72.89, 145.78
_PROMISED = 85.0
_GAIN = (0.05, 0.08)


def _quick(lab: Laboratory) -> Section:
    section = Section()
    runs = lab.train([LAB])[0]
    ran = min(len(epochs(run, "loss")) for run in runs)  # one, if all is to be quick
    for number, (loss, accuracy, test_loss, test) in enumerate(EPOCHS[:ran], 1):
        section.lines += [
            figure(f"epoch {number}: train loss", f"{loss:.4f}", _at(runs, "loss", number), ".4f"),
            share(f"epoch {number}: train accuracy", _at(runs, "accuracy", number, 1000), accuracy),
            figure(
                f"epoch {number}: test loss", f"{test_loss:.4f}",
                _at(runs, "test_loss", number), ".4f",
            ),
            share(f"epoch {number}: test accuracy", _at(runs, "test_accuracy", number, 100), test),
        ]  # fmt: skip
    times = lab.epoch(LAB).whole
    section.lines += [
        seconds("time per epoch", SECONDS, times),
        seconds("total time", TOTAL, times, len(EPOCHS)),
    ]
    captions = {
        "predictions": "Ten random test images: true and predicted digit.",
        "curves": "Loss and accuracy of the quick run.",
    }
    section.pictures += pictures("s2", lab.saved(LAB), captions)
    return section


def _at(runs: Sequence[Record], column: str, epoch: int, images: int | None = None) -> Sample:
    """A number of an epoch, in each run."""
    return Sample([epochs(run, column)[epoch - 1] for run in runs], images)


def _promises(lab: Laboratory) -> Section:
    section = Section()
    runs = lab.train([WHOLE])[0]
    test = test_accuracy(runs)
    section.lines.append(share(f"all images, {length(runs)}: test accuracy", test, _PROMISED))
    section.verdicts.append(
        stated(
            "at least 85 % after 20 epochs of all images",
            100 * (test.mean - test.half_width) > _PROMISED, f"ours {test.mean:.2%}",
        )
    )  # fmt: skip
    gain, unsteady = lab.decide(
        [Question(MOVED, WHOLE, test_accuracy), Question(LARGE, WHOLE, instability)]
    )
    section.verdicts += [
        _promised_gain(gain),
        differs("a rate of 0.1 oscillates", unsteady, "nats"),
    ]
    section.notes.append(
        "Augmentation: one changed copy of every image is appended, as the exercise has it. "
        "To oscillate: the training loss changes by more varied amounts than at 0.01."
    )
    return section


def _promised_gain(gain: Evidence) -> Verdict:
    verdict = differs("augmentation (shifts, rotations) brings 5 to 8 points", gain)
    low, high = gain.interval
    is_so = None if verdict.word == OPEN else low <= _GAIN[1] and high >= _GAIN[0]
    if verdict.word == HOLDS or is_so is None:
        return stated(verdict.claim, is_so, verdict.evidence)
    return verdict


TABLES = (
    Table("S2.1", "Quick run", _quick, (LAB,), (LAB,)),
    Table("S2.2", "What the exercise promises", _promises, (WHOLE, MOVED, LARGE)),
)
