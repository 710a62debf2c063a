"""How all pictures look: sizes, headings, lines that differ without colour, grids of tiles.

Every picture can be read in grey: lines differ in style and marker, colours in lightness, and
colour maps rise from dark to light.
"""

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

COLOURS = "cividis"  # of all heat maps: from dark to light, alike for the colour-blind
BAR = {"color": "#4c6a92", "edgecolor": "black", "linewidth": 0.5}
MARKED_BAR = {"color": "#e6b450", "edgecolor": "black", "linewidth": 0.5, "hatch": "///"}

_LINE_COLOURS = (
    "#1b3a6b",
    "#e07b28",
    "#3f9c6d",
    "#8a2d6f",
    "#6f6f6f",
    "#b8a000",
    "#2f8fc0",
    "#000000",
)
_STYLES = ("-", "--", ":", "-.")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_MANY_POINTS = 25  # beyond this many, markers would touch
_POINTS_PER_INCH = 72
_HEADING = 12  # points


def new_figure(width: float, height: float, title: str = "") -> "Figure":
    """An empty figure of that size in inches under a heading, which is wrapped to fit."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    if title:
        figure.suptitle(wrapped(title, width, _HEADING), fontsize=_HEADING)
    return figure


def wrapped(text: str, width: float, points: float) -> str:
    """The text in lines that are no wider than so many inches in letters of so many points."""
    letters = max(8, int(width * _POINTS_PER_INCH / (0.58 * points)))  # a letter is 0.5 to 0.58 em
    return "\n".join(textwrap.fill(line, letters) for line in text.splitlines())


def line_style(index: int, points: int = 1) -> dict[str, Any]:
    """How line number `index` of a picture is drawn; eight differ in all of colour and marker."""
    return {
        "color": _LINE_COLOURS[index % len(_LINE_COLOURS)],
        "linestyle": _STYLES[index % len(_STYLES)],
        "marker": _MARKERS[index % len(_MARKERS)],
        "markevery": max(1, math.ceil(points / _MANY_POINTS)),
        "markersize": 4,
        "linewidth": 1.6,
    }


def tidy(axes: "Axes") -> None:
    """A light grid behind the data, and no frame above and to the right."""
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def count_epochs(axes: "Axes", epochs: Sequence[float]) -> None:
    """An axis of whole epochs."""
    axes.set_xlabel("epoch")
    limit_ticks(axes.xaxis, 9, whole=True)
    if len(set(epochs)) == 1:
        axes.set_xticks([epochs[0]])


def limit_ticks(axis: "Axis", most: int, whole: bool = False) -> None:
    """At most so many steps between the ticks of an axis, at whole numbers if `whole`."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=most, integer=whole))


def legend_below(figure: "Figure", axes: "Axes", columns: int = 4) -> None:
    """One legend for the whole figure, under it, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        longest = max(map(len, labels))
        width = figure.get_figwidth() * _POINTS_PER_INCH
        fits = int(width / (6 * longest + 50))
        figure.legend(
            handles,
            labels,
            loc="outside lower center",
            ncols=max(1, min(columns, fits, len(labels))),
            frameon=False,
            handlelength=4,
        )


def grid_shape(count: int, widest: int = 16) -> tuple[int, int]:
    """(rows, columns) for so many tiles: about square, rather wide than high."""
    columns = min(widest, count, math.ceil(math.sqrt(1.6 * count)))
    return math.ceil(count / columns), columns


def mosaic(tiles: np.ndarray, columns: int, fill: float = np.nan) -> np.ndarray:
    """Tiles side by side in one image, one pixel of `fill` between them.

    Args:
        tiles: (N, H, W) or (N, H, W, 3).
        columns: tiles per row.
        fill: value of the pixels between the tiles, and of places left over.

    Returns:
        (rows * (H + 1) - 1, columns * (W + 1) - 1) or the same with 3 at the end.
    """
    count, height, width, *colours = tiles.shape
    rows = math.ceil(count / columns)
    shape = (rows * (height + 1) - 1, columns * (width + 1) - 1, *colours)
    image = np.full(shape, fill, np.float64)
    for index, tile in enumerate(tiles):
        top, left = index // columns * (height + 1), index % columns * (width + 1)
        image[top : top + height, left : left + width] = tile
    return image


def show_image(axes: "Axes", image: np.ndarray) -> None:
    """Draw a uint8 (C, H, W) image, grey or in colours, without ticks."""
    if image.shape[0] == 3:
        axes.imshow(image.transpose(1, 2, 0))
    else:
        axes.imshow(image[0], cmap="gray", vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks([])
