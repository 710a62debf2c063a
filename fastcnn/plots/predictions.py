"""A sheet of images with their true and predicted classes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RIGHT = ("#1a7f37", "\N{CHECK MARK}")
_WRONG = ("#c62828", "\N{BALLOT X}")


def predictions(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    predicted: NDArray[np.int64],
    class_names: Sequence[str],
    title: str = "",
    columns: int = 5,
    probabilities: NDArray[np.floating] | None = None,
) -> "Figure":
    """Images in rows, each under its true and its predicted class.

    A right prediction is green with a check mark, a wrong one red with a cross and a frame, so
    that the picture can be read without colour.

    Parameters
    ----------
    images : uint8 (N, C, H, W)
        One channel (grey) or three (red, green, blue), values 0 to 255.
    labels, predicted : int (N,)
        True and predicted class numbers.
    class_names : sequence of str
        Name of each class.
    title : str
        Heading over the sheet.
    columns : int
        Images per row.
    probabilities : float (N,), optional
        How certain the network was of each prediction, 0 to 1.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> images = np.zeros((2, 1, 28, 28), np.uint8)
    >>> figure = predictions(images, np.array([0, 1]), np.array([0, 0]), ["cat", "dog"])
    >>> print(figure.axes[1].get_title())
    true: dog
    predicted: cat ✗
    """
    rows = max(1, -(-len(images) // columns))
    figure = style.new_figure(1.9 * columns, 2.4 * rows + 0.5, title)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(images) :]:
        axes.set_axis_off()
    for index, (axes, image) in enumerate(zip(panels, images, strict=False)):
        true, guess = labels[index], predicted[index]
        right = true == guess
        colour, symbol = _RIGHT if right else _WRONG
        lines = [f"true: {class_names[true]}", f"predicted: {class_names[guess]} {symbol}"]
        if probabilities is not None:
            lines.append(f"{probabilities[index]:.1%} sure")
        style.show_image(axes, image)
        axes.set_title("\n".join(lines), color=colour, fontsize=9)
        for spine in axes.spines.values():
            spine.set_visible(not right)
            spine.set_color(colour)
            spine.set_linewidth(2.5)
    return figure
