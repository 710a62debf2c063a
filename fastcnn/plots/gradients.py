"""How gradients flow: their size in each layer over training."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from . import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_LINES = 8  # more layers make a heat map


def gradient_flow(
    norms: Mapping[str, Sequence[float]], epochs: Sequence[float], title: str = ""
) -> "Figure":
    """A line for each layer over the epochs; with more than eight layers a heat map.

    Where the norms span a power of ten, on a logarithmic scale; norms of 0, those of frozen
    layers, are left out: white in the map.

    Parameters
    ----------
    norms : mapping
        Name of a layer, first layer first -> norm of its gradient in each epoch.
    epochs : sequence of numbers
        The epochs, from 1.
    title : str
        Heading.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no layer or no epoch.

    Examples
    --------
    >>> figure = gradient_flow({"conv1": [0.5, 0.1], "dense1": [2.0, 1.0]}, epochs=[1, 2])
    >>> [line.get_label() for line in figure.axes[0].lines], figure.axes[0].get_yscale()
    (['conv1', 'dense1'], 'log')
    """
    if not norms or not len(epochs):
        raise ValueError("gradient flow needs at least one layer and one epoch")
    many = len(norms) > _MOST_LINES
    figure = style.new_figure(8.5, max(4.8, 1.6 + 0.22 * len(norms)) if many else 5, title)
    axes = figure.subplots()
    if many:
        _map(figure, axes, norms, epochs)
    else:
        for index, (name, values) in enumerate(norms.items()):
            positive = [value if value > 0 else np.nan for value in values]
            axes.plot(epochs, positive, label=name, **style.line_style(index, len(values)))
        style.log_or_linear(axes, [value for values in norms.values() for value in values])
        axes.set_ylabel("norm of the gradient of the weights")
        style.tidy(axes)
        style.legend_below(figure, axes)
    style.count_epochs(axes, epochs)
    return figure


def _map(
    figure: "Figure",
    axes: "Axes",
    norms: Mapping[str, Sequence[float]],
    epochs: Sequence[float],
) -> None:
    from matplotlib.colors import LogNorm

    values = np.array(list(norms.values()), float)
    values[values <= 0] = np.nan
    image = axes.imshow(
        values, aspect="auto", cmap=style.COLOURS, norm=LogNorm(), interpolation="nearest",
        extent=(epochs[0] - 0.5, epochs[-1] + 0.5, len(norms) - 0.5, -0.5),
    )  # fmt: skip
    axes.set_yticks(range(len(norms)), list(norms), fontsize=9)
    axes.set_ylabel("layer, the first at the top")
    white = " (white: none)" if np.isnan(values).any() else ""
    label = f"norm of the gradient of the weights{white}"
    bar = figure.colorbar(image, ax=axes, label=label, pad=0.02)
    style.log_ticks(bar.ax.yaxis, np.nanmin(values), np.nanmax(values))
