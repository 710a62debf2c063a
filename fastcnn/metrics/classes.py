"""How good predicted classes are: rates per class and over all, and calibration."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..checks import refuse_nan
from ..random import generator
from .intervals import RESAMPLES, Measured, mean, percentiles, share, wilson

_BINS = 15
_CELLS = 1 << 21  # of confusion matrices that are drawn at once


@dataclass(frozen=True, eq=False)
class Report:
    """What was measured on some images.

    Attributes
    ----------
    count : int
        Images.
    loss, accuracy, calibration : Measured
        Mean cross-entropy in nats; share of right classes; expected calibration error.
    top : dict
        k -> share of images whose class is among the k most probable.
    classes : dict
        Name -> {"precision", "recall", "f1"}, each `Measured`.
    support : dict
        Name -> images of that class.
    averages : dict
        "macro" (every class that occurs counts the same) and "weighted" (by its images) -> as in
        `classes`.
    confusion : int64 array
        (true class, predicted class).

    Examples
    --------
    >>> logits = np.array([[2.0, 0.0], [0.0, 1.0]])
    >>> report = measure(logits, np.array([0, 0]), ["cat", "dog"])
    >>> report.accuracy.value, report.confusion.tolist()
    (0.5, [[1, 1], [0, 0]])
    """

    count: int
    loss: Measured
    accuracy: Measured
    calibration: Measured
    top: dict[int, Measured]
    classes: dict[str, dict[str, Measured]]
    support: dict[str, int]
    averages: dict[str, dict[str, Measured]]
    confusion: np.ndarray


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (N, classes) in float64.

    Examples
    --------
    >>> softmax(np.array([[0.0, 0.0], [0.0, np.log(3)]])).round(4)
    array([[0.5 , 0.5 ],
           [0.25, 0.75]])
    """
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    return powers / powers.sum(axis=1, keepdims=True)


def rates(confusion: np.ndarray) -> np.ndarray:
    """Precision, recall, F1 per class, (..., 3, classes), of matrices (..., true, predicted).

    Examples
    --------
    >>> rates(np.array([[8, 2], [0, 10]])).round(2)
    array([[1.  , 0.83],
           [0.8 , 1.  ],
           [0.89, 0.91]])
    """
    right = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    predicted, true = confusion.sum(axis=-2), confusion.sum(axis=-1)
    return np.stack(
        [share(right, predicted), share(right, true), share(2 * right, predicted + true)],
        axis=-2,
    )


def averaged(confusion: np.ndarray) -> np.ndarray:
    """Macro and weighted averages of `rates`: (..., 2, 3).

    A class that is neither there nor predicted does not count, as in scikit-learn.

    Examples
    --------
    >>> averaged(np.array([[3, 1], [0, 1]])).round(2)
    array([[0.75, 0.88, 0.76],
           [0.9 , 0.8 , 0.82]])
    """
    each = rates(confusion)
    true = confusion.sum(axis=-1)[..., None, :]
    counts = true + confusion.sum(axis=-2)[..., None, :] > 0
    macro, weighted = ((each * share).sum(axis=-1) / share.sum(axis=-1) for share in (counts, true))
    return np.stack([macro, weighted], axis=-2)


