"""Random placements of training images, made anew for every batch.

An `Augment` says how far an image may be moved, turned, mirrored and cut; `Augment.matrices`
turns that into one affine matrix per image of a batch. The kernel that gathers the batch
(`kernels.batch.gather`) applies the matrices while it converts the pixels, so augmentation
needs no pass of its own over the images.

Example:
    >>> from fastcnn.data.augment import Augment
    >>> from fastcnn.random import generator
    >>> augment = Augment(shift=2)
    >>> augment.matrices(2, (28, 28), generator(42, "augment", 0, 0)).shape
    (2, 6)
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True)
class Augment:
    """Random changes to the training images (pixels that come from outside the image are 0)."""

    shift: int = 0
    """Move by up to N whole pixels along each axis (what padding by N and cropping gives)."""
    rotate: float = 0.0
    """Turn about the centre by up to this many degrees either way."""
    flip: bool = False
    """Mirror left and right, one image in two. Not for digits or letters."""
    crop: float = 0.0
    """Cut out a random window and stretch it: 0.2 keeps at least 80 % of each side."""

    def __post_init__(self) -> None:
        """Refuse amounts that mean nothing.

        Raises
        ------
        ValueError
            If an amount is negative, a shift is not whole, or a crop leaves nothing.
        """
        if isinstance(self.shift, bool) or self.shift != int(self.shift) or self.shift < 0:
            raise ValueError(f"shift must be a whole number of pixels >= 0, got {self.shift!r}")
        if not 0 <= self.rotate <= 180:
            raise ValueError(f"rotate must be between 0 and 180 degrees, got {self.rotate!r}")
        if not 0 <= self.crop < 1:
            raise ValueError(f"crop must be at least 0 and below 1, got {self.crop!r}")

    def __bool__(self) -> bool:
        """Whether anything is changed at all."""
        return bool(self.shift or self.rotate or self.flip or self.crop)

    def matrices(
        self, count: int, image_size: tuple[int, int], generator: np.random.Generator
    ) -> NDArray[np.float32]:
        """Affine matrices for a batch, float32 of shape (count, 6).

        Row ``[a, b, tx, c, d, ty]`` maps a place (row, column) of the new image to the place
        in the original that it is taken from::

            source_row    = a * row + b * column + tx
            source_column = c * row + d * column + ty

        Built as a turn by theta and a scale s <= 1 about the centre, then a mirror, then a
        displacement. Without turn and crop the matrix holds whole numbers only, and the
        kernel copies pixels exactly.

        Parameters
        ----------
        count : int
            Images in the batch.
        image_size : (int, int)
            Height and width in pixels.
        generator : numpy.random.Generator
            Where the random numbers come from; keyed by (seed, "augment", epoch, step) in
            training, so that a batch is augmented alike however the run got there.
        """
        height, width = image_size
        # Every kind draws its numbers whether it is used or not: switching one on leaves the
        # others as they were.
        numbers = generator.random((count, 7))
        theta = np.deg2rad(self.rotate * (2 * numbers[:, 0] - 1))
        scale = 1 - self.crop * numbers[:, 1]
        mirror = np.where((numbers[:, 2] < 0.5) & self.flip, -1.0, 1.0)
        span = 2 * int(self.shift) + 1
        move_row = np.floor(numbers[:, 3] * span) - self.shift
        move_column = np.floor(numbers[:, 4] * span) - self.shift
        # The window's place inside the original: anywhere from one border to the other.
        window_row = (2 * numbers[:, 5] - 1) * (1 - scale) * (height - 1) / 2
        window_column = (2 * numbers[:, 6] - 1) * (1 - scale) * (width - 1) / 2

        a = scale * np.cos(theta)
        b = -scale * np.sin(theta) * mirror
        c = scale * np.sin(theta)
        d = scale * np.cos(theta) * mirror
        centre_row, centre_column = (height - 1) / 2, (width - 1) / 2
        tx = centre_row - a * centre_row - b * centre_column + move_row + window_row
        ty = centre_column - c * centre_row - d * centre_column + move_column + window_column
        return np.stack([a, b, tx, c, d, ty], axis=1).astype(np.float32)
