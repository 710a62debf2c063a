"""Layers as PyTorch's modules and back, with what they have learned."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .. import layers
from ..layers import Layer
from ..layers.window import padding_before, sides
from ..network.network import Network
from ..sequential import Sequential
from .matching import Shape, fill, slots_of

# --- from ours ------------------------------------------------------------------------------------


def _even(layer: Any) -> Any:
    """A padding that PyTorch's windows take: the same at both ends."""
    if isinstance(layer.padding, str):
        if layer.stride == (1, 1) and isinstance(layer, layers.Conv2D):
            return "same"
        raise ValueError(
            f"{layer.name}: PyTorch has no padding='same' with a stride or of pools; give numbers, "
            f"or the model an input_shape"
        )
    (top, bottom), (left, right) = sides(layer.padding)
    if (top, left) != (bottom, right):
        raise ValueError(f"{layer.name}: PyTorch has no uneven padding here; put a Pad before it")
    return (top, left)


def _in_numbers(layer: Any, shape: Shape) -> Any:
    """The layer, or one whose padding is the numbers that "same" is for images of a shape."""
    even = isinstance(layer, layers.Conv2D) and layer.stride == (1, 1)
    if getattr(layer, "padding", None) != "same" or even or len(shape) != 4:
        return layer
    spec, ends = layer.spec(), []
    window = layer.kernel_size if isinstance(layer, layers.Conv2D) else layer.pool_size
    if getattr(layer, "dilation", (1, 1)) != (1, 1):
        return layer
    start = padding_before(shape, window, layer.stride, "same")
    for axis, out in enumerate(layer.output_shape(shape)[2:]):
        total = max((out - 1) * layer.stride[axis] + window[axis] - shape[2 + axis], 0)
        ends.append([start[axis], total - start[axis]])
    return layers.from_spec({**spec, "padding": ends})


def _window(layer: Any, **more: Any) -> dict[str, Any]:
    given = {"kernel_size": layer.pool_size, "stride": layer.stride, "padding": _even(layer)}
    return given | {"ceil_mode": layer.ceil_mode} | more


def _line(layer: Any, **more: Any) -> dict[str, Any]:
    given = _window(layer)
    return {
        name: value[1] if isinstance(value, tuple) else value for name, value in given.items()
    } | more


def _average(layer: Any) -> dict[str, Any]:
    if layer.dilation != (1, 1):
        raise ValueError(f"{layer.name}: PyTorch has no dilation of average pools")
    return {"count_include_pad": layer.count_include_pad}


def _convolution(layer: Any) -> dict[str, Any]:
    return {
        "in_channels": layer.in_channels, "out_channels": layer.out_channels,
        "kernel_size": layer.kernel_size, "stride": layer.stride, "padding": _even(layer),
        "dilation": getattr(layer, "dilation", 1), "groups": getattr(layer, "groups", 1),
        "bias": layer.bias,
    }  # fmt: skip


def _padding(layer: Any) -> tuple[int, ...]:
    (top, bottom), (left, right) = sides(layer.padding)
    return left, right, top, bottom


def _pad(nn: Any, layer: Any) -> Any:
    ends = _padding(layer)
    if layer.mode in ("zeros", "constant"):
        return nn.ConstantPad2d(ends, layer.value)
    return nn.ReflectionPad2d(ends) if layer.mode == "reflect" else nn.ReplicationPad2d(ends)


def _statistics(layer: Any) -> dict[str, Any]:
    return {"num_features": layer.num_features, "momentum": 1 - layer.momentum, "eps": layer.eps}


