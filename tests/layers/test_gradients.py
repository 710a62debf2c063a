"""Numerical gradients of every layer, by input and by parameters, in random configurations."""

from collections.abc import Callable

import numpy as np
import pytest

from fastcnn import backend
from fastcnn.layers import (
    ELU,
    GELU,
    SELU,
    AdaptiveAveragePool2D,
    AdaptiveMaxPool2D,
    AveragePool1D,
    AveragePool2D,
    BatchNorm,
    Concatenate,
    Conv1D,
    Conv2D,
    ConvTranspose2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool1D,
    GlobalAveragePool2D,
    GlobalMaxPool1D,
    GlobalMaxPool2D,
    GroupNorm,
    Hardsigmoid,
    Hardswish,
    InstanceNorm,
    Layer,
    LayerNorm,
    LeakyReLU,
    LogSoftmax,
    MaxPool1D,
    MaxPool2D,
    Mish,
    Pad,
    PixelShuffle,
    PReLU,
    ReLU,
    ReLU6,
    Reshape,
    Residual,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    SpatialDropout,
    Tanh,
    Upsample,
)
from fastcnn.layers.memory import Clock
from tests.gradient_check import check_gradient

CONFIGURATIONS = 30

Shape = tuple[int, ...]
Draw = Callable[[int, int], int]


def _images(draw: Draw, channels: int, least: int = 1) -> Shape:
    return (draw(1, 3), channels, draw(least, least + 3), draw(least, least + 3))


def _any(draw: Draw) -> Shape:
    return _images(draw, draw(1, 4)) if draw(0, 1) else (draw(1, 4), draw(1, 6))


def _all(draw: Draw) -> Shape:
    """Any number of axes."""
    return _any(draw) if draw(0, 1) else tuple(draw(1, 3) for _ in range(draw(1, 5)))


def prelu(draw: Draw) -> tuple[Layer, Shape]:
    shape = _any(draw) if draw(0, 1) else (2, draw(1, 4), 3)
    return PReLU([1, shape[1]][draw(0, 1)]), shape


def softmax(kind: type[Softmax]) -> Callable[[Draw], tuple[Layer, Shape]]:
    def make(draw: Draw) -> tuple[Layer, Shape]:
        shape = _all(draw)
        return kind(draw(-len(shape), len(shape) - 1)), shape

    return make


def conv(draw: Draw) -> tuple[Layer, Shape]:
    kernel, dilation = (draw(1, 3), draw(1, 3)), (draw(1, 2), draw(1, 2))
    stride, groups = (draw(1, 3), draw(1, 2)), draw(1, 3)
    padding = ["same", "valid", draw(0, 2), ((draw(0, 2), draw(0, 2)), (0, draw(0, 2)))][draw(0, 3)]
    depth = draw(1, 2)
    layer = Conv2D(
        groups * depth, groups * draw(1, 2), kernel, stride, padding, bool(draw(0, 1)),
        dilation=dilation, groups=groups,
    )  # fmt: skip
    return layer, _images(draw, groups * depth, least=5)


def transposed(draw: Draw) -> tuple[Layer, Shape]:
    stride, dilation, groups = (draw(1, 3), draw(1, 2)), draw(1, 2), draw(1, 3)
    depth = draw(1, 2)
    layer = ConvTranspose2D(
        groups * depth, groups * draw(1, 2), (draw(1, 3), draw(1, 3)), stride,
        draw(0, 1) if dilation == 1 else ((0, draw(0, 2)), (draw(0, 1), 0)),
        (draw(0, stride[0] - 1), draw(0, stride[1] - 1)), bool(draw(0, 1)),
        dilation=dilation, groups=groups,
    )  # fmt: skip
    return layer, _images(draw, groups * depth, least=3)


def conv_series(draw: Draw) -> tuple[Layer, Shape]:
    channels = 2 * draw(1, 2)
    padding = ["same", draw(0, 2), (draw(0, 2), draw(0, 2))][draw(0, 2)]
    layer = Conv1D(
        channels, 2 * draw(1, 2), draw(1, 3), draw(1, 2), padding, dilation=draw(1, 2),
        groups=draw(1, 2),
    )  # fmt: skip
    return layer, (draw(1, 3), channels, draw(5, 9))


