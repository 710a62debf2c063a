"""Batches for training: rows of a dataset, normalised and augmented into one reused buffer."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.images import batch as batch_kernels
from kernels.images import pixels as pixel_kernels

from ..random import generator, key
from .augment import Augment
from .mixing import Mixing, draw

_NO_AFFINE = np.empty((0, 6), np.float32)
_NO_FACTORS = np.empty((0, 3), np.float32)
_NO_BOXES = np.empty((0, 4), np.int64)
_ALL = slice(None)


class Batches:
    """Gathers batches of a training set.

    Parameters
    ----------
    x : uint8 (N, C, H, W), or float32 or float64 of any shape (N, ...)
        uint8 images are normalised while they are gathered; floats are taken as they are. Images
        can be augmented, all arrays mixed.
    batch_size : int
        Rows of the largest batch; the buffer has as many.
    normalization : (scale, offset), each float (C,)
        The network is given ``pixel * scale + offset``.
    augment : Augment, optional
        Random changes to the images.
    channels_last : bool
        Whether uint8 images are, and batches shall be, N, H, W, C.
    dtype : float32 or float64
        Of the batches made of uint8 images.
    seed : int
        Key of the augmentation's random numbers.

    Attributes
    ----------
    mixing : Mixing or None
        How the images of the last batch were mixed.

    Raises
    ------
    ValueError
        If the array is of another type, is to be augmented without being images, or the
        saturation of images without colours is to be changed, or a shift or cutout leaves
        nothing of an image.
    """

    def __init__(
        self,
        x: NDArray[Any],
        batch_size: int,
        normalization: tuple[NDArray[np.floating], NDArray[np.floating]],
        augment: Augment | None = None,
        channels_last: bool = False,
        dtype: Any = np.float32,
        seed: int = 0,
    ) -> None:
        self._augment = augment if augment else None
        self._channels_last = channels_last
        self._seed = seed
        self.mixing: Mixing | None = None
        rows, is_pixels = min(batch_size, len(x)), x.dtype == np.uint8 and x.ndim == 4
        self._dtype = np.dtype(dtype) if is_pixels else x.dtype
        if not is_pixels and x.dtype not in (np.float32, np.float64):
            raise ValueError(
                f"training data must be uint8 images (N, C, H, W) or float32 or float64, got "
                f"{x.dtype} of shape {x.shape}"
            )
        if augment and x.ndim != 4 and (augment.moves or augment.changes_pixels or augment.cutmix):
            raise ValueError(f"augment needs images (N, C, H, W), got shape {x.shape}")
        self._gathers = is_pixels or (x.ndim == 4 and self._augment is not None)
        if not self._gathers:
            self._x = x
            self._buffer = np.empty((rows, *x.shape[1:]), x.dtype)
            return
        self._x = np.ascontiguousarray(x.transpose(0, 3, 1, 2) if channels_last else x)
        channels, height, width = self._x.shape[1:]
        if augment:
            _check(augment, self._x)
        self._scale, self._offset = normalization
        if not is_pixels:
            self._scale, self._offset = np.ones(channels, x.dtype), np.zeros(channels, x.dtype)
        self._buffer = np.empty(
            (rows, height, width, channels), np.float32 if is_pixels else x.dtype
        )

    def load(
        self, indices: NDArray[np.int64], epoch: int, step: int, share: slice = _ALL
    ) -> NDArray[Any]:
        """The batch of the rows ``indices``, or a share of it.

        The array is a view of the buffer: the next call overwrites it. Images come as
        N, C, H, W views of N, H, W, C memory (or N, H, W, C with ``channels_last``).
        ``epoch`` and ``step`` key the augmentation.
        """
        augment, count = self._augment, len(indices)
        whole = augment is not None and (augment.mixes or augment.noise > 0)
        here = _ALL if whole else share  # what an image becomes depends on others, or on its place
        indices = indices[here]
        out = self._buffer[: len(indices)]
        if self._gathers:
            self._gather(indices, (epoch, step), (count, here), out)
        else:
            np.take(self._x, indices, axis=0, out=out, mode="clip")
        if augment is not None and augment.mixes:
            numbers = generator(self._seed, "augment mixing", epoch, step)
            self.mixing = draw(augment, len(out), out.shape[1:3], numbers)
            self.mixing.mix_images(out)
        out = out[share] if whole else out
        if not self._gathers:
            return out
        batch = out.astype(self._dtype, copy=False)
        return batch if self._channels_last else batch.transpose(0, 3, 1, 2)

    def _gather(
        self,
        indices: NDArray[np.int64],
        when: tuple[int, int],
        place: tuple[int, slice],
        out: NDArray[Any],
    ) -> None:
        """Images into `out` (N, H, W, C), normalised and changed on the way.

        Numbers are drawn for the whole batch, so that an image's do not depend on the share.

        when : (epoch, step)
        place : (images of the batch, which of them these are)
        """
        count, here = place
        affine, augment = _NO_AFFINE, self._augment
        size = self._x.shape[2], self._x.shape[3]
        if augment is not None and augment.moves:
            numbers = generator(self._seed, "augment", *when)
            affine = augment.matrices(count, size, numbers)[here]
        images = self._x
        if not images.flags.writeable:  # for which kernels would be compiled once more
            images, indices = images[indices], np.arange(len(indices))
        arrays = (images, indices, self._scale, self._offset, affine)
        if augment is None or not augment.changes_pixels:
            batch_kernels.gather(*arrays, out)
            return
        # Every kind has numbers of its own: switching one on leaves the others as they were.
        factors, boxes = _NO_FACTORS, _NO_BOXES
        if augment.recolours:
            numbers = generator(self._seed, "augment colours", *when)
            factors = augment.factors(count, numbers)[here]
        if augment.cutout:
            numbers = generator(self._seed, "augment cutout", *when)
            boxes = augment.boxes(count, size, numbers)[here]
        noise_key = key(self._seed, "augment noise", *when)
        pixel_kernels.gather_changed(*arrays, factors, augment.noise, noise_key, boxes, out)


def _check(augment: Augment, images: NDArray[Any]) -> None:
    """Refuse changes that these images (N, C, H, W) do not allow."""
    channels, height, width = images.shape[1:]
    if augment.saturation and channels != 3:
        raise ValueError(
            f"saturation needs images of 3 channels (red, green, blue), these have {channels}; "
            f"leave it 0"
        )
    for name in ("shift", "cutout"):
        pixels = getattr(augment, name)
        if pixels >= min(height, width):
            raise ValueError(
                f"{name} must be smaller than the images, of {height} x {width} pixels, "
                f"got {pixels}"
            )
    if augment.recolours and images.dtype != np.uint8:
        low, high = images.min(), images.max()
        if low < 0 or high > 1:
            raise ValueError(
                f"brightness, contrast and saturation need pixels: uint8, or floats from 0 (black) "
                f"to 1 (white), but these reach from {low:g} to {high:g}"
            )
