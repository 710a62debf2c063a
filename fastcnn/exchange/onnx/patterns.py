"""Layers that files write as several nodes, found again by their form.

A pattern is (operator, pattern of each input): "x" is what goes in, "@name" an array, a number an
array of that number, and "?name" anything, which is bound where it is an array. Inputs of Add and
Mul may stand in either order.
"""

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ... import layers
from ...layers import Layer
from .file import Op

Bound = dict[str, Any]
# A layer, arrays that it shall have, of one number a channel, and the shape that samples must have
# where the nodes say it; None: it is not what it looked like.
Made = tuple[Layer, dict[str, np.ndarray], np.ndarray | None] | None
OF_SERIES: dict[type[Layer], type[Layer]] = {
    layers.GlobalAveragePool2D: layers.GlobalAveragePool1D,
    layers.GlobalMaxPool2D: layers.GlobalMaxPool1D,
}
"""What a pattern's layer is where series go in."""
_EITHER_WAY = ("Add", "Mul")
_CLOSE = 1e-4  # as exporters round the root of 2


class Matcher:
    """Compares nodes with patterns.

    Parameters
    ----------
    makers : mapping of str to Op
        The node that gives a value.
    arrays : mapping of str to array
        The values that are known.
    """

    def __init__(self, makers: Mapping[str, Op], arrays: Mapping[str, np.ndarray]) -> None:
        self.makers, self.arrays = makers, arrays

    def find(self, value: str) -> tuple[Made, str, tuple[str, ...]]:
        """The layer that the nodes which end in a value are, what it is given, and its arrays."""
        op = self.makers[value].op
        for pattern, make in PATTERNS.get(op, ()):
            bound = self._match(pattern, value, {})
            made = None if bound is None else make(bound)
            if bound is not None and made is not None:
                return made, bound["x"], bound.get("names", ())
        return None, "", ()

    def _match(self, pattern: Any, value: str, bound: Bound) -> Bound | None:
        if isinstance(pattern, str) and pattern[0] == "?":
            return {**bound, pattern: self.arrays.get(value)}
        if isinstance(pattern, tuple):
            return self._match_node(pattern, value, bound)
        array = self.arrays.get(value)
        if isinstance(pattern, str) and pattern[0] != "@":
            fits = array is None and bound.get(pattern, value) == value
            return {**bound, pattern: value} if fits else None
        if array is None:
            return None
        if isinstance(pattern, str):
            first = bound.get(pattern, array)
            names = (*bound.get("names", ()), value)
            same = np.array_equal(first, array)
            return {**bound, pattern: array, "names": names} if same else None
        is_it = array.size > 0 and np.allclose(array, pattern, rtol=_CLOSE, atol=0)
        return bound if is_it else None

    def _match_node(self, pattern: Any, value: str, bound: Bound) -> Bound | None:
        op, *parts = pattern
        node = self.makers.get(value)
        if node is None or node.op != op:
            return None
        inputs = [name for name in node.inputs if name]
        if len(inputs) != len(parts):
            return None
        orders = itertools.permutations(inputs) if op in _EITHER_WAY else (inputs,)
        for order in orders:
            found: Bound | None = {**bound, op: node}
            for part, name in zip(parts, order, strict=True):
                found = found if found is None else self._match(part, name, found)
            if found is not None:
                return found
        return None


def _number(array: Any) -> float | None:
    """The one number of an array."""
    return float(array.ravel()[0]) if array.size == 1 else None


_SOFTPLUS = {"@beta": np.ones(1), "@threshold": np.full(1, np.inf)}


def _softplus(bound: Bound) -> Made:
    """With PyTorch's threshold or without: where beta * x is above 15, float32 has x for both."""
    beta, threshold = (_number(bound.get(name, default)) for name, default in _SOFTPLUS.items())
    if beta is None or threshold is None or beta <= 0 or threshold < 15:
        return None
    return layers.Softplus(beta), {}, None


