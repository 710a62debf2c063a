"""`Graph`: a network with branches, several inputs and outputs, and shared layers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np

from . import conversion
from .layers import Layer
from .layers.memory import Clock, Shape, in_memory, memory_of
from .layers.symbols import Symbol, input_of
from .layers.wiring import Wiring, traced
from .network.layered import Connections
from .network.network import EVALUATED_AT_ONCE
from .network.row import Row
from .trainable import Trainable

_TAKEN = ("val_", "test_")  # by the columns of validation and test data


class Graph(Trainable):
    """What layers make of symbols, as a network that is trained and used like a `Sequential`.

        x = Input((1, 28, 28))
        y = Conv2D(1, 8, 3, padding="same")(x)
        graph = Graph(x, Dense(14, 10)(Flatten()(Add()(y, Conv2D(1, 8, 1)(x)))))

    Shapes are checked when a layer is called. A layer that is called twice is shared: it has one
    set of parameters, and the gradients of all calls are added up. ``layers`` are in the order in
    which they were called first, and so are the names of their arrays: "0.weight".

    With several inputs, ``x`` is a tuple of as many arrays wherever a network takes x. With several
    outputs, ``y`` is a tuple of targets, `forward` and `predict` give one, and `backward` takes
    one; ``loss`` may be a tuple, and ``loss_weights`` says how much each counts. What is measured
    has the outputs' names: "y0_accuracy", or those that they are given. ``Graph(x, one)`` shares
    its layers with ``Graph(x, (one, other))``.

    Parameters
    ----------
    inputs : Symbol, sequence of Symbol, or dict of them
        What goes in: `Input`, or what a layer gave, for the part of a graph behind it. A dict names
        the inputs, and ``x`` can then be a dict of arrays.
    outputs : Symbol, sequence of Symbol, or dict of them
        What comes out; a dict names the outputs, which targets, ``loss`` and ``loss_weights`` can
        then be dicts of too.
    seed, name, class_names
        As `Network` has them; images lie as the inputs say.

    Raises
    ------
    TypeError
        If an input or output is no symbol.
    ValueError
        If the outputs do not follow from the inputs, or an input leads to no output.

    Examples
    --------
    >>> from fastcnn.layers import Add, Conv2D, Dense, Flatten, Input
    >>> x = Input((1, 4, 4))
    >>> y = Add()(Conv2D(1, 2, 3, padding="same")(x), Conv2D(1, 2, 1)(x))
    >>> flat, images = Flatten()(y), np.zeros((5, 1, 4, 4), np.uint8)
    >>> Graph(x, Dense(32, 3)(flat)).predict(images).shape
    (5,)
    >>> both = Graph(x, {"digit": Dense(32, 3)(flat), "ink": Dense(32, 1)(flat)})
    >>> y = np.arange(5) % 3, np.zeros(5)
    >>> history = both.train(images, y, loss=("cross-entropy", "mse"), progress=False)
    >>> list(both.measure(images, y))
    ['loss', 'digit_loss', 'ink_loss', 'digit_accuracy', 'ink_r2', 'ink_mae']
    """

    def __init__(
        self,
        inputs: Symbol | Sequence[Symbol] | Mapping[str, Symbol],
        outputs: Symbol | Sequence[Symbol] | Mapping[str, Symbol],
        *,
        seed: int | None = 42,
        name: str | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        self._names_in, inputs = _named("input", inputs)
        self._names_out, outputs = _named("output", outputs)
        starts, ends = _symbols("inputs", inputs), _symbols("outputs", outputs)
        formats = {symbol.data_format for symbol in (*starts, *ends)}
        if len(formats) > 1:
            raise ValueError("Graph: one input is channels_first and the other channels_last")
        layers, self._wiring = traced("Graph", starts, ends)
        self._sizes = [int(np.prod(symbol.seen)) for symbol in starts]
        super().__init__(
            *layers,
            seed=seed,
            data_format=formats.pop(),
            name=name,
            input_shape=starts[0].shape if len(starts) == 1 else None,
            class_names=class_names,
        )

    # --- how the layers are connected -----------------------------------------------------------

    def new_row(self, layers: tuple[Layer, ...], seed: int | None, clock: Clock) -> Row:
        return Row(layers, self._wiring, seed, clock)

    @property
    def ends(self) -> tuple[Layer, ...]:
        calls, inputs = self._wiring.calls, len(self._wiring.inputs)
        return tuple(self.layers[calls[value - inputs][0]] for value in self._wiring.outputs)

    @property
    def needs_ends(self) -> tuple[bool, ...]:
        uses = self._wiring.uses()
        return tuple(uses[value] > 1 for value in self._wiring.outputs)

    @property
    def sample_shape(self) -> Shape | None:
        return (sum(self._sizes),) if len(self._sizes) > 1 else self.input_shape

    @property
    def is_row(self) -> bool:
        wiring = self._wiring
        has_one_way = len(wiring.inputs) == 1 and wiring.outputs == (len(wiring.calls),)
        return has_one_way and all(call == (i, (i,)) for i, call in enumerate(wiring.calls))

    def in_row(self, who: str) -> tuple[Layer, ...]:
        if not self.is_row:
            raise ValueError(
                f"{who}: the layers of this Graph stand in no row; it is for a Sequential, or a "
                f"Graph without branches"
            )
        return self.layers

    def one_output(self, who: str) -> None:
        count = len(self._wiring.outputs)
        if count > 1:
            raise ValueError(
                f"{who}: this Graph has {count} outputs, which model.forward(x) gives; for one of "
                f"them make a Graph of it, which shares the layers: Graph(inputs, output)"
            )

    @property
    def output_names(self) -> tuple[str, ...]:
        count = len(self._wiring.outputs)
        return (self._names_out or tuple(f"y{i}" for i in range(count))) if count > 1 else ()

    def by_output(self, who: str, given: Any) -> Any:
        return _in_order(who, "outputs", self.output_names, given)

    def _starts(self, sample: Shape | None) -> list[Shape]:
        """Shapes of the inputs, batch included, for a sample as layers see it."""
        shapes = self._wiring.inputs
        return [(1, *each) for each in (shapes if len(shapes) > 1 or sample is None else [sample])]

    def walk(self, sample: Shape | None) -> Iterator[tuple[str, Layer, Any, bool]]:
        wiring, inputs = self._wiring, len(self._wiring.inputs)
        shapes = wiring.shapes(self.layers, self._starts(sample))
        names = [f"input {i}" for i in range(inputs)] if inputs > 1 else ["the input"]
        names = list(self._names_in or names)
        known: set[int] = set()
        for number, (place, sources) in enumerate(wiring.calls, inputs):
            layer = self.layers[place]
            text = f"{place}: {{}}" + " again" * (place in known)
            if sources != (number - 1,) or number == inputs:
                text += f" of {', '.join(names[source] for source in sources)}"
            names.append(f"{place}{' again' * (place in known)}")
            given: Any = [shapes[source] for source in sources]
            yield text, layer, tuple(given) if layer.takes_several else given[0], place not in known
            known.add(place)

    def shapes_out(self, shape: Shape) -> Any:
        wiring, starts = self._wiring, [shape]
        if len(wiring.inputs) > 1:
            if len(shape) != 2 or shape[1] != sum(self._sizes):
                count = len(wiring.inputs)
                raise ValueError(f"a Graph with {count} inputs takes a tuple of {count} arrays")
            starts = [(shape[0], *each) for each in wiring.inputs]
        shapes = wiring.shapes(self.layers, starts)
        found = tuple(shapes[value] for value in wiring.outputs)
        return found[0] if len(found) == 1 else found

    def one_by_one(self, x: np.ndarray) -> Iterator[tuple[Layer, np.ndarray]]:
        found: list[tuple[Layer, np.ndarray]] = []

        def run(layer: Layer, given: Any) -> np.ndarray:
            found.append((layer, layer.forward(given)))
            return found[-1][1]

        self._wiring.walk(self.layers, self._row.inputs(x), run)
        yield from found

    def connections(self) -> Connections:
        wiring = self._wiring
        calls = tuple((self.layers[place], sources) for place, sources in wiring.calls)
        inputs = wiring.inputs if len(wiring.inputs) > 1 else (None,)
        return Connections(inputs, calls, wiring.outputs)

    def __call__(self, *inputs: Symbol) -> Any:
        named = _in_order("a call", "inputs", self._names_in, inputs[0]) if inputs else ()
        given = _symbols("a call", named if len(inputs) == 1 else inputs)
        if len(given) != len(self._wiring.inputs):
            wanted = len(self._wiring.inputs)
            raise TypeError(f"this Graph takes {wanted} symbols, got {len(given)}")
        values = self._wiring.walk(self.layers, given, lambda layer, symbols: layer(symbols))
        found = tuple(values[value] for value in self._wiring.outputs)
        return found[0] if len(found) == 1 else found

    # --- written down ---------------------------------------------------------------------------

    def structure(self) -> dict[str, Any]:
        names = {"input_names": self._names_in, "output_names": self._names_out}
        given = {which: list(each) for which, each in names.items() if each}
        return {"graph": self._wiring.spec(), **given}

    @classmethod
    def of_layers(cls, layers: Sequence[Layer], structure: Any, **options: Any) -> Self:
        data_format = options.pop("data_format")
        options.pop("input_shape")  # the wiring has it
        wiring = Wiring.from_spec(structure["graph"], len(layers))
        inputs = [input_of(shape, data_format) for shape in wiring.inputs]
        values = wiring.walk(layers, inputs, lambda layer, given: layer(given))
        outputs = [values[value] for value in wiring.outputs]
        named_in = _with_names("input", structure, inputs)
        made = cls(named_in, _with_names("output", structure, outputs), **options)
        if made._wiring != wiring or made.layers != tuple(layers):
            raise ValueError("its layers are not those of its graph")
        return made

    # --- several inputs and outputs -------------------------------------------------------------

    def taken(self, who: str, x: Any) -> np.ndarray:
        return super().taken(who, self.joined(who, x))

    def joined(self, who: str, x: Any) -> Any:
        """Of several inputs a row of numbers for each sample."""
        shapes, names = self._wiring.inputs, self._names_in
        if names and isinstance(x, Mapping):
            x = _in_order(who, "inputs", names, x)
            x = x if len(shapes) > 1 else x[0]
        if len(shapes) == 1 or _is_packed(x, sum(self._sizes), self.dtype):
            return x
        if not isinstance(x, (tuple, list)) or len(x) != len(shapes):
            got = f"{len(x)}" if isinstance(x, (tuple, list)) else type(x).__name__
            raise ValueError(
                f"{who}: this Graph has {len(shapes)} inputs, so x is a tuple of as many arrays, "
                f"got {got}"
            )
        take = super().taken
        called = names or range(len(shapes))
        each = zip(called, x, strict=True)
        arrays = [take(f"{who}, input {name}", part) for name, part in each]
        packed = np.empty((len(arrays[0]), sum(self._sizes)), self.dtype)
        first = 0
        for name, array, shape, size in zip(called, arrays, shapes, self._sizes, strict=True):
            wanted = self._as_people_see((len(array), *shape))
            if array.shape != wanted or len(array) != len(packed):
                raise ValueError(
                    f"{who}: input {name} must have shape (N, {', '.join(map(str, wanted[1:]))}) "
                    f"with the same N as the others, got {array.shape}"
                )
            if array.dtype == np.uint8 and array.ndim != 4:
                raise TypeError(
                    f"{who}: input {name} is whole numbers of shape {array.shape}, and pixels "
                    f"are those of images: give x.astype(np.{self.dtype})"
                )
            room = packed[:, first : first + size].reshape(len(packed), *in_memory(shape))
            for start in range(0, len(array), EVALUATED_AT_ONCE):
                rows = slice(start, start + EVALUATED_AT_ONCE)
                room[rows] = memory_of(self._normalized(array[rows]))
            first += size
        return packed

    def joined_targets(self, who: str, y: Any) -> Any:
        names, y = self.output_names, self.by_output(f"{who}: targets", y)
        if not names or (isinstance(y, np.ndarray) and y.dtype.names == names):
            return y
        if not isinstance(y, (tuple, list)) or len(y) != len(names):
            got = f"{len(y)}" if isinstance(y, (tuple, list)) else type(y).__name__
            raise ValueError(
                f"{who}: this Graph has {len(names)} outputs, so y is a tuple of as many arrays of "
                f"targets, got {got}"
            )
        each = zip(names, y, strict=True)
        arrays = [conversion.array_of(f"{who}, output {name}", part) for name, part in each]
        for name, array in zip(names, arrays, strict=True):
            if not array.ndim or len(array) != len(arrays[0]):
                raise ValueError(
                    f"{who}: targets of output {name} must be as many as the others, got shape "
                    f"{array.shape} beside {arrays[0].shape}"
                )
        return conversion.table_of(names, arrays)

    def _as_layers_see(self, x: Any) -> Any:
        if isinstance(x, (tuple, list)):
            return tuple(map(super()._as_layers_see, x))
        return super()._as_layers_see(x)

    def _as_people_see(self, shape: Any) -> Any:
        if shape and isinstance(shape[0], tuple):
            return tuple(map(super()._as_people_see, shape))
        return super()._as_people_see(shape)

    def _given_out(self, y: Any) -> Any:
        if isinstance(y, tuple):
            return tuple(map(super()._given_out, y))
        return super()._given_out(y)


def _symbols(what: str, given: Any) -> tuple[Symbol, ...]:
    symbols = tuple(given) if isinstance(given, (tuple, list)) else (given,)
    for each in symbols or (None,):
        if not isinstance(each, Symbol):
            raise TypeError(
                f"Graph: {what} must be symbols, such as Input((1, 28, 28)) and what layers give "
                f"for it, got {type(each).__name__}"
            )
    return symbols


def is_name(what: str, name: Any) -> bool:
    """Whether an input or an output can be called so; what : "input" or "output"."""
    is_word = isinstance(name, str) and name.isidentifier()
    return is_word and not (what == "output" and f"{name}_".startswith(_TAKEN))


def by_names(what: str, names: Sequence[str], symbols: Sequence[Any]) -> Any:
    """A dict of symbols, if all names can be theirs and no two are alike, else the symbols."""
    if len(set(names)) < len(symbols) or not all(is_name(what, name) for name in names):
        return symbols
    return dict(zip(names, symbols, strict=True))


def _named(what: str, given: Any) -> tuple[tuple[str, ...], Any]:
    """The names of inputs or outputs, none unless it is a dict of them, and what they name."""
    if not isinstance(given, Mapping):
        return (), given
    for name in given:
        if not is_name(what, name):
            but = ", not begin with val_ or test_" * (what == "output")
            raise ValueError(
                f"Graph: the name of an {what} must be a word such as 'digit'{but}, got {name!r}"
            )
    return tuple(given), tuple(given.values())


def _with_names(what: str, structure: Any, symbols: list[Any]) -> Any:
    """Inputs or outputs by the names that a description has for them, if it has any."""
    names = structure.get(f"{what}_names")
    if names is None:
        return symbols
    if len(names) != len(symbols):
        raise ValueError(f"it does not name each {what}")
    return dict(zip(names, symbols, strict=True))


def _in_order(who: str, what: str, names: tuple[str, ...], given: Any) -> Any:
    """What is given by these names as a tuple in their order; anything but a dict as it is."""
    if not names or not isinstance(given, Mapping):
        return given
    if set(given) != set(names):
        raise ValueError(
            f"{who}: expected a dict of the {what} {', '.join(names)}, got one of "
            f"{', '.join(map(str, given))}"
        )
    return tuple(given[name] for name in names)


def _is_packed(x: Any, size: int, dtype: np.dtype) -> bool:
    return isinstance(x, np.ndarray) and x.ndim == 2 and x.shape[1] == size and x.dtype == dtype
