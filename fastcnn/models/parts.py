"""What networks are made of besides their convolutions: each part chosen by its name."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..checks import unknown
from ..layers import (
    ELU,
    GELU,
    SELU,
    AveragePool2D,
    BatchNorm,
    Conv2D,
    Dense,
    GroupNorm,
    Hardsigmoid,
    Hardswish,
    Layer,
    LayerNorm,
    LeakyReLU,
    MaxPool2D,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
)

Shape = tuple[int, ...]

ACTIVATIONS: dict[str, Callable[[], Layer]] = {
    "relu": ReLU, "leaky-relu": LeakyReLU, "sigmoid": Sigmoid, "tanh": Tanh, "prelu": PReLU,
    "relu6": ReLU6, "elu": ELU, "selu": SELU, "gelu": GELU, "silu": SiLU, "softplus": Softplus,
    "mish": Mish, "hardswish": Hardswish, "hardsigmoid": Hardsigmoid,
}  # fmt: skip
POOLS: dict[str, Callable[[], list[Layer]]] = {
    "max": lambda: [MaxPool2D(2)],
    "average": lambda: [AveragePool2D(2)],
    "none": lambda: [],
}
BN_STARTS = {"standard": False, "first-batch": True}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A kind of network: its fields but for its name are what can be chosen, `layers` makes it."""

    name: str
    norm: str = "none"
    bn_start: str = "standard"
    activation: str = "relu"
    init: str = "he"
    init_std: float | None = None

    def __post_init__(self) -> None:
        self._find("norm", self._norms())
        self._find("activation", ACTIVATIONS)
        self._find("bn_start", BN_STARTS)

    def choices(self) -> tuple[str, ...]:
        """The fields that this network lets be chosen."""
        return tuple(field for field in self.__dataclass_fields__ if field != "name")

    def layers(self, input_shape: Shape, classes: int) -> list[Layer]:
        """The network, for images (channels, height, width) and so many classes."""
        raise NotImplementedError

    def conv(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
        groups: int = 1,
    ) -> Conv2D:
        """A convolution that starts as chosen."""
        return Conv2D(
            in_channels, out_channels, kernel_size, stride, padding, bias,
            init=self.init, init_std=self.init_std, groups=groups,
        )  # fmt: skip

    def dense(self, in_features: int, out_features: int) -> Dense:
        """A dense layer that starts as chosen."""
        return Dense(in_features, out_features, init=self.init, init_std=self.init_std)

    def activate(self) -> Layer:
        """The layer behind a convolution or dense layer."""
        return ACTIVATIONS[self.activation]()

    def normalize(self, channels: int) -> list[Layer]:
        """The normalisation behind a layer of so many channels: no layer for "none"."""
        return self._norms()[self.norm](channels)

    def _norms(self) -> dict[str, Callable[[int], list[Layer]]]:
        starts = {"from_first_batch": True} if BN_STARTS.get(self.bn_start) else {}
        return {
            "batch": lambda channels: [BatchNorm(channels, **starts)],
            "group": lambda channels: [GroupNorm(_groups(channels), channels)],
            "layer": lambda channels: [LayerNorm(channels)],
            "none": lambda channels: [],
        }

    def _find(self, name: str, known: dict[str, Any]) -> None:
        value = getattr(self, name)
        if value not in known:
            raise ValueError(f"{self.name}: {unknown(name, value, tuple(known))}")


def features(layers: Sequence[Layer], input_shape: Shape) -> int:
    """Numbers per sample after `layers`, which end with one number after the other."""
    shape = (1, *input_shape)
    for layer in layers:
        shape = layer.output_shape(shape)
    return shape[1]


def _groups(channels: int) -> int:
    """Groups of 8 channels, or of as many fewer as divide them: these networks are narrow.

    Wu and He find groups of 16 channels, or 32 groups, best in networks of 64 to 2048 channels.
    """
    return channels // math.gcd(channels, 8)
