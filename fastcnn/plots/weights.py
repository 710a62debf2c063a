"""How the weights of each layer are distributed."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BINS = 50


def weight_histograms(weights: Mapping[str, NDArray[np.floating]], title: str = "") -> "Figure":
    """A histogram for each layer, with mean and standard deviation above it.

    Parameters
    ----------
    weights : mapping
        Name of a layer -> its weights, of any shape.
    title : str
        Heading.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no layer.

    Examples
    --------
    >>> figure = weight_histograms({"conv1": np.array([-1.0, 0.0, 1.0, 0.0])})
    >>> print(figure.axes[0].get_title())
    conv1
    mean 0, deviation 0.71
    """

    def draw(axes: "Axes", name: str, weight: NDArray[np.floating]) -> None:
        axes.hist(weight.ravel(), min(_BINS, max(5, weight.size // 4)), **style.BAR)
        mean, deviation = weight.mean(), weight.std()
        axes.set_title(f"{name}\nmean {mean:.2g}, deviation {deviation:.2g}", fontsize=9)
        style.limit_ticks(axes.xaxis, 4)
        style.count(axes.yaxis, 5)

    return _panels(weights, title, "weight", "number of weights", draw)


def neuron_norms(norms: Mapping[str, NDArray[np.floating]], title: str = "") -> "Figure":
    """The Euclidean norms of each layer's neurons, from the largest to the smallest.

    Parameters
    ----------
    norms : mapping
        Name of a layer -> float (neurons,): for each filter or unit the norm of its weights.
    title : str
        Heading.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no layer.

    Examples
    --------
    >>> figure = neuron_norms({"conv1": np.array([1.0, 0.5, 0.2])})
    >>> figure.axes[0].get_title()
    'conv1: 3'
    """

    def draw(axes: "Axes", name: str, values: NDArray[np.floating]) -> None:
        axes.stairs(
            np.sort(values)[::-1],
            np.arange(values.size + 1),
            fill=True,
            color=style.BAR["facecolor"],
        )
        axes.set_xlim(0, values.size)
        axes.set_ylim(0, 1.08 * values.max() or 1)
        axes.set_title(f"{name}: {values.size:,}", fontsize=9)
        style.count(axes.xaxis, 4)

    return _panels(norms, title, "filters or units, sorted", "norm of the weights", draw)


def _panels(
    arrays: Mapping[str, NDArray[np.floating]],
    title: str,
    xlabel: str,
    ylabel: str,
    draw: "Callable[[Axes, str, NDArray[np.floating]], None]",
) -> "Figure":
    """A panel for each array under one heading, with one label for each direction."""
    if not arrays:
        raise ValueError("pictures of weights need at least one layer with weights")
    columns = min(len(arrays), 3 if len(arrays) <= 9 else 5)
    rows = -(-len(arrays) // columns)
    figure = style.new_figure(max(5.5, 2.7 * columns + 0.5), 2.1 * rows + 0.9, title)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, array) in zip(panels, arrays.items(), strict=False):
        draw(axes, name, array)
        axes.tick_params(labelsize=8)
        style.tidy(axes)
    for axes in panels[len(arrays) :]:
        axes.remove()
    figure.supxlabel(xlabel, fontsize=10)
    figure.supylabel(ylabel, fontsize=10)
    return figure
