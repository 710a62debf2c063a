"""Activations: the usual functions, their derivatives, and how these are got wrong."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import names
from .base import Gradients, Reference, near

Function = Callable[[np.ndarray], np.ndarray]

_GELU = math.sqrt(2 / math.pi)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))


def _gauss(x: np.ndarray) -> np.ndarray:
    """The distribution function of N(0, 1)."""
    return 0.5 * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2)))


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    return np.tanh(_GELU * (x + 0.044715 * x**3))


def _functions(slope: float) -> dict[str, tuple[Function, Function]]:
    """Name -> (f, f')."""
    return {
        "ReLU": (lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0),
        "leaky ReLU": (
            lambda x: np.where(x > 0, x, slope * x), lambda x: np.where(x > 0, 1.0, slope),
        ),
        "sigmoid": (_sigmoid, lambda x: _sigmoid(x) * (1 - _sigmoid(x))),
        "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
        "ELU": (
            lambda x: np.where(x > 0, x, slope * np.expm1(np.minimum(x, 0))),
            lambda x: np.where(x > 0, 1.0, slope * np.exp(np.minimum(x, 0))),
        ),
        "softplus": (lambda x: np.logaddexp(0, x), _sigmoid),
        "swish": (
            lambda x: x * _sigmoid(x), lambda x: _sigmoid(x) * (1 + x * (1 - _sigmoid(x))),
        ),
        "GELU": (
            lambda x: x * _gauss(x),
            lambda x: _gauss(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi),
        ),
        "GELU by tanh": (
            lambda x: 0.5 * x * (1 + _gelu_tanh(x)),
            lambda x: 0.5 * (1 + _gelu_tanh(x)) + 0.5 * x * (1 - _gelu_tanh(x) ** 2) * _GELU
            * (1 + 3 * 0.044715 * x * x),
        ),
        "softsign": (lambda x: x / (1 + abs(x)), lambda x: 1 / (1 + abs(x)) ** 2),
        "identity": (lambda x: x, np.ones_like),
        "square": (lambda x: x * x, lambda x: 2 * x),
    }  # fmt: skip


_NAMED = {
    "leaky": "leaky ReLU", "lrelu": "leaky ReLU", "prelu": "leaky ReLU", "gelu": "GELU",
    "selu": "", "celu": "", "hard": "", "relu6": "", "relu": "ReLU", "rectif": "ReLU", "elu": "ELU",
    "logsoftmax": "", "softmax": "softmax", "sigmoid": "sigmoid", "logistic": "sigmoid",
    "tanh": "tanh", "hyperbolic": "tanh", "softplus": "softplus", "swish": "swish", "silu": "swish",
    "softsign": "softsign", "identity": "identity", "linear": "identity",
}  # fmt: skip
# A derivative as a formula in y, which people then fill with x.
_BY_OUTPUT: dict[str, Function] = {
    "sigmoid": lambda y: y * (1 - y),
    "tanh": lambda y: 1 - y * y,
    "softplus": lambda y: 1 - np.exp(-y),
}


class Activation(Reference):
    """One activation of a student, number by number."""

    def __init__(self, x: np.ndarray, kind: str, slope: float) -> None:
        self.x, self.kind, self.slope = np.asarray(x, np.float64), kind, slope
        self.functions = _functions(slope)
        self.title = kind + (f", slope {slope:g}" if kind in ("leaky ReLU", "ELU") else "")

    def forward(self) -> np.ndarray:
        return self.functions[self.kind][0](self.x)

    def gradients(self, dy: np.ndarray) -> Gradients:
        return {"x": dy * self.functions[self.kind][1](self.x)}

    def forward_mistakes(self) -> Iterator[tuple[str, np.ndarray]]:
        x = self.x
        if self.kind == "sigmoid":
            yield "the minus sign is missing: 1 / (1 + exp(x))", _sigmoid(-x)
        if self.kind in ("ReLU", "leaky ReLU"):
            yield "positive and negative are swapped", np.minimum(x, 0)
            yield "the absolute value is taken", abs(x)
        if self.kind == "leaky ReLU":
            yield "the slope is on the wrong side", np.where(x > 0, self.slope * x, x)
            yield "the slope itself is given for negative x, not slope * x", np.where(
                x > 0, x, self.slope)  # fmt: skip
            yield "the slope divides", np.where(x > 0, x, x / self.slope)
        if self.kind == "tanh":
            yield "this is tanh(x / 2): exp(x) where exp(2 x) belongs", np.tanh(x / 2)
        for name, (function, _) in self.functions.items():
            if name != self.kind:
                yield f"this is {name}, not {self.kind}", function(x)

    def gradient_mistakes(self, dy: np.ndarray) -> Iterator[tuple[str, Gradients]]:
        for words, dx in self._gradient_mistakes(dy):
            yield words, {"x": dx}

    def _gradient_mistakes(self, dy: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        x, (function, derivative) = self.x, self.functions[self.kind]
        y = function(x)
        if self.kind in ("ReLU", "leaky ReLU"):
            yield "the mask is taken from dy, not from x", np.where(dy > 0, dy, 0)
            yield "the mask is taken from dy, not from x", dy * derivative(dy)
        if self.kind in _BY_OUTPUT:
            yield (f"the derivative is taken at the wrong place: its formula for the output y is "
                   f"given the input x, without {self.kind}(x)",
                   dy * _BY_OUTPUT[self.kind](x))  # fmt: skip
        yield ("the derivative is taken at the output y, where its formula needs the input x "
               f"({self.kind} is applied twice)", dy * derivative(y))  # fmt: skip
        yield "dy is not used: the derivative alone is given", derivative(x)
        yield "the derivative is not used: dy is passed on as it is", dy
        yield "dy is added to the derivative, not multiplied with it", dy + derivative(x)
        yield "dy is multiplied with y, not with the derivative", dy * y
        yield "the derivative is taken at dy, not at x", dy * derivative(dy)
        yield "the derivative is taken at dy, not at x, and dy is not used", derivative(dy)
        yield "this is the function of dy, not the derivative at x", function(dy)
        yield "the derivative is used twice", dy * derivative(x) ** 2
        yield "dy is multiplied with x", dy * x
        if self.kind in ("leaky ReLU", "ELU"):
            yield "the slope is missing on the way back: 0 for negative x", dy * (x > 0)
            yield "the slope is used for positive x too", dy * self.slope
            yield "the slope is on the wrong side on the way back", dy * np.where(
                x > 0, self.slope, 1)  # fmt: skip
            yield "the slope is given for negative x without dy", np.where(x > 0, dy, self.slope)
            if self.kind == "ELU":
                yield ("the function stands where its derivative belongs: for negative x that is "
                       "slope * exp(x)", dy * np.where(x > 0, 1, y))  # fmt: skip
            if self.slope:
                yield "dy is divided by the slope", dy * np.where(x > 0, 1, 1 / self.slope)
        if self.kind in ("ReLU", "leaky ReLU"):
            yield "positive and negative are swapped on the way back", dy * (x <= 0)
        if self.kind == "softplus":
            yield ("the derivative is taken at -x: it is sigmoid(x), 1 / (1 + exp(-x))",
                   dy * derivative(-x))  # fmt: skip
        if self.kind == "sigmoid":
            for words, factor in (("1 - y", 1 - y), ("y", y), ("y * (1 + y)", y * (1 + y)),
                                  ("1 - y * y", 1 - y * y),
                                  ("y * (y - 1)", y * (y - 1))):  # fmt: skip
                yield f"the derivative is written as {words}; it is y * (1 - y)", dy * factor
        if self.kind == "tanh":
            for words, factor in (("1 - y", 1 - y), ("1 + y * y", 1 + y * y), ("y * (1 - y)",
                                  y * (1 - y)), ("y * y - 1", y * y - 1), ("(1 - y) ** 2",
                                  (1 - y) ** 2)):  # fmt: skip
                yield f"the derivative is written as {words}; it is 1 - y * y", dy * factor
        for name, (_, other) in self.functions.items():
            if name != self.kind:
                yield f"this is the derivative of {name}, not of {self.kind}", dy * other(x)


class Softmax(Reference):
    """A softmax layer, each row by itself."""

    def __init__(self, x: np.ndarray, axis: int) -> None:
        self.x, self.axis = np.asarray(x, np.float64), axis
        self.title = f"softmax over axis {axis}"

    def _run(self, axis: Any) -> np.ndarray:
        e = np.exp(self.x - self.x.max(axis, keepdims=True))
        return e / e.sum(axis, keepdims=True)

    def forward(self) -> np.ndarray:
        return self._run(self.axis)

    def gradients(self, dy: np.ndarray) -> Gradients:
        p = self.forward()
        return {"x": p * (dy - (dy * p).sum(self.axis, keepdims=True))}

    def forward_mistakes(self) -> Iterator[tuple[str, np.ndarray]]:
        for axis in range(self.x.ndim):
            if axis != self.axis % self.x.ndim:
                yield (f"the sum is over axis {axis}: samples are compared, not the classes of "
                       "each sample", self._run(axis))  # fmt: skip
        e = np.exp(self.x - self.x.max(self.axis, keepdims=True))
        for total in (e, np.exp(self.x - self.x.max())):
            yield "the sum is over the whole batch, not over the classes of each sample", (
                total / total.sum())  # fmt: skip
        for axis in range(self.x.ndim):
            if axis != self.axis % self.x.ndim:
                yield f"the sum is over axis {axis}, not over the classes", e / e.sum(
                    axis, keepdims=True)  # fmt: skip
        yield "the logarithm is given", np.log(self.forward())
        yield "it is not divided by the sum", np.exp(self.x)
        yield "it is not divided by the sum", np.exp(self.x - self.x.max(self.axis, keepdims=True))
        yield "this is a sigmoid of each number", _sigmoid(self.x)

    def gradient_mistakes(self, dy: np.ndarray) -> Iterator[tuple[str, Gradients]]:
        p = self.forward()
        yield ("only the diagonal p * (1 - p) is used: each output depends on all inputs of its "
               "sample", {"x": dy * p * (1 - p)})  # fmt: skip
        yield "dy is passed on as it is", {"x": dy}
        yield "dy is multiplied with p alone", {"x": dy * p}
        yield "the sum over the classes is missing", {"x": p * (dy - dy * p)}
        yield "the sum over the classes is a mean", {
            "x": p * (dy - (dy * p).mean(self.axis, keepdims=True))}  # fmt: skip
        yield "the factor p before the bracket is missing", {
            "x": dy - (dy * p).sum(self.axis, keepdims=True)}  # fmt: skip
        yield "the sum runs over the whole batch", {"x": p * (dy - (dy * p).sum())}
        yield "the sum is of dy, without p", {"x": p * (dy - dy.sum(self.axis, keepdims=True))}


def recognise(
    name: str, thing: Any, x: np.ndarray, y: np.ndarray, given: dict[str, Any]
) -> Reference | None:
    """The function that the student means: by its name, else by its numbers."""
    if y.shape != x.shape:
        return None
    bare = names.plain(name)
    meant = next((kind for word, kind in _NAMED.items() if word in bare), None)
    if meant == "softmax" or meant is None:
        shown = [Softmax(x, axis) for axis in ((-1,) if x.ndim < 3 else (1, -1))]
        fits = [each for each in shown if near(each.forward(), y, 1e-6)]
        if fits or meant:
            return next(iter(fits or shown))
    slope = _slope(thing, x, y, given)
    kinds = list(_functions(slope))
    fits = [kind for kind in kinds if near(_functions(slope)[kind][0](x), y, 1e-5)]
    if meant and (meant in fits or not fits):
        return Activation(x, meant, slope)
    if meant == "GELU" and fits:
        return Activation(x, fits[0], slope)
    if meant:
        return Activation(x, meant, slope)
    return Activation(x, fits[0], slope) if fits else None


def _slope(thing: Any, x: np.ndarray, y: np.ndarray, given: dict[str, Any]) -> float:
    for source in (given, getattr(thing, "__dict__", {})):
        for key, value in source.items():
            if names.role_of(key, ["slope"]) and np.size(value) == 1 and not isinstance(value, str):
                return float(np.asarray(value, np.float64).ravel()[0])
    below = x < -0.1
    if below.any():
        slopes = y[below] / x[below]
        middle = float(np.median(slopes))
        if 0 < middle < 1 and near(slopes, np.full_like(slopes, middle), 1e-6):
            return middle
    return 1.0 if "elu" in names.plain(type(thing).__name__) and "relu" not in names.plain(
        type(thing).__name__) else 0.01  # fmt: skip
