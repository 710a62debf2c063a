"""Optimizers: how gradients become steps.

All follow PyTorch's definitions. `weight_decay` applies to the arrays called "weight" alone, not to
biases, gamma and beta. An optimizer keeps the state of one model: make a new one for each.

Example:
    >>> from fastcnn import Sequential
    >>> from fastcnn.layers import Dense
    >>> model, optimizer = Sequential(Dense(4, 2)), Adam(1e-3)
    >>> y = model.forward(np.ones((8, 4), np.float32), training=True)
    >>> dx = model.backward(y)
    >>> optimizer.step(model)
"""

import inspect
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from kernels import optim as kernels

from .backends import unknown
from .layers.base import Layer
from .parameters import FlatParameters


class Optimizer:
    """What all optimizers share. A new one defines `arguments`, `state_names` and `_update`.

    Attributes:
        lr: learning rate; may be changed between steps.
        weight_decay: the L2 penalty's factor.
        steps: steps made so far.
    """

    def __init__(self, lr: float, weight_decay: float) -> None:
        self.steps = 0
        self._state: dict[str, np.ndarray] = {}
        self._target: weakref.ref[FlatParameters] | None = None
        self._own_flat: FlatParameters | None = None
        self._own_layers: tuple[Layer, ...] = ()
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
        real = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not real or not low <= value < high:
            raise ValueError(
                f"{type(self).__name__}: {name} must be a finite number, {wanted}, got {value!r}"
            )
        return float(value)

    def arguments(self) -> dict[str, Any]:
        """Constructor arguments that would make such an optimizer."""
        return {"lr": self.lr, "weight_decay": self.weight_decay}

    def state_names(self) -> tuple[str, ...]:
        """Names of the arrays, as large as the parameters, that are kept from step to step."""
        return ()

    def _update(self, flat: FlatParameters, state: dict[str, np.ndarray]) -> None:
        """Change `flat.values` by `flat.gradients`, and `state` with them."""
        raise NotImplementedError

    def step(self, target: Any) -> None:
        """Change the parameters of a model, a layer or a list of layers by their gradients.

        Raises:
            TypeError: if `target` is nothing of these.
            ValueError: if the optimizer has kept the state of something else.
        """
        flat = self._flat_of(target)
        if self.state_names():
            self._attach(flat)
        self.steps += 1
        self._update(flat, self._state)

    def _flat_of(self, target: Any) -> FlatParameters:
        flat = getattr(target, "parameters", None)
        if isinstance(flat, FlatParameters):
            return flat
        layers = (target,) if isinstance(target, Layer) else target
        is_row = isinstance(layers, Sequence)
        if not is_row or not layers or not all(isinstance(layer, Layer) for layer in layers):
            raise TypeError(
                f"{type(self).__name__}: step takes a model, a layer or a list of layers, got "
                f"{type(target).__name__}"
            )
        layers = tuple(layers)
        flat = self._own_flat
        if flat is None or not _same_objects(layers, self._own_layers):
            named = [(str(i), layer) for i, layer in enumerate(layers)]
            flat = self._own_flat = FlatParameters(named)
            self._own_layers = layers
        elif not flat.is_bound:
            flat.bind()
        return flat

    def _attach(self, flat: FlatParameters) -> None:
        """Make sure that the state belongs to `flat`; new or loaded state takes the first."""
        if self._target is not None and self._target() is flat:
            return
        for name in self.state_names():
            array = self._state.get(name, np.zeros_like(flat.values))
            if self._target is not None or array.shape != flat.values.shape:
                raise ValueError(
                    f"{type(self).__name__}: this optimizer holds the state of another model; "
                    f"make a new one for each model"
                )
            self._state[name] = array.astype(flat.dtype)
        self._target = weakref.ref(flat)

    def state_arrays(self) -> dict[str, np.ndarray]:
        """Everything that the next steps depend on, besides the arguments; empty before a step."""
        if not self.steps:
            return {}
        return {"steps": np.array(self.steps)} | self._state

    def load_state_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Continue where `state_arrays` was called; the next `step` says for which model.

        Raises:
            ValueError: if these are not the arrays of such an optimizer.
        """
        wanted = {"steps", *self.state_names()} if arrays else set()
        if set(arrays) != wanted:
            raise ValueError(
                f"{type(self).__name__}: its state is {', '.join(sorted(wanted))}, got "
                f"{', '.join(sorted(arrays))}"
            )
        self.steps = int(arrays["steps"]) if arrays else 0
        self._state = {name: np.array(arrays[name]) for name in arrays if name != "steps"}
        self._target = None

    def spec(self) -> dict[str, Any]:
        """Type and constructor arguments, as JSON can hold them."""
        return {"type": type(self).__name__, **self.arguments()}

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={value!r}" for name, value in self.arguments().items())
        return f"{type(self).__name__}({parts})"


def _same_objects(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if wanted.

        g = gradient + weight_decay * p
        v = momentum * v + g
        p = p - lr * v                      nesterov: p = p - lr * (g + momentum * v)

    Sutskever et al., "On the Importance of Initialization and Momentum in Deep Learning" (2013),
    with the learning rate outside v as in PyTorch.

    Raises:
        ValueError: if an argument is out of range, or nesterov has no momentum to work with.
    """

    def __init__(
        self,
        lr: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(lr, weight_decay)
        self.momentum = self._number("momentum", momentum, "at least 0 and below 1", 0, 1)
        self.nesterov = bool(nesterov)
        if self.nesterov and not self.momentum:
            raise ValueError("SGD: nesterov needs a momentum above 0, such as 0.9")

    def arguments(self) -> dict[str, Any]:
        own = {"momentum": self.momentum, "nesterov": self.nesterov}
        return {**super().arguments(), **own}

    def state_names(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    def _update(self, flat: FlatParameters, state: dict[str, np.ndarray]) -> None:
        velocity = state["velocity"] if self.momentum else np.empty(0, flat.dtype)
        kernels.sgd(
            flat.values, flat.gradients, velocity,
            self.lr, self.momentum, self.nesterov, self.weight_decay, flat.decayed,
        )  # fmt: skip


class Adam(Optimizer):
    """Steps scaled by running averages of the gradient and of its square.

        g = gradient + weight_decay * p
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        p = p - lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)     in step t

    Kingma and Ba, "Adam" (2015), algorithm 1.

    Raises:
        ValueError: if an argument is out of range.
    """

    decoupled = False

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(lr, weight_decay)
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise ValueError(f"{type(self).__name__}: betas must be a pair, got {betas!r}")
        wanted = "at least 0 and below 1"
        self.beta1, self.beta2 = (
            self._number("each of betas", beta, wanted, 0, 1) for beta in betas
        )
        self.eps = self._number("eps", eps, "at least 0")

    def arguments(self) -> dict[str, Any]:
        return {**super().arguments(), "betas": [self.beta1, self.beta2], "eps": self.eps}

    def state_names(self) -> tuple[str, ...]:
        return ("m", "v")

    def _update(self, flat: FlatParameters, state: dict[str, np.ndarray]) -> None:
        kernels.adam(
            flat.values, flat.gradients, state["m"], state["v"], self.steps,
            self.lr, self.beta1, self.beta2, self.eps,
            self.weight_decay, flat.decayed, self.decoupled,
        )  # fmt: skip


class AdamW(Adam):
    """Adam whose weight decay shrinks the weights directly: p = p - lr * weight_decay * p.

    Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019), algorithm 2.

    Raises:
        ValueError: if an argument is out of range.
    """

    decoupled = True

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay)


class RMSprop(Optimizer):
    """Steps divided by the root of a running average of the squared gradient.

        g = gradient + weight_decay * p
        s = alpha * s + (1 - alpha) * g**2
        u = g / (sqrt(s) + eps)
        p = p - lr * u                      with momentum: b = momentum * b + u;  p = p - lr * b

    Tieleman and Hinton, "Neural Networks for Machine Learning", lecture 6.5 (2012).

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(lr, weight_decay)
        self.alpha = self._number("alpha", alpha, "at least 0 and below 1", 0, 1)
        self.eps = self._number("eps", eps, "at least 0")
        self.momentum = self._number("momentum", momentum, "at least 0 and below 1", 0, 1)

    def arguments(self) -> dict[str, Any]:
        own = {"alpha": self.alpha, "eps": self.eps, "momentum": self.momentum}
        return {**super().arguments(), **own}

    def state_names(self) -> tuple[str, ...]:
        return ("square", "buffer") if self.momentum else ("square",)

    def _update(self, flat: FlatParameters, state: dict[str, np.ndarray]) -> None:
        buffer = state["buffer"] if self.momentum else np.empty(0, flat.dtype)
        kernels.rmsprop(
            flat.values, flat.gradients, state["square"], self.lr, self.alpha, self.eps,
            self.momentum, buffer, self.weight_decay, flat.decayed,
        )  # fmt: skip


class AdaGrad(Optimizer):
    """Steps divided by the root of the sum of all squared gradients so far.

        g = gradient + weight_decay * p
        s = s + g**2
        p = p - lr * g / (sqrt(s) + eps)

    Duchi, Hazan, Singer, "Adaptive Subgradient Methods" (2011).

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(self, lr: float = 1e-2, eps: float = 1e-10, weight_decay: float = 0.0) -> None:
        super().__init__(lr, weight_decay)
        self.eps = self._number("eps", eps, "at least 0")

    def arguments(self) -> dict[str, Any]:
        return {**super().arguments(), "eps": self.eps}

    def state_names(self) -> tuple[str, ...]:
        return ("square",)

    def _update(self, flat: FlatParameters, state: dict[str, np.ndarray]) -> None:
        kernels.adagrad(
            flat.values, flat.gradients, state["square"],
            self.lr, self.eps, self.weight_decay, flat.decayed,
        )  # fmt: skip


_BY_NAME: dict[str, type[Optimizer]] = {
    "sgd": SGD, "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop, "adagrad": AdaGrad,
}  # fmt: skip


def names() -> tuple[str, ...]:
    """The names that `from_name` takes."""
    return tuple(_BY_NAME)


def from_name(name: str, **arguments: Any) -> Optimizer:
    """An optimizer by its name in lower case: ``from_name("sgd", lr=0.1, momentum=0.9)``.

    Raises:
        ValueError: if there is no such optimizer, or it has no such argument.
    """
    kind = _BY_NAME.get(str(name).lower())
    if kind is None:
        raise ValueError(unknown("optimizer", name, names()))
    known = tuple(inspect.signature(kind).parameters)
    for argument in arguments:
        if argument not in known:
            raise ValueError(unknown(f"argument of {name}", argument, known))
    return kind(**arguments)
