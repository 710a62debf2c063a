"""Layers run as a wiring connects them: rows between the places where it branches and meets.

What runs every network, and by itself a block such as `Residual`. Blocks inside are opened: what
they are made of takes their place, so that planning and memory know no blocks.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np

from kernels import activation as arithmetic
from kernels.workspace import Workspace

from .base import Layer
from .described import is_own
from .groups import run_backward
from .lifetimes import Gradients, results
from .memory import Place, Shape, memory_of, seen
from .segments import NO_ENDS, Leading, NormalizedAdd, Segment, segments
from .wiring import Wiring

# Of one array; where branches meet, its parts lie in different memory.
Gradient = np.ndarray | Leading
Memory = Callable[[Shape, np.dtype], np.ndarray]


def is_block(layer: Layer) -> bool:
    """Whether it is no more than the layers inside it; one of somebody's own may be."""
    return layer.wiring is not None and not is_own(layer)


def _are_one_pass(joint: Any, parts: Sequence[Gradient]) -> TypeGuard[NormalizedAdd]:
    """Whether what goes back through a joint is added up on the way through its ReLU."""
    adds = len(parts) == 2 and not any(isinstance(part, Leading) for part in parts)
    return adds and isinstance(joint, NormalizedAdd) and joint.relu is not None


class Opened:
    """A wiring with what blocks are made of in their place.

    Attributes
    ----------
    layers : list of Layer
        That of each call.
    wiring : Wiring
        Of these.
    blocks : dict
        By value, the blocks that were given it, which have a word to say about its shape.
    """

    def __init__(self, wiring: Wiring, layers: Sequence[Layer]) -> None:
        self.layers: list[Layer] = []
        self.blocks: dict[int, list[Layer]] = {}
        self._calls: list[tuple[int, tuple[int, ...]]] = []
        self._inputs = len(wiring.inputs)
        values = wiring.walk(layers, range(self._inputs), self._call)
        outputs = tuple(values[value] for value in wiring.outputs)
        self.wiring = Wiring(wiring.inputs, tuple(self._calls), outputs)

    def _call(self, layer: Layer, given: Any) -> int:
        if is_block(layer):
            assert layer.wiring is not None
            self.blocks.setdefault(given, []).append(layer)
            return layer.wiring.walk(layer.inside, [given], self._call)[-1]
        self._calls.append((len(self.layers), tuple(given) if layer.takes_several else (given,)))
        self.layers.append(layer)
        return self._inputs + len(self.layers) - 1

    def layer_of(self, value: int) -> Layer:
        """What gives a value that is no input."""
        return self.layers[value - self._inputs]

    def calls(self) -> list[tuple[Layer, tuple[int, ...], int]]:
        """(layer, the values that it is given, the value that it gives)."""
        return [
            (self.layers[place], given, target)
            for target, (place, given) in enumerate(self._calls, self._inputs)
        ]


