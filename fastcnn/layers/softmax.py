"""Softmax and its logarithm: a row of numbers in, a row that belongs together out."""

from collections.abc import Callable
from typing import Any

import numpy as np

from kernels import activation as kernels

from . import spoken
from .base import Layer
from .memory import Shape, memory_of, seen

# Where the axes of images, as people see them, lie in memory.
_IN_MEMORY = (0, 3, 1, 2)


class Softmax(Layer):
    """exp(x) divided by its sum over the classes: numbers become probabilities.

        x (N, K) -> y (N, K), float32 or float64; for images, (N, C, H, W), over the C channels

    The largest number of each row is subtracted first, which changes nothing but keeps exp from
    overflowing. `CrossEntropyLoss` contains a softmax: a model that is trained needs none at its
    end, and one that stands there is left out of training and evaluation.

    Parameters
    ----------
    axis : int
        Over which axis the sum runs, counted from the end if negative. An input may have any shape
        that has such an axis, 1-D included; of images axes 1, 2, 3 are channels, rows, columns.

    Raises
    ------
    ValueError
        If axis is no whole number, or an input has no such axis.

    Examples
    --------
    >>> Softmax().forward(np.float32([[0, 0]]))
    array([[0.5, 0.5]], dtype=float32)
    """

    least_axes = 1
    _forward = staticmethod(kernels.softmax)
    _backward = staticmethod(kernels.softmax_backward)

    def __init__(self, axis: int = 1) -> None:
        super().__init__()
        if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)):
            raise ValueError(f"{type(self).__name__}: axis must be a whole number, got {axis!r}")
        self.axis = int(axis)

    def arguments(self) -> dict[str, Any]:
        return {} if self.axis == 1 else {"axis": self.axis}

    @property
    def is_over_classes(self) -> bool:
        """Whether the rows of (N, K) are what it makes probabilities of."""
        return self.axis in (1, -1)

    def output_shape(self, input_shape: Shape) -> Shape:
        axes = len(input_shape)
        if not -axes <= self.axis < axes:
            raise ValueError(
                f"{self.name}: the input of shape {spoken.shape(input_shape)} has no axis "
                f"{self.axis}; axis=-1 is the last of any"
            )
        return input_shape

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self.check_input(x)
        image = memory_of(x)
        y = self.result(image.shape, x.dtype, training)
        self._run(self._forward, image, y)
        if training:
            self.remember(seen(y), y)
        return seen(y)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        (y,) = self.recall(dy)
        dx = self.gradient(y.shape, y.dtype, dy)
        self._run(self._backward, memory_of(dy), y, dx)
        return seen(dx)

    def _run(self, kernel: Callable[..., None], *arrays: np.ndarray) -> None:
        """Call a kernel of rows, the last array its result, with rows that lie along the axis."""
        result = arrays[-1]
        axis = self.axis % result.ndim
        axis = _IN_MEMORY[axis] if result.ndim == 4 else axis
        if axis == result.ndim - 1:
            kernel(*(array.reshape(-1, array.shape[-1]) for array in arrays))
            return
        turned = [np.ascontiguousarray(np.moveaxis(array, axis, -1)) for array in arrays]
        kernel(*(array.reshape(-1, array.shape[-1]) for array in turned))
        result[...] = np.moveaxis(turned[-1], -1, axis)


class LogSoftmax(Softmax):
    """x less the logarithm of the sum of exp(x) over the classes: the logarithm of `Softmax`.

        x (N, K) -> y (N, K), float32 or float64; for images, (N, C, H, W), over the C channels

    What is small for Softmax, or 0, keeps its precision here. As with Softmax, a model that is
    trained with `CrossEntropyLoss` needs none at its end.

    Parameters
    ----------
    axis : int
        As for `Softmax`.

    Raises
    ------
    ValueError
        If axis is no whole number, or an input has no such axis.

    Examples
    --------
    >>> LogSoftmax().forward(np.float32([[0, 0]])).round(4)
    array([[-0.6931, -0.6931]], dtype=float32)
    """

    _forward = staticmethod(kernels.log_softmax)
    _backward = staticmethod(kernels.log_softmax_backward)
