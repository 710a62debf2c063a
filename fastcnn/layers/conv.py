"""Convolution."""

import math
from typing import Any

import numpy as np

from kernels.conv.backward import run_both_gradients, suits
from kernels.conv.forward import NOT_POOLED, run_forward
from kernels.conv.gradient_source import GradientSource
from kernels.conv.input import run_input_gradient
from kernels.conv.normed import (
    NormedInput,
    SumsBefore,
    nothing_summed,
    shape_of,
    statistics_of,
    sums_before,
)
from kernels.conv.weight import run_weight_gradient
from kernels.norm.units import Room
from kernels.workspace import Workspace

from .. import backends, checks
from ..checks import Pair
from .arrays import ParameterDict
from .base import Layer
from .initialization import Initialization
from .memory import NO_GRADIENT, Shape, memory_of, seen
from .window import Padding, check_images, check_padding, output_size, padding_before, plain


class _Convolution(Layer):
    """What all convolutions share: their arguments, and how their weights start."""

    positional = 2

    def __init__(
        self,
        channels: tuple[Any, Any],
        window: tuple[Any, Any, Any],
        padding: Padding,
        bias: bool,
        init: Initialization,
        groups: int,
        seed: int | None,
    ) -> None:
        """channels : in and out; window : its size, stride and dilation, each a pair."""
        kind = type(self).__name__
        super().__init__(checks.seed(kind, seed))
        self.in_channels = checks.whole(kind, "in_channels", channels[0])
        self.out_channels = checks.whole(kind, "out_channels", channels[1])
        self.kernel_size, self.stride, self.dilation = window
        self.padding = padding
        self.bias = checks.flag(kind, "bias", bias)
        self.init = init
        self.groups = check_groups(kind, groups, self.in_channels, self.out_channels)
        self.beside_norm = False  # whether its network has BatchNorm (`kernels.conv.normed`)

    def arguments(self) -> dict[str, Any]:
        return {
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "kernel_size": plain(self.kernel_size),
            "stride": plain(self.stride),
            "padding": plain(self.padding),
            "bias": self.bias,
            "dilation": plain(self.dilation),
            "groups": self.groups,
            **self.init.arguments(),
        }

    def parameter_shapes(self) -> dict[str, Shape]:
        weight = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        return {"weight": weight} | ({"bias": (self.out_channels,)} if self.bias else {})

    def initial_values(self, generator: np.random.Generator) -> dict[str, np.ndarray]:
        area = self.kernel_size[0] * self.kernel_size[1]
        fans = self.in_channels // self.groups * area, self.out_channels // self.groups * area
        return self.init.draw(generator, self.parameter_shapes(), *fans)

    def geometry(self, input_shape: Shape) -> tuple[Pair, Pair, Pair]:
        """Stride, padding at the (top, left) and dilation, for an input of that shape."""
        start = padding_before(
            input_shape, self.kernel_size, self.stride, self.padding, self.dilation
        )
        return self.stride, start, self.dilation

    def bias_or_none(self, arrays: ParameterDict) -> np.ndarray:
        """The bias among params or grads; an empty array where the layer has none."""
        return arrays["bias"] if self.bias else np.empty(0, self.dtype)


