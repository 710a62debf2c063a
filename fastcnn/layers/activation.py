"""Activation functions: one number in, one number out (softmax: one row in, one row out)."""

from typing import Any

import numpy as np

from kernels import activation as kernels

from .. import checks
from . import spoken
from .base import Layer
from .memory import Shape, memory_of, seen


class _Activation(Layer):
    """An activation whose gradient follows from its result."""

    def apply(self, x: np.ndarray, y: np.ndarray) -> None:
        """Fill y; both lie channels-last."""
        raise NotImplementedError

    def spread(self, dy: np.ndarray, y: np.ndarray, dx: np.ndarray) -> None:
        """Fill dx from dy and the result y."""
        raise NotImplementedError

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self.check_input(x)
        x = memory_of(x)
        y = self.result(x.shape, x.dtype, training)
        self.apply(x, y)
        if training:
            self.remember(seen(y), y)
        return seen(y)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        (y,) = self.recall(dy)
        dx = self.gradient(y.shape, y.dtype, dy)
        self.spread(memory_of(dy), y, dx)
        return seen(dx)


class ReLU(_Activation):
    """max(x, 0), elementwise; the gradient at 0 is 0.

    x (N, ...) -> y of the same shape, float32 or float64.

    Examples
    --------
    >>> ReLU().forward(np.float32([[-1, 0, 2]]))
    array([[0., 0., 2.]], dtype=float32)
    """

    def apply(self, x: np.ndarray, y: np.ndarray) -> None:
        kernels.relu(x, y)

    def spread(self, dy: np.ndarray, y: np.ndarray, dx: np.ndarray) -> None:
        kernels.relu_backward(dy, y, dx)


class LeakyReLU(Layer):
    """x where x > 0, else alpha * x, elementwise; the gradient at 0 is alpha.

    x (N, ...) -> y of the same shape, float32 or float64. Maas, Hannun, Ng, "Rectifier
    Nonlinearities Improve Neural Network Acoustic Models" (2013).

    Parameters
    ----------
    alpha : float
        Slope for negative numbers, at least 0.

    Raises
    ------
    ValueError
        If alpha is negative or not a number.

    Examples
    --------
    >>> LeakyReLU(0.5).forward(np.float32([[-1, 0, 2]]))
    array([[-0.5,  0. ,  2. ]], dtype=float32)
    """

    positional = 1

    def __init__(self, alpha: float = 0.01) -> None:
        super().__init__()
        self.alpha = checks.number(
            "LeakyReLU", "alpha", alpha, 0, np.inf, "a finite number of at least 0"
        )

    def arguments(self) -> dict[str, Any]:
        return {"alpha": self.alpha}

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self.check_input(x)
        x = memory_of(x)
        y = self.result(x.shape, x.dtype, training)
        kernels.leaky_relu(x, self.alpha, y)
        if training:
            self.remember(seen(y), x)
        return seen(y)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        (x,) = self.recall(dy)
        dx = self.gradient(x.shape, x.dtype, dy)
        kernels.leaky_relu_backward(memory_of(dy), x, self.alpha, dx)
        return seen(dx)


class Sigmoid(_Activation):
    """1 / (1 + exp(-x)), elementwise.

    x (N, ...) -> y of the same shape, float32 or float64, from 0 to 1.

    Examples
    --------
    >>> Sigmoid().forward(np.float32([[0]]))
    array([[0.5]], dtype=float32)
    """

    def apply(self, x: np.ndarray, y: np.ndarray) -> None:
        kernels.sigmoid(x, y)

    def spread(self, dy: np.ndarray, y: np.ndarray, dx: np.ndarray) -> None:
        kernels.sigmoid_backward(dy, y, dx)


class Tanh(_Activation):
    """The hyperbolic tangent, elementwise.

    x (N, ...) -> y of the same shape, float32 or float64, from -1 to 1.

    Examples
    --------
    >>> Tanh().forward(np.float32([[0]]))
    array([[0.]], dtype=float32)
    """

    def apply(self, x: np.ndarray, y: np.ndarray) -> None:
        kernels.tanh(x, y)

    def spread(self, dy: np.ndarray, y: np.ndarray, dx: np.ndarray) -> None:
        kernels.tanh_backward(dy, y, dx)


class Softmax(_Activation):
    """exp(x) divided by its sum over the classes: numbers become probabilities.

        x (N, K) -> y (N, K), float32 or float64; for images, (N, C, H, W), over the C channels

    The largest number of each row is subtracted first, which changes nothing but keeps exp from
    overflowing. `CrossEntropyLoss` contains a softmax: a model that is trained needs none at its
    end, and `Sequential` leaves one that stands there out of training and evaluation.

    Raises
    ------
    ValueError
        If an input is neither (N, K) nor (N, C, H, W).

    Examples
    --------
    >>> Softmax().forward(np.float32([[0, 0]]))
    array([[0.5, 0.5]], dtype=float32)
    """

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) not in (2, 4):
            raise ValueError(
                f"{self.name}: expected input as (N, K) or {spoken.images()}, got shape "
                f"{spoken.shape(input_shape)}"
            )
        return input_shape

    def apply(self, x: np.ndarray, y: np.ndarray) -> None:
        kernels.softmax(x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1]))

    def spread(self, dy: np.ndarray, y: np.ndarray, dx: np.ndarray) -> None:
        rows = (-1, y.shape[-1])
        kernels.softmax_backward(dy.reshape(rows), y.reshape(rows), dx.reshape(rows))
