"""Layers that are called more than once: each call by itself, all with the same parameters."""

import copy
from collections.abc import Iterator, Sequence

from kernels import activation as arithmetic

from ..layers import Layer
from ..layers.wiring import Wiring


class Twins:
    """A copy of a layer for each call but its first.

    It has the layer's parameters, and a memory and gradients of its own, which are added to those
    of the first.

    Parameters
    ----------
    layers : sequence of Layer
        The layers.
    wiring : Wiring
        How they are connected.

    Attributes
    ----------
    runs : list of Layer
        What is run for each call.
    wiring : Wiring
        How these are connected: each is called once.
    """

    def __init__(self, layers: Sequence[Layer], wiring: Wiring) -> None:
        self._calls: list[list[Layer]] = [[] for _ in layers]
        self.runs: list[Layer] = []
        for place, _ in wiring.calls:
            layer, calls = layers[place], self._calls[place]
            calls.append(copy.deepcopy(layer) if calls else layer)
            self.runs.append(calls[-1])
        alone = tuple((i, sources) for i, (_, sources) in enumerate(wiring.calls))
        self.wiring = Wiring(wiring.inputs, alone, wiring.outputs)
        self.pairs = [
            (leaf, twin)
            for first, *others in self._calls
            for other in others
            for (_, leaf), (_, twin) in zip(first.leaves(), other.leaves(), strict=True)
        ]
        self.share()

    def share(self) -> None:
        """Whatever became of the parameters and settings of a layer, its copies have them."""
        for leaf, twin in self.pairs:
            twin.share_arrays(leaf)
            for name in leaf.arguments():
                now = getattr(leaf, name, None)
                if getattr(twin, name, None) != now:
                    setattr(twin, name, now)
            if twin.trainable != leaf.trainable:
                twin.trainable = leaf.trainable

    def add_gradients(self) -> None:
        """Add those of the copies to those of the layers."""
        for leaf, twin in self.pairs:
            if leaf.trainable:
                for name, gradient in leaf.grads.items():
                    arithmetic.add(gradient, twin.grads[name], gradient)

    def leaves(self) -> Iterator[tuple[str, Layer]]:
        """(path, copy) of all that have no layers inside them."""
        for place, (_, *others) in enumerate(self._calls):
            for number, other in enumerate(others, 2):
                yield from other.leaves(f"{place}, call {number}")
