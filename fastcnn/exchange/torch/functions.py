"""PyTorch's functions and methods, on symbols instead of tensors."""

import inspect
import operator
from collections.abc import Callable, Sequence
from typing import Any

from ...layers import Add, Layer, Multiply, ReLU, ReLU6
from ...layers.symbols import Symbol
from .. import composed
from .arrays import Trained, by_channel, computed
from .installed import SAME_NAME
from .places import BATCH, PLACES, batch_of, shuffled
from .watched import Mode

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
    "adaptive_avg_pool1d": ("AdaptiveAvgPool1d", ("output_size",)),
    "adaptive_max_pool1d": ("AdaptiveMaxPool1d", ("output_size", "return_indices")),
    "adaptive_avg_pool2d": ("AdaptiveAvgPool2d", ("output_size",)),
    "adaptive_max_pool2d": ("AdaptiveMaxPool2d", ("output_size", "return_indices")),
    "interpolate": ("Upsample", (
        "size", "scale_factor", "mode", "align_corners", "recompute_scale_factor", "antialias",
    )),
    "pixel_shuffle": ("PixelShuffle", ("upscale_factor",)),
    "channel_shuffle": ("ChannelShuffle", ("groups",)),
    "leaky_relu": ("LeakyReLU", ("negative_slope", "inplace")),
    "elu": ("ELU", ("alpha", "inplace")),
    "gelu": ("GELU", ("approximate",)),
    "softplus": ("Softplus", ("beta", "threshold")),
    "softmax": ("Softmax", ("dim", "_stacklevel", "dtype")),
    "log_softmax": ("LogSoftmax", ("dim", "_stacklevel", "dtype")),
    **{name.lower(): (name, ("inplace",)) for name in SAME_NAME},
}  # fmt: skip
_HARMLESS = ("inplace", "_stacklevel")
_AS_IT_IS = ("contiguous", "clone", "float")
_ALSO_CALLED = {"axis": "dim", "keepdims": "keepdim"}  # as NumPy calls them
_ARITHMETIC = {
    "add": "add", "iadd": "add", "mul": "mul", "imul": "mul", "multiply": "mul", "sub": "sub",
    "isub": "sub", "subtract": "sub", "div": "div", "divide": "div", "true_divide": "div",
    "truediv": "div", "itruediv": "div",
}  # fmt: skip
VIEWS = (
    "chunk", "split", "narrow", "getitem", "view", "reshape", "flatten", "squeeze", "unsqueeze",
    "expand", "expand_as", "permute", "transpose", "contiguous", "float",
)  # fmt: skip
"""Functions whose result may share its numbers with what they are given."""
_HOMES = "torch", "_operator", "builtins", "math", "fastcnn"
_MAY_BE_IN_PLACE = {
    "dropout": ("p", "training", "inplace"), "dropout2d": ("p", "training", "inplace"),
    "hardtanh": ("min_val", "max_val", "inplace"),
}  # fmt: skip
_IN_PLACE = ("iadd", "imul", "isub", "itruediv")
_PADS = {"constant": "ConstantPad2d", "reflect": "ReflectionPad2d", "replicate": "ReplicationPad2d"}
_INSTEAD = {
    "layer_norm": "nn.GroupNorm(1, channels), which is over whole images",
    "normalize": "a loss that divides by the length itself",
    "matmul": "nn.Linear, or nn.Conv2d of 1 x 1",
    "bmm": "nn.Linear, or nn.Conv2d of 1 x 1",
    "conv2d": "nn.Conv2d",
    "linear": "nn.Linear",
    "batch_norm": "nn.BatchNorm2d",
}


def name_of(torch: Any, op: str, target: Any) -> str:
    """A function's or method's name; those that PyTorch keeps in two versions have none."""
    if op not in ("call_method", "call_function"):
        return ""
    name = target if isinstance(target, str) else target.__name__
    for known in () if isinstance(target, str) else _FUNCTIONS:
        if getattr(torch.nn.functional, known, None) is target:
            name = known
    return name if name.startswith("_") else name.removesuffix("_")  # `add_` is `add`, in place


