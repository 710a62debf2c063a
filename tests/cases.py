"""One table of layer shapes for tests and benchmarks, and what both need to run a kernel on them.

`SYSTEM_*` are the layers of the networks that fastcnn reproduces (names as in `fastcnn.models`),
with the batch sizes their authors used; `ODD_*` are small shapes chosen to break a kernel.
"""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import numpy as np

Pair = tuple[int, int]


def backend_module(name: str) -> ModuleType:
    """The module with the functions of backend "loop", "im2col" or "numba"."""
    return importlib.import_module("kernels.compiled" if name == "numba" else f"kernels.{name}")


def same_padding(size: int, kernel: int, stride: int) -> Pair:
    """The zeros before and after an axis with which the output has ceil(size / stride) places.

    An odd zero goes behind, as in TensorFlow.
    """
    out_size = -(-size // stride)
    total = max((out_size - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


@dataclass(frozen=True)
class WindowCase:
    """What convolutions and pools have in common: a window that moves over padded images.

    `padding` is (top, left); `end_padding` is (bottom, right), the same if None.
    """

    name: str
    batch: int
    size: Pair
    window: Pair
    stride: Pair
    padding: Pair
    end_padding: Pair | None

    @property
    def out_size(self) -> Pair:
        end = self.padding if self.end_padding is None else self.end_padding
        rows, columns = (
            (self.size[axis] + self.padding[axis] + end[axis] - self.window[axis])
            // self.stride[axis]
            + 1
            for axis in (0, 1)
        )
        return rows, columns

    @property
    def window_text(self) -> str:
        """Window, stride and padding, for an id: "3x3", "3x3 stride 2x1 pad 1x1"."""
        text = "x".join(map(str, self.window))
        if self.stride != (1, 1):
            text += f" stride {self.stride[0]}x{self.stride[1]}"
        if self.padding != (0, 0) or self.end_padding is not None:
            text += f" pad {self.padding[0]}x{self.padding[1]}"
        if self.end_padding is not None:
            text += f" end {self.end_padding[0]}x{self.end_padding[1]}"
        return text


@dataclass(frozen=True)
class ConvCase(WindowCase):
    in_channels: int
    out_channels: int
    bias: bool

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.batch} x {self.size[0]}x{self.size[1]}, "
            f"{self.in_channels}->{self.out_channels}, {self.window_text}"
        )

    @property
    def x_shape(self) -> tuple[int, ...]:
        return (self.batch, *self.size, self.in_channels)

    @property
    def y_shape(self) -> tuple[int, ...]:
        return (self.batch, *self.out_size, self.out_channels)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return (self.out_channels, self.in_channels, *self.window)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        return (self.out_channels if self.bias else 0,)

    @property
    def operations(self) -> int:
        """Multiplications and additions of one forward pass, padding included."""
        return 2 * int(np.prod(self.y_shape)) * int(np.prod(self.weight_shape[1:]))


@dataclass(frozen=True)
class PoolCase(WindowCase):
    channels: int

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.batch} x {self.size[0]}x{self.size[1]}x{self.channels}, "
            f"{self.window_text}"
        )

    @property
    def x_shape(self) -> tuple[int, ...]:
        return (self.batch, *self.size, self.channels)

    @property
    def y_shape(self) -> tuple[int, ...]:
        return (self.batch, *self.out_size, self.channels)

    @property
    def index_dtype(self) -> type[np.integer]:
        return np.uint8 if self.window[0] * self.window[1] <= 256 else np.int32


@dataclass(frozen=True)
class DenseCase:
    name: str
    batch: int
    in_features: int
    out_features: int
    bias: bool = True

    def __str__(self) -> str:
        return f"{self.name}: {self.batch} x {self.in_features}->{self.out_features}"

    @property
    def x_shape(self) -> tuple[int, ...]:
        return (self.batch, self.in_features)

    @property
    def y_shape(self) -> tuple[int, ...]:
        return (self.batch, self.out_features)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return (self.in_features, self.out_features)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        return (self.out_features if self.bias else 0,)

    @property
    def operations(self) -> int:
        """Multiplications and additions of one forward pass."""
        return 2 * self.batch * self.in_features * self.out_features


