"""What the layers make of one image."""

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from . import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ACROSS = 16  # maps in a row
_WIDTH = 11.0  # inches, of the picture
_BAND = 9.7  # inches, of the maps of a layer
_HEADING = 0.33  # inches, above each


class Model(Protocol):
    """What is needed of a model: `fastcnn.Sequential` has it."""

    data_format: str

    def prepared(self, x: NDArray[Any]) -> NDArray[Any]:
        """Images as the first layer takes them."""
        ...

    def one_by_one(self, x: NDArray[Any]) -> Iterable[tuple[Any, NDArray[Any]]]:
        """(layer, what it gives) as they are written."""
        ...


def feature_maps(
    maps: Mapping[str, NDArray[np.floating]] | Model,
    image: NDArray[Any],
    title: str = "",
    most: int = 32,
) -> "Figure":
    """The image, and below it a band of maps for each layer, with a scale of its own.

    Parameters
    ----------
    maps : model or mapping
        A model, or name of a layer -> float (C, H, W), its output for the image.
    image : uint8 (C, H, W)
        The image, values 0 to 255; for a model as `Sequential.predict` takes a row of them, so
        perhaps float and (H, W, C).
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
        If there is no layer that gives images, or the image does not fit the model.

    Examples
    --------
    >>> maps = {"Conv 1": np.zeros((8, 26, 26), np.float32)}
    >>> figure = feature_maps(maps, np.zeros((1, 28, 28), np.uint8))
    >>> [axes.get_title() for axes in figure.axes[:2]]
    ['the image', 'Conv 1: 8 maps of 26 x 26']
    """
    if not isinstance(maps, Mapping):
        maps, image = maps_of(maps, np.asarray(image))
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


def maps_of(
    model: Model, image: NDArray[Any]
) -> tuple[dict[str, NDArray[np.floating]], NDArray[np.uint8]]:
    """What a model's own layers make of an image, by their names; and the image to be shown."""
    if image.ndim == 4 and len(image) == 1:
        image = image[0]
    if image.ndim != 3:
        raise ValueError(f"feature maps are those of one image, got an array of {image.shape}")
    maps, kinds = {}, []
    for layer, y in model.one_by_one(model.prepared(image[None])):
        kind, *others = (type(inner).__name__.removesuffix("2D") for inner in layer.family())
        name = f"{kind} {kinds.count(kind) + 1}"  # those inside blocks count too
        kinds += [kind, *others]
        if y.ndim == 4 and not layer.passes_through:
            maps[name] = y[0].copy()
    if model.data_format == "channels_last":
        image = image.transpose(2, 0, 1)
    if image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        image = ((image - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
    return maps, image


def _filled(maps: NDArray[np.floating], across: int) -> NDArray[np.floating]:
    """Empty maps behind the others, so that all bands have the same width."""
    missing = max(0, across - len(maps))
    empty = np.full((missing, *maps.shape[1:]), np.nan, maps.dtype)
    return np.concatenate([maps, empty])