# Name of a layer -> (torch.nn, layer) -> module.
_MODULES: dict[str, Callable[[Any, Any], Any]] = {
    "Conv2D": lambda nn, a: nn.Conv2d(**_convolution(a)),
    "Dense": lambda nn, a: nn.Linear(a.in_features, a.out_features, bias=a.bias),
    "GroupNorm": lambda nn, a: nn.GroupNorm(a.num_groups, a.num_channels, a.eps),
    "LayerNorm": lambda nn, a: nn.GroupNorm(1, a.num_channels, a.eps),
    "InstanceNorm": lambda nn, a: nn.InstanceNorm2d(a.num_channels, a.eps, affine=True),
    "MaxPool2D": lambda nn, a: nn.MaxPool2d(**_window(a, dilation=a.dilation)),
    "AveragePool2D": lambda nn, a: nn.AvgPool2d(**_window(a, **_average(a))),
    "MaxPool1D": lambda nn, a: nn.MaxPool1d(**_line(a, dilation=a.dilation[1])),
    "AveragePool1D": lambda nn, a: nn.AvgPool1d(**_line(a, **_average(a))),
    "AdaptiveAveragePool2D": lambda nn, a: nn.AdaptiveAvgPool2d(a.output_size),
    "AdaptiveMaxPool2D": lambda nn, a: nn.AdaptiveMaxPool2d(a.output_size),
    "GlobalAveragePool2D": lambda nn, a: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "GlobalMaxPool2D": lambda nn, a: nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()),
    "Flatten": lambda nn, a: nn.Flatten(),
    "Reshape": lambda nn, a: nn.Sequential(nn.Flatten(), nn.Unflatten(1, a.shape)),
    "PixelShuffle": lambda nn, a: nn.PixelShuffle(a.upscale_factor),
    "Pad": _pad,
    "Upsample": lambda nn, a: nn.Upsample(
        size=a.size, scale_factor=a.scale_factor, mode=a.mode,
        align_corners=a.align_corners if a.mode == "bilinear" else None,
    ),
    "Dropout": lambda nn, a: nn.Dropout(a.rate),
    "SpatialDropout": lambda nn, a: nn.Dropout2d(a.rate),
    "PReLU": lambda nn, a: nn.PReLU(a.num_parameters),
    "LeakyReLU": lambda nn, a: nn.LeakyReLU(a.alpha),
    "ELU": lambda nn, a: nn.ELU(a.alpha),
    "GELU": lambda nn, a: nn.GELU(a.approximate),
    "Softplus": lambda nn, a: nn.Softplus(a.beta),
    "Softmax": lambda nn, a: nn.Softmax(a.axis),
    "LogSoftmax": lambda nn, a: nn.LogSoftmax(a.axis),
}  # fmt: skip
_SAME_NAME = (
    "ReLU",
    "ReLU6",
    "SELU",
    "SiLU",
    "Mish",
    "Hardswish",
    "Hardsigmoid",
    "Sigmoid",
    "Tanh",
)
_MODULES |= {name: lambda nn, a, name=name: getattr(nn, name)() for name in _SAME_NAME}


def to_torch(model: Network) -> Any:
    """A `torch.nn.Sequential` that computes what the model computes.

    It has copies of all parameters and running statistics, in evaluation mode. Images go in as
    (N, C, H, W), as floats normalised like those that the model's first layer sees.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    ValueError
        If a layer has no counterpart; names the layer.

    Examples
    --------
    >>> from fastcnn import Sequential
    >>> from fastcnn.layers import Dense, ReLU
    >>> to_torch(Sequential(Dense(4, 2), ReLU()))
    Sequential(
      (0): Linear(in_features=4, out_features=2, bias=True)
      (1): ReLU()
    )
    """
    torch = _torch()
    shape = None if model.input_shape is None else (1, *model.input_shape)
    if shape is not None and model.data_format == "channels_last" and len(shape) == 4:
        shape = (shape[0], shape[3], shape[1], shape[2])
    return _row(torch, model.in_row("to_torch"), shape).eval()


def _row(torch: Any, row: Sequence[Layer], shape: Shape | None) -> Any:
    """Layers one after the other, for an input of a shape, if that is known."""
    modules = []
    for layer in row:
        modules.append(_module(torch, layer, shape))
        shape = None if shape is None else layer.output_shape(shape)
    return torch.nn.Sequential(*modules)


