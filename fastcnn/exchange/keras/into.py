"""A Keras model's layers, called on symbols as its graph says."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...graph import Graph, by_names
from ...layers import Add, Concat, Dense, GroupNorm, Input, Layer, Multiply
from ...layers.symbols import Symbol
from ...sequential import Sequential
from .. import composed
from . import described
from .kinds import (
    ARITHMETIC,
    FUNCTIONS,
    IN_TRAINING,
    KINDS,
    MERGES,
    SCALES,
    Made,
    is_of_keras,
    scale_of,
)
from .orders import Flow, Order, Orders, flat_order


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
    taker.orders.use(symbol for symbol, _ in outputs)
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
        self.orders = Orders()
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
            ready = [each for each in waiting if all(_is_there(key, known) for key in each[2])]
            if not ready:
                raise ValueError("from_keras: a layer is given what no layer of the model gives")
            for name, number, sources in ready:
                layer = described.layer_of(model, name)
                flows = self.call(layer, [_flow_of(key, known) for key in sources])
                known |= {(name, number, place): flow for place, flow in enumerate(flows)}
            waiting = [each for each in waiting if each not in ready]
        return [known[end] for end in described.ends_out(model, config["output_layers"])]

    def call(self, layer: Any, given: Sequence[Flow | float]) -> list[Flow]:
        """What a layer, or a model, gives for what it is given."""
        kind = type(layer).__name__
        if kind == "InputLayer":
            return [flow for flow in given if isinstance(flow, tuple)]
        if not is_of_keras(type(layer).call):
            raise ValueError(
                f"from_keras, layer {layer.name!r} ({kind}): its call() is not one of Keras's, so "
                f"what it computes is not known; build it of Keras's layers as a functional model"
            )
        flows = [flow for flow in given if isinstance(flow, tuple)]
        if kind in IN_TRAINING:
            warnings.warn(
                f"from_keras, layer {layer.name!r} ({kind}): it changes images in training only, "
                f"and is left out; augment them with train(..., augment=...)",
                stacklevel=2,
            )
            return flows
        if hasattr(layer, "layers"):
            return self.run(layer, flows)
        _refuse_channels_first(layer, kind)
        if kind != "Rescaling" and any(flow is raw for flow in given for raw in self.raw):
            self.takes_raw = layer.name
        try:
            self.orders.use(flow[0] for flow in flows)
            if len(flows) < len(given):
                return [_with_number(kind, given)]
            if not hasattr(layer, "trainable") and kind not in (*ARITHMETIC, *FUNCTIONS):
                raise ValueError("from_keras knows no layer for this function; put one there")
            if kind in MERGES and len(flows) > 1:
                return [_merged(layer, kind, flows)]
            if len(flows) != 1:
                raise ValueError(f"with {len(flows)} inputs it has no counterpart")
            (flow,) = flows
            if kind in SCALES:
                return [self._scaled(layer, kind, flow)]
            return [self._flowed(layer, kind, flow)]
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            raise ValueError(f"from_keras, layer {layer.name!r} ({kind}): {error}") from None

    def _flowed(self, layer: Any, kind: str, flow: Flow) -> Flow:
        if kind == "Reshape":
            return self.orders.reshaped(layer, flow)
        if kind == "LayerNormalization" and len(flow[0].seen) > 1:
            raise ValueError(
                "of images or series, whose channels it normalises at each place, it has no "
                "counterpart; GroupNormalization(1) is over all of a sample"
            )
        known = KINDS if hasattr(layer, "trainable") else FUNCTIONS
        if kind not in known:
            names = ", ".join((*KINDS, *MERGES, "Reshape", *SCALES))
            raise ValueError(f"from_keras knows no layer for it; known are {names}")
        x, order = flow
        if kind == "Flatten":
            order = flat_order(x) if order is None else order
        if id(layer) not in self._made:
            made = known[kind](layer)
            for own, arrays in made:
                _fill(own, arrays, order)
                own.trainable = bool(getattr(layer, "trainable", True))
            self._made[id(layer)] = made, _key(order)
        made, before = self._made[id(layer)]
        if before != _key(order) and any(own.params for own, _ in made):
            raise ValueError("it is called on flattened images of two shapes")
        for own, _ in made:
            x = composed.of_images(own, x) if isinstance(own, composed.FOR_IMAGES) else own(x)
            self.orders.give(x)
            if order is not None and isinstance(own, GroupNorm):
                raise ValueError("its groups of a flattened image are others here; flatten later")
            order = None if isinstance(own, Dense) else order
        return x, order

    def _scaled(self, layer: Any, kind: str, flow: Flow) -> Flow:
        """What a Rescaling gives, or a Normalization; right behind the input it is pixels' own."""
        x, order = flow
        scale, offset = (_by_channel(each, x, order) for each in scale_of(layer))
        if kind != "Rescaling" or all(flow is not raw for raw in self.raw):
            return composed.scaled(x, scale, offset), order
        if len(self._inputs) > 1 or self.rescaling is not None:
            raise ValueError("right behind an input it has a counterpart if that is the only one")
        self.rescaling = layer.scale, layer.offset
        return x, order  # another object than the raw one


