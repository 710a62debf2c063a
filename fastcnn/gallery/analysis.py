"""What a picture or a report wants to know of a model, as arrays.

Everything is read off the layers themselves, so it works for any model, blocks of layers included.

Examples
--------
>>> from fastcnn import models
>>> [place.label for place in with_weights(models.build("lenet5"))]
['Conv 1', 'Conv 2', 'Dense 1', 'Dense 2', 'Dense 3']
"""

import contextlib
import copy
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ..checks import unknown
from ..layers import Layer
from ..layers.initialization import Initialization
from ..random import generator
from ..trainable import Trainable

INITIALIZATIONS = {
    "he": Initialization("", "he"),
    "xavier": Initialization("", "xavier"),
    "small": Initialization("", "normal", 0.01),
}


class Place(NamedTuple):
    """A layer and where it stands.

    Attributes
    ----------
    label : str
        What it is called in pictures: its kind, and its number among its kind from 1.
    path : str
        Where it is in the model: "0", "4.main.1".
    layer : Layer
        The layer itself.
    """

    label: str
    path: str
    layer: Layer

    def __str__(self) -> str:
        return self.label


# --- layers ---------------------------------------------------------------------------------------


def places(model: Trainable) -> list[Place]:
    """All layers in order, a block of layers before those inside it."""
    counts: Counter[str] = Counter()
    found = []
    for index, layer in enumerate(model.layers):
        for path, inner in _inside(str(index), layer):
            kind = type(inner).__name__.removesuffix("2D")
            counts[kind] += 1
            found.append(Place(f"{kind} {counts[kind]}", path, inner))
    return found


def _inside(path: str, layer: Layer) -> Iterator[tuple[str, Layer]]:
    yield path, layer
    for name, child in layer.children():
        yield from _inside(f"{path}.{name}", child)


def with_parameter(model: Trainable, name: str) -> list[Place]:
    """The layers that have a parameter array of that name, such as "bias" or "gamma"."""
    return [
        place
        for place in places(model)
        if not place.layer.children() and name in place.layer.params
    ]


def with_weights(model: Trainable, dimensions: int | None = None) -> list[Place]:
    """The layers with weights: of four dimensions for convolutions, of two for dense layers."""
    return [
        place
        for place in with_parameter(model, "weight")
        if dimensions in (None, place.layer.params["weight"].ndim)
    ]


def neurons(weight: np.ndarray) -> np.ndarray:
    """The weights of each filter or unit as a row: (outputs, inputs)."""
    return weight.T if weight.ndim == 2 else weight.reshape(len(weight), -1)


def image_shape(model: Trainable, place: Place) -> tuple[int, int, int] | None:
    """(C, H, W) of the images that a dense layer is given as rows; None where it is given others.

    Known for layers that stand in the model itself, if the model knows its input's shape.
    """
    if model.input_shape is None or len(model.input_shape) != 3 or "." in place.path:
        return None
    channels, height, width = model.input_shape
    if model.data_format == "channels_last":
        height, width, channels = model.input_shape
    shape, found = (1, channels, height, width), None
    for layer in model.in_row("this picture")[: int(place.path)]:
        after = layer.output_shape(shape)
        if "weight" in layer.params or len(after) == 4:
            found = None
        elif len(shape) == 4:
            found = shape[1:] if math.prod(shape) == math.prod(after) else None
        shape = after
    return found


# --- activations ----------------------------------------------------------------------------------


def layer_outputs(model: Trainable, x: np.ndarray) -> list[tuple[Place, np.ndarray]]:
    """What every layer makes of a batch, in the order in which they run; outside training.

    Parameters
    ----------
    x : array
        As `Sequential.forward` takes it.

    Returns
    -------
    list[tuple[Place, array]]
        (place, output) with images as (N, C, H, W); a block follows the layers inside it.

    Raises
    ------
    ValueError, TypeError
        If x does not fit the model.
    """
    outputs: list[tuple[Place, np.ndarray]] = []
    y = model.prepared(x)
    with contextlib.ExitStack() as stack:
        for place in places(model):
            stack.enter_context(_recorded(place, outputs))
        for _ in model.one_by_one(y):  # `forward` may swap ReLU and pooling
            pass
    return outputs


@contextlib.contextmanager
def _recorded(place: Place, outputs: list[tuple[Place, np.ndarray]]) -> Iterator[None]:
    """Copies what a layer returns, whoever calls it."""
    forward = place.layer.forward

    def recording(x: np.ndarray, training: bool = False) -> np.ndarray:
        y = forward(x, training)
        outputs.append((place, y.copy()))
        return y

    place.layer.forward = recording  # type: ignore[method-assign]
    try:
        yield
    finally:
        del place.layer.forward


def activation_variances(
    model: Trainable, x: np.ndarray, initialization: str, seed: int = 42
) -> dict[str, float]:
    """Variance of what each layer with weights gives, had the model just been initialised.

    The weights of a copy are drawn anew, everything else is as in a new model; BatchNorm has seen
    no batch yet, and so leaves numbers as they are.

    Parameters
    ----------
    x : array
        As `Sequential.forward` takes it.
    initialization : str
        "he" or "xavier" (`layers.initialization`), or "small": normal with a standard
        deviation of 0.01.
    seed : int
        Key of the weights.

    Returns
    -------
    dict[str, float]
        Label of the layer -> variance over images, channels and places.

    Raises
    ------
    ValueError
        If there is no such initialisation, or x does not fit the model.
    """
    if initialization not in INITIALIZATIONS:
        raise ValueError(unknown("initialization", initialization, tuple(INITIALIZATIONS)))
    fresh = copy.deepcopy(model)
    for index, layer in enumerate(fresh.layers):
        layer.initialize(seed, str(index))
    for place in with_weights(fresh):
        shape = place.layer.params["weight"].shape
        place.layer.params["weight"] = _drawn(shape, initialization, seed, place.path)
    return {
        place.label: float(y.var(dtype=np.float64))
        for place, y in layer_outputs(fresh, x)
        if not place.layer.children() and "weight" in place.layer.params
    }


def _drawn(shape: Sequence[int], initialization: str, seed: int, path: str) -> np.ndarray:
    if len(shape) == 2:
        fan_in, fan_out = shape
    else:
        area = math.prod(shape[2:])
        fan_out, fan_in = shape[0] * area, shape[1] * area
    numbers, start = generator(seed, "weights", path), INITIALIZATIONS[initialization]
    return start.draw(numbers, {"weight": tuple(shape)}, fan_in, fan_out)["weight"]
