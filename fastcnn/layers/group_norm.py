"""Normalisation within each image."""

from typing import Any

import numpy as np

from kernels import norm as kernels
from kernels.workspace import Workspace

from .. import checks
from . import spoken
from .base import Layer
from .memory import Shape, as_given, as_image, memory_of, seen
from .norm import checked_channels


class GroupNorm(Layer):
    """Gives the channels of a group mean 0 and variance 1 within each image, then scale and shift.

        x (N, num_channels), (N, num_channels, L) or (N, num_channels, H, W)
        -> y of the same shape, float32 or float64

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
        If an argument or the shape of an input does not fit; in training also if each group is a
        single number.
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
        self.eps = checks.above_0(kind, "eps", eps)

    def arguments(self) -> dict[str, Any]:
        return {
            "num_groups": self.num_groups, "num_channels": self.num_channels, "eps": self.eps
        }  # fmt: skip

    def parameter_shapes(self) -> dict[str, Shape]:
        return {"gamma": (self.num_channels,), "beta": (self.num_channels,)}

    def initial_values(self, generator: np.random.Generator) -> dict[str, np.ndarray]:
        return {"gamma": np.ones(self.num_channels)}

    def output_shape(self, input_shape: Shape) -> Shape:
        return checked_channels(self, self.num_channels, input_shape)

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self.check_input(x)
        if training:
            return self.normalise(x, self.workspace)
        image = memory_of(as_image(x))
        y = self.result(image.shape, x.dtype, training)
        self._run(image, y, self.scratch.array("statistics", self._statistics(x), x.dtype))
        return as_given(seen(y), x.ndim)

    def normalise(
        self,
        x: np.ndarray,
        workspace: Workspace,
        shortcut: np.ndarray | None = None,
        relu: bool = False,
    ) -> np.ndarray:
        """y in training, in memory of a workspace; then a shortcut is added, then max(y, 0)."""
        self._refuse_single_numbers(x)
        image = memory_of(as_image(x))
        y = workspace.array("y", image.shape, x.dtype)
        statistics = self.workspace.array("statistics", self._statistics(x), x.dtype)
        self._run(image, y, statistics, shortcut, relu)
        given = as_given(seen(y), x.ndim)
        self.remember(given, image, *statistics)
        return given

    def _refuse_single_numbers(self, x: np.ndarray) -> None:
        """Raise where the mean of a group is its only number, which leaves beta and no gradient."""
        if x.size == len(x) * self.num_groups:
            self.forget()
            raise ValueError(
                f"{self.name}: in an input of shape {spoken.shape(x.shape)} each group is a single "
                f"number, so that y is beta whatever x is, and no layer before it could learn: "
                f"training needs groups of several channels, or images of several pixels"
            )

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
        image = memory_of(as_image(dy))
        kernels.group_norm_backward(
            self._images(image), self._images(x), self.params["gamma"], mean, inverse_std,
            self._images(dx), self.grads["gamma"], self.grads["beta"], self.scratch,
            self.params["beta"] if relu else None,
        )  # fmt: skip
        return as_given(seen(dx), dy.ndim)


class LayerNorm(GroupNorm):
    """Gives each sample mean 0 and variance 1, then each channel a learned scale and shift.

        x (N, num_features), (N, num_features, L) or (N, num_features, H, W)
        -> y of the same shape, float32 or float64

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
        If an argument or the shape of an input does not fit; in training also if a sample is a
        single number.
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
