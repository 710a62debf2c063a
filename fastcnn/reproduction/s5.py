"""S5: a three-layer MLP on CIFAR-10 and its grid of eight."""

import itertools

from .. import plots
from .laboratory import Experiment, Laboratory
from .sections import (
    Picture,
    Section,
    Table,
    accuracy,
    best_validation,
    images_per_second,
    pictures,
    reached,
    test_accuracy,
)
from .verdicts import stated

MLP = Experiment("cifar-mlp", seeds=(42,))
_IMAGES_PER_SECOND = 907  # the author's NumPy code on two cores
# The ranges of his grid, in percent.
_VALIDATION = (51.65, 58.94)
_TEST = (50.73, 58.12)
_NEAR = 2  # points

HIDDEN = (512, 1024)
RATES = (0.005, 0.01)
PENALTIES = (0.005, 0.01)


_CAPTIONS = {
    "curves": "Loss and accuracy of the grid's best network.",
    "hidden": "Weights of hidden units, as the images that they look for.",
    "heatmap": "Weights from the hidden units to the classes.",
    "histograms": "Weights of both layers.",
    "norms": "Norms of the weights of each unit.",
    "gamma-beta": "Scale and shift of BatchNorm.",
    "important": "For each class the hidden units that weigh most.",
}


GRID = {
    (hidden, lr, penalty): MLP.but(hidden=hidden, lr=lr, weight_decay=penalty)
    for hidden, lr, penalty in itertools.product(HIDDEN, RATES, PENALTIES)
}
GRID[1024, 0.01, 0.01] = MLP  # its settings, which need no second run


def _grid(lab: Laboratory) -> Section:
    section = Section()
    runs = dict(zip(GRID, lab.train(list(GRID.values())), strict=True))
    order = sorted(GRID, key=lambda point: -best_validation(runs[point]).mean)
    for hidden, lr, penalty in order:
        records = runs[hidden, lr, penalty]
        what = f"hidden {hidden}, rate {lr:g}, L2 {penalty:g}"
        section.lines += [
            accuracy(f"{what}: validation", best_validation(records)),
            accuracy(f"{what}: test", test_accuracy(records)),
        ]
    reached(section, "best of the grid by validation", runs[order[0]], _TEST[1])
    reached(section, "worst of the grid by validation", runs[order[-1]], _TEST[0])
    section.lines.append(images_per_second(lab, MLP, _IMAGES_PER_SECOND))
    values = [best_validation(records).mean for records in runs.values()]
    apart = _VALIDATION[1] - _VALIDATION[0]
    ours = f"{100 * min(values):.2f} to {100 * max(values):.2f} %"
    section.verdicts.append(
        stated(
            f"the settings of the grid lie {apart:.1f} points of validation accuracy apart (ours "
            f"within {_NEAR} points of that)",
            abs(100 * (max(values) - min(values)) - apart) <= _NEAR, f"ours from {ours}",
        )
    )  # fmt: skip
    trials = [
        ({"lr": lr, "weight_decay": penalty, "hidden": hidden}, best_validation(records).mean)
        for (hidden, lr, penalty), records in runs.items()
    ]
    figure = plots.search_grid(trials, title="cifar-mlp: validation accuracy over the grid")
    section.pictures.append(Picture("s5-grid", figure, "The grid, a panel for each hidden size."))
    section.pictures += pictures("s5", runs[order[0]][0], _CAPTIONS)
    return section


TABLES = (Table("S5.1", "Grid over hidden units, rate and L2", _grid, tuple(GRID.values())),)
