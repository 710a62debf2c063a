"""Layers made of layers."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from . import spoken
from .arrays import ParameterDict
from .base import Layer
from .branches import Branches, Opened
from .described import from_spec
from .memory import NO_GRADIENT, Place, Shape
from .merge import Add, Concat
from .wiring import Wiring


class _Container(Layer):
    """A small graph: rows of layers, each with a name, on x, and where what they give meets.

    A network runs what is inside instead of the block, as a part of its own graph; `forward` and
    `backward` are for a block that stands alone.

    params, grads, state: those of all layers inside, "main.0.weight" and so on.
    """

    def _connect(
        self, ways: Sequence[Sequence[Layer]], meeting: Layer, behind: Sequence[Layer] = ()
    ) -> None:
        """Be `meeting` of what each of the ways makes of x, and then the layers behind it."""
        layers: list[Layer] = []
        calls: list[tuple[int, tuple[int, ...]]] = []

        def through(way: Sequence[Layer], *given: int) -> int:
            for layer in way:
                calls.append((len(layers), given))
                layers.append(layer)
                given = (len(layers),)
            return given[0]

        ends = [through(way, 0) for way in ways]
        y = through((meeting, *behind), *ends)
        self.inside, self.wiring = tuple(layers), Wiring(((),), tuple(calls), (y,))
        self._branches = Branches(Opened(self.wiring, self.inside))

    def rows(self) -> dict[str, tuple[Layer, ...]]:
        """The rows by name; the input runs into the first layer of each."""
        raise NotImplementedError

    @classmethod
    def _checked_row(cls, name: str, layers: Any) -> tuple[Layer, ...]:
        is_row = isinstance(layers, (list, tuple)) and len(layers) > 0
        if not is_row or not all(isinstance(layer, Layer) for layer in layers):
            raise ValueError(
                f"{cls.__name__}: {name} must be a list of at least one layer, got {layers!r}"
            )
        return tuple(layers)

    def arguments(self) -> dict[str, Any]:
        return {name: [layer.spec() for layer in row] for name, row in self.rows().items()}

    @classmethod
    def from_arguments(cls, arguments: dict[str, Any]) -> "Layer":
        return cls(**{name: _made(value) for name, value in arguments.items()})

    def children(self) -> list[tuple[str, Layer]]:
        return [
            (f"{name}.{i}", layer)
            for name, row in self.rows().items()
            for i, layer in enumerate(row)
        ]

    def family(self) -> Iterator[Layer]:
        yield self
        for layer in self.inside:
            yield from layer.family()

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self.check_input(x)
        if training:
            self.forget()  # a layer inside may refuse what it is given
        y = self._branches.forward((x,), training)[-1]
        if training:
            self.remember(y)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        self.recall(dy)
        if not self.needs_input_gradient:
            self._branches.backward((dy,), to_input=False)
            return NO_GRADIENT
        (parts,) = self._branches.backward((dy,), to_input=True)
        return self._branches.total(0, parts, functools.partial(self.gradient, dy=dy))

    def bind_inside(self, place: Place) -> Place:
        scratch, slot, way = place
        self._branches.bind(scratch, f"{slot} inside", f"{way} inside")
        return place

    def summary_rows(self, input_shape: Shape | None) -> list[tuple[str, Shape | None, int]]:
        output = None if input_shape is None else self.output_shape(input_shape)
        rows: list[tuple[str, Shape | None, int]] = [(type(self).__name__, output, 0)]
        shape = input_shape
        for name, layer in self.children():
            if name.endswith(".0"):
                shape = input_shape
            (text, shape, count), *inside = layer.summary_rows(shape)
            rows.append((f"  {name}: {text}", shape, count))
            rows += [(f"  {text}", output, count) for text, output, count in inside]
        return rows

    def multiply_adds(self, input_shape: Shape) -> int:
        total = 0
        for row in self.rows().values():
            shape = input_shape
            for layer in row:
                total += layer.multiply_adds(shape)
                shape = layer.output_shape(shape)
        return total

    def _gathered(self, group: str) -> ParameterDict:
        gathered = ParameterDict(f"{type(self).__name__}.{group}")
        for path, leaf in self.leaves():
            for name, array in getattr(leaf, group).items():
                gathered.bind(f"{path}.{name}", array)
        return gathered

    @property
    def params(self) -> ParameterDict:
        return self._gathered("params")

    @property
    def grads(self) -> ParameterDict:
        return self._gathered("grads")

    @property
    def state(self) -> ParameterDict:
        return self._gathered("state")


def _made(value: Any) -> Any:
    """Layers from what `spec` gave of one or of a list of them."""
    if isinstance(value, list):
        return [from_spec(spec) for spec in value]
    return None if value is None else from_spec(value)


def _shape_after(layers: Sequence[Layer], shape: Shape) -> Shape:
    for layer in layers:
        shape = layer.output_shape(shape)
    return shape


class Residual(_Container):
    """Adds what some layers make of x to x itself, or to what other layers make of it.

        x -> y = activation(main(x) + shortcut(x))

    He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition" (2016), section 3.

    Parameters
    ----------
    main : sequence of Layer
        Layers that x runs through in order.
    shortcut : sequence of Layer, optional
        Layers on the other way; None: x is added as it is.
    activation : Layer, optional
        A layer after the addition; None for none.

    params, grads, state: those of all layers inside, "main.0.weight" and so on.

    Raises
    ------
    ValueError
        If the two ways give different shapes, or an argument does not fit.

    Examples
    --------
    >>> from fastcnn.layers import Conv2D, ReLU
    >>> block = Residual([Conv2D(16, 16, 3, padding="same")], activation=ReLU())
    >>> block.forward(np.zeros((8, 16, 9, 9), np.float32)).shape
    (8, 16, 9, 9)
    """

    def __init__(
        self,
        main: Sequence[Layer],
        shortcut: Sequence[Layer] | None = None,
        activation: Layer | None = None,
    ) -> None:
        super().__init__()
        self.main = self._checked_row("main", main)
        self.shortcut = None if shortcut is None else self._checked_row("shortcut", shortcut)
        if activation is not None and not isinstance(activation, Layer):
            raise ValueError(
                f"Residual: activation must be a layer such as ReLU() or None, got {activation!r}"
            )
        self.activation = activation
        self._connect((self.main, self.shortcut or ()), Add(), (activation,) if activation else ())

    def rows(self) -> dict[str, tuple[Layer, ...]]:
        return {"main": self.main} | ({} if self.shortcut is None else {"shortcut": self.shortcut})

    def arguments(self) -> dict[str, Any]:
        activation = None if self.activation is None else self.activation.spec()
        return {"shortcut": None, **super().arguments(), "activation": activation}

    def __repr__(self) -> str:
        parts = [f"[{', '.join(map(repr, self.main))}]"]
        if self.shortcut is not None:
            parts.append(f"shortcut=[{', '.join(map(repr, self.shortcut))}]")
        if self.activation is not None:
            parts.append(f"activation={self.activation!r}")
        return f"Residual({', '.join(parts)})"

    def children(self) -> list[tuple[str, Layer]]:
        return super().children() + ([("activation", self.activation)] if self.activation else [])

    def output_shape(self, input_shape: Shape) -> Shape:
        shapes = [_shape_after(row, input_shape) for row in (self.main, self.shortcut or ())]
        if shapes[0] != shapes[1]:
            cure = "change its layers" if self.shortcut else "give it a shortcut, such as a Conv2D"
            raise ValueError(
                f"{self.name}: main gives shape {spoken.shape(shapes[0])} and the shortcut "
                f"{spoken.shape(shapes[1])}, which cannot be added; {cure}"
            )
        return self.activation.output_shape(shapes[0]) if self.activation else shapes[0]


class Concatenate(_Container):
    """Puts what some layers make of x behind x itself, as further channels.

        x (N, C, H, W) -> y (N, C + K, H, W) if the layers give K channels; or (N, C) -> (N, C + K)

        y = [x, layers(x)]

    Huang, Liu, van der Maaten, Weinberger, "Densely Connected Convolutional Networks" (2017),
    equation 2: a row of these gives each of them what all before it have made.

    Parameters
    ----------
    layers : sequence of Layer
        Layers that x runs through in order.

    params, grads, state: those of all layers inside, "layers.0.weight" and so on.

    Raises
    ------
    ValueError
        If the layers change more than the channels, or an argument does not fit.

    Examples
    --------
    >>> from fastcnn.layers import BatchNorm, Conv2D, ReLU
    >>> unit = Concatenate([BatchNorm(24), ReLU(), Conv2D(24, 12, 3, padding=1)])
    >>> unit.forward(np.zeros((8, 24, 9, 9), np.float32)).shape
    (8, 36, 9, 9)
    """

    positional = 1

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.layers = self._checked_row("layers", layers)
        self._connect(((), self.layers), Concat())

    def rows(self) -> dict[str, tuple[Layer, ...]]:
        return {"layers": self.layers}

    def __repr__(self) -> str:
        return f"Concatenate([{', '.join(map(repr, self.layers))}])"

    def output_shape(self, input_shape: Shape) -> Shape:
        shape = _shape_after(self.layers, input_shape)
        batch, channels, *size = input_shape
        if len(input_shape) not in (2, 4) or (shape[0], *shape[2:]) != (batch, *size):
            raise ValueError(
                f"{self.name}: its input has shape {spoken.shape(input_shape)} and its layers give "
                f"{spoken.shape(shape)}, which cannot stand side by side; both must be (N, C) or "
                f"{spoken.images()} and differ in C at most"
            )
        return (batch, channels + shape[1], *size)
