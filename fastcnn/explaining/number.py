"""Where one number of a layer's output comes from, and what the loss wants of it.

Nothing here knows how a layer computes. Its gradient for a 1 in the place of the number, and 0
everywhere else, is the slope of the number in each input: for a convolution or a dense layer these
are its weights. Where the slopes times the inputs and what is constant give the number, it is
their sum; elsewhere it is a curve with that slope.
"""

import contextlib
import copy
import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kernels import loop

from .. import backends
from ..checks import unknown
from ..gallery.analysis import Place, places
from ..languages import Refusal
from ..layers import (
    AveragePool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Layer,
    MaxPool2D,
)
from ..losses import CLASSIFICATION
from ..trainable import Trainable

_SPECIFIED = {
    Conv2D: loop.conv_forward,
    Dense: loop.dense_forward,
    MaxPool2D: loop.max_pool_forward,
    AveragePool2D: loop.average_pool_forward,
}
_NEAR = 1e-4  # of the size of the terms: float32 sums in another order
_FORMULA = re.compile(r"^( *)y(?:\[[^]]*\])? *= .+(?:\n\1 +.+)*", re.MULTILINE)


class Term(NamedTuple):
    """An input that the number depends on.

    Attributes
    ----------
    at : tuple of int
        Its place in the layer's input: (channel, row, column), or (feature,).
    x : float
        The input.
    slope : float
        By how much the number grows for each unit of the input: a weight, of layers with weights.

    Examples
    --------
    >>> Term((0,), x=4.0, slope=0.5).product
    2.0
    """

    at: tuple[int, ...]
    x: float
    slope: float

    @property
    def product(self) -> float:
        """What the input contributes to a sum."""
        return self.x * self.slope


@dataclasses.dataclass(frozen=True, eq=False)
class Number:
    """One number of a layer's output, explained.

    Attributes
    ----------
    place : Place
        The layer.
    shape : tuple of int
        Shape of its output for one sample.
    at : tuple of int
        Which number of it.
    value : float
        The number, to the bit what the network computes outside training.
    terms : list of Term
        The inputs that it depends on, in the order of the input.
    constant : float
        What a sum has besides: a bias, and what BatchNorm subtracts.
    is_sum : bool
        Whether the constant and the products are the number; else it is a curve of its inputs.
    gradient : float or None
        By how much the loss of this sample grows for each unit that the number grows; None for
        networks that were not trained for classes, or without a label.
    formula : str or None
        The layer's, from its docstring.
    sources : list of str
        Where it is computed, ``file:line function``: the specification first, then the layer.

    Examples
    --------
    >>> from fastcnn import Sequential
    >>> from fastcnn.layers import Dense
    >>> model = Sequential(Dense(2, 1))
    >>> model.layers[0].params["weight"] = [[0.5], [2.0]]
    >>> number = explain(model, np.float32([[4, 1]]))
    >>> number.value, number.total, number.is_sum
    (4.0, 4.0, True)
    """

    place: Place
    shape: tuple[int, ...]
    at: tuple[int, ...]
    value: float
    terms: list[Term]
    constant: float
    is_sum: bool
    gradient: float | None
    formula: str | None
    sources: list[str]

    @property
    def total(self) -> float:
        """The constant and the products, added as float64."""
        return self.constant + sum(term.product for term in self.terms)


def find(model: Trainable, name: str | None) -> Place:
    """The layer of that name: "conv1", "Conv 1", or its place, "0" or "4.main.1".

    Parameters
    ----------
    name : str, optional
        Default: the first layer with weights.

    Raises
    ------
    ValueError
        If there is none; names those that there are.

    Examples
    --------
    >>> from fastcnn import models
    >>> find(models.build("lenet5"), "conv2").label
    'Conv 2'
    """
    found = places(model)
    if name is None:
        return next((each for each in found if "weight" in each.layer.params), found[0])
    exact = [place for place in found if place.path == name]
    alike = [place for place in found if _plain(name) in (_plain(place.path), _plain(place.label))]
    if exact or alike:
        return (exact or alike)[0]
    known = tuple(_plain(place.label) for place in found)
    raise Refusal(unknown("layer", name, known), f"没有名为 {name!r} 的层；有 {', '.join(known)}")


def _plain(name: str) -> str:
    """A name without what people spell differently."""
    return re.sub(r"[\s_-]", "", name).lower()


def at_default(y: np.ndarray) -> tuple[int, ...]:
    """The place of the largest number of a layer's output, by its size.

    Examples
    --------
    >>> at_default(np.array([[1.0, -3.0], [2.0, 0.0]]))
    (0, 1)
    """
    return tuple(int(i) for i in np.unravel_index(np.abs(y).argmax(), y.shape))


