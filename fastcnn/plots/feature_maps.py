"""What the layers make of one image."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ACROSS = 16  # maps in a row
_WIDTH = 11.0  # inches, of the picture
_BAND = 9.7  # inches, of the maps of a layer
_HEADING = 0.33  # inches, above each


def feature_maps(
    maps: Mapping[str, NDArray[np.floating]],
    image: NDArray[np.uint8],
    title: str = "",
    most: int = 32,
) -> "Figure":
    """The image, and below it a band of maps for each layer, with a scale of its own.

    Parameters
    ----------
    maps : mapping
        Name of a layer -> float (C, H, W), its output for the image.
    image : uint8 (C, H, W)
        The image, values 0 to 255.
    title : str
        Heading.
    most : int
        Maps shown of each layer, the first ones.

    Returns
    -------
    matplotlib.figure.Figure
        Panels: the image, then one for each layer; then their colour bars.

    Raises
    ------
    ValueError
        If there is no layer.
    """
    if not maps:
        raise ValueError("feature maps need at least one layer that gives images")
    across = min(_ACROSS, max(4, *(min(most, len(array)) for array in maps.values())))
    heights = [1.2]
    for array in maps.values():
        rows = math.ceil(min(most, len(array)) / across)
        heights.append(min(1.2, _BAND / across) * rows * array.shape[1] / array.shape[2])
    figure = style.new_figure(_WIDTH, sum(heights) + _HEADING * len(heights), title)
    panels = figure.subplots(len(heights), 1, height_ratios=heights)
    style.show_image(panels[0], image)
    panels[0].set_title("the image", fontsize=9)
    for axes, (name, array) in zip(panels[1:], maps.items(), strict=True):
        shown = array[:most]
        count = (
            f"{len(shown)} of {len(array)} maps"
            if len(shown) < len(array)
            else ("1 map" if len(array) == 1 else f"{len(array)} maps")
        )
        drawn = axes.imshow(style.mosaic(_filled(shown, across), across), cmap=style.COLOURS)
        height, width = array.shape[1:]
        axes.set_title(f"{name}: {count} of {height} x {width}", fontsize=9)
        axes.set_axis_off()
        bar = figure.colorbar(drawn, ax=axes, pad=0.01, fraction=0.02, aspect=10)
        bar.ax.tick_params(labelsize=7)
        style.limit_ticks(bar.ax.yaxis, 3)
        bar.set_label("output", fontsize=8)
    return figure


def _filled(maps: NDArray[np.floating], across: int) -> NDArray[np.floating]:
    """Empty maps behind the others, so that all bands have the same width."""
    missing = max(0, across - len(maps))
    empty = np.full((missing, *maps.shape[1:]), np.nan, maps.dtype)
    return np.concatenate([maps, empty])
