"""What of a network follows from how its layers are connected; here they stand in a row."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from .. import foreign
from ..layers import Layer
from ..layers.memory import Clock, Shape
from ..layers.symbols import Symbol
from ..layers.wiring import Wiring
from .row import Row


class Connections(NamedTuple):
    """Calls of layers: the inputs are the first values, and each call gives the next one.

    Attributes
    ----------
    inputs : tuple of tuple of int, or of None
        Shapes of a sample, as layers see it, where they are known.
    calls : tuple of (Layer, tuple of int)
        The layer, and the values that it is given.
    outputs : tuple of int
        The values that come out.
    """

    inputs: tuple[Shape | None, ...]
    calls: tuple[tuple[Layer, tuple[int, ...]], ...]
    outputs: tuple[int, ...]


class Layered(foreign.Answering):
    """Layers that run one after the other; `Graph` has what is different where there are branches.

    Attributes
    ----------
    input_shape : tuple of int, optional
        Shape of one sample, as people see it.
    """

    _row: Row
    input_shape: Shape | None

    def new_row(self, layers: tuple[Layer, ...], seed: int | None, clock: Clock) -> Row:
        """What runs these layers as this network does."""
        return Row(layers, Wiring.of_row(len(layers)), seed, clock)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers."""
        return self._row.layers

    @property
    def ends(self) -> tuple[Layer, ...]:
        """The layers that give the outputs."""
        return self.layers[-1:]

    @property
    def needs_ends(self) -> tuple[bool, ...]:
        """Of each output, whether it is the input of a layer, or another output, as well."""
        return (False,)

    @property
    def sample_shape(self) -> Shape | None:
        """Of what goes into the layers for one sample, as people see it, where that is known."""
        return self.input_shape

    @property
    def is_row(self) -> bool:
        """Whether each layer is given what the one before it gave."""
        return True

    def in_row(self, who: str) -> tuple[Layer, ...]:
        """The layers, of which each is given what the one before it gave.

        Raises
        ------
        ValueError
            If they stand in no row.
        """
        return self.layers

    def copies(self, layer: Layer) -> list[Layer]:
        """What runs for a layer, or for one inside one, call after call: itself, if once."""
        return self._row.copies(layer)

    def one_output(self, who: str) -> None:
        """Raise a ValueError unless one array comes out."""

    def joined(self, who: str, x: Any) -> Any:
        """Several inputs as one array; what goes into a row is one."""
        return x

    @property
    def output_names(self) -> tuple[str, ...]:
        """What the outputs are called; empty where there is one."""
        return ()

    def by_output(self, who: str, given: Any) -> Any:
        """What is given by the names of several outputs, as a tuple in their order."""
        return given

    def joined_targets(self, who: str, y: Any) -> Any:
        """Targets of several outputs as one array, see `conversion.table_of`; of one as given."""
        return y

    # --- call by call ---------------------------------------------------------------------------

    def walk(self, sample: Shape | None) -> Iterator[tuple[str, Layer, Any, bool]]:
        """(how it is shown, layer, shape of its input, whether it is the layer's first call).

        sample : shape of one, as layers see it; without one no shapes are known
        """
        shape = None if sample is None else (1, *sample)
        for layer in self.layers:
            yield "{}", layer, shape, True
            shape = None if shape is None else layer.output_shape(shape)

    def shapes_out(self, shape: Shape) -> Any:
        """Shape of the output for an input of a shape, both as layers see them."""
        for layer in self.layers:
            shape = layer.output_shape(shape)
        return shape

    def one_by_one(self, x: np.ndarray) -> Iterator[tuple[Layer, np.ndarray]]:
        """(layer, what it gives) as written, where a pass may put layers together.

        x : what `prepared` gave
        """
        for layer in self.layers:
            x = layer.forward(x)
            yield layer, x

    def __call__(self, *inputs: Symbol) -> Any:
        """What the layers will give for a symbol, in a `Graph`; they are shared with it."""
        given: Any = inputs
        for layer in self.layers:
            given = (layer(*given),)
        return given[0]

    def connections(self) -> Connections:
        """Which layer is called on what."""
        calls = tuple((layer, (i,)) for i, layer in enumerate(self.layers))
        return Connections((None,), calls, (len(calls),))

    # --- written down ---------------------------------------------------------------------------

    def structure(self) -> dict[str, Any]:
        """How the layers are connected, as JSON can hold it; nothing for a row."""
        return {}

    @classmethod
    def of_layers(cls, layers: Sequence[Layer], structure: Any, **options: Any) -> Self:
        """A network of layers, connected as `structure` said.

        Raises
        ------
        ValueError
            If they are connected in a way that this kind of network is not.
        """
        if "graph" in structure:
            raise ValueError(f"it is a Graph, no {cls.__name__}")
        return cls(*layers, **options)
