"""Small handwritten digits that come with fastcnn: no download, seconds to train on.

1,797 images of 8x8 with values 0 to 16, the test part of the UCI data set "Optical Recognition
of Handwritten Digits" as scikit-learn's load_digits has it; source and licence (CC BY 4.0) are
in DIGITS-LICENSE.md beside this file. They are brought to MNIST's form, so that a network
for MNIST runs on them unchanged: bilinear enlargement to 20x20, the size of MNIST's digits,
centred on a black 28x28, values 0 to 255.
"""

from importlib.resources import as_file, files

import numpy as np

from .dataset import Dataset

_SIDE, _GLYPH, _SMALL = 28, 20, 8
_MAX_VALUE = 16
_EVERY = 6


def load() -> Dataset:
    """Return the digits: 1,501 training and 296 test images of 1x28x28.

    The split has no randomness: within each class, in the original order, every sixth image is
    a test image. So all classes and all writers, who follow one another in the original order,
    are in both parts. Numbers measured on it tell whether a network learns, not how well it
    reads the hands of strangers.
    """
    with as_file(files("fastcnn.datasets") / "digits.npz") as path, np.load(path) as stored:
        small, labels = stored["images"], stored["labels"].astype(np.int64)
    test = _every_nth_of_class(labels, _EVERY)
    images = enlarge(small)
    return Dataset(
        name="digits",
        x_train=images[~test],
        y_train=labels[~test],
        x_test=images[test],
        y_test=labels[test],
        class_names=tuple("0123456789"),
        source="The 1,797 digits that are part of fastcnn, 8x8 images enlarged to 28x28 "
        "(UCI Optical Recognition of Handwritten Digits, CC BY 4.0).",
    )


def _every_nth_of_class(labels: np.ndarray, n: int) -> np.ndarray:
    """Return a mask that is True for the n-th, 2n-th, ... image of each class."""
    mask = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        mask[np.flatnonzero(labels == label)[n - 1 :: n]] = True
    return mask


def enlarge(small: np.ndarray) -> np.ndarray:
    """Enlarge uint8 (images, 8, 8) with values 0..16 to uint8 (images, 1, 28, 28), 0..255.

    In whole numbers only, so that every machine gets the same bytes: the interpolation
    weights are tenths, applied along both axes.
    """
    weights = _tenths(_SMALL, _GLYPH)
    hundredths = weights @ small.astype(np.int64) @ weights.T
    largest = _MAX_VALUE * 100
    border = (_SIDE - _GLYPH) // 2
    images = np.zeros((len(small), 1, _SIDE, _SIDE), np.uint8)
    images[:, 0, border:-border, border:-border] = (hundredths * 255 + largest // 2) // largest
    return images


def _tenths(small: int, large: int) -> np.ndarray:
    """Return the (large, small) bilinear weights in tenths, pixel centres aligned.

    Large pixel i has its centre at (i + 1/2) small / large - 1/2 on the small axis, which for
    8 and 20 is (4 i - 3) / 10. Beyond the outer centres the edge value holds.
    """
    weights = np.zeros((large, small), np.int64)
    for row in range(large):
        place = min(max(4 * row - 3, 0), 10 * (small - 1))
        left, share = divmod(place, 10)
        weights[row, left] += 10 - share
        weights[row, min(left + 1, small - 1)] += share
    return weights
