"""The named networks, each with the settings it is trained with.

Examples
--------
>>> from fastcnn import models
>>> models.build("cifar-cnn", filters=(32, 64)).output_shape((8, 3, 32, 32))
(8, 10)
>>> models.preset("lenet5")["batch_size"]
64
"""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

from .checks import same, unknown, whole
from .layers import (
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
    LayerNorm,
    MaxPool2D,
    ReLU,
    Residual,
    Sigmoid,
)
from .sequential import Sequential

Shape = tuple[int, ...]

_MNIST = (1, 28, 28)
_CIFAR = (3, 32, 32)


def _features(layers: Sequence[Layer], input_shape: Shape) -> int:
    """Numbers per sample after `layers`."""
    shape = (1, *input_shape)
    for layer in layers:
        shape = layer.output_shape(shape)
    return shape[1]


def _groups(channels: int) -> int:
    """Groups of 8 channels, or of as many fewer as divide them: these networks are narrow.

    Wu and He find groups of 16 channels, or 32 groups, best in networks of 64 to 2048 channels.
    """
    return channels // math.gcd(channels, 8)


def _normalizer(network: str, norm: str) -> Callable[[int], list[Layer]]:
    """What makes the normalisation behind a layer of so many channels: no layer for "none"."""
    kinds: dict[str, Callable[[int], list[Layer]]] = {
        "batch": lambda channels: [BatchNorm(channels)],
        "group": lambda channels: [GroupNorm(_groups(channels), channels)],
        "layer": lambda channels: [LayerNorm(channels)],
        "none": lambda channels: [],
    }
    if norm not in kinds:
        raise ValueError(f"{network}: {unknown('norm', norm, tuple(kinds))}")
    return kinds[norm]


def _mnist_network(
    name: str,
    input_shape: Shape,
    classes: int,
    filters: tuple[int, int],
    hidden: Sequence[int],
    norm: str,
    dropout: float,
) -> list[Layer]:
    """S1: two convolutions, each with a pool, and dense layers."""
    layers: list[Layer] = []
    normalization = _normalizer(name, norm)
    channels = input_shape[0]
    for count in filters:
        layers += [Conv2D(channels, count, 3, padding=1), *normalization(count), ReLU()]
        layers.append(MaxPool2D(2))
        channels = count
    layers.append(Flatten())
    features = _features(layers, input_shape)
    for count in hidden:
        layers += [Dense(features, count), ReLU()]
        layers += [Dropout(dropout)] if dropout else []
        features = count
    return [*layers, Dense(features, classes)]


def _mnist_baseline(
    input_shape: Shape, classes: int, norm: str = "none", dropout: float = 0.0
) -> list[Layer]:
    """S1a."""
    return _mnist_network("mnist-baseline", input_shape, classes, (8, 16), (128,), norm, dropout)


def _mnist_optimized(
    input_shape: Shape, classes: int, norm: str = "batch", dropout: float = 0.5
) -> list[Layer]:
    """S1b: wider and deeper, with batch normalisation and dropout."""
    return _mnist_network(
        "mnist-optimized", input_shape, classes, (16, 32), (256, 128), norm, dropout
    )


def _lab_cnn(input_shape: Shape, classes: int) -> list[Layer]:
    """S2: one convolution, the network of a laboratory exercise."""
    front: list[Layer] = [Conv2D(input_shape[0], 8, 3), ReLU(), MaxPool2D(2), Flatten()]
    return [*front, Dense(_features(front, input_shape), 128), ReLU(), Dense(128, classes)]


def _cifar_cnn(
    input_shape: Shape,
    classes: int,
    filters: Sequence[int] = (32, 32),
    dropout: float = 0.3,
    norm: str = "batch",
) -> list[Layer]:
    """S3: two convolutions with batch normalisation, one dense layer."""
    if not isinstance(filters, (tuple, list)) or len(filters) != 2:
        raise ValueError(f"cifar-cnn: filters must be two numbers, such as (32, 64), got {filters}")
    first, second = filters
    normalization = _normalizer("cifar-cnn", norm)
    front: list[Layer] = [
        Conv2D(input_shape[0], first, 3, padding=2), *normalization(first), ReLU(), MaxPool2D(2),
        Conv2D(first, second, 3, padding=2), *normalization(second), ReLU(), MaxPool2D(2),
        Flatten(), Dropout(dropout),
    ]  # fmt: skip
    return [*front, Dense(_features(front, input_shape), classes)]


def _lenet5(input_shape: Shape, classes: int) -> list[Layer]:
    """S4: LeCun et al., "Gradient-Based Learning Applied to Document Recognition" (1998)."""
    front: list[Layer] = [
        Conv2D(input_shape[0], 6, 5, padding=2, init="xavier"), Sigmoid(), AveragePool2D(2),
        Conv2D(6, 16, 5, init="xavier"), Sigmoid(), AveragePool2D(2), Flatten(),
    ]  # fmt: skip
    return [
        *front, Dense(_features(front, input_shape), 120, init="xavier"), Sigmoid(),
        Dense(120, 84, init="xavier"), Sigmoid(), Dense(84, classes, init="xavier"),
    ]  # fmt: skip


