"""Labels of any kind as class numbers from 0, with the names of the classes."""

from collections.abc import Sequence

import numpy as np

from ..dataset import DataError, listing

_MOST = 100_000  # classes


def natural(names: Sequence[str]) -> list[str]:
    """Names in order, numbers by their value: 2 before 10."""
    if all(name.isdecimal() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def numbered(
    source: str,
    labels: Sequence[np.ndarray],
    names: Sequence[str] | None = None,
    whole: bool = False,
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Class numbers, int64 (N,), of each part, and the names of the classes.

    Parameters
    ----------
    source : str
        Begins the sentence if they cannot be used.
    labels : sequence of array
        Of each part: whole numbers, texts, or one-hot rows.
    names : sequence of str, optional
        Of the classes, where they are known.
    whole : bool
        Whether they are to be measured, not learned: some classes may be missing, any but one even.

    Raises
    ------
    DataError
        If they are not labels, or, to be learned, do not begin at 0 or are all the same.
    """
    plain = [_plain(source, part) for part in labels]
    together = np.concatenate(plain)
    if together.dtype.kind == "U":
        order = natural([str(name) for name in np.unique(together)])
        number = {name: index for index, name in enumerate(order)}
        plain = [np.array([number[str(label)] for label in part], np.int64) for part in plain]
        names = order
        together = np.concatenate(plain)
    low, high = int(together.min()), int(together.max())
    if low > 0 and names is None and not whole:
        raise DataError(
            f"{source}: the labels go from {low} to {high}, but classes are numbered from 0; "
            f"subtract {low}, or give texts instead of numbers"
        )
    if high >= _MOST:
        raise DataError(_beyond(source, high))
    if names is not None and high >= len(names):
        raise DataError(f"{source}: there is a label {high}, but only {len(names)} class names")
    if low == high and not whole:
        raise DataError(
            f"{source}: all labels are the same, so there is nothing to tell apart; two classes "
            f"or more are needed"
        )
    if names is None:
        names = [str(number) for number in range(high + 1)]
    return plain, tuple(map(str, names))


def without_images(labels: np.ndarray, names: Sequence[str]) -> tuple[str, ...]:
    """A note on classes of which there is no training image."""
    present = np.bincount(labels, minlength=len(names)) > 0
    absent = [name for name, there in zip(names, present, strict=True) if not there]
    if not absent:
        return ()
    return (f"There is no training image of {listing(absent[:10])}.",)


def _plain(source: str, labels: np.ndarray) -> np.ndarray:
    """Labels as int64 or as texts, (N,)."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and labels.dtype.kind in "iufb":
        if not (((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all()):
            raise DataError(
                f"{source}: labels of shape {labels.shape} are read as one-hot rows, with a single "
                f"1 in each; these have others: {_else(labels)}"
            )
        return labels.argmax(axis=1).astype(np.int64)
    if labels.ndim != 1:
        raise DataError(f"{source}: labels must be one per image, got shape {labels.shape}")
    if labels.dtype.kind == "S":
        return np.char.decode(labels, "utf-8", "replace")
    if labels.dtype.kind == "U":
        return labels
    if labels.dtype.kind not in "iufb":
        raise DataError(f"{source}: labels must be whole numbers or texts, got {labels.dtype}")
    if labels.dtype.kind == "f":
        wrong = ~np.isfinite(labels) | (labels != np.round(labels))
        if wrong.any():
            at = int(np.argmax(wrong))
            raise DataError(
                f"{source}: label {at:,} is {labels[at]}, which is no class number; "
                f"numbers are learned with --task regression"
            )
    if labels.size and labels.min() < 0:
        raise DataError(
            f"{source}: there is a label {labels.min():.10g}; classes are numbered from 0, and "
            f"numbers are learned with --task regression"
        )
    if labels.size and labels.max() >= _MOST:  # as int64 it could be another number
        raise DataError(_beyond(source, labels.max()))
    return labels.astype(np.int64)


def _else(rows: np.ndarray) -> str:
    """What rows that are not one-hot are learned with."""
    if ((rows == 0) | (rows == 1)).all():
        return "several labels of an image are learned with --task multilabel"
    return "numbers are learned with --task regression"


def _beyond(source: str, label: float) -> str:
    return (
        f"{source}: there is a label {label}, which can hardly be a class; numbers are learned "
        f"with --task regression"
    )
