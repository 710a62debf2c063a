"""Parameters of one number per channel or unit as bars: biases, gamma, beta."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def parameter_bars(
    arrays: Mapping[str, NDArray[np.floating]],
    title: str = "",
    ylabel: str = "value",
    across: int | None = None,
    baselines: Mapping[str, float] | None = None,
) -> "Figure":
    """A panel of bars for each array.

    Parameters
    ----------
    arrays : mapping
        Name of an array, the heading of its panel -> float (channels,) of any length.
    title : str
        Heading over all panels.
    ylabel : str
        What the numbers are.
    across : int, optional
        Panels in a row; default: one for up to four panels, else two, else four.
    baselines : mapping, optional
        Name of an array -> where its bars start, such as 1 for gamma; default: 0.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no array.

    Examples
    --------
    >>> figure = parameter_bars({"gamma": np.array([1.1, 0.9])}, baselines={"gamma": 1.0})
    >>> [f"{bar.get_height():+.1f}" for bar in figure.axes[0].patches]
    ['+0.1', '-0.1']
    """
    if not arrays:
        raise ValueError("bars need at least one array")
    columns = across or (1 if len(arrays) <= 4 else 2 if len(arrays) <= 8 else 4)
    rows = -(-len(arrays) // columns)
    figure = style.new_figure(max(8, 3.2 * columns), 1.7 * rows + 0.7, title)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, array) in zip(panels, arrays.items(), strict=False):
        numbers = np.arange(array.size)
        start = (baselines or {}).get(name, 0.0)
        if array.size <= 100:
            axes.bar(numbers, array.ravel() - start, bottom=start, **style.BAR)
        else:  # edges would hide bars so thin
            edges = np.arange(array.size + 1) - 0.5
            axes.stairs(
                array.ravel(), edges, baseline=start, fill=True, color=style.BAR["facecolor"]
            )
        axes.axhline(start, color="black", linewidth=0.8)
        axes.set_title(name, fontsize=10)
        axes.set_xlim(-0.7, array.size - 0.3)
        style.limit_ticks(axes.xaxis, 8, whole=True)
        axes.tick_params(labelsize=8)
        axes.ticklabel_format(axis="y", useOffset=False)  # "+1" above an axis is overlooked
        style.tidy(axes)
    for axes in panels[len(arrays) :]:
        axes.remove()
    figure.supxlabel("channel or unit", fontsize=10)
    figure.supylabel(ylabel, fontsize=10)
    return figure
