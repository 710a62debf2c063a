"""Our layers as PyTorch's modules, with what they have learned."""

import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ... import layers
from ...layers import Layer
from ...layers.window import padding_before, padding_behind, sides
from ...network.network import Network
from ..matching import Shape, slots_of
from .installed import SAME_NAME, pytorch


def _is_same(layer: Any) -> bool:
    """Whether PyTorch has its padding="same"."""
    return layer.stride == (1, 1) and isinstance(layer, (layers.Conv2D, layers.Conv1D))


def _even(layer: Any) -> Any:
    """A padding that PyTorch's windows take: the same at both ends."""
    if isinstance(layer.padding, str):
        if _is_same(layer):
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
    if getattr(layer, "padding", None) != "same" or _is_same(layer) or len(shape) != 4:
        return layer
    window = layer.kernel_size if isinstance(layer, layers.Conv2D) else layer.pool_size
    before = padding_before(shape, window, layer.stride, "same", layer.dilation)
    out = layer.output_shape(shape)[2:]
    behind = padding_behind(shape, out, window, layer.stride, before, layer.dilation)
    ends = [list(pair) for pair in zip(before, behind, strict=True)]
    return layers.from_spec({**layer.spec(), "padding": ends})


def _window(layer: Any, **more: Any) -> dict[str, Any]:
    given = {"kernel_size": layer.pool_size, "stride": layer.stride, "padding": _even(layer)}
    return given | {"ceil_mode": layer.ceil_mode} | more


def _along_series(given: dict[str, Any]) -> dict[str, Any]:
    """Of pairs, height and width, the width."""
    return {name: v[1] if isinstance(v, tuple) else v for name, v in given.items()}


def _average(layer: Any) -> dict[str, Any]:
    if layer.dilation != (1, 1):
        raise ValueError(f"{layer.name}: PyTorch has no dilation of average pools")
    return {"count_include_pad": layer.count_include_pad}


def _convolution(layer: Any) -> dict[str, Any]:
    return {
        "in_channels": layer.in_channels, "out_channels": layer.out_channels,
        "kernel_size": layer.kernel_size, "stride": layer.stride, "padding": _even(layer),
        "dilation": layer.dilation, "groups": layer.groups, "bias": layer.bias,
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


def _of_one(layer: Any) -> dict[str, Any]:
    return {"num_features": layer.num_channels, "eps": layer.eps, "affine": True}


# Name of a layer -> (torch.nn, layer) -> module.
_MODULES: dict[str, Callable[[Any, Any], Any]] = {
    "Conv2D": lambda nn, a: nn.Conv2d(**_convolution(a)),
    "Dense": lambda nn, a: nn.Linear(a.in_features, a.out_features, bias=a.bias),
    "Conv1D": lambda nn, a: nn.Conv1d(**_along_series(_convolution(a))),
    "ConvTranspose2D": lambda nn, a: nn.ConvTranspose2d(
        **_convolution(a), output_padding=a.output_padding
    ),
    "GroupNorm": lambda nn, a: nn.GroupNorm(a.num_groups, a.num_channels, a.eps),
    "LayerNorm": lambda nn, a: nn.GroupNorm(1, a.num_channels, a.eps),
    "MaxPool2D": lambda nn, a: nn.MaxPool2d(**_window(a, dilation=a.dilation)),
    "AveragePool2D": lambda nn, a: nn.AvgPool2d(**_window(a, **_average(a))),
    "MaxPool1D": lambda nn, a: nn.MaxPool1d(**_along_series(_window(a, dilation=a.dilation))),
    "AveragePool1D": lambda nn, a: nn.AvgPool1d(**_along_series(_window(a, **_average(a)))),
    "AdaptiveAveragePool2D": lambda nn, a: nn.AdaptiveAvgPool2d(a.output_size),
    "AdaptiveMaxPool2D": lambda nn, a: nn.AdaptiveMaxPool2d(a.output_size),
    "GlobalAveragePool2D": lambda nn, a: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "GlobalMaxPool2D": lambda nn, a: nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()),
    "GlobalAveragePool1D": lambda nn, a: nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten()),
    "GlobalMaxPool1D": lambda nn, a: nn.Sequential(nn.AdaptiveMaxPool1d(1), nn.Flatten()),
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
_MODULES |= {name: lambda nn, a, name=name: getattr(nn, name)() for name in SAME_NAME}