def conv(
    name: str,
    batch: int,
    size: int | Pair,
    channels: Pair,
    window: int | Pair,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    end_padding: Pair | None = None,
    bias: bool = True,
) -> ConvCase:
    """A convolution case; `channels` is (in, out) and a single int stands for both axes."""
    return ConvCase(
        name, batch, _pair(size), _pair(window), _pair(stride), _pair(padding), end_padding,
        channels[0], channels[1], bias,
    )  # fmt: skip


def pool(
    name: str,
    batch: int,
    size: int | Pair,
    channels: int,
    window: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    end_padding: Pair | None = None,
) -> PoolCase:
    """A pooling case; a single int stands for both axes, and the stride is the window if None."""
    return PoolCase(
        name, batch, _pair(size), _pair(window), _pair(window if stride is None else stride),
        _pair(padding), end_padding, channels,
    )  # fmt: skip


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else value


SYSTEM_CONVS = [
    conv("mnist-baseline 1", 32, 28, (1, 8), 3, padding=1),
    conv("mnist-baseline 2", 32, 14, (8, 16), 3, padding=1),
    conv("mnist-optimized 1", 64, 28, (1, 16), 3, padding=1),
    conv("mnist-optimized 2", 64, 14, (16, 32), 3, padding=1),
    conv("lab-cnn", 32, 28, (1, 8), 3),
    conv("cifar-cnn 1", 128, 32, (3, 32), 3, padding=2),
    conv("cifar-cnn 2", 128, 17, (32, 32), 3, padding=2),
    conv("cifar-cnn 2 wide", 128, 17, (32, 64), 3, padding=2),
    conv("lenet5 1", 64, 28, (1, 6), 5, padding=2),
    conv("lenet5 2", 64, 14, (6, 16), 5),
]

# ResNet-20 for CIFAR-10 (He et al., "Deep Residual Learning", section 4.2).
RESNET_CONVS = [
    conv("resnet20 first", 128, 32, (3, 16), 3, padding=1, bias=False),
    conv("resnet20 stage 1", 128, 32, (16, 16), 3, padding=1, bias=False),
    conv("resnet20 into 2", 128, 32, (16, 32), 3, stride=2, padding=1, bias=False),
    conv("resnet20 shortcut 2", 128, 32, (16, 32), 1, stride=2, bias=False),
    conv("resnet20 stage 2", 128, 16, (32, 32), 3, padding=1, bias=False),
    conv("resnet20 shortcut 3", 128, 16, (32, 64), 1, stride=2, bias=False),
    conv("resnet20 stage 3", 128, 8, (64, 64), 3, padding=1, bias=False),
]

# DenseNet-BC for CIFAR-10 (Huang et al., section 3) with growth 12: bottlenecks, what the units
# add, and what leads to the next block.
DENSENET_CONVS = [
    conv("densenet bottleneck", 128, 32, (36, 48), 1, bias=False),
    conv("densenet unit", 128, 32, (48, 12), 3, padding=1, bias=False),
    conv("densenet transition", 128, 32, (48, 24), 1, bias=False),
]

SYSTEM_POOLS = [
    pool("mnist-baseline 1", 32, 28, 8, 2),
    pool("mnist-baseline 2", 32, 14, 16, 2),
    pool("mnist-optimized 1", 64, 28, 16, 2),
    pool("mnist-optimized 2", 64, 14, 32, 2),
    pool("lab-cnn", 32, 26, 8, 2),
    pool("cifar-cnn 1", 128, 34, 32, 2),
    pool("cifar-cnn 2", 128, 19, 64, 2),
    pool("lenet5 1", 64, 28, 6, 2),
    pool("lenet5 2", 64, 10, 16, 2),
]

