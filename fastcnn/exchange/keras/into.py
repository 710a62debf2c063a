"""A Keras model's layers, called on symbols as its graph says."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...graph import Graph, by_names
from ...layers import Dense, Flatten, GroupNorm, Input, Layer, Reshape
from ...layers.symbols import Symbol
from ...sequential import Sequential
from . import described
from .kinds import KINDS, MERGES, Made, is_of_keras

# What a flattened image's numbers are in Keras: where ours at each place stands there.
Order = np.ndarray | None
Flow = tuple[Symbol, Order]


def from_keras(model: Any) -> Sequential | Graph:
    """The model that computes what a Keras 3 model computes; it can be trained on.

    A `Sequential` or a functional model, also with models inside it, is taken apart; weights and
    running statistics are copied, and frozen layers stay frozen. Images stay channels_last,
    but series become (N, channels, length), as all ours are. A layer of Keras with an activation
    becomes two of ours. Floats go in as they went into Keras's model. A `Rescaling` right behind
    the input becomes `normalization`: the model then takes pixels, uint8 arrays, or floats that
    are rescaled already. So does one whose only input is ``keras.Input(shape, dtype="uint8")``,
    as they are. What Keras computes in half precision is computed in float32.

    A `Graph` has Keras's names: those of ``model.output_names``, so the layers that the outputs
    come from, and those that people gave the inputs, ``keras.Input(shape, name="picture")``; or
    the keys, where inputs or outputs are a dict. Their order is that of ``model.inputs`` and
    ``model.outputs``. They have none where two are alike, or one is no word.

    Parameters
    ----------
    model : keras.Model
        Built: its shapes are known.

    Raises
    ------
    ValueError
        If a layer or its setting has no counterpart, or the model is not built; names it.

    Examples
    --------
    >>> import keras
    >>> net = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    >>> from_keras(net).layers
    (Flatten(),)
    """
    if not getattr(model, "built", False) or not getattr(model, "inputs", None):
        raise ValueError(
            "from_keras: the model must be built, so that its shapes are known; begin it with "
            "keras.Input(shape), or call it on a batch"
        )
    shapes = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    for shape in shapes:
        if not shape or None in shape:
            raise ValueError(f"from_keras: an input's shape must be known, got {shape}")
    inputs = [
        Input(shape[::-1] if len(shape) == 2 else shape, data_format="channels_last")
        for shape in shapes
    ]
    taker = _Taker(inputs)
    outputs = taker.call(model, taker.raw)
    if taker.rescaling is not None and taker.takes_raw:
        raise ValueError(
            f"from_keras: the input goes to a Rescaling and to layer {taker.takes_raw!r} too, "
            f"which would be given rescaled numbers here; rescale before the model"
        )
    if any(order is not None for _, order in outputs):
        raise ValueError(
            "from_keras: an output is a flattened image, whose numbers would stand in another "
            "order; put a Dense layer behind it"
        )
    ends = [symbol for symbol, _ in outputs]
    names_in, names_out = described.names_of(model)
    named_in, named_out = by_names("input", names_in, inputs), by_names("output", names_out, ends)
    made: Sequential | Graph = Graph(named_in, named_out)
    if made.is_row and len(inputs) == 1:
        options = {"input_shape": inputs[0].shape, "data_format": "channels_last"}
        made = Sequential(*made.layers, **options)
    takes_bytes = [str(tensor.dtype) for tensor in model.inputs] == ["uint8"]
    if taker.rescaling is not None or takes_bytes:
        made.normalization = taker.rescaling or (1.0, 0.0)  # not 1 / 255, as pixels are usually
        made.learned_from = "pixels"
    return made


class _Taker:
    """Makes each layer of Keras's model once, and calls it as often as it is called there."""

    def __init__(self, inputs: Sequence[Symbol]) -> None:
        self._inputs = inputs
        self._made: dict[int, tuple[Made, tuple[int, ...] | None]] = {}
        self.rescaling: tuple[float, float] | None = None
        self.raw: list[Flow] = [(symbol, None) for symbol in inputs]
        self.takes_raw = ""  # a layer that is given an input as it comes

    def run(self, model: Any, given: list[Flow]) -> list[Flow]:
        """What a model gives for what it is given."""
        if described.is_a(model, "Sequential"):
            flows = given
            for layer in model.layers:
                flows = self.call(layer, flows)
            return flows
        config = described.config_of(model)
        starts = described.ends_in(config["input_layers"])
        known: dict[described.Key, Flow] = dict(zip(starts, given, strict=True))
        waiting = list(described.calls_in(model, config))
        while waiting:
            ready = [each for each in waiting if all(key in known for key in each[2])]
            if not ready:
                raise ValueError("from_keras: a layer is given what no layer of the model gives")
            for name, number, sources in ready:
                layer = described.layer_of(model, name)
                flows = self.call(layer, [known[key] for key in sources])
                known |= {(name, number, place): flow for place, flow in enumerate(flows)}
            waiting = [each for each in waiting if each not in ready]
        return [known[end] for end in described.ends_out(model, config["output_layers"])]

    def call(self, layer: Any, given: list[Flow]) -> list[Flow]:
        """What a layer, or a model, gives for what it is given."""
        kind = type(layer).__name__
        if kind == "InputLayer":
            return given
        if not is_of_keras(type(layer).call):
            raise ValueError(
                f"from_keras, layer {layer.name!r} ({kind}): its call() is not one of Keras's, so "
                f"what it computes is not known; build it of Keras's layers as a functional model"
            )
        if hasattr(layer, "layers"):
            return self.run(layer, given)
        if kind != "Rescaling" and any(flow is raw for flow in given for raw in self.raw):
            self.takes_raw = layer.name
        try:
            if kind in MERGES:
                return [_merged(layer, MERGES[kind], given)]
            if len(given) != 1:
                raise ValueError(f"with {len(given)} inputs it has no counterpart")
            (flow,) = given
            if kind == "Rescaling":
                return [self._rescaled(layer, flow)]
            return [self._flowed(layer, kind, flow)]
        except (TypeError, ValueError) as error:
            raise ValueError(f"from_keras, layer {layer.name!r} ({kind}): {error}") from None

    def _flowed(self, layer: Any, kind: str, flow: Flow) -> Flow:
        if kind == "Reshape":
            return _reshaped(layer, flow)
        if kind not in KINDS:
            known = ", ".join((*KINDS, *MERGES, "Reshape", "Rescaling"))
            raise ValueError(f"from_keras knows no layer for it; known are {known}")
        x, order = flow
        if kind == "Flatten":
            order = _flat_order(x) if order is None else order
        if id(layer) not in self._made:
            made = KINDS[kind](layer)
            for own, arrays in made:
                _fill(own, arrays, order)
                own.trainable = bool(layer.trainable)
            self._made[id(layer)] = made, _key(order)
        made, known = self._made[id(layer)]
        if known != _key(order) and any(own.params for own, _ in made):
            raise ValueError("it is called on flattened images of two shapes")
        for own, _ in made:
            x = own(x)
            if order is not None and isinstance(own, GroupNorm):
                raise ValueError("its groups of a flattened image are others here; flatten later")
            order = None if isinstance(own, Dense) else order
        return x, order

    def _rescaled(self, layer: Any, flow: Flow) -> Flow:
        if len(self._inputs) > 1 or flow is not self.raw[0] or self.rescaling is not None:
            raise ValueError("it has a counterpart right behind the only input, and nowhere else")
        self.rescaling = layer.scale, layer.offset
        return flow[0], flow[1]  # another object than the raw one


