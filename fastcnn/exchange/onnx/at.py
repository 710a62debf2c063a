"""One node on its way to a layer: what it is given, and the layer put in its place."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...layers import Layer
from ...layers.symbols import Symbol
from .. import composed
from .constants import BATCH, Purse
from .file import Op

LARGEST_ATTRIBUTE = 2**16  # pixels of a window, a stride, a padding
_LARGEST_SIDE = 2**20
_LARGEST_SAMPLE = 2**31  # numbers


class Values:
    """What is known of a file's values so far.

    Attributes
    ----------
    arrays : dict of str to array
        Those that follow from the file alone.
    symbols : dict of str to Symbol
        Those that follow from the input.
    batch : int
        How large a batch is, if the file says that, or `BATCH`.
    """

    def __init__(self, purse: Purse) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self.symbols: dict[str, Symbol] = {}
        self.batch = BATCH
        self.purse = purse
        self.shared: dict[Any, Layer] = {}


class At:
    """A node.

    Parameters
    ----------
    node : Op
    values : Values
    opset : int
        Of the file.
    more : tuple of str
        Arrays that other nodes give the layer, the bias that is added behind it; or which of the
        node's outputs it is about.
    """

    def __init__(self, node: Op, values: Values, opset: int, more: tuple[str, ...] = ()) -> None:
        self.node, self.values, self.opset, self.more = node, values, opset, more

    def refuse(self, why: str) -> ValueError:
        """A sentence that names the node; any other error of its making is told in the same one."""
        return ValueError(f"{self.node.spoken} cannot be taken: {why}")

    # --- what it is given -----------------------------------------------------------------------

    def has(self, number: int) -> bool:
        """Whether it has such an input."""
        return len(self.node.inputs) > number and bool(self.node.inputs[number])

    @property
    def x(self) -> Symbol:
        """Its first input."""
        return self.symbol(0)

    def symbol(self, number: int) -> Symbol:
        """An input that comes from the network's input."""
        name = self.node.inputs[number] if self.has(number) else ""
        if name not in self.values.symbols:
            what = f"{name!r} is an array of the file" if name else f"it has no input {number}"
            raise self.refuse(f"{what}, where it should follow from the network's input")
        return self.values.symbols[name]

    def array(self, number: int, what: str) -> np.ndarray:
        """An input that is an array of the file."""
        name = self.node.inputs[number] if self.has(number) else ""
        if name not in self.values.arrays:
            raise self.refuse(
                f"its {what} follows from the network's input, where it should be in the file"
                if name
                else f"it has no {what}"
            )
        return self.values.arrays[name]

    def optional(self, number: int, what: str) -> np.ndarray | None:
        """The same of an input that may be left out."""
        return self.array(number, what) if self.has(number) else None

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute, of the default's kind."""
        value = self.node.attributes.get(name, default)
        kinds = (int, float) if isinstance(default, float) else type(default)
        if default is not None and not isinstance(value, kinds):
            raise self.refuse(f"its {name} is {value!r}")
        return value

    def flag(self, name: str, default: int = 0) -> bool:
        """An attribute that is 0 or 1."""
        value = self.attribute(name, default)
        if value not in (0, 1):
            raise self.refuse(f"its {name} is {value}, where 0 or 1 should be")
        return bool(value)

    def sizes(self, name: str, count: int, default: list[int]) -> list[int]:
        """An attribute of so many whole numbers of pixels."""
        found = self.attribute(name, default)
        if len(found) != count:
            raise self.refuse(f"its {name} is {found}, of which {count} should be")
        for each in found:
            if not isinstance(each, int) or not 0 <= each <= LARGEST_ATTRIBUTE:
                raise self.refuse(f"its {name} is {found}")
        return found

    def numbers(self, number: int, name: str) -> list[int] | None:
        """Whole numbers: an input, as later versions have it, or an attribute."""
        if not self.has(number):
            given = self.node.attributes.get(name)
            return None if given is None else [int(each) for each in given]
        array = self.array(number, name)
        if array.dtype.kind not in "iu" or array.ndim > 1 or array.size > 16:
            raise self.refuse(f"its {name} are no list of whole numbers")
        return [int(each) for each in array.ravel()]

    def only(self, name: str, default: Any, wanted: Any, why: str) -> None:
        """Refuse unless an attribute is what is known here."""
        value = self.attribute(name, default)
        same = np.allclose(value, wanted) if isinstance(wanted, float) else value == wanted
        if not same:
            raise self.refuse(f"its {name} is {value!r}; {why}")

    def axis(self, axis: int) -> int:
        """An axis of the first input, counted from the front."""
        return axis + len(self.x.seen) + 1 if axis < 0 else axis

    def by_channel(self, seen: tuple[int, ...], array: np.ndarray) -> np.ndarray:
        """An array beside samples that is one number, or one a channel, as (1,) or (channels,)."""
        values = composed.by_channel(seen, array)
        if np.isnan(array).any():
            raise self.refuse("it computes with how large the batch is, or with what is no number")
        return values

    # --- what it becomes ------------------------------------------------------------------------

    def become(
        self,
        layer: Layer,
        *given: Symbol,
        arrays: dict[str, np.ndarray] | None = None,
    ) -> Symbol:
        """What a layer gives for symbols, the first input unless others are given."""
        arrays = arrays or {}
        layer = self._shared(layer, arrays)
        made = layer(*(given or (self.x,)))
        self.refuse_large(made.seen)
        return made

    def refuse_large(self, shape: tuple[int, ...]) -> None:
        """Refuse what it gives for a sample, if that is too large."""
        if max(shape[1:], default=0) > _LARGEST_SIDE or math.prod(shape) > _LARGEST_SAMPLE:
            raise self.refuse(f"what it gives for a sample is of shape {shape}")

    def call(self, layer: Layer, x: Symbol, arrays: Mapping[str, np.ndarray]) -> Symbol:
        """The same as `composed` asks for it."""
        return self.become(layer, x, arrays=dict(arrays))

    def _shared(self, layer: Layer, arrays: dict[str, np.ndarray]) -> Layer:
        """The layer with its arrays; or the one that has them already, as it is called again.

        Arrays whose numbers are all the same say nothing about that: exporters write those of
        several layers once.
        """
        if not arrays:
            return layer
        for name, array in arrays.items():
            if array.dtype.kind != "f":
                raise self.refuse(f"its {name} holds {array.dtype}, where floats should be")
        telling = any(array.size > 1 and array.min() != array.max() for array in arrays.values())
        told = repr(sorted(self.node.attributes.items()))
        names = [name for name in self.node.inputs if name in self.values.arrays]
        key = (repr(layer), self.node.op, told, *names, *self.more)
        before = self.values.shared.get(key) if telling else None
        # `b - x` and `x - b` are of the same arrays.
        if before is not None and _are_of(before, arrays):
            return before
        for name, shape in (layer.parameter_shapes() | layer.state_shapes()).items():
            self.values.purse.spend(self.node.spoken, shape, 8)  # with its gradient
            if name in arrays and arrays[name].shape != shape:
                raise self.refuse(
                    f"its {name} has shape {arrays[name].shape} where {shape} should be"
                )
        for name, array in arrays.items():
            _own(layer, name)[...] = array
        if telling:
            self.values.shared[key] = layer
        return layer


def _own(layer: Layer, name: str) -> np.ndarray:
    return layer.params[name] if name in layer.params else layer.state[name]


def _are_of(layer: Layer, arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether a layer's arrays hold these numbers."""
    pairs = [(_own(layer, name), array) for name, array in arrays.items()]
    return all(np.array_equal(own, array.astype(own.dtype)) for own, array in pairs)
