"""A sheet of the images that a network gets wrong."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import style
from .predictions import predictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def misclassified(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    probabilities: NDArray[np.floating],
    class_names: Sequence[str],
    title: str = "",
    most: int = 20,
) -> "Figure":
    """The mistakes of which the network was most certain, the most certain first.

    Parameters
    ----------
    images : uint8 (N, C, H, W)
        Values 0 to 255.
    labels : int (N,)
        True class numbers.
    probabilities : float (N, classes)
        What `Sequential.predict_proba` gives.
    class_names : sequence of str
        Name of each class.
    title : str
        Heading; how many of how many images are wrong is added.
    most : int
        Images that are shown.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> images, labels = np.zeros((3, 1, 28, 28), np.uint8), np.array([0, 1, 1])
    >>> probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    >>> misclassified(images, labels, probabilities, ["cat", "dog"]).get_suptitle()
    '1 of 3 images wrong'
    """
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    certain = probabilities[wrong, predicted[wrong]]
    shown = wrong[np.argsort(-certain, kind="stable")][:most]
    counts = f"{len(wrong):,} of {len(labels):,} images wrong"
    if 0 < len(shown) < len(wrong):
        counts += f"; the {len(shown)} of which the network was most certain"
    heading = f"{title}: {counts}" if title else counts
    if not len(shown):
        return style.new_figure(6, 1, heading)
    return predictions(
        images[shown], labels[shown], predicted[shown], class_names, heading,
        probabilities=probabilities[shown, predicted[shown]],
    )  # fmt: skip