# --- the order of flattened images ----------------------------------------------------------------


def _flat_order(x: Symbol) -> Order:
    """Keras flattens row by row, pixel by pixel; ours channel by channel."""
    if len(x.seen) < 2:
        return None
    channels, *size = x.seen
    theirs = np.arange(int(np.prod(x.seen))).reshape(*size, channels)
    order = np.moveaxis(theirs, -1, 0).reshape(-1)
    return None if (order == np.arange(order.size)).all() else order


def _key(order: Order) -> tuple[int, ...] | None:
    return None if order is None else tuple(order)


def _fill(layer: Layer, arrays: Mapping[str, np.ndarray], order: Order) -> None:
    """Write values; on a flattened image there is a row, or a number, for each of its numbers."""
    for name, values in arrays.items():
        own = layer.params[name] if name in layer.params else layer.state[name]
        if order is not None and (name == "weight" or not isinstance(layer, Dense)):
            values = values[order]
        own[...] = values


def _merged(layer: Any, kind: type[Layer], given: list[Flow]) -> Flow:
    symbols, orders = [flow[0] for flow in given], [flow[1] for flow in given]
    if kind is MERGES["Concatenate"]:
        if layer.axis not in (-1, len(symbols[0].seen)):
            raise ValueError(f"axis={layer.axis} has no counterpart, only the last, the channels")
        return kind()(*symbols), _joined(symbols, orders)
    if len({_key(order) for order in orders}) > 1:
        raise ValueError("it is given flattened images of two shapes")
    return kind()(*symbols), orders[0]


def _joined(symbols: Sequence[Symbol], orders: Sequence[Order]) -> Order:
    if all(order is None for order in orders):
        return None
    parts, first = [], 0
    for symbol, order in zip(symbols, orders, strict=True):
        size = symbol.seen[0]
        parts.append(first + (np.arange(size) if order is None else order))
        first += size
    return np.concatenate(parts)


def _reshaped(layer: Any, flow: Flow) -> Flow:
    """Only what keeps the order: to a row of numbers, or to one channel or one pixel."""
    x, order = flow
    shape = tuple(layer.compute_output_shape((1, *x.shape))[1:])
    if len(shape) == 1:
        return Flatten()(x), (_flat_order(x) if order is None else order)
    seen = (shape[-1], *shape[:-1])
    if order is not None or len(x.seen) > 1 or (seen[0] > 1 and np.prod(seen[1:]) > 1):
        raise ValueError(f"to {shape} it has no counterpart: the numbers stand in another order")
    return Reshape(seen)(x), None