class Branches:
    """Layers that are connected, and all that follows from how.

    Parameters
    ----------
    opened : Opened
        The layers.
    ends : mapping
        Outputs that a pass may leave out, and the values that then come out instead.

    Attributes
    ----------
    segments : list of Segment
        What is run, in order.
    """

    def __init__(self, opened: Opened, ends: Mapping[int, int] = NO_ENDS) -> None:
        wiring, uses = opened.wiring, opened.wiring.uses()
        self.wiring, self._blocks = wiring, opened.blocks
        self.segments = list(segments(wiring, opened.layers, ends))
        besides = tuple(ends.values())
        self._slots = results(self.segments, uses, besides)
        self._gradients = Gradients(self.segments, uses, wiring.outputs, besides)
        self._sums = Workspace(keep=False), "gradient"

    def bind(self, scratch: Workspace, results: str, gradients: str) -> None:
        """Give the layers the memory that they share, under names that begin like these."""
        self._sums = scratch, gradients
        ways = self._gradients.ways
        for segment, slots, turns in zip(self.segments, self._slots, ways, strict=True):
            for layer, slot, way in zip(segment.layers(), slots, turns, strict=True):
                place = Place(scratch, f"{results} {slot}", f"{gradients} {way}")
                layer.place = layer.bind_inside(place)

    def forward(
        self, inputs: Iterable[np.ndarray], training: bool, rows: Sequence[Segment] | None = None
    ) -> list[Any]:
        """All values.

        rows : what is run; None for all segments
        """
        values: list[Any] = [*inputs]
        values += [None] * len(self.wiring.calls)
        blocks = self._blocks
        for value in range(len(self.wiring.inputs)):
            for block in blocks.get(value, ()):
                block.check_input(values[value])
        for row in self.segments if rows is None else rows:
            if row.joint is None:
                y = values[row.sources[0]]
                for step in row.steps:
                    y = step.forward(y, training)
            else:
                given: Any = [*map(values.__getitem__, row.sources)]
                y = row.joint.forward(given, training)
            values[row.target] = y
            if row.target in blocks:
                for block in blocks[row.target]:
                    block.check_input(y)
        return values

    def backward(
        self,
        dys: Sequence[np.ndarray],
        to_input: bool,
        rows: Sequence[Segment] | None = None,
        outputs: Sequence[int] | None = None,
    ) -> list[list[Gradient]]:
        """The gradients of the layers; those by each input, one for each time it is needed.

        dys : by the values that came out, which `outputs` names; None for those of the wiring
        to_input : whether gradients by the inputs are needed
        rows : what was run
        """
        rows = self.segments if rows is None else rows
        inputs = len(self.wiring.inputs)
        needed = [to_input] * inputs + [False] * len(self.wiring.calls)
        for row in rows[:-1]:
            for source in row.sources:
                if needed[source]:
                    needed[row.target] = True
                    break
            else:
                needed[row.target] = row.learns
        given: dict[int, list[Gradient]] = {}
        for value, each in zip(outputs or self.wiring.outputs, dys, strict=True):
            given.setdefault(value, []).append(each)
        for row in reversed(rows):
            if row is not rows[-1] and not needed[row.target]:
                continue
            parts: Any = given[row.target]
            if _are_one_pass(row.joint, parts):
                dx: Any = row.joint.backward_of_sum(*parts)
            else:
                dy = self.total(row.target, parts) if len(parts) > 1 else parts[0]
                if row.joint is None:
                    dx = (run_backward(row.steps, dy, needed[row.sources[0]]),)
                else:
                    dx = row.joint.backward(dy)
            for source, each in zip(row.sources, dx, strict=True):
                if needed[source]:
                    given.setdefault(source, []).append(each)
        return [*map(given.__getitem__, range(inputs))] if to_input else []

    def total(
        self, value: int, parts: Sequence[Gradient], memory: Memory | None = None
    ) -> np.ndarray:
        """The gradient by a value, of which each layer that needs it gives a part.

        memory : gives room for a sum; None: it lies where the plan says
        """
        first, *others = parts
        if others and memory is None:
            into, slot = self._gradients.sums[value]
            if into is None:
                scratch, gradients = self._sums
                memory = functools.partial(scratch.array, f"{gradients} {slot} sum")
            else:
                first, others = parts[into], [*parts[:into], *parts[into + 1 :]]
        if isinstance(first, Leading):
            first, others = others[0], [first]
        assert isinstance(first, np.ndarray)
        if not others:
            return first
        a = memory_of(first)
        total = a if memory is None else memory(a.shape, a.dtype)
        for part in others:
            if isinstance(part, Leading):
                part.add_to(a, total)
            elif (part.shape, part.dtype) == (first.shape, first.dtype):
                arithmetic.add(a, memory_of(part), total)
            else:
                raise ValueError(
                    f"two gradients of one array do not fit: {first.dtype} of shape {first.shape} "
                    f"and {part.dtype} of shape {part.shape}"
                )
            a = total
        return seen(total)
