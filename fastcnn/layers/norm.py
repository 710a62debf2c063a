"""Normalisation."""

from typing import Any

import numpy as np

from kernels import norm as kernels
from kernels.conv.gradient_source import NORM_POOLED, GradientSource, NormedGradient
from kernels.workspace import Workspace

from .. import checks
from . import spoken
from .base import Layer
from .memory import Shape, memory_of, seen


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

    Parameters
    ----------
    num_features : int
        Channels of images, or features of vectors.
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
        If an argument or the shape of an input does not fit.
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
        self.momentum = checks.number(
            "BatchNorm", "momentum", momentum, 0, np.nextafter(1, 2), "a number from 0 to 1"
        )
        self.eps = checks.number(
            "BatchNorm", "eps", eps, np.nextafter(0, 1), np.inf, "a finite number above 0"
        )
        self.from_first_batch = checks.flag("BatchNorm", "from_first_batch", from_first_batch)
        self.measuring: float | None = None  # instead of the momentum (`training.precise_bn`)
        self._momenta = np.empty(2, self.dtype)

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
        return _checked_channels(self, self.num_features, input_shape)

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
            x, self.params["gamma"], self.params["beta"], self.eps, y,
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
        kernels.norm_pool_training(
            x, self.params["gamma"], self.params["beta"], self.eps, y, index, mean, variance,
            inverse_std, relu, self.scratch,
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
        return GradientSource(dy, NORM_POOLED, relu, y, index, x, factors)

    def normed_gradient(self, dy: np.ndarray, relu: bool) -> NormedGradient:
        """What makes the gradient by x, from that by the result of `normalise`, then ReLU."""
        (x, mean, inverse_std), dy = self.recall(dy), memory_of(dy)
        factors, width = kernels.batch_gradient_factors(
            dy, x, self.params["gamma"], mean, inverse_std, self.grads["gamma"],
            self.grads["beta"], self.scratch, self.params["beta"] if relu else None,
        )  # fmt: skip
        return NormedGradient(dy, x, factors, width, relu)

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
        dy, zeros = memory_of(dy), np.zeros(self.num_features, self.dtype)
        dx = self.gradient(dy.shape, dy.dtype, dy)
        self._follow_running(dy, zeros, zeros, dx)
        return seen(dx)

    def spread(self, dy: np.ndarray, relu: bool = False) -> np.ndarray:
        """dx, from the gradient by what `normalise` gave without a shortcut."""
        x, mean, inverse_std = self.recall(dy)
        dx = self.gradient(x.shape, x.dtype, dy)
        kernels.batch_norm_backward(
            memory_of(dy), x, self.params["gamma"], mean, inverse_std,
            dx, self.grads["gamma"], self.grads["beta"], self.scratch,
            self.params["beta"] if relu else None,
        )  # fmt: skip
        return seen(dx)


class GroupNorm(Layer):
    """Gives the channels of a group mean 0 and variance 1 within each image, then scale and shift.

        x (N, num_channels) or (N, num_channels, H, W) -> y of the same shape, float32 or float64

        y = gamma * (x - mean) / sqrt(variance + eps) + beta

    Wu and He, "Group Normalization" (2018). Mean and (biased) variance are those of one sample and
    one group of num_channels / num_groups neighbouring channels, over their pixels if it is an
    image; gamma and beta belong to the channels. No sample depends on another, so training and
    prediction compute the same and there is nothing that runs along: small batches do no harm.

    Parameters
    ----------
    num_groups : int
        How many groups, a divisor of num_channels; the paper's choice is 32. 1 is `LayerNorm`;
        num_channels itself normalises every channel of an image alone (Ulyanov, Vedaldi, Lempitsky,
        "Instance Normalization", 2016).
    num_channels : int
        Channels of images, or features of vectors.
    eps : float
        Added to the variance, above 0.

    params: gamma (num_channels,), starts at 1; beta (num_channels,), starts at 0.

    Raises
    ------
    ValueError
        If an argument or the shape of an input does not fit.
    TypeError
        If an input is not a float array of the layer's dtype.

    Examples
    --------
    >>> GroupNorm(2, 4).forward(np.float32([[1, 3, 50, 90]])).round(2)
    array([[-1.,  1., -1.,  1.]], dtype=float32)
    """

    positional = 2

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        kind = type(self).__name__
        self.num_groups = checks.whole(kind, "num_groups", num_groups)
        self.num_channels = checks.whole(kind, "num_channels", num_channels)
        if num_channels % num_groups:
            raise ValueError(
                f"{kind}: num_groups must divide num_channels, got {num_groups} groups of "
                f"{num_channels} channels"
            )
        self.eps = checks.number(
            kind, "eps", eps, np.nextafter(0, 1), np.inf, "a finite number above 0"
        )

    def arguments(self) -> dict[str, Any]:
        return {
            "num_groups": self.num_groups, "num_channels": self.num_channels, "eps": self.eps
        }  # fmt: skip

    def parameter_shapes(self) -> dict[str, Shape]:
        return {"gamma": (self.num_channels,), "beta": (self.num_channels,)}

    def initial_values(self, generator: np.random.Generator) -> dict[str, np.ndarray]:
        return {"gamma": np.ones(self.num_channels)}

    def output_shape(self, input_shape: Shape) -> Shape:
        return _checked_channels(self, self.num_channels, input_shape)

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self.check_input(x)
        if training:
            return self.normalise(x, self.workspace)
        x = memory_of(x)
        y = self.result(x.shape, x.dtype, training)
        self._run(x, y, self.scratch.array("statistics", self._statistics(x), x.dtype))
        return seen(y)

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
        statistics = self.workspace.array("statistics", self._statistics(x), x.dtype)
        self._run(x, y, statistics, shortcut, relu)
        self.remember(seen(y), x, *statistics)
        return seen(y)

    def _statistics(self, x: np.ndarray) -> Shape:
        """Shape of the means and of the inverse standard deviations together."""
        return (2, len(x), self.num_groups)

    def _run(
        self,
        x: np.ndarray,
        y: np.ndarray,
        statistics: np.ndarray,
        shortcut: np.ndarray | None = None,
        relu: bool = False,
    ) -> None:
        kernels.group_norm(
            self._images(x), self.params["gamma"], self.params["beta"], self.eps,
            self._images(y), statistics[0], statistics[1], self.scratch, shortcut, relu,
        )  # fmt: skip

    def _images(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), -1, self.num_channels)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        return self.spread(dy)

    def spread(self, dy: np.ndarray, relu: bool = False) -> np.ndarray:
        """dx, from the gradient by what `normalise` gave without a shortcut."""
        x, mean, inverse_std = self.recall(dy)
        dx = self.gradient(x.shape, x.dtype, dy)
        kernels.group_norm_backward(
            self._images(memory_of(dy)), self._images(x), self.params["gamma"], mean, inverse_std,
            self._images(dx), self.grads["gamma"], self.grads["beta"], self.scratch,
            self.params["beta"] if relu else None,
        )  # fmt: skip
        return seen(dx)