def _by_channel(numbers: np.ndarray, x: Symbol, order: Order) -> np.ndarray:
    """Numbers that are one for all, or one for each channel, which come last, as one row."""
    last = numbers.shape[-1:] or (1,)
    if last not in ((1,), x.seen[:1]) or numbers.size != last[0] or numbers.ndim > len(x.shape) + 1:
        raise ValueError(
            f"numbers of shape {numbers.shape} beside {('N', *x.shape)} have no counterpart; what "
            f"has one is a number, or one for each channel"
        )
    row = numbers.reshape(-1)
    return row if order is None or row.size == 1 else row[order]


def _refuse_channels_first(layer: Any, kind: str) -> None:
    if getattr(layer, "data_format", "channels_last") not in (None, "channels_last"):
        raise ValueError(
            f"from_keras, layer {layer.name!r} ({kind}): data_format={layer.data_format!r} has no "
            f"counterpart, only 'channels_last'"
        )


def _key(order: Order) -> tuple[int, ...] | None:
    return None if order is None else tuple(order)


def _fill(layer: Layer, arrays: Mapping[str, np.ndarray], order: Order) -> None:
    """Write values; on a flattened image there is a row, or a number, for each of its numbers."""
    for name, values in arrays.items():
        own = layer.params[name] if name in layer.params else layer.state[name]
        if order is not None and (name == "weight" or not isinstance(layer, Dense)):
            values = values[order] if len(values) > 1 else values  # a PReLU may have one for all
        own[...] = values


def _is_there(given: described.Given, known: Mapping[described.Key, Flow]) -> bool:
    return not isinstance(given, tuple) or given in known


def _flow_of(given: described.Given, known: Mapping[described.Key, Flow]) -> Flow | float:
    return known[given] if isinstance(given, tuple) else given


def _with_number(kind: str, given: Sequence[Flow | float]) -> Flow:
    """Arithmetic of one input with a number."""
    numbers = [each for each in given if not isinstance(each, tuple)]
    flows = [each for each in given if isinstance(each, tuple)]
    is_first = not isinstance(given[0], tuple)
    if len(numbers) != 1 or len(flows) != 1 or (is_first and kind.endswith("Divide")):
        raise ValueError("with numbers it has no counterpart")
    (x, order), number = flows[0], numbers[0]
    ways: dict[str, tuple[float, float]] = {
        "Add": (1.0, number), "Multiply": (number, 0.0),
        "Subtract": (-1.0, number) if is_first else (1.0, -number),
        "Divide": (1 / number if number else np.nan, 0.0),
    }  # fmt: skip
    if kind.removeprefix("True") not in ways:
        raise ValueError(f"with the number {number} it has no counterpart")
    factor, offset = ways[kind.removeprefix("True")]
    if not np.isfinite(factor):
        raise ValueError("it divides by 0")
    return composed.scaled(x, factor, offset), order


def _merged(layer: Any, name: str, given: list[Flow]) -> Flow:
    symbols, orders = [flow[0] for flow in given], [flow[1] for flow in given]
    if name == "Concatenate":
        if layer.axis not in (-1, len(symbols[0].seen)):
            raise ValueError(f"axis={layer.axis} has no counterpart, only the last, the channels")
        return Concat()(*symbols), _joined(symbols, orders)
    if len({_key(order) for order in orders}) > 1:
        raise ValueError("it is given flattened images of two shapes")
    if name == "Subtract":
        symbols[1] = composed.scaled(symbols[1], -1.0)
    symbols = composed.spread(symbols)
    if name in ("Maximum", "Minimum"):
        return composed.extreme(symbols, name == "Maximum"), orders[0]
    y = (Multiply if name == "Multiply" else Add)()(*symbols)
    return (composed.scaled(y, 1 / len(symbols)) if name == "Average" else y), orders[0]


def _joined(symbols: Sequence[Symbol], orders: Sequence[Order]) -> Order:
    if all(order is None for order in orders):
        return None
    parts, first = [], 0
    for symbol, order in zip(symbols, orders, strict=True):
        size = symbol.seen[0]
        parts.append(first + (np.arange(size) if order is None else order))
        first += size
    return np.concatenate(parts)
