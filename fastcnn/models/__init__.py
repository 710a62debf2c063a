"""The named networks, each with the settings it is trained with.

Examples
--------
>>> from fastcnn import models
>>> models.build("cifar-cnn", filters=(32, 64)).output_shape((8, 3, 32, 32))
(8, 10)
>>> models.preset("lenet5")["batch_size"]
64
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..checks import same, sizes, unknown, whole
from ..layers import Layer
from ..sequential import Sequential
from .authors import AUTHORS, TUNED
from .blocks import DenseNetwork, DepthwiseNetwork, ResidualNetwork
from .parts import Plan, Shape
from .rows import Halving, Pairs, Row

_MNIST = (1, 28, 28)
_CIFAR = (3, 32, 32)
_SIDES = 65  # sides below it are tried where images are too small

# Each with the shape of the images that it was made for. S1 to S5 are the five authors' systems.
_NETWORKS: dict[str, tuple[Plan, Shape]] = {
    plan.name: (plan, shape)
    for plan, shape in (
        (Row(name="mnist-baseline", filters=(8, 16), hidden=(128,)), _MNIST),  # S1
        (
            Row(
                name="mnist-optimized", filters=(16, 32), hidden=(256, 128), norm="batch",
                dropout=0.5,
            ),
            _MNIST,
        ),
        (Row(name="lab-cnn", filters=(8,), padding=0, hidden=(128,)), _MNIST),  # S2
        (
            Row(
                name="cifar-cnn", filters=(32, 32), padding=2, norm="batch",
                bn_start="first-batch", dropout=0.3,
            ),
            _CIFAR,
        ),  # S3
        (
            # LeCun et al., "Gradient-Based Learning Applied to Document Recognition" (1998); S4.
            Row(
                name="lenet5", filters=(6, 16), kernel_size=5, padding=(2, 0), pool="average",
                hidden=(120, 84), activation="sigmoid", init="normal",
            ),
            _MNIST,
        ),
        (Row(name="cifar-mlp", hidden=(1024,), norm="batch", dropout=0.5), _CIFAR),  # S5
        (ResidualNetwork(name="resnet20"), _CIFAR),
        (DenseNetwork(name="densenet"), _CIFAR),
        (
            Pairs(
                name="vgg-small", filters=(32, 64, 128), hidden=(128,), norm="batch", dropout=0.5
            ),
            _CIFAR,
        ),
        (DepthwiseNetwork(name="mobilenet-small"), _CIFAR),
        # Ours, for a good answer soon on two cores.
        (Row(name="mnist-fast", filters=(8, 16), hidden=(128,), norm="batch"), _MNIST),
        (Halving(name="cifar-fast", filters=(32, 96, 192), norm="batch"), _CIFAR),
    )
}  # fmt: skip

_ABOUT = {
    "mnist-baseline": "2 convolutions, 2 dense layers; plain SGD",
    "mnist-optimized": "wider, with BatchNorm, Dropout and Adam",
    "lab-cnn": "1 convolution, a laboratory exercise; 1,000 images",
    "cifar-cnn": "2 convolutions with BatchNorm, Dropout",
    "lenet5": "LeNet-5 with sigmoids and average pooling",
    "cifar-mlp": "1 hidden layer of 1,024 units, BatchNorm, Dropout",
    "resnet20": "9 residual blocks (He et al. 2015)",
    "densenet": "6 densely connected units (Huang et al. 2017)",
    "vgg-small": "3 pairs of convolutions (Simonyan, Zisserman 2015)",
    "mobilenet-small": "5 depthwise blocks (Howard et al. 2017)",
    "mnist-fast": "mnist-baseline with BatchNorm: 99 % in seconds",
    "cifar-fast": "6 convolutions with BatchNorm, pooled early: soon good",
}

PRESETS = ("author", "tuned")


def names() -> tuple[str, ...]:
    """The networks there are.

    Examples
    --------
    >>> names()[:3]
    ('mnist-baseline', 'mnist-optimized', 'lab-cnn')
    """
    return tuple(_NETWORKS)


def about(name: str) -> str:
    """What a network is, in a line.

    Raises
    ------
    ValueError
        If there is no such network.

    Examples
    --------
    >>> about("lenet5")
    'LeNet-5 with sigmoids and average pooling'
    """
    return _ABOUT[known(name)]


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
        What else the network lets be chosen: `filters`, `kernel_size`, `stride`, `padding`, `pool`,
        `hidden`, `dropout`, `activation`, `norm`, `bn_start`, `init`, `init_std`, `depth`,
        `growth`.

    Raises
    ------
    ValueError
        If there is no such network, it does not let that be chosen, or the images are too small for
        it.

    Examples
    --------
    >>> build("cifar-cnn", filters=(32, 64), classes=3).output_shape((8, 3, 32, 32))
    (8, 3)
    """
    name = known(name)
    plan, usual_shape = _NETWORKS[name]
    choices = plan.choices()
    for change in changes:
        if change not in choices:
            others = [other for other in names() if change in _NETWORKS[other][0].choices()]
            raise ValueError(
                f"{name} has no choice of {change!r}; those that have are {', '.join(others)}"
                if others
                else unknown(
                    f"choice for {name}:", change, ("seed", "input_shape", "classes", *choices)
                )
            )
    shape = usual_shape
    if input_shape is not None:
        shape = sizes(name, "input_shape", input_shape)
    if len(shape) != 3:
        raise ValueError(
            f"{name}: input_shape must be (channels, height, width), got {input_shape!r}"
        )
    whole(name, "classes", classes)
    layers = _layers(name, replace(plan, **changes), shape, classes)
    return Sequential(*layers, seed=seed, name=name, input_shape=shape)


def _layers(name: str, plan: Plan, shape: Shape, classes: int) -> list[Layer]:
    """The layers of a plan; where images are too small, a sentence that says which are not."""
    try:
        return plan.layers(shape, classes)
    except ValueError:
        larger = range(min(shape[1:]) + 1, _SIDES)
        side = next((side for side in larger if _fits(plan, (shape[0], side, side), classes)), None)
        if side is None:
            raise
    raise ValueError(
        f"{name}: images of {shape[1]} x {shape[2]} are too small for it; it takes {side} x {side} "
        f"and larger (--size {side})"
    )


def _fits(plan: Plan, shape: Shape, classes: int) -> bool:
    try:
        plan.layers(shape, classes)
    except ValueError:
        return False
    return True


def preset(name: str, kind: str = "author") -> dict[str, Any]:
    """The settings of a network, by their names in `fastcnn.config`.

    Parameters
    ----------
    name : str
        One of `names()`.
    kind : str
        "author": what its author wrote, and no more; "tuned": with the changes that we found
        better, where there are any.

    Raises
    ------
    ValueError
        If there is no such network or no such kind.

    Examples
    --------
    >>> preset("lenet5")["batch_size"]
    64
    """
    name, wanted = known(name), same(kind, PRESETS)
    if wanted is None:
        raise ValueError(unknown("preset", kind, PRESETS))
    return AUTHORS[name] | (TUNED.get(name, {}) if wanted == "tuned" else {})


def known(name: str) -> str:
    """The name as it is listed: "ResNet-20" is resnet20.

    Raises
    ------
    ValueError
        If there is no such network.

    Examples
    --------
    >>> known("ResNet-20")
    'resnet20'
    """
    found = same(name, names())
    if found is None:
        raise ValueError(unknown("model", name, names()))
    return found
