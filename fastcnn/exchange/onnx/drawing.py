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
        """An array that a node is given; gives its name.

        Of a layer that is called twice there is one, unless the second call needs other numbers, as
        for images of another size: that gets a number behind its name.
        """
        values = np.asarray(values)
        values = values.astype(np.int64 if values.dtype.kind in "iu" else np.float32)
        found, count = name, 1
        while found in self.arrays and not _are_same(self.arrays[found], values):
            count += 1
            found = f"{name}_{count}"
        self.arrays[found] = values
        self._taken.add(found)
        return found


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


def _are_same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def size_of(arrays: dict[str, np.ndarray]) -> int:
    """Bytes of all arrays."""
    return sum(math.prod(array.shape) * array.dtype.itemsize for array in arrays.values())
