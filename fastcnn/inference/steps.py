"""From operations to the rows of a table, for samples of one shape."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kernels.conv import depthwise, winograd_plan
from kernels.conv.arrangement import DIRECT, arrangement_of
from kernels.conv.winograd_pieces import pieces_of
from kernels.dense import depth_parts
from kernels.inference import table as t
from kernels.inference.multiplication import DEEP_ROWS
from kernels.tile import full_panel, full_vectors, panel_width

from ..layers import (
    Add,
    BatchNorm,
    Concat,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePool2D,
    GlobalMaxPool2D,
    Layer,
    LeakyReLU,
    MaxPool2D,
    Multiply,
    ReLU,
    Sigmoid,
    Tanh,
)
from ..layers.memory import Shape
from ..layers.pool import AveragePool2D, _Pool
from . import packing
from .operations import Operation

SLACK = 16  # numbers behind what is read in whole vectors
_SAME_SETS = 2048  # bytes; rows a multiple of this apart are in each other's way in the cache


@dataclass
class Step:
    """A row of the table, and what the plan has to know of it.

    Attributes
    ----------
    row : list of int
        What `kernels.inference` reads.
    reads : tuple of int
        Values.
    writes : int
        The value.
    cost : int
        Of a sample, in multiply-adds.
    weights : int
        Numbers that are read for any number of samples.
    parts : int
        Into how many a sample can be cut.
    scratch : int
        Numbers of a worker's own.
    """

    row: list[int]
    reads: tuple[int, ...]
    writes: int
    cost: int = 0
    weights: int = 0
    parts: int = 1
    scratch: int = 0


@dataclass
class Call:
    """A layer that runs as it always does, between two stretches of the table."""

    layer: Layer
    reads: tuple[int, ...]
    writes: int


@dataclass
class Steps:
    """Rows that are being made.

    Attributes
    ----------
    shapes : list of tuple
        By value, of a sample as layers see it.
    done : list of Step or Call
        What there is so far.
    apart : dict
        By value, numbers from one sample to the next where that is not their number.
    constants : list of array
        What the rows name by its place among them.
    place_of_scale : int
        Where the scale and offset of pixels lie.
    """

    dtype: np.dtype
    shapes: list[Shape]
    done: list[Step | Call] = field(default_factory=list)
    apart: dict[int, int] = field(default_factory=dict)
    constants: list[np.ndarray] = field(default_factory=list)
    place_of_scale: int = 0
    _size: int = 0

    def constant(self, array: np.ndarray) -> int:
        """Where an array will lie among the constants: at a cache line."""
        start = self._size
        padded = np.zeros(-(-array.size // SLACK) * SLACK, self.dtype)
        padded[: array.size] = array
        self.constants.append(padded)
        self._size += padded.size
        return start

    def all_constants(self) -> np.ndarray:
        """They, one behind the other."""
        return np.concatenate([*self.constants, np.zeros(4 * SLACK, self.dtype)])

    def numbers(self, value: int) -> int:
        """How many a sample has."""
        return math.prod(self.shapes[value])

    # --- one operation ----------------------------------------------------------------------------

    def inputs(self, count: int, scale: np.ndarray, offset: np.ndarray) -> None:
        """What is given: one array, or several in one row of numbers."""
        total = sum(map(self.numbers, range(count)))
        first = 0
        for value in range(count):
            numbers = self.numbers(value)
            own = [first, 1, numbers, total, 0]
            self.add(t.FLOATS, None, value, own, cost=numbers)
            first += numbers
        if count == 1:
            self.place_of_scale = self.constant(np.concatenate([scale, offset]))

    def add(
        self, kind: int, x: int | None, y: int, own: list[int], operation: Operation | None = None,
        extra: int | None = None, **facts: Any,
    ) -> None:  # fmt: skip
        """Another row."""
        extra = operation.extra if operation is not None and extra is None else extra
        row = [kind, t.NONE if x is None else x, y, t.NONE if extra is None else extra]
        row += [int(operation.relu) if operation is not None else 0, *map(int, own)]
        reads = tuple(v for v in (x, extra) if v is not None)
        self.done.append(Step(row, reads, y, **facts))

    def operation(self, each: Operation) -> None:
        """The rows of an operation, or a call of its layer."""
        make = _MAKERS.get(type(each.layer))
        if make is None or not make(self, each):
            assert not each.is_closed, each
            self.done.append(Call(each.layer, each.sources, each.target))

    def convolution(self, each: Operation) -> bool:
        """One of three ways to convolve."""
        conv, (x,) = each.layer, each.sources
        assert isinstance(conv, Conv2D) and each.weight is not None
        channels, height, width = self.shapes[x]
        _, out_h, out_w = conv.output_shape((1, *self.shapes[x]))[1:]
        stride, (top, left), dilation = conv.geometry((1, *self.shapes[x]))
        shapes = (
            (1, height, width, channels), each.weight.shape, (1, out_h, out_w, conv.out_channels)
        )  # fmt: skip
        like, weight = np.empty(0, self.dtype), each.weight
        cost = conv.multiply_adds((1, *self.shapes[x]))
        filters, depth, kernel_h, kernel_w = weight.shape
        pooled_h, pooled_w = (out_h // 2, out_w // 2) if each.pooled else (0, 0)
        one_by_one = stride == dilation == (1, 1)
        is_plain = depth == channels and one_by_one and pieces_of((kernel_h, kernel_w)).taps == 3
        if is_plain and winograd_plan.suits(weight.shape, stride, (out_h, out_w), self.dtype):
            return self._windows(each, shapes, (top, left), (pooled_h, pooled_w), cost)
        if depthwise.suits(shapes[0], weight.shape):
            up = int(full_vectors(like, filters))
            own = [height, width, channels, filters, kernel_h, kernel_w, out_h, out_w, *stride]
            own += [top, left, *dilation, self.constant(packing.taps(weight))]
            own += [self.constant(packing.vector(each.bias, filters, up, self.dtype))]
            self.add(
                t.DEPTHWISE, x, each.target, own, each, cost=4 * cost, weights=weight.size,
                parts=out_h, scratch=height * width * up + SLACK,
            )  # fmt: skip
            return True
        arrangement = arrangement_of(shapes, stride, (top, left), dilation)
        arranged = height * arrangement.row_length if arrangement.kind != DIRECT else 0
        unpooled = out_h * out_w * filters if each.pooled else 0
        arranged = -(-arranged // SLACK) * SLACK
        own = [height, width, channels, filters, depth, kernel_h, kernel_w, out_h, out_w]
        own += [stride[0], top, dilation[0], *arrangement]
        own += [self.constant(packing.filters(weight, conv.groups))]
        own += [self.constant(packing.filter_biases(each.bias, weight, conv.groups))]
        self.add(
            t.DIRECT_CONV, x, each.target, [*own, pooled_w, arranged], each, cost=cost,
            weights=weight.size, parts=pooled_h or out_h, scratch=arranged + unpooled + SLACK,
        )  # fmt: skip
        return True

    def _windows(
        self, each: Operation, shapes: Any, before: tuple[int, int], pooled: tuple[int, int],
        cost: int,
    ) -> bool:  # fmt: skip
        (_, height, width, channels), (*_, kernel_h, kernel_w), (_, out_h, out_w, filters) = shapes
        like, kernel = np.empty(0, self.dtype), (kernel_h, kernel_w)
        pieces = pieces_of(kernel)
        side = winograd_plan.convolution_side(
            (out_h, out_w), 1, channels, filters, pieces, (1, 1), self.dtype, True
        )
        blocks = winograd_plan.blocks_of(
            1 << 20, (out_h, out_w), pieces.count * channels + filters, (1, 1), side,
            pieces=pieces,
        )  # fmt: skip
        panel = int(full_panel(like, filters))
        in_up = int(winograd_plan.row_width(like, pieces.count, channels))
        out_up = int(full_vectors(like, filters))
        assert each.weight is not None
        packed = packing.transformed(packing.pieces(each.weight, pieces.down, pieces.across), side)
        own = [height, width, channels, filters, out_h, out_w, *before, self.constant(packed)]
        own += [self.constant(packing.vector(each.bias, filters, panel, self.dtype))]
        own += [self.constant(packing.vector(None, filters, panel, self.dtype))]
        rows, planes = blocks.grid[0], blocks.planes
        high, wide, *_ = blocks.extent
        images = max(1, blocks.rows // rows)
        padded = max(images * high, side * (blocks.rows - rows) + high)
        padded *= wide * int(full_vectors(like, channels))
        steps = [int(winograd_plan.plane_step(blocks.windows, up, like)) for up in (in_up, out_up)]
        self.add(
            t.WINOGRAD, each.sources[0], each.target,
            [*own, blocks.rows, *pooled, side, pieces.down, pieces.across, planes], each,
            cost=cost * planes * pieces.count // (kernel_h * kernel_w * side * side),
            weights=packed.size, parts=rows,
            scratch=planes * sum(steps) + padded + SLACK,
        )  # fmt: skip
        return True

    def dense(self, each: Operation) -> bool:
        """A matrix in panels."""
        dense, (x,) = each.layer, each.sources
        assert isinstance(dense, Dense) and each.weight is not None
        inner, out = each.weight.shape
        if inner * self.dtype.itemsize % _SAME_SETS == 0:
            x = self._spread(x, inner)
        width = int(panel_width(np.empty(0, self.dtype), out))
        own = [inner, out, self.constant(packing.panels(each.weight))]
        own += [self.constant(packing.vector(each.bias, out, width, self.dtype))]
        parts, zeros, scratch = depth_parts(inner, out, self.dtype), t.NONE, 0
        if parts > 1:
            zeros = self.constant(packing.vector(None, width, width, self.dtype))
            scratch = parts * DEEP_ROWS * width + SLACK
        self.add(
            t.DENSE, x, each.target, [*own, zeros], each, cost=inner * out, weights=inner * out,
            parts=-(-out // width), scratch=scratch,
        )  # fmt: skip
        return True

    def _spread(self, x: int, numbers: int) -> int:
        """A value with room between its samples, if need be a copy."""
        last = next((step for step in reversed(self.done) if step.writes == x), None)
        if not isinstance(last, Step) or last.row[t.KIND] not in (t.FLOATS, t.TURN, t.ELEMENTWISE):
            self.shapes.append(self.shapes[x])
            self.copy(x, len(self.shapes) - 1)
            x = len(self.shapes) - 1
        self.apart[x] = numbers + SLACK
        return x

    def pool(self, each: Operation) -> bool:
        """Windows that move, or one that is all of an image."""
        layer, (x,) = each.layer, each.sources
        assert isinstance(layer, _Pool)
        channels, height, width = self.shapes[x]
        (out_h, out_w), windows = layer._windows((1, *self.shapes[x]))
        if len(windows) == 2:
            return False
        geometry = [*windows[0], *windows[1], *windows[2]]
        by_two = geometry == [2, 2, 2, 2, 0, 0] and 2 * out_h <= height and 2 * out_w <= width
        own = [height, width, out_h, out_w, channels, *geometry, layer.maximum]
        own += [layer.count_include_pad, by_two]
        self.add(t.POOL, x, each.target, own, each, cost=4 * self.numbers(x))
        return True

    def flatten(self, each: Operation) -> bool:
        """An image turned, or the same numbers."""
        (x,) = each.sources
        if len(self.shapes[x]) == 3:
            channels, height, width = self.shapes[x]
            own = [height * width, channels]
            self.add(t.TURN, x, each.target, own, cost=4 * self.numbers(x))
        else:
            self.copy(x, each.target)
        return True

    def copy(self, x: int, y: int) -> None:
        """The same numbers in another place."""
        self.elementwise_row(t.COPY, x, y)

    def elementwise_row(
        self, what: int, x: int, y: int, each: Operation | None = None, number: float = 0.0,
        extra: int | None = None,
    ) -> None:  # fmt: skip
        """A function of each number, or of two."""
        numbers = self.numbers(y)
        constant = self.constant(np.full(1, number, self.dtype))
        work = 16 if what in (t.SIGMOID, t.TANH) else 4
        self.add(
            t.ELEMENTWISE, x, y, [what, numbers, constant], each, extra, cost=work * numbers,
            parts=max(1, numbers // 4096),
        )  # fmt: skip

    def elementwise(self, each: Operation) -> bool:
        """An activation by itself."""
        what = {ReLU: t.RECTIFY, LeakyReLU: t.LEAKY, Sigmoid: t.SIGMOID, Tanh: t.TANH}
        alpha = getattr(each.layer, "alpha", 0.0)
        self.elementwise_row(what[type(each.layer)], each.sources[0], each.target, None, alpha)
        return True

    def merge(self, each: Operation) -> bool:
        """A sum or a product of several values."""
        what = t.ADD if type(each.layer) is Add else t.MULTIPLY
        first, *others = each.sources
        for number, other in enumerate(others):
            is_last = number == len(others) - 1
            ends = each if is_last else None
            self.elementwise_row(what, first, each.target, ends, 0.0, other)
            first = each.target
        return True

    def concat(self, each: Operation) -> bool:
        """The channels of each value where they belong."""
        if any(len(self.shapes[x]) == 2 for x in each.sources):
            return False
        at, joined = 0, self.shapes[each.target][0]
        for x in each.sources:
            channels, *size = self.shapes[x]
            own = [math.prod(size), channels, joined, at]
            self.add(t.PUT, x, each.target, own, cost=4 * self.numbers(x))
            at += channels
        return True

    def normalization(self, each: Operation) -> bool:
        """A BatchNorm that nothing stands before."""
        norm, (x,) = each.layer, each.sources
        assert isinstance(norm, BatchNorm)
        channels, *size = self.shapes[x]
        places = 1
        if len(size) == 1:  # a series is a row of channels times lengths
            (places,), channels, size = size, channels * size[0], []
        width = int(full_vectors(np.empty(0, self.dtype), channels))
        # As `batch_norm_inference` has it, to the bit.
        variance = norm.state["running_var"] + self.dtype.type(norm.eps)
        parts = (
            norm.state["running_mean"], norm.params["gamma"] / np.sqrt(variance),
            norm.params["beta"],
        )  # fmt: skip
        parts = [np.repeat(part, places) for part in parts]
        factors = [packing.vector(part, channels, width, self.dtype) for part in parts]
        own = [math.prod(size), channels, self.constant(np.concatenate(factors))]
        self.add(
            t.SCALE, x, each.target, own, each, cost=4 * self.numbers(x),
            parts=max(1, math.prod(size) // 16),
        )  # fmt: skip
        return True


_MAKERS: dict[type, Any] = {
    Conv2D: Steps.convolution,
    Dense: Steps.dense,
    MaxPool2D: Steps.pool,
    AveragePool2D: Steps.pool,
    GlobalAveragePool2D: Steps.pool,
    GlobalMaxPool2D: Steps.pool,
    Flatten: Steps.flatten,
    ReLU: Steps.elementwise,
    LeakyReLU: Steps.elementwise,
    Sigmoid: Steps.elementwise,
    Tanh: Steps.elementwise,
    Add: Steps.merge,
    Multiply: Steps.merge,
    Concat: Steps.concat,
    BatchNorm: Steps.normalization,
}
