"""Layers that only arrange numbers."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kernels.images import layout as kernels

from .. import checks
from . import spoken
from .base import Layer
from .memory import Shape, as_given, as_image, memory_of, seen
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
        _to_rows(x, y)
        if training:
            self.remember(y, x.shape)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        (x_shape,) = self.recall(dy)
        dx = self.gradient(_in_memory(x_shape), dy.dtype, dy)
        _from_rows(memory_of(dy), dx)
        return as_given(seen(dx), len(x_shape))


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
        sizes = tuple(shape) if isinstance(shape, (tuple, list, np.ndarray)) else (shape,)
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
        self._carry(x, y)
        given = as_given(seen(y), len(shape))
        if training:
            self.remember(given, x.shape)
        return given

    def backward(self, dy: np.ndarray) -> np.ndarray:
        (x_shape,) = self.recall(dy)
        dx = self.gradient(_in_memory(x_shape), dy.dtype, dy)
        self._carry(dy, dx)
        return as_given(seen(dx), len(x_shape))

    def _carry(self, x: np.ndarray, y: np.ndarray) -> None:
        """The numbers of x, as people see it, into y as it lies."""
        if x.ndim in _CHANNELS_LAST and y.ndim == 4:
            rows = self.scratch.array("rows", (len(x), y[0].size), y.dtype)
            _to_rows(x, rows)
            _from_rows(rows, y)
        elif y.ndim == 4:
            _from_rows(memory_of(x), y)
        else:
            _to_rows(x, y)


_CHANNELS_LAST = 3, 4  # axes of what lies otherwise than people see it: series and images


def _in_memory(shape: Shape) -> Shape:
    """How an array that people see with this shape lies."""
    if len(shape) == 3:
        return (shape[0], 1, shape[2], shape[1])
    return (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else shape


def _to_rows(x: np.ndarray, rows: np.ndarray) -> None:
    """The numbers of each sample, in the order in which people see them, one after the other."""
    numbers, channels = x[:1].size, x.shape[1] if x.ndim in _CHANNELS_LAST else 1
    places = numbers // channels
    image = memory_of(as_image(x)).reshape(len(x), places, channels)
    kernels.transpose_images(image, rows.reshape(len(x), channels, places))


def _from_rows(rows: np.ndarray, y: np.ndarray) -> None:
    """The opposite, into y as it lies."""
    numbers, channels = y[:1].size, y.shape[3] if y.ndim == 4 else 1
    places = numbers // channels
    shape = len(y), channels, places
    kernels.transpose_images(rows.reshape(shape), y.reshape(len(y), places, channels))


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
        kernels.shuffle_pixels(memory_of(x), y, self.upscale_factor)
        if training:
            self.remember(seen(y), x.shape)
        return seen(y)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        (x_shape,) = self.recall(dy)
        dx = self.gradient(_in_memory(x_shape), dy.dtype, dy)
        kernels.shuffle_pixels(dx, memory_of(dy), self.upscale_factor, back=True)
        return seen(dx)
