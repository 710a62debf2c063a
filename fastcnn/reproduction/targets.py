"""The test accuracies that this package sets itself, for the five systems and beyond."""

import functools

from .laboratory import Experiment, Laboratory
from .sections import Section, Table, length, reached

# What the search of examples/search/s3-beyond.toml found, for as long as the author trains.
FOUND = Experiment(
    "cifar-cnn",
    {
        "preset": "tuned", "filters": (32, 64), "dropout": 0.498, "flip": True,
        "loss_reduction": "mean",
        "optimizer": "adam", "lr": 0.00926, "weight_decay": 2.59e-4, "schedule": "onecycle",
        "clip_norm": None, "patience": None,
    },
    seeds=(42,),
)  # fmt: skip

# More epochs on all training images, against the 7 points between training and test images that the
# preset ends with: five times its weight decay, and squares cut out of the images.
LONGER = Experiment(
    "resnet20",
    {"epochs": 75, "validation": 0.0, "weight_decay": 5e-4, "nesterov": True, "cutout": 8},
    seeds=(42,),
)

# What it is called, experiment, test accuracy in percent that is wanted, where it comes from.
TARGETS = (
    ("mnist-baseline", Experiment("mnist-baseline"), 98.5),
    ("mnist-optimized, tuned", Experiment("mnist-optimized", {"preset": "tuned"}), 99.3),
    ("lenet5, tuned", Experiment("lenet5", {"preset": "tuned", "epochs": 50}), 98.17),
    ("cifar-cnn, tuned", Experiment("cifar-cnn", {"preset": "tuned"}), 69.43),
    ("cifar-cnn, what a search found (his PyTorch twin)", FOUND, 72.84),
    ("cifar-mlp, tuned", Experiment("cifar-mlp", {"preset": "tuned"}, seeds=(42,)), 58.12),
)
DEEP = (
    ("resnet20, with augmentation", Experiment("resnet20", seeds=(42,)), 90.0),
    ("resnet20, longer, with more augmentation", LONGER, 90.0),
)


def _table(rows: tuple[tuple[str, Experiment, float], ...], lab: Laboratory) -> Section:
    section = Section()
    runs = lab.train([experiment for _, experiment, _ in rows])
    for (what, _, wanted), records in zip(rows, runs, strict=True):
        reached(section, f"{what}, {length(records)}", records, wanted)
    return section


def _made_of(name: str, title: str, rows: tuple[tuple[str, Experiment, float], ...]) -> Table:
    return Table(name, title, functools.partial(_table, rows), [row[1] for row in rows])


TABLES = (
    _made_of("targets.1", "The authors' networks", TARGETS),
    _made_of("targets.2", "A residual network, which takes an hour", DEEP),
)
