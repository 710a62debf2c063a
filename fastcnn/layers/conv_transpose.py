"""Transposed convolution."""

import math
from typing import Any

import numpy as np

from .. import backends, checks
from ..checks import Pair
from . import spoken
from .conv import _Convolution, window_of
from .initialization import Initialization
from .memory import NO_GRADIENT, Shape, memory_of, seen
from .window import check_images, check_padding, extent, plain, sides


class ConvTranspose2D(_Convolution):
    """Lays each pixel's share of small filters over a larger image: `Conv2D` backwards.

        x (N, in_channels, H, W) -> y (N, out_channels, H_out, W_out), float32 or float64

        y[n, o, a, b] = bias[o] + sum over c, h, w, i, j of x[n, c, h, w] * weight[c, o, i, j]
                        with a = h * stride + i * dilation - top,
                             b = w * stride + j * dilation - left
        H_out = (H - 1) * stride + dilation * (kernel - 1) + 1 + output_padding - top - bottom

    (Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016, section 4).
    It is the input gradient of the convolution that would make x from y, and has that one's
    kernels. With `groups`, o and c run within one group.

    Parameters
    ----------
    in_channels : int
        Channels of the input.
    out_channels : int
        Channels of the output.
    kernel_size : int or pair
        Height and width of the filters, one number or a pair.
    stride : int or pair
        Pixels of the output between the shares of neighbouring pixels of the input.
    padding : int, pair or pair of pairs
        Pixels cut off around the output: one number; a pair (height, width); ((top, bottom), (left,
        right)).
    output_padding : int or pair
        Pixels more at the bottom and on the right, fewer than the stride or the dilation: several
        sizes of a convolution's input lead to one size of its output, and this says which is meant.
    bias : bool
        Whether a number per output channel is added.
    init : str
        As in `Conv2D`.
    seed : int, optional
        As in `Conv2D`.
    init_std : float, optional
        As in `Conv2D`.
    dilation : int or pair
        Pixels of the output from one number of a filter to the next.
    groups : int
        As in `Conv2D`.

    params: weight (in_channels, out_channels / groups, kernel_h, kernel_w), bias (out_channels,).

    Raises
    ------
    ValueError
        If an argument or the shape of an input does not fit.
    TypeError
        If an input is not a float array of the layer's dtype.

    Examples
    --------
    >>> x = np.zeros((8, 16, 7, 7), np.float32)
    >>> ConvTranspose2D(16, 3, kernel_size=4, stride=2, padding=1).forward(x).shape
    (8, 3, 14, 14)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair | tuple[Pair, Pair] = 0,
        output_padding: int | Pair = 0,
        bias: bool = True,
        init: str = "he",
        seed: int | None = None,
        init_std: float | None = None,
        dilation: int | Pair = 1,
        groups: int = 1,
    ) -> None:
        kind = "ConvTranspose2D"
        if isinstance(padding, str):
            raise ValueError(
                f"{kind}: padding must be numbers, got {padding!r}; kernel_size=2 * stride with "
                f"padding=stride / 2 makes an image stride times as large"
            )
        window = window_of(kind, kernel_size, stride, dilation)
        initialization = Initialization(kind, init, init_std)
        channels, around = (in_channels, out_channels), check_padding(kind, padding, uneven=True)
        super().__init__(channels, window, around, bias, initialization, groups, seed)
        self.output_padding = checks.pair(kind, "output_padding", output_padding, least=0)
        most = [max(pair) for pair in zip(self.stride, self.dilation, strict=True)]
        if self.output_padding[0] >= most[0] or self.output_padding[1] >= most[1]:
            raise ValueError(
                f"{kind}: output_padding must be smaller than the stride {self.stride} or the "
                f"dilation {self.dilation}, got {self.output_padding}"
            )

    def arguments(self) -> dict[str, Any]:
        return super().arguments() | {"output_padding": plain(self.output_padding)}

    def parameter_shapes(self) -> dict[str, Shape]:
        weight = (self.in_channels, self.out_channels // self.groups, *self.kernel_size)
        return {"weight": weight} | ({"bias": (self.out_channels,)} if self.bias else {})

    def initial_values(self, generator: np.random.Generator) -> dict[str, np.ndarray]:
        # A pixel of the output lies under every stride-th tap of the filters.
        taps = max(1, math.prod(self.kernel_size) // math.prod(self.stride))
        fans = (
            self.in_channels // self.groups * taps,
            self.out_channels // self.groups * math.prod(self.kernel_size),
        )
        return self.init.draw(generator, self.parameter_shapes(), *fans)

    def output_shape(self, input_shape: Shape) -> Shape:
        check_images(self.name, input_shape, self.in_channels)
        reach = extent(self.kernel_size, self.dilation)
        size = [
            (input_shape[2 + axis] - 1) * self.stride[axis] + reach[axis]
            + self.output_padding[axis] - sum(sides(self.padding)[axis])
            for axis in (0, 1)
        ]  # fmt: skip
        if min(size) < 1:
            raise ValueError(
                f"{self.name}: the padding leaves nothing of the output for an input of shape "
                f"{spoken.shape(input_shape)}; use less padding"
            )
        return (input_shape[0], self.out_channels, *size)

    def multiply_adds(self, input_shape: Shape) -> int:
        return math.prod(input_shape) * math.prod(self.parameter_shapes()["weight"][1:])

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        batch, channels, height, width = self.check_input(x)
        image = memory_of(x)
        stride, start, dilation = self.geometry(x.shape)
        y = self.result((batch, height, width, channels), x.dtype, training)
        backends.current().conv_backward_input(
            image, self.params["weight"], stride, start, y, self.scratch, dilation,
            self.bias_or_none(self.params),
        )  # fmt: skip
        y = seen(y)
        if training:
            self.remember(y, image)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        (image,) = self.recall(dy)
        stride, start, dilation = self.geometry(seen(image).shape)
        dy, kernels, no_bias = memory_of(dy), backends.current(), np.empty(0, dy.dtype)
        if self.trainable:
            kernels.conv_backward_weight(
                dy, image, stride, start, self.grads["weight"], no_bias, self.scratch, dilation
            )
            if self.bias:
                kernels.conv_backward_bias(dy, self.grads["bias"], self.scratch)
        if not self.needs_input_gradient:
            return NO_GRADIENT
        dx = self.gradient(image.shape, dy.dtype, dy)
        kernels.conv_forward(
            dy, self.params["weight"], no_bias, stride, start, dx, self.scratch, dilation
        )
        return seen(dx)
