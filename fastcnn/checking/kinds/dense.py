"""Dense layers: their numbers by `kernels.loop`, and what people's do instead."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from kernels import loop
from kernels.workspace import Workspace

from ..arrays import get
from .base import Gradients, Reference, by_role, near

_WORKSPACE = Workspace()


class Dense(Reference):
    """One dense layer of a student: x (N, in), (in,) or columns (in, N)."""

    def __init__(self, x: np.ndarray, arrays: dict[str, Any], turned: bool, columns: bool) -> None:
        self.labels = {role: p.label for role, (p, _) in arrays.items()}
        self.turned, self.columns, self.shape = turned, columns, x.shape
        self.x = self._rows(x)
        weight = np.asarray(arrays["weight"][1], np.float64)
        self.weight = np.ascontiguousarray(weight.T if turned else weight)
        bias = arrays.get("bias")
        self.bias_shape = () if bias is None else np.shape(bias[1])
        self.bias = np.empty(0) if bias is None else np.array(bias[1], np.float64).ravel()
        form = "(outputs, inputs)" if turned else "(inputs, outputs)"
        self.title = f"dense layer, weights as {form}"
        if columns:
            self.title += ", samples in columns"
        self.scales = {
            "the batch size N": len(self.x),
            "the number of inputs": self.weight.shape[0],
            "the number of outputs": self.weight.shape[1],
        }

    def _rows(self, x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, np.float64)
        x = x.T if self.columns else x
        return np.ascontiguousarray(
            x.reshape(-1, x.shape[-1]) if x.ndim < 3 else x.reshape(len(x), -1)
        )

    def _out(self, y: np.ndarray) -> np.ndarray:
        return y.T if self.columns else y.reshape(-1) if len(self.shape) == 1 else y

    def _run(self, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        y = np.empty((len(self.x), weight.shape[1]))
        loop.dense_forward(self.x, weight, bias, y, _WORKSPACE)
        return y

    def forward(self) -> np.ndarray:
        return self._out(self._run(self.weight, self.bias))

    def gradients(self, dy: np.ndarray) -> Gradients:
        d = self._rows(dy)
        return self._named(d @ self.weight.T, self.x.T @ d, d.sum(0))

    def _named(self, dx: Any = None, dweight: Any = None, dbias: Any = None) -> Gradients:
        found = {}
        if dx is not None:
            fits = np.size(dx) == self.x.size
            found["x"] = (dx.T if self.columns else dx.reshape(self.shape)) if fits else dx
        if dweight is not None:
            found[self.labels["weight"]] = dweight.T if self.turned else dweight
        if dbias is not None and "bias" in self.labels:
            fits = np.size(dbias) == self.bias.size
            found[self.labels["bias"]] = np.reshape(dbias, self.bias_shape) if fits else dbias
        return found

    def forward_mistakes(self) -> Iterator[tuple[str, np.ndarray]]:
        for words, y in self._forward_mistakes():
            yield words, self._out(y)

    def _forward_mistakes(self) -> Iterator[tuple[str, np.ndarray]]:
        bare = self.x @ self.weight
        if self.bias.size:
            yield "the bias is not added", bare
            yield "the bias is subtracted", bare - self.bias
            yield "the bias is added once for each input", bare + self.bias * self.x.shape[1]
            yield "only the first bias is used", bare + self.bias[0]
            yield "the sum of the biases is added everywhere", bare + self.bias.sum()
            if len(self.bias) == len(self.x):
                yield "the bias is added along the batch", bare + self.bias[:, None]
        if self.weight.shape[0] == self.weight.shape[1]:
            yield "the weights are transposed", self.x @ self.weight.T + (
                self.bias if self.bias.size else 0)  # fmt: skip
        right = bare + (self.bias if self.bias.size else 0)
        yield "a ReLU is inside the layer", np.maximum(right, 0)
        yield "a sigmoid is inside the layer", 1 / (1 + np.exp(-right))
        yield "a tanh is inside the layer", np.tanh(right)
        e = np.exp(right - right.max(1, keepdims=True))
        yield "a softmax is inside the layer", e / e.sum(1, keepdims=True)

    def gradient_mistakes(self, dy: np.ndarray) -> Iterator[tuple[str, Gradients]]:
        d = self._rows(dy)
        weight, x = self.weight, self.x
        if weight.shape[0] == weight.shape[1]:
            yield ("a transpose is missing: the gradient by x is dy times W, not dy times W "
                   "transposed", self._named(d @ weight, d.T @ x))  # fmt: skip
        yield "a transpose is missing in the gradient of the weights", self._named(None, (
            d.T @ x))  # fmt: skip
        if len(x) == x.shape[1]:
            yield "a transpose is missing in the gradient of the weights", self._named(None, x @ d)
        yield "the bias gradient is not summed over the batch", self._named(
            None, None, d.T if self.columns else d)  # fmt: skip
        yield "the bias gradient is summed over the outputs, not over the batch", self._named(
            None, None, d.sum(1))  # fmt: skip
        yield "the bias gradient is the sum over everything", self._named(None, None, d.sum())
        yield "the bias gradient is the sum over everything", self._named(
            None, None, np.full(self.bias.shape, d.sum()))  # fmt: skip
        for word, n in (("first", 0), ("last", -1)):
            yield (f"only the {word} sample of the batch counts: it overwrites the others, instead "
                   "of being added", self._named(None, np.outer(x[n], d[n]), d[n]))  # fmt: skip
        means = np.outer(x.mean(0), d.sum(0)), np.outer(x.sum(0), d.sum(0))
        for dweight in means:
            yield ("x and dy are summed over the batch before they are multiplied",
                   self._named(None, dweight))  # fmt: skip
        yield "dy is not used", self._named(
            np.broadcast_to(weight.sum(1), x.shape), np.repeat(x.sum(0)[:, None], d.shape[1], 1),
            np.ones(d.shape[1]) * len(x))  # fmt: skip
        yield "x is not used in the gradient of the weights", self._named(
            None, np.repeat(d.sum(0)[None], x.shape[1], 0))  # fmt: skip
        y = self._run(weight, self.bias)
        yield "the derivative of a sigmoid is inside the layer", self.gradients(
            self._out(d * y * (1 - y)))  # fmt: skip
        yield "the derivative of a ReLU is inside the layer", self.gradients(self._out(d * (y > 0)))


def recognise(student: Any, thing: Any, x: np.ndarray, y: np.ndarray) -> Dense | None:
    """The dense layer that the student means; None if it cannot be one."""
    found = by_role(student, thing, {"weight": "", "bias": ""})
    if "weight" not in found or np.ndim(get(thing, found["weight"].path)) != 2:
        return None
    arrays = {role: (p, np.array(get(thing, p.path))) for role, p in found.items()}
    weight = arrays["weight"][1]
    fits = []
    for columns in (False, True):
        if columns and x.ndim != 2:
            continue
        inputs = x.shape[0] if columns else x.shape[-1] if x.ndim < 3 else x[0].size
        outputs = y.shape[0] if columns else y.shape[-1]
        for turned in (False, True):
            bias = arrays["bias"][1].size if "bias" in arrays else outputs
            fits_weight = weight.shape == ((outputs, inputs) if turned else (inputs, outputs))
            if fits_weight and bias == outputs:
                fits.append(Dense(x, arrays, turned, columns))
    right = [each for each in fits if near(each.forward(), y, 1e-4)]
    return next(iter(right or fits), None)
