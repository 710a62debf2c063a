"""Cross-entropy of labels of which a sample may have any number."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..tasks import MULTILABEL
from .base import Loss, same_shape


class BinaryCrossEntropyLoss(Loss):
    """Sigmoid and cross-entropy in one, for each label by itself.

        logits z (N, K), float32 or float64; targets t (N, K) from 0 to 1, or (N,) for K = 1

        loss = max(z, 0) - z * t + log(1 + exp(-|z|)), the mean over samples and labels (nats)
             = -(t * log p + (1 - t) * log(1 - p)),    p = 1 / (1 + exp(-z))

    The first form, which is computed, does not overflow. PyTorch calls it BCEWithLogitsLoss: the
    network ends without a sigmoid.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        As `Loss` says.
    pos_weight : float or sequence of float, optional
        How much more a label counts where it is there than where it is not: t * log p is
        multiplied by it. One number for all labels or one for each; (samples without) / (samples
        with) makes both count alike.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, or targets do not fit the logits or lie outside 0 and 1.

    Examples
    --------
    >>> round(BinaryCrossEntropyLoss().forward(np.zeros((1, 3)), np.array([[1, 0, 1]])), 4)
    0.6931
    """

    task = MULTILABEL
    from_logits = True
    _settings = ("reduction", "pos_weight")

    def __init__(
        self, reduction: str = "mean", pos_weight: float | Sequence[float] | None = None
    ) -> None:
        super().__init__(reduction)
        self.pos_weight = None if pos_weight is None else _checked_weight(pos_weight)

    def _each(self, outputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        targets = same_shape(self._name, targets, outputs)
        if not ((targets >= 0) & (targets <= 1)).all():
            wrong = targets[~((targets >= 0) & (targets <= 1))][0]
            raise ValueError(f"{self._name}: targets must lie between 0 and 1, got {wrong:g}")
        small = np.exp(-np.abs(outputs))
        # log(1 + e^-z) and log(1 + e^z), which are -log p and -log(1 - p)
        rest = np.log1p(small)
        of_yes, of_no = np.maximum(-outputs, 0) + rest, np.maximum(outputs, 0) + rest
        yes = np.where(outputs >= 0, 1, small) / (1 + small)  # p
        weight = self._weight_of(outputs)
        losses = weight * targets * of_yes + (1 - targets) * of_no
        gradient = (1 - targets + weight * targets) * yes - weight * targets
        gradient /= outputs.shape[1]
        return losses.mean(axis=1), gradient

    def _weight_of(self, outputs: np.ndarray) -> Any:
        weight = self.pos_weight
        if weight is None:
            return outputs.dtype.type(1)
        if isinstance(weight, list) and len(weight) != outputs.shape[1]:
            raise ValueError(
                f"{self._name}: pos_weight has {len(weight)} numbers for {outputs.shape[1]} labels"
            )
        return np.asarray(weight, outputs.dtype)


def _checked_weight(value: Any) -> float | list[float]:
    try:
        weight = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        weight = np.full(1, np.nan)
    if weight.ndim > 1 or not weight.size or not (np.isfinite(weight) & (weight > 0)).all():
        raise ValueError(
            f"BinaryCrossEntropyLoss: pos_weight must be a number above 0 or one for each label, "
            f"got {value!r}"
        )
    return weight.tolist()