def pool(kind: type[MaxPool2D] | type[AveragePool2D]) -> Callable[[Draw], tuple[Layer, Shape]]:
    def make(draw: Draw) -> tuple[Layer, Shape]:
        window = (draw(1, 3), draw(1, 3))
        ends = tuple((draw(0, size // 2), draw(0, size // 2)) for size in window)
        padding = ["same", (ends[0][0], ends[1][0]), ends][draw(0, 2)]
        stride = [None, draw(1, 3)][draw(0, 1)]
        options = {"ceil_mode": bool(draw(0, 1)), "dilation": draw(1, 2)}
        if kind is not MaxPool2D:
            options["count_include_pad"] = bool(draw(0, 1))
        return kind(window, stride, padding, **options), _images(draw, draw(1, 4), 5)

    return make


def pool_of_series(
    kind: type[MaxPool1D] | type[AveragePool1D],
) -> Callable[[Draw], tuple[Layer, Shape]]:
    def make(draw: Draw) -> tuple[Layer, Shape]:
        size = draw(1, 3)
        ends = (draw(0, size // 2), draw(0, size // 2))
        layer = kind(size, draw(1, 3), ends, dilation=draw(1, 2), ceil_mode=bool(draw(0, 1)))
        return layer, (2, draw(1, 4), draw(5, 9))

    return make


def dense(draw: Draw) -> tuple[Layer, Shape]:
    layer = Dense(draw(1, 7), draw(1, 6), bool(draw(0, 1)))
    return layer, (draw(1, 4), layer.in_features)


def batch_norm(draw: Draw) -> tuple[Layer, Shape]:
    channels = draw(1, 4)
    shapes = (
        (draw(3, 6), channels), (draw(2, 3), channels, draw(3, 5)),
        (draw(2, 3), channels, 3, draw(1, 3)),
    )  # fmt: skip
    return BatchNorm(channels, eps=1e-2), shapes[draw(0, 2)]


def _features(draw: Draw, channels: int) -> Shape:
    """Samples of which no group has two numbers only: its gradient would be 0."""
    sizes = (), (draw(1, 5),), (3, draw(1, 3))
    return (draw(1, 4), channels, *sizes[draw(0, 2)])


def group_norm(draw: Draw) -> tuple[Layer, Shape]:
    groups = draw(1, 3)
    channels = groups * draw(3, 5)
    return GroupNorm(groups, channels, eps=1e-2), _features(draw, channels)


def layer_norm(draw: Draw) -> tuple[Layer, Shape]:
    features = draw(3, 7)
    return LayerNorm(features, eps=1e-2), _features(draw, features)


def residual(draw: Draw) -> tuple[Layer, Shape]:
    channels = draw(1, 3)
    if draw(0, 1):
        main = [Conv2D(channels, 2, 3, padding=1), BatchNorm(2, eps=1e-2), Tanh()]
        block = Residual(main, [Conv2D(channels, 2, 1, bias=False)], Sigmoid())
    else:
        inner = Residual([Conv2D(channels, channels, 3, padding="same")])
        block = Residual([Tanh(), inner])
    return block, (3, channels, draw(2, 4), draw(2, 4))


def concatenate(draw: Draw) -> tuple[Layer, Shape]:
    channels, made = draw(1, 20), draw(1, 18)
    if draw(0, 2) == 0:
        return Concatenate([Dense(channels, made), Tanh()]), (draw(1, 4), channels)
    layers: list[Layer] = [BatchNorm(channels, eps=1e-2), Tanh(), Conv2D(channels, made, 1)]
    if draw(0, 1):
        inner = Concatenate([Conv2D(made, draw(1, 3), 3, padding=1, bias=False)])
        layers.append(inner)
    return Concatenate(layers), (3, channels, draw(1, 3), 2)


def pad(draw: Draw) -> tuple[Layer, Shape]:
    mode = ["zeros", "constant", "reflect", "replicate"][draw(0, 3)]
    ends = ((draw(-1, 2), draw(0, 2)), (draw(0, 2), draw(-1, 2)))
    return Pad(ends, mode, 2.0 * (mode == "constant")), _images(draw, 2, 3)


def upsample(draw: Draw) -> tuple[Layer, Shape]:
    if draw(0, 1):
        return Upsample((draw(1, 3), draw(1, 3))), _images(draw, 2)
    size = (draw(1, 7), draw(1, 7))
    return Upsample(size=size, mode="bilinear", align_corners=bool(draw(0, 1))), _images(draw, 2)


def instance_norm(draw: Draw) -> tuple[Layer, Shape]:
    channels = draw(1, 4)
    return InstanceNorm(channels, eps=1e-2), (draw(1, 3), channels, 3, draw(1, 3))


MAKERS: dict[str, Callable[[Draw], tuple[Layer, Shape]]] = {
    "Conv2D": conv,
    "Conv1D": conv_series,
    "ConvTranspose2D": transposed,
    "MaxPool2D": pool(MaxPool2D),
    "AveragePool2D": pool(AveragePool2D),
    "MaxPool1D": pool_of_series(MaxPool1D),
    "AveragePool1D": pool_of_series(AveragePool1D),
    "AdaptiveMaxPool2D": lambda draw: (AdaptiveMaxPool2D((draw(1, 4), 2)), _images(draw, 2)),
    "AdaptiveAveragePool2D": lambda draw: (
        AdaptiveAveragePool2D((draw(1, 4), None)),
        _images(draw, 2),
    ),
    "GlobalMaxPool2D": lambda draw: (GlobalMaxPool2D(), _images(draw, draw(1, 5))),
    "GlobalAveragePool2D": lambda draw: (GlobalAveragePool2D(), _images(draw, draw(1, 5))),
    "GlobalMaxPool1D": lambda draw: (GlobalMaxPool1D(), _images(draw, draw(1, 5))[:3]),
    "GlobalAveragePool1D": lambda draw: (GlobalAveragePool1D(), _images(draw, draw(1, 5))[:3]),
    "Dense": dense,
    "BatchNorm": batch_norm,
    "GroupNorm": group_norm,
    "LayerNorm": layer_norm,
    "Dropout": lambda draw: (Dropout(draw(0, 9) / 10), _any(draw)),
    "SpatialDropout": lambda draw: (SpatialDropout(draw(0, 9) / 10), _any(draw)),
    "InstanceNorm": instance_norm,
    "Pad": pad,
    "Upsample": upsample,
    "PixelShuffle": lambda draw: (PixelShuffle(2), _images(draw, 4 * draw(1, 3))),
    "Reshape": lambda draw: (Reshape([[2, -1], [-1], [2, 1, -1]][draw(0, 2)]), _images(draw, 2)),
    "Flatten": lambda draw: (Flatten(), _any(draw)),
    "ReLU": lambda draw: (ReLU(), _all(draw)),
    "ReLU6": lambda draw: (ReLU6(), _all(draw)),
    "LeakyReLU": lambda draw: (LeakyReLU(draw(0, 5) / 10), _all(draw)),
    "PReLU": prelu,
    "ELU": lambda draw: (ELU(draw(-1, 5) / 2), _all(draw)),
    "SELU": lambda draw: (SELU(), _all(draw)),
    "GELU": lambda draw: (GELU(["none", "tanh"][draw(0, 1)]), _all(draw)),
    "SiLU": lambda draw: (SiLU(), _all(draw)),
    "Softplus": lambda draw: (Softplus(draw(1, 5) / 2), _all(draw)),
    "Mish": lambda draw: (Mish(), _all(draw)),
    "Hardswish": lambda draw: (Hardswish(), _all(draw)),
    "Hardsigmoid": lambda draw: (Hardsigmoid(), _all(draw)),
    "Sigmoid": lambda draw: (Sigmoid(), _all(draw)),
    "Tanh": lambda draw: (Tanh(), _all(draw)),
    "Softmax": softmax(Softmax),
    "LogSoftmax": softmax(LogSoftmax),
    "Residual": residual,
    "Concatenate": concatenate,
}


def check_layer(layer: Layer, shape: Shape, generator: np.random.Generator) -> None:
    layer.astype(np.float64)
    layer.clock = Clock(7)  # which stands still: dropout drops the same numbers every time
    # All numbers differ by more than eps, so that no maximum and no sign changes within it.
    x = generator.permutation(np.linspace(-2, 2, int(np.prod(shape)))).reshape(shape) + 0.003
    for name in layer.params:
        layer.params[name] = generator.normal(size=layer.params[name].shape)
    y = layer.forward(x, training=True)
    upstream = generator.normal(size=y.shape)
    dx = layer.backward(upstream)
    gradients = {"x": dx.copy()} | {name: grad.copy() for name, grad in layer.grads.items()}
    arrays = {"x": x} | dict(layer.params)
    check_gradient(lambda: layer.forward(x, training=True), arrays, upstream, gradients)


@pytest.mark.parametrize("kind", MAKERS)
def test_gradients(kind: str) -> None:
    generator = np.random.default_rng(sorted(MAKERS).index(kind))

    def draw(low: int, high: int) -> int:
        return int(generator.integers(low, high + 1))

    for _ in range(CONFIGURATIONS):
        layer, shape = MAKERS[kind](draw)
        check_layer(layer, shape, generator)


@pytest.mark.parametrize("kind", ["Conv2D", "MaxPool2D", "AveragePool2D", "Dense"])
@pytest.mark.parametrize("name", ["im2col", "loop"])
def test_gradients_of_other_backends(kind: str, name: str) -> None:
    generator = np.random.default_rng(5)

    def draw(low: int, high: int) -> int:
        return int(generator.integers(low, high + 1))

    with backend(name):
        for _ in range(3):
            layer, shape = MAKERS[kind](draw)
            check_layer(layer, shape, generator)
