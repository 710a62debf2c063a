"""Convolutions, then dense layers, all in a row: the five authors' networks, VGG's, fast ones."""

from dataclasses import dataclass

from ..checks import whole
from ..layers import Dropout, Flatten, Layer
from .parts import POOLS, Plan, Shape, features


@dataclass(frozen=True, kw_only=True)
class Row(Plan):
    """Convolutions, each with norm, activation and pool; hidden layers; the layer of the classes.

    The normalisation stands behind the convolutions, or behind the hidden layers of a network that
    has none; dropout behind each hidden layer, or before the last layer if there are none.

    Attributes
    ----------
    filters : tuple of int
        Filters of each convolution.
    padding : int, tuple of int or None
        Of each convolution, or of all; the last counts for those behind it; None: half of the
        kernel, which leaves an image of an odd kernel its size.
    hidden : tuple of int
        Units of each hidden layer.
    dropout : float
        Probability of dropping a value; 0 for no such layer.
    """

    filters: tuple[int, ...] = ()
    kernel_size: int = 3
    stride: int = 1
    padding: int | tuple[int, ...] | None = None
    pool: str = "max"
    hidden: tuple[int, ...] = ()
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._find("pool", POOLS)
        whole(self.name, "kernel_size", self.kernel_size)
        for field in ("filters", "hidden"):
            object.__setattr__(self, field, self._counts(field))

    def choices(self) -> tuple[str, ...]:
        absent = set() if self.filters else {"filters", "kernel_size", "stride", "padding", "pool"}
        absent |= set() if self.hidden else {"hidden"}
        return tuple(name for name in super().choices() if name not in absent)

    def layers(self, input_shape: Shape, classes: int) -> list[Layer]:
        layers: list[Layer] = []
        channels = input_shape[0]
        for index, count in enumerate(self.filters):
            layers += self._stage(channels, count, index)
            channels = count
        layers.append(Flatten())
        numbers = features(layers, input_shape)
        for count in self.hidden:
            norm = [] if self.filters else self.normalize(count)
            layers += [self.dense(numbers, count), *norm, self.activate(), *self._drop()]
            numbers = count
        layers += [] if self.hidden else self._drop()
        return [*layers, self.dense(numbers, classes)]

    def _stage(self, channels: int, count: int, index: int) -> list[Layer]:
        """A pool and what stands before it."""
        return [*self._convolutions(channels, count, index), *POOLS[self.pool]()]

    def _convolutions(self, channels: int, count: int, index: int) -> list[Layer]:
        """What stands before a pool."""
        conv = self.conv(channels, count, self.kernel_size, self.stride, self._padding(index))
        return [conv, *self.normalize(count), self.activate()]

    def _drop(self) -> list[Layer]:
        return [Dropout(self.dropout)] if self.dropout else []

    def _padding(self, index: int) -> int:
        if self.padding is None:
            return self.kernel_size // 2
        if isinstance(self.padding, int):
            return self.padding
        return self.padding[min(index, len(self.padding) - 1)]

    def _counts(self, field: str) -> tuple[int, ...]:
        """One or several whole numbers as a tuple."""
        value = getattr(self, field)
        several = value if isinstance(value, (tuple, list)) else (value,)
        return tuple(whole(self.name, field, count) for count in several)


@dataclass(frozen=True, kw_only=True)
class Pairs(Row):
    """Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition".

    Two convolutions before each pool, which halves the image where the filters double: the stages
    of the paper (2015), but for small images, narrow, and with BatchNorm, which came later.
    """

    def _convolutions(self, channels: int, count: int, index: int) -> list[Layer]:
        once = super()._convolutions
        return [*once(channels, count, index), *once(count, count, index)]


@dataclass(frozen=True, kw_only=True)
class Halving(Row):
    """One convolution before each pool and one behind it, where the image is a quarter as large.

    Two convolutions between pools as VGG has them, but the one that brings the filters is the last
    to see the larger image: Page, "How to Train Your ResNet" (2018); Jordan, "94% on CIFAR-10 in
    3.29 Seconds on a Single GPU" (2024).
    """

    def _stage(self, channels: int, count: int, index: int) -> list[Layer]:
        return [
            *super()._stage(channels, count, index), *self._convolutions(count, count, index)
        ]  # fmt: skip
