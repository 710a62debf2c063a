"""What a network computes for an answer, and no more: operations instead of layers.

Blocks are taken apart, dropout is left out, BatchNorm becomes a part of the weights before it, and
what follows a convolution or a dense layer at once, ReLU, 2 x 2 max pooling, the sum of a residual
block, is done while its result is in the cache. No image's shape is known here yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..layers import (
    Add,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Layer,
    MaxPool2D,
    ReLU,
    SpatialDropout,
)
from ..layers.branches import is_block
from ..layers.pool import halves
from ..network.layered import Connections
from ..network.row import before_softmax


@dataclass
class Operation:
    """One step of a network.

    Attributes
    ----------
    layer : Layer
        What it does.
    sources : tuple of int
        The values that it is given.
    target : int
        The value that it gives.
    weight, bias : array, optional
        Those of a convolution or a dense layer, with what was folded into them.
    extra : int, optional
        A value that is added.
    pooled : bool
        Whether 2 x 2 max pooling follows.
    relu : bool
        Whether max(y, 0) follows.
    """

    layer: Layer
    sources: tuple[int, ...]
    target: int
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    extra: int | None = None
    pooled: bool = False
    relu: bool = False

    @property
    def reads(self) -> tuple[int, ...]:
        """All values that it needs."""
        return self.sources if self.extra is None else (*self.sources, self.extra)

    @property
    def is_closed(self) -> bool:
        """Whether something follows already that ends it."""
        return self.extra is not None or self.pooled or self.relu


Call = tuple[Layer, tuple[int, ...], int]


def apart(network: Connections) -> tuple[list[Call], tuple[int, ...], int]:
    """(calls of layers that are no blocks, the values that come out, how many values there are).

    A call is (layer, the values that it is given, the value that it gives).
    """
    calls: list[Call] = []
    inputs = len(network.inputs)

    def call(layer: Layer, given: Any) -> int:
        if is_block(layer):
            assert layer.wiring is not None
            return layer.wiring.walk(layer.inside, [given], call)[-1]
        if type(layer) in (Dropout, SpatialDropout):
            return given
        target = inputs + len(calls)
        calls.append((layer, tuple(given) if layer.takes_several else (given,), target))
        return target

    values = list(range(inputs))
    for layer, sources in network.calls:
        given = [values[source] for source in sources]
        values.append(call(layer, given if layer.takes_several else given[0]))
    outputs = tuple(values[value] for value in network.outputs)
    return calls, outputs, inputs + len(calls)


def operations(calls: Sequence[Call], outputs: tuple[int, ...], count: int) -> list[Operation]:
    """What is computed, in order, from what `apart` gave."""
    uses = [0] * count
    for value in (*(v for _, given, _ in calls for v in given), *outputs):
        uses[value] += 1
    for value in before_softmax(calls, outputs).values():
        uses[value] += 1  # it may come out
    made: list[Operation] = []
    by_target: dict[int, Operation] = {}
    for layer, given, target in calls:
        last = _joined(layer, given, by_target, made, uses)
        if last is None:
            last = _new(layer, given, target)
            made.append(last)
        else:
            del by_target[last.target]
            last.target = target
        by_target[target] = last
    return made


def _new(layer: Layer, given: tuple[int, ...], target: int) -> Operation:
    weight = bias = None
    if type(layer) in (Conv2D, Dense):
        weight = layer.params["weight"].copy()
        bias = layer.params["bias"].copy() if "bias" in layer.params else None
    return Operation(layer, given, target, weight, bias)


def _joined(
    layer: Layer,
    given: tuple[int, ...],
    by_target: dict[int, Operation],
    made: list[Operation],
    uses: list[int],
) -> Operation | None:
    """The operation of which a layer becomes a part, if there is one."""
    before = [by_target[v] for v in given if v in by_target and uses[v] == 1]
    if type(layer) is Add and len(given) == 2:
        # The later of both ways: what the other one gives is there by then.
        sums = [each for each in before if each.weight is not None and not each.is_closed]
        for each in sorted(sums, key=made.index, reverse=True):
            (other,) = (v for v in given if v != each.target)
            is_there = other not in by_target or made.index(by_target[other]) < made.index(each)
            if is_there and type(each.layer) is Conv2D:
                each.extra = other
                return each
        return None
    if len(given) != 1 or not before:
        return None
    (last,) = before
    if type(layer) is BatchNorm and last.weight is not None and not last.is_closed:
        _fold(layer, last)
        return last
    if type(layer) is ReLU and not last.relu and takes_relu(last.layer):
        last.relu = True
        return last
    if halves(layer) and type(last.layer) is Conv2D and last.extra is None:
        if last.pooled or _is_depthwise(last.layer):
            return None
        last.pooled = True
        return last
    return None


def takes_relu(layer: Layer) -> bool:
    """Whether an operation has room for ReLU behind it."""
    return type(layer) in (Conv2D, Dense, BatchNorm, Add) or _is_pool(layer)


def _is_pool(layer: Layer) -> bool:
    # With gaps in its windows it runs as a layer, which knows of nothing that follows.
    return type(layer) is MaxPool2D and layer.dilation == (1, 1)


def _is_depthwise(conv: Conv2D) -> bool:
    return conv.groups == conv.in_channels > 1


def scale_and_shift(norm: BatchNorm) -> tuple[np.ndarray, np.ndarray]:
    """(gamma / sqrt(variance + eps), beta - mean * that), in double precision."""
    gamma, beta = (norm.params[name].astype(np.float64) for name in ("gamma", "beta"))
    mean, variance = (
        norm.state[name].astype(np.float64) for name in ("running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + norm.eps)
    return scale, beta - mean * scale


def _fold(norm: BatchNorm, last: Operation) -> None:
    """Weights and biases with which no normalisation is needed."""
    assert last.weight is not None
    dtype = last.weight.dtype
    scale, shift = scale_and_shift(norm)
    axes = (1, -1) if type(last.layer) is Dense else (-1, 1, 1, 1)
    bias = 0.0 if last.bias is None else last.bias.astype(np.float64)
    last.weight = (last.weight.astype(np.float64) * scale.reshape(axes)).astype(dtype)
    last.bias = (bias * scale + shift).astype(dtype)
