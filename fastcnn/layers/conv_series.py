"""Convolution of series, (N, C, L), which are images of one row."""

import math
from typing import Any

import numpy as np

from .. import backends, checks
from ..checks import Pair
from . import spoken
from .conv import _Convolution
from .initialization import Initialization
from .memory import NO_GRADIENT, Shape, as_given, as_image, memory_of, seen
from .window import Padding, check_padding, output_size, sides


class Conv1D(_Convolution):
    """Slides `out_channels` small filters along series.

        x (N, in_channels, L) -> y (N, out_channels, L_out), float32 or float64

        y[n, o, l] = bias[o] + sum over c, j of
                     weight[o, c, j] * x[n, c, l * stride + j * dilation - left]
        L_out = floor((L + left + right - dilation * (kernel - 1) - 1) / stride) + 1

    `Conv2D` on images of one row. With `groups`, o and c run within one group.

    Parameters
    ----------
    in_channels : int
        Channels of the input.
    out_channels : int
        Filters, and so channels of the output.
    kernel_size : int
        Length of the filters.
    stride : int
        Places between neighbouring places of a filter.
    padding : int, pair or str
        Zeros around the series: one number; (left, right); "valid" for none; "same" for as many as
        make L_out = ceil(L / stride), the odd one on the right.
    bias : bool
        Whether a number per filter is added.
    init : str
        As in `Conv2D`.
    seed : int, optional
        As in `Conv2D`.
    init_std : float, optional
        As in `Conv2D`.
    dilation : int
        Places from one number of a filter to the next.
    groups : int
        As in `Conv2D`.

    params: weight (out_channels, in_channels / groups, kernel), bias (out_channels,).

    Raises
    ------
    ValueError
        If an argument or the shape of an input does not fit.
    TypeError
        If an input is not a float array of the layer's dtype.

    Examples
    --------
    >>> x = np.zeros((8, 3, 100), np.float32)
    >>> Conv1D(3, 16, kernel_size=5, padding="same", dilation=2).forward(x).shape
    (8, 16, 100)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int | Pair | str = 0,
        bias: bool = True,
        init: str = "he",
        seed: int | None = None,
        init_std: float | None = None,
        dilation: int = 1,
        groups: int = 1,
    ) -> None:
        window = (
            (1, checks.whole("Conv1D", "kernel_size", kernel_size)),
            (1, checks.whole("Conv1D", "stride", stride)),
            (1, checks.whole("Conv1D", "dilation", dilation)),
        )
        around: Padding
        if isinstance(padding, str):
            around = check_padding("Conv1D", padding)
        else:
            around = ((0, 0), checks.pair("Conv1D", "padding", padding, least=0))
        initialization = Initialization("Conv1D", init, init_std)
        channels = in_channels, out_channels
        super().__init__(channels, window, around, bias, initialization, groups, seed)

    def arguments(self) -> dict[str, Any]:
        own: dict[str, Any] = {
            "kernel_size": self.kernel_size[1],
            "stride": self.stride[1],
            "dilation": self.dilation[1],
        }
        if not isinstance(self.padding, str):
            _, ends = sides(self.padding)
            own["padding"] = ends[0] if ends[0] == ends[1] else list(ends)
        return super().arguments() | own

    def parameter_shapes(self) -> dict[str, Shape]:
        weight = (self.out_channels, self.in_channels // self.groups, self.kernel_size[1])
        return {"weight": weight} | ({"bias": (self.out_channels,)} if self.bias else {})

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 3 or input_shape[1] != self.in_channels:
            raise ValueError(
                f"{self.name}: expected input as (N, {self.in_channels}, L), got shape "
                f"{spoken.shape(input_shape)}"
            )
        batch, channels, length = input_shape
        _, length = output_size(
            self.name, (batch, channels, 1, length), self.kernel_size, self.stride, self.padding,
            self.dilation,
        )  # fmt: skip
        return (batch, self.out_channels, length)

    def multiply_adds(self, input_shape: Shape) -> int:
        weight = self.parameter_shapes()["weight"]
        return math.prod(self.output_shape(input_shape)) * math.prod(weight[1:])

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        batch, channels, length = self.check_input(x)
        image = memory_of(as_image(x))
        stride, start, dilation = self.geometry(as_image(x).shape)
        y = self.result((batch, 1, length, channels), x.dtype, training)
        backends.current().conv_forward(
            image, as_image(self.params["weight"]), self.bias_or_none(self.params),
            stride, start, y, self.scratch, dilation,
        )  # fmt: skip
        y = as_given(seen(y), 3)
        if training:
            self.remember(y, image)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        (image,) = self.recall(dy)
        stride, start, dilation = self.geometry(seen(image).shape)
        dy, kernels = memory_of(as_image(dy)), backends.current()
        if self.trainable:
            kernels.conv_backward_weight(
                image, dy, stride, start, as_image(self.grads["weight"]),
                self.bias_or_none(self.grads), self.scratch, dilation,
            )  # fmt: skip
        if not self.needs_input_gradient:
            return NO_GRADIENT
        dx = self.gradient(image.shape, dy.dtype, dy)
        kernels.conv_backward_input(
            dy, as_image(self.params["weight"]), stride, start, dx, self.scratch, dilation
        )
        return as_given(seen(dx), 3)
