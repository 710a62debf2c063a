"""Softmax and cross-entropy, for one class of several."""

from typing import Any, Self

import numpy as np

from kernels import activation as activation_kernels
from kernels import loss as kernels

from .. import conversion
from ..checks import number
from ..tasks import CLASSIFICATION
from .base import Loss, checked_outputs, from_places


class CrossEntropyLoss(Loss):
    """Softmax and cross-entropy in one: how surprised the model is by the right classes.

        logits (N, K), float32 or float64; labels int (N,), or one-hot or soft rows (N, K)
        logits (N, K, H, W), a class for each place; labels int (N, H, W), or rows (N, K, H, W)

        p[n, k]  = exp(logits[n, k]) / sum over j of exp(logits[n, j])
        loss[n]  = - sum over k of target[n, k] * log p[n, k]      (in nats)
        dlogits  = p - target, divided by N for reduction "mean" (and by the places, if any)

    With label smoothing s (Szegedy et al., "Rethinking the Inception Architecture for Computer
    Vision", 2016, section 7) the target of a class is (1 - s) * target + s / K instead.
    `Sequential.evaluate`, and so every validation and test loss, leaves it out: what it measures
    can be compared whatever the network was trained with.

    The largest logit of each row is subtracted first, so nothing overflows. Bishop, "Pattern
    Recognition and Machine Learning", equations 4.108 and 4.109.

    Parameters
    ----------
    reduction : str
        "mean" or "sum" over the batch.
    label_smoothing : float
        S above, at least 0 and below 1.

    Attributes
    ----------
    correct
        How many rows of the last `forward` have their largest logit at the right class; of logits
        with places each place is a row.

    Raises
    ------
    ValueError
        If an argument or a label is out of range, shapes do not fit, or a row of targets is not
        made of probabilities.
    TypeError
        If the logits are not floats, or the labels neither whole numbers nor rows.

    Examples
    --------
    >>> loss = CrossEntropyLoss()
    >>> round(loss.forward(np.zeros((4, 10), np.float32), np.array([0, 1, 2, 3])), 4)
    2.3026
    >>> loss.backward().shape
    (4, 10)
    """

    task = CLASSIFICATION
    from_logits = True
    _settings = ("reduction", "label_smoothing")

    def __init__(self, reduction: str = "mean", label_smoothing: float = 0.0) -> None:
        super().__init__(reduction)
        self.label_smoothing = number(
            self._name,
            "label_smoothing",
            label_smoothing,
            0,
            1,
            "a number of at least 0 and below 1",
        )
        self.correct = 0
        self._logits: np.ndarray | None = None
        self._shape: tuple[int, ...] = ()  # of what `forward` was given

    def forward(
        self, outputs: np.ndarray, targets: Any, weights: np.ndarray | None = None
    ) -> float:
        """The loss of a batch, over all its rows as `reduction` says.

        Parameters
        ----------
        outputs : float32 or float64 (N, K) or (N, K, ...)
            Logits. The classes are the second axis: what a model with data_format="channels_last"
            gives is turned before, ``y.transpose(0, 3, 1, 2)``.
        targets : int (N,) or (N, ...), or numbers of the logits' shape
            Class numbers, or one-hot or soft rows.
        weights : float (N,), optional
            How much each sample counts, as `Loss` says.
        """
        own = vars(self)  # a plain attribute would be looked at, each time
        own["_gradient"] = own["_logits"] = None
        logits = checked_outputs(self._name, outputs, "logits")
        labels = self._rows_of(conversion.array_of(self._name, targets), outputs.shape)
        rows, classes = logits.shape
        losses, gradient = np.empty(rows, logits.dtype), np.empty_like(logits)
        scale = self._scale(len(outputs), rows)
        smoothing, total = self.label_smoothing, None
        if labels.ndim == 2 and (labels.shape[1] == classes or labels.shape[1] > 1):
            soft = checked_targets(self._name, labels, logits)
            right = soft.argmax(axis=1)
            if smoothing:
                soft = soft * (1 - smoothing) + smoothing / classes
            kernels.softmax_cross_entropy_soft(logits, soft, scale, losses, gradient)
            self.correct = int(np.count_nonzero(logits.argmax(axis=1) == right))
        else:
            labels = whole_labels(self._name, labels, rows, classes)
            correct, total = kernels.softmax_cross_entropy(
                logits, labels, scale, smoothing, losses, gradient
            )
            if correct < 0:
                checked_labels(self._name, labels, rows, classes)  # says which is wrong
            own["correct"] = correct
        if total is None or weights is not None:
            value = self._weighted(losses, gradient, weights, scale, outputs.shape)
        else:
            own["_gradient"], value = from_places(gradient, outputs.shape), total * scale
        own["_logits"], own["_shape"] = logits, outputs.shape
        return value

    def measuring(self) -> Self:
        """Without smoothing, so that losses can be compared whatever was trained with."""
        twin = super().measuring()
        twin.label_smoothing = 0.0
        return twin

    @property
    def probabilities(self) -> np.ndarray:
        """softmax(logits) of the last `forward`, of the logits' shape.

        Of logits from a model it must be asked for before the model runs again.

        Raises
        ------
        RuntimeError
            If there was no `forward` before.
        """
        if self._logits is None:
            raise RuntimeError(
                "CrossEntropyLoss: probabilities needs a forward(logits, labels) before"
            )
        probabilities = np.empty_like(self._logits)
        activation_kernels.softmax(self._logits, probabilities)
        return from_places(probabilities, self._shape)


