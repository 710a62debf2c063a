"""What a table of the report is made of: lines of numbers, verdicts, pictures.

A line holds one quantity: the author's figure, ours, its spread over the seeds, and for times how
many times faster we are. `accuracy`, `seconds` and `number` make such lines from runs.
"""

import dataclasses
import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..comparing.evidence import Evidence
from ..gallery.kinds import draw
from ..gallery.views import Options
from ..runs.saved import Saved
from .laboratory import (
    Experiment,
    Laboratory,
    images_held_out,
    images_per_epoch,
    images_trained,
)
from .records import Record
from .verdicts import Sample, Verdict, differs, outcome

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NONE = "–"
_GUESSING = 0.1  # accuracy among ten classes
_CONVERGED = 0.005  # so near to the best is converged


@dataclasses.dataclass(frozen=True)
class Line:
    """One quantity, theirs and ours."""

    quantity: str
    theirs: str
    ours: str
    spread: str = NONE
    speedup: str = NONE
    outcome: str = NONE
    """What became of their figure."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture, and what a reader should see in it."""

    name: str
    """File name without ending."""
    figure: "Figure"
    caption: str


def pictures(
    prefix: str, run: Saved | None, kinds: Mapping[str, str], options: Options | None = None
) -> list[Picture]:
    """Pictures of one run.

    Parameters
    ----------
    prefix : str
        What their file names begin with.
    run : Saved
        What is drawn.
    kinds : Mapping[str, str]
        Kind of picture (those of `python -m fastcnn.plot`) -> caption.
    options : Options, optional
        Which layer or image.
    """
    if run is None or not run.result["epochs_run"]:
        return []  # without weights, or of a run that diverged at once there is nothing to see
    return [
        Picture(f"{prefix}-{kind}", draw(kind, [run], options), caption)
        for kind, caption in kinds.items()
    ]


@dataclasses.dataclass
class Section:
    """One table of the report and what belongs to it."""

    lines: list[Line] = dataclasses.field(default_factory=list)
    verdicts: list[Verdict] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    pictures: list[Picture] = dataclasses.field(default_factory=list)

    def undecided(self) -> "Section":
        """The same, where the numbers are too few to decide anything."""
        lines = [dataclasses.replace(line, outcome=NONE) for line in self.lines]
        verdicts = [verdict.undecided() for verdict in self.verdicts]
        return dataclasses.replace(self, lines=lines, verdicts=verdicts)


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """A table of the authors that can be made again."""

    name: str
    """What the command line calls it: the system, a dot and its number."""
    title: str
    make: Callable[[Laboratory], Section]
    experiments: Sequence[Experiment] = ()
    """Those that do not depend on the outcome of others; made ahead for all tables at once."""
    timed: Sequence[Experiment] = ()
    """Those whose time is wanted; measured by turns for all tables at once."""


# --- numbers of runs ------------------------------------------------------------------------------


def test_accuracy(runs: Sequence[Record]) -> Sample:
    """Accuracy on the test images, 0 to 1; of a run that diverged at once, that of guessing."""
    images = runs[0].config.data.limit_test or 10_000
    values = [run.result["test_accuracy"] for run in runs]
    return Sample([_GUESSING if value is None else value for value in values], images)


def of_result(runs: Sequence[Record], name: str) -> Sample:
    """A number of result.json; NaN of a run that diverged at once."""
    values = [run.result[name] for run in runs]
    return Sample([math.nan if value is None else value for value in values])


def best_validation(runs: Sequence[Record]) -> Sample:
    """The best accuracy on the validation images, 0 to 1."""
    images = images_held_out(runs[0].config)
    return Sample([max(epochs(run, "val_accuracy"), default=_GUESSING) for run in runs], images)


def convergence_epoch(runs: Sequence[Record]) -> Sample:
    """The first epoch whose test accuracy is within half a point of the run's best."""
    found = []
    for run in runs:
        accuracies = epochs(run, "test_accuracy")
        near = (value >= max(accuracies) - _CONVERGED for value in accuracies)
        found.append(next((1.0 + i for i, is_near in enumerate(near) if is_near), math.nan))
    return Sample(found)


def instability(runs: Sequence[Record]) -> Sample:
    """Standard deviation of the change of the training loss from epoch to epoch."""
    spreads = []
    for run in runs:
        changes = [after - before for before, after in itertools.pairwise(epochs(run, "loss"))]
        spreads.append(statistics.stdev(changes) if len(changes) > 1 else math.nan)
    return Sample(spreads)


