"""S5: a three-layer MLP on CIFAR-10: the four settings of its author's table."""

from .. import plots
from .laboratory import Experiment, Laboratory, Question
from .sections import (
    Picture,
    Section,
    Table,
    best_validation,
    images_per_second,
    pictures,
    reached,
    share,
)
from .verdicts import differs, stated

MLP = Experiment("cifar-mlp")
TUNED = Experiment("cifar-mlp", {"preset": "tuned"}, seeds=(42,))
_IMAGES_PER_SECOND = 907  # the author's NumPy code on two cores
# (hidden, rate, L2) -> validation and test accuracy in percent.
THEIRS = {
    (512, 0.005, 0.005): (51.65, 50.73), (512, 0.01, 0.01): (53.28, 52.16),
    (1024, 0.005, 0.01): (56.43, 55.29), (1024, 0.01, 0.01): (58.94, 58.12),
}  # fmt: skip
BEST = (1024, 0.01, 0.01)
GRID = {
    point: MLP if point == BEST
    else MLP.but(hidden=point[0], lr=point[1], weight_decay=point[2])
    for point in THEIRS
}  # fmt: skip
_NORMAL = 1.0  # excess kurtosis below which numbers count as near a normal distribution

_CAPTIONS = {
    "curves": "Loss and accuracy of the author's best network.",
    "hidden": "Weights of hidden units, as the images that they look for.",
    "heatmap": "Weights from the hidden units to the classes.",
    "histograms": "Weights of both layers.",
    "norms": "Norms of the weights of each unit.",
    "gamma-beta": "Scale and shift of BatchNorm.",
    "important": "For each class the hidden units that weigh most.",
}


def _table(lab: Laboratory) -> Section:
    section = Section()
    runs = dict(zip(GRID, lab.train(list(GRID.values())), strict=True))
    for point, (validation, test) in THEIRS.items():
        name = f"hidden {point[0]}, rate {point[1]:g}, L2 {point[2]:g}"
        section.lines.append(share(f"{name}: validation", best_validation(runs[point]), validation))
        reached(section, name, runs[point], test)
    reached(section, "tuned (ours)", lab.train([TUNED])[0], THEIRS[BEST][1])
    section.lines.append(images_per_second(lab, MLP, _IMAGES_PER_SECOND))
    others = [point for point in GRID if point != BEST]
    found = lab.decide([Question(MLP, GRID[point], best_validation, seeds=6) for point in others])
    for point, evidence in zip(others, found, strict=True):
        name = f"hidden {point[0]}, rate {point[1]:g}, L2 {point[2]:g}"
        section.verdicts.append(differs(f"the last row is best: better than {name}", evidence))
    tails = [
        abs(each[2]) for run in runs[BEST] for name, each in run.arrays.items()
        if name.endswith("weight")
    ]  # fmt: skip
    section.verdicts += [
        stated("weights are near a normal distribution", max(tails) < _NORMAL,
               f"excess kurtosis of a layer up to {max(tails):.2f} (near: below {_NORMAL:g})"),
        stated("first-layer weights are edge and colour detectors", None,
               "no number says so: look at the picture of the hidden units"),
        stated("every class relies on hidden units of its own", None,
               "no number says so: look at the picture of the units that weigh most"),
    ]  # fmt: skip
    trials = [
        ({"lr": lr, "weight_decay": penalty, "hidden": hidden}, best_validation(records).mean)
        for (hidden, lr, penalty), records in runs.items()
    ]
    picture = plots.search_grid(trials, title="cifar-mlp: validation accuracy of the four settings")
    section.pictures.append(Picture("s5-grid", picture, "A panel for each hidden size."))
    section.pictures += pictures("s5", lab.saved(MLP), _CAPTIONS)
    return section


TABLES = (Table("S5.1", "Hidden units, rate and L2", _table, (*GRID.values(), TUNED), (MLP,)),)
