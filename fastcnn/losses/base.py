"""What the losses of this package share: reduction, weights, and what they are for."""

import copy
import inspect
from typing import Any, Self

import numpy as np

from .. import conversion, foreign
from ..checks import refuse_masked
from ..tasks import CLASSIFICATION, REGRESSION

_REDUCTIONS = ("mean", "sum")


class Loss(foreign.Settled):
    """Base of the losses here; a new one needs `_each`.

    Outputs are (N, K), or (N, K, H, W) and (N, K, L) with a row of K for each place of an image or
    a series, as for segmentation. A sample's own loss is then the mean over its places, so that
    "mean" is the mean over all places of the batch, as in PyTorch. Targets are those of (N, K) with
    the places behind: class numbers (N, H, W), numbers (N, K, H, W), or (N, H, W) for K = 1.

    Weights w say how much each sample counts: the loss of a batch of N is

        sum over n of w[n] * loss[n], divided by N for reduction "mean"

    Divided by N, and not by the sum of w, a sample counts the same whatever batch it comes in, and
    a batch of weights 0 is no division by 0. `Sequential.train` first scales the weights to the
    mean 1 over all training samples, so that what an epoch makes small is sum(w * loss) / sum(w),
    scikit-learn's weighted mean, and the learning rate keeps its meaning.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        Over the samples of the batch. A sample's own loss is the mean over its outputs.

    Attributes
    ----------
    task : {"classification", "multilabel", "regression"}
        What it is for: which targets it takes, what is measured, what the network predicts.
    from_logits : bool
        Whether a Softmax at the end of the network is left out, because the loss has its own.
    gives_scores : bool
        Whether outputs only say which class is nearer, so that their softmax is no probability.

    Raises
    ------
    ValueError
        If the reduction is another word.

    Examples
    --------
    >>> class LogCosh(Loss):
    ...     def _each(self, outputs, targets):
    ...         d = outputs - targets
    ...         return np.log(np.cosh(d)).mean(axis=1), np.tanh(d) / d.shape[1]
    >>> round(LogCosh().forward(np.array([[1.0]]), np.array([[0.0]])), 4)
    0.4338
    """

    task = REGRESSION
    from_logits = False
    gives_scores = False

    def __init__(self, reduction: str = "mean") -> None:
        if reduction not in _REDUCTIONS:
            raise ValueError(f"{self._name}: reduction must be 'mean' or 'sum', got {reduction!r}")
        self.reduction = reduction
        self._gradient: np.ndarray | None = None

    @property
    def _name(self) -> str:
        return type(self).__name__

    def forward(
        self, outputs: np.ndarray, targets: Any, weights: np.ndarray | None = None
    ) -> float:
        """The loss of a batch.

        Parameters
        ----------
        outputs : float32 or float64 (N, K) or (N, K, ...)
            What the network gives.
        targets : array
            What it should give.
        weights : float (N,), optional
            How much each sample counts; default: 1.

        Raises
        ------
        ValueError, TypeError
            If shapes or types do not fit; one sentence.
        """
        self._gradient = None  # a forward that is refused has none
        rows = checked_outputs(self._name, outputs)
        targets = self._rows_of(conversion.array_of(self._name, targets), outputs.shape)
        losses, gradient = self._each(rows, targets)
        scale = self._scale(len(outputs), len(rows))
        gradient *= gradient.dtype.type(scale)
        return self._weighted(losses, gradient, weights, scale, outputs.shape)

    def _each(self, outputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The loss of each row, (N,), and its gradient by the outputs, a new array (N, K).

        Where outputs have places, each of them is a row, and so it is in the targets.
        """
        raise NotImplementedError

    def _rows_of(self, targets: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Targets for outputs of that shape, with a row for each place; of (N, K) as they are."""
        if len(shape) == 2 or targets.shape == shape:
            return by_place(targets)
        one_each, is_short = (shape[0], *shape[2:]), self.task == CLASSIFICATION or shape[1] == 1
        if is_short and targets.shape == one_each:
            return targets.reshape(-1)
        what = "labels" if self.task == CLASSIFICATION else "targets"
        short = f" or {one_each}" if is_short else ""
        raise ValueError(
            f"{self._name}: expected {what} of shape {shape}{short} for outputs of shape {shape}, "
            f"got {targets.shape}"
        )

    def _scale(self, samples: int, rows: int) -> float:
        """What the sum of all rows is multiplied by."""
        return 1 / rows if self.reduction == "mean" else samples / rows

    def _weighted(
        self,
        losses: np.ndarray,
        gradient: np.ndarray,
        weights: np.ndarray | None,
        scale: float,
        shape: tuple[int, ...],
    ) -> float:
        """The batch's loss of each row's; the gradient, scaled, is weighted too, and kept.

        shape : of the outputs
        """
        if weights is not None:
            weights = checked_weights(self._name, weights, shape[0])
            weights = np.repeat(weights, len(losses) // shape[0])
            gradient *= weights.astype(gradient.dtype)[:, None]
            losses = losses * weights
        self._gradient = from_places(gradient, shape)
        return float(losses.sum(dtype=np.float64) * scale)

    def backward(self) -> np.ndarray:
        """dLoss/doutputs of the last `forward`, a new array of their shape.

        Raises
        ------
        RuntimeError
            If there was no `forward` before, or it was refused.
        """
        if self._gradient is None:
            raise RuntimeError(
                f"{self._name}: backward needs a forward(outputs, targets) before that was not "
                f"refused"
            )
        return self._gradient.copy("K")

    def measuring(self) -> Self:
        """The same loss as data is measured with: the sum over samples."""
        twin = copy.copy(self)
        twin.reduction, twin._gradient = "sum", None
        return twin

    def spec(self) -> dict[str, Any]:
        """Type and arguments, as JSON can hold them."""
        return {"type": self._name, **self.arguments()}

    def arguments(self) -> dict[str, Any]:
        """Constructor arguments that would make such a loss."""
        return {name: getattr(self, name) for name in self._settings}

    _settings: tuple[str, ...] = ("reduction",)
    """Names of the arguments that it is made with."""

    def __repr__(self) -> str:
        usual = inspect.signature(type(self)).parameters
        arguments = ['"sum"'] if self.reduction == "sum" else []
        arguments += [
            f"{name}={getattr(self, name)!r}"
            for name in self._settings[1:]
            if getattr(self, name) != usual[name].default
        ]
        return f"{self._name}({', '.join(arguments)})"


def checked_outputs(who: str, outputs: np.ndarray, what: str = "outputs") -> np.ndarray:
    """What a network gives, as rows (N, K), contiguous, one for each place; or a sentence."""
    if not isinstance(outputs, np.ndarray) or outputs.dtype not in (np.float32, np.float64):
        kind = f"{outputs.dtype} array" if isinstance(outputs, np.ndarray) else type(outputs)
        kind = kind if isinstance(kind, str) else kind.__name__
        raise TypeError(f"{who}: expected {what} as a float32 or float64 NumPy array, got {kind}")
    refuse_masked(who, outputs)
    if outputs.ndim < 2 or 0 in outputs.shape:
        columns = "classes" if what == "logits" else "K"
        raise ValueError(
            f"{who}: expected {what} as (N, {columns}), or (N, {columns}, H, W) with places, got "
            f"shape {outputs.shape}"
        )
    return conversion.for_kernels(by_place(outputs))


def by_place(array: np.ndarray) -> np.ndarray:
    """(N, K, H, W) or the like as rows (N * H * W, K); of fewer axes as it is.

    A view of what lies channels-last in memory, as images from a network do.

    Examples
    --------
    >>> by_place(np.arange(6).reshape(1, 2, 3)).tolist()
    [[0, 3], [1, 4], [2, 5]]
    """
    if array.ndim <= 2:
        return array
    return np.moveaxis(array, 1, -1).reshape(-1, array.shape[1])


def from_places(rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The opposite, a view of that shape."""
    if len(shape) == 2:
        return rows
    return np.moveaxis(rows.reshape(shape[0], *shape[2:], shape[1]), -1, 1)


def checked_weights(who: str, weights: Any, rows: int) -> np.ndarray:
    """Float64 weights (rows,), finite and at least 0; or a sentence."""
    weights = conversion.array_of(who, weights)
    if weights.dtype.kind not in "fiub":
        raise TypeError(f"{who}: weights must be numbers, got {weights.dtype}")
    if weights.shape != (rows,):
        raise ValueError(
            f"{who}: expected one weight for each of {rows} samples, ({rows},), got shape "
            f"{weights.shape}"
        )
    weights = weights.astype(np.float64, copy=False)
    if not (np.isfinite(weights).all() and weights.min() >= 0):
        wrong = weights[~(np.isfinite(weights) & (weights >= 0))][0]
        raise ValueError(f"{who}: weights must be finite and at least 0, got {wrong:g}")
    return weights


def same_shape(who: str, targets: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Numbers in the outputs' shape and type; (N,) is taken where there is one output each.

    Without this check NumPy would make (N, N) of (N, 1) and (N,).
    """
    if targets.dtype.kind not in "fiub":
        raise TypeError(f"{who}: targets must be numbers, got {targets.dtype}")
    if targets.shape == (len(outputs),) and outputs.shape[1] == 1:
        targets = targets[:, None]
    if targets.shape != outputs.shape:
        short = f" or ({len(outputs)},)" if outputs.shape[1] == 1 else ""
        raise ValueError(
            f"{who}: expected targets of shape {outputs.shape}{short}, like the outputs, got "
            f"{targets.shape}"
        )
    return targets.astype(outputs.dtype, copy=False)