class Conv2D(_Convolution):
    """Slides `out_channels` small filters over the images.

        x (N, in_channels, H, W) -> y (N, out_channels, H_out, W_out), float32 or float64

        y[n, o, h, w] = bias[o] + sum over c, i, j of weight[o, c, i, j]
                        * x[n, c, h * stride + i * dilation - top, w * stride + j * dilation - left]
        H_out = floor((H + top + bottom - dilation * (kernel - 1) - 1) / stride) + 1

    (cross-correlation; Goodfellow, Bengio, Courville, "Deep Learning", equation 9.6). Places on
    the padding count as zeros. With `groups`, o and c run within one group.

    Parameters
    ----------
    in_channels : int
        Channels of the input.
    out_channels : int
        Filters, and so channels of the output.
    kernel_size : int or pair
        Height and width of the filters, one number or a pair.
    stride : int or pair
        Pixels between neighbouring places of a filter, one number or a pair.
    padding : int, pair, pair of pairs or str
        Pixels of zeros around the image: one number; a pair (height, width); ((top, bottom), (left,
        right)); "valid" for none; "same" for as many as make H_out = ceil(H / stride), the odd one
        at the bottom right.
    bias : bool
        Whether a number per filter is added.
    init : str
        How the weights start: "he" or "xavier", with biases of 0, or "normal", which draws the
        biases too (`initialization.Initialization`).
    seed : int, optional
        Key of the starting weights of a layer that stands alone. A model draws them anew unless a
        seed was given here or the weights were written.
    init_std : float, optional
        Standard deviation of init "normal"; default 1.
    dilation : int or pair
        Pixels from one number of a filter to the next, one number or a pair: 2 leaves out every
        other pixel.
    groups : int
        Input and filters are cut into so many groups, and filters see the channels of their own
        group only. With groups=in_channels every filter sees one channel: depthwise convolution.

    params: weight (out_channels, in_channels / groups, kernel_h, kernel_w), bias (out_channels,).

    Raises
    ------
    ValueError
        If an argument or the shape of an input does not fit.
    TypeError
        If an input is not a float array of the layer's dtype.

    Examples
    --------
    >>> x = np.zeros((8, 3, 32, 32), np.float32)
    >>> Conv2D(3, 16, kernel_size=3, padding=1).forward(x).shape
    (8, 16, 32, 32)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair | tuple[Pair, Pair] | str = 0,
        bias: bool = True,
        init: str = "he",
        seed: int | None = None,
        init_std: float | None = None,
        dilation: int | Pair = 1,
        groups: int = 1,
    ) -> None:
        window = window_of("Conv2D", kernel_size, stride, dilation)
        padding = check_padding("Conv2D", padding, uneven=True)
        initialization = Initialization("Conv2D", init, init_std)
        channels = in_channels, out_channels
        super().__init__(channels, window, padding, bias, initialization, groups, seed)

    def output_shape(self, input_shape: Shape) -> Shape:
        check_images(self.name, input_shape, self.in_channels)
        size = output_size(
            self.name, input_shape, self.kernel_size, self.stride, self.padding, self.dilation
        )
        return (input_shape[0], self.out_channels, *size)

    def multiply_adds(self, input_shape: Shape) -> int:
        batch, channels, height, width = self.output_shape(input_shape)
        return batch * height * width * channels * math.prod(self.parameter_shapes()["weight"][1:])

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        batch, channels, height, width = self.check_input(x)
        image = memory_of(x)
        y = self.result((batch, height, width, channels), x.dtype, training)
        if self._is_numba:
            self._run(image, y, self.nothing_summed())
        else:
            stride, start, dilation = self.geometry(x.shape)
            backends.current().conv_forward(
                image, self.params["weight"], self.bias_or_none(self.params),
                stride, start, y, self.scratch, dilation,
            )  # fmt: skip
        y = seen(y)
        if training:
            self.remember(y, image)
        return y

    def nothing_summed(self) -> Room | None:
        """For kernels that sum up none of what they write now."""
        return nothing_summed(self.dtype, self.scratch) if self.beside_norm else None

    @property
    def _is_numba(self) -> bool:
        return backends.current_name() == "numba"

    def _run(self, image: np.ndarray | NormedInput, y: np.ndarray, summing: Room | None) -> None:
        run_forward(
            image, self.params["weight"], self.bias_or_none(self.params),
            self.geometry(seen_shape(image)), y.shape, y, NOT_POOLED, self.scratch, summing,
        )  # fmt: skip

    def forward_summed(
        self, image: np.ndarray | NormedInput, kept_in: Workspace | None = None, wanted: bool = True
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """`forward` in training by numba, of images as they lie; and the sums that BatchNorm takes.

        Those are None where it does not take them of images (`kernels.norm.units`), or none are
        wanted.
        kept_in : where the sums lie if they are not needed at once
        """
        x = seen(image.x if isinstance(image, NormedInput) else image)
        batch, channels, height, width = self.check_input(x)
        y = self.workspace.array("y", (batch, height, width, channels), x.dtype)
        scratch = self.scratch if kept_in is None else kept_in
        summing = nothing_summed(x.dtype, scratch)
        if wanted:
            summing = statistics_of(y.shape, x.dtype, scratch, self.scratch.portion)
        self._run(image, y, summing)
        self.remember(seen(y), image)
        return seen(y), summing.sums if summing.sums.size else None

    def backward(self, dy: np.ndarray) -> np.ndarray:
        (image,) = self.recall(dy)
        dy = memory_of(dy)
        if self._is_numba:
            source = GradientSource(dy, beside_norm=self.beside_norm)
            return self.backward_from(image, source, dy.shape, self.needs_input_gradient)
        stride, start, dilation = self.geometry(seen_shape(image))
        kernels = backends.current()
        if self.trainable:
            kernels.conv_backward_weight(
                image, dy, stride, start, self.grads["weight"], self.bias_or_none(self.grads),
                self.scratch, dilation,
            )  # fmt: skip
        if not self.needs_input_gradient:
            return NO_GRADIENT
        dx = self.gradient(image.shape, dy.dtype, dy)
        kernels.conv_backward_input(
            dy, self.params["weight"], stride, start, dx, self.scratch, dilation
        )
        return seen(dx)

    @property
    def is_light(self) -> bool:
        """Whether it has more to read and write than to compute.

        Then it also reads images that are to be normalised.
        """
        shape = self.parameter_shapes()["weight"]
        return suits(shape, self.stride, self.padding, self.in_channels)

    def backward_from(
        self,
        image: np.ndarray | NormedInput,
        source: GradientSource,
        y_shape: Shape,
        needs_input_gradient: bool,
        summing: SumsBefore | None = None,
    ) -> np.ndarray:
        """`backward` by numba, of the image in training, both as they lie in memory.

        source : where the gradient of the output (N, H_out, W_out, O), of shape y_shape, comes from
        summing : what to sum up of dx, where the layer `is_light`
        """
        weight, bias = self.grads["weight"], self.bias_or_none(self.grads)
        shape, dtype = shape_of(image), source.dy.dtype
        geometry = self.geometry(seen_shape(image))
        if summing is None and self.beside_norm:
            summing = sums_before(NO_GRADIENT, dtype, self.scratch)
        at_once = needs_input_gradient and self.trainable and source.index is None and self.is_light
        if self.trainable and not at_once:
            run_weight_gradient(image, source, geometry, y_shape, weight, bias, self.scratch)
        if not needs_input_gradient:
            return NO_GRADIENT
        dx = self.gradient(shape, dtype, source.dy)
        if at_once:
            run_both_gradients(
                image, source, self.params["weight"], geometry, weight, bias, dx, self.scratch,
                summing,
            )  # fmt: skip
        else:
            run_input_gradient(source, self.params["weight"], geometry, y_shape, dx, self.scratch)
        return seen(dx)


def seen_shape(image: np.ndarray | NormedInput) -> Shape:
    """(N, C, H, W) of images as they lie."""
    batch, height, width, channels = shape_of(image)
    return batch, channels, height, width


def window_of(layer: str, kernel_size: Any, stride: Any, dilation: Any) -> tuple[Pair, Pair, Pair]:
    """The three as pairs."""
    return (
        checks.pair(layer, "kernel_size", kernel_size),
        checks.pair(layer, "stride", stride),
        checks.pair(layer, "dilation", dilation),
    )


def check_groups(layer: str, groups: Any, in_channels: int, out_channels: int) -> int:
    """`groups`, which must divide both numbers of channels."""
    groups = checks.whole(layer, "groups", groups)
    if in_channels % groups or out_channels % groups:
        common = math.gcd(in_channels, out_channels)
        fitting = [str(each) for each in range(1, common + 1) if common % each == 0]
        raise ValueError(
            f"{layer}: groups must divide in_channels={in_channels} and "
            f"out_channels={out_channels}, got {groups}; what fits: {', '.join(fitting)}"
        )
    return groups
