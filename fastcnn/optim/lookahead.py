"""Lookahead, which wraps any optimizer, and Ranger, which is Lookahead around RAdam."""

import math
from typing import Any

import numpy as np

from kernels import optim as kernels

from ..checks import whole
from ..network.parameters import FlatParameters, Stretch
from .base import Optimizer
from .rules import RAdam

_ABOVE_1 = math.nextafter(1.0, 2.0)


class Lookahead(Optimizer):
    """Every k steps of an optimizer, back part of the way to where they began.

        slow = slow + alpha * (p - slow);  p = slow        after steps k, 2k, 3k, ...

    slow starts where training starts. The optimizer keeps its own averages over a slow step, as in
    the paper's image experiments: Zhang, Lucas, Hinton, Ba, "Lookahead Optimizer: k Steps Forward,
    1 Step Back" (2019), algorithm 1. Between two slow steps a model holds the fast weights p; what
    is measured or saved then is those. Learning rate and weight decay are the optimizer's.

    Parameters
    ----------
    optimizer : Optimizer
        A new optimizer, from now on used through this one only.
    k : int
        Its steps from one slow step to the next.
    alpha : float
        Share of the way that the slow weights go, 0 to 1.

    Raises
    ------
    ValueError
        If an argument is out of range, or the optimizer has made steps already.

    Examples
    --------
    >>> from fastcnn.optim import Adam
    >>> Lookahead(Adam(0.002), k=6).lr
    0.002
    """

    def __init__(self, optimizer: Optimizer, k: int = 5, alpha: float = 0.5) -> None:
        label = type(self).__name__
        if not isinstance(optimizer, Optimizer) or isinstance(optimizer, Lookahead):
            raise ValueError(
                f"{label}: optimizer must be one that Lookahead can wrap, such as Adam(1e-3), got "
                f"{optimizer!r}"
            )
        if optimizer.steps:
            raise ValueError(f"{label}: {optimizer!r} has made steps already; give it a new one")
        self.optimizer = optimizer
        super().__init__(optimizer.lr, optimizer.weight_decay)
        self.k = whole(label, "k", k)
        self.alpha = self._number("alpha", alpha, "from 0 to 1", 0, _ABOVE_1)

    @property
    def lr(self) -> float:
        """The wrapped optimizer's."""
        return self.optimizer.lr

    @lr.setter
    def lr(self, value: float) -> None:
        self.optimizer.lr = value

    @property
    def weight_decay(self) -> float:
        """The wrapped optimizer's."""
        return self.optimizer.weight_decay

    @weight_decay.setter
    def weight_decay(self, value: float) -> None:
        self.optimizer.weight_decay = value

    def arguments(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer, "k": self.k, "alpha": self.alpha}

    def spec(self) -> dict[str, Any]:
        return {**super().spec(), "optimizer": self.optimizer.spec()}

    def state_names(self) -> tuple[str, ...]:
        return (*self.optimizer.state_names(), "slow")

    def _new_state(self, name: str, flat: FlatParameters) -> np.ndarray:
        if name != "slow":
            return self.optimizer._new_state(name, flat)
        slow = np.zeros_like(flat.values)
        # All the way, which is a copy; and the kernel is compiled before step k asks for it.
        kernels.lookahead(flat.values, slow, 1.0)
        return slow

    def _update(self, flat: Stretch, state: dict[str, np.ndarray]) -> None:
        self.optimizer.steps = self.steps
        self.optimizer._update(flat, state)
        if self.steps % self.k == 0:
            kernels.lookahead(flat.values, state["slow"], self.alpha)


class Ranger(Lookahead):
    """Lookahead around RAdam with decoupled weight decay: ``Lookahead(RAdam(...), k, alpha)``.

    Wright, "Ranger: a synergistic optimizer" (2019), whose defaults these are, without the
    centralised gradients that he added later.

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
    >>> Ranger(lr=0.1).step(layer)  # the gradient is 2
    >>> layer.params["weight"].round(4)
    array([[0.8]], dtype=float32)
    """

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.95, 0.999),
        eps: float = 1e-5,
        weight_decay: float = 0.0,
        k: int = 6,
        alpha: float = 0.5,
    ) -> None:
        inner = RAdam(lr, betas, eps, weight_decay, decoupled_weight_decay=True)
        super().__init__(inner, k, alpha)

    def arguments(self) -> dict[str, Any]:
        inner = self.optimizer.arguments()
        del inner["decoupled_weight_decay"]
        return {**inner, "k": self.k, "alpha": self.alpha}

    def spec(self) -> dict[str, Any]:
        return Optimizer.spec(self)
