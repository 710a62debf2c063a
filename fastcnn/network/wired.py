"""Layers of a graph run as one: rows of them between the places where it branches and meets.

A layer that is called twice has a copy for the second call, with the same parameters and a memory
and gradients of its own, which are added to those of the first. Memory is shared by lifetime: a
result, or a gradient, lies where nothing lies that is still needed.
"""

import copy
import heapq
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kernels import activation as arithmetic

from ..layers import Layer
from ..layers.described import is_own
from ..layers.fusion import run_backward, run_forward
from ..layers.memory import Clock, Place, Shape, memory_of, seen
from .row import Logits, Row, ends_of
from .segments import NormalizedAdd, Segment, logits_of, segments
from .wiring import Wiring


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
        self._segments = list(segments(self.wiring, runs))
        self._logits = logits_of(self.wiring, runs)
        # By value: which of its gradients the others are added to, or the memory for the sum.
        self._sums: dict[int, tuple[int | None, str]] = {}
        self._share_arrays()
        return runs

    @property
    def is_shared(self) -> bool:
        return any(leaf.params for leaf, _ in self._twins)

    def copies(self, layer: Layer) -> list[Layer]:
        same = {id(layer), *(id(twin) for leaf, twin in self._twins if leaf is layer)}
        run = (inner for row in self._segments for each in row.layers() for inner in each.family())
        return [inner for inner in run if id(inner) in same]

    def _share_arrays(self) -> None:
        """Whatever became of the parameters and settings of a layer, its copies have them.

        But for a momentum, which each call has its own of where statistics are measured anew.
        """
        for leaf, twin in self._twins:
            twin.share_arrays(leaf)
            for name in leaf.arguments().keys() - {"momentum"}:
                now = getattr(leaf, name, None)
                if getattr(twin, name, None) != now:
                    setattr(twin, name, now)
            if twin.trainable != leaf.trainable:
                twin.trainable = leaf.trainable

    def _claim(self) -> None:
        super()._claim()
        for place, (_, *others) in enumerate(self._calls):
            for number, other in enumerate(others, 2):
                for path, leaf in other.leaves(f"{place}, call {number}"):
                    if leaf.path != path:
                        leaf.path = path

    def _ends(self, logits: Logits) -> tuple[list[Segment], tuple[int, ...]]:
        """What is run, and the values that come out."""
        left_out, values = ends_of(self.wiring.outputs, self._logits, logits)
        if not left_out:
            return self._segments, values
        return [row for row in self._segments if row.target not in left_out], values

    def _run(self, x: np.ndarray, training: bool, logits: Logits) -> Any:
        self._share_arrays()
        rows, outputs = self._ends(logits)
        values: list[Any] = [None] * self.wiring.count
        values[: len(self.wiring.inputs)] = self.apart(x, training)
        for row in rows:
            if row.joint is None:
                y = run_forward(row.steps, values[row.sources[0]], training)
            else:
                y = row.forward(values, training)
            values[row.target] = y
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

    def _run_back(self, dy: Any, logits: Logits, to_input: bool) -> Any:
        self._share_arrays()
        rows, outputs = self._ends(logits)
        inputs = len(self.wiring.inputs)
        needed = [to_input] * inputs + [False] * len(self.wiring.calls)
        for row in rows:
            needed[row.target] = any(needed[each] for each in row.sources) or row.learns
        given: list[list[np.ndarray]] = [[] for _ in needed]
        dys = dy if isinstance(dy, tuple) else (dy,)
        if len(dys) != len(outputs):
            raise ValueError(
                f"backward: there are {len(outputs)} outputs, got {len(dys)} gradients"
            )
        for value, each in zip(outputs, dys, strict=True):
            given[value].append(each)
        for row in reversed(rows):
            if not needed[row.target]:
                continue
            dy = self._total(row.target, given[row.target])
            if row.joint is None:
                dx: Any = [run_backward(row.steps, dy, needed[row.sources[0]])]
            else:
                dx = row.joint.backward(dy)
            for source, each in zip(row.sources, dx, strict=True):
                if needed[source]:
                    given[source].append(each)
        for leaf, twin in self._twins:
            if leaf.trainable:
                for name, gradient in leaf.grads.items():
                    arithmetic.add(gradient, twin.grads[name], gradient)
        found = tuple(self._total(i, given[i]) for i in range(inputs)) if to_input else ()
        return found[0] if len(found) == 1 else found

    def _total(self, value: int, parts: list[np.ndarray]) -> np.ndarray:
        """The gradient by a value that several layers need."""
        if len(parts) == 1:
            return parts[0]
        into, name = self._sums[value]
        first, *others = parts if into is None else [parts.pop(into), *parts]
        for part in others:
            if (part.shape, part.dtype) != (first.shape, first.dtype):
                raise ValueError(
                    f"two gradients of one array do not fit: {first.dtype} of shape {first.shape} "
                    f"and {part.dtype} of shape {part.shape}"
                )
        a = memory_of(first)
        total = a if into is not None else self._scratch.array(name, a.shape, a.dtype)
        for part in others:
            arithmetic.add(a, memory_of(part), total)
            a = total
        return seen(total)

    # --- memory ---------------------------------------------------------------------------------

    def _bind(self) -> None:
        slots, uses = Slots(), self.wiring.uses()
        for value in self._logits.values():
            uses[value] += 1  # it may come out
        found: list[list[int]] = [[] for _ in uses]  # by value: where it may lie; inputs nowhere
        for segment, way in zip(self._segments, self._ways(), strict=True):
            lies = [slot for source in segment.sources for slot in found[source]]
            waits = isinstance(segment.joint, NormalizedAdd)  # the norm reads one input only
            for layer in segment.layers():
                slot = slots.take()
                layer.place = layer.bind_inside(self._place(slot, way))
                if is_own(layer) or waits:  # it may give what it was given
                    lies, waits = [*lies, slot], False
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
        ways, slots, uses = [], Slots(), self.wiring.uses()
        pending: list[list[tuple[list[int], bool]]] = [[] for _ in uses]
        for segment in reversed(self._segments):
            comes = self._summed(segment.target, uses, pending, slots)
            alone = len(comes) == 1 and slots.users[comes[0]] == 1
            # The layers of a row find other memory for dx than that of dy, those that join do not.
            if segment.joint is None and alone:
                way, held = comes[0], comes
            elif segment.uses_way():
                way = slots.take()
                held = [*comes, way]
            else:
                way, held = 0, comes
            for number, source in enumerate(segment.sources):
                in_way, may_be_dy, is_free = segment.origin(number)
                lies = {way} if in_way else set()
                lies |= set(comes) if may_be_dy else set()
                pending[source].append((sorted(lies), is_free))
                for each in lies:
                    slots.add(each, 1)
            for each in held:
                slots.add(each, -1)
            ways.append(way)
        for value in range(len(self.wiring.inputs)):
            self._summed(value, uses, pending, slots)
        return ways[::-1]

    def _summed(
        self,
        value: int,
        uses: list[int],
        pending: list[list[tuple[list[int], bool]]],
        slots: Slots,
    ) -> list[int]:
        """Where the gradient of a value lies, once those of all who need it are added.

        pending : by value, for each gradient the memory where it may lie, and whether it is free
        """
        parts = pending[value]
        if uses[value] == 1:
            return parts[0][0] if parts else []
        outside = self.wiring.outputs.count(value)  # gradients that the caller gives come first
        into = next((i for i, (_, is_free) in enumerate(parts) if is_free), None)
        if value in self._logits.values():
            into = None  # the softmax gives one of them, or the caller instead of it
        # Where one of more than two lies, the sum of the first two would be written over it.
        own = slots.take() if into is None and uses[value] > 2 else None
        for i, (lies, _) in enumerate(parts):
            for each in lies if i != into else ():
                slots.add(each, -1)
        if into is not None:
            self._sums[value] = (outside + into, "")
            return parts[into][0]
        slot = slots.take() if own is None else own
        self._sums[value] = (None, f"gradient {slot} sum")
        return [slot]


def in_memory(shape: Shape) -> Shape:
    """How a sample that layers see with this shape lies."""
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape
