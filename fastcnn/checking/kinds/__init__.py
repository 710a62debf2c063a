"""What each kind of layer computes, and the mistakes that people make in it."""

import re
from typing import Any

import numpy as np

from .. import names
from . import activation, conv, dense, loss, norm, other, pool
from .base import Reference, near

# What a class is by its name; the first that fits.
_NAMES = (
    ("loss", r"loss|entropy|mse|criterion|nll|bce|hinge|huber|mae\b|cost|meansquared|meanabs"),
    ("norm", r"norm|^bn|^ln\d?$|^gn\d?$"),
    ("dropout", r"drop"),
    ("pool", r"pool"),
    ("conv", r"conv"),
    ("flatten", r"flatten|reshape"),
    ("activation", r"relu|sigmoid|tanh|softmax|elu|swish|softplus|softsign|silu|logistic|mish|"
                   r"activation|identity"),
    ("dense", r"dense|linear|affine|fully|^fc|innerproduct|perceptron"),
    ("pool", r"^max|^avg|^average|^mean"),
)  # fmt: skip


def kind_of(name: str) -> str | None:
    """What a class is, by its name: "conv", "pool", "dense", "norm", "dropout", ..."""
    bare = names.plain(name)
    return next((kind for kind, words in _NAMES if re.search(words, bare)), None)


def recognise(
    student: Any,
    thing: Any,
    x: np.ndarray,
    y: np.ndarray,
    given: dict[str, Any],
    targets: Any = None,
) -> Reference | None:
    """What a layer should compute, by its name, then by its weights and numbers; None: not known.

    Parameters
    ----------
    student : Student
    thing : object
        Its layer, with the weights that gave y.
    x, y : np.ndarray
        An input and what forward gave.
    given : dict
        Arguments of the constructor, by name.
    targets : array, optional
        For a loss.
    """
    try:
        found = _recognised(student, thing, x, y, given, targets)
        if found is not None:
            found.gradients(np.ones_like(found.forward()))
        return found
    except (ValueError, IndexError, LookupError):  # arrays that do not go together: another kind
        return None


def _recognised(
    student: Any, thing: Any, x: np.ndarray, y: np.ndarray, given: dict[str, Any], targets: Any
) -> Reference | None:
    if targets is not None:
        return loss.recognise(student.name, x, targets, y)
    kind = kind_of(student.name)
    if kind == "dropout":
        return other.Dropout(x, y, thing, given) if x.shape == y.shape else None
    if kind == "flatten":
        return other.Flatten(x, y) if x.size == y.size else None
    if kind == "norm":
        return norm.recognise(student, thing, x, y, given)
    if kind == "pool":
        return pool.recognise(student.name, thing, x, y, given)
    if kind == "conv":
        return conv.recognise(student, thing, x, y, given)
    if kind == "dense":
        return dense.recognise(student, thing, x, y)
    if kind == "activation":
        return activation.recognise(student.name, thing, x, y, given)
    if student.parameters:
        tries = [
            dense.recognise(student, thing, x, y), conv.recognise(student, thing, x, y, given),
            norm.recognise(student, thing, x, y, given),
        ]  # fmt: skip
    else:
        tries = [activation.recognise(student.name, thing, x, y, given)]
        if kind is None and x.ndim == 4 and y.ndim == 4 and y.size < x.size:
            tries.append(pool.recognise(student.name, thing, x, y, given))
    fits = [each for each in tries if each is not None and near(each.forward(), y, 1e-5)]
    return next(iter(fits), None)
