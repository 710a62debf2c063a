"""Optimizers: how gradients become steps.

All follow PyTorch's definitions. `weight_decay` applies to the arrays called "weight" alone, not to
biases, gamma and beta. An optimizer keeps the state of one model: make a new one for each.

Examples
--------
>>> import numpy as np
>>> from fastcnn import Sequential
>>> from fastcnn.layers import Dense
>>> model, optimizer = Sequential(Dense(4, 2)), Adam(1e-3)
>>> y = model.forward(np.ones((8, 4), np.float32), training=True)
>>> dx = model.backward(y)
>>> optimizer.step(model)
"""

import inspect
from collections.abc import Mapping
from typing import Any

from ..checks import unknown
from .base import Optimizer
from .lookahead import Lookahead, Ranger
from .rules import SGD, AdaGrad, Adam, AdamW, RAdam, RMSprop

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Lookahead",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Ranger",
    "from_name",
    "kind_of",
    "names",
]

_BY_NAME: dict[str, type[Optimizer]] = {
    "sgd": SGD, "adam": Adam, "adamw": AdamW, "radam": RAdam, "ranger": Ranger,
    "rmsprop": RMSprop, "adagrad": AdaGrad,
}  # fmt: skip


def names() -> tuple[str, ...]:
    """The names that `from_name` takes; Lookahead needs another optimizer and has none.

    Examples
    --------
    >>> names()
    ('sgd', 'adam', 'adamw', 'radam', 'ranger', 'rmsprop', 'adagrad')
    """
    return tuple(_BY_NAME)


def from_name(name: str, **arguments: Any) -> Optimizer:
    """An optimizer by its name in lower case: ``from_name("sgd", lr=0.1, momentum=0.9)``.

    Raises
    ------
    ValueError
        If there is no such optimizer, or it has no such argument.

    Examples
    --------
    >>> from_name("sgd", lr=0.1, momentum=0.9)
    SGD(lr=0.1, weight_decay=0.0, momentum=0.9, nesterov=False)
    """
    kind = _BY_NAME.get(str(name).lower())
    if kind is None:
        raise ValueError(unknown("optimizer", name, names()))
    known = tuple(inspect.signature(kind).parameters)
    for argument in arguments:
        if argument not in known:
            raise ValueError(unknown(f"argument of {name}", argument, known))
    return kind(**arguments)


def kind_of(spec: Mapping[str, Any]) -> str:
    """What an optimizer's `spec` speaks of: "Adam", or "Lookahead around Adam".

    Examples
    --------
    >>> kind_of(Lookahead(Adam()).spec())
    'Lookahead around Adam'
    """
    wrapped = spec.get("optimizer")
    return f"{spec['type']} around {kind_of(wrapped)}" if wrapped else str(spec["type"])
