"""Losses for numbers: how far the outputs are from the targets."""

import numpy as np

from ..checks import above_0
from .base import Loss, same_shape


class _Distance(Loss):
    """A loss of d = output - target: a sample's is the mean over its outputs."""

    def _each(self, outputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(over="ignore"):  # training says that it diverged
            distance = outputs - same_shape(self._name, targets, outputs)
            values, slopes = self._of(distance)
        slopes /= outputs.shape[1]
        return values.mean(axis=1), slopes

    def _of(self, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Value and slope for each distance, new arrays."""
        raise NotImplementedError


class MSELoss(_Distance):
    """Mean squared error: the mean of (output - target)^2 over samples and outputs.

        outputs (N, K), float32 or float64; targets (N, K), or (N,) for K = 1

    `Loss` says what reduction and weights do.

    Raises
    ------
    ValueError, TypeError
        If the reduction is another word, or targets do not fit the outputs.

    Examples
    --------
    >>> MSELoss().forward(np.array([[1.0, 2.0]]), np.array([[0.0, 4.0]]))
    2.5
    """

    def _of(self, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return distance * distance, 2 * distance


class MAELoss(_Distance):
    """Mean absolute error: the mean of `|output - target|` over samples and outputs.

        outputs (N, K), float32 or float64; targets (N, K), or (N,) for K = 1

    Less moved by a few targets far off than `MSELoss`. Where output and target are equal, the slope
    is 0.

    Raises
    ------
    ValueError, TypeError
        If the reduction is another word, or targets do not fit the outputs.

    Examples
    --------
    >>> MAELoss().forward(np.array([[1.0, 2.0]]), np.array([[0.0, 4.0]]))
    1.5
    """

    def _of(self, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.abs(distance), np.sign(distance)


class HuberLoss(_Distance):
    """Squared near the target, absolute far from it.

        outputs (N, K), float32 or float64; targets (N, K), or (N,) for K = 1

        d^2 / 2 for |d| <= delta, else delta * (|d| - delta / 2);  d = output - target

    Huber, "Robust Estimation of a Location Parameter" (1964); PyTorch's HuberLoss.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        As `Loss` says.
    delta : float
        Where one becomes the other, above 0, in units of the targets.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, or targets do not fit the outputs.

    Examples
    --------
    >>> HuberLoss(delta=1.0).forward(np.array([[1.0, 4.0]]), np.array([[0.5, 0.0]]))
    1.8125
    """

    _settings = ("reduction", "delta")

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = above_0(self._name, "delta", delta)

    def _of(self, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        slopes = np.clip(distance, -self.delta, self.delta)
        # With the clipped distance c: c^2 / 2 + |c| * (|d| - |c|), which is both cases.
        return slopes * (distance - slopes / 2), slopes
