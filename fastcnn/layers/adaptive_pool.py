"""Pooling to a given size, or to one number a channel."""

from typing import Any

import numpy as np

from kernels import spans

from .. import checks
from ..checks import Pair
from .memory import Shape
from .pool import Windows, _Pool
from .window import check_images


class _Global(_Pool):
    """One window that is the whole image."""

    def output_shape(self, input_shape: Shape) -> Shape:
        check_images(self.name, input_shape)
        return input_shape[:2]

    def _windows(self, input_shape: Shape) -> tuple[Pair, Windows]:
        return (1, 1), ((input_shape[2], input_shape[3]), (1, 1), (0, 0))

    def _given(self, y: np.ndarray, axes: int) -> np.ndarray:
        return y.reshape(len(y), -1)


class GlobalAveragePool2D(_Global):
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

    maximum = False


class GlobalMaxPool2D(_Global):
    """The largest value of each channel in the whole image.

        x (N, C, H, W) -> y (N, C), float32 or float64

    The gradient goes to the largest value alone; among equal ones, to the first in reading order.

    Raises
    ------
    ValueError
        If an input is not (N, C, H, W).

    Examples
    --------
    >>> GlobalMaxPool2D().forward(np.float32([[[[1, 2], [3, 4]]]]))
    array([[4.]], dtype=float32)
    """


class _Adaptive(_Pool):
    """As many windows as there shall be outputs."""

    positional = 1

    def __init__(self, output_size: int | tuple[int | None, int | None] | None) -> None:
        super().__init__()
        kind = type(self).__name__
        both = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
        asked = tuple(1 if size is None else size for size in both)
        rows, columns = checks.pair(kind, "output_size", asked)
        self.output_size = (
            None if both[0] is None else rows, None if both[1] is None else columns
        )  # fmt: skip

    def arguments(self) -> dict[str, Any]:
        rows, columns = self.output_size
        return {"output_size": rows if rows == columns else [rows, columns]}

    def output_shape(self, input_shape: Shape) -> Shape:
        check_images(self.name, input_shape)
        return (*input_shape[:2], *self._size(input_shape))

    def _size(self, input_shape: Shape) -> Pair:
        rows, columns = self.output_size
        return rows or input_shape[2], columns or input_shape[3]

    def _windows(self, input_shape: Shape) -> tuple[Pair, Windows]:
        size = self._size(input_shape)
        return size, (
            spans.adaptive(input_shape[2], size[0]),
            spans.adaptive(input_shape[3], size[1]),
        )


class AdaptiveAveragePool2D(_Adaptive):
    """The mean of each of as many windows as there shall be outputs.

        x (N, C, H, W) -> y (N, C, *output_size), float32 or float64

    Output row o sees rows floor(o * H / H_out) to ceil((o + 1) * H / H_out) - 1, columns likewise,
    as in PyTorch. Where H_out does not divide H, neighbouring windows overlap.

    Parameters
    ----------
    output_size : int or pair
        Rows and columns of the output, one number or a pair; None keeps those of the input.

    Raises
    ------
    ValueError
        If output_size or the shape of an input does not fit.

    Examples
    --------
    >>> AdaptiveAveragePool2D((1, 2)).forward(np.float32([[[[1, 2, 3]]]]))
    array([[[[1.5, 2.5]]]], dtype=float32)
    """

    maximum = False


class AdaptiveMaxPool2D(_Adaptive):
    """The largest value of each of as many windows as there shall be outputs.

        x (N, C, H, W) -> y (N, C, *output_size), float32 or float64

    The windows are those of `AdaptiveAveragePool2D`, the gradient that of `MaxPool2D`.

    Parameters
    ----------
    output_size : int or pair
        Rows and columns of the output, one number or a pair; None keeps those of the input.

    Raises
    ------
    ValueError
        If output_size or the shape of an input does not fit.

    Examples
    --------
    >>> AdaptiveMaxPool2D((1, 2)).forward(np.float32([[[[1, 2, 3]]]]))
    array([[[[2., 3.]]]], dtype=float32)
    """
