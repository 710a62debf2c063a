"""How layers with windows and weights are written: convolutions, dense layers, pools."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ...layers.window import padding_before, padding_behind, sides
from .drawing import Pen

Shape = tuple[int, ...]
Writer = Callable[[Pen, Any], str]


def matrix(spans: Any, size: int) -> np.ndarray:
    """(outputs, size): what the means over windows of one axis multiply with."""
    found = np.zeros((len(spans.table), size))
    for row, (start, count, _, divisor) in zip(found, spans.table, strict=True):
        row[start : start + count * spans.step : spans.step] = 1 / divisor
    return found


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
    rank, shape, out = len(pen.shape) - 2, _of_images(pen.shape), _of_images(pen.shape_out)
    before = padding_before(shape, size, a.stride, a.padding, a.dilation)
    if isinstance(a.padding, str) or getattr(a, "ceil_mode", False):
        behind = padding_behind(shape, out[2:], size, a.stride, before, a.dilation)
    else:
        behind = tuple(end for _, end in sides(a.padding))
    return list(before[-rank:]), list(behind[-rank:])


def _of_images(shape: Shape) -> Shape:
    """A series' shape as that of images of one row."""
    return shape if len(shape) == 4 else (*shape[:2], 1, shape[2])


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
    given, x = _window(pen, a, a.pool_size, before + behind), pen.x
    if any(end >= size for end, size in zip(given["pads"], given["kernel_shape"] * 2, strict=True)):
        # ONNX Runtime takes less padding than a window has pixels, however far dilation spreads it.
        pads = pen.number("pads", [0, 0, *before, 0, 0, *behind])
        x = pen.part("Pad", "around", x, pads, pen.number("least", np.finfo(np.float32).min))
        given["pads"] = [0] * len(given["pads"])
    return pen.last("MaxPool", x, **given)


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
    shape = _of_images(pen.shape)
    spans = a._windows(shape)[1]
    if len(spans) != 2:
        spans = a._spans(shape, _of_images(pen.shape_out)[2:])
    rows, columns = (matrix(each, shape[2 + axis]) for axis, each in enumerate(spans))
    x = pen.x
    if len(pen.shape) == 4:
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


# Name of a layer -> what writes it.
WINDOWS: dict[str, Writer] = {
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
    "GlobalAveragePool1D": _global("GlobalAveragePool"),
    "GlobalMaxPool1D": _global("GlobalMaxPool"),
    "AdaptiveAveragePool2D": _adaptive,
    "AdaptiveMaxPool2D": _adaptive,
}
