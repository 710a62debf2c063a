"""What an ONNX file says, checked before anybody builds on it.

The numbers of the fields are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
Arrays stay where they lie in the file.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .wire import MOST, DamagedError, fields, floats, numbers, part, real, signed, text

LARGEST = 2**31  # bytes of a file: protocol buffers end there
OPSETS = range(7, 26)
_MOST_PARTS = 20_000  # nodes, arrays, values
_MOST_AXES = 8
_MOST_TEXT = 2**20
_LONGEST_AXIS = 2**31

TYPES = {
    1: "<f4", 2: "u1", 3: "i1", 5: "<i2", 6: "<i4", 7: "<i8", 9: "?", 10: "<f2", 11: "<f8",
    12: "<u4", 13: "<u8",
}  # fmt: skip
"""Number of an element type -> how NumPy calls it."""
FLOATS = (1, 10, 11)
UINT8 = 2


@dataclass
class Op:
    """A node.

    Attributes
    ----------
    op, name : str
        Its operator, and what the file calls it.
    inputs, outputs : list of str
        Names of values; "" for one that is left out.
    attributes : dict
        Name -> int, float, str, array or list of these.
    """

    op: str = ""
    name: str = ""
    domain: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def spoken(self) -> str:
        """How errors call it."""
        return f"the node {(self.name or ', '.join(self.outputs))!r} ({self.op})"


@dataclass
class Value:
    """What goes in, or comes out: its name, element type and sizes, None where they are free."""

    name: str = ""
    kind: int = 0
    shape: list[int | None] | None = None


@dataclass
class Content:
    """A file."""

    opset: int = 0
    name: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    nodes: list[Op] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)


def content(data: bytes) -> Content:
    """What the bytes of a file say.

    Raises
    ------
    DamagedError
        If they are no ONNX file, or a damaged one.
    ValueError
        If they say what no network here can be; one sentence.
    """
    found, graph = Content(), None
    for number, value in fields(memoryview(data)):
        if number == 8:
            domain, version = _opset(part(value))
            if domain in ("", "ai.onnx"):
                found.opset = version
        elif number == 7:
            if graph is not None:
                raise DamagedError("it has two graphs")
            graph = part(value)
        elif number == 14:
            _note(part(value), found.metadata)
        elif number == 25:
            raise ValueError("it has functions of its own, which are not read")
    if graph is None:
        raise DamagedError("it has no graph")
    if found.opset not in OPSETS:
        raise ValueError(
            f"it has opset {found.opset}, known are {OPSETS[0]} to {OPSETS[-1]}; ask for 17"
        )
    _graph(graph, found)
    return found


def _opset(data: memoryview) -> tuple[str, int]:
    domain, version = "", 0
    for number, value in fields(data):
        if number == 1:
            domain = text(value)
        elif number == 2:
            version = signed(value)
    return domain, version


def _note(data: memoryview, notes: dict[str, Any]) -> None:
    """One entry of the metadata, if it is JSON."""
    key, told = "", ""
    if len(data) > _MOST_TEXT or len(notes) > 1000:
        return
    for number, value in fields(data):
        if number == 1:
            key = text(value)
        elif number == 2:
            told = text(value)
    try:
        notes[key] = json.loads(told)
    except (ValueError, RecursionError):  # other programs write other things there
        return


def _graph(data: memoryview, found: Content) -> None:
    readers: dict[int, Callable[[memoryview], None]] = {
        1: lambda value: found.nodes.append(_node(value)),
        5: lambda value: _keep(found.arrays, *array(value)),
        11: lambda value: found.inputs.append(_value(value)),
        12: lambda value: found.outputs.append(_value(value)),
    }
    count = 0
    for number, value in fields(data):
        if number == 2:
            found.name = text(value)
        elif number == 15:
            raise ValueError("it has sparse arrays, which are not read")
        elif number in readers:
            count += 1
            if count > _MOST_PARTS:
                raise ValueError(f"it has more than {_MOST_PARTS:,} nodes, arrays and values")
            readers[number](part(value))
    # Files of before 2019 name their arrays among the inputs too.
    found.inputs = [each for each in found.inputs if each.name not in found.arrays]


def _keep(arrays: dict[str, np.ndarray], name: str, values: np.ndarray) -> None:
    if name in arrays:
        raise ValueError(f"it has two arrays called {name!r}")
    arrays[name] = values


def _node(data: memoryview) -> Op:
    found = Op()
    raw = []
    for number, value in fields(data):
        if number in (1, 2):
            names = found.inputs if number == 1 else found.outputs
            names.append(text(value))
            if len(names) > 10_000:
                raise ValueError("a node has more than 10,000 inputs or outputs")
        elif number == 3:
            found.name = text(value)
        elif number == 4:
            found.op = text(value)
        elif number == 5:
            raw.append(part(value))
            if len(raw) > 100:
                raise ValueError("a node has more than 100 attributes")
        elif number == 7:
            found.domain = text(value)
    if found.domain not in ("", "ai.onnx"):
        found.op = f"{found.domain}.{found.op}"  # no operator of ONNX, whatever it is called
    for each in raw:
        name, told = _attribute(each, found)
        if name in found.attributes:
            raise ValueError(f"{found.spoken} has two attributes {name!r}")
        found.attributes[name] = told
    return found


def _attribute(data: memoryview, node: Op) -> tuple[str, Any]:
    name, told = "", None
    for number, value in fields(data):
        if number == 1:
            name = text(value)
        elif number == 2:
            told = real(value)
        elif number == 3:
            told = signed(value)
        elif number == 4:
            told = bytes(part(value)).decode(errors="replace")
        elif number == 5:
            told = array(part(value))[1]
        elif number in (7, 8):
            more = floats(value).tolist() if number == 7 else numbers(value)
            told = [*(told if isinstance(told, list) else []), *more]
            if len(told) > _MOST_PARTS:
                raise ValueError(f"{node.spoken} has a list of more than {_MOST_PARTS:,} numbers")
        elif number in (6, 11):
            raise ValueError(f"{node.spoken} has a graph inside, which is not read")
        elif number in (9, 10, 14, 15, 22, 23):
            raise ValueError(f"{node.spoken} has an attribute {name!r} that is not read")
    return name, told


def _value(data: memoryview) -> Value:
    found = Value()
    for number, value in fields(data):
        if number == 1:
            found.name = text(value)
        elif number == 2:
            for kind, tensor in fields(part(value)):
                if kind != 1:
                    raise ValueError(f"{found.name!r} is no array, but a list or a map")
                for inner, told in fields(part(tensor)):
                    if inner == 1:
                        found.kind = signed(told)
                    elif inner == 2:
                        found.shape = _shape(part(told))
    return found


def _shape(data: memoryview) -> list[int | None]:
    found: list[int | None] = []
    for number, value in fields(data):
        if number != 1:
            continue
        size = None
        for inner, told in fields(part(value)):
            size = signed(told) if inner == 1 else size
        found.append(size or None)  # 0 is how some write that it is free
        _check_axes([each for each in found if each is not None], len(found))
    return found


def _check_axes(sizes: list[int], axes: int) -> None:
    if axes > _MOST_AXES:
        raise ValueError(f"an array has more than {_MOST_AXES} axes")
    for size in sizes:
        if not -1 <= size <= _LONGEST_AXIS:
            raise ValueError(f"an array has an axis of {size}")


def array(data: memoryview) -> tuple[str, np.ndarray]:
    """(name, array) of a tensor: a view of the file wherever its numbers lie there as such.

    Raises
    ------
    ValueError
        If its numbers are elsewhere, of an unknown type, or not as many as its shape asks for.
    """
    name, kind, shape, raw = "", 0, [], None
    listed: list[Any] = []
    outside = False
    count = 0
    for number, value in fields(data):
        if number == 1:
            shape += numbers(value)
            _check_axes(shape, len(shape))
        elif number == 2:
            kind = signed(value)
        elif number in (4, 10):
            listed.append(floats(value, "<f4" if number == 4 else "<f8"))
        elif number in (5, 7, 11):
            listed.append(numbers(value))
        elif number == 8:
            name = text(value)
        elif number == 9:
            raw = part(value)
        elif number in (13, 14):
            outside = outside or number == 13 or value != 0
        elif number in (3, 6):
            raise ValueError(f"the array {name!r} is one of texts or in pieces, which is not read")
        count += number in (4, 5, 7, 10, 11)
        if count > MOST:
            raise ValueError(f"the array {name!r} is written number by number, which is not read")
    if outside:
        raise ValueError(
            f"the array {name!r} lies in another file, which is not read: write all into one, with "
            f"onnx.save(onnx.load(path), path)"
        )
    if kind not in TYPES:
        raise ValueError(f"the array {name!r} has elements of type {kind}, which are not read")
    if min(shape, default=1) < 0:
        raise ValueError(f"the array {name!r} has a negative size: {shape}")
    dtype, size = np.dtype(TYPES[kind]), math.prod(shape)
    if raw is not None:
        if len(raw) != size * dtype.itemsize:
            raise DamagedError(f"the array {name!r} is not as long as its shape {shape} asks for")
        return name, np.frombuffer(raw, dtype).reshape(shape)
    found = sum(map(len, listed))
    if found != size:
        raise DamagedError(
            f"the array {name!r} has {found} numbers, its shape {shape} asks for {size}"
        )
    values = np.concatenate(listed) if listed else np.zeros(0)
    if kind == 10:  # the bits of half floats, as numbers
        return name, values.astype("<u2").view("<f2").reshape(shape)
    if not listed and size:
        raise DamagedError(f"the array {name!r} is empty")
    return name, values.astype(dtype).reshape(shape)
