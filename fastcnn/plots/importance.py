"""Which features speak most for or against each class."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import style
from .tiles import tile_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def important_features(
    weight: NDArray[np.floating],
    class_names: Sequence[str],
    tiles: NDArray[np.floating] | None = None,
    title: str = "",
    most: int = 8,
    feature_names: Sequence[str] | None = None,
) -> "Figure":
    """For each class the inputs of the last layer whose weights for it are largest in size.

    Parameters
    ----------
    weight : float (features, classes)
        Weights of the last dense layer.
    class_names : sequence of str
        Name of each class.
    tiles : float (features, C, H, W), optional
        What each feature looks for in an image (`unit_images` of the layer before), with one
        channel or three. Without, the weights are drawn as bars.
    title : str
        Heading.
    most : int
        Features per class.
    feature_names : sequence of str, optional
        What the features are called under the bars; default: their numbers.

    Returns
    -------
    matplotlib.figure.Figure
        A row of tiles, or a panel of bars, for each class.

    Examples
    --------
    >>> weight = np.array([[2.0, -1.0], [0.1, 0.3], [-3.0, 0.0]])
    >>> figure = important_features(weight, ["cat", "dog"], most=2)
    >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
    ['#2', '#0']
    """
    order = strongest(weight, most)
    names = list(feature_names or (f"#{i}" for i in range(len(weight))))
    if tiles is not None:
        return _as_tiles(weight, order, class_names, tiles, title)
    columns = 2 if len(class_names) <= 12 else 4
    rows = -(-len(class_names) // columns)
    figure = style.new_figure(5 * columns, 1.75 * rows + 0.8, title)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for k, axes in enumerate(panels):
        if k < len(class_names):
            _bars(axes, weight[order[k], k], [names[int(i)] for i in order[k]], class_names[k])
        else:
            axes.remove()
    figure.supylabel("weight: above 0 speaks for the class, below 0 against it", fontsize=10)
    figure.supxlabel("feature", fontsize=10)
    return figure


def strongest(weight: NDArray[np.floating], most: int) -> NDArray[np.intp]:
    """(classes, most): for each class the features with the largest absolute weight."""
    return np.argsort(-np.abs(weight), axis=0, kind="stable")[:most].T


def _bars(
    axes: "Axes", values: NDArray[np.floating], names: Sequence[str], class_name: str
) -> None:
    places = np.arange(len(values))
    for place, value in zip(places, values, strict=True):
        axes.bar(place, value, **(style.BAR if value >= 0 else style.MARKED_BAR))
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(places, names, fontsize=7)
    axes.set_title(class_name, fontsize=10)
    axes.tick_params(axis="y", labelsize=8)
    style.tidy(axes)


def _as_tiles(
    weight: NDArray[np.floating],
    order: NDArray[np.intp],
    class_names: Sequence[str],
    tiles: NDArray[np.floating],
    title: str,
) -> "Figure":
    rows, columns = order.shape
    figure = style.new_figure(1.15 * columns + 1.3, 1.3 * rows + 0.8, title)
    panels = figure.subplots(rows, columns, squeeze=False)
    for k, row in enumerate(panels):
        for axes, feature in zip(row, order[k], strict=True):
            tile = tiles[feature]
            if len(tile) == 3:
                axes.imshow(tile_colours(tile[None])[0])
            else:
                largest = np.abs(tile[0]).max()
                axes.imshow(tile[0], cmap="gray", vmin=-largest, vmax=largest)
            value = weight[feature, k]
            axes.set_title(f"#{feature}: {value:+.2f}", fontsize=8)
            axes.set_xticks([])
            axes.set_yticks([])
        row[0].set_ylabel(class_names[k], rotation=0, ha="right", va="center", fontsize=10)
    figure.supxlabel("feature number: its weight for the class", fontsize=9)
    return figure