SYSTEM_DENSES = [
    DenseCase("mnist-baseline 1", 32, 784, 128),
    DenseCase("mnist-baseline 2", 32, 128, 10),
    DenseCase("mnist-optimized 1", 64, 1568, 256),
    DenseCase("mnist-optimized 2", 64, 256, 128),
    DenseCase("cifar-cnn", 128, 5184, 10),
    DenseCase("lenet5 1", 64, 400, 120),
    DenseCase("lenet5 2", 64, 120, 84),
    DenseCase("cifar-mlp 1", 128, 3072, 1024),
    DenseCase("cifar-mlp 2", 128, 1024, 10),
]


def _same(
    name: str, batch: int, size: Pair, channels: Pair, window: Pair, stride: Pair
) -> ConvCase:
    """A convolution with "same" padding."""
    rows, columns = (same_padding(size[a], window[a], stride[a]) for a in (0, 1))
    start, end = (rows[0], columns[0]), (rows[1], columns[1])
    return conv(name, batch, size, channels, window, stride, start, end)


ODD_CONVS = [
    conv("one number", 1, 1, (1, 1), 1),
    conv("batch of one", 1, (6, 7), (3, 5), 3, padding=1),
    conv("prime channels", 2, (5, 9), (13, 31), 3, padding=1),
    conv("33 channels", 2, (4, 6), (33, 17), 3, padding=1),
    conv("vector and one", 3, (6, 5), (16, 33), (3, 3)),
    conv("two vectors", 2, (5, 19), (2, 32), 3, padding=1),
    conv("many outputs", 1, (3, 4), (4, 70), (2, 2)),
    conv("1x1", 3, (4, 5), (7, 9), 1),
    conv("1x1 stride 2", 2, (7, 5), (8, 6), 1, stride=2),
    conv("1x1 padded", 2, (3, 4), (2, 3), 1, padding=1),
    conv("2x2", 2, (6, 4), (4, 8), 2, stride=2),
    conv("4x4", 2, (7, 9), (3, 4), 4, padding=2),
    conv("5x5 pad 3", 2, (6, 8), (2, 6), 5, padding=3),
    conv("6x6", 1, (9, 8), (2, 3), 6, stride=3, padding=1),
    conv("7x7 stride 2", 1, (11, 13), (3, 8), 7, stride=2, padding=3),
    conv("row kernel", 2, (4, 9), (3, 4), (1, 5), padding=(0, 2)),
    conv("column kernel", 2, (9, 4), (3, 4), (5, 1), padding=(2, 0)),
    conv("3x2 kernel", 2, (6, 7), (5, 4), (3, 2), padding=(1, 0)),
    conv("stride 2 remainder", 2, (8, 10), (3, 4), 3, stride=2),
    conv("stride 3 remainder", 2, (10, 12), (4, 5), 2, stride=3),
    conv("stride over kernel", 2, (9, 8), (3, 2), (1, 2), stride=(3, 3)),
    conv("stride 2x1", 2, (8, 7), (4, 6), 3, stride=(2, 1), padding=1),
    conv("stride 1x3", 2, (5, 11), (2, 8), 3, stride=(1, 3), padding=(1, 0)),
    conv("padding 2x0", 2, (5, 6), (3, 4), 3, padding=(2, 0)),
    conv("padding over kernel", 1, (4, 3), (2, 3), 2, padding=3),
    conv("width 1", 3, (7, 1), (4, 8), (3, 1), padding=(1, 0)),
    conv("width 1 padded", 2, (5, 1), (3, 4), 3, padding=1),
    conv("height 1", 2, (1, 6), (3, 4), (1, 3)),
    conv("kernel is the image", 2, (4, 5), (6, 7), (4, 5)),
    conv("kernel over the image", 2, (3, 2), (3, 4), 5, padding=2),
    conv("no bias", 2, (5, 5), (3, 4), 3, padding=1, bias=False),
    _same("same, even kernel", 2, (6, 7), (3, 4), (4, 2), (1, 1)),
    _same("same, stride 2", 2, (8, 7), (3, 5), (3, 3), (2, 2)),
    _same("same, stride 3", 1, (10, 11), (2, 4), (5, 4), (3, 2)),
    conv("only the end padded", 2, (4, 5), (3, 4), 3, end_padding=(2, 1)),
]

