"""What a network believes an image shows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def class_probabilities(
    image: NDArray[np.uint8],
    probabilities: NDArray[np.floating],
    class_names: Sequence[str],
    label: int | None = None,
    title: str = "",
) -> "Figure":
    """The image, and a bar for each class; that of the true class is hatched.

    Parameters
    ----------
    image : uint8 (C, H, W)
        Values 0 to 255.
    probabilities : float (classes,)
        What `Sequential.predict_proba` gives for the image.
    class_names : sequence of str
        Name of each class.
    label : int, optional
        The true class, where it is known.
    title : str
        Heading.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> image = np.zeros((1, 28, 28), np.uint8)
    >>> figure = class_probabilities(image, np.array([0.2, 0.8]), ["cat", "dog"], label=0)
    >>> print(figure.axes[0].get_xlabel())
    true: cat
    predicted: dog
    """
    figure = style.new_figure(9, max(3.4, 1.2 + 0.28 * len(class_names)), title)
    left, right = figure.subplots(1, 2, width_ratios=(1, 2))
    style.show_image(left, image)
    told = [f"predicted: {class_names[int(probabilities.argmax())]}"]
    if label is not None:
        told.insert(0, f"true: {class_names[label]}")
    left.set_xlabel("\n".join(told))
    numbers = np.arange(len(probabilities))
    bars = right.barh(numbers, 100 * probabilities, **style.BAR)
    if label is not None:
        bars[label].set(**style.MARKED_BAR)
    for number, probability in zip(numbers, probabilities, strict=True):
        right.text(100 * probability + 1, number, f"{probability:.1%}", va="center", fontsize=9)
    names = [f"{name} (true)" if k == label else name for k, name in enumerate(class_names)]
    right.set_yticks(numbers, names)
    right.invert_yaxis()
    right.set_xlim(0, 100)
    right.set_xlabel("probability (%)")
    style.tidy(right)
    right.grid(visible=False, axis="y")
    return figure