def _block(torch: Any, block: layers.Residual | layers.Concatenate, shape: Shape | None) -> Any:
    """A block with two ways through it."""

    class Residual(torch.nn.Module):
        """y = activation(main(x) + shortcut(x))."""

        def __init__(self, main: Any, shortcut: Any, activation: Any) -> None:
            super().__init__()
            self.main, self.shortcut, self.activation = main, shortcut, activation

        def forward(self, x: Any) -> Any:
            """PyTorch's name."""
            return self.activation(self.main(x) + self.shortcut(x))

    class Concatenate(torch.nn.Module):
        """y = x, and layers(x) behind it."""

        def __init__(self, layers: Any) -> None:
            super().__init__()
            self.layers = layers

        def forward(self, x: Any) -> Any:
            """PyTorch's name."""
            return torch.cat([x, self.layers(x)], dim=1)

    if isinstance(block, layers.Concatenate):
        return Concatenate(_row(torch, block.layers, shape))
    activation = [] if block.activation is None else [block.activation]
    main, shortcut = (_row(torch, row, shape) for row in (block.main, block.shortcut or ()))
    return Residual(main, shortcut, _row(torch, activation, None))


def _module(torch: Any, layer: Layer, shape: Shape | None) -> Any:
    if type(layer) in (layers.Residual, layers.Concatenate):
        return _block(torch, layer, shape)  # type: ignore[arg-type]
    kind = type(layer).__name__
    if isinstance(layer, layers.BatchNorm):
        flat = shape is not None and len(shape) == 2
        make = torch.nn.BatchNorm1d if flat else torch.nn.BatchNorm2d
        module = make(**_statistics(layer))
    elif kind in _MODULES and type(layer) is getattr(layers, kind, None):
        module = _MODULES[kind](torch.nn, layer if shape is None else _in_numbers(layer, shape))
    else:
        raise ValueError(f"{layer.name}: to_torch knows no module of PyTorch for it")
    module = module.to(torch.float64 if layer.dtype == "float64" else torch.float32)
    for slot in slots_of(layer):
        values = torch.from_numpy((slot.array.T if slot.turned else slot.array).copy())
        getattr(module, slot.theirs).data.copy_(values)
    return module


# --- from PyTorch's -------------------------------------------------------------------------------


def _pads(value: Any) -> Any:
    """(left, right, top, bottom) as ((top, bottom), (left, right))."""
    left, right, top, bottom = value
    return (top, bottom), (left, right)


def _only(module: Any, **wanted: Any) -> None:
    """Raise unless the module's attributes are these: what else there is, is not offered here."""
    for name, value in wanted.items():
        if getattr(module, name) != value:
            raise ValueError(
                f"{module}: {name}={getattr(module, name)!r} has no counterpart, only {value!r}"
            )


def _from_convolution(m: Any) -> Layer:
    _only(m, padding_mode="zeros")
    given = {"dilation": m.dilation, "groups": m.groups}
    plain = {"dilation": (1, 1), "groups": 1}
    more = {name: value for name, value in given.items() if value != plain[name]}
    return layers.Conv2D(
        m.in_channels,
        m.out_channels,
        m.kernel_size,
        m.stride,
        m.padding,
        m.bias is not None,
        **more,
    )


def _from_batch_norm(m: Any) -> Layer:
    _only(m, affine=True, track_running_stats=True)
    return layers.BatchNorm(m.num_features, 1 - (0.1 if m.momentum is None else m.momentum), m.eps)


def _from_average(m: Any) -> Layer:
    _only(m, divisor_override=None)
    return layers.AveragePool2D(
        m.kernel_size, m.stride, m.padding, m.count_include_pad, m.ceil_mode
    )


def _from_average_of_series(m: Any) -> Layer:
    size, stride, padding = (each[0] for each in (m.kernel_size, m.stride, m.padding))
    return layers.AveragePool1D(size, stride, padding, m.count_include_pad, m.ceil_mode)


def _from_flatten(m: Any) -> Layer:
    _only(m, start_dim=1, end_dim=-1)
    return layers.Flatten()


def _from_unflatten(m: Any) -> Layer:
    _only(m, dim=1)
    return layers.Reshape(tuple(m.unflattened_size))


