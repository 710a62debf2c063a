"""Transfer learning: what a network learned from many images helps it with few of another kind.

python examples/transfer.py --source mnist --target digits

prints the test accuracy after training on some of the target's images, as mean and standard
deviation over seeds, which choose the images and the new weights.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from fastcnn import Sequential, datasets, models
from fastcnn.optim import Adam
from fastcnn.random import generator

parser = argparse.ArgumentParser()
parser.add_argument("--source", default="mnist")
parser.add_argument("--target", default="digits", help="digits, fashion-mnist, ...")
parser.add_argument("--model", default="mnist-baseline")
parser.add_argument("--images", type=int, nargs="+", default=[50, 100, 200])
parser.add_argument("--seeds", type=int, default=5)
options = parser.parse_args()
WAYS = ("from scratch", "from the source", "with a new last layer", "the last layer alone")


def begin(way: str, classes: int, seed: int, file: Path) -> Sequential:
    """The network before it sees the target."""
    model = models.build(options.model, seed=seed, classes=classes)
    if way != "from scratch":
        model.load_fitting(file)
    if way in ("with a new last layer", "the last layer alone"):
        model.replace_head(classes)
    if way == "the last layer alone":
        model.freeze("all-but-last")
    return model


def main() -> None:
    """Train on the source, then print the table."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = datasets.load(options.source), datasets.load(options.target)
        file, classes = Path(folder) / "source.npz", len(target.class_names)
        teacher = models.build(options.model, classes=len(source.class_names))
        teacher.train(source.x_train, source.y_train, epochs=2, optimizer=Adam())
        teacher.save(file)
        accuracy = teacher.evaluate(source.x_test, source.y_test)[1]
        what = f"{options.model} on {options.source}"
        print(f"{what}: test accuracy {accuracy:.1%}; on {options.target}:\n")
        print(f"| images | {' | '.join(WAYS)} |\n|---|---|---|---|---|")
        for count in options.images:
            cells = [f"{count}"]
            for way in WAYS:
                accuracies = []
                for seed in range(options.seeds):
                    model = begin(way, classes, seed, file)
                    rows = generator(seed, "transfer").permutation(len(target.x_train))[:count]
                    x, y = target.x_train[rows], target.y_train[rows]
                    model.train(x, y, epochs=60, batch_size=10, optimizer=Adam(), seed=seed)
                    accuracies.append(100 * model.evaluate(target.x_test, target.y_test)[1])
                cells.append(f"{np.mean(accuracies):.1f} ± {np.std(accuracies):.1f} %")
            print(f"| {' | '.join(cells)} |", flush=True)


try:
    main()
except ValueError as error:  # no such name, missing files, a model for other images
    reason = getattr(error, "reason", error)  # the advice of missing files is for fastcnn.train
    parser.exit(
        2, f"error: {reason}; choose with --source, --target (digits needs no files) and --model\n"
    )