def _cifar_mlp(
    input_shape: Shape, classes: int, hidden: int = 1024, dropout: float = 0.5
) -> list[Layer]:
    """S5: one hidden layer."""
    front: list[Layer] = [Flatten()]
    return [
        *front, Dense(_features(front, input_shape), hidden), BatchNorm(hidden), ReLU(),
        Dropout(dropout), Dense(hidden, classes),
    ]  # fmt: skip


def _resnet20(input_shape: Shape, classes: int, norm: str = "batch") -> list[Layer]:
    """He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition" (2015), section 4.2.

    Three stages of three residual blocks. Where the shape changes, the shortcut is a 1 x 1
    convolution (option B of the paper, whose own CIFAR-10 networks pad with zeros, option A).
    """
    normalization = _normalizer("resnet20", norm)

    def conv(
        channels: int, filters: int, kernel_size: int, stride: int = 1, padding: int = 0
    ) -> list[Layer]:
        """A convolution without bias, as the normalisation behind it has one."""
        bias = norm == "none"
        layer = Conv2D(channels, filters, kernel_size, stride, padding, bias)
        return [layer, *normalization(filters)]

    layers: list[Layer] = [*conv(input_shape[0], 16, 3, padding=1), ReLU()]
    channels = 16
    for filters in (16, 32, 64):
        for block in range(3):
            stride = 2 if block == 0 and filters != channels else 1
            main = [
                *conv(channels, filters, 3, stride, padding=1), ReLU(),
                *conv(filters, filters, 3, padding=1),
            ]  # fmt: skip
            shortcut = conv(channels, filters, 1, stride) if stride > 1 else None
            layers.append(Residual(main, shortcut, activation=ReLU()))
            channels = filters
    return [*layers, GlobalAveragePool2D(), Dense(channels, classes)]


