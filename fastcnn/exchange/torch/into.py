"""PyTorch's modules as our layers, with what they have learned."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ... import layers
from ...graph import Graph
from ...layers import Layer
from ...sequential import Sequential
from ..matching import as_array, fill, slots_of
from . import checks
from .functions import OF_IMAGES
from .installed import SAME_NAME, is_of_pytorch, pytorch
from .traced import symbols_of


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
    geometry: dict[str, Any] = {
        "kernel_size": m.kernel_size, "stride": m.stride, "padding": m.padding,
        "dilation": m.dilation,
    }  # fmt: skip
    kind = {"Conv2d": layers.Conv2D, "ConvTranspose2d": layers.ConvTranspose2D}.get(
        type(m).__name__, layers.Conv1D
    )
    if kind is layers.Conv1D:
        geometry = {name: v if isinstance(v, str) else v[0] for name, v in geometry.items()}
    if kind is layers.ConvTranspose2D:
        geometry["output_padding"] = m.output_padding
    return kind(m.in_channels, m.out_channels, bias=m.bias is not None, groups=m.groups, **geometry)


def _from_batch_norm(m: Any) -> Layer:
    _only(m, affine=True, track_running_stats=True)
    if m.momentum is None:
        raise ValueError(
            f"{m}: momentum=None, the mean of all batches, has no counterpart; set it to 0.1"
        )
    return layers.BatchNorm(m.num_features, 1 - m.momentum, m.eps)


def _from_average(m: Any) -> Layer:
    _only(m, divisor_override=None)
    return layers.AveragePool2D(
        m.kernel_size, m.stride, m.padding, m.count_include_pad, m.ceil_mode
    )


def _from_average_of_series(m: Any) -> Layer:
    size, stride, padding = (each[0] for each in (m.kernel_size, m.stride, m.padding))
    return layers.AveragePool1D(size, stride, padding, m.count_include_pad, m.ceil_mode)


def _from_instance_norm(m: Any) -> Layer:
    _only(m, track_running_stats=False)
    return layers.InstanceNorm(m.num_features, m.eps)


def _from_softmax(kind: Callable[[int], Layer]) -> Callable[[Any], Layer]:
    def make(m: Any) -> Layer:
        if m.dim is None:
            raise ValueError(f"{m}: dim=None is another axis for series; give dim=1")
        return kind(m.dim)

    return make


def _from_softplus(m: Any) -> Layer:
    _only(m, threshold=20)
    return layers.Softplus(m.beta)


def _from_flatten(m: Any) -> Layer:
    _only(m, start_dim=1, end_dim=-1)
    return layers.Flatten()


def _from_unflatten(m: Any) -> Layer:
    _only(m, dim=1)
    return layers.Reshape(tuple(m.unflattened_size))


def _from_layer_norm(m: Any) -> Layer:
    if len(m.normalized_shape) > 1:
        raise ValueError(f"{m}: a scale for each pixel has no counterpart; nn.GroupNorm(1, C) has")
    return layers.LayerNorm(m.normalized_shape[0], m.eps)


def _from_hardtanh(m: Any) -> Layer:
    _only(m, min_val=0, max_val=6)
    return layers.ReLU6()


def _of_one_row(m: Any, mode: str, value: float = 0.0) -> Layer:
    return layers.Pad(((0, 0), tuple(m.padding)), mode, value)


# Name of a module -> what makes our layer of it.
_LAYERS: dict[str, Callable[[Any], Layer]] = {
    "Conv1d": _from_convolution,
    "Conv2d": _from_convolution,
    "ConvTranspose2d": _from_convolution,
    "Linear": lambda m: layers.Dense(m.in_features, m.out_features, m.bias is not None),
    "BatchNorm1d": _from_batch_norm,
    "BatchNorm2d": _from_batch_norm,
    "GroupNorm": lambda m: layers.GroupNorm(m.num_groups, m.num_channels, m.eps),
    "InstanceNorm1d": _from_instance_norm,
    "InstanceNorm2d": _from_instance_norm,
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
    "AdaptiveAvgPool1d": lambda m: layers.AdaptiveAveragePool2D((1, _one(m.output_size))),
    "AdaptiveMaxPool1d": lambda m: layers.AdaptiveMaxPool2D((1, _one(m.output_size))),
    "LayerNorm": _from_layer_norm,
    "Flatten": _from_flatten,
    "Unflatten": _from_unflatten,
    "PixelShuffle": lambda m: layers.PixelShuffle(m.upscale_factor),
    "ZeroPad2d": lambda m: layers.Pad(_pads(m.padding)),
    "ConstantPad2d": lambda m: layers.Pad(_pads(m.padding), "constant", m.value),
    "ReflectionPad2d": lambda m: layers.Pad(_pads(m.padding), "reflect"),
    "ReplicationPad2d": lambda m: layers.Pad(_pads(m.padding), "replicate"),
    "ZeroPad1d": lambda m: _of_one_row(m, "zeros"),
    "ConstantPad1d": lambda m: _of_one_row(m, "constant", m.value),
    "ReflectionPad1d": lambda m: _of_one_row(m, "reflect"),
    "ReplicationPad1d": lambda m: _of_one_row(m, "replicate"),
    "Upsample": lambda m: layers.Upsample(
        _whole(m.scale_factor), m.size, m.mode, bool(m.align_corners)
    ),
    "Dropout": lambda m: layers.Dropout(m.p),
    "Dropout2d": lambda m: layers.SpatialDropout(m.p),
    "PReLU": lambda m: layers.PReLU(m.num_parameters),
    "Hardtanh": _from_hardtanh,
    "LeakyReLU": lambda m: layers.LeakyReLU(m.negative_slope),
    "ELU": lambda m: layers.ELU(m.alpha),
    "GELU": lambda m: layers.GELU(m.approximate),
    "Softplus": _from_softplus,
    "Softmax": _from_softmax(layers.Softmax),
    "LogSoftmax": _from_softmax(layers.LogSoftmax),
}
_LAYERS |= {name: lambda m, name=name: getattr(layers, name)() for name in SAME_NAME}


def _one(size: Any) -> Any:
    return size[0] if isinstance(size, (tuple, list)) else size


def _whole(factor: Any) -> Any:
    """Scale factors, which PyTorch keeps as floats, as whole numbers where they are."""
    if isinstance(factor, (tuple, list)):
        return tuple(map(_whole, factor))
    return int(factor) if isinstance(factor, float) and factor.is_integer() else factor


def from_torch(
    module: Any,
    input_shape: Any = None,
    *,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> Sequential | Graph:
    """The model that computes what a `torch.nn.Module` computes; it can be trained on.

    A `torch.nn.Sequential` is taken apart, and Identity is left out. A module of one's own is
    followed by torch.fx, which runs its `forward` with symbols: a `Graph`, or a `Sequential` if
    nothing branches. A module that is called twice is shared. Parameters and running statistics
    are copied. PyTorch divides a variance that it keeps by the count less one. A layer whose
    parameters are all frozen (`requires_grad`) is frozen here, a BatchNorm with its statistics.

    Parameters
    ----------
    module : torch.nn.Module
        What is taken over.
    input_shape : sequence of int, or of shapes, optional
        Shape of one sample, such as (3, 32, 32); a shape for each input, if there are several.
        Needed for a module of one's own.
    input_names, output_names : sequence of str, optional
        What inputs and outputs are called, in the order in which `forward` takes and gives them:
        the result is then a `Graph`. Without them several inputs are called as the arguments of
        `forward`, and outputs as the keys of a dict, if that is what it gives.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    ValueError
        If a module or function has no counterpart, which is named; if modules share parameters; if
        names are not as many as there are inputs or outputs, or are no words.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> row = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.ReLU())
    >>> from_torch(row).layers
    (Dense(4, 2), ReLU())
    >>> named = from_torch(row, (4,), input_names=["features"])
    >>> named.forward({"features": np.ones((1, 4), np.float32)}).shape
    (1, 2)
    """
    torch = pytorch()
    if not isinstance(module, torch.nn.Module):
        raise ValueError(f"from_torch takes a torch.nn.Module, got {type(module).__name__}")
    checks.refuse_hooks(module)
    checks.refuse_tied(module)
    checks.refuse_mixed(module)
    if input_shape is not None and (not isinstance(input_shape, (tuple, list)) or not input_shape):
        raise ValueError(f"from_torch: input_shape must be as (3, 32, 32), got {input_shape!r}")
    modules = list(_flat(torch, module))
    if not modules:
        raise ValueError(f"from_torch: {type(module).__name__} has no layers")
    with_weights = [each for each in modules if next(each.parameters(), None) is not None]
    is_shared = len(set(map(id, with_weights))) < len(with_weights)
    names = input_names, output_names
    is_named = names != (None, None)
    if is_named and input_shape is None:
        raise ValueError(
            "from_torch: a network with names is followed with symbols: give a sample's shape, "
            "such as input_shape=(3, 32, 32)"
        )
    kinds = {type(each).__name__ for each in modules}
    is_open = any(
        -1 in getattr(each, "unflattened_size", ()) and type(before).__name__ != "Flatten"
        for before, each in zip([None, *modules], modules, strict=False)
    )
    by_shape = is_open or kinds & _BY_SHAPE
    if is_named or is_shared or by_shape or any(not is_of_pytorch(each) for each in modules):
        if input_shape is None:
            raise ValueError(
                f"from_torch: {type(module).__name__} is or has a module of one's own, one that is "
                f"called twice, or one whose layer depends on what it is given, which is followed "
                f"with symbols: give a sample's shape, such as input_shape=(3, 32, 32)"
            )
        return _followed(torch, module, input_shape, *names)
    made = [(_layer(each), each) for each in modules]
    _fill(made)
    return Sequential(*(layer for layer, _ in made), input_shape=input_shape)


def _followed(
    torch: Any, module: Any, input_shape: Any, names_in: Any, names_out: Any
) -> Sequential | Graph:
    several = isinstance(input_shape[0], (tuple, list))
    shapes = [tuple(shape) for shape in (input_shape if several else [input_shape])]
    inputs, output, made = symbols_of(torch, module, shapes, _layer)
    _fill(made.values())
    graph = Graph(_called("input", inputs, names_in), _called("output", output, names_out))
    if not graph.is_row or (names_in, names_out) != (None, None):
        return graph
    return Sequential(*graph.layers, input_shape=shapes[0])


def _called(what: str, symbols: Any, names: Any) -> Any:
    """Inputs or outputs by the names that are asked for."""
    if names is None:
        return symbols
    several = list(symbols.values()) if isinstance(symbols, Mapping) else symbols
    several = several if isinstance(several, (tuple, list)) else [several]
    is_list = isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names)
    if not is_list or not len(set(names)) == len(names) == len(several):
        raise ValueError(
            f"from_torch: {what}_names must be a list of {len(several)} different words, as there "
            f"are so many {what}s, got {names!r}"
        )
    return dict(zip(names, several, strict=True))


def _fill(made: Iterable[tuple[Layer, Any]]) -> None:
    """Copy what modules have learned into the layers that were made of them, and what is frozen."""
    for layer, module in made:
        for slot in slots_of(layer):
            values = getattr(module, slot.theirs)
            if values is not None:  # a norm without a scale has ours at 1, frozen
                fill(slot, as_array(values))
        learns = [each.requires_grad for each in module.parameters()]
        missing = [slot.theirs for slot in slots_of(layer) if getattr(module, slot.theirs) is None]
        if missing and any(learns):
            raise ValueError(
                f"from_torch, {module}: it has no {missing[0]}, which the layer here would learn; "
                f"give it one, or freeze what it has by requires_grad"
            )
        if any(learns) and not all(learns):
            raise ValueError(
                f"from_torch, {module}: some of its parameters are frozen, and a layer is frozen "
                f"here as a whole; set requires_grad of all of them alike"
            )
        if layer.params:
            layer.trainable = any(learns)


# Modules of which the shape that they are given says what becomes of them.
_BY_SHAPE = {"LayerNorm", "ChannelShuffle", *OF_IMAGES} - {
    "ConstantPad2d", "ReflectionPad2d", "ReplicationPad2d",
}  # fmt: skip
_INSTEAD = {
    "LocalResponseNorm": "nn.BatchNorm2d",
    "AlphaDropout": "nn.Dropout",
    "CELU": "nn.ELU",
    "Softsign": "nn.Tanh",
    "ConvTranspose1d": "nn.ConvTranspose2d of one row",
    "LSTM": "convolutions, as there are no recurrent layers",
    "GRU": "convolutions, as there are no recurrent layers",
    "MultiheadAttention": "convolutions",
    "Embedding": "nn.Linear of one-hot rows",
    "Softmax2d": "nn.Softmax(1)",
}


def _flat(torch: Any, module: Any) -> Iterator[Any]:
    # One with a `forward` of its own is no row.
    if getattr(type(module), "forward", None) is torch.nn.Sequential.forward:
        for child in module:
            yield from _flat(torch, child)
    elif type(module) is not torch.nn.Identity:
        yield module


def _layer(module: Any) -> Layer:
    kind = type(module).__name__
    if getattr(module, "return_indices", False):
        raise ValueError(f"{module}: return_indices has no counterpart")
    if kind not in _LAYERS or not is_of_pytorch(module):
        if kind in _INSTEAD and is_of_pytorch(module):
            raise ValueError(f"from_torch knows no layer for {kind}; put {_INSTEAD[kind]} there")
        raise ValueError(
            f"from_torch knows no layer for {kind}; known are nn.Sequential of {', '.join(_LAYERS)}"
        )
    return _LAYERS[kind](module)
