"""The files that a training run leaves, each of which appears only once it is complete."""

import importlib
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import Dataset
from ..files import write_text
from ..random import generator
from ..sequential import Sequential
from ..training.history import History

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
) -> None:
    """Write the tables, the model, the pictures, and last of all result.json.

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
    """
    write_text(out / "history.csv", history.to_csv())
    if history.gradients:
        write_text(out / "gradients.csv", history.gradients.to_csv())
    else:
        (out / "gradients.csv").unlink(missing_ok=True)  # an earlier run's
    model.save(out / "best.npz")
    if pictures and _can_draw():
        _draw(out, model, data, history, result, best_epoch)
    write_text(out / "result.json", json.dumps(result, indent=2) + "\n")


def _can_draw() -> bool:
    """Whether Matplotlib can be imported: it needs a folder of the user's, or a temporary one."""
    try:
        importlib.import_module("fastcnn.plots.figure")
    except OSError as error:
        warnings.warn(f"no pictures are drawn: {error}", RuntimeWarning, stacklevel=3)
        return False
    return True


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
    if history.epochs:
        plots.save(plots.curves(history, title, best_epoch), out / "curves.png")
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
