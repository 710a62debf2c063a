"""Several layers that run as one step of training, and rows of steps."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from .. import backends
from .base import Layer
from .described import is_altered
from .memory import NO_GRADIENT
from .norm import BatchNorm


class Step(Protocol):
    """What is run: a layer, or a group of layers that looks like one."""

    needs_input_gradient: bool

    @property
    def learns(self) -> bool: ...

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray: ...

    def backward(self, dy: np.ndarray) -> np.ndarray: ...


def run_forward(layers: Sequence[Step], x: np.ndarray, training: bool) -> np.ndarray:
    """x through all layers."""
    for layer in layers:
        x = layer.forward(x, training)
    return x


def run_backward(
    layers: Sequence[Step], dy: np.ndarray, needs_input_gradient: bool = True
) -> np.ndarray:
    """dy back through all layers; dx, or an empty array where nobody needs it.

    Without the input's gradient, the way back ends at the first layer with parameters that are
    trained.
    """
    first = 0
    if not needs_input_gradient:
        first = next((i for i, layer in enumerate(layers) if layer.learns), len(layers))
    leaf = next(layers_of(layers), None)
    shared = leaf is not None and leaf.scratch.portion.processes > 1
    for i in range(len(layers) - 1, first - 1, -1):
        layers[i].needs_input_gradient = needs_input_gradient or i > first
        try:
            dy = layers[i].backward(dy)
        finally:
            layers[i].needs_input_gradient = True
        if not shared:
            continue
        for layer in layers_of(layers[i : i + 1]):
            if layer.params and layer.trainable:
                layer.scratch.portion.computed(layer.grads.values())
    return dy if needs_input_gradient else NO_GRADIENT


class Group:
    """Layers that run as one step of training.

    Otherwise, with other backends than numba, and where a BatchNorm among them is frozen or a layer
    has another method put into it, they run one after the other.
    """

    def __init__(self, *layers: Layer | None) -> None:
        self.layers = [layer for layer in layers if layer is not None]
        self.needs_input_gradient = True
        self._fused = False

    @property
    def learns(self) -> bool:
        return any(layer.learns for layer in self.layers)

    @property
    def fuses(self) -> bool:
        """Whether training runs them as one."""
        frozen = any(type(layer) is BatchNorm and not layer.trainable for layer in self.layers)
        altered = any(map(is_altered, self.layers))
        return backends.current_name() == "numba" and not frozen and not altered

    def one_by_one(self) -> Sequence[Step]:
        """What is run otherwise."""
        return self.layers

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        if training:
            self._fused = self.fuses
        if training and self._fused:
            return self.run(x)
        return run_forward(self.one_by_one(), x, training)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        if self._fused:
            return self.run_back(dy)
        return run_backward(self.one_by_one(), dy, self.needs_input_gradient)

    def run(self, x: np.ndarray) -> np.ndarray:
        """y of all layers in one step."""
        raise NotImplementedError

    def run_back(self, dy: np.ndarray) -> np.ndarray:
        """The gradient after `run`."""
        raise NotImplementedError


def layers_of(steps: Sequence[Step]) -> Iterator[Layer]:
    """The layers of a plan in the order in which they run."""
    for step in steps:
        if isinstance(step, Group):
            yield from step.layers
        else:
            assert isinstance(step, Layer)
            yield step
