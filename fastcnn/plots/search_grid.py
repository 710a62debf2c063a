"""What a search found over a grid, in three dimensions."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .settings import (
    Quantity,
    Trials,
    different,
    is_number,
    label,
    quantity,
    scaled,
    searched,
    text,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 3


def search_grid(trials: Trials, objective: str = "val_accuracy", title: str = "") -> "Figure":
    """The value over two settings as height; a panel for each value of a third.

    Neighbours are joined by lines; every point stands on a stalk and has its value written at
    it, the best in bold. A cross on the floor: no result. Over further settings the best is shown.

    Parameters
    ----------
    trials, objective, title
        As `fastcnn.plots.search_bars`; at least two settings must differ.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If fewer than two settings differ.

    Examples
    --------
    >>> pairs = [(lr, hidden) for lr in (0.1, 0.2) for hidden in (32, 64)]
    >>> figure = search_grid([({"lr": lr, "hidden": n}, 0.9 - lr / n) for lr, n in pairs])
    >>> figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()
    ('learning rate', 'hidden units')
    """
    from .figure import Figure

    names = _axes(trials)
    wanted = quantity(objective)
    panels = different(trials, names[2]) if len(names) > 2 else [None]
    columns = min(_COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(4.7 * columns + 0.6, 4.2 * rows + 0.5))
    # The constrained layout does not know how far the labels of a 3-D axis reach.
    figure.subplots_adjust(
        left=0.02, right=0.93, bottom=0.1 / rows, top=1 - 0.45 / (4.2 * rows + 0.5), wspace=0.12
    )
    cells = scaled(trials, wanted)
    found = [value for _, value in cells if value is not None]
    low, high = min(found), max(found)
    floor = low - 0.15 * (high - low or 1.0)
    for index, panel in enumerate(panels):
        axes: Any = figure.add_subplot(rows, columns, index + 1, projection="3d")
        chosen = [cell for cell in cells if panel is None or cell[0][names[2]] == panel]
        surface = _surface(chosen, names, trials, wanted)
        _draw(axes, surface, wanted, (floor, high), wanted.best(found))
        for axis, name in zip("xy", names, strict=False):
            values = different(trials, name)
            getattr(axes, f"set_{axis}ticks")(range(len(values)), list(map(text, values)))
            getattr(axes, f"set_{axis}label")(label(name), labelpad=8)
        if panel is not None:
            axes.set_title(f"{label(names[2])} {text(panel)}", y=1.02, fontsize=11)
    legend = "large dot: the best trial"
    if len(found) < len(cells):
        legend += "; cross: no result"
    figure.text(0.5, 0.02, legend, ha="center", fontsize=9)
    more = names[3:]
    if more:
        title += f"\nbest over {', '.join(map(label, more))}"
    if title:
        figure.suptitle(title)
    return figure


def _axes(trials: Trials) -> list[str]:
    """The settings that differ: two with numbers to stand on, then the others."""
    names = searched(trials)
    if len(names) < 2:
        raise ValueError(
            f"a picture over a grid needs two settings that differ, got {', '.join(names) or None}"
        )
    return sorted(names, key=lambda name: not all(map(is_number, different(trials, name))))


def _surface(
    cells: Trials, names: Sequence[str], trials: Trials, wanted: Quantity
) -> dict[tuple[int, int], float | None]:
    """(place of the first setting's value, of the second's) -> best value there."""
    places = [different(trials, name) for name in names[:2]]
    surface: dict[tuple[int, int], float | None] = {}
    for settings, value in cells:
        place = (
            places[0].index(settings[names[0]]),
            places[1].index(settings[names[1]]),
        )
        values = [each for each in (surface.get(place), value) if each is not None]
        surface[place] = wanted.best(values) if values else None
    return surface


def _draw(
    axes: Any,
    surface: Mapping[tuple[int, int], float | None],
    wanted: Quantity,
    limits: tuple[float, float],
    overall: float,
) -> None:
    """One panel."""
    floor, top = limits
    _faces(axes, surface)
    for (x, y), value in surface.items():
        if value is None:
            axes.plot([x], [y], [floor], linestyle="", marker="x", color="0.3", markersize=8)
            continue
        for neighbour in ((x + 1, y), (x, y + 1)):
            other = surface.get(neighbour)
            if other is not None:
                line = [x, neighbour[0]], [y, neighbour[1]], [value, other]
                axes.plot(*line, color="#1b3a6b", linewidth=1.4)
        is_best = value == overall
        axes.plot([x, x], [y, y], [floor, value], color="0.65", linewidth=1, linestyle=":")
        axes.plot(
            [x], [y], [value], linestyle="", marker="o", markeredgecolor="black",
            markersize=8 if is_best else 5, color="#e07b28" if is_best else "white",
        )  # fmt: skip
        weight = "bold" if is_best else "normal"
        axes.text(
            x, y, value + 0.06 * (top - floor), wanted.text(value), ha="center", va="bottom",
            fontsize=8, fontweight=weight, zorder=10,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8},
        )  # fmt: skip
    axes.set_zlim(floor, top + 0.08 * (top - floor))
    axes.set_zlabel(wanted.label, labelpad=6)
    axes.view_init(elev=24, azim=-58)


def _faces(axes: Any, surface: Mapping[tuple[int, int], float | None]) -> None:
    """The surface between four neighbours, transparent."""
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    faces = []
    for x, y in surface:
        corners = [(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)]
        if all(surface.get(corner) is not None for corner in corners):
            faces.append([(*corner, surface[corner]) for corner in corners])
    axes.add_collection3d(Poly3DCollection(faces, facecolor="#b8c9de", alpha=0.35))
