"""How much each sample counts: weights of samples, and of the classes that they belong to."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..checks import unknown
from ..losses import CLASSIFICATION
from ..losses.asked import Task
from ..losses.base import checked_weights

BALANCED = "balanced"
Classes = Mapping[Any, float] | str | None


def of_samples(who: str, weights: Any, rows: int) -> np.ndarray | None:
    """Weights that people give, as float64 (rows,); None if there are none.

    Raises
    ------
    TypeError, ValueError
        If they are no weights, or all of them 0.
    """
    if weights is None:
        return None
    weights = checked_weights(f"{who}: sample_weight", weights, rows)
    if not weights.any():
        raise ValueError(f"{who}: sample_weight must not be 0 for all samples")
    return weights


def of_classes(
    who: str, wanted: Classes, y: np.ndarray, classes: int, names: tuple[str, ...] | None
) -> np.ndarray:
    """The weight of each class, float64 (classes,).

    Parameters
    ----------
    wanted : mapping or "balanced"
        Class number or name -> weight, 1 for those not named; "balanced": N / (K * n) for a class
        of n among N samples of K classes that occur, so that each counts the same.
    y : int (N,) or rows of probabilities
        What is counted.

    Raises
    ------
    ValueError
        If there is no such class, or a weight is none.
    """
    if isinstance(wanted, str):
        if wanted != BALANCED:
            raise ValueError(f"{who}: class_weight must be a dict or {BALANCED!r}, got {wanted!r}")
        counts = np.bincount(y, minlength=classes) if y.ndim == 1 else y.sum(axis=0, dtype=float)
        occurs = counts > 0
        return np.where(occurs, counts.sum() / (occurs.sum() * np.where(occurs, counts, 1)), 1.0)
    if not isinstance(wanted, Mapping):
        raise ValueError(f"{who}: class_weight must be a dict or {BALANCED!r}, got {wanted!r}")
    weights = np.ones(classes)
    for name, weight in wanted.items():
        weights[_place(who, name, classes, names)] = checked_weights(
            f"{who}: class_weight", np.atleast_1d(weight), 1
        )[0]
    return weights


def _place(who: str, name: Any, classes: int, names: tuple[str, ...] | None) -> int:
    if isinstance(name, str):
        if names is None:
            raise ValueError(
                f"{who}: class_weight names the class {name!r}, but the classes have no names: "
                f"give numbers"
            )
        if name not in names:
            raise ValueError(f"{who}: class_weight: {unknown('class', name, names)}")
        return names.index(name)
    is_number = isinstance(name, int | np.integer) and not isinstance(name, bool)
    if not is_number or not 0 <= name < classes:
        raise ValueError(f"{who}: class_weight is for classes 0 to {classes - 1}, got {name!r}")
    return int(name)


def together(
    who: str,
    task: Task,
    sample: np.ndarray | None,
    wanted: Classes,
    y: np.ndarray,
    outputs: Sequence[int],
    names: tuple[str, ...] | None,
) -> np.ndarray | None:
    """Both kinds of weight multiplied, (N,); None if there are none.

    A row of probabilities weighs what its classes weigh in the mean.

    outputs : shape of what the model gives, (N, classes)
    """
    if wanted is None:
        return sample
    if isinstance(task, tuple):
        raise ValueError(
            f"{who}: class_weight is for one output of classes; for several outputs give "
            f"sample_weight"
        )
    if task != CLASSIFICATION:
        raise ValueError(f"{who}: class_weight is for classes; for {task} give sample_weight")
    if len(outputs) > 2:
        raise ValueError(
            f"{who}: class_weight is for one class for each sample, and this model gives one for "
            f"each place; give sample_weight, or a loss of your own"
        )
    by_class = of_classes(who, wanted, y, outputs[1], names)
    weights = by_class[y] if y.ndim == 1 else y @ by_class
    weights = weights if sample is None else weights * sample
    if not weights.any():
        raise ValueError(f"{who}: the weights must not be 0 for all samples")
    return weights
