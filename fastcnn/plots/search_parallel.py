"""Every trial as a line through its settings to its value."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .settings import Scale, Trials, label, quantity, scale, scaled, searched, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TICKS = 5  # on an axis with many different numbers


def search_parallel(
    trials: Trials, objective: str = "val_accuracy", log: Sequence[str] = (), title: str = ""
) -> "Figure":
    """An upright axis per setting, the last one for the value; dark lines are good, the best thick.

    Parameters
    ----------
    trials, objective, log, title
        As `fastcnn.plots.search_bars`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    wanted = quantity(objective)
    found = [(settings, value) for settings, value in scaled(trials, wanted) if value is not None]
    names = searched(found) or list(found[0][0])
    scales = [scale(found, name, name in log) for name in names]
    low, high = min(value for _, value in found), max(value for _, value in found)
    worst_first = sorted(found, key=lambda trial: trial[1], reverse=not wanted.is_higher_better)

    figure = Figure(figsize=(max(6.4, 2.1 * len(names) + 2.6), 4.6), layout="constrained")
    axes = figure.subplots()
    colours = colormaps["viridis_r"]
    for rank, (settings, value) in enumerate(worst_first, start=1):
        height = (value - low) / (high - low) if high > low else 0.5
        goodness = height if wanted.is_higher_better else 1 - height
        heights = [axis.fraction(settings[name]) for axis, name in zip(scales, names, strict=True)]
        is_best = rank == len(worst_first)
        axes.plot(
            range(len(names) + 1),
            [*heights, height],
            color="black" if is_best else colours(goodness),
            linewidth=3 if is_best else 1.3,
            label="best trial (of the others: the darker, the better)" if is_best else None,
            clip_on=False,
        )
    for place, axis in enumerate(scales):
        _ticks(axes, place, axis)
    _ticks(axes, len(names), Scale([low, high], False, False), wanted.text)
    heads = [
        label(name) + ("\n(log scale)" if axis.log and not axis.is_even else "")
        for name, axis in zip(names, scales, strict=True)
    ]
    axes.set_xticks(range(len(names) + 1), [*heads, wanted.label.replace(" (", "\n(")])
    axes.tick_params(axis="x", length=0, pad=12)
    axes.set_xlim(-0.35, len(names) + 0.35)
    axes.set_ylim(-0.02, 1.04)
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.legend(loc="outside lower right", frameon=False)
    if title:
        figure.suptitle(title)
    return figure


def _ticks(axes: "Axes", place: int, axis: Scale, show: Callable[[float], str] = text) -> None:
    """One upright axis with its numbers."""
    axes.axvline(place, color="0.4", linewidth=1, zorder=0)
    for value in _shown(axis):
        axes.annotate(
            show(value),
            (place, axis.fraction(value)),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85},
            zorder=5,
        )


def _shown(axis: Scale) -> Sequence[Any]:
    """Values to write at an axis: round ones, if there are any within."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    if axis.is_even:
        return axis.values
    low, high = axis.ends()
    locator = LogLocator(numticks=_TICKS) if axis.log else MaxNLocator(_TICKS)
    ticks = [float(value) for value in locator.tick_values(low, high) if low <= value <= high]
    return ticks if len(ticks) > 1 else [low, high]
