"""Random layers beside PyTorch's, for `test_geometry`: each maker draws one and its twin."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastcnn import layers
from kernels import spans

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
    x_step : int
        And x, where PyTorch divides more than once.
    kernels : bool
        Whether the three backends have kernels of their own for it.
    """

    layer: layers.Layer
    twin: Callable[[Any, Any, dict[str, Any]], Any]
    shape: Shape
    exact: bool = True
    step: int = 1
    x_step: int = 1
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


# --- pooling --------------------------------------------------------------------------------------


def _pair(draw: Draw, low: int, high: int) -> tuple[int, int]:
    return draw(low, high), draw(low, high)


def _moving(draw: Draw, ceil_mode: bool, dilations: int = 3) -> tuple[dict[str, Any], Shape]:
    """Arguments of a window, and images that are no smaller."""
    size, dilation = _pair(draw, 1, 4), _pair(draw, 1, dilations)
    if ceil_mode:  # which PyTorch has for padding that is the same at both ends
        ends = [(pad, pad) for pad in (draw(0, size[0] // 2), draw(0, size[1] // 2))]
    else:
        ends = [_pair(draw, 0, each // 2) for each in size]
    arguments = {
        "pool_size": size, "stride": _pair(draw, 1, 5), "padding": tuple(ends),
        "dilation": dilation, "ceil_mode": ceil_mode,
    }  # fmt: skip
    least = [(each - 1) * gap + 1 for each, gap in zip(size, dilation, strict=True)]
    shape = (draw(1, 3), draw(1, 20), draw(least[0], least[0] + 6), draw(least[1], least[1] + 6))
    return arguments, shape


def _padded(torch: Any, x: Any, padding: Any, value: float) -> Any:
    (top, bottom), (left, right) = padding
    return torch.nn.functional.pad(x, (left, right, top, bottom), value=value)


def max_pool(draw: Draw) -> Case:
    ceil_mode = bool(draw(0, 1))
    given, shape = _moving(draw, ceil_mode)

    def twin(torch: Any, x: Any, _: Any) -> Any:
        pads = [ends[0] for ends in given["padding"]] if ceil_mode else 0
        x = x if ceil_mode else _padded(torch, x, given["padding"], -float("inf"))
        return torch.nn.functional.max_pool2d(
            x, given["pool_size"], given["stride"], pads, given["dilation"], ceil_mode
        )

    return Case(layers.MaxPool2D(**given), twin, shape, kernels=True)


def average_pool(draw: Draw) -> Case:
    """Beside avg_pool2d where that has such a case, else beside sums of windows."""
    ceil_mode, count = bool(draw(0, 1)), bool(draw(0, 1))
    given, shape = _moving(draw, ceil_mode, dilations=1 if ceil_mode else 3)

    def twin(torch: Any, x: Any, _: Any) -> Any:
        if ceil_mode:
            pads = [ends[0] for ends in given["padding"]]
            return torch.nn.functional.avg_pool2d(
                x, given["pool_size"], given["stride"], pads, True, count
            )
        window = torch.ones(1, 1, *given["pool_size"])

        def sums(images: Any) -> Any:
            flat = images.reshape(-1, 1, *images.shape[2:])
            moves = given["stride"], 0, given["dilation"]
            summed = torch.nn.functional.conv2d(flat, window, None, *moves)
            return summed.reshape(*images.shape[:2], *summed.shape[2:])

        zeros = _padded(torch, x, given["padding"], 0)
        counted = torch.ones_like(zeros) if count else _padded(
            torch, torch.ones_like(x), given["padding"], 0
        )  # fmt: skip
        return sums(zeros) / sums(counted)

    step = 144  # a multiple of every number of places
    return Case(
        layers.AveragePool2D(**given, count_include_pad=count), twin, shape, step=step, kernels=True
    )


def of_series(maker: Callable[[Draw], Case]) -> Callable[[Draw], Case]:
    """The same on images of one row."""

    def make(draw: Draw) -> Case:
        case = maker(draw)
        while case.layer.pool_size[0] > 1:  # type: ignore[attr-defined]
            case = maker(draw)
        given = case.layer.arguments()
        flat = {
            name: value[1] if isinstance(value, list) and name != "padding" else value
            for name, value in given.items()
        }
        if isinstance(given["padding"], list):
            flat["padding"] = given["padding"][1]
        flat.pop("dilation", None)
        flat["dilation"] = case.layer.dilation[1]  # type: ignore[attr-defined]
        kind = {"MaxPool2D": layers.MaxPool1D, "AveragePool2D": layers.AveragePool1D}
        layer = kind[type(case.layer).__name__](**flat)

        def twin(torch: Any, x: Any, params: Any) -> Any:
            return case.twin(torch, x[:, :, None], params)[:, :, 0]

        shape = (*case.shape[:2], case.shape[3])
        return Case(layer, twin, shape, step=case.step, kernels=True)

    return make


def adaptive(name: str, function: str) -> Callable[[Draw], Case]:
    def make(draw: Draw) -> Case:
        shape = images(draw)
        size = (draw(1, 7), draw(1, 7))
        asked = (None if draw(0, 4) == 0 else size[0], None if draw(0, 4) == 0 else size[1])
        counts = [
            np.lcm.reduce(spans.adaptive(pixels, outputs or pixels).table[:, spans.COUNT])
            for pixels, outputs in zip(shape[2:], asked, strict=True)
        ]
        step = int(counts[0] * counts[1]) if "Average" in name else 1
        return Case(
            getattr(layers, name)(asked),
            lambda torch, x, _: getattr(torch.nn.functional, function)(x, asked),
            shape, step=step, x_step=step, kernels=True,
        )  # fmt: skip

    return make


def overall(name: str, function: str) -> Callable[[Draw], Case]:
    def make(draw: Draw) -> Case:
        shape = images(draw)
        return Case(
            getattr(layers, name)(),
            lambda torch, x, _: getattr(torch, function)(x.flatten(2), 2),
            shape, step=shape[2] * shape[3], kernels=True,
        )  # fmt: skip

    return make


def first_of_largest(torch: Any, x: Any, _: Any) -> Any:
    return torch.nn.functional.max_pool2d(x, x.shape[2:])[:, :, 0, 0]


# --- other sizes and orders -----------------------------------------------------------------------


def pad(draw: Draw) -> Case:
    mode, shape = ("zeros", "constant", "reflect", "replicate")[draw(0, 3)], images(draw)
    most = [size - 1 if mode == "reflect" else 4 for size in shape[2:]]
    least = -1 if mode in ("zeros", "constant") and min(shape[2:]) > 2 else 0
    ends = tuple(_pair(draw, least, min(each, 4)) for each in most)
    value = float(draw(-3, 3)) if mode == "constant" else 0.0

    def twin(torch: Any, x: Any, _: Any) -> Any:
        (top, bottom), (left, right) = ends
        how = {"value": value} if mode == "constant" else {}
        name = "constant" if mode == "zeros" else mode
        return torch.nn.functional.pad(x, (left, right, top, bottom), name, **how)

    return Case(layers.Pad(ends, mode, value), twin, shape)


def upsample(draw: Draw) -> Case:
    bilinear, corners, shape = bool(draw(0, 1)), bool(draw(0, 1)), images(draw)
    options: dict[str, Any] = {"mode": "nearest"}
    if bilinear:
        options = {"mode": "bilinear", "align_corners": corners}
    options["scale_factor" if draw(0, 1) else "size"] = _pair(draw, 1, 4 if draw(0, 1) else 17)
    return Case(
        layers.Upsample(**options),
        lambda torch, x, _: torch.nn.functional.interpolate(x, **options),
        shape,
        exact=not bilinear,
    )


def pixel_shuffle(draw: Draw) -> Case:
    r, (batch, channels, *size) = draw(1, 4), images(draw)
    return Case(
        layers.PixelShuffle(r),
        lambda torch, x, _: torch.nn.functional.pixel_shuffle(x, r),
        (batch, channels * r * r, *size),
    )


def reshape(draw: Draw) -> Case:
    sizes = [draw(1, 4) for _ in range(draw(1, 4))]
    shape = [sizes[i] for i in np.argsort([draw(0, 99) for _ in sizes])]
    if draw(0, 1):
        shape[draw(0, len(shape) - 1)] = -1
    batch = draw(1, 3)
    return Case(
        layers.Reshape(shape),
        lambda torch, x, _: x.reshape(batch, *shape),
        (batch, *sizes),
    )


def instance_norm(draw: Draw) -> Case:
    """Of images large enough that no gradient is a difference of nearly equal numbers."""
    shape = images(draw, least=3)
    return Case(
        layers.InstanceNorm(shape[1], eps=0.5),
        lambda torch, x, params: torch.nn.functional.instance_norm(
            x, None, None, params["gamma"], params["beta"], eps=0.5
        ),
        shape,
        exact=False,
    )


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
    "MaxPool2D": max_pool,
    "AveragePool2D": average_pool,
    "MaxPool1D": of_series(max_pool),
    "AveragePool1D": of_series(average_pool),
    "GlobalMaxPool2D": lambda draw: Case(
        layers.GlobalMaxPool2D(), first_of_largest, images(draw), kernels=True
    ),
    "GlobalAveragePool2D": overall("GlobalAveragePool2D", "mean"),
    "AdaptiveMaxPool2D": adaptive("AdaptiveMaxPool2D", "adaptive_max_pool2d"),
    "AdaptiveAveragePool2D": adaptive("AdaptiveAveragePool2D", "adaptive_avg_pool2d"),
    "Pad": pad,
    "Upsample": upsample,
    "PixelShuffle": pixel_shuffle,
    "Reshape": reshape,
    "InstanceNorm": instance_norm,
}
