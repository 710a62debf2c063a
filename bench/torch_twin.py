"""PyTorch's twin of a fastcnn model: the same layers with the same starting weights.

    python -m bench.torch_twin MODEL BATCH

writes the pickled twin of a named model, the shape of its images and its preset to standard
output, for a process that shall not load fastcnn.
"""

import functools
import pickle
import sys
from collections.abc import Callable, Sequence

import torch  # type: ignore[import-not-found]
from torch import nn  # type: ignore[import-not-found]

from bench.sides import build
from bench.torch_residual import ConcatenateTwin, ResidualTwin
from fastcnn import models
from fastcnn.layers import (
    AveragePool2D,
    BatchNorm,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool2D,
    GroupNorm,
    Layer,
    MaxPool2D,
    ReLU,
    Residual,
    Sigmoid,
    Tanh,
)
from fastcnn.layers.window import extent, padding_before, sides

Shape = tuple[int, ...]

_WITHOUT_ARGUMENTS = {ReLU: nn.ReLU, Sigmoid: nn.Sigmoid, Tanh: nn.Tanh, Flatten: nn.Flatten}


def sequence_twin(layers: Sequence[Layer], shape: Shape) -> nn.Sequential:
    """The twin of a row of layers, for inputs of `shape` (batch included)."""
    twins = []
    for layer in layers:
        twins.append(layer_twin(layer, shape))
        shape = layer.output_shape(shape)
    return nn.Sequential(*twins)


def layer_twin(layer: Layer, shape: Shape) -> nn.Module:
    """The twin of one layer, for inputs of `shape` (batch included).

    Raises
    ------
    ValueError
        If there is none.
    """
    match layer:
        case Conv2D():
            channels, kernel = (layer.in_channels, layer.out_channels), layer.kernel_size
            conv = functools.partial(
                nn.Conv2d, *channels, kernel, layer.stride, bias=layer.bias,
                dilation=layer.dilation, groups=layer.groups,
            )  # fmt: skip
            kernel = extent(kernel, layer.dilation)
            return _padded(layer, kernel, shape, lambda p: _with_weights(layer, conv(padding=p)))
        case Dense():
            return _with_weights(
                layer, nn.Linear(layer.in_features, layer.out_features, bias=layer.bias)
            )
        case BatchNorm():
            kind = nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d
            return kind(layer.num_features, eps=layer.eps, momentum=1 - layer.momentum)
        case GroupNorm():
            return nn.GroupNorm(layer.num_groups, layer.num_channels, eps=layer.eps)
        case MaxPool2D():
            pool = functools.partial(nn.MaxPool2d, layer.pool_size, layer.stride)
            return _padded(layer, layer.pool_size, shape, pool, filler=-torch.inf)
        case AveragePool2D(count_include_pad=True):
            pool = functools.partial(nn.AvgPool2d, layer.pool_size, layer.stride)
            return _padded(layer, layer.pool_size, shape, pool)
        case GlobalAveragePool2D():
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        case Dropout():
            return nn.Dropout(layer.rate)
        case Concatenate():
            return ConcatenateTwin(sequence_twin(layer.layers, shape))
        case Residual():
            main = sequence_twin(layer.main, shape)
            shortcut = sequence_twin(layer.shortcut or (), shape)
            if layer.activation is None:
                return ResidualTwin(main, shortcut, nn.Identity())
            inner_shape = shape
            for inner in layer.main:
                inner_shape = inner.output_shape(inner_shape)
            return ResidualTwin(main, shortcut, layer_twin(layer.activation, inner_shape))
    if type(layer) in _WITHOUT_ARGUMENTS:
        return _WITHOUT_ARGUMENTS[type(layer)]()
    raise ValueError(f"no PyTorch twin for {layer.name}")


def _padded(
    layer: Conv2D | MaxPool2D | AveragePool2D,
    window: tuple[int, int],
    shape: Shape,
    make: Callable[..., nn.Module],
    filler: float = 0.0,
) -> nn.Module:
    """`make(padding)`; behind a layer that pads where the two sides differ, as "same" may."""
    before = padding_before(shape, window, layer.stride, layer.padding)  # the window's extent
    if not isinstance(layer.padding, str) and before == tuple(
        end for _, end in sides(layer.padding)
    ):
        return make(before)
    rows, columns = layer.output_shape(shape)[2:]
    behind = [
        max((count - 1) * stride + size - length - start, 0)
        for count, stride, size, length, start in zip(
            (rows, columns), layer.stride, window, shape[2:], before, strict=True
        )
    ]
    if tuple(behind) == before:
        return make(before)
    (top, left), (bottom, right) = before, behind
    return nn.Sequential(nn.ConstantPad2d((left, right, top, bottom), filler), make(0))


def _with_weights(layer: Layer, twin: nn.Module) -> nn.Module:
    """The twin with the layer's weight and bias; a dense layer's weight is (in, out) here."""
    for name, array in layer.params.items():
        values = array.T if isinstance(layer, Dense) else array
        getattr(twin, name).data.copy_(torch.from_numpy(values))
    return twin


def main() -> None:
    name, count = sys.argv[1], int(sys.argv[2])
    model = build(name)
    assert model.input_shape is not None
    twin = sequence_twin(model.layers, (count, *model.input_shape))
    pickle.dump((twin, model.input_shape, models.preset(name)), sys.stdout.buffer)


if __name__ == "__main__":
    main()
