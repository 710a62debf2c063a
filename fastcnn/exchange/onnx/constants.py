"""Arithmetic on what a file says without an input: weights, and the sizes that exporters compute.

The size of the batch, which nobody knows, takes part as the number `BATCH`.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .file import TYPES, Op

BATCH = 2**40 + 15
LARGEST_SIZE = 2**31  # of what is not the batch
_SPARE = 2**26  # bytes beside the file's own

Array = np.ndarray


class Purse:
    """How much memory may still be taken for what a file describes: of the order of its size.

    Parameters
    ----------
    size : int
        Bytes of the file.
    """

    def __init__(self, size: int) -> None:
        self.left = 3 * size + _SPARE

    def spend(self, what: str, shape: tuple[int, ...], itemsize: int = 8) -> None:
        """Take memory for an array.

        Raises
        ------
        ValueError
            If that is more than the file's size explains.
        """
        self.left -= math.prod(shape) * itemsize
        if self.left < 0:
            raise ValueError(f"{what} asks for far more memory than the file's size explains")


def _axes(node: Op, inputs: list[Array], default: Any = None) -> Any:
    """Axes as the first versions have them, an attribute, or the later ones, an input."""
    if len(inputs) > 1:
        return tuple(inputs[1].tolist())
    given = node.attributes.get("axes", default)
    return tuple(given) if given is not None else None


def _slice(node: Op, inputs: list[Array]) -> Array:
    x, *rest = inputs
    if rest:
        starts, stops, *more = (each.tolist() for each in rest)
    else:
        starts, stops = node.attributes["starts"], node.attributes["ends"]
        more = [node.attributes[name] for name in ("axes",) if name in node.attributes]
    axes = more[0] if more else range(len(starts))
    steps = more[1] if len(more) > 1 else [1] * len(starts)
    cut = [slice(None)] * x.ndim
    for axis, start, stop, step in zip(axes, starts, stops, steps, strict=True):
        cut[axis] = sliced(x.shape[axis], start, stop, step)
    return x[tuple(cut)]


def sliced(size: int, start: int, stop: int, step: int) -> slice:
    """What a Slice takes of an axis, as Python says it: going back, it may begin and end before."""
    if step < 0:
        return slice(max(start, -size), None if stop < -size else stop, step)
    return slice(start, stop, step)


def _cast(node: Op, inputs: list[Array]) -> Array:
    """Numbers of another type. How large the batch is stays a whole number, or is none."""
    x, kind = inputs[0], np.dtype(TYPES[node.attributes["to"]])
    unknown = x > LARGEST_SIZE if x.dtype == np.int64 else np.array(False)
    if not unknown.any() or kind.kind == "b":
        return x.astype(kind)
    return np.where(unknown, np.nan, x).astype(kind) if kind.kind == "f" else x


def _unsqueezed(node: Op, inputs: list[Array]) -> Array:
    return np.expand_dims(inputs[0], _axes(node, inputs))


def _reduced(reduce: Callable[..., Array]) -> Callable[[Op, list[Array]], Array]:
    def run(node: Op, inputs: list[Array]) -> Array:
        keep, axes = bool(node.attributes.get("keepdims", 1)), _axes(node, inputs)
        if not axes:  # all of them, unless the node says none
            axes = () if node.attributes.get("noop_with_empty_axes") else None
        return np.asarray(reduce(inputs[0], axis=axes, keepdims=keep))

    return run


def _divided(node: Op, inputs: list[Array]) -> Array:
    a, b = inputs
    if a.dtype.kind in "iu" and b.dtype.kind in "iu":
        return (np.sign(a) * np.sign(b) * (abs(a) // abs(b))).astype(a.dtype)
    return a / b


def _filled(node: Op, inputs: list[Array]) -> Array:
    value = np.asarray(node.attributes.get("value", [np.float32(0)]))
    return np.resize(value, tuple(inputs[0].tolist()))


def _constant(node: Op, _: list[Array]) -> Array:
    for name, kind in (("value_float", "f4"), ("value_int", "i8"), ("value_floats", "f4"),
                       ("value_ints", "i8")):  # fmt: skip
        if name in node.attributes:
            return np.asarray(node.attributes[name], kind)
    return np.asarray(node.attributes["value"])


def _reshaped(node: Op, inputs: list[Array]) -> Array:
    x, shape = inputs[0], inputs[1].tolist()
    keeps = not node.attributes.get("allowzero", 0)
    return x.reshape([x.shape[i] if keeps and n == 0 else n for i, n in enumerate(shape)])


# Operator -> what it gives for arrays.
_RULES: dict[str, Callable[[Op, list[Array]], Array]] = {
    "Constant": _constant,
    "Identity": lambda node, a: a[0],
    "Dropout": lambda node, a: a[0],
    "Cast": _cast,
    "Gather": lambda node, a: np.take(a[0], a[1], node.attributes.get("axis", 0)),
    "Concat": lambda node, a: np.concatenate(a, node.attributes["axis"]),
    "Unsqueeze": _unsqueezed,
    "Squeeze": lambda node, a: np.squeeze(a[0], _axes(node, a)),
    "Slice": _slice,
    "Reshape": _reshaped,
    "Transpose": lambda node, a: np.transpose(a[0], node.attributes.get("perm")),
    "Add": lambda node, a: a[0] + a[1],
    "Sub": lambda node, a: a[0] - a[1],
    "Mul": lambda node, a: a[0] * a[1],
    "Div": _divided,
    "Mod": lambda node, a: (np.fmod if node.attributes.get("fmod") else np.mod)(a[0], a[1]),
    "Neg": lambda node, a: -a[0],
    "Abs": lambda node, a: abs(a[0]),
    "Sqrt": lambda node, a: np.sqrt(a[0]),
    "Exp": lambda node, a: np.exp(a[0]),
    "Floor": lambda node, a: np.floor(a[0]),
    "Ceil": lambda node, a: np.ceil(a[0]),
    "Min": lambda node, a: np.minimum.reduce(a),
    "Max": lambda node, a: np.maximum.reduce(a),
    "Equal": lambda node, a: np.equal(a[0], a[1]),
    "Where": lambda node, a: np.where(a[0], a[1], a[2]),
    "ReduceProd": _reduced(np.prod),
    "ReduceSum": _reduced(np.sum),
    "ConstantOfShape": _filled,
    "Expand": lambda node, a: a[0] * np.ones(tuple(a[1].tolist()), a[0].dtype),
    "Range": lambda node, a: np.arange(*(each.item() for each in a)),
    "Shape": lambda node, a: part_of(node, np.array(a[0].shape, np.int64)),
    "Size": lambda node, a: np.array(a[0].size, np.int64),
}


def part_of(node: Op, shape: Array) -> Array:
    """The part of a shape that a Shape node gives."""
    return shape[node.attributes.get("start", 0) : node.attributes.get("end", None)]


def _room(node: Op, inputs: list[Array]) -> tuple[int, ...]:
    """Of what shape the result is, or at least as large as it."""
    if node.op in ("ConstantOfShape", "Expand"):
        asked = tuple(max(int(size), 0) for size in inputs[-1].ravel().tolist())
        return (*asked, *inputs[0].shape) if node.op == "Expand" else asked
    if node.op == "Range":
        start, stop, step = (float(each.item()) for each in inputs)
        return (max(int(abs((stop - start) / step)) + 1, 1),)
    if node.op == "Gather":
        return (inputs[0].size, inputs[1].size) if inputs[0].ndim > 1 else inputs[1].shape
    if node.op in ("Add", "Sub", "Mul", "Div", "Mod", "Equal", "Where", "Min", "Max"):
        return np.broadcast_shapes(*(each.shape for each in inputs))
    return (sum(each.size for each in inputs),)


def can_fold(node: Op) -> bool:
    """Whether the operator is known for arrays."""
    return node.op in _RULES


def fold(node: Op, inputs: list[Array], purse: Purse) -> Array:
    """What a node gives for arrays.

    Raises
    ------
    ValueError
        If it cannot be computed; names the node.
    """
    try:
        if node.op not in ("Identity", "Transpose"):  # these give views
            purse.spend(node.spoken, _room(node, inputs))
        with np.errstate(all="ignore"):
            return np.asarray(_RULES[node.op](node, inputs))
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        if str(error).startswith(node.spoken):
            raise
        raise ValueError(f"{node.spoken} cannot be computed: {error}") from None
