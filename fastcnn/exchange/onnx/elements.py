"""The layer that each operator of ONNX becomes: elementwise ones, and those that only arrange."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import layers
from ...layers import Layer
from ...layers.symbols import Symbol
from .. import composed
from . import operators
from .at import LARGEST_ATTRIBUTE, At
from .constants import BATCH
from .places import PLACES, Operator
from .wire import shortest

_MOST_CHANNELS = 2**16  # of what gets one number for all


# --- activations ----------------------------------------------------------------------------------


def _plain(kind: Callable[[], Layer]) -> Operator:
    return lambda at: at.become(kind())


def _alpha(kind: Callable[[float], Layer], default: float) -> Operator:
    return lambda at: at.become(kind(at.attribute("alpha", default)))


def _selu(at: At) -> Symbol:
    why = "SELU has the numbers of its paper; ELU takes others"
    at.only("alpha", 1.6732632423543772, 1.6732632423543772, why)
    at.only("gamma", 1.0507009873554805, 1.0507009873554805, why)
    return at.become(layers.SELU())


def _hard_sigmoid(at: At) -> Symbol:
    why = "Hardsigmoid has alpha=1/6 and beta=0.5, as PyTorch and Keras 3 have it"
    at.only("alpha", 0.2, 1 / 6, why)
    at.only("beta", 0.5, 0.5, why)
    return at.become(layers.Hardsigmoid())


def _gelu(at: At) -> Symbol:
    return at.become(layers.GELU(at.attribute("approximate", "none")))


def _clip(at: At) -> Symbol:
    ends = []
    for number, name in ((1, "min"), (2, "max")):
        array = at.optional(number, name)
        value = at.node.attributes.get(name) if array is None else array.ravel()[0]
        ends.append(None if value is None or abs(value) > 3e38 else float(value))
    if ends == [0.0, 6.0]:
        return at.become(layers.ReLU6())
    if ends == [0.0, None]:
        return at.become(layers.ReLU())
    if ends == [None, None]:
        return at.x
    raise at.refuse(f"it is from {ends[0]} to {ends[1]}; ReLU6 is from 0 to 6, ReLU from 0 on")


def _prelu(at: At) -> Symbol:
    values = at.by_channel(at.x.seen, at.array(1, "slope"))
    return at.become(layers.PReLU(values.size), arrays={"alpha": values})


def _softmax(kind: type[layers.Softmax]) -> Operator:
    def make(at: At) -> Symbol:
        axes = len(at.x.seen) + 1
        axis = at.attribute("axis", -1 if at.opset >= 13 else 1)
        if at.opset < 13 and at.axis(axis) != axes - 1:
            raise at.refuse("before opset 13 it is over all axes from one on; export with opset 17")
        # (N, K) has one such axis, which a layer calls 1.
        return at.become(kind(1 if axes == 2 and axis in (1, -1) else axis))

    return make


# --- numbers for each channel ---------------------------------------------------------------------


def affine(at: At) -> Symbol:
    """Add, Sub, Mul, Div of an array: a BatchNorm that is frozen, so that it stays as it is."""
    op = at.node.op
    number = 1 if at.node.inputs[1] in at.values.arrays else 0
    if number == 0 and op == "Div":
        raise at.refuse("it is an array divided by the network's values; a Mul with it would do")
    symbol = at.symbol(1 - number)
    values = at.by_channel(symbol.seen, at.array(number, "array")).astype(np.float32)
    channels, *places = symbol.seen
    if len(places) > 2 or channels > _MOST_CHANNELS:
        raise at.refuse(f"its input is {('N', *symbol.seen)}, no images, series or vectors")
    if op == "Div" and not values.all():
        raise at.refuse("it divides by 0")
    factor = {"Mul": values, "Div": 1 / values if op == "Div" else values}.get(op, 1.0)
    offset = {"Add": values, "Sub": -values if number else values}.get(op, 0.0)
    if op == "Sub" and number == 0:
        factor = -1.0
    return composed.scaled(symbol, factor, offset, at.call)


# --- where branches meet --------------------------------------------------------------------------


def merge(at: At) -> Symbol:
    """Add, Mul and Sum of what follows from the input; one number a channel is spread out."""
    given = [at.symbol(i) for i in range(len(at.node.inputs))]
    kind = layers.Multiply if at.node.op == "Mul" else layers.Add
    if len(given) == 1:
        return given[0]
    return at.become(kind(), *composed.spread(given, at.call))


def _concat(at: At) -> Symbol:
    given = [at.symbol(i) for i in range(len(at.node.inputs))]
    if at.axis(at.attribute("axis", 1)) != 1:
        raise at.refuse("it is along another axis than the channels, 1")
    return given[0] if len(given) == 1 else at.become(layers.Concat(), *given)


# --- arranging ------------------------------------------------------------------------------------


def _shaped(at: At, sizes: list[int]) -> Symbol:
    """What gives samples another shape, if that is another one."""
    if tuple(sizes) == at.x.seen:
        return at.x
    if len(sizes) == 1 and sizes[0] in (-1, math.prod(at.x.seen)):
        return at.become(layers.Flatten())
    return composed.reshaped(at.x, layers.Reshape(sizes).output_shape((1, *at.x.seen))[1:])


def _flatten(at: At) -> Symbol:
    if at.axis(at.attribute("axis", 1)) != 1:
        raise at.refuse("it joins samples with each other; axis=1 does not")
    return at.become(layers.Flatten())


def _reshape(at: At) -> Symbol:
    sizes, seen = at.numbers(1, "shape") or [], at.x.seen
    keeps = not at.flag("allowzero")
    shape = [
        ((BATCH, *seen)[i] if keeps and size == 0 and i <= len(seen) else size)
        for i, size in enumerate(sizes)
    ]
    first, rest = (shape[0], shape[1:]) if shape else (0, [])
    known = math.prod(rest) if -1 not in rest else None
    is_batch = first in (BATCH, at.values.batch) or (first == -1 and known == math.prod(seen))
    if not is_batch or not rest or any(size in (0, BATCH) for size in rest):
        raise at.refuse(
            f"it makes {sizes} of {('N', *seen)}, where the first axis must stay the samples"
        )
    return _shaped(at, rest)


def _squeeze(at: At) -> Symbol:
    shape: list[int] = [BATCH, *at.x.seen]
    axes = at.numbers(1, "axes")
    if axes is None and at.values.batch in (1, BATCH):
        raise at.refuse("it takes the samples' axis too, where there is one sample; give it axes")
    chosen = [i for i, s in enumerate(shape) if s == 1] if axes is None else map(at.axis, axes)
    gone = set(chosen)
    if 0 in gone or any(not 0 < axis < len(shape) or shape[axis] != 1 for axis in gone):
        raise at.refuse(f"it takes axes {axes} from {('N', *at.x.seen)}")
    return _shaped(at, [size for i, size in enumerate(shape) if i and i not in gone])


def _unsqueeze(at: At) -> Symbol:
    axes = at.numbers(1, "axes") or []
    count = len(at.x.seen) + 1 + len(axes)
    new = sorted(axis + count if axis < 0 else axis for axis in axes)
    shape = list(at.x.seen)
    for axis in new:
        if not 0 < axis <= len(shape) + 1:
            raise at.refuse(f"it puts axes {axes} into {('N', *shape)}")
        shape.insert(axis - 1, 1)
    return _shaped(at, shape)


def _pad(at: At) -> Symbol:
    pads, axes = at.numbers(1, "pads") or [], at.numbers(3, "axes")
    rank, mode = len(at.x.seen) + 1, at.attribute("mode", "constant")
    value = at.optional(2, "value")
    constant = at.attribute("value", 0.0) if value is None else shortest(value.ravel()[0])
    if axes is not None and len(pads) == 2 * len(axes):
        spread = [0] * 2 * rank
        for i, axis in enumerate(map(at.axis, axes)):
            spread[axis], spread[rank + axis] = pads[i], pads[i + len(axes)]
        pads = spread
    if rank not in (3, 4) or len(pads) != 2 * rank or pads[0] or pads[rank]:
        raise at.refuse(
            f"it pads {('N', *at.x.seen)} by {pads}; Pad is for images, (N, C, H, W), and series"
        )
    if max(map(abs, pads)) > LARGEST_ATTRIBUTE:
        raise at.refuse(f"it pads by {pads}")
    names = {"constant": "constant" if constant else "zeros", "edge": "replicate"}
    way = str(names.get(mode, mode))
    ends = list(zip(pads[2:rank], pads[rank + 2 :], strict=True))
    x, channels = at.x, (pads[1], pads[rank + 1])
    if any(channels):
        if way != "zeros" or min(channels) < 0:
            raise at.refuse(f"it pads channels by {channels}, which only zeros can do")
        front, behind = ([composed.ZERO] * each for each in channels)
        x = composed.picked(x, [*front, *range(x.seen[0]), *behind], at.call)
    if not any(map(any, ends)):
        return x
    rows, columns = [(0, 0)] * (4 - rank) + ends
    layer = layers.Pad((rows, columns), way, constant if mode == "constant" else 0.0)
    return composed.of_images(layer, x, at.call)


def _depth_to_space(at: At) -> Symbol:
    at.only("mode", "DCR", "CRD", "PixelShuffle is mode CRD")
    return at.become(layers.PixelShuffle(at.attribute("blocksize", 1)))


def _resize(at: At) -> Symbol:
    last = at.node.op == "Resize" and at.opset >= 11
    mode = at.attribute("mode", "nearest")
    way = at.attribute("coordinate_transformation_mode", "half_pixel" if last else "asymmetric")
    rounding = at.attribute("nearest_mode", "round_prefer_floor" if last else "floor")
    seen = at.x.seen
    if len(seen) != 3:
        raise at.refuse(f"its input is {('N', *seen)}, no images")
    factors = _factors(at, 2 if last else 1)
    sizes = at.numbers(3, "sizes") if last and at.has(3) else None
    if sizes is not None:
        start, channels, *out = _at_axes(at, sizes, [BATCH, *seen])
        keeps = start in (BATCH, at.values.batch) and channels == seen[0]
    else:
        out = [
            math.floor(size * factor) for size, factor in zip(seen[1:], factors[2:], strict=True)
        ]
        keeps = factors[:2] == [1.0, 1.0]
        exact = [size * factor for size, factor in zip(seen[1:], factors[2:], strict=True)]
        if not np.allclose(exact, out, rtol=1e-6):
            raise at.refuse(f"it makes {out} rows and columns of {exact}; give it whole sizes")
    if not keeps or min(out) < 1:
        raise at.refuse("it changes more than the rows and columns of images")
    whole = all(new % old == 0 for old, new in zip(seen[1:], out, strict=True))
    several = min(out) > 1  # pytorch_half_pixel is another way for one pixel
    at.only("antialias", 0, 0, "Upsample has none")
    at.only("keep_aspect_ratio_policy", "stretch", "stretch", "its sizes are those of Upsample")
    ways = {
        ("linear", "half_pixel"): (False, True), ("linear", "pytorch_half_pixel"): (False, several),
        ("linear", "align_corners"): (True, True),
        ("nearest", "asymmetric"): (False, rounding == "floor"),
        ("nearest", "half_pixel"): (False, whole and rounding.startswith("round_prefer")),
    }  # fmt: skip
    corners, fits = ways.get((mode, way), (False, False))
    if not fits:
        raise at.refuse(
            f"mode={mode!r} with {way!r} and {rounding!r} is not known; Upsample is 'linear' with "
            f"'half_pixel' or 'align_corners', and 'nearest' with 'asymmetric' and 'floor'"
        )
    given: dict[str, Any] = {"mode": "bilinear" if mode == "linear" else "nearest"}
    given["align_corners"] = corners
    if whole:
        given["scale_factor"] = tuple(new // old for old, new in zip(seen[1:], out, strict=True))
    else:
        given["size"] = tuple(out)
    return at.become(layers.Upsample(**given))


def _factors(at: At, number: int) -> list[float]:
    array = at.optional(number, "scales")
    found = at.node.attributes.get("scales", [1.0] * 4) if array is None else array.ravel().tolist()
    if array is not None and array.size == 0:
        return [1.0] * 4
    if not all(0 < each < 2**16 for each in found):
        raise at.refuse(f"its scales are {found[:8]}")
    return [float(each) for each in _at_axes(at, found, [1.0] * 4)]


def _at_axes(at: At, given: list[Any], found: list[Any]) -> list[Any]:
    """One for each axis: those that are given, for all axes or those that the node names."""
    axes = [at.axis(axis) for axis in at.attribute("axes", [0, 1, 2, 3])]
    if len(given) != len(axes) or len({*axes} & {0, 1, 2, 3}) != len(axes):
        raise at.refuse(f"its scales or sizes are {given[:8]}, for the axes {axes[:8]}")
    for axis, each in zip(axes, given, strict=True):
        found[axis] = each
    return found


def _dropout(at: At) -> Symbol:
    training = at.optional(2, "training_mode")
    if training is not None and training.any():
        raise at.refuse("it drops in prediction too; export the network as it is for prediction")
    ratio = at.optional(1, "ratio")
    rate = at.attribute("ratio", 0.5) if ratio is None else shortest(ratio.ravel()[0])
    return at.become(layers.Dropout(rate))


def _cast(at: At) -> Symbol:
    at.only("to", 1, 1, "networks compute with floats here")
    return at.x


# Operator -> the layer it becomes.
OPERATORS: dict[str, Operator] = {
    **PLACES,
    "Conv": operators.conv,
    "ConvTranspose": operators.conv_transpose,
    "Gemm": operators.gemm,
    "MatMul": operators.matmul,
    "MaxPool": operators.pool,
    "AveragePool": operators.pool,
    "GlobalAveragePool": operators.global_pool,
    "GlobalMaxPool": operators.global_pool,
    "ReduceMean": operators.reduce,
    "ReduceMax": operators.reduce,
    "BatchNormalization": operators.batch_norm,
    "InstanceNormalization": operators.instance_norm,
    "GroupNormalization": operators.group_norm,
    "LayerNormalization": operators.layer_norm,
    "Relu": _plain(layers.ReLU),
    "Sigmoid": _plain(layers.Sigmoid),
    "Tanh": _plain(layers.Tanh),
    "Softplus": _plain(layers.Softplus),
    "Mish": _plain(layers.Mish),
    "HardSwish": _plain(layers.Hardswish),
    "LeakyRelu": _alpha(layers.LeakyReLU, 0.01),
    "Elu": _alpha(layers.ELU, 1.0),
    "Selu": _selu,
    "HardSigmoid": _hard_sigmoid,
    "Gelu": _gelu,
    "Clip": _clip,
    "PRelu": _prelu,
    "Softmax": _softmax(layers.Softmax),
    "LogSoftmax": _softmax(layers.LogSoftmax),
    "Add": merge,
    "Sum": merge,
    "Mul": merge,
    "Concat": _concat,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Pad": _pad,
    "Resize": _resize,
    "Upsample": _resize,
    "DepthToSpace": _depth_to_space,
    "Dropout": _dropout,
    "Identity": lambda at: at.x,
    "Cast": _cast,
}

# What is unknown -> what could stand there instead.
INSTEAD = {
    "LRN": "a BatchNormalization",
    "LpPool": "an AveragePool or a MaxPool",
    "Celu": "an Elu",
    "Softsign": "a Tanh",
    "ThresholdedRelu": "a Relu",
    "Swish": "a Sigmoid and a Mul",
    "Einsum": "a Gemm",
    "QLinearConv": "a file with floats, from before the quantization",
    "DequantizeLinear": "a file with floats, from before the quantization",
    "ConvInteger": "a file with floats, from before the quantization",
    "MatMulInteger": "a file with floats, from before the quantization",
    "Shape": "an export for images of a fixed size",
    "LSTM": "convolutions: there are no recurrent layers here",
    "GRU": "convolutions: there are no recurrent layers here",
    "RNN": "convolutions: there are no recurrent layers here",
}
