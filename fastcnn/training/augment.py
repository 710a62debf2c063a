"""Random changes to training images, made anew for every batch.

An `Augment` says how far an image may be moved, turned, mirrored and cut, and how much its pixels
may change. `Augment.matrices` turns the former into one affine matrix per image of a batch,
`Augment.factors` and `Augment.boxes` the latter into factors of its colours and the square cut out
of it. The kernels that gather the batch (`kernels.batch.gather`, `kernels.pixels.gather_changed`)
apply them while they convert the pixels, so augmentation needs no pass of its own over the images.

Examples
--------
>>> from fastcnn.training.augment import Augment
>>> from fastcnn.random import generator
>>> augment = Augment(shift=2)
>>> augment.matrices(2, (28, 28), generator(42, "augment", 0, 0)).shape
(2, 6)
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ..checks import is_number
from ..foreign import Answering


@dataclasses.dataclass(frozen=True)
class Augment(Answering):
    """Random changes to the training images (pixels that come from outside the image are 0).

    An image is moved first, then its colours are changed (brightness, contrast, saturation, in
    this order, kept within 0 and 1), then noise is added, then a square is cut out, then it is
    mixed with another one of its batch. Colours and noise are measured in pixels from 0 (black) to
    1 (white), whatever the normalisation; float images are taken so too, and must lie within 0 and
    1 for their colours to be changed. There is no change of hue.

    Examples
    --------
    >>> augment = Augment(shift=2, flip=True)
    >>> augment.moves, augment.changes_pixels
    (True, False)
    """

    shift: int = 0
    """Move by up to N whole pixels along each axis (what padding by N and cropping gives)."""
    rotate: float = 0.0
    """Turn about the centre by up to this many degrees either way."""
    flip: bool = False
    """Mirror left and right, one image in two. Not for digits or letters."""
    crop: float = 0.0
    """Cut out a random window and stretch it: 0.2 keeps at least 80 % of each side."""
    brightness: float = 0.0
    """Multiply all pixels by a factor between 1 - X and 1 + X, at most 1."""
    contrast: float = 0.0
    """Multiply distances from the image's mean grey by a factor between 1 - X and 1 + X."""
    saturation: float = 0.0
    """Multiply distances from the pixel's own grey by a factor between 1 - X and 1 + X."""
    noise: float = 0.0
    """Add normally distributed noise of this standard deviation (white is 1) to every number."""
    cutout: int = 0
    """Black out a square of N x N pixels about a random place; its parts outside are lost."""
    mixup: float = 0.0
    """Mix pairs of images and their targets, shares drawn from Beta(X, X); 0.2 is usual."""
    cutmix: float = 0.0
    """Put a box of one image into another, its area drawn so and targets mixed; 1 is usual."""
    append: int = 0
    """Change N copies of every image once and append them, in place of changing every batch."""

    def __post_init__(self) -> None:
        """Refuse amounts that mean nothing.

        Raises
        ------
        ValueError
            If an amount is negative, a shift, cutout or number of copies not whole, a crop leaves
            nothing, a factor could be negative, or copies would not be changed.
        """
        for name, amount in vars(self).items():
            if name != "flip" and not is_number(amount):
                raise ValueError(f"{name} must be a number, got {amount!r}")
        for name, of_what in (("shift", "pixels"), ("cutout", "pixels"), ("append", "copies")):
            count = getattr(self, name)
            if not 0 <= count < np.inf or count != int(count):
                raise ValueError(f"{name} must be a whole number of {of_what} >= 0, got {count!r}")
        if not 0 <= self.rotate <= 180:
            raise ValueError(f"rotate must be between 0 and 180 degrees, got {self.rotate!r}")
        if not 0 <= self.crop < 1:
            raise ValueError(f"crop must be at least 0 and below 1, got {self.crop!r}")
        for name in ("brightness", "contrast", "saturation", "noise"):
            amount = getattr(self, name)
            if not 0 <= amount <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {amount!r}")
        for name in ("mixup", "cutmix"):
            alpha = getattr(self, name)
            if not 0 <= alpha < np.inf:
                raise ValueError(f"{name} must be a finite number of at least 0, got {alpha!r}")
        if self.append and not (self.moves or self.changes_pixels):
            raise ValueError("append needs a change to make, such as shift=1 or rotate=10")

    def __bool__(self) -> bool:
        """Whether anything is changed at all."""
        return self.moves or self.changes_pixels or self.mixes

    @property
    def mixes(self) -> bool:
        """Whether images are mixed in pairs, and their targets with them."""
        return bool(self.mixup or self.cutmix)

    @property
    def moves(self) -> bool:
        """Whether pixels go to other places."""
        return bool(self.shift or self.rotate or self.flip or self.crop)

    @property
    def recolours(self) -> bool:
        """Whether factors of colours are drawn."""
        return bool(self.brightness or self.contrast or self.saturation)

    @property
    def changes_pixels(self) -> bool:
        """Whether pixels become others."""
        return self.recolours or bool(self.noise or self.cutout)

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

    def factors(self, count: int, generator: np.random.Generator) -> NDArray[np.float32]:
        """Factors of brightness, contrast and saturation for a batch, float32 (count, 3).

        Parameters
        ----------
        count : int
            Images in the batch.
        generator : numpy.random.Generator
            Keyed by (seed, "augment colours", epoch, step) in training.
        """
        amounts = np.array([self.brightness, self.contrast, self.saturation])
        numbers = generator.random((count, 3))
        return (1 + amounts * (2 * numbers - 1)).astype(np.float32)

    def boxes(
        self, count: int, image_size: tuple[int, int], generator: np.random.Generator
    ) -> NDArray[np.int64]:
        """Squares that are cut out of a batch's images, int64 (count, 4).

        Row ``[top, bottom, left, right]`` means rows ``top:bottom`` and columns ``left:right``.
        The centre is equally likely to be any pixel, so that at the border the square may be
        outside in part: DeVries and Taylor, "Improved Regularization of Convolutional Neural
        Networks with Cutout" (2017). They cut the normalised image, which fills the square with
        the dataset's mean; here it is filled with black, as is what comes from outside an image.

        Parameters
        ----------
        count : int
            Images in the batch.
        image_size : (int, int)
            Height and width in pixels.
        generator : numpy.random.Generator
            Keyed by (seed, "augment cutout", epoch, step) in training.
        """
        size = np.array(image_size)
        centre = np.floor(generator.random((count, 2)) * size).astype(np.int64)
        start = centre - int(self.cutout) // 2
        first, last = np.maximum(start, 0), np.minimum(start + int(self.cutout), size)
        return np.stack([first[:, 0], last[:, 0], first[:, 1], last[:, 1]], axis=1)
