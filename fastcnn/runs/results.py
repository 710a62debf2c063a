"""The files that a training run leaves, each of which appears only once it is complete."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..datasets import Dataset
from ..files import write_text
from ..losses import CLASSIFICATION, REGRESSION, CrossEntropyLoss
from ..network.intake import turned
from ..network.measures import MEASURES
from ..plots.curves import NATS
from ..random import generator
from ..sequential import Sequential
from ..trainable import Trainable
from ..training.history import History
from .folder import HISTORY, MODEL, PICTURES, RESULT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PICTURED = 10  # test images in predictions.png

# What is said of the best epoch besides its loss, as far as the task has it.
_TOLD = {
    "test_accuracy": ("test accuracy", ".2%"),
    "test_exact_match": ("exact match", ".2%"),
    "test_label_accuracy": ("label accuracy", ".2%"),
    "test_r2": ("R2", ".4f"),
    "test_mae": ("mean absolute error", ".4g"),
}


def write(
    out: Path,
    model: Sequential,
    data: Dataset,
    history: History,
    result: dict[str, Any],
    best_epoch: int | None = None,
    *,
    pictures: bool = True,
) -> list[str]:
    """Write the tables, the model, the pictures, and last of all result.json.

    A network without an epoch is not kept, and pictures that cannot be drawn stop nobody.

    Parameters
    ----------
    out : Path
        A folder that exists.
    model : Sequential
        The trained model.
    data : Dataset
        Its test images are shown with the model's predictions.
    history : History
        What training returned.
    result : dict
        What result.json shall hold.
    best_epoch : int, optional
        Marked in the curves.
    pictures : bool
        False: without the two pictures.

    Returns
    -------
    list of str
        What should be known of it, each a sentence.
    """
    notes = []
    write_text(out / HISTORY, history.to_csv())
    if history.gradients:
        write_text(out / "gradients.csv", history.gradients.to_csv())
    else:
        (out / "gradients.csv").unlink(missing_ok=True)  # an earlier run's
    if history.epochs:
        model.save(out / MODEL)
        for name in PICTURES:  # those of fewer epochs
            (out / name).unlink(missing_ok=True)
        if pictures:
            try:
                _draw(out, model, data, history, result, best_epoch)
            except Exception as error:  # Matplotlib's settings, fonts and folders are not ours
                notes.append(f"the pictures could not be drawn: {error}")
    write_text(out / RESULT, json.dumps(result, indent=2) + "\n")
    return notes


def accuracies(history: History, task: str = CLASSIFICATION) -> dict[str, Any]:
    """What the best epoch has measured, for result.json: the loss, and what fits the task."""
    best = history.row(history.best_epoch - 1) if history.best_epoch else {}
    names = ("loss", *MEASURES[task])
    return {
        "epochs_run": history.epochs,
        "best_epoch": history.best_epoch,
        **{f"train_{name}": best.get(name) for name in names},
        **{f"test_{name}": best.get(f"test_{name}") for name in names},
    }


def times(history: History, images: float) -> dict[str, Any]:
    """How long it took, for result.json, where an epoch trains on so many images."""
    total = sum(history.get("seconds", ()))
    trained = sum(history.get("seconds_training", ()))
    return {
        "seconds_total": total,
        "seconds_per_epoch": total / history.epochs if history.epochs else None,
        "images_per_second": history.epochs * images / trained if trained else None,
    }


def summary(history: History, result: dict[str, Any], out: Path, is_validated: bool) -> list[str]:
    """How a run has ended, in lines for a person."""
    if not history.epochs:
        return []
    epochs = "1 epoch" if history.epochs == 1 else f"{history.epochs} epochs"
    which = "best" if is_validated else "last"
    told = [
        f"{words} {result[name]:{form}}" for name, (words, form) in _TOLD.items() if name in result
    ]
    return [
        f"{history.stopped_because}: {epochs} in {result['seconds_total']:.2f} s, "
        f"{result['seconds_per_epoch']:.2f} s per epoch, "
        f"{result['images_per_second']:,.0f} images/s",
        f"{which} epoch {history.best_epoch}: test loss {result['test_loss']:.4f}, "
        f"{', '.join(told)}",
        f"results in {out}",
    ]


def _draw(
    out: Path,
    model: Sequential,
    data: Dataset,
    history: History,
    result: dict[str, Any],
    best_epoch: int | None,
) -> None:
    """curves.png and predictions.png."""
    from .. import plots

    title = f"{result['model']} on {data.title}"
    loss = NATS if isinstance(model.loss, CrossEntropyLoss) else type(model.loss).__name__
    plots.save(plots.curves(history, title, best_epoch, loss), out / "curves.png")
    order = generator(result["seed"], "pictures").permutation(len(data.x_test))[:_PICTURED]
    plots.save(sheet(model, data, order, title), out / "predictions.png")


def sheet(model: Trainable, data: Dataset, rows: np.ndarray, title: str) -> "Figure":
    """Some test images with what is true of them and what the network says.

    Parameters
    ----------
    model : Sequential or Graph
        One output, for the dataset's task.
    rows : int (n,)
        Which test images.
    title : str
        Begins the heading.
    """
    from .. import plots

    images, true = data.x_test[rows], data.y_test[rows]
    found = model.predict(turned(model, images))
    if data.task == CLASSIFICATION:
        title += f": {np.sum(found == true)} of {len(true)} random test images right"
        return plots.predictions(images, true, found, data.class_names, title)
    said = [
        f"true: {_words(data, one)}\npredicted: {_words(data, other)}"
        for one, other in zip(true, found.reshape(true.shape), strict=True)
    ]
    return plots.given(images, said, f"{title}: {len(true)} random test images")


def _words(data: Dataset, row: np.ndarray) -> str:
    """Numbers, or the labels that are there."""
    if data.task == REGRESSION:
        return ", ".join(f"{number:.{4 if len(row) == 1 else 3}g}" for number in row)
    names = [name for name, there in zip(data.class_names, row, strict=True) if there > 0.5]
    return ", ".join(names) or "none"


def peak_memory_mb() -> float | None:
    """Most memory this process has held so far, in MB (10^6 bytes); None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6
