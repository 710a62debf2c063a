"""Images mixed in pairs, with targets mixed alike: mixup and CutMix.

Mixup adds two images: Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: Beyond Empirical Risk
Minimization" (2018). CutMix puts a box of one into the other: Yun et al., "CutMix: Regularization
Strategy to Train Strong Classifiers with Localizable Features" (2019). Both draw the first one's
share from Beta(alpha, alpha), here anew for each image; CutMix's share is then what the box, whose
centre may be any pixel, has left of the image.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..conversion import fields_of
from .augment import Augment


class Mixing(NamedTuple):
    """How a batch is mixed.

    Attributes
    ----------
    partner : int64 (N,)
        The row of the batch that each is mixed with.
    share : float64 (N,)
        How much of an image is its own.
    boxes : int64 (N, 4), optional
        Rows top:bottom and columns left:right that are the partner's; None: all are added.
    """

    partner: NDArray[np.int64]
    share: NDArray[np.float64]
    boxes: NDArray[np.int64] | None

    def mix_images(self, batch: NDArray[Any]) -> None:
        """Mix samples in place, with boxes images (N, H, W, C)."""
        others = batch[self.partner]
        if self.boxes is None:
            share = self.share.astype(batch.dtype).reshape(-1, *[1] * (batch.ndim - 1))
            batch *= share
            others *= 1 - share
            batch += others
            return
        for n, (top, bottom, left, right) in enumerate(self.boxes):
            batch[n, top:bottom, left:right] = others[n, top:bottom, left:right]

    def of(self, values: NDArray[Any]) -> NDArray[Any]:
        """Mixed targets (N, K) or weights (N,)."""
        share = self.share.astype(values.dtype)
        share = share[:, None] if values.ndim == 2 else share
        return share * values + (1 - share) * values[self.partner]


def draw(
    augment: Augment, count: int, size: tuple[int, int], numbers: np.random.Generator
) -> Mixing:
    """How to mix a batch; where both kinds are wanted, it is one or the other at equal chance.

    Parameters
    ----------
    augment : Augment
        With `mixup` or `cutmix`.
    count : int
        Images in the batch.
    size : (int, int)
        Their height and width.
    numbers : numpy.random.Generator
        Keyed by (seed, "augment mixing", epoch, step) in training.
    """
    cuts = bool(augment.cutmix) and not (augment.mixup and numbers.random() < 0.5)
    alpha = augment.cutmix if cuts else augment.mixup
    partner = numbers.permutation(count)
    share = numbers.beta(alpha, alpha, count)
    if not cuts:
        return Mixing(partner, share, None)
    whole = np.array(size)
    half = np.sqrt(1 - share)[:, None] * whole / 2
    centre = numbers.random((count, 2)) * whole
    first = np.clip(np.rint(centre - half), 0, whole).astype(np.int64)
    last = np.clip(np.rint(centre + half), 0, whole).astype(np.int64)
    boxes = np.stack([first[:, 0], last[:, 0], first[:, 1], last[:, 1]], axis=1)
    return Mixing(partner, 1 - (last - first).prod(axis=1) / whole.prod(), boxes)


def rows_of(targets: NDArray[Any], outputs: int, dtype: Any) -> NDArray[Any]:
    """Targets that can be mixed: class numbers as one-hot rows, all else as it is."""
    if targets.ndim == 2:
        return targets.astype(dtype, copy=False)
    rows = np.zeros((len(targets), outputs), dtype)
    rows[np.arange(len(targets)), targets] = 1
    return rows


def mixed(
    given: tuple[NDArray[Any] | None, ...],
    indices: NDArray[np.int64],
    mixing: Mixing | None,
    outputs: Any,
) -> list[Any]:
    """The rows of a batch of targets, which come first, and of weights; as its images are mixed.

    Parameters
    ----------
    given : tuple
        Targets and weights of all samples; None for what there is not.
    outputs : array (N, K), or a tuple of them
        What the network gave for the batch.
    """
    targets, *weights = (None if each is None else each[indices] for each in given)
    if mixing is None:
        return [targets, *weights]
    if isinstance(outputs, tuple):
        each = zip(fields_of(targets), outputs, strict=True)
        targets = tuple(mixing.of(rows_of(part, y.shape[1], y.dtype)) for part, y in each)
    elif targets is not None:
        targets = mixing.of(rows_of(targets, outputs.shape[1], outputs.dtype))
    return [targets, *(None if each is None else mixing.of(each) for each in weights)]
