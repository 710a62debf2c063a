"""Normalisation over a batch."""

import contextlib
import math
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np

from kernels import norm as kernels
from kernels.conv.gradient_source import NORM_POOLED, NORMED, GradientSource
from kernels.conv.normed import NormedInput
from kernels.workspace import Workspace

from .. import checks
from . import spoken
from .base import Layer
from .memory import Shape, as_given, as_image, memory_of, seen

_takes_single_numbers = ContextVar("_takes_single_numbers", default=False)


@contextlib.contextmanager
def single_numbers() -> Iterator[None]:
    """Let BatchNorm train on one number per channel inside a with block, in this thread alone."""
    before = _takes_single_numbers.set(True)
    try:
        yield
    finally:
        _takes_single_numbers.reset(before)


class BatchNorm(Layer):
    """Gives each channel mean 0 and variance 1 over the batch, then a learned scale and shift.

        x (N, num_features), (N, num_features, L) or (N, num_features, H, W)
        -> y of the same shape, float32 or float64

        y = gamma * (x - mean) / sqrt(variance + eps) + beta

    Ioffe and Szegedy, "Batch Normalization" (2015), algorithm 1. In training, mean and variance
    are those of the batch, per channel over N (and L, or H and W), and the running ones follow:

        running = momentum * running + (1 - momentum) * batch

    Otherwise, and where the layer is frozen, the running ones are used and stay as they are. Both
    variances are the biased ones (divided by the count); PyTorch puts the unbiased one into its
    running variance, and its momentum is 1 minus ours.

    Parameters
    ----------
    num_features : int
        Channels of images or series, or features of vectors.
    momentum : float
        How much the running statistics keep of what they were, from 0 to 1.
    eps : float
        Added to the variance, above 0.
    from_first_batch : bool
        Whether the running statistics begin as those of the first batch, instead of following it
        from 0 and 1.

    params: gamma (num_features,), starts at 1; beta (num_features,), starts at 0.
    state: running_mean (num_features,), starts at 0; running_var, starts at 1; with
    `from_first_batch` also begun (1,), which is 1 after the first batch.

    Raises
    ------
    ValueError
        If an argument or the shape of an input does not fit; in training also if each channel is a
        single number, whose y is beta whatever it is (`Sequential.train` goes on, with a note).
    TypeError
        If an input is not a float array of the layer's dtype.

    Examples
    --------
    >>> BatchNorm(1).forward(np.float32([[1], [3]]), training=True).round(2)
    array([[-1.],
           [ 1.]], dtype=float32)
    """

    positional = 1
    read_anew = (*Layer.read_anew, "momentum", "measuring")

    def __init__(
        self,
        num_features: int,
        momentum: float = 0.9,
        eps: float = 1e-5,
        from_first_batch: bool = False,
    ) -> None:
        super().__init__()
        self.num_features = checks.whole("BatchNorm", "num_features", num_features)
        self.momentum = momentum
        self.eps = checks.above_0("BatchNorm", "eps", eps)
        self.from_first_batch = checks.flag("BatchNorm", "from_first_batch", from_first_batch)
        self.measuring: float | None = None  # instead of the momentum (`training.precise_bn`)
        self._momenta = np.empty(2, self.dtype)

    @property
    def momentum(self) -> float:
        """How much the running statistics keep; may be changed from pass to pass."""
        return self._momentum

    @momentum.setter
    def momentum(self, value: float) -> None:
        wanted = "a number from 0 to 1"
        self._momentum = checks.number(
            "BatchNorm", "momentum", value, 0, math.nextafter(1, 2), wanted
        )

    def arguments(self) -> dict[str, Any]:
        given = {"num_features": self.num_features, "momentum": self.momentum, "eps": self.eps}
        return given | ({"from_first_batch": True} if self.from_first_batch else {})

    def parameter_shapes(self) -> dict[str, Shape]:
        return {"gamma": (self.num_features,), "beta": (self.num_features,)}

    def state_shapes(self) -> dict[str, Shape]:
        running = {"running_mean": (self.num_features,), "running_var": (self.num_features,)}
        return running | ({"begun": (1,)} if self.from_first_batch else {})

    def initial_values(self, generator: np.random.Generator) -> dict[str, np.ndarray]:
        return {"gamma": np.ones(self.num_features), "running_var": np.ones(self.num_features)}

    def output_shape(self, input_shape: Shape) -> Shape:
        return checked_channels(self, self.num_features, input_shape)

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self.check_input(x)
        if training and self.trainable:
            return self.normalise(x, self.workspace)
        image = memory_of(as_image(x))
        y = self.result(image.shape, x.dtype, training)
        self._follow_running(image, self.params["beta"], self.state["running_mean"], y)
        given = as_given(seen(y), x.ndim)
        if training:
            self.remember(given)
        return given

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
        sums: np.ndarray | None = None,
    ) -> np.ndarray:
        """y in training, in memory of a workspace; then a shortcut is added, then max(y, 0).

        sums : of x, where the layer before formed them (`kernels.norm.units`)
        """
        self._refuse_single_numbers(x)
        image = memory_of(as_image(x))
        y = workspace.array("y", image.shape, x.dtype)
        mean, variance, inverse_std = self._room_for_statistics(x.dtype)
        kernels.batch_norm_training(
            image, self.params["gamma"], self.params["beta"], self.eps, y,
            mean, variance, inverse_std, self.scratch, shortcut, relu, sums,
        )  # fmt: skip
        self.update_running(mean, variance)
        given = as_given(seen(y), x.ndim)
        self.remember(given, image, mean, inverse_std)
        return given

    def measured(self, x: np.ndarray, sums: np.ndarray | None = None) -> NormedInput:
        """The same with ReLU, and without a shortcut, for a layer that normalises what it reads."""
        self._refuse_single_numbers(x)
        x = memory_of(x)
        mean, variance, inverse_std = self._room_for_statistics(x.dtype)
        factors, width = kernels.batch_statistics(
            x, self.params["gamma"], self.params["beta"], self.eps, mean, variance, inverse_std,
            self.scratch, sums, self.workspace,
        )  # fmt: skip
        self.update_running(mean, variance)
        self.remember(seen(x), x, mean, inverse_std)
        return NormedInput(x, factors, width)

    def _refuse_single_numbers(self, x: np.ndarray) -> None:
        """Raise where the mean of a channel is its only number, unless `train` notes that."""
        if x.size == self.num_features and not _takes_single_numbers.get():
            self.forget()
            raise ValueError(
                f"{self.name}: in an input of shape {spoken.shape(x.shape)} each channel is a "
                f"single number, so that y is beta whatever x is: training needs a batch of "
                f"several samples, or images of several pixels"
            )

    def _room_for_statistics(self, dtype: np.dtype) -> np.ndarray:
        """Mean, variance and 1 / standard deviation."""
        return self.workspace.array("statistics", (3, self.num_features), dtype)

    def normalise_and_pool(
        self,
        x: np.ndarray,
        relu: bool,
        y: np.ndarray,
        index: np.ndarray,
        sums: np.ndarray | None,
    ) -> None:
        """Normalise (N, H, W, C) in training, pool 2 x 2 into y and index, then ReLU."""
        mean, variance, inverse_std = self._room_for_statistics(x.dtype)
        kernels.norm_pool_training(
            x, self.params["gamma"], self.params["beta"], self.eps, y, index, mean, variance,
            inverse_std, relu, self.scratch, sums,
        )  # fmt: skip
        self.update_running(mean, variance)
        self.remember(seen(x), x, mean, inverse_std)

    def pooled_gradient_source(
        self, dy: np.ndarray, y: np.ndarray, index: np.ndarray, relu: bool
    ) -> GradientSource:
        """What makes the gradient by x, from that by the result of `normalise_and_pool`."""
        x, mean, inverse_std = self.remembered()
        factors = kernels.norm_pool_factors(
            dy, y, index, x, self.params["gamma"], mean, inverse_std, relu,
            self.grads["gamma"], self.grads["beta"], self.scratch,
        )  # fmt: skip
        return GradientSource(dy, NORM_POOLED, relu, y, index, x, factors, beside_norm=True)

    def normed_gradient(
        self, dy: np.ndarray, relu: bool, sums: np.ndarray | None
    ) -> GradientSource:
        """What makes the gradient by x, from that by the result of `normalise`, then ReLU.

        sums : of dy, where the layer behind formed them (`kernels.norm.units`)
        """
        (x, mean, inverse_std), dy = self.recall(dy), memory_of(dy)
        factors, width = kernels.batch_gradient_factors(
            dy, x, self.params["gamma"], mean, inverse_std, self.grads["gamma"],
            self.grads["beta"], self.scratch, self.params["beta"] if relu else None, sums,
        )  # fmt: skip
        return GradientSource(dy, NORMED, relu, None, None, x, factors, width, beside_norm=True)

    def _rows(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(-1, self.num_features)

    def update_running(self, mean: np.ndarray, variance: np.ndarray) -> None:
        """Let the running statistics follow those of a batch."""
        if self._momenta.dtype != self.dtype:
            self._momenta = np.empty(2, self.dtype)
        self.renew()
        kernels.follow(
            self.state["running_mean"], self.state["running_var"], self._momenta,
            self.state.get("begun"), mean, variance,
        )  # fmt: skip

    def renew(self) -> None:
        kept = self.momentum if self.measuring is None else self.measuring
        self._momenta[:] = kept, 1 - kept

    def backward(self, dy: np.ndarray) -> np.ndarray:
        if self.recall(dy):
            return self.spread(dy)
        # A frozen layer is a straight line in each channel.
        image, zeros = memory_of(as_image(dy)), np.zeros(self.num_features, self.dtype)
        dx = self.gradient(image.shape, dy.dtype, dy)
        self._follow_running(image, zeros, zeros, dx)
        return as_given(seen(dx), dy.ndim)

    def spread(
        self, dy: np.ndarray, relu: bool = False, sums: np.ndarray | None = None
    ) -> np.ndarray:
        """dx, from the gradient by what `normalise` gave without a shortcut, or `measured`.

        sums : as in `normed_gradient`
        """
        x, mean, inverse_std = self.recall(dy)
        dx = self.gradient(x.shape, x.dtype, dy)
        kernels.batch_norm_backward(
            memory_of(as_image(dy)), x, self.params["gamma"], mean, inverse_std,
            dx, self.grads["gamma"], self.grads["beta"], self.scratch,
            self.params["beta"] if relu else None, sums,
        )  # fmt: skip
        return as_given(seen(dx), dy.ndim)


def checked_channels(layer: Layer, channels: int, input_shape: Shape) -> Shape:
    """The shape, which must be that of vectors, series or images with so many channels."""
    if len(input_shape) not in (2, 3, 4) or input_shape[1] != channels:
        raise ValueError(
            f"{layer.name}: expected input with {channels} channels as (N, {channels}), "
            f"(N, {channels}, L) or {spoken.images(channels)}, got shape "
            f"{spoken.shape(input_shape)}"
        )
    return input_shape
