"""How the layers of a graph are connected: numbers for values, which a file can hold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from .base import Layer
from .symbols import Symbol

Shape = tuple[int, ...]
Value = TypeVar("Value")


@dataclass(frozen=True)
class Wiring:
    """Which layer is called on what.

    The inputs are the first values, and each call gives the next one.

    Attributes
    ----------
    inputs : tuple of shapes
        Of a sample, as layers see them.
    calls : tuple of (int, tuple of int)
        The layer's place, and the values that it is given, which are earlier ones.
    outputs : tuple of int
        The values that come out.
    """

    inputs: tuple[Shape, ...]
    calls: tuple[tuple[int, tuple[int, ...]], ...]
    outputs: tuple[int, ...]

    @classmethod
    def of_row(cls, layers: int) -> Self:
        """So many layers, each called on what the one before it gave."""
        return cls(((),), tuple((i, (i,)) for i in range(layers)), (layers,))

    @property
    def count(self) -> int:
        """How many values there are."""
        return len(self.inputs) + len(self.calls)

    def uses(self) -> list[int]:
        """How often each value is needed: by calls, and as an output."""
        found = [0] * self.count
        for value in (*(s for _, sources in self.calls for s in sources), *self.outputs):
            found[value] += 1
        return found

    def walk(
        self,
        layers: Sequence[Layer],
        inputs: Sequence[Value],
        call: Callable[[Layer, Any], Value],
    ) -> list[Value]:
        """All values, each made by ``call(layer, what it is given)``: a list for a merging one."""
        values = list(inputs)
        for place, sources in self.calls:
            given = [values[source] for source in sources]
            layer = layers[place]
            values.append(call(layer, given if layer.takes_several else given[0]))
        return values

    def shapes(self, layers: Sequence[Layer], inputs: Sequence[Shape]) -> list[Shape]:
        """Shapes of all values, batch included.

        Raises
        ------
        ValueError
            If one does not fit its layer; names the layer.
        """
        return self.walk(layers, inputs, lambda layer, shape: layer.output_shape(shape))

    def spec(self) -> dict[str, Any]:
        """It as JSON can hold it; `from_spec` takes it back."""
        return {
            "inputs": [list(shape) for shape in self.inputs],
            "calls": [[place, list(sources)] for place, sources in self.calls],
            "outputs": list(self.outputs),
        }

    @classmethod
    def from_spec(cls, spec: Any, layers: int) -> Self:
        """What `spec` gave, for so many layers.

        Raises
        ------
        ValueError
            If it is none.
        """
        try:
            inputs = tuple(tuple(map(_whole, shape)) for shape in spec["inputs"])
            calls = tuple(
                (_whole(place), tuple(map(_whole, sources))) for place, sources in spec["calls"]
            )
            outputs = tuple(map(_whole, spec["outputs"]))
        except (TypeError, ValueError, LookupError):
            raise ValueError("it does not say how the layers of a graph are connected") from None
        for number, (place, sources) in enumerate(calls, len(inputs)):
            if place >= layers or not sources or max(sources) >= number:
                raise ValueError("a layer of the graph is given what does not exist")
        if not outputs or max(outputs) >= len(inputs) + len(calls):
            raise ValueError("the graph has no output")
        return cls(inputs, calls, outputs)


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("no whole number")
    return value


def traced(
    who: str, inputs: Sequence[Symbol], outputs: Sequence[Symbol]
) -> tuple[tuple[Layer, ...], Wiring]:
    """The layers between symbols in the order in which they were called, and their connections.

    Raises
    ------
    ValueError
        If the outputs do not follow from the inputs, or an input leads nowhere.
    """
    ends = {id(symbol) for symbol in inputs}
    if len(ends) < len(inputs):
        raise ValueError(f"{who}: an input is named twice")
    found: dict[int, Symbol] = {}
    waiting = list(outputs)
    while waiting:
        symbol = waiting.pop()
        if id(symbol) in found:
            continue
        found[id(symbol)] = symbol
        if id(symbol) in ends:
            continue
        if symbol.layer is None:
            raise ValueError(f"{who}: the outputs need {symbol!r}, which is not among its inputs")
        waiting += symbol.sources
    for symbol in inputs:
        if id(symbol) not in found:
            raise ValueError(f"{who}: its input {symbol!r} leads to no output")
    for symbol in outputs:
        if id(symbol) in ends:
            raise ValueError(f"{who}: {symbol!r} is an input and an output: put a layer between")
    made = sorted((s for s in found.values() if id(s) not in ends), key=lambda s: s.number)
    numbers = {id(symbol): number for number, symbol in enumerate((*inputs, *made))}
    places: dict[int, int] = {}
    layers: list[Layer] = []
    calls = []
    for symbol in made:
        layer = symbol.layer
        assert layer is not None
        if id(layer) not in places:
            places[id(layer)] = len(layers)
            layers.append(layer)
        sources = tuple(numbers[id(source)] for source in symbol.sources)
        calls.append((places[id(layer)], sources))
    shapes = tuple(symbol.seen for symbol in inputs)
    return tuple(layers), Wiring(shapes, tuple(calls), tuple(numbers[id(s)] for s in outputs))
