"""A module's `forward`, followed by torch.fx, as calls of our layers on symbols."""

import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...graph import by_names
from ...layers import Add, Concat, Flatten, Input, Layer, Multiply, Reshape
from ...layers.symbols import Symbol
from .installed import SAME_NAME

Make = Callable[[Any], Layer]

_WINDOW = ("kernel_size", "stride", "padding")
# Function of torch.nn.functional -> the module that does the same, and the function's arguments
# after the input. What the module does not take, the function must have been called without.
_FUNCTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "max_pool2d": ("MaxPool2d", (*_WINDOW, "dilation", "ceil_mode", "return_indices")),
    "max_pool1d": ("MaxPool1d", (*_WINDOW, "dilation", "ceil_mode", "return_indices")),
    "avg_pool2d": (
        "AvgPool2d", (*_WINDOW, "ceil_mode", "count_include_pad", "divisor_override")
    ),
    "avg_pool1d": ("AvgPool1d", (*_WINDOW, "ceil_mode", "count_include_pad")),
    "adaptive_avg_pool2d": ("AdaptiveAvgPool2d", ("output_size",)),
    "adaptive_max_pool2d": ("AdaptiveMaxPool2d", ("output_size", "return_indices")),
    "interpolate": ("Upsample", (
        "size", "scale_factor", "mode", "align_corners", "recompute_scale_factor", "antialias",
    )),
    "pixel_shuffle": ("PixelShuffle", ("upscale_factor",)),
    "leaky_relu": ("LeakyReLU", ("negative_slope", "inplace")),
    "elu": ("ELU", ("alpha", "inplace")),
    "gelu": ("GELU", ("approximate",)),
    "softplus": ("Softplus", ("beta", "threshold")),
    "softmax": ("Softmax", ("dim", "_stacklevel", "dtype")),
    "log_softmax": ("LogSoftmax", ("dim", "_stacklevel", "dtype")),
    **{name.lower(): (name, ("inplace",)) for name in SAME_NAME},
}  # fmt: skip
_HARMLESS = ("inplace", "_stacklevel")
_AS_IT_IS = ("contiguous", "clone")
_ALSO_CALLED = {"axis": "dim", "keepdims": "keepdim"}  # as NumPy calls them
_MERGED: dict[str, type[Layer]] = {"add": Add, "iadd": Add, "mul": Multiply, "imul": Multiply}
_PADS = {"constant": "ConstantPad2d", "reflect": "ReflectionPad2d", "replicate": "ReplicationPad2d"}


class _Batch:
    """How many samples there are, which nobody knows yet."""

    def __repr__(self) -> str:
        return "the batch's size"


_BATCH = _Batch()


def symbols_of(
    torch: Any, module: Any, shapes: Sequence[tuple[int, ...]], make: Make
) -> tuple[Any, Any, dict[int, tuple[Layer, Any]]]:
    """What a module does with symbols.

    Parameters
    ----------
    shapes : sequence of shape
        Of a sample, for each input.
    make : function
        Module of PyTorch -> layer.

    Returns
    -------
    inputs, output
        Symbols: one, a sequence, or a dict by names. Several inputs are called as `forward` calls
        its arguments, outputs as the keys of the dict that it gives.
    made : dict
        Identity of a module -> the layer made of it, and the module.

    Raises
    ------
    ValueError
        If torch.fx cannot follow the module, or something in it has no counterpart; names it.
    """
    try:
        graph = torch.fx.Tracer().trace(module)
    except Exception as error:
        raise ValueError(
            f"from_torch: torch.fx cannot follow {type(module).__name__}: {error}"
        ) from None
    starts = [node for node in graph.nodes if node.op == "placeholder"]
    names = [node.name for node in starts]
    if len(names) != len(shapes):
        raise ValueError(
            f"from_torch: {type(module).__name__} takes {len(names)} inputs ({', '.join(names)}), "
            f"so input_shape must be as many shapes, got {len(shapes)}"
        )
    follower = _Follower(torch, module, make)
    inputs = [Input(shape) for shape in shapes]
    memory = _Memory(dict(zip(names, inputs, strict=True)))
    for node in graph.nodes:
        if node.op == "placeholder":
            continue
        arguments, options = torch.fx.node.map_arg(
            (node.args, node.kwargs), lambda other: memory.read(other.name)
        )
        if node.op == "output":
            called = [node.target for node in starts]
            named_in = by_names("input", called, inputs) if len(inputs) > 1 else inputs
            return named_in, _outputs(module, arguments[0]), follower.made
        try:
            value = follower.run(node.op, node.target, arguments, options)
            first = next(iter(node.all_input_nodes), None)
            is_in_place = follower.is_in_place(node.op, node.target, arguments, options)
            is_copy = (
                node.op != "call_module"
                and getattr(node.target, "__name__", node.target) == "clone"
            )
            given = first.name if first and not is_copy else None
            memory.write(node.name, value, given, is_in_place)
        except (TypeError, ValueError, LookupError) as error:
            raise ValueError(f"from_torch, {_place(torch, node)}: {error}") from None
    raise ValueError(f"from_torch: {type(module).__name__} gives nothing")