def epochs(run: Record, name: str) -> list[float]:
    """One column of the run's history; empty if it diverged in its first epoch."""
    return run.history[name] if run.result["epochs_run"] else []


# --- lines ----------------------------------------------------------------------------------------


def accuracy(quantity: str, sample: Sample, theirs: float | None = None) -> Line:
    """An accuracy in percent; theirs is in percent already."""
    return Line(
        quantity,
        NONE if theirs is None else f"{theirs:g} %",
        f"{100 * sample.mean:.2f} %",
        _spread(sample, 100, ".2f"),
    )


def _times(ratio: float) -> str:
    """How many times as fast; slower too."""
    return f"{ratio:,.0f} ×" if ratio >= 1 else f"{ratio:.2f} ×"


def seconds(quantity: str, theirs: float | None, ours: Sequence[float], times: float = 1.0) -> Line:
    """A time, its range over the rounds, and how many times shorter than theirs it is.

    Parameters
    ----------
    theirs : float, optional
        The author's seconds.
    ours : sequence of float
        Of each round.
    times : float
        What they are multiplied by: the epochs of a run, for example.
    """
    middle = times * statistics.median(ours)
    told = duration(middle)
    if len(ours) > 1:
        told += f" ({duration(times * min(ours))} to {duration(times * max(ours))})"
    faster = NONE if theirs is None else _times(theirs / middle)
    return Line(quantity, NONE if theirs is None else f"{theirs:g} s", told, NONE, faster)


def images_per_second(lab: Laboratory, experiment: Experiment, theirs: float) -> Line:
    """How many images an epoch handles in a second, and how many times more than NumPy here."""
    ours = images_per_epoch(experiment) / lab.epoch(experiment).median
    return Line(
        "images trained on per second, testing included",
        f"{theirs:g} (NumPy, same machine)",
        f"{ours:,.0f}",
        speedup=_times(ours / theirs),
    )


def counted(count: int, what: str) -> str:
    """A number and its noun: 1 epoch, 2 epochs."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def length(runs: Sequence[Record]) -> str:
    """For how many epochs the runs were to be trained."""
    return counted(runs[0].config.training.epochs, "epoch")


def duration(value: float) -> str:
    """Seconds as people write them."""
    if value >= 120:
        return f"{value / 60:.1f} min"
    return f"{value:.1f} s" if value >= 10 else f"{value:.2f} s"


def figure(quantity: str, theirs: str, sample: Sample, form: str = ".3g") -> Line:
    """Any number beside theirs, in their words."""
    return Line(quantity, theirs, f"{sample.mean:{form}}", _spread(sample, 1, form))


def reached(section: Section, what: str, runs: Sequence[Record], theirs: float) -> None:
    """Add a line with a test accuracy, and what became of theirs."""
    section.lines.append(share(f"{what}: test accuracy", test_accuracy(runs), theirs))


def share(quantity: str, sample: Sample, theirs: float) -> Line:
    """An accuracy, theirs in percent, and whether it is reached, exceeded or missed.

    NaN: the author gives none.
    """
    if math.isnan(theirs):
        return accuracy(quantity, sample)
    line = accuracy(quantity, sample, theirs)
    return dataclasses.replace(line, outcome=outcome(sample, theirs / 100))


def asked(section: Section, claim: str, evidence: Evidence, unit: str = "points") -> None:
    """Add the verdict of a claim that one number is larger than another."""
    section.verdicts.append(differs(claim, evidence, unit))


def train_accuracy(runs: Sequence[Record]) -> Sample:
    """Accuracy of the finished network on the images trained on, 0 to 1."""
    return Sample([run.train[1] for run in runs], images_trained(runs[0].config))


def train_loss(runs: Sequence[Record]) -> Sample:
    """Its loss on them."""
    return Sample([run.train[0] for run in runs])


def gap(runs: Sequence[Record]) -> Sample:
    """Train accuracy less test accuracy."""
    return train_accuracy(runs).minus(test_accuracy(runs))


def histories(runs: Mapping[str, Sequence[Record]]) -> dict[str, dict[str, list[float]]]:
    """The history of the first seed of each, by name, for pictures."""
    return {
        name: dict(records[0].history)
        for name, records in runs.items()
        if records[0].result["epochs_run"]
    }


def _spread(sample: Sample, factor: float, form: str) -> str:
    count = len(sample.values)
    if count == 1:
        return "1 seed"
    return f"± {factor * sample.spread:{form}} ({count} seeds)"
