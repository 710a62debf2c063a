"""Dropout."""

import math
from typing import Any

import numpy as np

from kernels import activation as kernels

from .. import checks, random
from . import spoken
from .base import Layer
from .memory import Clock, Shape, as_given, as_image, memory_of, seen


class Dropout(Layer):
    """Sets numbers to 0 at random in training, so that no unit relies on another.

        x of any shape -> y of the same shape, float32 or float64

        in training   y = x / (1 - rate) with probability 1 - rate, else 0
        otherwise     y = x

    (inverted dropout; Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from
    Overfitting", 2014). Which numbers are dropped follows from a seed, the epoch and the step:
    in a model the model's, see `Sequential.set_clock`; in a layer that stands alone from its own
    seed and the number of training passes so far.

    Parameters
    ----------
    rate : float
        Probability of dropping a number, from 0 up to but not including 1.
    seed : int, optional
        Key of the random choices of a layer that stands alone.

    Raises
    ------
    ValueError
        If the rate is out of range.

    Examples
    --------
    >>> Dropout(0.5).forward(np.float32([[1, 2]]))
    array([[1., 2.]], dtype=float32)
    """

    positional = 1
    passes_through = True
    least_axes = 1

    def __init__(self, rate: float, seed: int | None = None) -> None:
        super().__init__(checks.seed(type(self).__name__, seed))
        self.rate = checks.number(
            type(self).__name__,
            "rate",
            rate,
            0,
            1,
            "a probability of dropping, at least 0 and below 1",
        )
        self.own_clock: Clock = Clock(self._seed_and_path[0])
        self._key = np.zeros(2, np.uint32)

    def arguments(self) -> dict[str, Any]:
        return {"rate": self.rate}

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self.check_input(x)
        if not training:
            x = memory_of(x)
            return seen(x) if self.scratch.keep else seen(x.copy())
        image = memory_of(as_image(x))
        y = self.result(image.shape, x.dtype, training)
        self.renew(self.scratch.portion.begins * self._choices(x))
        self._drop(image, x.ndim, y)
        given = as_given(seen(y), x.ndim)
        self.remember(given)
        return given

    def renew(self, first: int = 0) -> None:
        clock = self.clock or self.own_clock
        key = random.key(clock.seed, "dropout", self.path, clock.epoch, clock.step)
        if self.clock is None:
            self.own_clock.step += 1
        self._key[:] = kernels.dropout_key(key, first)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        self.recall(dy)
        image = memory_of(as_image(dy))
        dx = self.gradient(image.shape, dy.dtype, dy)
        self._drop(image, dy.ndim, dx)
        return as_given(seen(dx), dy.ndim)

    def _choices(self, x: np.ndarray) -> int:
        """How many there are in a sample."""
        return x[0].size

    def _drop(self, x: np.ndarray, axes: int, y: np.ndarray) -> None:
        """Fill y, both as they lie; which numbers are dropped follows from the key and their place.

        axes : of the input as people see it, whose places those of series are: (N, C, L)
        """
        if axes == 3:
            kernels.channel_dropout(x[:, 0], self.rate, self._key, y[:, 0], whole=False)
        else:
            kernels.dropout(x, self.rate, self._key, y)


class SpatialDropout(Dropout):
    """Sets whole channels to 0 at random in training: neighbouring pixels tell the same.

        x (N, C), (N, C, L) or (N, C, H, W) -> y of the same shape, float32 or float64

        in training   y[n, c] = x[n, c] / (1 - rate) with probability 1 - rate, else 0
        otherwise     y = x

    Tompson et al., "Efficient Object Localization Using Convolutional Networks" (2015), section
    3.2; PyTorch's Dropout2d. What is dropped follows from what decides it for `Dropout`.

    Parameters
    ----------
    rate : float
        Probability of dropping a channel, from 0 up to but not including 1.
    seed : int, optional
        Key of the random choices of a layer that stands alone.

    Raises
    ------
    ValueError
        If the rate is out of range, or an input has another shape.

    Examples
    --------
    >>> SpatialDropout(0.5).forward(np.float32([[1, 2]]))
    array([[1., 2.]], dtype=float32)
    """

    least_axes = 2

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) not in (2, 3, 4):
            raise ValueError(
                f"{self.name}: expected input as (N, C), (N, C, L) or {spoken.images()}, got shape "
                f"{spoken.shape(input_shape)}"
            )
        return input_shape

    def _choices(self, x: np.ndarray) -> int:
        return x.shape[1]

    def _drop(self, x: np.ndarray, axes: int, y: np.ndarray) -> None:
        shape = len(x), math.prod(x.shape[1:-1]), x.shape[-1]
        kernels.channel_dropout(x.reshape(shape), self.rate, self._key, y.reshape(shape))
