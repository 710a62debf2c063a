"""S2: the quick run of a laboratory exercise on MNIST."""

import math

from .laboratory import Experiment, Laboratory, images_per_epoch
from .sections import (
    Section,
    Table,
    counted,
    epochs,
    length,
    number,
    of_result,
    pictures,
    reached,
    seconds,
)
from .verdicts import stated

# With 100 test images a share of 33 % is uncertain by 9 points: hence more seeds.
LAB = Experiment("lab-cnn", seeds=(42, 43, 44, 45, 46))
_ACCURACY = 33.0
_SECONDS = 72.9  # an epoch of 1,000 images


def _table(lab: Laboratory) -> Section:
    section = Section()
    runs = lab.train([LAB])[0]
    images = counted(images_per_epoch(LAB), "image")
    reached(section, f"lab-cnn, {images}, {length(runs)}", runs, _ACCURACY)
    section.lines.append(number("test loss", of_result(runs, "test_loss"), form=".3f"))
    epoch = lab.seconds_per_epoch(LAB)
    section.lines.append(seconds(f"time per epoch of {images}", _SECONDS, epoch))
    losses = [loss for run in runs for loss in epochs(run, "loss")[-1:]]
    stuck = [abs(loss - math.log(10)) < 0.02 for loss in losses]
    section.verdicts.append(
        stated(
            "the loss does not stay at ln 10", not any(stuck),
            f"training loss after {length(runs)} {', '.join(f'{loss:.2f}' for loss in losses)}",
        )
    )  # fmt: skip
    captions = {
        "predictions": "Ten random test images: true and predicted digit.",
        "curves": "Loss and accuracy of the quick run.",
    }
    section.pictures += pictures("s2", runs[0], captions)
    return section


TABLES = (Table("S2.1", "Quick run", _table, (LAB,)),)