ODD_POOLS = [
    pool("one number", 1, 1, 1, 1),
    pool("batch of one", 1, (4, 6), 3, 2),
    pool("prime channels", 2, (6, 4), 31, 2),
    pool("33 channels", 2, (4, 4), 33, 2),
    pool("vector", 2, (6, 8), 16, 2),
    pool("remainder", 2, (7, 5), 4, 2),
    pool("remainder of 3", 2, (8, 10), 5, 3),
    pool("overlapping", 2, (7, 9), 6, 3, stride=2),
    pool("stride 1", 2, (5, 6), 4, 2, stride=1),
    pool("gaps", 2, (8, 9), 4, 2, stride=3),
    pool("padded", 2, (5, 6), 4, 2, padding=1),
    pool("padded overlapping", 2, (7, 8), 8, 3, stride=2, padding=1),
    pool("stride 2x1", 2, (6, 7), 3, (2, 3), stride=(2, 1), padding=(0, 1)),
    pool("window 3x1", 2, (7, 4), 5, (3, 1)),
    pool("width 1", 2, (6, 1), 4, (2, 1)),
    pool("width 1 padded", 2, (5, 1), 4, 3, stride=1, padding=1),
    pool("whole image", 3, (4, 5), 7, (4, 5)),
    pool("5x5 pad 2", 1, (8, 6), 3, 5, stride=2, padding=2),
    pool("only the end padded", 2, (5, 7), 3, 2, end_padding=(1, 1)),
    pool("window over the image", 2, (2, 3), 4, 4, padding=1, stride=1, end_padding=(2, 2)),
    pool("index over 255", 1, (19, 17), 2, 17, stride=2),
]

ODD_DENSES = [
    DenseCase("one number", 1, 1, 1),
    DenseCase("one row", 1, 7, 5),
    DenseCase("one feature in", 4, 1, 9),
    DenseCase("one feature out", 5, 17, 1),
    DenseCase("primes", 13, 31, 29),
    DenseCase("33", 33, 33, 33),
    DenseCase("wide", 2, 19, 70),
    DenseCase("deep", 6, 257, 10),
    DenseCase("no bias", 3, 8, 16, bias=False),
]


def random_convs(count: int, seed: int) -> Iterator[ConvCase]:
    """Convolutions of random shape, the same ones for the same seed."""
    generator = np.random.default_rng(seed)

    def draw(low: int, high: int) -> int:
        return int(generator.integers(low, high + 1))

    for number in range(count):
        window = (draw(1, 5), draw(1, 5))
        padding, end_padding = (draw(0, 3), draw(0, 3)), (draw(0, 3), draw(0, 3))
        size = (draw(1, 10), draw(1, 10))
        size = tuple(  # no smaller than what makes one output
            max(size[a], window[a] - padding[a] - end_padding[a]) for a in (0, 1)
        )
        yield ConvCase(
            f"random {number}", draw(1, 4), (size[0], size[1]), window, (draw(1, 3), draw(1, 3)),
            padding, end_padding, draw(1, 20), draw(1, 40), bool(draw(0, 1)),
        )  # fmt: skip


def random_pools(count: int, seed: int) -> Iterator[PoolCase]:
    """Pools of random shape, every window of which holds a part of the image."""
    generator = np.random.default_rng(seed)

    def draw(low: int, high: int) -> int:
        return int(generator.integers(low, high + 1))

    for number in range(count):
        window = (draw(1, 4), draw(1, 4))
        padding, end_padding = ((draw(0, window[0] - 1), draw(0, window[1] - 1)) for _ in range(2))
        size = (draw(4, 10), draw(4, 10))
        yield PoolCase(
            f"random {number}", draw(1, 4), size, window, (draw(1, 4), draw(1, 4)),
            padding, end_padding, draw(1, 40),
        )  # fmt: skip