def explain(
    model: Trainable,
    x: np.ndarray,
    layer: str | None = None,
    at: tuple[int, ...] | None = None,
    label: int | None = None,
) -> Number:
    """What made one number of a network outside training, and what the loss sends back to it.

    Parameters
    ----------
    model : Sequential or Graph
        The network; nothing in it is changed.
    x : array (1, ...)
        One sample, as the model takes it.
    layer : str, optional
        As `find` takes it.
    at : tuple of int, optional
        Which number of the layer's output, counted from 0: (channel, row, column) or (unit,).
        Default: the largest by its size.
    label : int, optional
        The sample's class, for the gradient.

    Raises
    ------
    ValueError
        If there is no such layer or number, or x is not one sample that fits.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import Sequential
    >>> from fastcnn.layers import Dense
    >>> model = Sequential(Dense(2, 1))
    >>> model.layers[0].params["weight"] = [[0.5], [2.0]]
    >>> number = explain(model, np.float32([[4, 1]]))
    >>> [(term.x, term.slope) for term in number.terms], number.value
    ([(4.0, 0.5), (1.0, 2.0)], 4.0)
    """
    place = find(model, layer)
    ready = model.prepared(x)
    if len(ready) != 1:
        raise Refusal(
            f"one sample is explained at a time, got {len(ready)}",
            f"一次解释一个样本，得到的是 {len(ready)} 个",
        )
    with _seen(place.layer) as calls:
        y = ready
        for each in model.in_row("explain"):  # as written; `forward` may put them together
            y = each.forward(y)
    inputs, outputs = calls[0]
    at = at_default(outputs[0]) if at is None else tuple(at)
    _check(place, outputs.shape[1:], at)
    still = _still(model)
    slopes, constant = _local(_at(still, place.path), inputs, at)
    terms = [
        Term(tuple(map(int, where)), float(inputs[0][tuple(where)]), float(slopes[tuple(where)]))
        for where in np.argwhere(slopes)
    ]
    if not terms and slopes.shape == outputs.shape[1:]:  # where a curve of one input is flat
        terms = [Term(at, float(inputs[0][at]), 0.0)]
    value = float(outputs[0][at])
    if isinstance(place.layer, BatchNorm) and terms:
        constant -= terms[0].slope * float(place.layer.state["running_mean"][at[0]])
    total = constant + sum(term.product for term in terms)
    size = abs(constant) + sum(abs(term.product) for term in terms)
    knows_loss = label is not None and model.task == CLASSIFICATION and model.loss is not None
    return Number(
        place, outputs.shape[1:], at, value, terms, constant,
        is_sum=abs(total - value) <= _NEAR * size,
        gradient=_gradient(still, place.path, ready, label, at) if knows_loss else None,
        formula=_formula(place.layer),
        sources=_sources(place.layer),
    )  # fmt: skip


def _check(place: Place, shape: tuple[int, ...], at: tuple[int, ...]) -> None:
    if len(at) != len(shape) or any(not 0 <= i < size for i, size in zip(at, shape, strict=False)):
        last = ",".join(str(size - 1) for size in shape)
        first = ",".join("0" for _ in shape)
        got = ",".join(map(str, at))
        axes, axes_zh = (
            (" (channel, row, column)", "（通道、行、列）") if len(shape) == 3 else ("", "")
        )
        raise Refusal(
            f"{place.label} gives numbers {first} to {last}{axes}, got {got or 'none'}",
            f"{place.label} 给出的数从 {first} 到 {last}{axes_zh}，得到的是 {got or '空'}",
        )


@contextlib.contextmanager
def _seen(layer: Layer) -> Iterator[list[tuple[np.ndarray, np.ndarray]]]:
    """(x, y) of each call of a layer's `forward`, copied."""
    calls: list[tuple[np.ndarray, np.ndarray]] = []
    forward = layer.forward

    def seeing(x: np.ndarray, training: bool = False) -> np.ndarray:
        before = x.copy()
        y = forward(x, training)
        calls.append((before, y.copy()))
        return y

    layer.forward = seeing  # type: ignore[method-assign]
    try:
        yield calls
    finally:
        del layer.forward


def _still(model: Trainable) -> Trainable:
    """A copy that computes in training what the model does outside: the gradients are of that."""
    still = copy.deepcopy(model)
    for place in places(still):
        if not place.layer.children():
            place.layer.trainable = not isinstance(place.layer, BatchNorm)
        if isinstance(place.layer, Dropout):
            place.layer.rate = 0.0
    return still


def _at(model: Trainable, path: str) -> Layer:
    return next(place.layer for place in places(model) if place.path == path)


def _local(layer: Layer, x: np.ndarray, at: tuple[int, ...]) -> tuple[np.ndarray, float]:
    """The slope of the number in each input, and what biases give."""
    with backends.backend("im2col"):  # adds zeros to each weight, and nothing else
        y = layer.forward(x, training=True)
        one = np.zeros_like(y)
        one[(0, *at)] = 1
        slopes = layer.backward(one)[0].copy()
        biases = [
            float(np.vdot(layer.grads[name], layer.params[name]))
            for name in ("bias", "beta")
            if name in layer.params and layer.trainable  # the gradient of either is the 1
        ]
    if not layer.trainable and "beta" in layer.params:
        biases = [float(layer.params["beta"][at[0]])]
    return slopes, sum(biases)


def _gradient(
    still: Trainable, path: str, x: np.ndarray, label: int | None, at: tuple[int, ...]
) -> float:
    """dLoss/dy at the number."""
    layer, loss = _at(still, path), copy.deepcopy(still.loss)
    backward, found = layer.backward, []

    def seeing(dy: np.ndarray) -> np.ndarray:
        found.append(float(dy[(0, *at)]))
        return backward(dy)

    layer.backward = seeing  # type: ignore[method-assign]
    y = x
    for each in still.layers:
        y = each.forward(y, training=True)
    loss.forward(y, np.array([label]))
    dy = loss.backward()
    for each in reversed(still.layers):
        dy = each.backward(dy)
    return found[-1]


def _formula(layer: Layer) -> str | None:
    match = _FORMULA.search(inspect.getdoc(type(layer)) or "")
    return None if match is None else " ".join(match[0].split())


def _sources(layer: Layer) -> list[str]:
    functions: list[Any] = [
        function for kind, function in _SPECIFIED.items() if isinstance(layer, kind)
    ]
    return [_where(function) for function in (*functions, type(layer).forward)]


def _where(function: Any) -> str:
    """Folder, file, line and name of a function."""
    code = function.__code__
    path = Path(code.co_filename)
    top = next((each for each in path.parents if each.name in ("fastcnn", "kernels")), None)
    shown = path.relative_to(top.parent) if top else path
    return f"{shown.as_posix()}:{code.co_firstlineno} {function.__qualname__}"
