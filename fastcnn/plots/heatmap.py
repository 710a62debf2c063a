"""The weights of a dense layer as a heat map."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_NAMED = 30  # outputs whose names have room beside the map


def weight_heatmap(
    weight: NDArray[np.floating],
    title: str = "",
    output_names: Sequence[str] | None = None,
) -> "Figure":
    """Inputs from left to right, outputs from top to bottom; dark is negative, light positive.

    Parameters
    ----------
    weight : float (in, out)
        Weights of a dense layer.
    title : str
        Heading.
    output_names : sequence of str, optional
        Names of the outputs, such as those of the classes; default: their numbers.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> figure = weight_heatmap(np.ones((128, 2)), output_names=["cat", "dog"])
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['cat', 'dog']
    """
    inputs, outputs = weight.shape
    figure = style.new_figure(10, min(8.0, 2.6 + 0.25 * outputs), title)
    axes = figure.subplots()
    largest = float(np.abs(weight).max()) or 1.0
    image = axes.imshow(
        weight.T, aspect="auto", cmap=style.COLOURS, vmin=-largest, vmax=largest,
        interpolation="nearest" if inputs <= 1000 and outputs <= 400 else "antialiased",
    )  # fmt: skip
    if output_names is not None and outputs <= _MOST_NAMED:
        axes.set_yticks(range(outputs), output_names)
    else:
        style.limit_ticks(axes.yaxis, 12, whole=True)
    axes.set_xlabel("input number")
    axes.set_ylabel("class" if output_names is not None else "unit")
    figure.colorbar(image, ax=axes, label="weight", pad=0.02)
    return figure
