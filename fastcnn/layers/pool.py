"""Pooling: a window of pixels becomes one."""

from typing import Any

import numpy as np

from .. import backends, checks
from ..checks import Pair
from .base import Layer
from .memory import Shape, memory_of, seen
from .window import check_images, check_padding, output_size, padding_before, plain


class _Pool2D(Layer):
    """What maximum and average pooling share: the window and its arguments."""

    positional = 1

    def __init__(
        self,
        pool_size: int | Pair,
        stride: int | Pair | None = None,
        padding: int | Pair | str = 0,
    ) -> None:
        super().__init__()
        kind = type(self).__name__
        self.pool_size = checks.pair(kind, "pool_size", pool_size)
        self.stride = self.pool_size if stride is None else checks.pair(kind, "stride", stride)
        self.padding = check_padding(kind, padding)
        if not isinstance(self.padding, str):
            for pad, size in zip(self.padding, self.pool_size, strict=True):
                if 2 * pad > size:
                    raise ValueError(
                        f"{kind}: padding may be at most half of pool_size {self.pool_size}, or "
                        f"some windows would hold no pixel, got {self.padding}"
                    )

    def arguments(self) -> dict[str, Any]:
        stride = None if self.stride == self.pool_size else plain(self.stride)
        return {
            "pool_size": plain(self.pool_size),
            "stride": stride,
            "padding": plain(self.padding),
        }

    def output_shape(self, input_shape: Shape) -> Shape:
        check_images(self.name, input_shape)
        size = output_size(self.name, input_shape, self.pool_size, self.stride, self.padding)
        return (*input_shape[:2], *size)


class MaxPool2D(_Pool2D):
    """The largest value of each window.

        x (N, C, H, W) -> y (N, C, H_out, W_out), float32 or float64
        H_out = floor((H + 2 * padding - pool_size) / stride) + 1

    Padding never wins a maximum. The gradient goes to the largest value alone; among equal ones,
    to the first in reading order.

    Parameters
    ----------
    pool_size
        Height and width of the window, one number or a pair.
    stride
        Pixels between neighbouring windows; None: the window's size.
    padding
        Pixels around the image, at most half the window; "valid" for none; "same" for as many as
        make H_out = ceil(H / stride).

    Raises
    ------
    ValueError
        If an argument or the shape of an input does not fit.

    Examples
    --------
    >>> MaxPool2D(2).forward(np.float32([[[[1, 2], [3, 4]]]]))
    array([[[[4.]]]], dtype=float32)
    """

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        batch, channels, height, width = self.check_input(x)
        image = memory_of(x)
        start = padding_before(x.shape, self.pool_size, self.stride, self.padding)
        y = self.result((batch, height, width, channels), x.dtype, training)
        places = self.pool_size[0] * self.pool_size[1]
        index = self.scratch if not training else self.workspace
        index = index.array("index", y.shape, np.uint8 if places <= 256 else np.int32)
        backends.current().max_pool_forward(image, self.pool_size, self.stride, start, y, index)
        y = seen(y)
        if training:
            self.remember(y, index, image.shape, start)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        index, image_shape, start = self.recall(dy)
        dx = self.gradient(image_shape, dy.dtype, dy)
        backends.current().max_pool_backward(
            memory_of(dy), index, self.pool_size, self.stride, start, dx
        )
        return seen(dx)


class AveragePool2D(_Pool2D):
    """The mean of each window.

        x (N, C, H, W) -> y (N, C, H_out, W_out), float32 or float64
        H_out = floor((H + 2 * padding - pool_size) / stride) + 1

    Parameters
    ----------
    pool_size : int or pair
        Height and width of the window, one number or a pair.
    stride : int or Pair, optional
        Pixels between neighbouring windows; None: the window's size.
    padding : int, pair or str
        Pixels around the image, at most half the window; "valid" for none; "same" for as many as
        make H_out = ceil(H / stride).
    count_include_pad : bool
        Whether padding counts, as zeros; if not, a window at the border is divided by the number of
        its pixels that lie on the image.

    Raises
    ------
    ValueError
        If an argument or the shape of an input does not fit.

    Examples
    --------
    >>> AveragePool2D(2).forward(np.float32([[[[1, 2], [3, 4]]]]))
    array([[[[2.5]]]], dtype=float32)
    """

    def __init__(
        self,
        pool_size: int | Pair,
        stride: int | Pair | None = None,
        padding: int | Pair | str = 0,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(pool_size, stride, padding)
        self.count_include_pad = checks.flag(
            "AveragePool2D", "count_include_pad", count_include_pad
        )

    def arguments(self) -> dict[str, Any]:
        return {**super().arguments(), "count_include_pad": self.count_include_pad}

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        batch, channels, height, width = self.check_input(x)
        image = memory_of(x)
        start = padding_before(x.shape, self.pool_size, self.stride, self.padding)
        y = self.result((batch, height, width, channels), x.dtype, training)
        backends.current().average_pool_forward(
            image, self.pool_size, self.stride, start, self.count_include_pad, y
        )
        y = seen(y)
        if training:
            self.remember(y, image.shape, start)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        image_shape, start = self.recall(dy)
        dx = self.gradient(image_shape, dy.dtype, dy)
        backends.current().average_pool_backward(
            memory_of(dy), self.pool_size, self.stride, start, self.count_include_pad, dx
        )
        return seen(dx)


class GlobalAveragePool2D(Layer):
    """The mean of each channel over the whole image.

        x (N, C, H, W) -> y (N, C), float32 or float64

    Lin, Chen, Yan, "Network In Network" (2014), section 3.2.

    Raises
    ------
    ValueError
        If an input is not (N, C, H, W).

    Examples
    --------
    >>> GlobalAveragePool2D().forward(np.float32([[[[1, 2], [3, 4]]]]))
    array([[2.5]], dtype=float32)
    """

    def output_shape(self, input_shape: Shape) -> Shape:
        check_images(self.name, input_shape)
        return input_shape[:2]

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        batch, channels = y_shape = self.check_input(x)
        image = memory_of(x)
        y = self.result(y_shape, x.dtype, training)
        backends.current().average_pool_forward(
            image, image.shape[1:3], (1, 1), (0, 0), True, y.reshape(batch, 1, 1, channels)
        )
        if training:
            self.remember(y, image.shape)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        (image_shape,) = self.recall(dy)
        batch, height, width, channels = image_shape
        dx = self.gradient(image_shape, dy.dtype, dy)
        backends.current().average_pool_backward(
            memory_of(dy).reshape(batch, 1, 1, channels),
            (height, width), (1, 1), (0, 0), True, dx,
        )  # fmt: skip
        return seen(dx)
