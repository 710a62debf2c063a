"""The fully connected layer."""

import math
from typing import Any

import numpy as np

from .. import backends, checks
from .base import Layer
from .initialization import Initialization
from .memory import NO_GRADIENT, Shape, memory_of


class Dense(Layer):
    """Multiplies by a matrix and adds a bias.

        x (N, in_features) -> y (N, out_features), float32 or float64

        y = x @ weight + bias

    Parameters
    ----------
    in_features : int
        Numbers per sample in the input.
    out_features : int
        Numbers per sample in the output.
    bias : bool
        Whether a number per output is added.
    init : str
        How the weights start: "he" or "xavier", with biases of 0, or "normal", which draws the
        biases too (`initialization.Initialization`).
    seed : int, optional
        Key of the starting weights of a layer that stands alone. A model draws them anew unless a
        seed was given here or the weights were written.
    init_std : float, optional
        Standard deviation of init "normal"; default 1.

    params: weight (in_features, out_features), bias (out_features,).

    Raises
    ------
    ValueError
        If an argument or the shape of an input does not fit.
    TypeError
        If an input is not a float array of the layer's dtype.

    Examples
    --------
    >>> Dense(784, 10).forward(np.zeros((32, 784), np.float32)).shape
    (32, 10)
    """

    positional = 2

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        init: str = "he",
        seed: int | None = None,
        init_std: float | None = None,
    ) -> None:
        super().__init__(checks.seed("Dense", seed))
        self.in_features = checks.whole("Dense", "in_features", in_features)
        self.out_features = checks.whole("Dense", "out_features", out_features)
        self.bias = checks.flag("Dense", "bias", bias)
        self.init = Initialization("Dense", init, init_std)

    def arguments(self) -> dict[str, Any]:
        return {
            "in_features": self.in_features,
            "out_features": self.out_features,
            "bias": self.bias,
            **self.init.arguments(),
        }

    def parameter_shapes(self) -> dict[str, Shape]:
        weight = (self.in_features, self.out_features)
        return {"weight": weight} | ({"bias": (self.out_features,)} if self.bias else {})

    def initial_values(self, generator: np.random.Generator) -> dict[str, np.ndarray]:
        fans = self.in_features, self.out_features
        return self.init.draw(generator, self.parameter_shapes(), *fans)

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 2 or input_shape[1] != self.in_features:
            hint = "; put a Flatten() before it" if len(input_shape) > 2 else ""
            raise ValueError(
                f"{self.name}: expected input with {self.in_features} features as "
                f"(N, {self.in_features}), got shape {input_shape}{hint}"
            )
        return (input_shape[0], self.out_features)

    def multiply_adds(self, input_shape: Shape) -> int:
        return math.prod(self.output_shape(input_shape)) * self.in_features

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        y_shape = self.check_input(x)
        x = memory_of(x)
        y = self.result(y_shape, x.dtype, training)
        bias = self.params.get("bias", self._no_bias())
        backends.current().dense_forward(x, self.params["weight"], bias, y, self.scratch)
        if training:
            self.remember(y, x)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        (x,) = self.recall(dy)
        dy, kernels = memory_of(dy), backends.current()
        if self.trainable:
            dbias = self.grads.get("bias", self._no_bias())
            kernels.dense_backward_weight(x, dy, self.grads["weight"], dbias, self.scratch)
        if not self.needs_input_gradient:
            return NO_GRADIENT
        dx = self.gradient(x.shape, dy.dtype, dy)
        kernels.dense_backward_input(dy, self.params["weight"], dx, self.scratch)
        return dx

    def _no_bias(self) -> np.ndarray:
        return np.empty(0, self.dtype)