def _densenet(input_shape: Shape, classes: int, depth: int = 16, growth: int = 12) -> list[Layer]:
    """Huang, Liu, van der Maaten, Weinberger, "Densely Connected Convolutional Networks" (2017).

    DenseNet-BC of section 3: three blocks, in which every unit sees what all before it have made;
    bottlenecks of 4 * growth channels, and half of the channels left between blocks. Of the
    ``depth`` layers all but four stand in units, two in each. With 16 an epoch takes as long as
    one of `resnet20`; the paper has 100 to 250.
    """
    whole("densenet", "growth", growth)
    units, rest = divmod(whole("densenet", "depth", depth) - 4, 6)
    if rest or units < 1:
        raise ValueError(
            f"densenet: depth must be 4 more than a multiple of 6, such as 16 or 40, got {depth}"
        )
    channels = 2 * growth
    layers: list[Layer] = [Conv2D(input_shape[0], channels, 3, padding=1, bias=False)]
    for block in range(3):
        if block:
            layers += [*_conv_after_norm(channels, channels // 2), AveragePool2D(2, padding="same")]
            channels //= 2
        for _ in range(units):
            bottleneck = _conv_after_norm(channels, 4 * growth)
            layers.append(Concatenate([*bottleneck, *_conv_after_norm(4 * growth, growth, 3)]))
            channels += growth
    layers += [BatchNorm(channels), ReLU(), GlobalAveragePool2D()]
    return [*layers, Dense(channels, classes)]


def _conv_after_norm(in_channels: int, out_channels: int, kernel_size: int = 1) -> list[Layer]:
    """BatchNorm, ReLU and a convolution without bias that leaves the size as it is."""
    padding = kernel_size // 2
    conv = Conv2D(in_channels, out_channels, kernel_size, padding=padding, bias=False)
    return [BatchNorm(in_channels), ReLU(), conv]


# Builder, shape of the images it was made for, what it is.
_BUILDERS: dict[str, tuple[Callable[..., list[Layer]], Shape, str]] = {
    "mnist-baseline": (_mnist_baseline, _MNIST, "2 convolutions, 2 dense layers; plain SGD"),
    "mnist-optimized": (
        _mnist_optimized,
        _MNIST,
        "wider, with BatchNorm, Dropout and Adam",
    ),
    "lab-cnn": (_lab_cnn, _MNIST, "1 convolution, a laboratory exercise; 1,000 images"),
    "cifar-cnn": (_cifar_cnn, _CIFAR, "2 convolutions with BatchNorm, Dropout"),
    "lenet5": (_lenet5, _MNIST, "LeNet-5 with sigmoids and average pooling"),
    "cifar-mlp": (_cifar_mlp, _CIFAR, "1 hidden layer of 1,024 units, BatchNorm, Dropout"),
    "resnet20": (_resnet20, _CIFAR, "9 residual blocks (He et al. 2015)"),
    "densenet": (_densenet, _CIFAR, "6 densely connected units (Huang et al. 2017)"),
}

# Settings of `fastcnn.config`, where they differ from its defaults.
_PRESETS: dict[str, dict[str, Any]] = {
    "mnist-baseline": {
        "dataset": "mnist", "normalization": "standardize",
        "optimizer": "sgd", "lr": 0.01, "batch_size": 32, "epochs": 20,
    },
    # With the smallest of the shifts that its author calls optional.
    "mnist-optimized": {
        "dataset": "mnist", "normalization": "standardize", "validation": 0.1, "shift": 1,
        "optimizer": "adam", "lr": 1e-3, "weight_decay": 1e-4, "schedule": "cosine",
        "lr_min": 0.0, "batch_size": 64, "epochs": 20, "patience": 5, "monitor": "val_loss",
        "clip_norm": 5.0,
    },
    "lab-cnn": {
        "dataset": "mnist", "limit_train": 1000, "limit_test": 100,
        "optimizer": "sgd", "lr": 0.01, "batch_size": 32, "epochs": 2,
    },
    # How BatchNorm's statistics for evaluation are found, the author does not say.
    "cifar-cnn": {
        "dataset": "cifar10", "validation": 0.2, "loss_reduction": "sum", "precise_bn": 50,
        "optimizer": "sgd", "lr": 0.01, "weight_decay": 5e-3,
        "schedule": "exponential", "lr_decay": 0.995, "batch_size": 128, "epochs": 20,
        "patience": 5, "monitor": "val_accuracy", "clip_norm": 5.0, "clip_mode": "array",
    },
    "lenet5": {
        "dataset": "mnist", "normalization": "scale256", "loss_reduction": "sum",
        "optimizer": "sgd", "lr": 0.0015, "batch_size": 64, "epochs": 10,
    },
    "cifar-mlp": {
        "dataset": "cifar10", "validation": 0.1, "flip": True,
        "optimizer": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.01,
        "schedule": "s5", "lr_decay": 0.98, "batch_size": 128, "epochs": 70,
        "patience": 15, "monitor": "val_accuracy",
    },
    # The paper's, but for the schedule, which in the paper takes 64,000 steps (182 epochs) with
    # lr / 10 at one half and at three quarters, and for the pixels: it subtracts the mean image.
    "resnet20": {
        "dataset": "cifar10", "normalization": "standardize", "validation": 0.1,
        "flip": True, "shift": 4,
        "optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4,
        "schedule": "cosine", "lr_min": 0.0, "batch_size": 128, "epochs": 30,
        "monitor": "val_accuracy",
    },
    # The paper's, but for the schedule (300 epochs with lr / 10 at one half and at three quarters)
    # and the batches (64).
    "densenet": {
        "dataset": "cifar10", "normalization": "standardize", "validation": 0.1,
        "flip": True, "shift": 4,
        "optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4,
        "schedule": "cosine", "lr_min": 0.0, "batch_size": 128, "epochs": 30,
        "monitor": "val_accuracy",
    },
}  # fmt: skip


def names() -> tuple[str, ...]:
    """The networks there are."""
    return tuple(_BUILDERS)


def about(name: str) -> str:
    """What a network is, in a line."""
    return _BUILDERS[known(name)][2]


def build(
    name: str,
    *,
    seed: int = 42,
    input_shape: Sequence[int] | None = None,
    classes: int = 10,
    **changes: Any,
) -> Sequential:
    """A new model.

    Parameters
    ----------
    name : str
        One of `names()`.
    seed : int
        Key of its starting weights.
    input_shape : sequence of int, optional
        (channels, height, width) of the images; default: those it was made for.
    classes : int
        How many classes it tells apart.
    changes
        What else the network lets be chosen: `filters`, `hidden`, `dropout`, `norm`, `depth`,
        `growth`.

    Raises
    ------
    ValueError
        If there is no such network, it does not let that be chosen, or the images are too small for
        it.
    """
    name = known(name)
    builder, usual_shape, _ = _BUILDERS[name]
    choices = _choices(name)
    for change in changes:
        if change not in choices:
            others = [other for other in names() if change in _choices(other)]
            raise ValueError(
                f"{name} has no choice of {change!r}; those that have are {', '.join(others)}"
                if others
                else unknown(
                    f"choice for {name}:", change, ("seed", "input_shape", "classes", *choices)
                )
            )
    shape = usual_shape if input_shape is None else tuple(input_shape)
    if len(shape) != 3:
        raise ValueError(
            f"{name}: input_shape must be (channels, height, width), got {input_shape!r}"
        )
    whole(name, "classes", classes)
    layers = builder(shape, classes, **changes)
    return Sequential(*layers, seed=seed, name=name, input_shape=shape)


def _choices(name: str) -> tuple[str, ...]:
    """What a network lets be chosen besides seed, input_shape and classes."""
    return tuple(inspect.signature(_BUILDERS[name][0]).parameters)[2:]


def preset(name: str) -> dict[str, Any]:
    """The settings of a network's author, by their names in `fastcnn.config`.

    Where the author left something open, the choice is ours; so is the schedule of `resnet20`.

    Raises
    ------
    ValueError
        If there is no such network.
    """
    return dict(_PRESETS[known(name)])


def known(name: str) -> str:
    """The name as it is listed: "ResNet-20" is resnet20.

    Raises
    ------
    ValueError
        If there is no such network.
    """
    found = same(name, names())
    if found is None:
        raise ValueError(unknown("model", name, names()))
    return found
