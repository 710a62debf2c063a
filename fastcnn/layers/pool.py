"""Pooling: a window of pixels becomes one. `adaptive_pool` has windows that do not move."""

from typing import Any, TypeGuard

import numpy as np

from kernels.spans import COUNT, Spans, of_windows

from .. import backends, checks
from ..checks import Pair
from . import spoken
from .base import Layer
from .memory import Shape, as_given, as_image, memory_of, seen
from .window import (
    check_images,
    check_padding,
    extent,
    output_size,
    padding_before,
    plain,
    sides,
)

# Windows as the kernels are told of them: (window, stride, padding), or the spans of both axes.
Windows = tuple[Pair, Pair, Pair] | tuple[Spans, Spans]


class _Pool(Layer):
    """The largest number of each window, or the mean, whatever the windows."""

    maximum = True
    count_include_pad = True

    def _windows(self, input_shape: Shape) -> tuple[Pair, Windows]:
        """Rows and columns of the output for (N, C, H, W), and the windows."""
        raise NotImplementedError

    def _given(self, y: np.ndarray, axes: int) -> np.ndarray:
        """The result (N, H, W, C) as people see it, who gave an x of so many axes."""
        return as_given(seen(y), axes)

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self.check_input(x)
        image = memory_of(as_image(x))
        size, windows = self._windows(seen(image).shape)
        y = self.result((len(x), *size, x.shape[1]), x.dtype, training)
        index, kernels = None, backends.current()
        if self.maximum:
            room = self.workspace if training else self.scratch
            index = room.array("index", y.shape, np.uint8 if _places(windows) <= 256 else np.int32)
            if len(windows) == 2:
                kernels.max_pool_spans_forward(image, *windows, y, index)
            else:
                kernels.max_pool_forward(image, *windows, y, index)
        elif len(windows) == 2:
            kernels.average_pool_spans_forward(image, *windows, y)
        else:
            kernels.average_pool_forward(image, *windows, self.count_include_pad, y)
        given = self._given(y, x.ndim)
        if training:
            self.remember(given, index, image.shape, y.shape, windows, x.ndim)
        return given

    def backward(self, dy: np.ndarray) -> np.ndarray:
        index, image_shape, y_shape, windows, axes = self.recall(dy)
        dx, kernels = self.gradient(image_shape, dy.dtype, dy), backends.current()
        dy = memory_of(as_image(dy)).reshape(y_shape)
        if self.maximum and len(windows) == 2:
            kernels.max_pool_spans_backward(dy, index, *windows, dx)
        elif self.maximum:
            kernels.max_pool_backward(dy, index, *windows, dx)
        elif len(windows) == 2:
            kernels.average_pool_spans_backward(dy, *windows, dx)
        else:
            kernels.average_pool_backward(dy, *windows, self.count_include_pad, dx)
        return as_given(seen(dx), axes)


def _places(windows: Windows) -> int:
    """How many a window has."""
    if len(windows) == 2:
        return windows[0].window * windows[1].window
    return windows[0][0] * windows[0][1]