def _group_norm(bound: Bound) -> Made:
    """Groups as the channels of an InstanceNormalization that scales nothing."""
    groups, scale, shift = bound["@apart"], bound["@ones"], bound["@zeros"]
    gamma, beta = bound["@gamma"], bound["@beta"]
    plain = (scale == 1).all() and not shift.any()
    fits = groups.tolist() == [0, len(scale), -1] and gamma.size == beta.size
    if not plain or not fits or gamma.size % len(scale):
        return None
    eps = bound["InstanceNormalization"].attributes.get("epsilon", 1e-5)
    one = layers.LayerNorm(gamma.size, eps)
    layer = one if len(scale) == 1 else layers.GroupNorm(len(scale), gamma.size, eps)
    return layer, {"gamma": gamma, "beta": beta}, bound["?shape"]


def _hard_sigmoid_slope(node: Op) -> bool:
    alpha, beta = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)
    return bool(np.isclose(alpha, 1 / 6) and np.isclose(beta, 0.5))


def _hardswish(bound: Bound) -> Made:
    return (layers.Hardswish(), {}, None) if _hard_sigmoid_slope(bound["HardSigmoid"]) else None


def _global(kind: type[Layer]) -> Callable[[Bound], Made]:
    def make(bound: Bound) -> Made:
        return (kind(), {}, None) if bound["Flatten"].attributes.get("axis", 1) == 1 else None

    return make


def _plain(kind: Callable[[], Layer]) -> Callable[[Bound], Made]:
    return lambda bound: (kind(), {}, None)


_SIX = ("Clip", ("Add", "x", 3.0), 0.0, 6.0)
_ERF = ("Add", ("Erf", ("Div", "x", math.sqrt(2))), 1.0)
_ERF2 = ("Add", ("Erf", ("Mul", "x", math.sqrt(0.5))), 1.0)
_CUBES = (
    ("Mul", "x", ("Mul", "x", "x")),
    ("Mul", ("Mul", "x", "x"), "x"),
    ("Pow", "x", 3.0),
)
_TANHS = tuple(
    ("Add", ("Tanh", ("Mul", math.sqrt(2 / math.pi), ("Add", "x", ("Mul", 0.044715, cube)))), 1.0)
    for cube in _CUBES
)
# The half of GELU stands in three places.
_GELUS = [
    (form, layers.GELU if bent in (_ERF, _ERF2) else lambda: layers.GELU("tanh"))
    for bent in (_ERF, _ERF2, *_TANHS)
    for form in (
        ("Mul", ("Mul", "x", bent), 0.5),
        ("Mul", ("Mul", "x", 0.5), bent),
        ("Mul", "x", ("Mul", bent, 0.5)),
    )
]  # fmt: skip

# Operator of the last node -> (pattern, what makes the layer).
PATTERNS: dict[str, list[tuple[Any, Callable[[Bound], Made]]]] = {
    "Mul": [
        (("Mul", "x", ("Sigmoid", "x")), _plain(layers.SiLU)),
        (("Mul", "x", ("Tanh", ("Softplus", "x"))), _plain(layers.Mish)),
        (("Mul", "x", ("HardSigmoid", "x")), _hardswish),
        (("Mul", "x", ("Div", _SIX, 6.0)), _plain(layers.Hardswish)),
        *((form, _plain(make)) for form, make in _GELUS),
    ],
    "Div": [
        (("Div", ("Mul", "x", _SIX), 6.0), _plain(layers.Hardswish)),
        (("Div", _SIX, 6.0), _plain(layers.Hardsigmoid)),
        (("Div", ("Softplus", ("Mul", "x", "@beta")), "@beta"), _softplus),
    ],
    "Add": [
        (
            ("Add", ("Mul", ("Reshape", ("InstanceNormalization", ("Reshape", "x", "@apart"),
             "@ones", "@zeros"), "?shape"), "@gamma"), "@beta"),
            _group_norm,
        ),
    ],
    "Where": [
        (("Where", ("Greater", "x", "@threshold"), "x", ("Softplus", "x")), _softplus),
        (
            ("Where", ("Greater", ("Mul", "x", "@beta"), "@threshold"), "x",
             ("Div", ("Softplus", ("Mul", "x", "@beta")), "@beta")),
            _softplus,
        ),
    ],
    "Flatten": [
        (("Flatten", ("GlobalAveragePool", "x")), _global(layers.GlobalAveragePool2D)),
        (("Flatten", ("GlobalMaxPool", "x")), _global(layers.GlobalMaxPool2D)),
    ],
}  # fmt: skip
