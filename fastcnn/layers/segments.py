"""A graph as rows of layers between the places where it branches and where branches meet."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kernels.images import channels

from .activation import ReLU
from .base import Layer
from .conv import Conv2D
from .convolutions import SummedConv
from .described import is_altered
from .fusion import plan
from .groups import Step, layers_of
from .memory import as_image, memory_of, seen
from .merge import Add, Concat, rows_of
from .norm import BatchNorm
from .normalized import Norm, normalizes
from .rows import NormedRow
from .wiring import Wiring

NO_ENDS: Mapping[int, int] = {}


class NormalizedAdd:
    """A normalisation, the sum of what it gives and of a shortcut, and perhaps ReLU, as one step.

    It is what ends a `Residual`. The bits are those of the layers.

    Parameters
    ----------
    place : {0, 1}
        Which of both inputs is normalised.
    before : SummedConv, optional
        What gives that input, and its sums.
    """

    def __init__(
        self, norm: Norm, add: Add, relu: ReLU | None, place: int, before: SummedConv | None
    ) -> None:
        self.norm, self.add, self.relu, self.place = norm, add, relu, place
        self._before = before
        self.layers: list[Layer] = [norm, add, *([relu] if relu else [])]

    @property
    def learns(self) -> bool:
        """Whether the normalisation does."""
        return self.norm.learns

    def forward(self, x: Sequence[np.ndarray], training: bool) -> np.ndarray:
        """y for both inputs."""
        norm, relu = self.norm, self.relu
        main, shortcut = x[self.place], x[1 - self.place]
        if not training or not norm.trainable or any(map(is_altered, self.layers)):
            y = self.add.added((norm.forward(main, training), shortcut), training)
            return relu.forward(y, training) if relu else y
        norm.check_input(main)
        known = {} if self._before is None else {"sums": self._before.sums}
        other = memory_of(as_image(shortcut))
        y = norm.normalise(main, self.add.workspace, other, relu is not None, **known)
        if relu:
            relu.remember(y, memory_of(as_image(y)))
        return y

    def backward(self, dy: np.ndarray) -> tuple[np.ndarray, ...]:
        """dx for both inputs."""
        return self._through_norm(self.relu.backward(dy) if self.relu else dy)

    def backward_of_sum(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, ...]:
        """`backward` of a + b, which is written nowhere; for one with ReLU."""
        assert self.relu is not None
        return self._through_norm(self.relu.backward_of_sum(a, b))

    def _through_norm(self, by_shortcut: np.ndarray) -> tuple[np.ndarray, ...]:
        norm, portion = self.norm, self.norm.scratch.portion
        by_main = norm.backward(by_shortcut)
        if portion.processes > 1 and norm.trainable:
            portion.computed(norm.grads.values())
        return (by_shortcut, by_main) if self.place else (by_main, by_shortcut)


class Leading(NamedTuple):
    """The gradient by the first input of a `Concat`: it lies in the wide one that came back."""

    wide: np.ndarray

    def add_to(self, other: np.ndarray, total: np.ndarray) -> None:
        """Total = this + other, both as they lie; total may be other."""
        channels.add_first_channels(*map(rows_of, (self.wide, other, total)))


class WidenedConcat:
    """What is put behind an x from which it was made: x's own gradient is added, never copied.

    It is what ends a `Concatenate`.
    """

    learns = False

    def __init__(self, concat: Concat) -> None:
        self.forward, self._concat, self.layers = concat.forward, concat, [concat]

    def backward(self, dy: np.ndarray) -> tuple[Leading, np.ndarray]:
        """dx for both inputs."""
        (shapes,) = self._concat.recall(dy)
        place, wide = self._concat.place, memory_of(dy)
        dx = place.scratch.array(f"{place.gradient_slot} 1", shapes[1], dy.dtype)
        channels.take_last_channels(rows_of(wide), rows_of(dx))
        return Leading(wide), seen(dx)


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
    joint: NormalizedAdd | WidenedConcat | Layer | None = None

    def layers(self) -> list[Layer]:
        """The layers in the order in which they run."""
        if isinstance(self.joint, (NormalizedAdd, WidenedConcat)):
            return list(self.joint.layers)
        return list(layers_of(self.steps)) if self.joint is None else [self.joint]

    @property
    def learns(self) -> bool:
        """Whether a layer of it is trained."""
        if self.joint is not None:
            return self.joint.learns
        return any(step.learns for step in self.steps)


def segments(
    wiring: Wiring, runs: Sequence[Layer], ends: Mapping[int, int] = NO_ENDS
) -> Iterator[Segment]:
    """The rows of a graph, in an order in which each finds what it needs.

    runs : the layer of each call
    ends : outputs that a pass may leave out, and what then comes out instead
    """
    if any(type(layer) is BatchNorm for layer in runs):
        for layer in runs:
            if isinstance(layer, Conv2D):
                layer.beside_norm = True  # all, so that each kernel is compiled once
    inputs, uses = len(wiring.inputs), wiring.uses()
    sums = dict(_normalized_sums(wiring, runs))
    summed: dict[int, SummedConv] = {}  # what gives a value
    done = {call for _, norm, relu in sums.values() for call in (norm, relu) if call is not None}
    for first, (_, sources) in enumerate(wiring.calls):
        if first in done:
            continue
        if first in sums:
            place, norm, relu = sums[first]
            given = list(sources)
            given[place] = wiring.calls[norm][1][0]
            run: Sequence[Any] = runs
            ending = None if relu is None else run[relu]
            joint = NormalizedAdd(run[norm], run[first], ending, place, summed.get(given[place]))
            yield Segment(tuple(given), inputs + (first if relu is None else relu), [], joint)
            continue
        if len(sources) > 1:
            merging: Any = runs[first]
            if type(merging) is Concat and _is_widening(first, wiring, runs, ends):
                merging = WidenedConcat(merging)
            yield Segment(sources, inputs + first, [], merging)
            continue
        chain = [first]
        while (following := _only_user(wiring, uses, inputs + chain[-1])) is not None:
            meets = len(wiring.calls[following][1]) > 1
            if meets or following in done or inputs + following in ends:
                break
            chain.append(following)
        done |= set(chain)
        # What ends it may be normalised by a part of another step.
        joined = following if following in done and inputs + chain[-1] not in ends else None
        before_norm = joined is not None and type(runs[joined]) is BatchNorm
        steps = plan([runs[call] for call in chain], before_norm)
        last = steps[-1].readers[-1] if isinstance(steps[-1], NormedRow) else steps[-1]
        if before_norm and isinstance(last, SummedConv):
            summed[inputs + chain[-1]] = last
        yield Segment(sources, inputs + chain[-1], steps)


def _is_widening(call: int, wiring: Wiring, runs: Sequence[Layer], ends: Mapping[int, int]) -> bool:
    """Whether the first of two inputs has one gradient besides, which is whole."""
    _, sources = wiring.calls[call]
    value = sources[0]
    users = [runs[i] for i, (_, given) in enumerate(wiring.calls) if value in given]
    comes_out = value in wiring.outputs or value in ends.values()
    is_needed_twice = wiring.uses()[value] == len(users) == 2
    return (
        len(sources) == 2
        and is_needed_twice
        and not comes_out
        and (sum(type(each) is Concat for each in users) == 1)
    )


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
