"""Activation functions of one number: any shape in, the same shape out; more in `curves`."""

from typing import Any

import numpy as np

from kernels import activation as kernels
from kernels import prelu

from .. import checks
from . import spoken
from .base import Layer
from .memory import Shape, as_given, as_image, memory_of, seen


class _Elementwise(Layer):
    """A function of each number, whatever the shape."""

    least_axes = 0
    by_result = False  # whether the gradient follows from the result y, not from x

    def apply(self, x: np.ndarray, y: np.ndarray) -> None:
        """Fill y; images lie channels-last."""
        raise NotImplementedError

    def spread(self, dy: np.ndarray, kept: np.ndarray, dx: np.ndarray) -> None:
        """Fill dx from dy and x, or y if the gradient is `by_result`."""
        raise NotImplementedError

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self.check_input(x)
        image = memory_of(as_image(x))
        y = self.result(image.shape, x.dtype, training)
        self.apply(image, y)
        given = as_given(seen(y), x.ndim)
        if training:
            self.remember(given, y if self.by_result else image)
        return given

    def backward(self, dy: np.ndarray) -> np.ndarray:
        (kept,) = self.recall(dy)
        dx = self.gradient(kept.shape, kept.dtype, dy)
        self.spread(memory_of(as_image(dy)), kept, dx)
        return as_given(seen(dx), dy.ndim)


# --- rectifiers ---------------------------------------------------------------------------------


class ReLU(_Elementwise):
    """max(x, 0), elementwise; the gradient at 0 is 0.

    x of any shape -> y of the same shape, float32 or float64.

    Examples
    --------
    >>> ReLU().forward(np.float32([[-1, 0, 2]]))
    array([[0., 0., 2.]], dtype=float32)
    """

    by_result = True

    def apply(self, x: np.ndarray, y: np.ndarray) -> None:
        kernels.relu(x, y)

    def spread(self, dy: np.ndarray, kept: np.ndarray, dx: np.ndarray) -> None:
        kernels.relu_backward(dy, kept, dx)

    def backward_of_sum(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """`backward` of a + b, in one pass."""
        (kept,) = self.recall(a)
        self.recall(b)
        dx = self.gradient(kept.shape, kept.dtype, a)
        kernels.relu_backward_sum(memory_of(as_image(a)), memory_of(as_image(b)), kept, dx)
        return as_given(seen(dx), a.ndim)


class LeakyReLU(_Elementwise):
    """x where x > 0, else alpha * x, elementwise; the gradient at 0 is alpha.

    x of any shape -> y of the same shape, float32 or float64. Maas, Hannun, Ng, "Rectifier
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
        self.alpha = checks.at_least_0("LeakyReLU", "alpha", alpha)

    def arguments(self) -> dict[str, Any]:
        return {"alpha": self.alpha}

    def apply(self, x: np.ndarray, y: np.ndarray) -> None:
        kernels.leaky_relu(x, self.alpha, y)

    def spread(self, dy: np.ndarray, kept: np.ndarray, dx: np.ndarray) -> None:
        kernels.leaky_relu_backward(dy, kept, self.alpha, dx)


class PReLU(_Elementwise):
    """x where x > 0, else alpha * x with a learned alpha, for each channel or one for all.

        x (N, C), (N, C, L) or (N, C, H, W), of any shape with one alpha -> y of the same shape,
        float32 or float64

    He, Zhang, Ren, Sun, "Delving Deep into Rectifiers" (2015), section 2.1. Weight decay leaves
    alpha alone, which it would pull towards ReLU.

    Parameters
    ----------
    num_parameters : int
        Channels of the input, or 1 for one alpha in common.
    init : float
        What alpha starts at.

    params: alpha (num_parameters,).

    Raises
    ------
    ValueError
        If an argument or the shape of an input does not fit.
    TypeError
        If an input is not a float array of the layer's dtype.

    Examples
    --------
    >>> PReLU().forward(np.float32([[-1, 0, 2]]))
    array([[-0.25,  0.  ,  2.  ]], dtype=float32)
    """

    positional = 1

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        super().__init__()
        self.num_parameters = checks.whole("PReLU", "num_parameters", num_parameters)
        self.init = checks.finite("PReLU", "init", init)

    def arguments(self) -> dict[str, Any]:
        return {"num_parameters": self.num_parameters, "init": self.init}

    def parameter_shapes(self) -> dict[str, Shape]:
        return {"alpha": (self.num_parameters,)}

    def initial_values(self, generator: np.random.Generator) -> dict[str, np.ndarray]:
        return {"alpha": np.full(self.num_parameters, self.init)}

    def output_shape(self, input_shape: Shape) -> Shape:
        channels = self.num_parameters
        if channels > 1 and (len(input_shape) not in (2, 3, 4) or input_shape[1] != channels):
            raise ValueError(
                f"{self.name}: expected input with {channels} channels as (N, {channels}), "
                f"(N, {channels}, L) or {spoken.images(channels)}, got shape "
                f"{spoken.shape(input_shape)}; PReLU(1) has one alpha for all"
            )
        return input_shape

    def apply(self, x: np.ndarray, y: np.ndarray) -> None:
        prelu.prelu(x, self.params["alpha"], y, self.scratch)

    def spread(self, dy: np.ndarray, kept: np.ndarray, dx: np.ndarray) -> None:
        prelu.prelu_backward(dy, kept, self.params["alpha"], dx, self.grads["alpha"], self.scratch)


# --- from 0 to 1, from -1 to 1 ------------------------------------------------------------------


class Sigmoid(_Elementwise):
    """1 / (1 + exp(-x)), elementwise.

    x of any shape -> y of the same shape, float32 or float64, from 0 to 1.

    Examples
    --------
    >>> Sigmoid().forward(np.float32([[0]]))
    array([[0.5]], dtype=float32)
    """

    by_result = True

    def apply(self, x: np.ndarray, y: np.ndarray) -> None:
        kernels.sigmoid(x, y)

    def spread(self, dy: np.ndarray, kept: np.ndarray, dx: np.ndarray) -> None:
        kernels.sigmoid_backward(dy, kept, dx)


class Tanh(_Elementwise):
    """The hyperbolic tangent, elementwise.

    x of any shape -> y of the same shape, float32 or float64, from -1 to 1.

    Examples
    --------
    >>> Tanh().forward(np.float32([[0]]))
    array([[0.]], dtype=float32)
    """

    by_result = True

    def apply(self, x: np.ndarray, y: np.ndarray) -> None:
        kernels.tanh(x, y)

    def spread(self, dy: np.ndarray, kept: np.ndarray, dx: np.ndarray) -> None:
        kernels.tanh_backward(dy, kept, dx)
