"""Layers run one after the other, in memory that they share: what a pass through a network is."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from kernels.portion import WHOLE, Portion
from kernels.workspace import Workspace

from ..layers import Layer, Softmax
from ..layers.fusion import Step, layers_of, plan, run_backward, run_forward
from ..layers.memory import Clock, bind_memory
from . import turns
from .replay import Replay

# Whether y is wanted as it is before a softmax at the end; of several outputs a tuple may say each.
Logits = bool | tuple[bool, ...]


class Row:
    """A row of layers with memory, a clock and a turn at training in common.

    Layers may be part of two rows, which then lend them their memory in turn. During a pass the
    memory is kept, by each thread for itself; a layer that someone calls by itself gives a new
    array every time.

    Attributes
    ----------
    layers : tuple of Layer
        In the order in which people see them.
    named : list of (str, Layer)
        The same with their names: "0", "1", ...
    family : list of Layer
        With those inside them.
    clock : Clock
        What random choices in training are keyed by.
    portion : Portion
        Which images of a batch its passes in training get.
    """

    def __init__(self, layers: tuple[Layer, ...], seed: int | None, clock: Clock) -> None:
        self.layers = layers
        self.named = [(str(i), layer) for i, layer in enumerate(layers)]
        self.clock = clock
        self.portion: Portion = WHOLE
        self._scratch = Workspace(keep=False)
        self.family = [inner for layer in self._arrange() for inner in layer.family()]
        self._lent: list[Layer] = []  # which share it: not those in a container of one's own
        self._pending: list[Layer] = []  # whose turn was taken and is kept until the backward pass
        self._replay = Replay(self.family)
        for layer in self.family:
            layer.check_loose_arrays()
        for path, leaf in self.leaves():
            if seed is not None and not leaf.has_chosen_values():
                leaf.initialize(seed, path)

    def _arrange(self) -> Sequence[Layer]:
        """Decide what is run, once; gives all layers that are."""
        self._steps = plan(self.layers)
        # The softmax that CrossEntropyLoss contains must not be applied twice.
        self._trained = self._steps[:-1] if is_contained(self.layers[-1]) else self._steps
        return self.layers

    def leaves(self) -> Iterator[tuple[str, Layer]]:
        """(path, layer) of all that have no layers inside them."""
        for path, layer in self.named:
            yield from layer.leaves(path)

    @property
    def is_shared(self) -> bool:
        """Whether a layer with parameters is called more than once."""
        return False

    def copies(self, layer: Layer) -> list[Layer]:
        """What runs instead of a layer, or of one inside one, in the order in which it runs."""
        return [layer]

    def _steps_for(self, logits: Logits) -> Sequence[Step]:
        """What is run; for logits without a softmax at the end."""
        return self._trained if logits else self._steps

    def _run(self, x: np.ndarray, training: bool, logits: Logits) -> np.ndarray:
        return run_forward(self._steps_for(logits), x, training)

    def _run_back(self, dy: np.ndarray, logits: Logits, to_input: bool) -> np.ndarray:
        return run_backward(self._steps_for(logits), dy, to_input)

    def _bind(self) -> None:
        """Give the layers their places in this row's memory."""
        bind_memory(layers_of(self._steps), self._scratch, "result")

    def predict(self, x: np.ndarray, logits: Logits) -> np.ndarray:
        """y for x, outside training; valid until this thread's next pass."""
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
        self._pending += turns.take(who, self.family)
        try:
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
        self._pending += turns.take(who, self.family)
        try:
            return self._replay.backward(self, dy, logits, to_input)
        finally:
            self._release()

    def run_backward(self, dy: np.ndarray, logits: Logits, to_input: bool) -> np.ndarray:
        """The gradients, layer by layer."""
        try:
            self._keep(True)
            return self._run_back(dy, logits, to_input)
        finally:
            self._keep(False)

    def forget_lists(self) -> None:
        """Keep nothing of the memory that was lent for training."""
        self._replay = Replay(self.family)

    def workspaces(self) -> Iterator[Workspace]:
        """All memory that passes are made in."""
        yield self._scratch
        for layer in self.family:
            yield layer.workspace

    def _release(self) -> None:
        pending, self._pending = self._pending, []
        turns.release(pending)

    def _keep(self, keep: bool) -> None:
        self._scratch.keep = keep
        self._scratch.portion = self.portion if keep else WHOLE
        for layer in self.family:
            layer.workspace.keep = keep

    def _lend_memory(self) -> None:
        """Let the layers share this row's memory, unless they do."""
        if not self._lent or any(layer.scratch is not self._scratch for layer in self._lent):
            self._bind()
            self._lent = [layer for layer in self.family if layer.scratch is self._scratch]

    def _claim(self) -> None:
        """Give the layers what only training needs, unless they have it from this row."""
        if all(layer.clock is self.clock for layer in self.family):
            return
        for layer in self.family:
            layer.clock, layer.workspace = self.clock, Workspace(keep=False)
        for path, leaf in self.leaves():
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
