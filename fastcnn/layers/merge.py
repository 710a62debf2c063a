"""Layers that make one array of several: where the branches of a graph meet."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kernels import activation as arithmetic
from kernels.images import channels

from . import spoken
from .base import Layer
from .memory import Shape, memory_of, seen

_FLOATS = {np.dtype(np.float32), np.dtype(np.float64)}


class _Merge(Layer):
    """Takes two arrays or more, for which it is called on as many symbols."""

    takes_several = True

    def output_shape(self, input_shape: Any) -> Shape:
        if not input_shape or isinstance(input_shape[0], int):
            raise ValueError(
                f"{self.name} takes two inputs or more, which there are in a Graph: call it on "
                f"symbols, {type(self).__name__}()(a, b)"
            )
        return self.merged(input_shape)

    def merged(self, shapes: Sequence[Shape]) -> Shape:
        """Shape of y for inputs of these shapes; raises if they do not fit together."""
        if len(set(shapes)) > 1:
            raise ValueError(f"{self.name}: its inputs must have one shape, got {_listed(shapes)}")
        return shapes[0]

    def _checked_shape(self, x: Any) -> Shape:
        if not isinstance(x, (list, tuple)) or not all(isinstance(a, np.ndarray) for a in x):
            raise TypeError(
                f"{self.name}: expected a list of arrays, as a Graph gives it, got "
                f"{type(x).__name__}"
            )
        kinds, shapes = {each.dtype for each in x}, tuple(each.shape for each in x)
        if len(kinds) > 1 or not kinds <= _FLOATS:
            raise TypeError(
                f"{self.name}: expected arrays of float32, or all of float64, got "
                f"{', '.join(sorted(map(str, kinds))) or 'none'}"
            )
        checked = self._checked
        if checked is None or checked[0] != shapes:
            checked = self._checked = (shapes, self.output_shape(shapes))
        return checked[1]

    def backward(self, dy: np.ndarray) -> Any:
        """dLoss/dx for each input."""
        raise NotImplementedError

    def part(self, number: int, shape: Shape, dtype: np.dtype) -> np.ndarray:
        """Memory for the gradient of an input."""
        return self.place.scratch.array(f"{self.place.gradient_slot} {number}", shape, dtype)


def _listed(shapes: Sequence[Shape]) -> str:
    return " and ".join(str(spoken.shape(each)) for each in shapes)


class Add(_Merge):
    """The sum of its inputs.

        x1, x2, ... of one shape -> y of the same shape, float32 or float64

    Raises
    ------
    ValueError
        If the inputs have different shapes.

    Examples
    --------
    >>> Add().forward([np.float32([[1, 2]]), np.float32([[10, 20]])])
    array([[11., 22.]], dtype=float32)
    """

    def forward(self, x: Any, training: bool = False) -> np.ndarray:
        self.check_input(x)
        y = self.added(x, training)
        if training:
            self.remember(y, len(x))
        return y

    def added(self, x: Sequence[np.ndarray], training: bool) -> np.ndarray:
        """The sum of what fits together."""
        first, *others = map(memory_of, x)
        y = self.result(first.shape, first.dtype, training)
        for other in others:
            arithmetic.add(first, other, y)
            first = y
        return seen(y)

    def backward(self, dy: np.ndarray) -> tuple[np.ndarray, ...]:
        (count,) = self.recall(dy)
        return (dy,) * count


class Multiply(_Merge):
    """The product of its inputs.

        x1, x2, ... of one shape -> y of the same shape, float32 or float64

    Raises
    ------
    ValueError
        If the inputs have different shapes.

    Examples
    --------
    >>> Multiply().forward([np.float32([[1, 2]]), np.float32([[10, 20]])])
    array([[10., 40.]], dtype=float32)
    """

    def forward(self, x: Any, training: bool = False) -> np.ndarray:
        self.check_input(x)
        kept = list(map(memory_of, x))
        y = self.result(kept[0].shape, kept[0].dtype, training)
        product = kept[0]
        for other in kept[1:]:
            arithmetic.multiply(product, other, y)
            product = y
        if training:
            self.remember(seen(y), kept)
        return seen(y)

    def backward(self, dy: np.ndarray) -> tuple[np.ndarray, ...]:
        (kept,) = self.recall(dy)
        gradients = []
        for i in range(len(kept)):
            product, dx = memory_of(dy), self.part(i, kept[i].shape, dy.dtype)
            for other in (*kept[:i], *kept[i + 1 :]):
                arithmetic.multiply(product, other, dx)
                product = dx
            gradients.append(seen(dx))
        return tuple(gradients)


class Concat(_Merge):
    """Its inputs' channels one behind the other.

        x1 (N, C1, H, W), x2 (N, C2, H, W), ... -> y (N, C1 + C2 + ..., H, W); or (N, C1), (N, C2),
        ... or (N, C1, L), (N, C2, L), ...

    `Concatenate` is the block that puts what its layers make of x behind x itself.

    Raises
    ------
    ValueError
        If the inputs differ in more than their channels.

    Examples
    --------
    >>> Concat().forward([np.float32([[1, 2]]), np.float32([[10]])])
    array([[ 1.,  2., 10.]], dtype=float32)
    """

    def merged(self, shapes: Sequence[Shape]) -> Shape:
        batch, _, *size = shapes[0]
        if len({(shape[0], *shape[2:]) for shape in shapes}) > 1:
            raise ValueError(
                f"{self.name}: its inputs may differ in their channels only, got {_listed(shapes)}"
            )
        return (batch, sum(shape[1] for shape in shapes), *size)

    def forward(self, x: Any, training: bool = False) -> np.ndarray:
        shape = self.check_input(x)
        inputs = list(map(memory_of, x))
        at_end = len(shape) == 4
        y = self.result(
            (shape[0], *shape[2:], shape[1]) if at_end else shape, inputs[0].dtype, training
        )
        first, rows, parts = 0, rows_of(y), [*map(rows_of, inputs)]
        if len(parts) == 2:
            channels.join_channels(parts[0], parts[1], rows)
        else:
            for part in parts:
                channels.put_channels(part, first, rows)
                first += part.shape[-1]
        if training:
            self.remember(seen(y), [each.shape for each in inputs])
        return seen(y)

    def backward(self, dy: np.ndarray) -> tuple[np.ndarray, ...]:
        (shapes,) = self.recall(dy)
        first, rows, gradients = 0, rows_of(memory_of(dy)), []
        for i, shape in enumerate(shapes):
            dx = self.part(i, shape, dy.dtype)
            channels.take_channels(rows, first, rows_of(dx))
            first += rows_of(dx).shape[-1]
            gradients.append(seen(dx))
        return tuple(gradients)


def rows_of(x: np.ndarray) -> np.ndarray:
    """An array in memory with what is joined as its last axis: channels, or channels of lengths."""
    return x.reshape(len(x), -1) if x.ndim == 3 else x
