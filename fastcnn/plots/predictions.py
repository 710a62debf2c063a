"""A sheet of images with their true and predicted classes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

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

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    rows = max(1, -(-len(images) // columns))
    figure = Figure(figsize=(1.8 * columns, 2.3 * rows + 0.4), layout="constrained")
    panels = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axes in panels:
        axes.set_axis_off()
    for axes, image, label, guess in zip(panels, images, labels, predicted, strict=False):
        right = label == guess
        colour, symbol = _RIGHT if right else _WRONG
        if image.shape[0] == 1:
            axes.imshow(image[0], cmap="gray", vmin=0, vmax=255)
        else:
            axes.imshow(image.transpose(1, 2, 0))
        axes.set_title(
            f"true: {class_names[label]}\npredicted: {class_names[guess]} {symbol}",
            color=colour,
            fontsize=9,
            fontweight="normal" if right else "bold",
        )
        axes.set_axis_on()
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(not right)
            spine.set_color(colour)
            spine.set_linewidth(2.5)
    if title:
        figure.suptitle(title)
    return figure
