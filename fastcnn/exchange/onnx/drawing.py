"""A graph of ONNX nodes while it is drawn: names, nodes, arrays; and what becomes of them."""

import math
from typing import Any, NamedTuple

import numpy as np

Shape = tuple[int, ...]


class Node(NamedTuple):
    """An operator on named values.

    Attributes
    ----------
    op, name : str
        "Conv" and "0.Conv2D".
    inputs : tuple of str
        Values or arrays; "" for one that is left out.
    output : str
        The value that it gives.
    attributes : dict
        As `onnx.helper.make_node` takes them.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]


class Drawing:
    """Nodes in the order in which they run, and the arrays that they are given.

    Attributes
    ----------
    nodes : list of Node
    arrays : dict of str to array
        float32 or int64.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.arrays: dict[str, np.ndarray] = {}
        self._taken: set[str] = set()

    def add(self, op: str, inputs: tuple[str, ...], name: str, **attributes: Any) -> str:
        """One more node; gives the name of what it computes, which is its own."""
        name = self.unique(name)
        self.nodes.append(Node(op, name, inputs, name, attributes))
        return name

    def unique(self, name: str) -> str:
        """The name, or with a number behind it where it is taken: by a layer called before."""
        found, count = name, 1
        while found in self._taken:
            count += 1
            found = f"{name}_{count}"
        self._taken.add(found)
        return found

    def array(self, name: str, values: Any) -> str:
        """An array that a node is given; of a layer that is called twice there is one."""
        values = np.asarray(values)
        values = values.astype(np.int64 if values.dtype.kind in "iu" else np.float32)
        self.arrays.setdefault(name, values)
        self._taken.add(name)
        return name


class Pen:
    """What draws one layer.

    Attributes
    ----------
    layer : Layer
    x, xs : str, tuple of str
        What it is given.
    shape, shape_out : tuple of int
        Of x and of what it gives, with a batch of one.
    """

    def __init__(self, drawing: Drawing, layer: Any, path: str, xs: tuple[str, ...]) -> None:
        self.drawing, self.layer, self.xs = drawing, layer, xs
        self.x = xs[0]
        self.path, self.name = path, f"{path}.{type(layer).__name__}"
        self.shape: Shape = ()
        self.shape_out: Shape = ()

    def last(self, op: str, *inputs: str, **attributes: Any) -> str:
        """The node that gives what the layer gives: it has the layer's name."""
        return self.drawing.add(op, inputs or (self.x,), self.name, **attributes)

    def part(self, op: str, what: str, *inputs: str, **attributes: Any) -> str:
        """A node on the way there."""
        return self.drawing.add(op, inputs or (self.x,), f"{self.name}.{what}", **attributes)

    def own(self, name: str, turned: Any = None) -> str:
        """An array of the layer's; turned : what to write instead of it."""
        values = (self.layer.params | self.layer.state)[name] if turned is None else turned
        return self.drawing.array(f"{self.path}.{name}", values)

    def number(self, what: str, values: Any) -> str:
        """A constant of the formula."""
        return self.drawing.array(f"{self.name}.{what}", values)


# --- BatchNorm in what stands before it -----------------------------------------------------------

# Operator -> the axis of its weight that the outputs are on.
_AXES = {"Conv": 0, "ConvTranspose": 1, "Gemm": 1}


def fold(drawing: Drawing, outputs: list[str]) -> None:
    """Multiply each BatchNormalization into the weights before it, where nothing else needs them.

        gamma * (x @ weight + bias - mean) / sqrt(variance + eps) + beta

    is of the same form, with weight * factor and (bias - mean) * factor + beta for
    factor = gamma / sqrt(variance + eps), computed in double precision.
    """
    uses: dict[str, int] = dict.fromkeys(outputs, 1)
    for node in drawing.nodes:
        for name in node.inputs:
            uses[name] = uses.get(name, 0) + 1
    makers = {node.output: node for node in drawing.nodes}
    kept: list[Node] = []
    for node in drawing.nodes:
        maker = makers.get(node.inputs[0]) if node.op == "BatchNormalization" else None
        alone = maker is not None and all(
            uses[name] == 1 for name in (*maker.inputs[1:], maker.output)
        )
        if maker is None or maker.op not in _AXES or not alone:
            kept.append(node)
            continue
        kept[kept.index(maker)] = _folded(drawing, maker, node)
        makers[node.output] = kept[-1]
    drawing.nodes[:] = kept
    needed = {name for node in kept for name in node.inputs}
    drawing.arrays = {name: a for name, a in drawing.arrays.items() if name in needed}


def _folded(drawing: Drawing, maker: Node, norm: Node) -> Node:
    gamma, beta, mean, variance = (
        drawing.arrays[name].astype(np.float64) for name in norm.inputs[1:]
    )
    factor = gamma / np.sqrt(variance + norm.attributes["epsilon"])
    _, weight, *rest = maker.inputs
    values = drawing.arrays[weight].astype(np.float64)
    groups = maker.attributes.get("group", 1)
    # A transposed convolution has its outputs group by group: (inputs, outputs of one group, ...).
    axis = _AXES[maker.op]
    if maker.op == "ConvTranspose" and groups > 1:
        parts = values.reshape(groups, -1, *values.shape[1:])
        shaped = factor.reshape(groups, 1, -1, *(1,) * (values.ndim - 2))
        values = (parts * shaped).reshape(values.shape)
    else:
        values = values * factor.reshape((-1,) + (1,) * (values.ndim - 1 - axis))
    bias = drawing.arrays[rest[0]].astype(np.float64) if rest else 0.0
    name = rest[0] if rest else f"{weight.removesuffix('weight')}bias"
    drawing.arrays[weight] = values.astype(np.float32)
    drawing.arrays[name] = ((bias - mean) * factor + beta).astype(np.float32)
    return maker._replace(inputs=(maker.inputs[0], weight, name), output=norm.output)


# --- windows --------------------------------------------------------------------------------------


def ends_behind(layer: Any, shape: Shape, out: Shape, before: Shape) -> list[int]:
    """Padding behind each axis of images with which windows give exactly that many outputs."""
    window = layer.kernel_size if hasattr(layer, "kernel_size") else layer.pool_size
    rank = len(shape) - 2
    found = []
    for axis in range(2 - rank, 2):
        at = axis - (2 - rank)
        reach = (window[axis] - 1) * layer.dilation[axis] + 1
        needed = (out[2 + at] - 1) * layer.stride[axis] + reach - shape[2 + at] - before[at]
        found.append(max(needed, 0))
    return found


def matrix(spans: Any, size: int) -> np.ndarray:
    """(outputs, size): what the means over windows of one axis multiply with."""
    found = np.zeros((len(spans.table), size))
    for row, (start, count, _, divisor) in zip(found, spans.table, strict=True):
        row[start : start + count * spans.step : spans.step] = 1 / divisor
    return found


def size_of(arrays: dict[str, np.ndarray]) -> int:
    """Bytes of all arrays."""
    return sum(math.prod(array.shape) * array.dtype.itemsize for array in arrays.values())
