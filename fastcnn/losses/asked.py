"""What a loss is asked in training and measuring: any loss, and one made of several.

Any loss is one of this package or one of somebody's own, as `chosen` describes it; its answers are
checked. `Losses` is what a network with several outputs is trained with.
"""

import copy
import inspect
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from .. import conversion
from ..checks import finite
from ..tasks import CLASSIFICATION, REGRESSION
from .base import Loss

Task = str | tuple[str, ...]
"""What a network is for, one of `TASKS`; of several outputs a tuple with one for each."""


def described(loss: Any) -> str:
    """A loss in words that are the same in another process."""
    if type(loss).__repr__ is not object.__repr__:
        return repr(loss)  # of `Losses` too, which describes each
    plain = (bool, int, float, str, tuple, type(None))
    parts = [f"{name}={value!r}" for name, value in getattr(loss, "__dict__", {}).items()
             if isinstance(value, plain) and not name.startswith("_")]  # fmt: skip
    return f"{type(loss).__qualname__}({', '.join(parts)})"


def task_of(loss: Any, targets: Any) -> Task:
    """What a loss is for; one of the user's own that does not say, by its targets."""
    if isinstance(loss, Losses):
        parts = conversion.fields_of(targets)
        return tuple(_task_of_one(*each) for each in zip(loss.losses, parts, strict=True))
    return _task_of_one(loss, targets)


def _task_of_one(loss: Any, targets: Any) -> str:
    """The same of a loss for one output."""
    task = getattr(loss, "task", None)
    if task is not None:
        return task
    targets = conversion.array_of("training", targets)
    return CLASSIFICATION if targets.ndim == 1 and targets.dtype.kind not in "f" else REGRESSION


def each_of(several: Any) -> tuple[Any, ...]:
    """The parts of `Losses`, or of a tuple of tasks; else the one thing that there is."""
    several = several.losses if isinstance(several, Losses) else several
    return several if isinstance(several, tuple) else (several,)


def takes_logits(loss: Any) -> bool | tuple[bool, ...]:
    """Whether it is given what comes before a Softmax at the network's end; of several, each."""
    if isinstance(loss, Losses):
        return tuple(bool(takes_logits(each)) for each in loss.losses)
    return bool(getattr(loss, "from_logits", False))


def takes_weights(loss: Any) -> bool:
    """Whether its `forward` has a place for weights."""
    try:
        inspect.signature(loss.forward).bind(None, None, None)
    except TypeError:
        return False
    return True


def measuring(loss: Any) -> Any:
    """The loss as data is measured with."""
    return loss.measuring() if isinstance(loss, Loss) else loss


def value_of(loss: Any, outputs: Any, targets: Any, weights: np.ndarray | None) -> float:
    """The loss of a batch, summed over its samples.

    Raises
    ------
    ValueError
        If one of the user's own gives no number.
    """
    if isinstance(loss, Losses):
        return loss.asked(value_of, outputs, targets, weights)
    value = _answer(loss, outputs, targets, weights)
    return value if getattr(loss, "reduction", "mean") == "sum" else value * len(outputs)


def _answer(
    loss: Any, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None
) -> float:
    """What `forward` gives, which must be a number."""
    given = (outputs, targets) if weights is None else (outputs, targets, weights)
    if not isinstance(loss, Loss):  # it may write into them, and others still need them
        given = tuple(array.copy() for array in given)
    value = loss.forward(*given)
    try:
        return float(value)
    except (TypeError, ValueError):
        got = getattr(value, "shape", ()) or type(value).__name__
        raise ValueError(
            f"{type(loss).__name__}.forward must give a number, the mean over the batch, got {got}"
        ) from None


def gradient_of(loss: Any, outputs: Any) -> Any:
    """Its gradient by the outputs of the last `forward`, as layers take it.

    Raises
    ------
    ValueError
        If one of the user's own gives no array of the outputs' shape.
    """
    gradient = loss.backward()
    if isinstance(loss, Loss):
        return gradient
    shape = getattr(gradient, "shape", None)
    if shape != outputs.shape:
        raise ValueError(
            f"{type(loss).__name__}.backward must give an array of the outputs' shape "
            f"{outputs.shape}, got {type(gradient).__name__ if shape is None else shape}"
        )
    return np.ascontiguousarray(gradient, outputs.dtype)


# --- several outputs ------------------------------------------------------------------------------


