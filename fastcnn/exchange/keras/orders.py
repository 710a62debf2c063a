"""Where the numbers of flattened images stand: Keras's row by row, ours channel by channel."""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from ...layers import BatchNorm, Dense, Flatten, Layer, PReLU, Reshape
from ...layers.symbols import Symbol

# What a flattened image's numbers are in Keras: where ours at each place stands there.
Order = np.ndarray | None
Flow = tuple[Symbol, Order]


_USED_TWICE = (
    "a vector that a Reshape makes images of is used by another layer, too, or is an output, and "
    "its numbers stand in another order here; give both a Dense layer of their own"
)


def image_order(seen: tuple[int, ...]) -> np.ndarray:
    """Where each number of an image (channels, height, width) stands in Keras's vector of it."""
    channels, *size = seen
    theirs = np.arange(int(np.prod(seen))).reshape(*size, channels)
    return np.moveaxis(theirs, -1, 0).reshape(-1)


def flat_order(x: Symbol) -> Order:
    """The same of what is flattened; None where it is ours."""
    if len(x.seen) < 2:
        return None
    order = image_order(x.seen)
    return None if (order == np.arange(order.size)).all() else order


class Orders:
    """Vectors that become images: what gives them gets its numbers in our order.

    So that nothing else uses them, uses of each symbol are counted.
    """

    def __init__(self) -> None:
        self._uses: Counter[int] = Counter()
        self._turned: set[int] = set()
        self._layers: set[int] = set()
        self._calls: Counter[int] = Counter()

    def use(self, symbols: Iterable[Symbol]) -> None:
        """Count symbols that are given to a layer, or come out.

        Raises
        ------
        ValueError
            If their numbers stand as an image has them.
        """
        for symbol in symbols:
            self._uses[symbol.number] += 1
            if symbol.number in self._turned:
                raise ValueError(_USED_TWICE)

    def give(self, symbol: Symbol) -> Symbol:
        """Count what a layer gives, as `use` what it is given."""
        self._calls[id(symbol.layer)] += 1
        if id(symbol.layer) in self._layers:
            raise ValueError(_USED_TWICE)
        return symbol

    def reshaped(self, layer: Any, flow: Flow) -> Flow:
        """What a Reshape gives.

        Raises
        ------
        ValueError
            If numbers would stand in another order than there.
        """
        x, order = flow
        if hasattr(layer, "compute_output_shape"):
            shape = tuple(layer.compute_output_shape((1, *x.shape))[1:])
        else:  # keras.ops.reshape
            batch, *shape = layer.output.shape
            shape = tuple(shape)
            if batch is not None or None in shape or math.prod(shape) != math.prod(x.seen):
                raise ValueError(f"to {layer.output.shape} it does not keep the samples apart")
        if shape == x.shape:
            return flow
        if len(shape) == 1:
            return Flatten()(x), (flat_order(x) if order is None else order)
        seen = (shape[-1], *shape[:-1])
        if order is not None or len(x.seen) > 1:
            raise ValueError(
                f"to {shape} it has no counterpart: the numbers stand in another order"
            )
        if seen[0] > 1 and np.prod(seen[1:]) > 1:
            self._turn(x, seen, shape)
        return Reshape(seen)(x), None

    def _turn(self, x: Symbol, seen: tuple[int, ...], shape: tuple[int, ...]) -> None:
        """Give what a dense layer makes, and norms and the like behind it, our order."""
        rows, end = [x], x
        while not isinstance(end.layer, Dense):
            layer = end.layer
            keeps = layer is not None and type(layer).output_shape is Layer.output_shape
            if not keeps and not isinstance(layer, (BatchNorm, PReLU)):
                raise ValueError(f"to {shape} it has a counterpart behind a Dense layer only")
            (end,) = end.sources
            rows.append(end)
        order, turned = image_order(seen), [each.layer for each in rows if each.layer is not None]
        self._uses[x.number] -= 1  # the Reshape itself
        self.use(rows)
        several = any(layer.params and self._calls[id(layer)] > 1 for layer in turned)
        if several or any(self._uses[each.number] > 2 - (each is x) for each in rows):
            raise ValueError(_USED_TWICE)
        for layer in turned:
            for group in (layer.params, layer.state):
                for array in group.values():
                    if array.shape[-1:] == order.shape:
                        array[...] = array[..., order].copy()
        self._turned.update(each.number for each in rows)
        self._layers.update(id(layer) for layer in turned if layer.params)
