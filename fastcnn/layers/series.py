"""Pooling of series, (N, C, L), which are images of one row."""

from typing import Any

from .. import checks
from ..checks import Pair
from . import spoken
from .adaptive_pool import _Global
from .memory import Shape
from .pool import _Moving

Padding = int | Pair | str


class _OfSeries(_Moving):
    """A window that moves along one axis."""

    def __init__(
        self, pool_size: int, stride: int | None, padding: Padding, dilation: int, ceil_mode: bool
    ) -> None:
        kind = type(self).__name__
        size = checks.whole(kind, "pool_size", pool_size)
        stride = size if stride is None else checks.whole(kind, "stride", stride)
        if not isinstance(padding, str):
            padding = checks.pair(kind, "padding", padding, least=0)
        around = padding if isinstance(padding, str) else ((0, 0), padding)
        dilation = checks.whole(kind, "dilation", dilation)
        super().__init__((1, size), (1, stride), around, (1, dilation), ceil_mode)

    def arguments(self) -> dict[str, Any]:
        given = super().arguments()
        for name in ("pool_size", "stride", "dilation", "padding"):
            value = given.get(name)
            if isinstance(value, list):
                value = value[1]
            if isinstance(value, list):  # a padding's two ends
                value = value[0] if value[0] == value[1] else value
            if name in given:
                given[name] = value
        return given

    def output_shape(self, input_shape: Shape) -> Shape:
        batch, channels, length = _checked(self.name, input_shape)
        return (batch, channels, self._output_size((batch, channels, 1, length))[1])


def _checked(name: str, input_shape: Shape) -> Shape:
    """The shape, which must be that of series."""
    if len(input_shape) != 3:
        raise ValueError(
            f"{name}: expected input as (N, C, L), got shape {spoken.shape(input_shape)}"
        )
    return input_shape


class MaxPool1D(_OfSeries):
    """The largest value of each window of a series.

        x (N, C, L) -> y (N, C, L_out), float32 or float64
        L_out = floor((L + left + right - dilation * (pool_size - 1) - 1) / stride) + 1

    `MaxPool2D` on images of one row.

    Parameters
    ----------
    pool_size : int
        Places of the window.
    stride : int, optional
        Places between neighbouring windows; None: the window's size.
    padding : int, pair or str
        Places around the series, one number or (left, right), each at most half the window; "valid"
        for none; "same" for as many as make L_out = ceil(L / stride).
    dilation : int
        Places between neighbouring places of the window.
    ceil_mode : bool
        Whether L_out is rounded up, as `MaxPool2D` has it.

    Raises
    ------
    ValueError
        If an argument or the shape of an input does not fit.

    Examples
    --------
    >>> MaxPool1D(2).forward(np.float32([[[1, 2, 3, 4]]]))
    array([[[2., 4.]]], dtype=float32)
    """

    def __init__(
        self,
        pool_size: int,
        stride: int | None = None,
        padding: Padding = 0,
        dilation: int = 1,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(pool_size, stride, padding, dilation, ceil_mode)


class AveragePool1D(_OfSeries):
    """The mean of each window of a series.

        x (N, C, L) -> y (N, C, L_out), float32 or float64
        L_out = floor((L + left + right - dilation * (pool_size - 1) - 1) / stride) + 1

    `AveragePool2D` on images of one row.

    Parameters
    ----------
    pool_size : int
        Places of the window.
    stride : int, optional
        Places between neighbouring windows; None: the window's size.
    padding : int, pair or str
        As for `MaxPool1D`.
    count_include_pad, ceil_mode : bool
        As for `AveragePool2D`.
    dilation : int
        Places between neighbouring places of the window.

    Raises
    ------
    ValueError
        If an argument or the shape of an input does not fit.

    Examples
    --------
    >>> AveragePool1D(2).forward(np.float32([[[1, 2, 3, 4]]]))
    array([[[1.5, 3.5]]], dtype=float32)
    """

    maximum = False

    def __init__(
        self,
        pool_size: int,
        stride: int | None = None,
        padding: Padding = 0,
        count_include_pad: bool = True,
        ceil_mode: bool = False,
        dilation: int = 1,
    ) -> None:
        super().__init__(pool_size, stride, padding, dilation, ceil_mode)
        self.count_include_pad = checks.flag(
            "AveragePool1D", "count_include_pad", count_include_pad
        )

    def arguments(self) -> dict[str, Any]:
        return {**super().arguments(), "count_include_pad": self.count_include_pad}


class GlobalAveragePool1D(_Global):
    """The mean of each channel over the whole series.

        x (N, C, L) -> y (N, C), float32 or float64

    Raises
    ------
    ValueError
        If an input is not (N, C, L).

    Examples
    --------
    >>> GlobalAveragePool1D().forward(np.float32([[[1, 2, 6]]]))
    array([[3.]], dtype=float32)
    """

    maximum = False

    def output_shape(self, input_shape: Shape) -> Shape:
        return _checked(self.name, input_shape)[:2]


class GlobalMaxPool1D(_Global):
    """The largest value of each channel in the whole series.

        x (N, C, L) -> y (N, C), float32 or float64

    The gradient goes to the largest value alone; among equal ones, to the first.

    Raises
    ------
    ValueError
        If an input is not (N, C, L).

    Examples
    --------
    >>> GlobalMaxPool1D().forward(np.float32([[[1, 2, 6]]]))
    array([[6.]], dtype=float32)
    """

    def output_shape(self, input_shape: Shape) -> Shape:
        return _checked(self.name, input_shape)[:2]
