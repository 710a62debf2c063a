"""Adaptive pools whose windows overlap, found again in the nodes that `windows` writes for them."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from kernels import spans

from ... import layers
from ...layers import Layer
from .file import Op
from .windows import matrix


class Pool(NamedTuple):
    """What the nodes are.

    Attributes
    ----------
    layer : Layer
    x : str
        The value that goes in.
    sides : tuple of int
        Rows and columns of the images for which the nodes were written: those of x, if they fit.
    """

    layer: Layer
    x: str
    sides: tuple[int, int]


class _Axis(NamedTuple):
    """A pool along one axis: the value that goes in, pixels, outputs."""

    x: str
    size: int
    outputs: int


def find(makers: Mapping[str, Op], arrays: Mapping[str, np.ndarray], value: str) -> Pool | None:
    """The pool whose last node gives a value; None where it is none.

    Parameters
    ----------
    makers : mapping of str to Op
        The node that gives a value.
    arrays : mapping of str to array
        The values that are known.
    """
    last = makers[value]
    if last.op == "Concat":
        along, kind = _largest, layers.AdaptiveMaxPool2D
    elif last.op == "MatMul":
        along, kind = _mean, layers.AdaptiveAveragePool2D
    else:
        return None
    columns = along(makers, arrays, last, 3)
    before = None if columns is None else makers.get(columns.x)
    rows = None if before is None else along(makers, arrays, before, 2)
    if columns is None or rows is None:
        return None
    return Pool(kind((rows.outputs, columns.outputs)), rows.x, (rows.size, columns.size))


def _mean(
    makers: Mapping[str, Op], arrays: Mapping[str, np.ndarray], node: Op, axis: int
) -> _Axis | None:
    """rows @ x, or x @ columns."""
    if node.op != "MatMul" or len(node.inputs) != 2:
        return None
    x, name = node.inputs if axis == 3 else node.inputs[::-1]
    table = arrays.get(name)
    if table is None or x in arrays or table.ndim != 2 or table.size == 0:
        return None
    table = table.T if axis == 3 else table
    outputs, size = table.shape
    wanted = matrix(spans.adaptive(size, outputs), size)
    same = np.array_equal(table, wanted.astype(np.float32))
    return _Axis(x, size, outputs) if same else None


def _largest(
    makers: Mapping[str, Op], arrays: Mapping[str, np.ndarray], node: Op, axis: int
) -> _Axis | None:
    """The largest of each slice of an axis, one behind the other."""
    if node.op != "Concat" or node.attributes.get("axis") != axis:
        return None
    values, ends = set(), []
    for name in node.inputs:
        largest = makers.get(name)
        if largest is None or largest.op != "ReduceMax" or len(largest.inputs) != 1:
            return None
        over = largest.attributes.get("axes"), largest.attributes.get("keepdims", 1)
        cut = makers.get(largest.inputs[0])
        if over != ([axis], 1) or cut is None or cut.op != "Slice" or len(cut.inputs) != 4:
            return None
        numbers = [arrays.get(each) for each in cut.inputs[1:]]
        if any(each is None or each.shape != (1,) for each in numbers):
            return None
        start, stop, along = (int(each[0]) for each in numbers if each is not None)
        if along != axis:
            return None
        values.add(cut.inputs[0])
        ends.append((start, stop))
    if len(values) != 1 or not 0 < ends[-1][1] < 2**31:
        return None
    size = ends[-1][1]  # the last window ends with the axis
    table = spans.adaptive(size, len(ends)).table
    starts, counts = table[:, spans.START], table[:, spans.COUNT]
    same = np.array_equal(ends, np.stack([starts, starts + counts], axis=1))
    return _Axis(values.pop(), size, len(ends)) if same else None