def to_torch(model: Network) -> Any:
    """A `torch.nn.Module` that computes what the model computes.

    A row of layers becomes a `torch.nn.Sequential`, a `Graph` a module with a `forward`. It has
    copies of all parameters and running statistics under the names that `load_state` knows, in
    evaluation mode; what is frozen has `requires_grad` False. Images go in as (N, C, H, W), as
    floats normalised like those that the model's first layer sees.

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
    torch = pytorch()
    if not model.is_row:
        return _wired(torch, model).eval()
    shape = None if model.input_shape is None else (1, *model.input_shape)
    if shape is not None and model.data_format == "channels_last" and len(shape) == 4:
        shape = (shape[0], shape[3], shape[1], shape[2])
    row = model.in_row("to_torch")
    return _row(torch, row, shape, frozenset(_of_vectors(row))).eval()


def _of_vectors(row: Sequence[Layer]) -> Iterator[int]:
    """The ids of norms that are given no images, where no shape is known but the layers tell.

    Vectors are what a dense layer takes and gives, or what was flattened, series what a `Conv1D`
    does, as long as the shape stays.
    """
    leaves = [leaf for layer in row for _, leaf in layer.leaves()]
    vector = False
    around = [False] * len(leaves)
    for place, leaf in enumerate(leaves):  # what comes from the layers before
        vector = isinstance(leaf, _TO_VECTORS) or (vector and _keeps_shape(leaf))
        around[place] = vector
    vector = False
    for place, leaf in reversed([*enumerate(leaves)]):  # what those behind need
        vector = isinstance(leaf, _FROM_VECTORS) or (vector and _keeps_shape(leaf))
        if isinstance(leaf, _NORMS) and (vector or around[place]):
            yield id(leaf)


_OF_SERIES = (layers.Conv1D, layers.MaxPool1D, layers.AveragePool1D)
_TO_VECTORS = (
    layers.Dense, layers.Flatten, layers.GlobalAveragePool2D, layers.GlobalMaxPool2D,
    layers.GlobalAveragePool1D, layers.GlobalMaxPool1D, *_OF_SERIES,
)  # fmt: skip
_NORMS = (layers.BatchNorm, layers.InstanceNorm)  # of which PyTorch has two kinds
_FROM_VECTORS = (
    layers.Dense, layers.GlobalAveragePool1D, layers.GlobalMaxPool1D, *_OF_SERIES
)  # fmt: skip


def _keeps_shape(layer: Layer) -> bool:
    is_norm = isinstance(layer, (layers.BatchNorm, layers.GroupNorm))
    return is_norm or type(layer).output_shape is Layer.output_shape


def _wired(torch: Any, model: Network) -> Any:
    """The layers of a graph, called as its calls say."""
    network = model.connections()
    places = {id(layer): place for place, layer in enumerate(model.layers)}
    calls = [(f"{places[id(layer)]}", sources) for layer, sources in network.calls]
    modules: dict[int, Any] = {}
    for _, layer, shape, _ in model.walk(None):
        made = _merge(torch, layer) if layer.takes_several else _module(torch, layer, shape)
        known = modules.setdefault(id(layer), made)
        if repr(known) != repr(made):
            raise ValueError(
                f"{layer.name}: to_torch needs one padding for all its calls, but padding='same' "
                f"is another for images of another size; give numbers"
            )

    # As a graph of PyTorch's own, which torch.fx, and so `from_torch`, can follow.
    graph, count = torch.fx.Graph(), len(network.inputs)
    values = [graph.placeholder(f"x{i}" if count > 1 else "x") for i in range(count)]
    for name, sources in calls:
        values.append(graph.call_module(name, tuple(values[source] for source in sources)))
    found = tuple(values[value] for value in network.outputs)
    graph.output(found[0] if len(found) == 1 else found)
    named = {f"{place}": modules[id(layer)] for place, layer in enumerate(model.layers)}
    return torch.fx.GraphModule(named, graph, "Wired")


def _merge(torch: Any, layer: Layer) -> Any:
    """What makes one tensor of several."""

    class Add(torch.nn.Module):
        """The sum."""

        def forward(self, *x: Any) -> Any:
            """PyTorch's name."""
            return functools.reduce(operator.add, x)

    class Multiply(torch.nn.Module):
        """The product."""

        def forward(self, *x: Any) -> Any:
            """PyTorch's name."""
            return functools.reduce(operator.mul, x)

    class Concat(torch.nn.Module):
        """Channels one behind the other."""

        def forward(self, *x: Any) -> Any:
            """PyTorch's name."""
            return torch.cat(x, dim=1)

    known = {layers.Add: Add, layers.Multiply: Multiply, layers.Concat: Concat}
    if type(layer) not in known:
        raise ValueError(f"{layer.name}: to_torch knows no module of PyTorch for it")
    return known[type(layer)]()


def _row(
    torch: Any, row: Sequence[Layer], shape: Shape | None, vectors: frozenset[int] = frozenset()
) -> Any:
    """Layers one after the other, for an input of a shape, if that is known.

    vectors : what `_of_vectors` found
    """
    modules = []
    for layer in row:
        modules.append(_module(torch, layer, shape, vectors))
        shape = None if shape is None else layer.output_shape(shape)
    return torch.nn.Sequential(*modules)


def _block(
    torch: Any,
    block: layers.Residual | layers.Concatenate,
    shape: Shape | None,
    vectors: frozenset[int],
) -> Any:
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
        return Concatenate(_row(torch, block.layers, shape, vectors))
    activation = [] if block.activation is None else [block.activation]
    ways = (block.main, block.shortcut or ())
    main, shortcut = (_row(torch, row, shape, vectors) for row in ways)
    return Residual(main, shortcut, _row(torch, activation, None, vectors))


def _module(
    torch: Any, layer: Layer, shape: Shape | None, vectors: frozenset[int] = frozenset()
) -> Any:
    if type(layer) in (layers.Residual, layers.Concatenate):
        return _block(torch, layer, shape, vectors)  # type: ignore[arg-type]
    kind = type(layer).__name__
    if isinstance(layer, _NORMS):
        flat = id(layer) in vectors if shape is None else len(shape) < 4
        given = _statistics(layer) if isinstance(layer, layers.BatchNorm) else _of_one(layer)
        kind = type(layer).__name__ + ("1d" if flat else "2d")
        module = getattr(torch.nn, kind)(**given)
    elif kind in _MODULES and type(layer) is getattr(layers, kind, None):
        module = _MODULES[kind](torch.nn, layer if shape is None else _in_numbers(layer, shape))
    else:
        raise ValueError(f"{layer.name}: to_torch knows no module of PyTorch for it")
    module = module.to(torch.float64 if layer.dtype == "float64" else torch.float32)
    for slot in slots_of(layer):
        values = torch.from_numpy((slot.array.T if slot.turned else slot.array).copy())
        getattr(module, slot.theirs).data.copy_(values)
    return module.requires_grad_(layer.trainable)
