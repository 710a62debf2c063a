"""Layers of a graph run as one: rows of them between the places where it branches and meets.

A layer that is called twice has a copy for the second call, with the same parameters and a memory
and gradients of its own, which are added to those of the first. Memory is shared by lifetime: a
result, or a gradient, lies where nothing lies that is still needed.
"""

import copy
import heapq
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from kernels import activation as arithmetic

from ..layers import Add, Layer
from ..layers.described import is_own
from ..layers.fusion import Step, layers_of, plan, run_backward, run_forward
from ..layers.memory import Clock, Place, Shape, memory_of, seen
from .row import Row, is_contained
from .wiring import Wiring


class Segment(NamedTuple):
    """Layers that run one after the other, each the only one that needs what the last one gave.

    Attributes
    ----------
    sources : tuple of int
        The values that go in: one, or several into a single layer that makes one of them.
    target : int
        The value that comes out.
    steps : list of Step
        What is run.
    merge : Layer, optional
        That single layer.
    """

    sources: tuple[int, ...]
    target: int
    steps: list[Step]
    merge: Layer | None

    def layers(self) -> list[Layer]:
        """The layers in the order in which they run."""
        return list(layers_of(self.steps))


class Slots:
    """Numbers for pieces of memory, each free again when all who need it are done."""

    def __init__(self) -> None:
        self.users: dict[int, int] = {}
        self._free: list[int] = []

    def take(self) -> int:
        """The lowest that is free, for one user."""
        slot = heapq.heappop(self._free) if self._free else len(self.users)
        self.users[slot] = 1
        return slot

    def add(self, slot: int, users: int) -> None:
        """More or fewer users."""
        self.users[slot] += users
        if self.users[slot] == 0:
            heapq.heappush(self._free, slot)


