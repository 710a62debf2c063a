"""Every trial as a line through its settings to its value."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .settings import Scale, Trials, label, quantity, scale, scaled, searched, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_APART = 0.06  # of an axis' length: numbers nearer than this would touch


def search_parallel(
    trials: Trials,
    objective: str = "val_accuracy",
    scales: Mapping[str, str] | None = None,
    title: str = "",
) -> "Figure":
    """An upright axis per setting, the last one for the value; dark lines are good, the best thick.

    Parameters
    ----------
    trials, objective, scales, title
        As `fastcnn.plots.search_bars`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the objective is not known.

    Examples
    --------
    >>> trials = [({"lr": 0.1, "dropout": 0.5}, 0.9), ({"lr": 0.01, "dropout": 0.0}, 0.8)]
    >>> figure = search_parallel(trials)
    >>> [label.get_text() for label in figure.axes[0].get_xticklabels()[:2]]
    ['learning rate', 'dropout']
    """
    from matplotlib import colormaps

    from .figure import Figure

    wanted = quantity(objective)
    found = [(settings, value) for settings, value in scaled(trials, wanted) if value is not None]
    names = searched(found) or list(found[0][0])
    axis_of = {name: scale(found, name, (scales or {}).get(name)) for name in names}
    low, high = min(value for _, value in found), max(value for _, value in found)
    worst_first = sorted(found, key=lambda trial: trial[1], reverse=not wanted.is_higher_better)

    figure = Figure(figsize=(max(6.4, 2.1 * len(names) + 2.6), 4.6), layout="constrained")
    axes = figure.subplots()
    colours = colormaps["viridis_r"]
    for rank, (settings, value) in enumerate(worst_first, start=1):
        height = (value - low) / (high - low) if high > low else 0.5
        goodness = height if wanted.is_higher_better else 1 - height
        heights = [axis.fraction(settings[name]) for name, axis in axis_of.items()]
        is_best = rank == len(worst_first)
        axes.plot(
            range(len(names) + 1),
            [*heights, height],
            color="black" if is_best else colours(goodness),
            linewidth=3 if is_best else 1.3,
            label="best trial (of the others: the darker, the better)" if is_best else None,
            clip_on=False,
        )
    for place, axis in enumerate(axis_of.values()):
        _ticks(axes, place, axis, axis.ticks(), text)
    axis = Scale([low, high], False, False)
    between = [tick for tick in axis.ticks() if _APART < axis.fraction(tick) < 1 - _APART]
    _ticks(axes, len(names), axis, sorted({low, *between, high}), wanted.text)
    heads = [label(name) + ("\n(log scale)" if axis.log else "") for name, axis in axis_of.items()]
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


def _ticks(
    axes: "Axes", place: int, axis: Scale, values: Sequence[Any], show: Callable[[Any], str]
) -> None:
    """One upright axis with values written at it."""
    axes.axvline(place, color="0.4", linewidth=1, zorder=0)
    for value in values:
        axes.annotate(
            show(value),
            (place, axis.fraction(value)),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
            zorder=5,
        )
