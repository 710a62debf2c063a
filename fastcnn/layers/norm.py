"""Normalisation."""

from typing import Any

import numpy as np

from kernels import norm as kernels
from kernels import norm_pool
from kernels.gradient_source import NORM_POOLED, GradientSource
from kernels.workspace import Workspace

from . import checks
from .base import Layer, Shape, memory_of, seen


class BatchNorm(Layer):
    """Gives each channel mean 0 and variance 1 over the batch, then a learned scale and shift.

        x (N, num_features) or (N, num_features, H, W) -> y of the same shape, float32 or float64

        y = gamma * (x - mean) / sqrt(variance + eps) + beta

    Ioffe and Szegedy, "Batch Normalization" (2015), algorithm 1. In training, mean and variance
    are those of the batch, per channel over N (and H, W), and the running ones follow them:

        running = momentum * running + (1 - momentum) * batch

    Otherwise, and where the layer is frozen, the running ones are used and stay as they are. Both
    variances are the biased ones (divided by the count); PyTorch puts the unbiased one into its
    running variance, and its momentum is 1 minus ours.

    Args:
        num_features: channels of images, or features of vectors.
        momentum: how much the running statistics keep of what they were, from 0 to 1.
        eps: added to the variance, above 0.

    params: gamma (num_features,), starts at 1; beta (num_features,), starts at 0.
    state: running_mean (num_features,), starts at 0; running_var, starts at 1.

    Raises:
        ValueError: if an argument or the shape of an input does not fit.
        TypeError: if an input is not a float array of the layer's dtype.

    Example:
        >>> BatchNorm(1).forward(np.float32([[1], [3]]), training=True).round(2)
        array([[-1.],
               [ 1.]], dtype=float32)
    """

    positional = 1

    def __init__(self, num_features: int, momentum: float = 0.9, eps: float = 1e-5) -> None:
        super().__init__()
        self.num_features = checks.whole("BatchNorm", "num_features", num_features)
        self.momentum = checks.number(
            "BatchNorm", "momentum", momentum, 0, np.nextafter(1, 2), "a number from 0 to 1"
        )
        self.eps = checks.number(
            "BatchNorm", "eps", eps, np.nextafter(0, 1), np.inf, "a finite number above 0"
        )

    def arguments(self) -> dict[str, Any]:
        return {"num_features": self.num_features, "momentum": self.momentum, "eps": self.eps}

    def parameter_shapes(self) -> dict[str, Shape]:
        return {"gamma": (self.num_features,), "beta": (self.num_features,)}

    def state_shapes(self) -> dict[str, Shape]:
        return {"running_mean": (self.num_features,), "running_var": (self.num_features,)}

    def initial_values(self, generator: np.random.Generator) -> dict[str, np.ndarray]:
        return {"gamma": np.ones(self.num_features), "running_var": np.ones(self.num_features)}

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) not in (2, 4) or input_shape[1] != self.num_features:
            raise ValueError(
                f"{self.name}: expected input with {self.num_features} channels as "
                f"(N, {self.num_features}) or (N, {self.num_features}, H, W), got shape "
                f"{input_shape}"
            )
        return input_shape

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self.check_input(x)
        if training and self.trainable:
            return self.normalise(x, self.workspace)
        x = memory_of(x)
        y = self.result(x.shape, x.dtype, training)
        self._follow_running(x, self.params["beta"], self.state["running_mean"], y)
        if training:
            self.remember(seen(y))
        return seen(y)

    def _follow_running(
        self, x: np.ndarray, beta: np.ndarray, mean: np.ndarray, y: np.ndarray
    ) -> None:
        """y = gamma * (x - mean) / sqrt(running variance + eps) + beta"""
        kernels.batch_norm_inference(
            self._rows(x), self.params["gamma"], beta, mean,
            self.state["running_var"], self.eps, self._rows(y),
        )  # fmt: skip

    def normalise(
        self,
        x: np.ndarray,
        workspace: Workspace,
        shortcut: np.ndarray | None = None,
        relu: bool = False,
    ) -> np.ndarray:
        """y in training, in memory of a workspace; then a shortcut is added, then max(y, 0)."""
        x = memory_of(x)
        y = workspace.array("y", x.shape, x.dtype)
        mean, variance, inverse_std = self.workspace.array(
            "statistics", (3, self.num_features), x.dtype
        )
        kernels.batch_norm_training(
            self._rows(x), self.params["gamma"], self.params["beta"], self.eps, self._rows(y),
            mean, variance, inverse_std, self.scratch, shortcut, relu,
        )  # fmt: skip
        self.update_running(mean, variance)
        self.remember(seen(y), x, mean, inverse_std)
        return seen(y)

    def normalise_and_pool(
        self, x: np.ndarray, relu: bool, y: np.ndarray, index: np.ndarray
    ) -> None:
        """Normalise (N, H, W, C) in training, pool 2 x 2 into y and index, then ReLU."""
        mean, variance, inverse_std = self.workspace.array(
            "statistics", (3, self.num_features), x.dtype
        )
        norm_pool.norm_pool_training(
            x, self.params["gamma"], self.params["beta"], self.eps, y, index, mean, variance,
            inverse_std, relu, self.scratch,
        )  # fmt: skip
        self.update_running(mean, variance)
        self.remember(seen(x), x, mean, inverse_std)

    def pooled_gradient_source(
        self, dy: np.ndarray, y: np.ndarray, index: np.ndarray, relu: bool
    ) -> GradientSource:
        """What makes the gradient by x, from that by the result of `normalise_and_pool`."""
        assert self.memory is not None
        x, mean, inverse_std = self.memory
        wide = norm_pool.norm_pool_factors(
            dy, y, index, x, self.params["gamma"], mean, inverse_std, relu,
            self.grads["gamma"], self.grads["beta"], self.scratch,
        )  # fmt: skip
        return GradientSource(dy, NORM_POOLED, relu, y, index, x, wide)

    def _rows(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(-1, self.num_features)

    def update_running(self, mean: np.ndarray, variance: np.ndarray) -> None:
        """Let the running statistics follow those of a batch."""
        for name, batch in (("running_mean", mean), ("running_var", variance)):
            running = self.state[name]
            running *= self.momentum
            running += (1 - self.momentum) * batch

    def backward(self, dy: np.ndarray) -> np.ndarray:
        if self.recall(dy):
            return self.spread(dy)
        # A frozen layer is a straight line in each channel.
        dy, zeros = memory_of(dy), np.zeros(self.num_features, self.dtype)
        dx = self.gradient(dy.shape, dy.dtype, dy)
        self._follow_running(dy, zeros, zeros, dx)
        return seen(dx)

    def spread(self, dy: np.ndarray, relu: bool = False) -> np.ndarray:
        """dx, from the gradient by what `normalise` gave without a shortcut."""
        x, mean, inverse_std = self.recall(dy)
        dx = self.gradient(x.shape, x.dtype, dy)
        kernels.batch_norm_backward(
            self._rows(memory_of(dy)), self._rows(x), self.params["gamma"], mean, inverse_std,
            self._rows(dx), self.grads["gamma"], self.grads["beta"], self.scratch,
            self.params["beta"] if relu else None,
        )  # fmt: skip
        return seen(dx)
