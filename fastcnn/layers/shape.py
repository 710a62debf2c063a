"""Layers that only arrange numbers."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kernels.images import layout as kernels

from .. import checks
from . import spoken
from .base import Layer
from .memory import Shape, memory_of, seen
from .window import check_images


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


class Reshape(Layer):
    """Gives the numbers of a sample another shape.

        x (N, ...) -> y (N, *shape), float32 or float64

    The order is that of `Flatten`: of images channel by channel, row by row within a channel.

    Parameters
    ----------
    shape : sequence of int
        Of a sample; one number may be -1, for as many as there are left.

    Raises
    ------
    ValueError
        If shape is none, or a sample has another number of numbers.

    Examples
    --------
    >>> Reshape((2, -1)).forward(np.float32([[1, 2, 3, 4]]))
    array([[[1., 2.],
            [3., 4.]]], dtype=float32)
    """

    positional = 1

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        sizes = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
        sizes = tuple(
            -1 if size == -1 else checks.whole("Reshape", "shape", size) for size in sizes
        )
        if sizes.count(-1) > 1 or not sizes:
            raise ValueError(
                f"Reshape: shape must have sizes, one of which may be -1, got {shape!r}"
            )
        self.shape = sizes

    def arguments(self) -> dict[str, Any]:
        return {"shape": list(self.shape)}

    def output_shape(self, input_shape: Shape) -> Shape:
        numbers = math.prod(input_shape[1:])
        known = math.prod(size for size in self.shape if size > 0)
        rest = numbers // known
        if rest * known != numbers or (-1 not in self.shape and rest != 1):
            raise ValueError(
                f"{self.name}: a sample of shape {spoken.shape(input_shape)[1:]} has {numbers} "
                f"numbers, which do not make {self.shape}"
            )
        return (input_shape[0], *(rest if size == -1 else size for size in self.shape))

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        shape = self.check_input(x)
        y = self.result(_in_memory(shape), x.dtype, training)
        seen(y)[...] = x.reshape(shape)
        if training:
            self.remember(seen(y), x.shape)
        return seen(y)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        (x_shape,) = self.recall(dy)
        dx = self.gradient(_in_memory(x_shape), dy.dtype, dy)
        seen(dx)[...] = dy.reshape(x_shape)
        return seen(dx)


def _in_memory(shape: Shape) -> Shape:
    """How an array that people see with this shape lies."""
    return (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else shape


class PixelShuffle(Layer):
    """Makes large images of many channels: r * r of these become r rows and columns of one.

        x (N, C * r * r, H, W) -> y (N, C, H * r, W * r), float32 or float64

        y[n, c, h * r + i, w * r + j] = x[n, c * r * r + i * r + j, h, w]

    Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
    Convolutional Neural Network" (2016), equation 4.

    Parameters
    ----------
    upscale_factor : int
        The r.

    Raises
    ------
    ValueError
        If upscale_factor is no whole number above 0, or the channels cannot be divided so.

    Examples
    --------
    >>> PixelShuffle(2).forward(np.float32([[[[1]], [[2]], [[3]], [[4]]]]))
    array([[[[1., 2.],
             [3., 4.]]]], dtype=float32)
    """

    positional = 1

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = checks.whole("PixelShuffle", "upscale_factor", upscale_factor)

    def arguments(self) -> dict[str, Any]:
        return {"upscale_factor": self.upscale_factor}

    def output_shape(self, input_shape: Shape) -> Shape:
        check_images(self.name, input_shape)
        batch, channels, height, width = input_shape
        r = self.upscale_factor
        if channels % (r * r):
            raise ValueError(
                f"{self.name}: the channels must be a multiple of {r * r}, got an input of shape "
                f"{spoken.shape(input_shape)}"
            )
        return batch, channels // (r * r), height * r, width * r

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        batch, channels, rows, columns = self.check_input(x)
        y = self.result((batch, rows, columns, channels), x.dtype, training)
        self._blocks(y)[...] = self._channels(memory_of(x))
        if training:
            self.remember(seen(y), x.shape)
        return seen(y)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        (x_shape,) = self.recall(dy)
        dx = self.gradient(_in_memory(x_shape), dy.dtype, dy)
        self._channels(dx)[...] = self._blocks(memory_of(dy))
        return seen(dx)

    def _blocks(self, y: np.ndarray) -> np.ndarray:
        """(N, H * r, W * r, C) as N, H, i, W, j, C."""
        (batch, rows, columns, channels), r = y.shape, self.upscale_factor
        return y.reshape(batch, rows // r, r, columns // r, r, channels)

    def _channels(self, x: np.ndarray) -> np.ndarray:
        """(N, H, W, C * r * r) as N, H, i, W, j, C."""
        (batch, height, width, channels), r = x.shape, self.upscale_factor
        apart = x.reshape(batch, height, width, channels // (r * r), r, r)
        return apart.transpose(0, 1, 4, 2, 5, 3)
