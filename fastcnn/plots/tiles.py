"""Weights as small images: filters of a convolution, units of a dense layer over an image."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURED = 3  # channels: red, green, blue
_TILE = 0.62  # inches of a tile where there is room
_WIDEST = 11  # inches


def weight_tiles(
    weight: NDArray[np.floating],
    title: str = "",
    channel: int | None = None,
    what: str = "filter",
    most: int = 128,
) -> "Figure":
    """A tile for each filter or unit.

    Three input channels are shown as red, green and blue, each tile with a scale of its own
    around a middle grey of 0. Otherwise one input channel is shown in grey, all tiles with one
    scale.

    Parameters
    ----------
    weight : float (N, C, H, W)
        Filters of a convolution, or `unit_images` of a dense layer.
    title : str
        Heading.
    channel : int, optional
        The input channel that is shown; default: all three of an image in colours, else the first.
    what : str
        What a tile is.
    most : int
        Tiles that are shown, the first ones.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no such channel.

    Examples
    --------
    >>> figure = weight_tiles(np.ones((8, 4, 3, 3), np.float32), "conv2", channel=1)
    >>> print(figure.get_suptitle())
    conv2
    weights for input channel 1 of 4
    """
    count, channels, _, _ = weight.shape
    if channel is not None and not 0 <= channel < channels:
        raise ValueError(f"channel must be 0 to {channels - 1}, got {channel}")
    coloured = channels == _COLOURED and channel is None
    shown = weight[:most]
    rows, columns = style.grid_shape(len(shown))
    notes = [title] if title else []
    if len(shown) < count:
        notes.append(f"the first {len(shown):,} of {count:,}")
    if coloured:
        notes.append("red, green and blue: input channels; middle grey: 0; each tile its own scale")
    elif channels > 1:
        notes.append(f"weights for input channel {channel or 0} of {channels}")
    tile = min(_TILE, _WIDEST / columns)
    figure = style.new_figure(
        max(5.0, tile * columns + 2), tile * rows + 1.3, "\n".join(notes), of_images=True
    )
    axes = figure.subplots()
    if coloured:
        axes.imshow(style.mosaic(tile_colours(shown), columns, fill=1.0))
    else:
        _show_grey(figure, axes, shown[:, channel or 0], columns)
    _number(axes, shown.shape[2:], rows, columns, len(shown), what)
    return figure


def unit_images(weight: NDArray[np.floating], shape: tuple[int, int, int]) -> NDArray[np.floating]:
    """The weights (in, out) of a dense layer over an image of that shape, as (out, C, H, W).

    Examples
    --------
    >>> unit_images(np.zeros((784, 128), np.float32), (1, 28, 28)).shape
    (128, 1, 28, 28)
    """
    return weight.T.reshape(-1, *shape)


def tile_colours(weight: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, 3, H, W) -> (N, H, W, 3) from 0 to 1; 0 becomes 0.5, each tile has its own scale."""
    largest = np.abs(weight).max(axis=(1, 2, 3), keepdims=True)
    scaled = 0.5 + 0.5 * weight / np.where(largest > 0, largest, 1)
    return scaled.transpose(0, 2, 3, 1).astype(np.float64)


def _show_grey(figure: "Figure", axes: "Axes", tiles: NDArray[np.floating], columns: int) -> None:
    largest = float(np.abs(tiles).max()) or 1.0
    image = axes.imshow(style.mosaic(tiles, columns), cmap="gray", vmin=-largest, vmax=largest)
    figure.colorbar(image, ax=axes, label="weight", shrink=0.9, pad=0.02)


def _number(
    axes: "Axes", shape: tuple[int, int], rows: int, columns: int, count: int, what: str
) -> None:
    """Ticks that say which tile is which: the number of a tile is the sum of both."""
    height, width = shape[0] + 1, shape[1] + 1
    every = 1 if columns <= 20 else 5
    middles = [column * width + (width - 2) / 2 for column in range(0, columns, every)]
    axes.set_xticks(middles, [f"+{column}" for column in range(0, columns, every)])
    every = -(-rows // 20)
    firsts = range(0, rows, every)
    axes.set_yticks(
        [row * height + (height - 2) / 2 for row in firsts], [str(row * columns) for row in firsts]
    )
    axes.set_xlabel(f"{what} number: that of its row + this")
    axes.tick_params(length=0, labelsize=8)
    for spine in axes.spines.values():
        spine.set_visible(False)
