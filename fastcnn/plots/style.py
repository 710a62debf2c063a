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
BAR = {"facecolor": "#4c6a92", "edgecolor": "black", "linewidth": 0.5}
MARKED_BAR = {"facecolor": "#e6b450", "edgecolor": "black", "linewidth": 0.5, "hatch": "///"}

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
_LARGEST = 200  # inches of a picture either way
_HEADING_LINE = 0.22  # inches


def new_figure(width: float, height: float, title: str = "", of_images: bool = False) -> "Figure":
    """An empty figure of that size in inches; a heading, wrapped to fit, makes it higher.

    of_images : whether its panels hold images, which keep their shape and may be moved together.

    Raises ValueError if it would be larger than pictures can be.
    """
    from .figure import Figure

    if max(width, height) > _LARGEST:
        raise ValueError(
            f"the picture would have {width:,.0f} x {height:,.0f} inches, more than {_LARGEST} "
            f"either way: ask for less in it"
        )
    heading = wrapped(title, width, _HEADING)
    lines = heading.count("\n") + 1 if title else 0
    figure = Figure(
        figsize=(width, height + lines * _HEADING_LINE),
        layout="compressed" if of_images else "constrained",
    )
    if title:
        figure.suptitle(heading, fontsize=_HEADING)
    return figure


def wrapped(text: str, width: float, points: float) -> str:
    """The text in lines that are no wider than so many inches in letters of so many points."""
    letters = max(8, int(width * _POINTS_PER_INCH / (0.58 * points)))  # a letter is 0.5 to 0.58 em
    return "\n".join(textwrap.fill(line, letters) for line in text.splitlines())


def line_style(index: int, points: int) -> dict[str, Any]:
    """How line number `index`, of so many points, is drawn; eight differ in colour and marker."""
    return {
        "color": _LINE_COLOURS[index % len(_LINE_COLOURS)],
        "linestyle": _STYLES[index % len(_STYLES)],
        "marker": _MARKERS[index % len(_MARKERS)],
        "markevery": max(1, math.ceil(points / _MANY_POINTS)),
        "markersize": 4 if points > 1 else 6,  # one alone is all there is to see
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


def count(axis: "Axis", most: int) -> None:
    """An axis that counts, such as 250,000 weights: at most so many steps between its ticks."""
    limit_ticks(axis, most, whole=True)
    axis.set_major_formatter("{x:,.0f}")


def log_or_linear(axes: "Axes", values: Sequence[float]) -> None:
    """A logarithmic vertical axis where the values span a power of ten, else one from 0."""
    positive = [value for value in values if value > 0]
    if not positive or max(positive) < 10 * min(positive):
        axes.set_ylim(0, 1.08 * max(positive, default=1))
    else:
        axes.set_yscale("log")
        log_ticks(axes.yaxis, min(positive), max(positive))


def log_ticks(axis: "Axis", lowest: float, highest: float) -> None:
    """Plain numbers on a logarithmic axis: powers of ten, and 2 and 5 where there is room."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    subs = (1, 2, 5) if highest < 300 * lowest else (1,)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


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


def grid_shape(count: int) -> tuple[int, int]:
    """(rows, columns) for so many tiles: about square, rather wide than high, at most 16 wide."""
    columns = min(16, count, math.ceil(math.sqrt(1.6 * count)))
    return math.ceil(count / columns), columns


def mosaic(tiles: np.ndarray, columns: int, fill: float = np.nan) -> np.ndarray:
    """Tiles side by side in one image, one pixel of `fill` between them.

    Parameters
    ----------
    tiles : array
        (N, H, W) or (N, H, W, 3).
    columns : int
        Tiles per row.
    fill : float
        Value of the pixels between the tiles, and of places left over.

    Returns
    -------
    array
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