class _Memory:
    """What each node gave, and which nodes are one tensor, which an in-place function changes.

    Attributes
    ----------
    owners : dict
        By node: the first one whose numbers it may share.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values
        self.owners = {name: name for name in values}
        self._lost: set[str] = set()

    def read(self, name: str) -> Any:
        """What a node is now."""
        if name in self._lost:
            raise ValueError(
                f"from_torch: {name} is used after a view of it was changed in place, which has no "
                f"counterpart; leave inplace=True, += or *= out"
            )
        return self._values[name]

    def write(self, name: str, value: Any, first: str | None, is_in_place: bool) -> None:
        """Keep what a node gave, of its first tensor."""
        before = None if first is None else self._values[first]
        is_view = False
        if isinstance(value, Symbol) and isinstance(before, Symbol):
            is_view = is_in_place or value is before or _is_view_of(value, before)
        owner = self.owners[first] if first is not None and is_view else name
        if is_in_place and is_view:
            for other in [each for each, whose in self.owners.items() if whose == owner]:
                if self._values[other] is before:
                    self._values[other] = value
                else:
                    self._lost.add(other)
        self._values[name], self.owners[name] = value, owner


def _is_view_of(value: Symbol, before: Symbol) -> bool:
    while isinstance(value.layer, (Flatten, Reshape)):
        value = value.sources[0]
        if value is before:
            return True
    return False


def _outputs(module: Any, found: Any) -> Any:
    is_dict = isinstance(found, Mapping)
    several = list(found.values()) if is_dict else found
    several = several if isinstance(several, (tuple, list)) else [several]
    if not several or not all(isinstance(each, Symbol) for each in several):
        raise ValueError(
            f"from_torch: {type(module).__name__} must give a tensor, or several in a row or a "
            f"dict, got {type(found).__name__}"
        )
    return by_names("output", list(found), several) if is_dict else found


def _place(torch: Any, node: Any) -> str:
    """A node as people know it: the module's name, or the function's."""
    if node.op == "call_module":
        return f"module {node.target}"
    if node.op == "get_attr":
        return f"tensor {node.target}"
    name = node.target if isinstance(node.target, str) else _name(torch, node.target)
    return f"{name} ({node.name})"


class _Follower:
    """Runs what was traced on symbols instead of tensors."""

    def __init__(self, torch: Any, root: Any, make: Make) -> None:
        self._torch, self._root, self._make = torch, root, make
        self.made: dict[int, tuple[Layer, Any]] = {}

    def run(self, op: str, target: Any, arguments: Any, options: Any) -> Any:
        if op == "call_module":
            return self._module(self._root.get_submodule(target), *arguments, **options)
        if op == "get_attr":
            raise ValueError(
                "it belongs to no module, so it has no counterpart; put it into one of PyTorch's, "
                "as nn.Conv2d and nn.Linear have their weights"
            )
        given = [*arguments, *options.values()]
        tensors = [each for each in given if isinstance(each, Symbol)]
        if not tensors and not any(isinstance(each, (list, tuple)) for each in given[:1]):
            return _counted(target, arguments, options)
        name = target if op == "call_method" else _name(self._torch, target)
        return self._function(name, *arguments, **options)

    def is_in_place(self, op: str, target: Any, arguments: Any, options: Any) -> bool:
        """Whether a node writes into its first tensor."""
        if op == "call_module":
            return bool(getattr(self._root.get_submodule(target), "inplace", False))
        name = target if op == "call_method" else _name(self._torch, target)
        names = _FUNCTIONS.get(name, ("", ("p", "training", "inplace")))[1]
        given = dict(zip(names, arguments[1:], strict=False)) | options
        return name in ("iadd", "imul") or bool(given.get("inplace"))

    def _module(self, module: Any, x: Any, *arguments: Any, **options: Any) -> Symbol:
        if arguments or options:
            given = ", ".join([*map(repr, arguments), *(f"{n}={v!r}" for n, v in options.items())])
            raise ValueError(f"it is called with {given} besides, which has no counterpart")
        if isinstance(module, self._torch.nn.Identity):
            return x
        if id(module) not in self.made:
            self.made[id(module)] = (self._make(module), module)
        return self.made[id(module)][0](x)

    def _function(self, name: str, x: Any = None, *arguments: Any, **options: Any) -> Any:
        if x is None:
            x = options.pop("input")
        if name in _FUNCTIONS:
            return self._like_module(name, x, arguments, options)
        if name in _MERGED:
            return self._merged(_MERGED[name], x, *arguments, **options)
        if name in _AS_IT_IS:
            return x
        own = getattr(self, f"_{name}", None)
        if own is None:
            raise ValueError(
                "from_torch knows no layer for it; put a layer or a module of this table in its "
                "place: docs/layers.md"
            )
        options = {_ALSO_CALLED.get(option, option): v for option, v in options.items()}
        try:
            inspect.signature(own).bind(x, *arguments, **options)
        except TypeError as error:
            raise ValueError(f"{error}, which has no counterpart") from None
        return own(x, *arguments, **options)

    def _like_module(self, name: str, x: Any, arguments: Any, options: Any) -> Symbol:
        kind, names = _FUNCTIONS[name]
        given = dict(zip(names, arguments, strict=False)) | options
        if given.get("stride", 0) is None:
            del given["stride"]
        for extra in ("return_indices", "dtype", "recompute_scale_factor", "antialias"):
            if given.pop(extra, None):
                raise ValueError(f"{extra} has no counterpart")
        for harmless in _HARMLESS:
            given.pop(harmless, None)
        return self._make(getattr(self._torch.nn, kind)(**given))(x)

    @staticmethod
    def _merged(kind: type[Layer], x: Any, other: Any, alpha: Any = 1) -> Symbol:
        for each in (x, other):
            if not isinstance(each, Symbol):
                raise ValueError(f"with a number, {each}, it has no counterpart")
        if alpha != 1:
            raise ValueError(f"alpha={alpha} has no counterpart")
        return kind()(x, other)

    # --- functions and methods of PyTorch by their names ---------------------------------------

    def _cat(self, tensors: Any, dim: int = 0) -> Symbol:
        if dim not in (1, 1 - len(tensors[0].seen) - 1):
            raise ValueError(f"dim={dim} has no counterpart, only 1, the channels")
        return tensors[0] if len(tensors) == 1 else Concat()(*tensors)

    _concat = _cat

    @staticmethod
    def _flatten(x: Symbol, start_dim: int = 0, end_dim: int = -1) -> Symbol:
        axes = len(x.seen) + 1
        if start_dim % axes != 1 or end_dim % axes != axes - 1:
            raise ValueError(f"start_dim={start_dim}, end_dim={end_dim} have no counterpart")
        return Flatten()(x)

    @staticmethod
    def _view(x: Symbol, *shape: Any) -> Symbol:
        batch, *sizes = shape[0] if isinstance(shape[0], (tuple, list)) else shape
        if (batch is not _BATCH and batch != -1) or any(not isinstance(n, int) for n in sizes):
            raise ValueError(f"the shape {shape} does not begin with the batch's size, or -1")
        layer = Flatten() if sizes == [-1] else Reshape(tuple(sizes))
        y = layer(x)
        return Flatten()(x) if len(y.seen) == 1 else y

    _reshape = _view

    @staticmethod
    def _getattr(x: Symbol, name: str) -> Any:
        if name != "shape":
            raise ValueError(f"{name} has no counterpart")
        return (_BATCH, *x.seen)

    @staticmethod
    def _size(x: Symbol, dim: int | None = None) -> Any:
        sizes = (_BATCH, *x.seen)
        return sizes if dim is None else sizes[dim]

    @staticmethod
    def _getitem(x: Any, place: Any) -> Any:
        if isinstance(x, Symbol):
            raise ValueError("a part of a tensor has no counterpart")
        return x[place]

    def _mean(self, x: Symbol, dim: Any = None, keepdim: bool = False) -> Symbol:
        axes = len(x.seen) + 1
        over = sorted(n % axes for n in (dim if isinstance(dim, (tuple, list)) else [dim or 0]))
        if axes != 4 or over != [2, 3]:
            raise ValueError(f"dim={dim} has no counterpart, only (2, 3) of images")
        y = self._make(self._torch.nn.AdaptiveAvgPool2d(1))(x)
        return y if keepdim else Flatten()(y)

    def _pad(
        self, x: Symbol, pad: Sequence[int], mode: str = "constant", value: float | None = None
    ) -> Symbol:
        if mode not in _PADS or len(pad) not in (2, 4):
            raise ValueError(f"mode={mode!r} with {len(pad)} numbers has no counterpart")
        ends = (*pad, 0, 0)[:4]
        kind = getattr(self._torch.nn, _PADS[mode])
        return self._make(kind(ends, value or 0.0) if mode == "constant" else kind(ends))(x)

    def _dropout(
        self, x: Symbol, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Symbol:
        return self._dropped("Dropout", x, p, training)

    def _dropout2d(
        self, x: Symbol, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Symbol:
        return self._dropped("Dropout2d", x, p, training)

    def _dropped(self, kind: str, x: Symbol, p: float, training: bool) -> Symbol:
        if training == self._root.training:  # as self.training said
            return self._make(getattr(self._torch.nn, kind)(p))(x)
        if training:
            raise ValueError("in evaluation it has no counterpart: give training=self.training")
        return x


def _counted(target: Any, arguments: Any, options: Any) -> Any:
    """Arithmetic with sizes."""
    if any(each is _BATCH for each in arguments):
        raise ValueError("arithmetic with the batch's size has no counterpart")
    if getattr(target, "__module__", "") not in ("_operator", "builtins", "math"):
        raise ValueError("a tensor of nothing but sizes has no counterpart")
    return target(*arguments, **options)


def _name(torch: Any, function: Any) -> str:
    """A function's name; those that PyTorch keeps in two versions have none of their own."""
    if function in (operator.add, operator.iadd, operator.mul, operator.imul):
        return function.__name__
    functional = torch.nn.functional
    for name in _FUNCTIONS:
        if getattr(functional, name, None) is function:
            return name
    return function.__name__
