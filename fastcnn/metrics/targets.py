"""How good predicted numbers are, and labels of which an image has any number."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..checks import refuse_nan
from ..random import generator
from .intervals import RESAMPLES, Measured, mean, percentiles, share, wilson


@dataclass(frozen=True, eq=False)
class Figures:
    """What was measured of a network that is for numbers or for several labels.

    Attributes
    ----------
    count : int
        Images.
    overall : dict
        Name -> `Measured`: of numbers "r2" (averaged over them), "rmse" and "mae"; of labels "loss"
        (nats), "exact_match", "label_accuracy" and "macro f1".
    each : dict
        Name of each of several numbers -> the same of it; of a label -> "precision", "recall" and
        "f1".
    support : dict
        Label -> images that have it.

    Examples
    --------
    >>> figures = measure_numbers(np.array([[1.0], [2.0]]), np.array([[1.0], [3.0]]))
    >>> figures.overall["mae"].value, figures.overall["r2"].value
    (0.5, 0.5)
    """

    count: int
    overall: dict[str, Measured]
    each: dict[str, dict[str, Measured]]
    support: dict[str, int]


def measure_numbers(found: np.ndarray, true: np.ndarray, names: Sequence[str] = ()) -> Figures:
    """How near numbers are to what they should be.

    Parameters
    ----------
    found, true : float (N, numbers)
        What the network gives, and what it should give.
    names : sequence of str
        What the numbers are called; default: counted from 0.

    Raises
    ------
    ValueError
        If there is no image, shapes do not fit, or there is NaN among the numbers found.

    Examples
    --------
    >>> figures = measure_numbers(np.array([[1.0], [2.0]]), np.array([[1.0], [3.0]]))
    >>> round(figures.overall["rmse"].value, 3)
    0.707
    """
    names = _checked(found, true, names)
    errors = found.astype(np.float64) - true
    moved = true.astype(np.float64) - true[0]  # so that no square is rounded off
    columns = np.concatenate([errors**2, moved, moved**2], axis=1)
    value, draws = (_explained(sums, len(true)) for sums in (columns.sum(axis=0), _sums(columns)))

    def of(number: int | slice) -> dict[str, Measured]:
        part = errors[:, number].reshape(len(true), -1)
        square = mean((part**2).mean(axis=1))
        drawn = draws[:, number].reshape(len(draws), -1).mean(axis=1)
        return {
            "r2": percentiles(float(np.mean(value[number])), drawn),
            "rmse": Measured(*map(math.sqrt, (square.value, square.low, square.high))),
            "mae": mean(np.abs(part).mean(axis=1)),
        }

    each = {name: of(i) for i, name in enumerate(names)} if len(names) > 1 else {}
    return Figures(len(true), of(slice(None)), each, {})


def measure_labels(logits: np.ndarray, labels: np.ndarray, names: Sequence[str] = ()) -> Figures:
    """How often labels are right: all of an image together, and each by itself.

    Parameters
    ----------
    logits : float (N, labels)
        What the network gives before its sigmoid; above 0 a label is taken to be there.
    labels : (N, labels)
        1 where a label is there, else 0.
    names : sequence of str
        What the labels are called; default: counted from 0.

    Raises
    ------
    ValueError
        As `measure_numbers`.

    Examples
    --------
    >>> figures = measure_labels(np.array([[2.0, -1.0], [1.0, 1.0]]), np.array([[1, 0], [1, 0]]))
    >>> figures.overall["exact_match"].value, figures.overall["label_accuracy"].value
    (0.5, 0.75)
    """
    names, there = _checked(logits, labels, names), labels > 0.5
    said = logits > 0
    right, z = said == there, logits.astype(np.float64)
    losses = np.maximum(z, 0) - z * there + np.log1p(np.exp(-np.abs(z)))
    columns = np.concatenate([said & there, said, there], axis=1).astype(np.float64)
    hits, chosen, support = columns.sum(axis=0).reshape(3, -1).astype(int)
    f1, draws = (
        share(2 * sums[..., 0, :], sums[..., 1, :] + sums[..., 2, :])
        for sums in (each.reshape(*each.shape[:-1], 3, -1) for each in
                     (columns.sum(axis=0), _sums(columns)))
    )  # fmt: skip
    shares = mean(right.mean(axis=1))
    return Figures(
        count=len(labels),
        overall={
            "loss": mean(losses.mean(axis=1)),
            "exact_match": wilson(right.all(axis=1).sum(), len(labels)),
            "label_accuracy": Measured(shares.value, shares.low, min(1.0, shares.high)),
            "macro f1": percentiles(f1.mean(), draws.mean(axis=1)),
        },
        each={
            name: {
                "precision": wilson(hits[i], chosen[i]),
                "recall": wilson(hits[i], support[i]),
                "f1": percentiles(f1[i], draws[:, i]),
            }
            for i, name in enumerate(names)
        },
        support={name: int(support[i]) for i, name in enumerate(names)},
    )


def _checked(found: np.ndarray, true: np.ndarray, names: Sequence[str]) -> list[str]:
    """The names, one for each column of two arrays that fit."""
    if found.ndim != 2 or found.shape != true.shape or len(names) not in (0, found.shape[1]):
        raise ValueError(
            f"metrics need what was found and what is true as (N, K), and a name for each of K, "
            f"got {found.shape}, {true.shape} and {len(names)} names"
        )
    if not len(true):
        raise ValueError("metrics need at least one image")
    refuse_nan("metrics", found)
    return list(names) or [str(i) for i in range(found.shape[1])]


def _sums(columns: np.ndarray) -> np.ndarray:
    """Sums of columns (N, K) over images drawn anew, with replacement: (draws, K)."""
    numbers, count = generator(0, "bootstrap of sums"), len(columns)
    return np.stack(
        [
            np.bincount(numbers.integers(0, count, count), minlength=count) @ columns
            for _ in range(RESAMPLES)
        ]
    )


def _explained(sums: np.ndarray, count: int) -> np.ndarray:
    """R2 of each number from sums of squared errors, of numbers and of their squares."""
    squared, total, squares = np.split(sums, 3, axis=-1)
    spread = squares - total * total / count
    flat = ~(spread > 1e-12 * squares)
    # Of numbers that are all the same it is 1 if they are hit, else 0.
    return 1 - np.where(flat, squared > 0, squared / np.where(flat, 1, spread))
