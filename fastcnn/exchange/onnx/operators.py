"""The layer that each operator of ONNX becomes: those with windows and weights."""

from typing import Any

import numpy as np

from ... import layers
from ...layers.symbols import Symbol
from .. import composed
from .at import At

# --- windows --------------------------------------------------------------------------------------


def _ends(at: At, window: list[int], stride: list[int], dilation: list[int]) -> Any:
    """Padding of each axis, [(before, behind), ...], or "same"."""
    rank = len(window)
    way = at.attribute("auto_pad", "NOTSET")
    if way == "SAME_UPPER":
        return "same"
    if way == "SAME_LOWER":
        ends = []
        for size, w, s, d in zip(at.x.seen[1:], window, stride, dilation, strict=True):
            total = max((-(-size // s) - 1) * s + (w - 1) * d + 1 - size, 0)
            ends.append((total - total // 2, total // 2))
        return ends
    if way not in ("NOTSET", "VALID"):
        raise at.refuse(f"its auto_pad is {way!r}")
    pads = at.sizes("pads", 2 * rank, [0] * 2 * rank) if way == "NOTSET" else [0] * 2 * rank
    return list(zip(pads[:rank], pads[rank:], strict=True))


def _padding(ends: Any) -> Any:
    """It as layers take it: of images both axes, of series the pair."""
    if isinstance(ends, str):
        return ends
    return tuple(ends) if len(ends) == 2 else ends[0]


def _moves(at: At, window: list[int]) -> tuple[list[int], list[int]]:
    """Stride and dilation of a window."""
    rank, ones = len(window), [1] * len(window)
    if rank not in (1, 2) or len(at.x.seen) != rank + 1:
        raise at.refuse(
            f"its window has {rank} axes and its input is {('N', *at.x.seen)}; images have 2, "
            f"series 1"
        )
    return at.sizes("strides", rank, ones), at.sizes("dilations", rank, ones)


def _size(values: list[int]) -> Any:
    return tuple(values) if len(values) == 2 else values[0]


# --- convolution and dense layers -----------------------------------------------------------------


def conv(at: At, bias: np.ndarray | None = None) -> Symbol:
    """Conv, with a bias of its own or of the Add behind it."""
    weight = at.array(1, "weight")
    bias = at.optional(2, "bias") if bias is None else bias
    window = list(weight.shape[2:])
    at.only("kernel_shape", window, window, f"its weight has {window}")
    stride, dilation = _moves(at, window)
    ends = _ends(at, window, stride, dilation)
    groups = at.attribute("group", 1)
    kind = layers.Conv2D if len(window) == 2 else layers.Conv1D
    layer = kind(
        weight.shape[1] * groups, weight.shape[0], _size(window), _size(stride), _padding(ends),
        bias is not None, dilation=_size(dilation), groups=groups,
    )  # fmt: skip
    return at.become(layer, arrays=_arrays(weight=weight, bias=bias))


def _arrays(**arrays: np.ndarray | None) -> dict[str, np.ndarray]:
    return {name: array for name, array in arrays.items() if array is not None}


def conv_transpose(at: At, bias: np.ndarray | None = None) -> Symbol:
    """ConvTranspose."""
    weight = at.array(1, "weight")
    bias = at.optional(2, "bias") if bias is None else bias
    window = list(weight.shape[2:])
    if len(window) != 2:
        raise at.refuse("only images, (N, C, H, W), are convolved the other way round")
    stride, dilation = _moves(at, window)
    is_same = at.attribute("auto_pad", "NOTSET").startswith("SAME")
    if is_same or "output_shape" in at.node.attributes:
        raise at.refuse("its padding follows from the size that it should give; write it as pads")
    ends = _ends(at, window, stride, dilation)
    more = at.sizes("output_padding", 2, [0, 0])
    groups = at.attribute("group", 1)
    layer = layers.ConvTranspose2D(
        weight.shape[0], weight.shape[1] * groups, _size(window), _size(stride), _padding(ends),
        _size(more), bias is not None, dilation=_size(dilation), groups=groups,
    )  # fmt: skip
    return at.become(layer, arrays=_arrays(weight=weight, bias=bias))


def gemm(at: At, bias: np.ndarray | None = None) -> Symbol:
    """Gemm, of vectors with a matrix of the file."""
    at.only("transA", 0, 0, "samples are rows here")
    weight = _scaled(at, at.array(1, "weight"), "alpha")
    if at.flag("transB"):
        weight = weight.T
    if at.has(2):
        bias = _scaled(at, at.array(2, "bias"), "beta")
    return _dense(at, weight, bias)


def _scaled(at: At, array: np.ndarray, name: str) -> np.ndarray:
    factor = at.attribute(name, 1.0)
    return array if factor == 1 else array * np.float32(factor)


def matmul(at: At, bias: np.ndarray | None = None) -> Symbol:
    """MatMul, of vectors with a matrix of the file."""
    return _dense(at, at.array(1, "weight"), bias)


def _dense(at: At, weight: np.ndarray, bias: np.ndarray | None) -> Symbol:
    if weight.ndim != 2 or len(at.x.seen) != 1:
        raise at.refuse(
            f"it multiplies {('N', *at.x.seen)} with {weight.shape}, a Dense layer (N, K) with "
            f"(K, M); a Conv of 1 x 1 does it for each pixel"
        )
    inputs, outputs = weight.shape
    if bias is not None:
        if bias.shape not in ((), (1,), (1, 1), (outputs,), (1, outputs)):
            raise at.refuse(f"its bias has shape {bias.shape}, its weight {weight.shape}")
        bias = np.resize(bias, outputs)
    layer = layers.Dense(inputs, outputs, bias is not None)
    return at.become(layer, arrays=_arrays(weight=weight, bias=bias))


# --- pooling --------------------------------------------------------------------------------------


def pool(at: At) -> Symbol:
    """MaxPool and AveragePool."""
    largest = at.node.op == "MaxPool"
    rank = len(at.attribute("kernel_shape", []))
    window = at.sizes("kernel_shape", rank, [])
    stride, dilation = _moves(at, window)
    if max(dilation) > 1 and at.attribute("auto_pad", "NOTSET").startswith("SAME"):
        raise at.refuse("how much padding its auto_pad is with dilations, runtimes do not agree on")
    ends = _ends(at, window, stride, dilation)
    up = at.flag("ceil_mode")
    if not isinstance(ends, str):
        counted = not largest and at.flag("count_include_pad")
        ends, up = _halved(at, window, stride, dilation, ends, up, counted)
    given = {} if largest else {"count_include_pad": at.flag("count_include_pad")}
    if rank == 2:
        kind = layers.MaxPool2D if largest else layers.AveragePool2D
    else:
        kind = layers.MaxPool1D if largest else layers.AveragePool1D
    layer = kind(
        _size(window), _size(stride), _padding(ends), dilation=_size(dilation), ceil_mode=up,
        **given,
    )  # fmt: skip
    return at.become(layer)


def _halved(
    at: At, window: list[int], stride: list[int], dilation: list[int], ends: Any, up: bool,
    counted: bool,
) -> Any:  # fmt: skip
    """Padding of at most half the window, and whether sizes are rounded up, for the same windows.

    Where padding does not count, what lies behind the image may as well be what `ceil_mode` adds.
    """
    found, needs_up = [], up
    for (before, behind), w, d in zip(ends, window, dilation, strict=True):
        half = ((w - 1) * d + 1) // 2
        if behind > half and not counted:
            behind, needs_up = half, True
        found.append((before, behind))
    if found == ends:
        return ends, up
    for size, old, new, w, s, d in zip(
        at.x.seen[1:], ends, found, window, stride, dilation, strict=True
    ):
        reach = (w - 1) * d + 1
        wanted = (size + sum(old) - reach) // s + 1
        outputs = -(-(size + sum(new) - reach) // s) + 1
        outputs -= (outputs - 1) * s >= size + new[0]
        if up or outputs != wanted:
            raise at.refuse(f"its padding {ends} is more than half of its window")
    return found, needs_up


def global_pool(at: At) -> Symbol:
    """GlobalAveragePool and GlobalMaxPool, which keep their axes."""
    return _whole(at, at.node.op == "GlobalMaxPool")


def _whole(at: At, largest: bool) -> Symbol:
    shape = at.x.seen
    if len(shape) == 3:
        kind = layers.AdaptiveMaxPool2D if largest else layers.AdaptiveAveragePool2D
        return at.become(kind(1))
    if len(shape) != 2:
        raise at.refuse(f"its input is {('N', *shape)}, no images or series")
    kind = layers.MaxPool1D if largest else layers.AveragePool1D
    return at.become(kind(shape[1]))


def reduce(at: At) -> Symbol:
    """ReduceMean and ReduceMax over images, or their rows or columns, or series."""
    largest, shape = at.node.op == "ReduceMax", at.x.seen
    axes = at.numbers(1, "axes")
    found = sorted(map(at.axis, axes)) if axes is not None else []
    if len(shape) not in (2, 3) or not found or not 2 <= found[0] <= found[-1] <= len(shape):
        raise at.refuse(
            f"it is over the axes {found} of {('N', *shape)}; images are reduced over 2 and 3, "
            f"series over 2"
        )
    if found != [2, 3]:
        keeps = at.flag("keepdims", 1)
        return composed.reduced(at.x, found, largest, keeps, at.call)
    if at.flag("keepdims", 1):
        return _whole(at, largest)
    return at.become(layers.GlobalMaxPool2D() if largest else layers.GlobalAveragePool2D())


# --- normalisation --------------------------------------------------------------------------------


def batch_norm(at: At) -> Symbol:
    """BatchNormalization, of a network that does not train just now."""
    how = "export the network as it is for prediction"
    at.only("training_mode", 0, 0, how)
    if at.opset < 14 and any(at.node.outputs[1:]):
        raise at.refuse(f"it gives the statistics of a batch, so it is in training; {how}")
    at.only("spatial", 1, 1, "statistics are those of channels here")
    names = ("gamma", "beta", "running_mean", "running_var")
    arrays = {name: at.array(i, name) for i, name in enumerate(names, 1)}
    eps, momentum = at.attribute("epsilon", 1e-5), at.attribute("momentum", 0.9)
    layer = layers.BatchNorm(max(arrays["gamma"].size, 1), momentum, eps)
    return at.become(layer, arrays=arrays)


def instance_norm(at: At) -> Symbol:
    """InstanceNormalization."""
    arrays = {name: at.array(i, name) for i, name in enumerate(("gamma", "beta"), 1)}
    size = max(arrays["gamma"].size, 1)
    layer = layers.InstanceNorm(size, at.attribute("epsilon", 1e-5))
    return at.become(layer, arrays=arrays)


def layer_norm(at: At) -> Symbol:
    """LayerNormalization of vectors: over images it has a scale for each pixel, not channel."""
    if len(at.x.seen) != 1 or at.axis(at.attribute("axis", -1)) != 1:
        raise at.refuse(
            f"it is over {('N', *at.x.seen)}; LayerNorm is over (N, K), and for images what "
            f"save_onnx writes for it, or a GroupNormalization of one group"
        )
    size = at.x.seen[0]
    gamma, beta = at.array(1, "gamma"), at.optional(2, "beta")
    if gamma.shape != (size,):
        raise at.refuse(f"its gamma has shape {gamma.shape} where {(size,)} should be")
    beta = np.zeros_like(gamma) if beta is None else beta
    layer = layers.LayerNorm(size, at.attribute("epsilon", 1e-5))
    return at.become(layer, arrays={"gamma": gamma, "beta": beta})


def group_norm(at: At) -> Symbol:
    """GroupNormalization, which has a scale for each channel from opset 21 on."""
    if at.opset < 21:
        raise at.refuse("before opset 21 its scale is one for each group, not for each channel")
    arrays = {name: at.array(i, name) for i, name in enumerate(("gamma", "beta"), 1)}
    eps = at.attribute("epsilon", 1e-5)
    groups, size = at.attribute("num_groups", 1), max(arrays["gamma"].size, 1)
    return at.become(layers.GroupNorm(groups, size, eps), arrays=arrays)
