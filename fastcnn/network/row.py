"""Layers run as one, in memory that they share: what a pass through a network is."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from kernels.portion import WHOLE, Portion
from kernels.workspace import Workspace

from ..layers import Layer, Softmax
from ..layers.branches import Branches, Opened
from ..layers.memory import NO_GRADIENT, Clock, in_memory, seen
from ..layers.segments import Segment
from ..layers.wiring import Wiring
from . import turns
from .replay import Replay
from .twins import Twins

# Whether y is wanted as it is before a softmax at the end; of several outputs a tuple may say each.
Logits = bool | tuple[bool, ...]


class Row:
    """Layers, connected as a wiring says, with memory, a clock and a turn at training in common.

    With several inputs x is a row of numbers for each sample, (N, all of them), in which the inputs
    lie one behind the other, images channels-last. With several outputs y and dy are tuples.

    Layers may be part of two rows, which then lend them their memory in turn. During a pass the
    memory is kept, by each thread for itself; a layer that someone calls by itself gives a new
    array every time.

    Attributes
    ----------
    layers : tuple of Layer
        In the order in which people see them.
    named : list of (str, Layer)
        The same with their names: "0", "1", ...
    wiring : Wiring
        How they are connected.
    family : list of Layer
        All that run, with those inside them: the layers but for blocks, whose parts run instead,
        and the copies of those that are called more than once.
    turn : Turn
        Which thread trains the family.
    clock : Clock
        What random choices in training are keyed by.
    portion : Portion
        Which images of a batch its passes in training get.
    has_gone_back : bool
        Whether there was a backward pass.
    """

    def __init__(
        self, layers: tuple[Layer, ...], wiring: Wiring, seed: int | None, clock: Clock
    ) -> None:
        self.layers, self.wiring = layers, wiring
        self.named = [(str(i), layer) for i, layer in enumerate(layers)]
        self.clock = clock
        self.portion: Portion = WHOLE
        self._scratch = Workspace(keep=False)
        self._twins = Twins(layers, wiring)
        opened = Opened(self._twins.wiring, self._twins.runs)
        self._before_softmax = {
            y: z
            for y, z in before_softmax(opened.calls(), opened.wiring.outputs).items()
            if any(opened.layer_of(y) is each for each in self._twins.runs)  # in no block
        }
        self._branches = Branches(opened, self._before_softmax)
        self._ends: dict[Logits, tuple[list[Segment], tuple[int, ...]]] = {}
        self.family = [inner for layer in opened.layers for inner in layer.family()]
        self._lent: list[Layer] = []  # which share it: not those in a container of one's own
        self.turn = turns.Turn()
        self.has_gone_back = False
        self._is_pending = False  # whether the turn is kept until the backward pass
        self._replay = Replay(self.family)
        for layer in self.family:
            layer.check_loose_arrays()
        for path, leaf in self.leaves():
            if seed is not None and not leaf.has_chosen_values():
                leaf.initialize(seed, path)

    def leaves(self) -> Iterator[tuple[str, Layer]]:
        """(path, layer) of all that have no layers inside them."""
        for path, layer in self.named:
            yield from layer.leaves(path)

    @property
    def is_shared(self) -> bool:
        """Whether a layer with parameters is called more than once."""
        return any(leaf.params for leaf, _ in self._twins.pairs)

    def copies(self, layer: Layer) -> list[Layer]:
        """What runs for a layer, or for one inside one, in the order in which it runs."""
        same = {id(layer), *(id(twin) for leaf, twin in self._twins.pairs if leaf is layer)}
        if len(same) == 1:
            return [layer]
        run = (layer for segment in self._branches.segments for layer in segment.layers())
        return [inner for each in run for inner in each.family() if id(inner) in same]

    def _ends_for(self, logits: Logits) -> tuple[list[Segment], tuple[int, ...]]:
        """What is run, and the values that come out."""
        found = self._ends.get(logits)
        if found is None:
            outputs = self._branches.wiring.outputs
            left_out, values = ends_of(outputs, self._before_softmax, logits)
            rows = [row for row in self._branches.segments if row.target not in left_out]
            found = self._ends[logits] = rows, values
        return found

    def _run(self, x: np.ndarray, training: bool, logits: Logits) -> Any:
        rows, outputs = self._ends_for(logits)
        inputs = (x,) if len(self.wiring.inputs) == 1 else self.inputs(x, training)
        values = self._branches.forward(inputs, training, rows)
        return values[outputs[0]] if len(outputs) == 1 else tuple(values[each] for each in outputs)

    def inputs(self, x: np.ndarray, training: bool = False) -> list[np.ndarray]:
        """The inputs, which lie in x one behind the other."""
        shapes, first = self.wiring.inputs, 0
        if len(shapes) == 1:
            return [x]
        found = []
        for number, shape in enumerate(shapes):
            numbers = math.prod(shape)
            name = f"input {number}{' in training' * training}"  # a prediction leaves it alone
            memory = self._scratch.array(name, (len(x), numbers), x.dtype)
            memory[...] = x[:, first : first + numbers]
            first += numbers
            found.append(seen(memory.reshape(len(x), *in_memory(shape))))
        return found

    def predict(self, x: np.ndarray, logits: Logits) -> np.ndarray:
        """y for x, outside training; valid until this thread's next pass."""
        if self._twins.pairs:
            self._twins.share()
        self._lend_memory()
        self._scratch.keep = True
        try:
            return self._run(x, False, logits)
        finally:
            self._scratch.keep = False

    def forward(self, who: str, x: np.ndarray, logits: Logits, is_lent: bool = False) -> np.ndarray:
        """y for x in training, and all that `backward` needs; valid until the next pass.

        is_lent : whether x is memory that its owner fills anew for each pass, and may be kept

        Raises
        ------
        RuntimeError
            If another thread trains these layers.
        """
        self._is_pending |= self.turn.take(who, self.family)
        try:
            if self._twins.pairs:
                self._twins.share()  # where a list is run, too: numbers that it reads anew
            y = self._replay.forward(self, x, logits, is_lent)
        except BaseException:
            for layer in self.family:
                layer.forget()  # half of it belongs to the pass before
            self._release()
            raise
        self.clock.step += 1
        return y

    def run_forward(self, x: np.ndarray, logits: Logits) -> np.ndarray:
        """y for x in training, layer by layer."""
        try:
            self._lend_memory()
            self._claim()
            self._keep(True)
            return self._run(x, True, logits)
        finally:
            self._keep(False)

    def backward(self, who: str, dy: np.ndarray, logits: Logits, to_input: bool) -> np.ndarray:
        """The gradients of the layers, and dx if it is wanted, after `forward`."""
        self._is_pending |= self.turn.take(who, self.family)
        self.has_gone_back = True
        try:
            return self._replay.backward(self, dy, logits, to_input)
        finally:
            self._release()

    def run_backward(self, dy: Any, logits: Logits, to_input: bool) -> Any:
        """The gradients, layer by layer."""
        if self._twins.pairs:
            self._twins.share()
        rows, outputs = self._ends_for(logits)
        dys = dy if isinstance(dy, tuple) else (dy,)
        if len(dys) != len(outputs):
            raise ValueError(
                f"backward: there are {len(outputs)} outputs, got {len(dys)} gradients"
            )
        try:
            self._keep(True)
            parts = self._branches.backward(dys, to_input, rows, outputs)
            dx = [*map(self._branches.total, range(len(parts)), parts)]
            if self._twins.pairs:
                self._twins.add_gradients()
        finally:
            self._keep(False)
        if not to_input:
            return NO_GRADIENT
        return dx[0] if len(dx) == 1 else tuple(dx)

    def forget_lists(self) -> None:
        """Keep nothing of the memory that was lent for training."""
        self._replay = Replay(self.family)

    def workspaces(self) -> Iterator[Workspace]:
        """All memory that passes are made in."""
        yield self._scratch
        for layer in self.family:
            yield layer.workspace

    def _release(self) -> None:
        if self._is_pending:
            self._is_pending = False
            self.turn.release()

    def _keep(self, keep: bool) -> None:
        self._scratch.keep = keep
        self._scratch.portion = self.portion if keep else WHOLE
        for layer in self.family:
            layer.workspace.keep = keep

    def _lend_memory(self) -> None:
        """Let the layers share this row's memory, unless they do."""
        if not self._lent or any(layer.scratch is not self._scratch for layer in self._lent):
            self._branches.bind(self._scratch, "result", "gradient")
            self._lent = [layer for layer in self.family if layer.scratch is self._scratch]

    def _claim(self) -> None:
        """Give the layers what only training needs, unless they have it from this row."""
        if all(layer.clock is self.clock for layer in self.family):
            return
        for layer in self.family:
            layer.clock, layer.workspace = self.clock, Workspace(keep=False)
        for path, leaf in (*self.leaves(), *self._twins.leaves()):
            leaf.path = path


def is_contained(layer: Layer) -> bool:
    """Whether the loss has what a last layer does."""
    return isinstance(layer, Softmax) and layer.is_over_classes


def ends_of(
    outputs: Sequence[int], before: dict[int, int], logits: Logits
) -> tuple[set[int], tuple[int, ...]]:
    """The outputs whose softmax is left out, and the values that come out in place of all.

    before : what `before_softmax` found
    """
    each = logits if isinstance(logits, tuple) else (logits,) * len(outputs)
    left_out = {y for y, wanted in zip(outputs, each, strict=True) if wanted and y in before}
    return left_out, tuple(before[y] if y in left_out else y for y in outputs)


def before_softmax(
    calls: Iterable[tuple[Layer, Sequence[int], int]], outputs: Sequence[int]
) -> dict[int, int]:
    """Of each output that such a layer gives, and that no other layer needs, what goes into it.

    calls : (layer, the values that it is given, the value that it gives)
    """
    calls = list(calls)
    used = [*outputs, *(value for _, given, _ in calls for value in given)]
    return {
        target: given[0]
        for layer, given, target in calls
        if target in outputs and is_contained(layer) and used.count(target) == 1
    }
