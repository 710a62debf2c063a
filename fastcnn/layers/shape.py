"""Layers that only arrange numbers."""

import math

import numpy as np

from kernels.images import layout as kernels

from .base import Layer
from .memory import Shape, memory_of, seen


class Flatten(Layer):
    """Puts all numbers of a sample into one row.

        x (N, C, H, W) -> y (N, C * H * W), float32 or float64

    The order is channel by channel, row by row within a channel, as in PyTorch, whatever the
    order in memory. Any other (N, ...) becomes (N, features) as well.

    Examples
    --------
    >>> Flatten().forward(np.zeros((8, 3, 4, 4), np.float32)).shape
    (8, 48)
    """

    def output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], math.prod(input_shape[1:]))

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        y = self.result(self.check_input(x), x.dtype, training)
        if x.ndim == 4:
            image, (batch, channels) = memory_of(x), x.shape[:2]
            kernels.transpose_images(
                image.reshape(batch, -1, channels), y.reshape(batch, channels, -1)
            )
        else:
            y.reshape(x.shape)[...] = x
        if training:
            self.remember(y, x.shape)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        (x_shape,) = self.recall(dy)
        if len(x_shape) == 4:
            batch, channels, height, width = x_shape
            dx = self.gradient((batch, height, width, channels), dy.dtype, dy)
            kernels.transpose_images(
                memory_of(dy).reshape(batch, channels, -1), dx.reshape(batch, -1, channels)
            )
        else:
            dx = self.gradient(x_shape, dy.dtype, dy)
            dx[...] = dy.reshape(x_shape)
        return seen(dx)
