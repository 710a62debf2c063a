"""What is learned of each image, if not its class: numbers, or which of several labels it has."""

from collections.abc import Sequence

import numpy as np

from ...tasks import CLASSIFICATION, MULTILABEL, REGRESSION
from ..dataset import DataError
from .labels import numbered


def targets(
    source: str,
    given: Sequence[np.ndarray],
    names: Sequence[str] | None = None,
    whole: bool = False,
    task: str = CLASSIFICATION,
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """The targets of each part as training takes them, and the names of classes or labels.

    Parameters
    ----------
    source : str
        Begins the sentence if they cannot be used.
    given : sequence of array
        Those of each part.
    names : sequence of str, optional
        Of the classes, labels or numbers, where they are known.
    whole : bool
        As in `numbered`.
    task : {"classification", "multilabel", "regression"}
        Class numbers int64 (N,), rows of 0 and 1 uint8 (N, labels), or numbers float32
        (N, numbers).

    Raises
    ------
    DataError
        If they are no such targets.
    """
    if task == CLASSIFICATION:
        return numbered(source, given, names, whole)
    rows = [_rows(source, part, task) for part in given]
    widths = sorted({part.shape[1] for part in rows})
    if len(widths) > 1:
        raise DataError(
            f"{source}: the parts have {' and '.join(map(str, widths))} targets for each image; "
            f"they must have equally many"
        )
    if names is not None and len(names) != widths[0]:
        raise DataError(
            f"{source}: there are {len(names)} class_names for {widths[0]} targets of each image"
        )
    if task == REGRESSION:
        return rows, tuple(names or ())
    return rows, tuple(names or map(str, range(widths[0])))


def _rows(source: str, given: np.ndarray, task: str) -> np.ndarray:
    """Targets as (N, K)."""
    what = "numbers" if task == REGRESSION else "0 or 1 for each label"
    if given.dtype.kind not in "iufb":
        raise DataError(f"{source}: --task {task} learns {what}, and the targets are texts")
    if task == REGRESSION and given.ndim == 1:
        given = given[:, None]
    if given.ndim != 2 or not given.size:
        shapes = "(N,) or (N, numbers)" if task == REGRESSION else "(N, labels)"
        raise DataError(
            f"{source}: --task {task} learns {what} of N images, an array of shape {shapes}, got "
            f"shape {given.shape}"
        )
    if task == REGRESSION:
        with np.errstate(over="ignore"):
            rows = given.astype(np.float32)
        fits = np.isfinite(rows)
        says = "which is no number that can be learned"
    else:
        rows, fits = given.astype(np.uint8), (given == 0) | (given == 1)
        says = "but labels are 1 (there) or 0 (not there); numbers are --task regression"
    if not fits.all():
        row, column = (int(each[0]) for each in np.nonzero(~fits))
        raise DataError(
            f"{source}: target {column} of image {row:,} is {given[row, column]}, {says}"
        )
    return rows


def only_classes(source: str, task: str) -> None:
    """Refuse what holds classes where something else is to be learned.

    Raises
    ------
    DataError
        Says which files hold it.
    """
    if task != CLASSIFICATION:
        what = "several labels of an image" if task == MULTILABEL else "numbers"
        files = ".npz" if task == MULTILABEL else ".npz or CSV"
        raise DataError(
            f"{source} holds classes, which task {task} is not about: {what} are read from {files} "
            f"files of your own"
        )
