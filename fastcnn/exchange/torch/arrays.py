"""Tensors that a module keeps beside its layers: buffers, and parameters of its own."""

from typing import Any

import numpy as np

from ...layers import Conv1D, Conv2D, Layer
from ...layers.symbols import Symbol
from .. import composed
from ..matching import as_array

_OF_ARRAYS = (
    "view", "reshape", "unsqueeze", "squeeze", "getitem", "flatten", "expand", "to", "float",
    "contiguous", "add", "sub", "mul", "div", "truediv", "neg", "sqrt", "exp", "pow",
)  # fmt: skip


def computed(name: str, target: Any, arguments: Any, options: Any) -> Any:
    """What follows from such tensors alone."""
    if name not in _OF_ARRAYS:
        raise ValueError("from_torch does not compute it; keep its result with register_buffer")
    if isinstance(target, str):
        return getattr(arguments[0], target)(*arguments[1:], **options)
    return target(*arguments, **options)


def by_channel(seen: tuple[int, ...], values: Any) -> np.ndarray:
    """A number or a tensor, one number for all or for each channel, as (1,) or (channels,)."""
    if not isinstance(values, (int, float)) and not hasattr(values, "detach"):
        raise ValueError(f"with {values} it has no counterpart")
    return composed.by_channel(seen, np.asarray(as_array(values), np.float32))


class Trained:
    """Parameters that scale channels, each a depthwise convolution of 1 x 1."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[Layer, Any]] = {}

    @staticmethod
    def is_trained(values: Any) -> bool:
        """Whether PyTorch would train it."""
        return bool(getattr(values, "requires_grad", False))

    def has(self, parameter: Any) -> bool:
        """Whether a layer was made of it."""
        return id(parameter) in self._made

    def scaled(self, op: str, x: Symbol, values: Any) -> Symbol:
        """x times one number a channel that is trained.

        Raises
        ------
        ValueError
            If it is used in another way, or is computed of parameters.
        """
        parameter = values if values.is_leaf else values._base
        array, channels = by_channel(x.seen, values), x.seen[0]
        is_own = parameter is not None and parameter.is_leaf and parameter.numel() == array.size
        if op != "mul" or len(x.seen) not in (2, 3) or array.size != channels or not is_own:
            raise ValueError(
                "a parameter of a module of one's own can be what multiplies each channel of "
                "images or series, of shape (channels, 1, 1), and nothing else; put it into a "
                "layer, as nn.Conv2d and nn.Linear have a weight and a bias"
            )
        if id(parameter) not in self._made:
            kind = Conv2D if len(x.seen) == 3 else Conv1D
            layer: Layer = kind(channels, channels, 1, groups=channels, bias=False)
            self._made[id(parameter)] = layer, parameter
            shape = layer.params["weight"].shape
            return composed.called(layer, x, {"weight": array.reshape(shape)})
        return self._made[id(parameter)][0](x)
