"""S3: a three-layer CNN on CIFAR-10: the author's run, his grid and his dropout search."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from .. import plots
from ..gallery.views import Options
from ..random import generator
from ..runs.saved import Saved
from .laboratory import Experiment, Laboratory
from .sections import (
    Picture,
    Section,
    Table,
    accuracy,
    best_validation,
    images_per_second,
    length,
    number,
    of_result,
    pictures,
    reached,
    test_accuracy,
)
from .verdicts import exceeds

CNN = Experiment("cifar-cnn")
WIDE = CNN.but(filters=(32, 64))  # the variant that his conclusion describes
_ACCURACY = 69.43
_IMAGES_PER_SECOND = 16  # his NumPy code on two cores

RATES = (0.01, 0.05, 0.1)
PENALTIES = (0.001, 0.005, 0.01)
FILTERS = ((16, 32), (32, 32), (32, 64))
# He does not say how long each point was trained. What is best after these epochs is then trained
# as long as his network.
_SEARCH_EPOCHS = 3
_DROPOUTS = 8
_DROPOUT, _NEAR = 0.3, 0.15


_CAPTIONS = {
    "curves": "Loss and accuracy of training, validation and test images.",
    "variance": "Variance of the activations before training, by initialisation.",
    "filters": "Filters of the first convolution, as colours.",
    "biases": "Biases of all layers.",
    "gamma-beta": "Scale and shift of the two BatchNorm layers.",
    "heatmap": "Weights of the dense layer.",
    "feature-maps": "What each layer makes of one test image.",
    "probabilities": "The predicted probabilities for that image.",
}


def _point(lr: float, penalty: float, filters: tuple[int, int]) -> Experiment:
    changes = {"lr": lr, "weight_decay": penalty, "filters": filters, "epochs": _SEARCH_EPOCHS}
    return Experiment("cifar-cnn", changes, seeds=(42,))


GRID = {point: _point(*point) for point in itertools.product(RATES, PENALTIES, FILTERS)}


def _dropouts() -> list[float]:
    """The random rates, from 0 to 1."""
    return sorted({round(float(value), 2) for value in generator(42, "dropouts").random(_DROPOUTS)})


def _defaults(lab: Laboratory) -> Section:
    section = Section()
    runs, wide = lab.train([CNN, WIDE])
    reached(section, "cifar-cnn, filters 32 and 32", runs, _ACCURACY)
    reached(section, "cifar-cnn, filters 32 and 64", wide, _ACCURACY)
    section.lines.append(number("epochs run", of_result(runs, "epochs_run"), "20", ".1f"))
    section.lines.append(images_per_second(lab, CNN, _IMAGES_PER_SECOND))
    claim = "filters 32 and 64 are more accurate than 32 and 32"
    section.verdicts.append(exceeds(claim, test_accuracy(wide), test_accuracy(runs)))
    section.pictures += pictures("s3", runs[0], _CAPTIONS)
    second = {"filters": "Filters of the second convolution, as they see its first input map."}
    section.pictures += pictures("s3-second", runs[0], second, Options(layer=2, channel=0))
    return section


def _best(runs: Mapping[Any, Sequence[Saved]]) -> Any:
    """The point whose validation accuracy is highest."""
    return max(runs, key=lambda point: best_validation(runs[point]).mean)


def _grid(lab: Laboratory) -> Section:
    section = Section()
    runs = dict(zip(GRID, lab.train(list(GRID.values())), strict=True))
    found = {point: best_validation(records) for point, records in runs.items()}
    best = _best(runs)
    for point in sorted(GRID, key=lambda point: -found[point].mean):
        lr, penalty, filters = point
        section.lines.append(
            accuracy(
                f"rate {lr:g}, L2 {penalty:g}, filters {filters[0]}, {filters[1]}: validation",
                found[point],
            )
        )
    default = (0.01, 0.005, (32, 32))
    section.verdicts.append(
        exceeds(
            "the grid's best is more accurate on validation images than the author's default",
            found[best], found[default],
        )
    )  # fmt: skip
    trials = [
        ({"lr": lr, "weight_decay": penalty, "filters": filters}, values.mean)
        for (lr, penalty, filters), values in found.items()
    ]
    figure = plots.search_grid(trials, title="cifar-cnn: validation accuracy over the grid")
    section.pictures.append(
        Picture("s3-grid", figure, "The grid, a panel for each pair of filters.")
    )
    section.notes.append(
        f"Each point was trained once, for {length(runs[best])}; of {len(GRID)} points "
        f"rate {best[0]:g}, L2 {best[1]:g}, filters {best[2][0]} and {best[2][1]} is best. "
        f"The best of so many owes a part of its lead to luck."
    )
    return section


def _dropout(lab: Laboratory) -> Section:
    section = Section()
    grid = dict(zip(GRID, lab.train(list(GRID.values())), strict=True))
    best = GRID[_best(grid)]
    rates = _dropouts()
    runs = dict(zip(rates, lab.train([best.but(dropout=rate) for rate in rates]), strict=True))
    for rate in rates:
        line = accuracy(f"dropout {rate:g}: validation", best_validation(runs[rate]))
        section.lines.append(line)
    trials = [({"dropout": rate}, best_validation(runs[rate]).mean) for rate in rates]
    figure = plots.search_bars(
        trials, title="cifar-cnn: validation accuracy by dropout rate", scales={"dropout": "linear"}
    )
    section.pictures.append(Picture("s3-dropout", figure, "Random search over the dropout rate."))
    chosen = max(rates, key=lambda rate: best_validation(runs[rate]).mean)
    found = best.but(dropout=chosen, epochs=20)
    records = lab.train([found])[0]
    what = f"the best of both searches, dropout {chosen:g}, {length(records)}"
    reached(section, what, records, _ACCURACY)
    near = [rate for rate in rates if abs(rate - _DROPOUT) <= _NEAR]
    if near and len(near) < len(rates):
        best_near, best_far = (
            max((best_validation(runs[rate]) for rate in some), key=lambda sample: sample.mean)
            for some in (near, [rate for rate in rates if rate not in near])
        )
        claim = f"a dropout rate near the author's {_DROPOUT} (within {_NEAR}) is best"
        section.verdicts.append(exceeds(claim, best_near, best_far))
    return section


TABLES = (
    Table("S3.1", "The author's network", _defaults, (CNN, WIDE)),
    Table("S3.2", "Grid over rate, L2 and filters", _grid, tuple(GRID.values())),
    Table("S3.3", "Random search over dropout", _dropout),
)