class Follower:
    """Runs what was traced on symbols instead of tensors."""

    def __init__(self, torch: Any, root: Any, make: Make) -> None:
        self._torch, self._root, self._make = torch, root, make
        self.made: dict[int, tuple[Layer, Any]] = {}
        self._trained = Trained()

    def run(self, op: str, target: Any, arguments: Any, options: Any) -> Any:
        """What a node gives."""
        if op == "call_module":
            return self._module(self._root.get_submodule(target), *arguments, **options)
        if op == "get_attr":
            if target.startswith("_tensor_constant"):
                raise ValueError(
                    "it belongs to no module, so it has no counterpart; give numbers, or keep it "
                    "with register_buffer"
                )
            return operator.attrgetter(target)(self._root)
        home = getattr(target, "__module__", None) or "torch"
        if home.partition(".")[0] not in _HOMES:
            raise ValueError(f"it is a function of {home}, which from_torch cannot look into")
        given = [*arguments, *options.values()]
        tensors = [each for each in given if isinstance(each, Symbol)]
        name = name_of(self._torch, op, target)
        if not tensors and not any(isinstance(each, (list, tuple)) for each in given[:1]):
            if any(isinstance(each, self._torch.Tensor) for each in given):
                return computed(name, target, arguments, options)
            return _counted(target, arguments, options)
        if target is batch_of:
            return BATCH
        return self._function(name, *arguments, **options)

    def check_shared(self) -> None:
        """Refuse what layers share with what scales channels: ours would learn apart."""
        for _, module in self.made.values():
            for name, each in module.named_parameters():
                if self._trained.has(each):
                    raise ValueError(
                        f"from_torch: the {name} of {module} also multiplies channels, and layers "
                        f"share all of their parameters or none; give one of the two a copy"
                    )

    def is_in_place(self, op: str, target: Any, arguments: Any, options: Any) -> bool:
        """Whether a node writes into its first tensor."""
        if op == "call_module":
            return bool(getattr(self._root.get_submodule(target), "inplace", False))
        name = name_of(self._torch, op, target)
        spelled = target if isinstance(target, str) else getattr(target, "__name__", "")
        names = _FUNCTIONS.get(name, ("", _MAY_BE_IN_PLACE.get(name, ())))[1]
        given = dict(zip(names, arguments[1:], strict=False)) | options
        ends = spelled.endswith("_") and not spelled.startswith("_")
        return ends or name in _IN_PLACE or bool(given.get("inplace"))

    def _module(self, module: Any, x: Any, *arguments: Any, **options: Any) -> Symbol:
        if arguments or options:
            given = ", ".join([*map(repr, arguments), *(f"{n}={v!r}" for n, v in options.items())])
            raise ValueError(f"it is called with {given} besides, which has no counterpart")
        if isinstance(module, self._torch.nn.Identity):
            return x
        if isinstance(module, self._torch.nn.ChannelShuffle):
            return shuffled(x, module.groups)
        if isinstance(module, self._torch.nn.Unflatten) and len(x.seen) > 1:
            raise ValueError("of anything but vectors it has no counterpart; put nn.Flatten before")
        if isinstance(module, self._torch.nn.LayerNorm) and len(x.seen) > 1:
            raise ValueError(
                f"of images or series, {('N', *x.seen)}, it has no counterpart; nn.GroupNorm(1, "
                f"channels) is over all of a sample"
            )
        if id(module) not in self.made:
            self.made[id(module)] = (self._make(module), module)
        return self._called(self.made[id(module)][0], module, x)

    @staticmethod
    def _called(layer: Layer, module: Any, x: Symbol) -> Symbol:
        """A layer of a module: where ours is for images alone, of series as such."""
        if type(module).__name__ in OF_IMAGES:
            return composed.of_images(layer, x)
        return layer(x)

    def _function(self, name: str, x: Any = None, *arguments: Any, **options: Any) -> Any:
        if x is None:
            x = options.pop("input" if "input" in options else "tensors")
        if name in _FUNCTIONS:
            return self._like_module(name, x, arguments, options)
        if name in _ARITHMETIC:
            return self._arithmetic(_ARITHMETIC[name], x, *arguments, **options)
        if name in _AS_IT_IS:
            return x
        own = PLACES.get(name) or getattr(self, f"_{name}", None)
        if own is None:
            instead = _INSTEAD.get(name, "a layer or a module of this table")
            raise ValueError(
                f"from_torch knows no layer for it; put {instead} in its place: docs/layers.md"
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
        return self._alike(kind, x, **given)

    def _alike(self, kind: str, x: Symbol, *arguments: Any, **options: Any) -> Symbol:
        """What a module without weights gives."""
        module = getattr(self._torch.nn, kind)(*arguments, **options)
        if kind == "ChannelShuffle":
            return shuffled(x, module.groups)
        return self._called(self._make(module), module, x)

    # --- arithmetic -----------------------------------------------------------------------------

    def _arithmetic(
        self, op: str, x: Any, other: Any, alpha: Any = 1, rounding_mode: Any = None
    ) -> Symbol:
        if rounding_mode is not None:
            raise ValueError(f"rounding_mode={rounding_mode!r} has no counterpart")
        if isinstance(x, Symbol) and isinstance(other, Symbol):
            return self._of_two(op, x, other, alpha)
        symbol, values = (x, other) if isinstance(x, Symbol) else (other, x)
        if op == "div" and symbol is other:
            raise ValueError("a number divided by a tensor has no counterpart")
        if alpha != 1:
            raise ValueError(f"alpha={alpha} has no counterpart beside a number")
        if self._trained.is_trained(values):
            return self._trained.scaled(op, symbol, values)
        numbers = by_channel(symbol.seen, values)
        if op == "mul":
            return composed.scaled(symbol, numbers)
        if op == "div":
            if not numbers.all():
                raise ValueError("it divides by 0")
            return composed.scaled(symbol, 1 / numbers)
        if op == "sub" and symbol is other:
            return composed.scaled(symbol, -1.0, numbers)
        return composed.scaled(symbol, 1.0, -numbers if op == "sub" else numbers)

    @staticmethod
    def _of_two(op: str, x: Symbol, other: Symbol, alpha: Any) -> Symbol:
        if op == "div" or not isinstance(alpha, (int, float)):
            raise ValueError("a tensor divided by another one has no counterpart")
        if op != "mul":
            other = composed.scaled(other, -alpha if op == "sub" else alpha)
        return (Multiply if op == "mul" else Add)()(*composed.spread((x, other)))

    @staticmethod
    def _neg(x: Symbol) -> Symbol:
        return composed.scaled(x, -1.0)

    @staticmethod
    def _abs(x: Symbol) -> Symbol:
        return Add()(ReLU()(x), ReLU()(composed.scaled(x, -1.0)))

    @staticmethod
    def _maximum(x: Any, other: Any = None, **over: Any) -> Symbol:
        return _extreme(x, other, over, largest=True)

    @staticmethod
    def _minimum(x: Any, other: Any = None, **over: Any) -> Symbol:
        return _extreme(x, other, over, largest=False)

    _max, _min = _maximum, _minimum

    @staticmethod
    def _pow(x: Any, exponent: Any) -> Symbol:
        if exponent != 2 or not isinstance(x, Symbol):
            raise ValueError("only the power of 2 has a counterpart, x * x")
        return Multiply()(x, x)

    def _square(self, x: Symbol) -> Symbol:
        return self._pow(x, 2)

    @staticmethod
    def _clamp(x: Symbol, min: Any = None, max: Any = None) -> Symbol:
        if min != 0 or max not in (None, 6):
            raise ValueError(
                f"from {min} to {max} it has no counterpart; ReLU is from 0, ReLU6 to 6"
            )
        return ReLU()(x) if max is None else ReLU6()(x)

    _clip = _clamp

    def _hardtanh(
        self, x: Symbol, min_val: float = -1, max_val: float = 1, inplace: bool = False
    ) -> Symbol:
        return self._clamp(x, min_val, max_val)

    # --- numbers of a whole image ---------------------------------------------------------------

    def _mean(self, x: Symbol, dim: Any = None, keepdim: bool = False) -> Symbol:
        return self._reduced("Avg", x, dim, keepdim)

    def _amax(self, x: Symbol, dim: Any = None, keepdim: bool = False) -> Symbol:
        return self._reduced("Max", x, dim, keepdim)

    def _reduced(self, how: str, x: Symbol, dim: Any, keepdim: bool) -> Symbol:
        axes = len(x.seen) + 1
        over = {n % axes for n in (dim if isinstance(dim, (tuple, list)) else [dim or 0])}
        if axes not in (3, 4) or not over or min(over) < 2:
            places = "2 and 3 of images, 2 of series"
            raise ValueError(f"dim={dim} has no counterpart, only {places}")
        return composed.reduced(x, over, how == "Max", keepdim)

    def _pad(
        self, x: Symbol, pad: Sequence[int], mode: str = "constant", value: float | None = None
    ) -> Symbol:
        places = 2 * (len(x.seen) - 1)  # what comes behind these is of channels, then of samples
        ends, channels = (*pad[:places], 0, 0, 0, 0)[:4], [*pad[places:], 0, 0]
        if any(channels):
            if mode != "constant" or value or any(channels[2:]) or min(channels) < 0:
                raise ValueError(
                    f"pad={tuple(pad)}, mode={mode!r} and value={value} have no counterpart: "
                    f"channels may be put on with zeros, and nothing else"
                )
            front, behind = ([composed.ZERO] * each for each in channels[:2])
            x = composed.picked(x, [*front, *range(x.seen[0]), *behind])
        elif mode not in _PADS or len(pad) % 2:
            raise ValueError(f"mode={mode!r} with {len(pad)} numbers has no counterpart")
        if not any(ends):
            return x
        return self._alike(_PADS[mode], x, ends, *([value or 0.0] if mode == "constant" else []))

    def _dropout(
        self, x: Symbol, p: float = 0.5, training: Any = True, inplace: bool = False
    ) -> Symbol:
        return self._dropped("Dropout", x, p, training)

    def _dropout2d(
        self, x: Symbol, p: float = 0.5, training: Any = True, inplace: bool = False
    ) -> Symbol:
        return self._dropped("Dropout2d", x, p, training)

    def _dropped(self, kind: str, x: Symbol, p: float, training: Any) -> Symbol:
        if isinstance(training, Mode):
            return self._alike(kind, x, p)
        if training:
            raise ValueError(
                "it drops in evaluation too, which has no counterpart: give training=self.training"
            )
        return x


OF_IMAGES = (
    "AdaptiveAvgPool1d", "AdaptiveMaxPool1d", "ConstantPad1d", "ZeroPad1d",
    "ReflectionPad1d", "ReplicationPad1d", "ConstantPad2d", "ReflectionPad2d", "ReplicationPad2d",
)  # fmt: skip
"""Modules of series whose layer here takes them as images of one row, and what F.pad becomes."""


def _extreme(x: Any, other: Any, over: Any, largest: bool) -> Symbol:
    if over or not isinstance(x, Symbol) or not isinstance(other, Symbol):
        raise ValueError(
            "of anything but two results of layers it has no counterpart; over places nn.MaxPool2d "
            "or torch.amax has"
        )
    return composed.extreme(composed.spread((x, other)), largest)


def _counted(target: Any, arguments: Any, options: Any) -> Any:
    """Arithmetic with sizes."""
    if any(each is BATCH for each in arguments):
        raise ValueError("arithmetic with the batch's size has no counterpart")
    if getattr(target, "__module__", "") not in ("_operator", "builtins", "math"):
        raise ValueError("a tensor of nothing but sizes has no counterpart")
    return target(*arguments, **options)
