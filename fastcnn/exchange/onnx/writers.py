"""How each layer is written with the operators of ONNX's version 17."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import layers
from ...layers.window import sides
from .drawing import Drawing, Pen
from .windows import WINDOWS

Shape = tuple[int, ...]
Writer = Callable[[Pen, Any], str]


# --- normalisation --------------------------------------------------------------------------------


def _batch_norm(pen: Pen, a: Any) -> str:
    arrays = map(pen.own, ("gamma", "beta", "running_mean", "running_var"))
    return pen.last("BatchNormalization", pen.x, *arrays, epsilon=a.eps, momentum=a.momentum)


def _instance_norm(pen: Pen, a: Any) -> str:
    arrays = pen.own("gamma"), pen.own("beta")
    return pen.last("InstanceNormalization", pen.x, *arrays, epsilon=a.eps)


def _group_norm(pen: Pen, a: Any) -> str:
    """Groups are the channels of an InstanceNormalization; then each channel is scaled."""
    apart = pen.part("Reshape", "groups", pen.x, pen.number("apart", [0, a.num_groups, -1]))
    ones, zeros = np.ones(a.num_groups), np.zeros(a.num_groups)
    alike = pen.part(
        "InstanceNormalization", "alike", apart, pen.number("ones", ones),
        pen.number("zeros", zeros), epsilon=a.eps,
    )  # fmt: skip
    back = pen.part("Reshape", "back", alike, pen.number("shape", [0, *pen.shape[1:]]))
    ones_behind = (1,) * (len(pen.shape) - 2)
    gamma, beta = (
        pen.own(name, a.params[name].reshape(-1, *ones_behind)) for name in ("gamma", "beta")
    )
    return pen.last("Add", pen.part("Mul", "scaled", back, gamma), beta)


# --- activations ----------------------------------------------------------------------------------


def _plain(op: str, **attributes: Any) -> Writer:
    return lambda pen, a: pen.last(op, **attributes)


def _with(op: str, *names: str) -> Writer:
    return lambda pen, a: pen.last(op, **{name: getattr(a, name) for name in names})


def _relu6(pen: Pen, a: Any) -> str:
    return pen.last("Clip", pen.x, pen.number("least", 0.0), pen.number("most", 6.0))


def _prelu(pen: Pen, a: Any) -> str:
    ones = (1,) * (len(pen.shape) - 2)
    return pen.last("PRelu", pen.x, pen.own("alpha", a.params["alpha"].reshape(-1, *ones)))


def _silu(pen: Pen, a: Any) -> str:
    return pen.last("Mul", pen.x, pen.part("Sigmoid", "sigmoid"))


def _mish(pen: Pen, a: Any) -> str:
    return pen.last("Mul", pen.x, pen.part("Tanh", "tanh", pen.part("Softplus", "softplus")))


def _softplus(pen: Pen, a: Any) -> str:
    if a.beta == 1:
        return pen.last("Softplus")
    beta = pen.number("beta", a.beta)
    sharp = pen.part("Softplus", "softplus", pen.part("Mul", "scaled", pen.x, beta))
    return pen.last("Div", sharp, beta)


def _gelu(pen: Pen, a: Any) -> str:
    """As PyTorch's exporter writes the two, so that others recognise them."""
    if a.approximate == "none":
        scaled = pen.part("Div", "scaled", pen.x, pen.number("root2", np.sqrt(2)))
        bent = pen.part("Erf", "erf", scaled)
    else:
        cube = pen.part("Mul", "cube", pen.x, pen.part("Mul", "square", pen.x, pen.x))
        small = pen.part("Mul", "small", pen.number("factor", 0.044715), cube)
        total = pen.part("Add", "sum", pen.x, small)
        scaled = pen.part("Mul", "scaled", pen.number("root", np.sqrt(2 / np.pi)), total)
        bent = pen.part("Tanh", "tanh", scaled)
    weight = pen.part("Add", "weight", bent, pen.number("one", 1.0))
    return pen.last("Mul", pen.part("Mul", "product", pen.x, weight), pen.number("half", 0.5))


# --- arranging ------------------------------------------------------------------------------------


def _reshape(pen: Pen, a: Any) -> str:
    return pen.last("Reshape", pen.x, pen.number("shape", [0, *a.shape]))


def _pad(pen: Pen, a: Any) -> str:
    (top, bottom), (left, right) = sides(a.padding)
    pads = pen.number("pads", [0, 0, top, left, 0, 0, bottom, right])
    mode = {"reflect": "reflect", "replicate": "edge"}.get(a.mode, "constant")
    value = (pen.number("value", a.value),) if mode == "constant" else ()
    return pen.last("Pad", pen.x, pads, *value, mode=mode)


def _upsample(pen: Pen, a: Any) -> str:
    size, out = pen.shape[2:], pen.shape_out[2:]
    bilinear = a.mode == "bilinear"
    given = {"mode": "linear" if bilinear else "nearest"}
    way = "align_corners" if a.align_corners else "half_pixel"
    given["coordinate_transformation_mode"] = way if bilinear else "asymmetric"
    if not bilinear:
        given["nearest_mode"] = "floor"
        if not _is_plainly_nearest(a, size, out):
            return _gathered(pen, a, size, out)
    if all(o % s == 0 for s, o in zip(size, out, strict=True)):
        factors = [1.0, 1.0, *(o / s for s, o in zip(size, out, strict=True))]
        return pen.last("Resize", pen.x, "", pen.number("scales", factors), **given)
    start = pen.part("Shape", "images", pen.x, start=0, end=2)
    sizes = pen.part("Concat", "sizes", start, pen.number("size", list(out)), axis=0)
    return pen.last("Resize", pen.x, "", "", sizes, **given)