def checked_labels(who: str, labels: np.ndarray, rows: int, classes: int) -> np.ndarray:
    """Class numbers int64 (rows,); or a sentence."""
    whole = whole_labels(who, labels, rows, classes)
    low, high = labels.min(), labels.max()
    if low < 0 or high >= classes:
        raise ValueError(_out_of_range(who, classes, low if low < 0 else high))
    return whole


def whole_labels(who: str, labels: np.ndarray, rows: int, classes: int) -> np.ndarray:
    """Whole numbers int64 (rows,), whichever; or a sentence."""
    if labels.shape != (rows,):
        raise ValueError(
            f"{who}: expected {rows} labels as ({rows},) or one-hot as "
            f"({rows}, {classes}), got shape {labels.shape}"
        )
    if labels.dtype.kind in "UST":
        raise TypeError(
            f"{who}: labels must be whole numbers or one-hot rows, got names such as "
            f"{labels[0]!s}; number them: names, labels = np.unique(labels, return_inverse=True)"
        )
    if labels.dtype.kind not in "iu":
        raise TypeError(
            f"{who}: labels must be whole numbers or one-hot rows, got {labels.dtype}; "
            f"convert them with labels.astype(np.int64)"
        )
    if labels.dtype == np.uint64 and labels.size and labels.max() >= 2**63:  # no int64 is so large
        raise ValueError(_out_of_range(who, classes, labels.max()))
    return conversion.for_kernels(labels, np.int64)


def _out_of_range(who: str, classes: int, label: Any) -> str:
    return (
        f"{who}: labels must lie between 0 and {classes - 1}, as there are {classes} logits per "
        f"row, got {label}"
    )


def checked_targets(who: str, targets: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Rows of probabilities like the logits; or a sentence."""
    if targets.shape != logits.shape:
        raise ValueError(
            f"{who}: expected one-hot labels of shape {logits.shape}, like the logits, "
            f"got {targets.shape}"
        )
    if targets.dtype.kind not in "fiub":
        raise TypeError(f"{who}: one-hot labels must be numbers, got {targets.dtype}")
    targets = conversion.for_kernels(targets, logits.dtype)
    if not (targets.min() >= 0 and np.abs(targets.sum(axis=1) - 1).max() < 1e-3):
        raise ValueError(
            f"{who}: each row of one-hot or soft labels must hold probabilities, at "
            "least 0 and with the sum 1"
        )
    return targets
