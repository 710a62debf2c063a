"""How each layer is written with the operators of ONNX's version 17."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import layers
from ...layers.window import padding_before, sides
from .drawing import Drawing, Pen, ends_behind, matrix

Shape = tuple[int, ...]
Writer = Callable[[Pen, Any], str]


# --- convolution and dense layers -----------------------------------------------------------------


def _window(pen: Pen, a: Any, size: tuple[int, int], pads: list[int]) -> dict[str, Any]:
    """Attributes of a window, which on series has one axis."""
    rank = len(pen.shape) - 2
    return {
        "kernel_shape": list(size[-rank:]),
        "strides": list(a.stride[-rank:]),
        "dilations": list(a.dilation[-rank:]),
        "pads": pads,
    }


def _around(pen: Pen, a: Any, size: tuple[int, int]) -> tuple[list[int], list[int]]:
    """Padding before and behind, in numbers: where none are given, what the outputs need."""
    rank = len(pen.shape) - 2
    shape = pen.shape if rank == 2 else (*pen.shape[:2], 1, pen.shape[2])
    start = padding_before(shape, size, a.stride, a.padding, a.dilation)
    before = list(start[-rank:])
    if not isinstance(a.padding, str) and not getattr(a, "ceil_mode", False):
        return before, [end for _, end in sides(a.padding)][-rank:]
    return before, ends_behind(a, pen.shape, pen.shape_out, tuple(before))


def _bias(pen: Pen, a: Any) -> tuple[str, ...]:
    return (pen.own("bias"),) if a.bias else ()


def _conv(pen: Pen, a: Any) -> str:
    before, behind = _around(pen, a, a.kernel_size)
    given = _window(pen, a, a.kernel_size, before + behind)
    return pen.last("Conv", pen.x, pen.own("weight"), *_bias(pen, a), group=a.groups, **given)


def _conv_transpose(pen: Pen, a: Any) -> str:
    (top, bottom), (left, right) = sides(a.padding)
    given = _window(pen, a, a.kernel_size, [top, left, bottom, right])
    given["output_padding"] = list(a.output_padding)
    return pen.last(
        "ConvTranspose", pen.x, pen.own("weight"), *_bias(pen, a), group=a.groups, **given
    )


def _dense(pen: Pen, a: Any) -> str:
    return pen.last("Gemm", pen.x, pen.own("weight"), *_bias(pen, a))


# --- pooling --------------------------------------------------------------------------------------


def _max_pool(pen: Pen, a: Any) -> str:
    before, behind = _around(pen, a, a.pool_size)
    return pen.last("MaxPool", **_window(pen, a, a.pool_size, before + behind))


def _average_pool(pen: Pen, a: Any) -> str:
    before, behind = _around(pen, a, a.pool_size)
    given = _window(pen, a, a.pool_size, before + behind)
    rank = len(pen.shape) - 2
    same = isinstance(a.padding, str)
    kept = behind if same else [end for _, end in sides(a.padding)][-rank:]
    beyond = any(end > own for end, own in zip(behind, kept, strict=True))
    counted = a.count_include_pad
    if given.pop("dilations") != [1] * rank or (counted and beyond and any(before + kept)):
        return _by_matrices(pen, a)
    return pen.last("AveragePool", count_include_pad=int(counted and not beyond), **given)


def _by_matrices(pen: Pen, a: Any) -> str:
    """Means whose windows ONNX does not know: rows @ x @ columns."""
    rank = len(pen.shape) - 2
    shape = pen.shape if rank == 2 else (*pen.shape[:2], 1, pen.shape[2])
    out = pen.shape_out[2:] if rank == 2 else (1, pen.shape_out[2])
    spans = a._windows(shape)[1]
    if len(spans) != 2:
        spans = a._spans(shape, out)
    rows, columns = (matrix(each, shape[2 + axis]) for axis, each in enumerate(spans))
    x = pen.x
    if rank == 2:
        x = pen.part("MatMul", "rows", pen.number("of_rows", rows), x)
    return pen.last("MatMul", x, pen.number("of_columns", columns.T))


def _global(op: str) -> Writer:
    def write(pen: Pen, a: Any) -> str:
        return pen.last("Flatten", pen.part(op, "pool"), axis=1)

    return write


def _adaptive(pen: Pen, a: Any) -> str:
    op = "MaxPool" if a.maximum else "AveragePool"
    size, out = pen.shape[2:], pen.shape_out[2:]
    if out == (1, 1):
        return pen.last(f"Global{op}")
    if all(s % o == 0 for s, o in zip(size, out, strict=True)):
        window = [s // o for s, o in zip(size, out, strict=True)]
        return pen.last(op, kernel_shape=window, strides=window)
    if not a.maximum:
        return _by_matrices(pen, a)
    # The largest of each window of rows, then of each window of columns.
    x = pen.x
    for axis, spans in enumerate(a._windows(pen.shape)[1]):
        what, parts = ("rows", "columns")[axis], []
        axes = pen.number("axis" + str(axis + 2), [axis + 2])
        for i, (start, count, *_) in enumerate(spans.table):
            ends = (
                pen.number(f"{what}{i}.{word}", [n])
                for word, n in (("start", start), ("stop", start + count))
            )
            cut = pen.part("Slice", f"{what}{i}", x, *ends, axes)
            parts.append(pen.part("ReduceMax", f"{what}{i}.max", cut, axes=[axis + 2], keepdims=1))
        x = pen.last("Concat", *parts, axis=axis + 2)
    return x


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
    "Conv2D": _conv,
    "Conv1D": _conv,
    "ConvTranspose2D": _conv_transpose,
    "Dense": _dense,
    "MaxPool2D": _max_pool,
    "MaxPool1D": _max_pool,
    "AveragePool2D": _average_pool,
    "AveragePool1D": _average_pool,
    "GlobalAveragePool2D": _global("GlobalAveragePool"),
    "GlobalMaxPool2D": _global("GlobalMaxPool"),
    "AdaptiveAveragePool2D": _adaptive,
    "AdaptiveMaxPool2D": _adaptive,
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
