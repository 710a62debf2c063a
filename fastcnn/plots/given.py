"""A sheet of images as a network is given them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def given(
    images: NDArray[np.uint8], titles: Sequence[str], title: str = "", columns: int = 5
) -> "Figure":
    """Images in rows, each under its title.

    Parameters
    ----------
    images : uint8 (N, C, H, W)
        One channel (grey) or three (red, green, blue), values 0 to 255.
    titles : sequence of str
        One for each.
    title : str
        Heading over the sheet.
    columns : int
        Images per row.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> figure = given(np.zeros((2, 1, 28, 28), np.uint8), ["a cat", "a dog"])
    >>> [axes.get_title() for axes in figure.axes]
    ['a cat', 'a dog']
    """
    columns = min(columns, max(1, len(images)))
    rows = max(1, -(-len(images) // columns))
    figure = style.new_figure(1.9 * columns + 0.5, 2.3 * rows + 0.5, title)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(images) :]:
        axes.set_axis_off()
    for axes, image, words in zip(panels, images, titles, strict=False):
        style.show_image(axes, image)
        lines = [line if len(line) <= 24 else f"{line[:23]}…" for line in words.split("\n")]
        axes.set_title("\n".join(lines), fontsize=8)
    return figure