class LayerNorm(GroupNorm):
    """Gives each sample mean 0 and variance 1, then each channel a learned scale and shift.

        x (N, num_features) or (N, num_features, H, W) -> y of the same shape, float32 or float64

        y = gamma * (x - mean) / sqrt(variance + eps) + beta

    Ba, Kiros, Hinton, "Layer Normalization" (2016). Mean and (biased) variance are those of one
    sample: over its features if it is a vector, over its channels, rows and columns if it is an
    image. gamma and beta belong to the features or channels, as BatchNorm's do, so that the layer
    takes images of any size. It is `GroupNorm(1, num_features)`, in PyTorch too. PyTorch's
    LayerNorm([C, H, W]) has the same mean and variance, but a gamma and beta for every pixel;
    PyTorch's LayerNorm(C) and Keras's LayerNormalization() take the mean over the last axis only,
    which for N, H, W, C images is that of each pixel by itself.

    Parameters
    ----------
    num_features : int
        Channels of images, or features of vectors.
    eps : float
        Added to the variance, above 0.

    params: gamma (num_features,), starts at 1; beta (num_features,), starts at 0.

    Raises
    ------
    ValueError
        If an argument or the shape of an input does not fit.
    TypeError
        If an input is not a float array of the layer's dtype.

    Examples
    --------
    >>> LayerNorm(2).forward(np.float32([[1, 3], [50, 90]])).round(2)
    array([[-1.,  1.],
           [-1.,  1.]], dtype=float32)
    """

    positional = 1

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__(1, checks.whole("LayerNorm", "num_features", num_features), eps)

    def arguments(self) -> dict[str, Any]:
        return {"num_features": self.num_channels, "eps": self.eps}


def _checked_channels(layer: Layer, channels: int, input_shape: Shape) -> Shape:
    """The shape, which must be that of vectors or images with so many channels."""
    if len(input_shape) not in (2, 4) or input_shape[1] != channels:
        raise ValueError(
            f"{layer.name}: expected input with {channels} channels as (N, {channels}) or "
            f"{spoken.images(channels)}, got shape {spoken.shape(input_shape)}"
        )
    return input_shape