def _is_plainly_nearest(a: Any, size: Shape, out: Shape) -> bool:
    """Whether o // factor is where output o comes from: so all runtimes understand it."""
    if any(o % s for s, o in zip(size, out, strict=True)):
        return False
    return all(
        (_places(a, s, o) == np.arange(o) // (o // s)).all() for s, o in zip(size, out, strict=True)
    )


def _places(a: Any, size: int, outputs: int) -> np.ndarray:
    """Which pixel of an axis each output is a copy of."""
    return a._taps(size, outputs, 0).table[:, 0]


def _gathered(pen: Pen, a: Any, size: Shape, out: Shape) -> str:
    rows, columns = (
        pen.number(what, _places(a, s, o))
        for what, s, o in zip(("of_rows", "of_columns"), size, out, strict=True)
    )
    return pen.last("Gather", pen.part("Gather", "rows", pen.x, rows, axis=2), columns, axis=3)


def _sum(pen: Pen, a: Any) -> str:
    return pen.last("Add" if len(pen.xs) == 2 else "Sum", *pen.xs)


def _product(pen: Pen, a: Any) -> str:
    x, *others, final = pen.xs
    for i, other in enumerate(others):
        x = pen.part("Mul", f"product{i}", x, other)
    return pen.last("Mul", x, final)


# Name of a layer -> what writes it.
_WRITERS: dict[str, Writer] = {
    **WINDOWS,
    "BatchNorm": _batch_norm,
    "InstanceNorm": _instance_norm,
    "GroupNorm": _group_norm,
    "LayerNorm": _group_norm,
    "ReLU": _plain("Relu"),
    "ReLU6": _relu6,
    "LeakyReLU": _with("LeakyRelu", "alpha"),
    "PReLU": _prelu,
    "ELU": _with("Elu", "alpha"),
    "SELU": _plain("Selu"),
    "GELU": _gelu,
    "SiLU": _silu,
    "Mish": _mish,
    "Softplus": _softplus,
    "Sigmoid": _plain("Sigmoid"),
    "Tanh": _plain("Tanh"),
    "Hardswish": _plain("HardSwish"),
    "Hardsigmoid": _plain("HardSigmoid", alpha=1 / 6, beta=0.5),
    "Softmax": _with("Softmax", "axis"),
    "LogSoftmax": _with("LogSoftmax", "axis"),
    "Flatten": _plain("Flatten", axis=1),
    "Reshape": _reshape,
    "PixelShuffle": lambda pen, a: pen.last("DepthToSpace", blocksize=a.upscale_factor, mode="CRD"),
    "Pad": _pad,
    "Upsample": _upsample,
    "Dropout": lambda pen, a: pen.last("Dropout", pen.x, pen.number("ratio", a.rate)),
    "SpatialDropout": lambda pen, a: pen.x,
    "Add": _sum,
    "Multiply": _product,
    "Concat": lambda pen, a: pen.last("Concat", *pen.xs, axis=1),
}


def write(drawing: Drawing, layer: Any, path: str, xs: tuple[str, ...], shapes: Any) -> str:
    """Draw a layer and those inside it; gives the name of what it gives.

    Parameters
    ----------
    shapes : tuple
        Of what goes in, with a batch of one; one for each where it takes several.

    Raises
    ------
    ValueError
        If no operator does what it does; names the layer.
    """
    kind = type(layer).__name__
    if type(layer) is not getattr(layers, kind, None):
        raise ValueError(
            f"{layer.name} (layer {path}): save_onnx knows no operator of ONNX for a layer of your "
            f"own; known are those of fastcnn.layers"
        )
    if isinstance(layer, (layers.Residual, layers.Concatenate)):
        return _block(drawing, layer, path, xs[0], shapes)
    pen = Pen(drawing, layer, path, xs)
    pen.shape_out = layer.output_shape(shapes)
    pen.shape = shapes[0] if layer.takes_several else shapes
    return _WRITERS[kind](pen, layer)


def _block(drawing: Drawing, block: Any, path: str, x: str, shape: Shape) -> str:
    """Two ways through a block, and where they meet."""
    ends: list[str] = []
    shapes: list[Shape] = []
    for name, row in block.rows().items():
        value, inside = x, shape
        for i, layer in enumerate(row):
            value = write(drawing, layer, f"{path}.{name}.{i}", (value,), inside)
            inside = layer.output_shape(inside)
        ends.append(value)
        shapes.append(inside)
    if isinstance(block, layers.Concatenate):
        return drawing.add("Concat", (x, *ends), f"{path}.Concatenate", axis=1)
    total = drawing.add("Add", (ends[0], ends[1] if len(ends) > 1 else x), f"{path}.Residual")
    if block.activation is None:
        return total
    return write(drawing, block.activation, f"{path}.activation", (total,), shapes[0])
