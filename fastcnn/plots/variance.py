"""How much the activations of each layer vary, for several initialisations."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from . import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def activation_variance(variances: Mapping[str, Mapping[str, float]], title: str = "") -> "Figure":
    """A line over the layers for each initialisation.

    Parameters
    ----------
    variances : mapping
        Name of an initialisation -> label of a layer -> variance of what the layer gives
        (`fastcnn.gallery.analysis.activation_variances`); the same layers in all.
    title : str
        Heading.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no initialisation or no layer.

    Examples
    --------
    >>> he, small = {"conv1": 1.0, "conv2": 0.9}, {"conv1": 0.1, "conv2": 0.001}
    >>> figure = activation_variance({"he": he, "normal 0.01": small})
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['he', 'normal 0.01']
    """
    if not variances or not all(variances.values()):
        raise ValueError("activation variances need an initialisation and a layer")
    layers = list(next(iter(variances.values())))
    figure = style.new_figure(max(7, 0.32 * len(layers) + 3), 4.8, title)
    axes = figure.subplots()
    for index, (name, by_layer) in enumerate(variances.items()):
        values = [by_layer[layer] for layer in layers]
        axes.plot(range(len(layers)), values, label=name, **style.line_style(index, len(layers)))
    style.log_or_linear(axes, [v for by_layer in variances.values() for v in by_layer.values()])
    axes.set_xticks(range(len(layers)), layers, rotation=90 if len(layers) > 6 else 0)
    axes.set_xlabel("layer")
    axes.set_ylabel("variance of the layer's outputs")
    style.tidy(axes)
    style.legend_below(figure, axes)
    return figure
