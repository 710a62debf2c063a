"""What all optimizers share: checking their numbers, finding the parameters, keeping state."""

import contextlib
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import foreign
from ..checks import number, refuse_too_large
from ..layers import Layer
from ..network import turns
from ..network.network import Network
from ..network.parameters import FlatParameters, Stretch

_NONE = np.zeros(0, np.int64)


class Optimizer(foreign.Settled):
    """What all optimizers share. A new one defines `arguments`, `state_names` and `_update`.

    Attributes
    ----------
    lr : float
        Learning rate; may be changed between steps.
    weight_decay : float
        The L2 penalty's factor.
    steps
        Steps made so far; with parameters that were frozen for a time fewer (`Stretch.steps`).

    Raises
    ------
    ValueError
        If the learning rate or the weight decay is negative or not a number.

    Examples
    --------
    >>> from fastcnn.layers import Dense
    >>> class SignSGD(Optimizer):
    ...     def _update(self, flat, state):
    ...         flat.values -= self.lr * np.sign(flat.gradients)
    >>> layer = Dense(1, 1)
    >>> dx = layer.backward(np.ones_like(layer.forward(np.float32([[2]]), training=True)))
    >>> SignSGD(lr=0.1, weight_decay=0.0).step(layer)
    >>> layer.params["bias"]
    array([-0.1], dtype=float32)
    """

    def __init__(self, lr: float, weight_decay: float) -> None:
        self.steps = 0
        self._state: dict[str, np.ndarray] = {}
        self._made = _NONE  # steps with each parameter array, once there is a state
        self._target: weakref.ref[FlatParameters] | None = None
        self._stretches: tuple[Any, list[Stretch]] = (None, [])
        self._own_flat: FlatParameters | None = None
        self._own_layers: tuple[Layer, ...] = ()
        self._own_family: list[Layer] = []
        self._own_turn = turns.Turn()
        self.lr = lr
        self.weight_decay = self._number("weight_decay", weight_decay, "at least 0")

    @property
    def lr(self) -> float:
        """Learning rate, above or equal to 0."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = self._number("lr", value, "at least 0")

    def _number(
        self, name: str, value: Any, wanted: str, low: float = 0, high: float = np.inf
    ) -> float:
        return number(type(self).__name__, name, value, low, high, f"a finite number, {wanted}")

    def arguments(self) -> dict[str, Any]:
        """Constructor arguments that would make such an optimizer."""
        return {"lr": self.lr, "weight_decay": self.weight_decay}

    def state_names(self) -> tuple[str, ...]:
        """Names of the arrays, as large as the parameters, that are kept from step to step."""
        return ()

    def _new_state(self, name: str, flat: FlatParameters) -> np.ndarray:
        """The state array of that name before the first step."""
        return np.zeros_like(flat.values)

    def _update(self, flat: Stretch, state: dict[str, np.ndarray]) -> None:
        """Change `flat.values` by `flat.gradients`, and `state` with them.

        Called once in a step for each stretch of parameters between frozen layers; where there is
        a state, `flat.steps` says how many steps it has seen, this one included.
        """
        raise NotImplementedError

    def step(self, target: Any) -> None:
        """Change the parameters of a model, a layer or a list of layers by their gradients.

        Those of frozen layers, and what is kept for them from step to step, stay as they are.

        Raises
        ------
        TypeError
            If `target` is nothing of these.
        ValueError
            If the optimizer has kept the state of something else.
        RuntimeError
            If another thread trains these layers; or in its first step, if there was no backward
            pass and all gradients are 0.
        """
        with self._turn(target):
            flat = self._flat_of(target)
            if not self.steps:
                self._refuse_nothing(target, flat)
            if self.state_names():
                self._attach(flat)
            self.steps += 1
            for stretch in self._trained(flat):
                state = {name: array[stretch.place] for name, array in self._state.items()}
                self._update(stretch, state)
            flat.forget_passes()

    def _trained(self, flat: FlatParameters) -> list[Stretch]:
        """What is not frozen, where there is a state in stretches that it is equally old for."""
        trained = flat.trained()
        if not self.state_names():
            return trained
        if self._stretches[0] is not trained:  # what is trained together grows older together
            parts = [part for each in trained for part in flat.alike(self._made, each.arrays)]
            self._stretches = trained, parts
        for stretch in self._stretches[1]:
            self._made[stretch.arrays] += 1
            stretch.steps = int(self._made[stretch.arrays.start])
        return self._stretches[1]

    def _refuse_nothing(self, target: Any, flat: FlatParameters) -> None:
        """Raise where a step would change nothing, or by weight decay alone."""
        if isinstance(target, Network):
            who, went_back = "model", target.has_gone_back
        else:
            who = "layer"
            went_back = any(each.left_behind()[0] is not None for each in self._own_family)
        if not went_back and not flat.gradients.any():
            raise RuntimeError(
                f"{type(self).__name__}: all gradients are 0, as there was no backward pass: call "
                f"{who}.backward(gradient of the loss) before step"
            )

    def _turn(self, target: Any) -> contextlib.AbstractContextManager[None]:
        """The turn of all layers of a target."""
        if isinstance(target, Network):
            return target.training_turn()
        layers = self._layers_of(target)
        if not _same_objects(layers, self._own_layers):
            self._own_layers, self._own_flat = layers, None
            self._own_family = [inner for layer in layers for inner in layer.family()]
            self._own_turn = turns.Turn()
        return turns.Holding(self._own_turn, type(self).__name__, self._own_family)

    def _flat_of(self, target: Any) -> FlatParameters:
        if isinstance(target, Network):
            return target.parameters
        flat = self._own_flat
        if flat is None:
            named = [(str(i), layer) for i, layer in enumerate(self._own_layers)]
            flat = self._own_flat = FlatParameters(named)
        elif not flat.is_bound:
            flat.bind()
        return flat

    def _layers_of(self, target: Any) -> tuple[Layer, ...]:
        layers = (target,) if isinstance(target, Layer) else target
        is_row = isinstance(layers, Sequence)
        if not is_row or not layers or not all(isinstance(layer, Layer) for layer in layers):
            raise TypeError(
                f"{type(self).__name__}: step takes a model, a layer or a list of layers, got "
                f"{type(target).__name__}"
            )
        return tuple(layers)

    def _attach(self, flat: FlatParameters) -> None:
        """Make sure that the state belongs to `flat`; new or loaded state takes the first."""
        if self._target is not None and self._target() is flat:
            return
        made = self._made if self._made.size else np.full(len(flat.slices), self.steps)
        for name in self.state_names():
            array = self._state[name] if name in self._state else self._new_state(name, flat)
            fits = array.shape == flat.values.shape and len(made) == len(flat.slices)
            if self._target is not None or not fits:
                raise ValueError(
                    f"{type(self).__name__}: this optimizer holds the state of another model; "
                    f"make a new one for each model"
                )
            refuse_too_large(f"{type(self).__name__}: the state {name!r}", array, flat.dtype)
            self._state[name] = array.astype(flat.dtype)
        self._made = made
        self._target = weakref.ref(flat)

    def state_arrays(self) -> dict[str, np.ndarray]:
        """Copies of all that the next steps depend on, but the arguments; empty before a step.

        "steps" is their number, () int64; where some parameters were frozen for a time that
        number and those with each parameter array, (1 + arrays,).
        """
        if not self.steps:
            return {}
        kept = {name: array.copy() for name, array in self._state.items()}
        same = bool((self._made == self.steps).all())
        steps = np.array(self.steps) if same else np.array([self.steps, *self._made])
        return {"steps": steps} | kept

    def load_state_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Continue where `state_arrays` was called; the next `step` says for which model.

        That step refuses numbers which the model's dtype cannot hold.

        Raises
        ------
        ValueError
            If these are not the arrays of such an optimizer.
        """
        wanted = {"steps", *self.state_names()} if arrays else set()
        if set(arrays) != wanted:
            raise ValueError(
                f"{type(self).__name__}: its state is {', '.join(sorted(wanted))}, got "
                f"{', '.join(sorted(arrays))}"
            )
        steps = np.atleast_1d(arrays["steps"] if arrays else 0)
        self.steps, self._made = int(steps[0]), steps[1:].astype(np.int64)
        self._stretches = (None, [])
        self._state = {name: np.array(arrays[name]) for name in arrays if name != "steps"}
        self._target = None

    def __getstate__(self) -> dict[str, Any]:
        # A copy keeps what it has averaged and goes on with the model that it makes a step for
        # first: with a copy of this one's, as a rule.
        own = {"_target": None, "_own_flat": None, "_own_layers": (), "_own_family": []}
        own |= {"_own_turn": turns.Turn(), "_made": self._made.copy(), "_stretches": (None, [])}
        return {**vars(self), **own, "_state": {n: a.copy() for n, a in self._state.items()}}

    def spec(self) -> dict[str, Any]:
        """Type and constructor arguments, as JSON can hold them."""
        return {"type": type(self).__name__, **self.arguments()}

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={value!r}" for name, value in self.arguments().items())
        return f"{type(self).__name__}({parts})"


def _same_objects(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))