class _Moving(_Pool):
    """A window that moves by a stride, and its arguments."""

    positional = 1

    def __init__(
        self, pool_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
    ) -> None:
        super().__init__()
        kind = type(self).__name__
        self.pool_size = checks.pair(kind, "pool_size", pool_size)
        self.stride = self.pool_size if stride is None else checks.pair(kind, "stride", stride)
        self.padding = check_padding(kind, padding, uneven=True)
        self.dilation = checks.pair(kind, "dilation", dilation)
        self.ceil_mode = checks.flag(kind, "ceil_mode", ceil_mode)
        if not isinstance(self.padding, str):
            for pads, size in zip(sides(self.padding), self._reach, strict=True):
                if 2 * max(pads) > size:
                    raise ValueError(
                        f"{kind}: padding may be at most half of pool_size {self.pool_size}, or "
                        f"some windows would hold no pixel, got {self.padding}"
                    )

    @property
    def _reach(self) -> Pair:
        """Pixels from the first to the last of a window."""
        return extent(self.pool_size, self.dilation)

    def arguments(self) -> dict[str, Any]:
        given: dict[str, Any] = {
            "pool_size": plain(self.pool_size),
            "stride": None if self.stride == self.pool_size else plain(self.stride),
            "padding": plain(self.padding),
        }
        if self.dilation != (1, 1):
            given["dilation"] = plain(self.dilation)
        return given | ({"ceil_mode": True} if self.ceil_mode else {})

    def output_shape(self, input_shape: Shape) -> Shape:
        check_images(self.name, input_shape)
        return (*input_shape[:2], *self._output_size(input_shape))

    def _windows(self, input_shape: Shape) -> tuple[Pair, Windows]:
        size = self._output_size(input_shape)
        counts_some = not self.maximum and self.count_include_pad and self.ceil_mode
        if self.dilation == (1, 1) and not counts_some:
            start = padding_before(input_shape, self.pool_size, self.stride, self.padding)
            return size, (self.pool_size, self.stride, start)
        return size, self._spans(input_shape, size)

    def _output_size(self, input_shape: Shape) -> Pair:
        moves = (self.pool_size, self.stride, self.padding, self.dilation)
        size = output_size(self.name, input_shape, *moves)
        if self.ceil_mode and not isinstance(self.padding, str):
            size = (self._rounded_up(input_shape, 0), self._rounded_up(input_shape, 1))
        if self.dilation != (1, 1):
            for spans in self._spans(input_shape, size):
                if (spans.table[:, COUNT] < 1).any():
                    raise ValueError(
                        f"{self.name}: some windows would hold no pixel of the input of shape "
                        f"{spoken.shape(input_shape)}; use less padding or less dilation"
                    )
        return size

    def _rounded_up(self, input_shape: Shape, axis: int) -> int:
        """Windows of an axis, the last of which may end beyond the padding, but begins before."""
        before, behind = sides(self.padding)[axis]
        size, stride = input_shape[2 + axis], self.stride[axis]
        outputs = -(-(size + before + behind - self._reach[axis]) // stride) + 1
        return outputs - ((outputs - 1) * stride >= size + before)

    def _spans(self, input_shape: Shape, size: Pair) -> tuple[Spans, Spans]:
        start = padding_before(
            input_shape, self.pool_size, self.stride, self.padding, self.dilation
        )
        behind: list[int | None] = [None, None]
        if self.count_include_pad:  # with "same" as many as the windows reach
            same = isinstance(self.padding, str)
            behind = [*(self._reach if same else (end for _, end in sides(self.padding)))]
        rows, columns = (
            of_windows(
                input_shape[2 + axis], size[axis], self.pool_size[axis], self.stride[axis],
                start[axis], self.dilation[axis], behind[axis],
            )
            for axis in (0, 1)
        )  # fmt: skip
        return rows, columns


class MaxPool2D(_Moving):
    """The largest value of each window.

        x (N, C, H, W) -> y (N, C, H_out, W_out), float32 or float64
        H_out = floor((H + top + bottom - dilation * (pool_size - 1) - 1) / stride) + 1

    Padding never wins a maximum. The gradient goes to the largest value alone; among equal ones,
    to the first in reading order. A NaN counts as larger than any number, so that y is NaN where a
    window has one, and the gradient goes to the first (PyTorch's to the last).

    Parameters
    ----------
    pool_size : int or pair
        Height and width of the window, one number or a pair.
    stride : int or pair, optional
        Pixels between neighbouring windows; None: the window's size.
    padding : int, pair, pair of pairs or str
        Pixels around the image, one number, a pair (height, width) or ((top, bottom), (left,
        right)), each at most half the window; "valid" for none; "same" for as many as make H_out =
        ceil(H / stride).
    dilation : int or pair
        Pixels between neighbouring places of the window.
    ceil_mode : bool
        Whether H_out is rounded up: the last window may end beyond the padding, but as in PyTorch
        it begins on the image or the padding before it.

    Raises
    ------
    ValueError
        If an argument or the shape of an input does not fit.

    Examples
    --------
    >>> MaxPool2D(2).forward(np.float32([[[[1, 2], [3, 4]]]]))
    array([[[[4.]]]], dtype=float32)
    """

    def __init__(
        self,
        pool_size: int | Pair,
        stride: int | Pair | None = None,
        padding: int | Pair | tuple[Pair, Pair] | str = 0,
        dilation: int | Pair = 1,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(pool_size, stride, padding, dilation, ceil_mode)


class AveragePool2D(_Moving):
    """The mean of each window.

        x (N, C, H, W) -> y (N, C, H_out, W_out), float32 or float64
        H_out = floor((H + top + bottom - dilation * (pool_size - 1) - 1) / stride) + 1

    Parameters
    ----------
    pool_size : int or pair
        Height and width of the window, one number or a pair.
    stride : int or pair, optional
        Pixels between neighbouring windows; None: the window's size.
    padding : int, pair, pair of pairs or str
        As for `MaxPool2D`.
    count_include_pad : bool
        Whether padding counts, as zeros; if not, a window at the border is divided by the number of
        its pixels that lie on the image. What `ceil_mode` lets a window hold beyond the padding
        counts for nothing in either case, as in PyTorch.
    ceil_mode : bool
        As for `MaxPool2D`.
    dilation : int or pair
        Pixels between neighbouring places of the window.

    Raises
    ------
    ValueError
        If an argument or the shape of an input does not fit.

    Examples
    --------
    >>> AveragePool2D(2).forward(np.float32([[[[1, 2], [3, 4]]]]))
    array([[[[2.5]]]], dtype=float32)
    """

    maximum = False

    def __init__(
        self,
        pool_size: int | Pair,
        stride: int | Pair | None = None,
        padding: int | Pair | tuple[Pair, Pair] | str = 0,
        count_include_pad: bool = True,
        ceil_mode: bool = False,
        dilation: int | Pair = 1,
    ) -> None:
        super().__init__(pool_size, stride, padding, dilation, ceil_mode)
        self.count_include_pad = checks.flag(
            "AveragePool2D", "count_include_pad", count_include_pad
        )

    def arguments(self) -> dict[str, Any]:
        return {**super().arguments(), "count_include_pad": self.count_include_pad}


def halves(layer: Layer) -> TypeGuard[MaxPool2D]:
    """Whether it is 2 x 2 max pooling without padding."""
    if type(layer) is not MaxPool2D or layer.ceil_mode:
        return False
    moves = layer.pool_size, layer.stride, layer.padding, layer.dilation
    return moves == ((2, 2), (2, 2), (0, 0), (1, 1))
