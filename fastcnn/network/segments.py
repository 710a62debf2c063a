"""A graph as rows of layers between the places where it branches and where branches meet."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..layers import Add, Layer, ReLU
from ..layers.described import is_own
from ..layers.fusion import Step, end_of_block, layers_of, normalizes, plan
from .row import before_softmax
from .wiring import Wiring


class NormalizedAdd:
    """A normalisation, the sum of what it gives and of a shortcut, and perhaps ReLU, as one step.

    It is what ends a `Residual`.

    Parameters
    ----------
    place : {0, 1}
        Which of both inputs is normalised.
    """

    def __init__(self, norm: Layer, add: Layer, relu: Layer | None, place: int) -> None:
        self.norm, self.relu, self.place, self._add = norm, relu, place, add
        _, self._sum = end_of_block([norm], relu)
        self.layers = [norm, add, *([relu] if relu else [])]

    @property
    def learns(self) -> bool:
        """Whether the normalisation does."""
        return self.norm.learns

    def forward(self, x: Sequence[np.ndarray], training: bool) -> np.ndarray:
        """y for both inputs."""
        main, shortcut = x[self.place], x[1 - self.place]
        y = self._sum.forward(self._add, main, shortcut, training)
        if training:
            self._add.remember(y)
        return y

    def backward(self, dy: np.ndarray) -> tuple[np.ndarray, ...]:
        """dx for both inputs."""
        self._add.recall(dy)
        gradients = self._sum.backward(dy)
        return gradients[:: -1 if self.place else 1]


class Segment(NamedTuple):
    """Layers that run one after the other, each the only one that needs what the last one gave.

    Attributes
    ----------
    sources : tuple of int
        The values that go in: one, or several into `joint`.
    target : int
        The value that comes out.
    steps : list of Step
        What is run of a row.
    joint : optional
        What makes one array of several.
    """

    sources: tuple[int, ...]
    target: int
    steps: list[Step]
    joint: NormalizedAdd | Layer | None = None

    def layers(self) -> list[Layer]:
        """The layers in the order in which they run."""
        if isinstance(self.joint, NormalizedAdd):
            return self.joint.layers
        return list(layers_of(self.steps)) if self.joint is None else [self.joint]

    @property
    def learns(self) -> bool:
        """Whether a layer of it is trained."""
        if self.joint is not None:
            return self.joint.learns
        return any(step.learns for step in self.steps)

    def forward(self, values: Sequence[Any], training: bool) -> np.ndarray:
        """What comes out of a joint."""
        given: Any = [values[source] for source in self.sources]
        assert self.joint is not None
        return self.joint.forward(given, training)

    # --- the memory of its gradients --------------------------------------------------------------

    def uses_way(self) -> bool:
        """Whether any of its layers has memory for gradients."""
        return type(self.joint) is not Add

    def origin(self, number: int) -> tuple[bool, bool, bool]:
        """Of the gradient by a source: (lies in its own memory, may be dy, is nobody else's).

        What is nobody else's may be added to where it lies.
        """
        if isinstance(self.joint, NormalizedAdd):
            is_new = number == self.joint.place or self.joint.relu is not None
            return is_new, not is_new, is_new
        if type(self.joint) is Add:
            return False, True, False
        layers = self.layers()
        return True, all(map(is_own, layers)), not is_own(layers[0])


def segments(wiring: Wiring, runs: Sequence[Layer]) -> Iterator[Segment]:
    """The rows of a graph, in an order in which each finds what it needs.

    runs : the layer of each call
    """
    inputs, uses = len(wiring.inputs), wiring.uses()
    sums = dict(_normalized_sums(wiring, runs))
    done = {call for _, norm, relu in sums.values() for call in (norm, relu) if call is not None}
    ends = logits_of(wiring, runs)  # each by itself, as a pass may leave it out
    for first, (_, sources) in enumerate(wiring.calls):
        if first in done:
            continue
        if first in sums:
            place, norm, relu = sums[first]
            given = list(sources)
            given[place] = wiring.calls[norm][1][0]
            behind = None if relu is None else runs[relu]
            joint = NormalizedAdd(runs[norm], runs[first], behind, place)
            yield Segment(tuple(given), inputs + (first if relu is None else relu), [], joint)
            continue
        if runs[first].takes_several:
            yield Segment(sources, inputs + first, [], runs[first])
            continue
        chain = [first]
        while (following := _only_user(wiring, uses, inputs + chain[-1])) is not None:
            if runs[following].takes_several or following in done or inputs + following in ends:
                break
            chain.append(following)
        done |= set(chain)
        yield Segment(sources, inputs + chain[-1], plan([runs[call] for call in chain]))


def logits_of(wiring: Wiring, runs: Sequence[Layer]) -> dict[int, int]:
    """`row.before_softmax` of a graph."""
    numbered = enumerate(zip(runs, wiring.calls, strict=True), len(wiring.inputs))
    calls = ((layer, sources, target) for target, (layer, (_, sources)) in numbered)
    return before_softmax(calls, wiring.outputs)


def _only_user(wiring: Wiring, uses: list[int], value: int) -> int | None:
    """The call that is the only one to need a value."""
    if uses[value] != 1:
        return None
    users = (call for call, (_, sources) in enumerate(wiring.calls) if value in sources)
    return next(users, None)


def _normalized_sums(
    wiring: Wiring, runs: Sequence[Layer]
) -> Iterator[tuple[int, tuple[int, int, int | None]]]:
    """(call of Add, (which input is normalised, call of its norm, call of ReLU behind))."""
    inputs, uses = len(wiring.inputs), wiring.uses()
    for call, (_, sources) in enumerate(wiring.calls):
        if type(runs[call]) is not Add or len(sources) != 2:
            continue
        for place, value in enumerate(sources):
            norm = value - inputs
            if norm >= 0 and uses[value] == 1 and normalizes(runs[norm]):
                relu = _only_user(wiring, uses, inputs + call)
                relu = relu if relu is not None and type(runs[relu]) is ReLU else None
                yield call, (place, norm, relu)
                break
