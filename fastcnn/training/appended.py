"""Changed copies of the training images, made once and appended: `Augment.append`."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .augment import Augment
from .batches import Batches

_AT_ONCE = 256  # images


def appended(
    x: NDArray[Any],
    rows: NDArray[np.int64],
    augment: Augment,
    channels_last: bool,
    seed: int,
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The training images, and behind them ``augment.append`` changed copies of all.

    Parameters
    ----------
    x : uint8 (N, C, H, W), or (N, H, W, C) with `channels_last`
        Images, of which `rows` are trained on.
    rows : int64 (M,)
        Row numbers; the others (held out for validation) have no copies either.
    augment : Augment
        How a copy is changed.
    channels_last : bool
        The order of x.
    seed : int
        Key of the changes.

    Returns
    -------
    images : uint8 (M * (1 + augment.append), ...)
    source : int64 (M * (1 + augment.append),)
        The row of x that each was made from: what belongs to that row belongs to it too.
    """
    if x.dtype != np.uint8 or x.ndim != 4:
        raise ValueError(
            f"append needs uint8 images (N, C, H, W), got {x.dtype} of shape {x.shape}"
        )
    channels = x.shape[3 if channels_last else 1]
    as_they_are = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    changes = dataclasses.replace(augment, append=0, mixup=0.0, cutmix=0.0)
    batches = Batches(x, _AT_ONCE, as_they_are, changes, channels_last, seed=seed)
    images = np.empty((1 + augment.append, len(rows), *x.shape[1:]), np.uint8)
    images[0] = x[rows]
    for copy in range(1, len(images)):
        for step, start in enumerate(range(0, len(rows), _AT_ONCE)):
            chosen = slice(start, start + _AT_ONCE)
            changed = batches.load(rows[chosen], copy, step)
            images[copy, chosen] = np.clip(np.rint(changed), 0, 255)
    return images.reshape(-1, *x.shape[1:]), np.tile(rows, len(images))