# Name of a module -> what makes our layer of it.
_LAYERS: dict[str, Callable[[Any], Layer]] = {
    "Conv2d": _from_convolution,
    "Linear": lambda m: layers.Dense(m.in_features, m.out_features, m.bias is not None),
    "BatchNorm1d": _from_batch_norm,
    "BatchNorm2d": _from_batch_norm,
    "GroupNorm": lambda m: layers.GroupNorm(m.num_groups, m.num_channels, m.eps),
    "InstanceNorm2d": lambda m: layers.InstanceNorm(m.num_features, m.eps),
    "MaxPool2d": lambda m: layers.MaxPool2D(
        m.kernel_size, m.stride, m.padding, m.dilation, m.ceil_mode
    ),
    "AvgPool2d": _from_average,
    "MaxPool1d": lambda m: layers.MaxPool1D(
        m.kernel_size, m.stride, m.padding, m.dilation, m.ceil_mode
    ),
    "AvgPool1d": _from_average_of_series,
    "AdaptiveAvgPool2d": lambda m: layers.AdaptiveAveragePool2D(m.output_size),
    "AdaptiveMaxPool2d": lambda m: layers.AdaptiveMaxPool2D(m.output_size),
    "Flatten": _from_flatten,
    "Unflatten": _from_unflatten,
    "PixelShuffle": lambda m: layers.PixelShuffle(m.upscale_factor),
    "ZeroPad2d": lambda m: layers.Pad(_pads(m.padding)),
    "ConstantPad2d": lambda m: layers.Pad(_pads(m.padding), "constant", m.value),
    "ReflectionPad2d": lambda m: layers.Pad(_pads(m.padding), "reflect"),
    "ReplicationPad2d": lambda m: layers.Pad(_pads(m.padding), "replicate"),
    "Upsample": lambda m: layers.Upsample(
        _whole(m.scale_factor), m.size, m.mode, bool(m.align_corners)
    ),
    "Dropout": lambda m: layers.Dropout(m.p),
    "Dropout2d": lambda m: layers.SpatialDropout(m.p),
    "PReLU": lambda m: layers.PReLU(m.num_parameters),
    "LeakyReLU": lambda m: layers.LeakyReLU(m.negative_slope),
    "ELU": lambda m: layers.ELU(m.alpha),
    "GELU": lambda m: layers.GELU(m.approximate),
    "Softplus": lambda m: layers.Softplus(m.beta),
    "Softmax": lambda m: layers.Softmax(1 if m.dim is None else m.dim),
    "LogSoftmax": lambda m: layers.LogSoftmax(1 if m.dim is None else m.dim),
}
_LAYERS |= {name: lambda m, name=name: getattr(layers, name)() for name in _SAME_NAME}


def _whole(factor: Any) -> Any:
    """Scale factors, which PyTorch keeps as floats, as whole numbers where they are."""
    if isinstance(factor, (tuple, list)):
        return tuple(map(_whole, factor))
    return int(factor) if isinstance(factor, float) and factor.is_integer() else factor


def from_torch(module: Any) -> Sequential:
    """The model that computes what a `torch.nn.Sequential` computes; it can be trained on.

    A Sequential inside it is taken apart, and Identity is left out. Parameters and running
    statistics are copied. PyTorch divides a variance that it keeps by the count less one.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    ValueError
        If a module has no counterpart; names it.

    Examples
    --------
    >>> import torch
    >>> from_torch(torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.ReLU())).layers
    (Dense(4, 2), ReLU())
    """
    torch = _torch()
    modules = list(_flat(torch, module))
    model = Sequential(*(_layer(each) for each in modules))
    for layer, each in zip(model.layers, modules, strict=True):
        for slot in slots_of(layer):
            values = getattr(each, slot.theirs)
            if values is not None:  # an InstanceNorm without a scale has ours at 1
                fill(slot, values.detach().cpu().numpy())
    return model


def _flat(torch: Any, module: Any) -> Iterator[Any]:
    if isinstance(module, torch.nn.Sequential):
        for child in module:
            yield from _flat(torch, child)
    elif not isinstance(module, torch.nn.Identity):
        yield module


def _layer(module: Any) -> Layer:
    kind = type(module).__name__
    if kind not in _LAYERS or not type(module).__module__.startswith("torch.nn."):
        raise ValueError(
            f"from_torch knows no layer for {kind}; known are nn.Sequential of {', '.join(_LAYERS)}"
        )
    return _LAYERS[kind](module)


def _torch() -> Any:
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ImportError("this needs PyTorch: pip install torch") from None
    return torch
