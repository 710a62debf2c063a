"""Memory that the layers of a graph share by lifetime.

A result, or a gradient, lies where nothing lies that is still needed. Pieces of memory are numbers
here; those of gradients are two buffers each, with which the layers of a row take turns.
"""

import heapq
from collections.abc import Sequence
from typing import NamedTuple

from .described import is_own
from .merge import Add
from .segments import NormalizedAdd, Segment, WidenedConcat


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


def results(
    segments: Sequence[Segment], uses: Sequence[int], ends: Sequence[int]
) -> list[list[int]]:
    """For each segment, where the results of its layers lie outside training.

    uses : how often each value is needed
    ends : those that may come out besides, as often as they may
    """
    slots, found = Slots(), []
    lying: list[list[int]] = [[] for _ in uses]  # by value: where it may lie; inputs nowhere
    for segment in segments:
        lies = [slot for source in segment.sources for slot in lying[source]]
        waits = isinstance(segment.joint, NormalizedAdd)  # the norm reads one input only
        places = []
        for layer in segment.layers():
            slot = slots.take()
            places.append(slot)
            if is_own(layer) or waits:  # it may give what it was given
                lies, waits = [*lies, slot], False
                continue
            done = [slot] if layer.passes_through else lies
            for each in done:
                slots.add(each, -1)
            lies = lies if layer.passes_through else [slot]
        lying[segment.target] = lies
        for slot in lies:
            slots.add(slot, uses[segment.target] - 1 + ends.count(segment.target))
        found.append(places)
    return found


class Sum(NamedTuple):
    """Where the gradients of a value are added.

    Attributes
    ----------
    into : int, optional
        The number of the one to which the others are added, where it lies.
    slot : int
        The memory for the sum, if there is none.
    """

    into: int | None
    slot: int


class Gradients:
    """Where the gradients of all layers lie, and those of values that several layers need.

    uses : how often each value is needed
    outputs : the values that come out, whose gradients the caller gives
    ends : those that may come out besides

    Attributes
    ----------
    ways : list of list of int
        For each segment, the memory with which each of its layers takes turns.
    sums : dict
        By value.
    """

    def __init__(
        self,
        segments: Sequence[Segment],
        uses: Sequence[int],
        outputs: Sequence[int],
        ends: Sequence[int],
    ) -> None:
        self.sums: dict[int, Sum] = {}
        self._slots, self._uses, self._outputs, self._ends = Slots(), uses, outputs, ends
        # By value, for each of its gradients: where it may lie, and whether that is nobody else's.
        self._parts: list[list[tuple[list[int], bool]]] = [[] for _ in uses]
        ways = [self._back_through(segment) for segment in reversed(segments)]
        self.ways = ways[::-1]
        made = {segment.target for segment in segments}
        for value in range(len(uses)):
            if value not in made:
                self._summed(value)

    def _back_through(self, segment: Segment) -> list[int]:
        slots, comes = self._slots, self._summed(segment.target)
        joint, layers = segment.joint, segment.layers()
        is_sum = isinstance(joint, NormalizedAdd)
        # The layers of a row find other memory for dx than that of dy, and so does ReLU.
        has_turns = joint is None or (is_sum and joint.relu is not None)
        is_alone = len(comes) == 1 and slots.users[comes[0]] == 1
        taken: list[int] = []
        if has_turns and is_alone:
            way = comes[0]
        elif type(joint) is Add:
            way = 0  # which it does not use
        else:
            way = slots.take()
            taken.append(way)
        ways = [way] * len(layers)
        free = not is_own(layers[0])
        parts = [([way, *comes] if all(map(is_own, layers)) else [way], free)]
        if type(joint) is Add:
            parts = [(comes, False)]
        elif isinstance(joint, WidenedConcat):
            parts = [(comes, False), ([way], True)]
        elif is_sum:
            beside: tuple[list[int], bool] = (comes, False)
            if has_turns:  # what ReLU gives is kept for the shortcut
                beside = ([way], True)
                ways[0] = slots.take()
                taken.append(ways[0])
            parts = [([ways[0]], True), beside][:: -1 if joint.place else 1]
        if len(parts) == 1:
            parts *= len(segment.sources)
        for source, (lies, is_free) in zip(segment.sources, parts, strict=True):
            self._parts[source].append((sorted(set(lies)), is_free))
            for each in set(lies):
                slots.add(each, 1)
        for each in (*comes, *taken):
            slots.add(each, -1)
        return ways

    def _summed(self, value: int) -> list[int]:
        """Where the gradient of a value lies, once those of all who need it are added."""
        parts, slots = self._parts[value], self._slots
        if self._uses[value] == 1:
            return parts[0][0] if parts else []
        outside = self._outputs.count(value)  # gradients that the caller gives come first
        into = next((i for i, (_, is_free) in enumerate(parts) if is_free), None)
        if value in self._ends:
            into = None  # the softmax gives one of them, or the caller instead of it
        # Where one of more than two lies, the sum of the first two would be written over it.
        own = slots.take() if into is None and self._uses[value] > 2 else None
        for i, (lies, _) in enumerate(parts):
            for each in lies if i != into else ():
                slots.add(each, -1)
        if into is not None:
            self.sums[value] = Sum(outside + into, 0)
            return parts[into][0]
        self.sums[value] = Sum(None, slots.take() if own is None else own)
        return [self.sums[value].slot]