class Wired(Row):
    """A `Row` whose layers are connected as a `Wiring` says.

    With several inputs x is a row of numbers for each sample, (N, all of them), in which the inputs
    lie one behind the other, images channels-last. With several outputs y and dy are tuples.
    """

    def __init__(
        self, layers: tuple[Layer, ...], wiring: Wiring, seed: int | None, clock: Clock
    ) -> None:
        self.wiring = wiring
        super().__init__(layers, seed, clock)

    # --- what is run ----------------------------------------------------------------------------

    def _arrange(self) -> Sequence[Layer]:
        self._calls: list[list[Layer]] = [[] for _ in self.layers]
        runs: list[Layer] = []
        for place, _ in self.wiring.calls:
            layer, calls = self.layers[place], self._calls[place]
            calls.append(copy.deepcopy(layer) if calls else layer)
            runs.append(calls[-1])
        self._twins = [
            (leaf, twin)
            for first, *others in self._calls
            for other in others
            for (_, leaf), (_, twin) in zip(first.leaves(), other.leaves(), strict=True)
        ]
        self._segments = list(_segments(self.wiring, runs))
        self._is_softmax = len(self.wiring.outputs) == 1 and is_contained(runs[-1])
        self._sums: dict[int, str] = {}  # value -> where the sum of its gradients lies
        self._share_arrays()
        return runs

    @property
    def is_shared(self) -> bool:
        return any(leaf.params for leaf, _ in self._twins)

    def copies(self, layer: Layer) -> list[Layer]:
        return [layer, *(twin for leaf, twin in self._twins if leaf is layer)]

    def _share_arrays(self) -> None:
        """Whatever became of the parameters of a layer, its copies have them."""
        for leaf, twin in self._twins:
            twin.share_arrays(leaf)
            if twin.trainable != leaf.trainable:
                twin.trainable = leaf.trainable

    def _claim(self) -> None:
        super()._claim()
        for place, (_, *others) in enumerate(self._calls):
            for number, other in enumerate(others, 2):
                for path, leaf in other.leaves(f"{place}, call {number}"):
                    leaf.path = path

    def _ends(self, logits: bool) -> tuple[list[Segment], tuple[int, ...]]:
        """What is run, and the values that come out."""
        if logits and self._is_softmax:
            return self._segments[:-1], self._segments[-1].sources
        return self._segments, self.wiring.outputs

    def _run(self, x: np.ndarray, training: bool, logits: bool) -> Any:
        self._share_arrays()
        segments, outputs = self._ends(logits)
        values: list[Any] = [None] * self.wiring.count
        values[: len(self.wiring.inputs)] = self.apart(x, training)
        for sources, target, steps, merge in segments:
            if merge is not None:
                values[target] = merge.forward([values[each] for each in sources], training)  # type: ignore[arg-type]
            else:
                values[target] = run_forward(steps, values[sources[0]], training)
        return values[outputs[0]] if len(outputs) == 1 else tuple(values[each] for each in outputs)

    def apart(self, x: np.ndarray, training: bool = False) -> Iterator[np.ndarray]:
        """The inputs."""
        shapes = self.wiring.inputs
        if len(shapes) == 1:
            yield x
            return
        first = 0
        for number, shape in enumerate(shapes):
            numbers = math.prod(shape)
            name = f"input {number}{' in training' * training}"  # a prediction leaves it alone
            memory = self._scratch.array(name, (len(x), numbers), x.dtype)
            memory[...] = x[:, first : first + numbers]
            first += numbers
            yield seen(memory.reshape(len(x), *in_memory(shape)))

    # --- back -----------------------------------------------------------------------------------

    def _run_back(self, dy: Any, logits: bool, to_input: bool) -> Any:
        self._share_arrays()
        segments, outputs = self._ends(logits)
        inputs = len(self.wiring.inputs)
        needed = [to_input] * inputs + [False] * len(self.wiring.calls)
        for sources, target, steps, _ in segments:
            needed[target] = any(needed[each] for each in sources) or any(
                step.learns for step in steps
            )
        given: list[list[np.ndarray]] = [[] for _ in needed]
        for value, each in zip(outputs, dy if isinstance(dy, tuple) else (dy,), strict=True):
            given[value].append(each)
        for sources, target, steps, merge in reversed(segments):
            if not needed[target]:
                continue
            dy = self._total(target, given[target])
            if merge is None:
                dx: Any = [run_backward(steps, dy, needed[sources[0]])]
            else:
                dx = merge.backward(dy)
            for source, each in zip(sources, dx, strict=True):
                if needed[source]:
                    given[source].append(each)
        for leaf, twin in self._twins:
            if leaf.trainable:
                for name, gradient in leaf.grads.items():
                    gradient += twin.grads[name]
        found = tuple(self._total(i, given[i]) for i in range(inputs)) if to_input else ()
        return found[0] if len(found) == 1 else found

    def _total(self, value: int, parts: list[np.ndarray]) -> np.ndarray:
        """The gradient by a value that several layers need."""
        first = parts[0]
        if len(parts) == 1:
            return first
        for part in parts:
            if (part.shape, part.dtype) != (first.shape, first.dtype):
                raise ValueError(
                    f"two gradients of one array do not fit: {first.dtype} of shape {first.shape} "
                    f"and {part.dtype} of shape {part.shape}"
                )
        a = memory_of(first)
        total = self._scratch.array(self._sums[value], a.shape, a.dtype)
        for part in parts[1:]:
            arithmetic.add(a, memory_of(part), total)
            a = total
        return seen(total)

    # --- memory ---------------------------------------------------------------------------------

    def _bind(self) -> None:
        slots, uses = Slots(), self.wiring.uses()
        found: list[list[int]] = [[] for _ in uses]  # by value: where it may lie; inputs nowhere
        for segment, way in zip(self._segments, self._ways(), strict=True):
            lies = [slot for source in segment.sources for slot in found[source]]
            for layer in segment.layers():
                slot = slots.take()
                layer.place = layer.bind_inside(self._place(slot, way))
                if is_own(layer):  # it may give what it was given
                    lies = [*lies, slot]
                    continue
                done = [slot] if layer.passes_through else lies
                for each in done:
                    slots.add(each, -1)
                lies = lies if layer.passes_through else [slot]
            found[segment.target] = lies
            for slot in lies:
                slots.add(slot, uses[segment.target] - 1)

    def _place(self, slot: int, way: int) -> Place:
        return Place(self._scratch, f"result {slot}", f"gradient {way}")

    def _ways(self) -> list[int]:
        """For each segment, which memory its gradients take turns with."""
        ways, slots = [], Slots()
        pending: list[list[int]] = [[] for _ in range(self.wiring.count)]  # by value: its memory
        uses = self.wiring.uses()
        for segment in reversed(self._segments):
            comes = self._summed(segment.target, pending, slots, uses)
            alone = len(comes) == 1 and slots.users[comes[0]] == 1
            # The layers of a row find other memory for dx than that of dy, those that merge do not.
            way = comes[0] if alone and segment.merge is None else slots.take()
            lies = {way} | (set(comes) if _hands_on(segment) else set())
            for source in segment.sources:
                for each in lies:
                    slots.add(each, 1)
                    pending[source].append(each)
            for each in {way, *comes} if way not in comes else comes:
                slots.add(each, -1)
            ways.append(way)
        for value in range(len(self.wiring.inputs)):
            self._summed(value, pending, slots, uses)
        return ways[::-1]

    def _summed(
        self, value: int, pending: list[list[int]], slots: Slots, uses: list[int]
    ) -> list[int]:
        """Where the gradient of a value lies, once those of all who need it are added."""
        if uses[value] == 1:
            return pending[value]
        slot = slots.take()
        self._sums[value] = f"gradient {slot} sum"
        for each in pending[value]:
            slots.add(each, -1)
        return [slot]


def in_memory(shape: Shape) -> Shape:
    """How a sample that layers see with this shape lies."""
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape


def _hands_on(segment: Segment) -> bool:
    """Whether dx may be dy itself."""
    return any(type(layer) is Add or is_own(layer) for layer in segment.layers())


def _segments(wiring: Wiring, runs: Sequence[Layer]) -> Iterator[Segment]:
    """The graph as rows of layers, in an order in which each finds what it needs."""
    inputs, uses = len(wiring.inputs), wiring.uses()
    next_call = {source: i for i, (_, sources) in enumerate(wiring.calls) for source in sources}
    last = runs[-1] if len(wiring.outputs) == 1 and is_contained(runs[-1]) else None
    seen_calls: set[int] = set()
    for first, (_, sources) in enumerate(wiring.calls):
        if first in seen_calls:
            continue
        chain = [first]
        while not runs[first].takes_several:
            value = inputs + chain[-1]
            following = next_call.get(value)
            if following is None or uses[value] != 1 or runs[following].takes_several:
                break
            if runs[following] is last:  # without it where the loss contains it
                break
            chain.append(following)
        seen_calls |= set(chain)
        layers = [runs[call] for call in chain]
        merge = layers[0] if layers[0].takes_several else None
        yield Segment(sources, inputs + chain[-1], plan(layers), merge)
