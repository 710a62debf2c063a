"""The hinge: a class must win by a margin, and then costs nothing."""

import numpy as np

from ..checks import above_0
from ..tasks import CLASSIFICATION
from .base import Loss
from .cross_entropy import checked_labels, checked_targets


class HingeLoss(Loss):
    """Every wrong class that comes nearer than a margin to the right one costs the difference.

        scores z (N, K), float32 or float64; labels int (N,), or one-hot (N, K)

        loss[n] = sum over k != y of max(0, margin - z[n, y] + z[n, k]) / K

    Weston and Watkins, "Support Vector Machines for Multi-Class Pattern Recognition" (1999),
    divided by K as in PyTorch's MultiMarginLoss. (scikit-learn's `hinge_loss` counts the nearest
    wrong class only, after Crammer and Singer.) At the kink itself, a class exactly one margin
    below, the slope is 0.

    The scores say which class is nearest, not how probable it is: `Sequential.predict_proba` of a
    network that was trained with it gives their softmax, which is no probability, and
    `fastcnn.estimator.CNNClassifier` has `decision_function` only.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        As `Loss` says.
    margin : float
        Above 0.

    Attributes
    ----------
    correct : int
        How many rows of the last `forward` have their largest score at the right class.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, or labels do not fit the scores.

    Examples
    --------
    >>> HingeLoss().forward(np.array([[2.0, 1.5, 0.0, 5.0]]), np.array([0]))
    1.125
    """

    task = CLASSIFICATION
    from_logits = True
    gives_scores = True
    _settings = ("reduction", "margin")

    def __init__(self, reduction: str = "mean", margin: float = 1.0) -> None:
        super().__init__(reduction)
        self.margin = above_0(self._name, "margin", margin)
        self.correct = 0

    def _each(self, outputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows, classes = outputs.shape
        right = self._right(targets, outputs)
        self.correct = int(np.count_nonzero(outputs.argmax(axis=1) == right))
        each = np.arange(rows)
        excess = outputs - outputs[each, right][:, None] + outputs.dtype.type(self.margin)
        excess[each, right] = 0
        np.maximum(excess, 0, out=excess)
        gradient = (excess > 0).astype(outputs.dtype)
        gradient[each, right] = -gradient.sum(axis=1)
        gradient /= classes
        return excess.sum(axis=1) / classes, gradient

    def _right(self, targets: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """The right classes, int64 (N,)."""
        if targets.ndim != 2 or targets.shape[1] == 1 != outputs.shape[1]:
            return checked_labels(self._name, targets, *outputs.shape)
        rows = checked_targets(self._name, targets, outputs)
        if not np.isin(rows, (0, 1)).all():
            raise ValueError(
                f"{self._name}: a margin is for one right class: give class numbers or one-hot "
                f"rows, not soft ones; CrossEntropyLoss takes these"
            )
        return rows.argmax(axis=1)