def measure(
    logits: np.ndarray, labels: np.ndarray, class_names: Sequence[str], top: Sequence[int] = (3,)
) -> Report:
    """All numbers at once.

    Parameters
    ----------
    logits : float (N, classes)
        What the network gives before its softmax.
    labels : int (N,)
        True class numbers.
    class_names : sequence of str
        Name of each class.
    top : sequence of int
        The k for which the share of images among the k most probable classes is wanted. Of classes
        that are equally probable the first ones count, as for the accuracy.

    Raises
    ------
    ValueError
        If there is no image, shapes do not fit, a label is no class, or there is NaN among the
        logits.
    TypeError
        If labels are no whole numbers.

    Examples
    --------
    >>> logits = np.array([[3.0, 1.0, 0.0], [2.0, 1.0, 0.0]])
    >>> report = measure(logits, np.array([0, 1]), ["cat", "dog", "owl"], top=(2,))
    >>> report.accuracy.value, report.top[2].value, report.support
    (0.5, 1.0, {'cat': 1, 'dog': 1, 'owl': 0})
    """
    if logits.ndim != 2 or labels.shape != (len(logits),) or len(class_names) != logits.shape[1]:
        raise ValueError(
            f"metrics need logits (N, classes), labels (N,) and a name per class, got "
            f"{logits.shape}, {labels.shape} and {len(class_names)} names"
        )
    if not len(labels):
        raise ValueError("metrics need at least one image")
    refuse_nan("metrics", logits)
    count, classes = logits.shape
    labels = _class_numbers(labels, classes)
    probabilities = softmax(logits)
    predicted = logits.argmax(axis=1)
    cells = np.bincount(labels * classes + predicted, minlength=classes * classes)
    confusion = cells.reshape(classes, classes)
    each, means = rates(confusion), averaged(confusion)
    drawn = [(rates(matrices), averaged(matrices)) for matrices in _redrawn(confusion)]
    of_draws, of_means = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    order = np.argsort(-logits, axis=1, kind="stable")  # probabilities may all be rounded to 0
    names = ("precision", "recall", "f1")
    support, chosen = confusion.sum(axis=1), confusion.sum(axis=0)
    return Report(
        count=count,
        loss=mean(-_log_of_right(logits, labels)),
        accuracy=wilson(np.trace(confusion), count),
        calibration=_calibration(probabilities, predicted == labels),
        top={k: wilson((order[:, :k] == labels[:, None]).sum(), count) for k in top if k < classes},
        classes={
            name: {
                "precision": wilson(confusion[i, i], chosen[i]),
                "recall": wilson(confusion[i, i], support[i]),
                "f1": percentiles(each[2, i], of_draws[:, 2, i]),
            }
            for i, name in enumerate(class_names)
        },
        support={name: int(support[i]) for i, name in enumerate(class_names)},
        averages={
            kind: {
                name: percentiles(means[k, i], of_means[:, k, i]) for i, name in enumerate(names)
            }
            for k, kind in enumerate(("macro", "weighted"))
        },
        confusion=confusion,
    )


def _class_numbers(labels: np.ndarray, classes: int) -> np.ndarray:
    """Labels as int64, in which a cell of the confusion matrix has room for its number."""
    if labels.dtype.kind not in "iu":
        raise TypeError(f"metrics: labels must be whole numbers, got {labels.dtype}")
    low, high = labels.min(), labels.max()
    if low < 0 or high >= classes:
        raise ValueError(
            f"metrics: labels must lie between 0 and {classes - 1}, as there are {classes} logits "
            f"per row, got {low if low < 0 else high}"
        )
    return labels.astype(np.int64)


def _log_of_right(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """log of the probability of each image's class, without rounding small ones to 0."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    right = shifted[np.arange(len(labels)), labels]
    return right - np.log(np.exp(shifted).sum(axis=1))


def _redrawn(confusion: np.ndarray) -> Iterator[np.ndarray]:
    """Confusion matrices of images drawn anew from these, with replacement; a few at a time.

    Drawing images is drawing cells of the matrix by their share of the images.
    """
    count = int(confusion.sum())
    numbers = generator(0, "bootstrap")
    at_once = max(1, _CELLS // confusion.size)
    for start in range(0, RESAMPLES, at_once):
        size = min(at_once, RESAMPLES - start)
        drawn = numbers.multinomial(count, confusion.ravel() / count, size=size)
        yield drawn.reshape(size, *confusion.shape)


def _calibration(probabilities: np.ndarray, right: np.ndarray) -> Measured:
    confidence = probabilities.max(axis=1)
    # Bins are open below and closed above, as in the paper.
    place = np.clip(np.ceil(confidence * _BINS).astype(np.int64) - 1, 0, _BINS - 1)
    gap = confidence - right
    count = len(right)

    def error(weights: np.ndarray) -> float:
        return float(np.abs(np.bincount(place, weights * gap, _BINS)).sum() / count)

    numbers = generator(0, "bootstrap of calibration")
    draws = [
        error(np.bincount(numbers.integers(0, count, count), minlength=count))
        for _ in range(RESAMPLES)
    ]
    return percentiles(error(np.ones(count)), np.array(draws))