class Losses(Loss):
    """A loss for each output of a `Graph`, and their weighted sum.

        loss = sum over outputs i of weights[i] * losses[i](outputs[i], targets[i])

    `Sequential.train` makes it of ``loss=("cross-entropy", "mse")`` and ``loss_weights``.

    Parameters
    ----------
    losses : sequence of loss
        One for each output; one that stands there twice is copied.
    weights : sequence of float, optional
        How much each counts; default: 1.

    Attributes
    ----------
    values : tuple of float
        What each said of the last batch, unweighted.

    Raises
    ------
    ValueError
        If there is no loss, or there are not as many weights, or one is not finite.

    Examples
    --------
    >>> from fastcnn.losses import CrossEntropyLoss, MSELoss
    >>> loss = Losses([CrossEntropyLoss(), MSELoss()], weights=[1, 0.5])
    >>> outputs = np.zeros((2, 3)), np.zeros((2, 1))
    >>> round(loss.forward(outputs, (np.array([0, 1]), np.array([1.0, 3.0]))), 4)
    3.5986
    >>> [gradient.shape for gradient in loss.backward()]
    [(2, 3), (2, 1)]
    """

    def __init__(self, losses: Sequence[Any], weights: Any = None) -> None:
        super().__init__()
        weights = [1.0] * len(losses) if weights is None else weights
        if not isinstance(weights, (list, tuple, np.ndarray)) or len(weights) != len(losses):
            raise ValueError(
                f"loss_weights must be {len(losses)} numbers, one for each loss, got {weights!r}"
            )
        if not losses:
            raise ValueError("Losses: give a loss for each output, got none")
        if any(isinstance(loss, Losses) for loss in losses):
            raise ValueError("Losses: one loss for each output, not several for one")
        known: list[Any] = []
        for loss in losses:  # each keeps its own gradient
            known.append(copy.deepcopy(loss) if any(loss is each for each in known) else loss)
        self.losses = tuple(known)
        self.weights = tuple(finite("training", "loss_weights", each) for each in weights)
        self.values: tuple[float, ...] = ()
        self._outputs: tuple[np.ndarray, ...] = ()

    @classmethod
    def fitting(cls, loss: Any, outputs: int) -> Any:
        """The loss for so many outputs: of one for all of them a copy for each.

        Raises
        ------
        ValueError
            If there are not as many.
        """
        if not isinstance(loss, Losses):
            return loss if outputs == 1 or loss is None else cls([loss] * outputs)
        if outputs == 1:
            raise ValueError(
                f"loss: the network has one output, so give one loss without loss_weights, got "
                f"{len(loss.losses)}"
            )
        if len(loss.losses) != outputs:
            raise ValueError(
                f"loss: the network has {outputs} outputs, got {len(loss.losses)} losses or "
                f"weights; give one for each"
            )
        return loss

    def forward(self, outputs: Any, targets: Any, weights: np.ndarray | None = None) -> float:
        """The weighted sum of what the losses say of a batch.

        Parameters
        ----------
        outputs : tuple of float32 or float64 (N, K)
            What the network gives.
        targets : tuple of array, or array with a field for each
            What it should give.
        weights : float (N,), optional
            How much each sample counts, in all of them.
        """
        return self.asked(_answer, outputs, targets, weights)

    def asked(self, how: Any, outputs: Any, targets: Any, weights: np.ndarray | None) -> float:
        """The weighted sum of ``how(loss, outputs, targets, weights)``."""
        self._outputs = ()
        parts = conversion.fields_of(targets)
        if not len(self.losses) == len(outputs) == len(parts):
            raise ValueError(
                f"{self!r}: expected as many outputs and targets, got {len(outputs)} and "
                f"{len(parts)}"
            )
        each = zip(self.losses, outputs, parts, strict=True)
        self.values = tuple(how(loss, y, target, weights) for loss, y, target in each)
        self._outputs = tuple(outputs)
        return float(sum(w * value for w, value in zip(self.weights, self.values, strict=True)))

    def backward(self) -> Any:
        """The gradients by the outputs of the last `forward`, a tuple."""
        if not self._outputs:
            raise RuntimeError(
                "Losses: backward needs a forward(outputs, targets) before that was not refused"
            )
        gradients = map(gradient_of, self.losses, self._outputs)
        return tuple(
            gradient if w == 1 else gradient * gradient.dtype.type(w)
            for w, gradient in zip(self.weights, gradients, strict=True)
        )

    def measuring(self) -> Self:
        """Each as data is measured with."""
        return type(self)([measuring(loss) for loss in self.losses], self.weights)

    def spec(self) -> dict[str, Any]:
        """What a file says of it; `chosen.from_spec` takes it."""
        specs = [loss.spec() for loss in self.losses]
        return {"type": self._name, "losses": specs, "weights": list(self.weights)}

    def arguments(self) -> dict[str, Any]:
        """Constructor arguments that would make such losses."""
        return {"losses": self.losses, "weights": self.weights}

    def __repr__(self) -> str:
        each = ", ".join(map(described, self.losses))
        return f"Losses([{each}], weights={list(self.weights)})"
