"""Random layers beside PyTorch's, for `test_geometry`: each maker draws one and its twin."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fastcnn import layers

Shape = tuple[int, ...]
Draw = Callable[[int, int], int]


@dataclass
class Case:
    """A layer of ours, what PyTorch has instead, and an input's shape.

    Attributes
    ----------
    twin : function
        (torch, x, parameters by our names) -> y.
    exact : bool
        Whether whole numbers must give no difference at all; else 1e-5.
    step : int
        The gradient by y is so many times whole numbers, that quotients are whole too.
    kernels : bool
        Whether the three backends have kernels of their own for it.
    """

    layer: layers.Layer
    twin: Callable[[Any, Any, dict[str, Any]], Any]
    shape: Shape
    exact: bool = True
    step: int = 1
    kernels: bool = False
    params: dict[str, Any] = field(default_factory=dict)


def any_shape(draw: Draw, least: int = 1, most: int = 5) -> Shape:
    return tuple(draw(1, 6) for _ in range(draw(least, most)))


def images(draw: Draw, least: int = 1, most: int = 9) -> Shape:
    return (draw(1, 3), draw(1, 20), draw(least, most), draw(least, most))


# --- activations ----------------------------------------------------------------------------------


def elementwise(
    name: str, twin: Callable[[Any, Any], Any], exact: bool = False
) -> Callable[[Draw], Case]:
    def make(draw: Draw) -> Case:
        layer = getattr(layers, name)()
        return Case(layer, lambda torch, x, _: twin(torch, x), any_shape(draw), exact)

    return make


def leaky_relu(draw: Draw) -> Case:
    slope = draw(0, 8) / 4
    return Case(
        layers.LeakyReLU(slope),
        lambda torch, x, _: torch.nn.functional.leaky_relu(x, slope),
        any_shape(draw),
    )


def prelu(draw: Draw) -> Case:
    shape = any_shape(draw, 2, 4) if draw(0, 3) else any_shape(draw)
    channels = shape[1] if len(shape) in (2, 3, 4) and draw(0, 3) else 1
    return Case(
        layers.PReLU(channels),
        lambda torch, x, params: torch.nn.functional.prelu(x, params["alpha"]),
        shape,
    )


def elu(draw: Draw) -> Case:
    alpha = draw(-2, 8) / 4
    return Case(
        layers.ELU(alpha),
        lambda torch, x, _: torch.nn.functional.elu(x, alpha),
        any_shape(draw),
        exact=False,
    )


def gelu(draw: Draw) -> Case:
    how = ("none", "tanh")[draw(0, 1)]
    return Case(
        layers.GELU(how),
        lambda torch, x, _: torch.nn.functional.gelu(x, approximate=how),
        any_shape(draw),
        exact=False,
    )


def softplus(draw: Draw) -> Case:
    beta = draw(1, 8) / 4
    return Case(
        layers.Softplus(beta),
        lambda torch, x, _: torch.nn.functional.softplus(x, beta),
        any_shape(draw),
        exact=False,
    )


def softmax(name: str, function: str) -> Callable[[Draw], Case]:
    def make(draw: Draw) -> Case:
        shape = any_shape(draw)
        axis = draw(-len(shape), len(shape) - 1)
        return Case(
            getattr(layers, name)(axis),
            lambda torch, x, _: getattr(torch.nn.functional, function)(x, dim=axis),
            shape,
            exact=False,
        )

    return make


MAKERS: dict[str, Callable[[Draw], Case]] = {
    "ReLU": elementwise("ReLU", lambda torch, x: torch.relu(x), exact=True),
    "ReLU6": elementwise("ReLU6", lambda torch, x: torch.nn.functional.relu6(x), exact=True),
    "LeakyReLU": leaky_relu,
    "PReLU": prelu,
    "ELU": elu,
    "SELU": elementwise("SELU", lambda torch, x: torch.nn.functional.selu(x)),
    "GELU": gelu,
    "SiLU": elementwise("SiLU", lambda torch, x: torch.nn.functional.silu(x)),
    "Softplus": softplus,
    "Mish": elementwise("Mish", lambda torch, x: torch.nn.functional.mish(x)),
    "Hardswish": elementwise("Hardswish", lambda torch, x: torch.nn.functional.hardswish(x)),
    "Hardsigmoid": elementwise("Hardsigmoid", lambda torch, x: torch.nn.functional.hardsigmoid(x)),
    "Sigmoid": elementwise("Sigmoid", lambda torch, x: torch.sigmoid(x)),
    "Tanh": elementwise("Tanh", lambda torch, x: torch.tanh(x)),
    "Softmax": softmax("Softmax", "softmax"),
    "LogSoftmax": softmax("LogSoftmax", "log_softmax"),
}
