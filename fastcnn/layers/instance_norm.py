"""Instance normalisation, which is group normalisation with a group for each channel."""

from typing import Any

from .. import checks
from . import spoken
from .group_norm import GroupNorm
from .memory import Shape


class InstanceNorm(GroupNorm):
    """Gives each channel of each image mean 0 and variance 1, then a learned scale and shift.

        x (N, num_features, H, W) or (N, num_features, L)
        -> y of the same shape, float32 or float64

        y = gamma * (x - mean) / sqrt(variance + eps) + beta

    Ulyanov, Vedaldi, Lempitsky, "Instance Normalization" (2016). Mean and (biased) variance are
    those of one channel of one image (or series), over its rows and columns. It is
    `GroupNorm(num_features, num_features)`. PyTorch's InstanceNorm2d has gamma and beta only with
    affine=True; until they are trained they change nothing here.

    Parameters
    ----------
    num_features : int
        Channels of the images.
    eps : float
        Added to the variance, above 0.

    params: gamma (num_features,), starts at 1; beta (num_features,), starts at 0.

    Raises
    ------
    ValueError
        If an argument or the shape of an input does not fit; in training also if images are of a
        single pixel.
    TypeError
        If an input is not a float array of the layer's dtype.

    Examples
    --------
    >>> InstanceNorm(1).forward(np.float32([[[[1, 3], [1, 3]]]])).round(2)
    array([[[[-1.,  1.],
             [-1.,  1.]]]], dtype=float32)
    """

    positional = 1

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        num_features = checks.whole("InstanceNorm", "num_features", num_features)
        super().__init__(num_features, num_features, eps)

    def arguments(self) -> dict[str, Any]:
        return {"num_features": self.num_channels, "eps": self.eps}

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) == 2:
            raise ValueError(
                f"{self.name}: expected input as {spoken.images(self.num_channels)}, got shape "
                f"{input_shape}: a single number has no variance; LayerNorm takes vectors"
            )
        return super().output_shape(input_shape)
