"""The files that a training run leaves, each of which appears only once it is complete."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import Dataset
from ..files import write_text
from ..losses import CrossEntropyLoss
from ..plots.curves import NATS
from ..random import generator
from ..sequential import Sequential
from ..training.history import History
from .folder import HISTORY, MODEL, PICTURES, RESULT

_PICTURED = 10  # test images in predictions.png


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


def accuracies(history: History) -> dict[str, Any]:
    """What the best epoch has measured, for result.json."""
    best = history.row(history.best_epoch - 1) if history.best_epoch else {}
    return {
        "epochs_run": history.epochs,
        "best_epoch": history.best_epoch,
        "train_loss": best.get("loss"),
        "train_accuracy": best.get("accuracy"),
        "test_loss": best.get("test_loss"),
        "test_accuracy": best.get("test_accuracy"),
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
    return [
        f"{history.stopped_because}: {epochs} in {result['seconds_total']:.2f} s, "
        f"{result['seconds_per_epoch']:.2f} s per epoch, "
        f"{result['images_per_second']:,.0f} images/s",
        f"{which} epoch {history.best_epoch}: test loss {result['test_loss']:.4f}, "
        f"test accuracy {result['test_accuracy']:.2%}",
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
    images, labels = data.x_test[order], data.y_test[order]
    predicted = model.predict(images)
    title += f": {np.sum(predicted == labels)} of {len(labels)} random test images right"
    sheet = plots.predictions(images, labels, predicted, data.class_names, title)
    plots.save(sheet, out / "predictions.png")


def peak_memory_mb() -> float | None:
    """Most memory this process has held so far, in MB (10^6 bytes); None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6
