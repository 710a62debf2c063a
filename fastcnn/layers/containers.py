"""Layers made of layers."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from kernels import activation as kernels
from kernels.workspace import Workspace

from ..parameters import ParameterDict
from .base import NO_GRADIENT, Layer, Shape, from_spec, memory_of, seen
from .fusion import end_of_block, layers_of, plan, run_backward, run_forward


class Residual(Layer):
    """Adds what some layers make of x to x itself, or to what other layers make of it.

        x -> y = activation(main(x) + shortcut(x))

    He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition" (2016), section 3.

    Args:
        main: layers that x runs through in order.
        shortcut: layers on the other way; None: x is added as it is.
        activation: a layer after the addition; None for none.

    params, grads, state: those of all layers inside, "main.0.weight" and so on.

    Raises:
        ValueError: if the two ways give different shapes, or an argument does not fit.

    Example:
        >>> from fastcnn.layers import Conv2D, ReLU
        >>> block = Residual([Conv2D(16, 16, 3, padding="same")], activation=ReLU())
        >>> block.forward(np.zeros((8, 16, 9, 9), np.float32)).shape
        (8, 16, 9, 9)
    """

    def __init__(
        self,
        main: Sequence[Layer],
        shortcut: Sequence[Layer] | None = None,
        activation: Layer | None = None,
    ) -> None:
        super().__init__()
        self.main = self._checked_layers("main", main)
        self.shortcut = None if shortcut is None else self._checked_layers("shortcut", shortcut)
        if activation is not None and not isinstance(activation, Layer):
            raise ValueError(
                f"Residual: activation must be a layer such as ReLU() or None, got {activation!r}"
            )
        self.activation = activation
        self.main_steps, self.sum = end_of_block(self, plan(self.main), activation)
        self.shortcut_steps = plan(self.shortcut or ())

    @staticmethod
    def _checked_layers(name: str, layers: Any) -> tuple[Layer, ...]:
        is_row = isinstance(layers, (list, tuple)) and len(layers) > 0
        if not is_row or not all(isinstance(layer, Layer) for layer in layers):
            raise ValueError(
                f"Residual: {name} must be a list of at least one layer, got {layers!r}"
            )
        return tuple(layers)

    def arguments(self) -> dict[str, Any]:
        return {
            "main": [layer.spec() for layer in self.main],
            "shortcut": None if self.shortcut is None else [s.spec() for s in self.shortcut],
            "activation": None if self.activation is None else self.activation.spec(),
        }

    @classmethod
    def from_arguments(cls, arguments: dict[str, Any]) -> "Residual":
        made = dict(arguments)
        for name in ("main", "shortcut"):
            if isinstance(made.get(name), list):
                made[name] = [from_spec(spec) for spec in made[name]]
        if made.get("activation") is not None:
            made["activation"] = from_spec(made["activation"])
        return cls(**made)

    def __repr__(self) -> str:
        parts = [f"[{', '.join(map(repr, self.main))}]"]
        if self.shortcut is not None:
            parts.append(f"shortcut=[{', '.join(map(repr, self.shortcut))}]")
        if self.activation is not None:
            parts.append(f"activation={self.activation!r}")
        return f"Residual({', '.join(parts)})"

    def summary_rows(self, input_shape: Shape | None) -> list[tuple[str, Shape | None, int]]:
        output = None if input_shape is None else self.output_shape(input_shape)
        rows: list[tuple[str, Shape | None, int]] = [("Residual", output, 0)]
        shape = input_shape
        for name, layer in self.children():
            if name in ("main.0", "shortcut.0"):
                shape = input_shape
            (text, shape, count), *inside = layer.summary_rows(shape)
            rows.append((f"  {name}: {text}", shape, count))
            rows += [(f"  {text}", output, count) for text, output, count in inside]
        return rows

    def children(self) -> list[tuple[str, Layer]]:
        children = [(f"main.{i}", layer) for i, layer in enumerate(self.main)]
        children += [(f"shortcut.{i}", layer) for i, layer in enumerate(self.shortcut or ())]
        return children + ([("activation", self.activation)] if self.activation else [])

    def _gathered(self, group: str) -> ParameterDict:
        gathered = ParameterDict(f"Residual.{group}")
        for path, leaf in self.leaves():
            for name, array in getattr(leaf, group).items():
                gathered.bind(f"{path}.{name}", array)
        return gathered

    @property
    def params(self) -> ParameterDict:
        return self._gathered("params")

    @property
    def grads(self) -> ParameterDict:
        return self._gathered("grads")

    @property
    def state(self) -> ParameterDict:
        return self._gathered("state")

    def output_shape(self, input_shape: Shape) -> Shape:
        shapes = []
        for layers in (self.main, self.shortcut or ()):
            shape = input_shape
            for layer in layers:
                shape = layer.output_shape(shape)
            shapes.append(shape)
        if shapes[0] != shapes[1]:
            cure = "change its layers" if self.shortcut else "give it a shortcut, such as a Conv2D"
            raise ValueError(
                f"{self.name}: main gives shape {shapes[0]} and the shortcut {shapes[1]}, which "
                f"cannot be added; {cure}"
            )
        return self.activation.output_shape(shapes[0]) if self.activation else shapes[0]

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self.check_input(x)
        main = run_forward(self.main_steps, x, training)
        shortcut = run_forward(self.shortcut_steps, x, training)
        y = self.sum.forward(main, shortcut, training)
        if training:
            self.remember(y)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        self.recall(dy)
        by_main, by_shortcut = self.sum.backward(dy)
        by_main = run_backward(self.main_steps, by_main, self.needs_input_gradient)
        by_shortcut = run_backward(self.shortcut_steps, by_shortcut, self.needs_input_gradient)
        if not self.needs_input_gradient:
            return NO_GRADIENT
        by_main, by_shortcut = memory_of(by_main), memory_of(by_shortcut)
        dx = self.gradient(by_main.shape, by_main.dtype, dy)
        kernels.add(by_main, by_shortcut, dx)
        return seen(dx)


def bind_memory(
    layers: Iterable[Layer], scratch: Workspace, prefix: str, way: str = "gradient"
) -> None:
    """Give each layer memory of its own for training, and shared memory for everything else.

    Outside training a result is needed only until the next layer has run, so the layers of a row
    take turns with two buffers. The memory is kept during the model's own passes only (`keep` is
    theirs to set): a layer that someone calls by itself gives a new array every time.

    prefix, way : names for the results and for the gradients of this row; all residual blocks
        that stand side by side can use the same memory for gradients.
    """
    turn = 0
    for layer in layers:
        layer.workspace, layer.scratch = Workspace(keep=False), scratch
        layer.slot, layer.gradient_slot = f"{prefix} {turn}", way
        turn = turn if layer.passes_through else 1 - turn
        if isinstance(layer, Residual):
            inner = f"{layer.slot}."
            main = [*layers_of(layer.main_steps), *layer.sum.layers]
            bind_memory(main, scratch, f"{inner}main", f"{way}.main")
            shortcut = layers_of(layer.shortcut_steps)
            bind_memory(shortcut, scratch, f"{inner}shortcut", f"{way}.shortcut")
            if layer.activation is not None:
                bind_memory([layer.activation], scratch, f"{inner}activation", f"{way}.activation")
                layer.activation.slot = layer.slot
                layer.slot = f"{inner}sum"
