"""Any loss: by name, from a file, or of one's own.

A loss of one's own is any object with ``forward(outputs, targets) -> float``, the mean over the
batch, and ``backward() -> array`` of the outputs' shape. It may also have

- ``forward(outputs, targets, weights)``, where samples or classes are to be weighted;
- ``task``, one of `TASKS`; without it, whole numbers and names as targets (N,) mean classes, all
  other targets numbers;
- ``from_logits = True``, to be given what comes before a Softmax at the end of the network;
- ``gives_scores = True``, where the softmax of the outputs is no probability, as with a hinge.
"""

import re
from typing import Any

import numpy as np

from ..checks import same, unknown
from ..tasks import CLASSIFICATION, TASKS
from .asked import Losses
from .base import Loss
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
    if arguments.get("type") == "Losses":
        specs = arguments["losses"]
        if any(not isinstance(part, dict) or part.get("type") == "Losses" for part in specs):
            raise ValueError(f"there is no loss {spec!r}")
        return Losses([from_spec(part) for part in specs], arguments["weights"])
    kind = _TYPES.get(str(arguments.pop("type", None)))
    if kind is None:
        raise ValueError(f"there is no loss {spec!r}")
    return kind(**arguments)


def spec_of(loss: Any) -> dict[str, Any] | None:
    """What a file says of a loss; None of one of the user's own."""
    if isinstance(loss, Losses):
        return None if None in map(spec_of, loss.losses) else loss.spec()
    return loss.spec() if type(loss) in _TYPES.values() else None


def checked(loss: Any, weights: Any = None) -> Any:
    """The loss, by its name if it is given so; of several, or with weights, `Losses`.

    Raises
    ------
    ValueError
        If it is none; one sentence.
    """
    if weights is not None and isinstance(loss, Losses):
        raise ValueError("loss_weights: Losses has weights of its own, give one of both")
    if isinstance(loss, (tuple, list)):
        return Losses([checked(each) for each in loss], weights)
    if weights is not None:
        count = len(weights) if isinstance(weights, (tuple, list, np.ndarray)) else 0
        return Losses([checked(loss)] * max(count, 1), weights)
    if isinstance(loss, Losses):
        return loss
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
