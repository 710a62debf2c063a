"""The update rules, each one pass over all parameters of a model."""

from typing import Any

import numpy as np

from kernels import optim as kernels

from ..checks import flag
from ..network.parameters import Stretch
from .base import Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if wanted.

        g = gradient + weight_decay * p
        v = momentum * v + g
        p = p - lr * v                      nesterov: p = p - lr * (g + momentum * v)

    Sutskever et al., "On the Importance of Initialization and Momentum in Deep Learning" (2013),
    with the learning rate outside v as in PyTorch.

    Raises
    ------
    ValueError
        If an argument is out of range, or nesterov has no momentum to work with.

    Examples
    --------
    >>> from fastcnn.layers import Dense
    >>> layer = Dense(1, 1)
    >>> layer.params["weight"] = [[1.0]]
    >>> dx = layer.backward(np.ones_like(layer.forward(np.float32([[2]]), training=True)))
    >>> SGD(lr=0.1).step(layer)  # the gradient is 2
    >>> layer.params["weight"].round(4)
    array([[0.8]], dtype=float32)
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
        self.nesterov = flag("SGD", "nesterov", nesterov)
        if self.nesterov and not self.momentum:
            raise ValueError("SGD: nesterov needs a momentum above 0, such as 0.9")

    def arguments(self) -> dict[str, Any]:
        own = {"momentum": self.momentum, "nesterov": self.nesterov}
        return {**super().arguments(), **own}

    def state_names(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    def _update(self, flat: Stretch, state: dict[str, np.ndarray]) -> None:
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

    Kingma and Ba, "Adam" (2015), algorithm 1. For each layer t counts the steps that it has made
    itself, as in PyTorch: none while it is frozen.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> from fastcnn.layers import Dense
    >>> layer = Dense(1, 1)
    >>> layer.params["weight"] = [[1.0]]
    >>> dx = layer.backward(np.ones_like(layer.forward(np.float32([[2]]), training=True)))
    >>> Adam(lr=0.1).step(layer)  # the gradient is 2
    >>> layer.params["weight"].round(4)
    array([[0.9]], dtype=float32)
    """

    decoupled = False
    _kernel = staticmethod(kernels.adam)

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(lr, weight_decay)
        self.betas = betas
        self.eps = self._number("eps", eps, "at least 0")

    @property
    def betas(self) -> tuple[float, float]:
        """How much of each average is kept in a step."""
        return self.beta1, self.beta2

    @betas.setter
    def betas(self, value: tuple[float, float]) -> None:
        if not isinstance(value, (tuple, list)) or len(value) != 2:
            raise ValueError(f"{type(self).__name__}: betas must be a pair, got {value!r}")
        wanted = "at least 0 and below 1"
        self.beta1, self.beta2 = (
            self._number("each of betas", beta, wanted, 0, 1) for beta in value
        )

    def arguments(self) -> dict[str, Any]:
        return {**super().arguments(), "betas": [self.beta1, self.beta2], "eps": self.eps}

    def state_names(self) -> tuple[str, ...]:
        return ("m", "v")

    def _update(self, flat: Stretch, state: dict[str, np.ndarray]) -> None:
        self._kernel(
            flat.values, flat.gradients, state["m"], state["v"], flat.steps,
            self.lr, self.beta1, self.beta2, self.eps,
            self.weight_decay, flat.decayed, self.decoupled,
        )  # fmt: skip


class AdamW(Adam):
    """Adam whose weight decay shrinks the weights directly: p = p - lr * weight_decay * p.

    Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019), algorithm 2.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> from fastcnn.layers import Dense
    >>> layer = Dense(1, 1)
    >>> layer.params["weight"] = [[1.0]]
    >>> dx = layer.backward(np.ones_like(layer.forward(np.float32([[2]]), training=True)))
    >>> AdamW(lr=0.1, weight_decay=0.5).step(layer)  # the gradient is 2
    >>> layer.params["weight"].round(4)
    array([[0.85]], dtype=float32)
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


class RAdam(Adam):
    """Adam that divides by v only as far as v can be trusted after so few steps: no warm-up needed.

        rho_t = rho - 2 * t * beta2**t / (1 - beta2**t)         rho = 2 / (1 - beta2) - 1
        r = sqrt((rho_t - 4) * (rho_t - 2) * rho / ((rho - 4) * (rho - 2) * rho_t))

        p = p - lr * m / (1 - beta1**t) * r * sqrt(1 - beta2**t) / (sqrt(v) + eps)  if rho_t > 5
        p = p - lr * m / (1 - beta1**t)                                             else

    with g, m and v as in Adam. Liu et al., "On the Variance of the Adaptive Learning Rate and
    Beyond" (2020), algorithm 2; eps as in PyTorch, next to the v that is not corrected.

    Parameters
    ----------
    decoupled_weight_decay : bool
        Shrink the weights directly, as AdamW does.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> from fastcnn.layers import Dense
    >>> layer = Dense(1, 1)
    >>> layer.params["weight"] = [[1.0]]
    >>> dx = layer.backward(np.ones_like(layer.forward(np.float32([[2]]), training=True)))
    >>> RAdam(lr=0.1).step(layer)  # the gradient is 2
    >>> layer.params["weight"].round(4)
    array([[0.8]], dtype=float32)
    """

    _kernel = staticmethod(kernels.radam)

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay)
        self.decoupled = flag("RAdam", "decoupled_weight_decay", decoupled_weight_decay)

    def arguments(self) -> dict[str, Any]:
        return {**super().arguments(), "decoupled_weight_decay": self.decoupled}


class RMSprop(Optimizer):
    """Steps divided by the root of a running average of the squared gradient.

        g = gradient + weight_decay * p
        s = alpha * s + (1 - alpha) * g**2
        u = g / (sqrt(s) + eps)
        p = p - lr * u                      with momentum: b = momentum * b + u;  p = p - lr * b

    Tieleman and Hinton, "Neural Networks for Machine Learning", lecture 6.5 (2012).

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> from fastcnn.layers import Dense
    >>> layer = Dense(1, 1)
    >>> layer.params["weight"] = [[1.0]]
    >>> dx = layer.backward(np.ones_like(layer.forward(np.float32([[2]]), training=True)))
    >>> RMSprop(lr=0.01).step(layer)  # the gradient is 2
    >>> layer.params["weight"].round(4)
    array([[0.9]], dtype=float32)
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

    def _update(self, flat: Stretch, state: dict[str, np.ndarray]) -> None:
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

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> from fastcnn.layers import Dense
    >>> layer = Dense(1, 1)
    >>> layer.params["weight"] = [[1.0]]
    >>> dx = layer.backward(np.ones_like(layer.forward(np.float32([[2]]), training=True)))
    >>> AdaGrad(lr=0.1).step(layer)  # the gradient is 2
    >>> layer.params["weight"].round(4)
    array([[0.9]], dtype=float32)
    """

    def __init__(self, lr: float = 1e-2, eps: float = 1e-10, weight_decay: float = 0.0) -> None:
        super().__init__(lr, weight_decay)
        self.eps = self._number("eps", eps, "at least 0")

    def arguments(self) -> dict[str, Any]:
        return {**super().arguments(), "eps": self.eps}

    def state_names(self) -> tuple[str, ...]:
        return ("square",)

    def _update(self, flat: Stretch, state: dict[str, np.ndarray]) -> None:
        kernels.adagrad(
            flat.values, flat.gradients, state["square"],
            self.lr, self.eps, self.weight_decay, flat.decayed,
        )  # fmt: skip
