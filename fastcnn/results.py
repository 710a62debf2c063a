"""The files that a training run leaves, each of which appears only once it is complete."""

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .config import PlaceError
from .data import Dataset
from .history import History
from .model import Sequential
from .random import generator

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
    if pictures:
        _draw(out, model, data, history, result, best_epoch)
    write_text(out / "result.json", json.dumps(result, indent=2) + "\n")


def _draw(
    out: Path,
    model: Sequential,
    data: Dataset,
    history: History,
    result: dict[str, Any],
    best_epoch: int | None,
) -> None:
    """curves.png and predictions.png."""
    from . import plots

    title = f"{result['model']} on {result['dataset']}"
    if history.epochs:
        plots.save(plots.curves(history, title, best_epoch), out / "curves.png")
    order = generator(result["seed"], "pictures").permutation(len(data.x_test))[:_PICTURED]
    images, labels = data.x_test[order], data.y_test[order]
    predicted = model.predict(images)
    title += f": {np.sum(predicted == labels)} of {len(labels)} random test images right"
    sheet = plots.predictions(images, labels, predicted, data.class_names, title)
    plots.save(sheet, out / "predictions.png")


def write_text(path: Path, text: str) -> None:
    """Write a text file that appears only once it is complete."""
    with complete(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def complete(path: Path) -> Iterator[Path]:
    """A temporary place beside `path` for what becomes that file once it is complete.

    Raises
    ------
    OSError
        If it cannot be written: a sentence that names `path`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def make_folder(folder: Path) -> None:
    """Make a folder unless there is one, and find out now whether files can be written there.

    Raises
    ------
    PlaceError
        If they cannot; one sentence, which names the folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        file = next(filter(os.path.isfile, (folder, *folder.parents)), None)
        reason: object = error.strerror or error
        if file is not None:
            reason = f"{'it' if file == folder else file} is a file, not a folder"
        raise PlaceError(f"the folder {folder} cannot be written to: {reason}") from None


def peak_memory_mb() -> float | None:
    """Most memory this process has held so far, in MB (10^6 bytes); None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6
