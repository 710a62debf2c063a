"""How a row of layers is run: the same layers, in an order and in groups that read memory less.

`plan` looks once over a row of layers and returns what is run instead of it. The layers stay what
they are: nothing here can be seen by someone who reads or writes a layer.

- ReLU before max pooling runs after it. The largest value of a window, if positive, is the same
  before and after ReLU; if not, both orders give 0 and no gradient. Pooling leaves a quarter of
  the values to rectify.
- BatchNorm before 2 x 2 max pooling is one step (`NormalizedMaxPool`): what is normalised goes
  straight into the pool, and the gradient, which is zero at three places of four, is never
  written out.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from kernels import norm_pool as kernels

from .. import backends
from ..parameters import ParameterDict
from .activation import ReLU
from .base import Layer, memory_of, seen
from .norm import BatchNorm
from .pool import MaxPool2D


class Step(Protocol):
    """What is run: a layer, or a group of layers that looks like one."""

    needs_input_gradient: bool

    @property
    def params(self) -> ParameterDict: ...

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray: ...

    def backward(self, dy: np.ndarray) -> np.ndarray: ...


class NormalizedMaxPool:
    """BatchNorm and 2 x 2 max pooling as one step of training.

    The forward values are those of the two layers, bit for bit; the sums of the backward pass are
    taken over the maxima only, in another order.
    """

    def __init__(self, norm: BatchNorm, pool: MaxPool2D) -> None:
        self.norm, self.pool = norm, pool
        self.needs_input_gradient = True
        self._fused = False

    @property
    def params(self) -> ParameterDict:
        return self.norm.params

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self._fused = training and x.ndim == 4 and backends.current_name() == "numba"
        if not self._fused:
            return self.pool.forward(self.norm.forward(x, training), training)
        self.norm.check_input(x)
        batch, channels, height, width = self.pool.check_input(x)
        image, norm, pool = memory_of(x), self.norm, self.pool
        mean, variance, inverse_std = norm.workspace.array("statistics", (3, channels), x.dtype)
        y = pool.workspace.array("y", (batch, height, width, channels), x.dtype)
        index = pool.workspace.array("index", y.shape, np.uint8)
        kernels.norm_pool_training(
            image, norm.params["gamma"], norm.params["beta"], norm.eps, y, index,
            mean, variance, inverse_std, norm.scratch,
        )  # fmt: skip
        norm.update_running(mean, variance)
        norm.remember(x, image, mean, inverse_std)
        pool.remember(seen(y), index)
        return seen(y)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        if not self._fused:
            return self.norm.backward(self.pool.backward(dy))
        (index,) = self.pool.recall(dy)
        assert self.norm.memory is not None
        image, mean, inverse_std = self.norm.memory
        dx = self.norm.workspace.array("dx", image.shape, image.dtype)
        kernels.norm_pool_backward(
            memory_of(dy), index, image, self.norm.params["gamma"], mean, inverse_std, dx,
            self.norm.grads["gamma"], self.norm.grads["beta"], self.norm.scratch,
        )  # fmt: skip
        return seen(dx)


def _halves(layer: Any) -> bool:
    """Whether a layer is 2 x 2 max pooling without padding."""
    is_pool = type(layer) is MaxPool2D
    return is_pool and layer.arguments() == MaxPool2D(2).arguments()


def plan(layers: Sequence[Layer]) -> list[Step]:
    """What is run for a row of layers."""
    order = list(layers)
    for i in range(len(order) - 1):
        if type(order[i]) is ReLU and type(order[i + 1]) is MaxPool2D:
            order[i], order[i + 1] = order[i + 1], order[i]
    steps: list[Step] = []
    for layer in order:
        if steps and type(steps[-1]) is BatchNorm and _halves(layer):
            assert isinstance(layer, MaxPool2D)
            steps[-1] = NormalizedMaxPool(steps[-1], layer)
        else:
            steps.append(layer)
    return steps


def layers_of(steps: Sequence[Step]) -> Iterator[Layer]:
    """The layers of a plan in the order in which they run."""
    for step in steps:
        if isinstance(step, NormalizedMaxPool):
            yield from (step.norm, step.pool)
        else:
            assert isinstance(step, Layer)
            yield step
