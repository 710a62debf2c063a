"""Any loss: by name, from a file, or of one's own.

A loss of one's own is any object with ``forward(outputs, targets) -> float``, the mean over the
batch, and ``backward() -> array`` of the outputs' shape. It may also have

- ``forward(outputs, targets, weights)``, where samples or classes are to be weighted;
- ``task``, one of `TASKS`; without it, whole numbers and names as targets (N,) mean classes, all
  other targets numbers;
- ``from_logits = True``, to be given what comes before a Softmax at the end of the network.
"""

import inspect
import re
from typing import Any

import numpy as np

from .. import conversion
from ..checks import same, unknown
from .base import CLASSIFICATION, REGRESSION, TASKS, Loss
from .binary import BinaryCrossEntropyLoss
from .cross_entropy import CrossEntropyLoss
from .hinge import HingeLoss
from .regression import HuberLoss, MAELoss, MSELoss

_NAMES: dict[str, type[Loss]] = {
    "cross-entropy": CrossEntropyLoss,
    "hinge": HingeLoss,
    "bce": BinaryCrossEntropyLoss,
    "mse": MSELoss,
    "mae": MAELoss,
    "huber": HuberLoss,
}
# What others call them, without case, dashes, underscores and "loss" at the end.
_ELSEWHERE = {
    **dict.fromkeys(("meansquarederror", "squarederror", "l2"), "mse"),
    **dict.fromkeys(("meanabsoluteerror", "absoluteerror", "l1"), "mae"),
    **dict.fromkeys(("smoothl1",), "huber"),
    **dict.fromkeys(("binarycrossentropy", "bcewithlogits"), "bce"),
    **dict.fromkeys(("multimargin", "categoricalhinge"), "hinge"),
    **dict.fromkeys(("categoricalcrossentropy", "sparsecategoricalcrossentropy", "softmax",
                     "nll", "log", "ce"), "cross-entropy"),
}  # fmt: skip
_TYPES = {kind.__name__: kind for kind in _NAMES.values()}


def names() -> tuple[str, ...]:
    """Short names, as the command line has them.

    Examples
    --------
    >>> names()
    ('cross-entropy', 'hinge', 'bce', 'mse', 'mae', 'huber')
    """
    return tuple(_NAMES)


def from_name(name: str, **arguments: Any) -> Loss:
    """The loss of that short name; ``arguments`` go to its class.

    Raises
    ------
    ValueError
        If there is no such loss, or it refuses an argument's value.

    Examples
    --------
    >>> from_name("huber", delta=2.0)
    HuberLoss(delta=2.0)
    """
    known = same(name, names()) or same(name, tuple(_TYPES))
    if known is None:
        bare = re.sub("[-_ ]", "", str(name).lower()).removesuffix("loss")
        if bare in _ELSEWHERE:
            raise ValueError(f"there is no loss {name!r}: here it is called {_ELSEWHERE[bare]!r}")
        raise ValueError(unknown("loss", name, names()))
    return (_NAMES.get(known) or _TYPES[known])(**arguments)


def from_spec(spec: Any) -> Loss | None:
    """The loss that `Loss.spec` describes; None for one of the user's own, which no file holds.

    Raises
    ------
    ValueError, TypeError
        If the description is none.
    """
    if spec is None:
        return None
    arguments = dict(spec)
    kind = _TYPES.get(str(arguments.pop("type", None)))
    if kind is None:
        raise ValueError(f"there is no loss {spec!r}")
    return kind(**arguments)


def spec_of(loss: Any) -> dict[str, Any] | None:
    """What a file says of a loss; None of one of the user's own."""
    return loss.spec() if type(loss) in _TYPES.values() else None


def checked(loss: Any) -> Any:
    """The loss, by its name if it is given so.

    Raises
    ------
    ValueError
        If it is none; one sentence.
    """
    if isinstance(loss, str):
        return from_name(loss)
    wanted = (
        "loss must be a name or an object with forward(outputs, targets) and backward(), such as "
        "CrossEntropyLoss()"
    )
    if isinstance(loss, type):
        raise ValueError(f"{wanted}, got the class itself: write {loss.__name__}()")
    if not all(callable(getattr(loss, name, None)) for name in ("forward", "backward")):
        raise ValueError(f"{wanted}, got {loss!r}")
    task = getattr(loss, "task", CLASSIFICATION)
    if task not in TASKS:
        raise ValueError(f"loss: its task must be one of {', '.join(TASKS)}, got {task!r}")
    return loss


def described(loss: Any) -> str:
    """A loss in words that are the same in another process."""
    if type(loss).__repr__ is not object.__repr__:
        return repr(loss)
    plain = (bool, int, float, str, tuple, type(None))
    parts = [f"{name}={value!r}" for name, value in getattr(loss, "__dict__", {}).items()
             if isinstance(value, plain) and not name.startswith("_")]  # fmt: skip
    return f"{type(loss).__qualname__}({', '.join(parts)})"


def task_of(loss: Any, targets: Any) -> str:
    """What a loss is for; one of the user's own that does not say, by its targets."""
    task = getattr(loss, "task", None)
    if task is not None:
        return task
    targets = conversion.array_of("training", targets)
    return CLASSIFICATION if targets.ndim == 1 and targets.dtype.kind not in "f" else REGRESSION


def takes_logits(loss: Any) -> bool:
    """Whether it is given what comes before a Softmax at the end of the network."""
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


def value_of(
    loss: Any, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None
) -> float:
    """The loss of a batch, summed over its samples.

    Raises
    ------
    ValueError
        If one of the user's own gives no number.
    """
    given = (outputs, targets) if weights is None else (outputs, targets, weights)
    if not isinstance(loss, Loss):  # it may write into them, and others still need them
        given = tuple(array.copy() for array in given)
    value = loss.forward(*given)
    try:
        value = float(value)
    except (TypeError, ValueError):
        got = np.shape(value) or type(value).__name__
        raise ValueError(
            f"{type(loss).__name__}.forward must give a number, the mean over the batch, got {got}"
        ) from None
    return value if getattr(loss, "reduction", "mean") == "sum" else value * len(outputs)


def gradient_of(loss: Any, outputs: np.ndarray) -> np.ndarray:
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
