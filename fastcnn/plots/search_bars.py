"""What a search found for each value of one setting after the other."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .settings import Quantity, Scale, Trials, label, quantity, scale, scaled, searched, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BAR = {"color": "#b8c9de", "edgecolor": "#1b3a6b", "linewidth": 1}
_BEST = {"color": "#1b3a6b", "edgecolor": "#1b3a6b", "linewidth": 1}
_COLUMNS = 3
_BINS = 10  # bars over a setting that is drawn to scale
_MEANING = {True: "with this value", False: "in this tenth of the range"}  # by Scale.is_even


def search_bars(
    trials: Trials,
    objective: str = "val_accuracy",
    scales: Mapping[str, str] | None = None,
    title: str = "",
) -> "Figure":
    """A panel per setting: a bar up to the best trial with each value, a dot for every trial.

    The best bar is dark. A setting that is drawn to scale has a bar per tenth of what was tried.

    Parameters
    ----------
    trials : sequence of (settings, value)
        ``{"lr": 0.1, "filters": (16, 32)}`` and an accuracy (0 to 1) or loss (nats per image);
        None where there is no result.
    objective : str
        What the values are: val_accuracy, val_loss, test_accuracy or test_loss.
    scales : dict, optional
        ``{"dropout": "linear", "lr": "log"}``: settings that are drawn to scale, however few
        their values are, as suits a range; of others, those with many different numbers are.
    title : str
        Heading.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the objective is not one of these.

    Examples
    --------
    >>> figure = search_bars([({"lr": 0.1}, 0.9), ({"lr": 0.01}, 0.8), ({"lr": 1.0}, None)])
    >>> axes = figure.axes[0]
    >>> axes.get_xlabel(), [label.get_text() for label in axes.get_xticklabels()]
    ('learning rate', ['0.01', '0.1'])
    """
    from .figure import Figure

    wanted = quantity(objective)
    found = [(settings, value) for settings, value in scaled(trials, wanted) if value is not None]
    names = searched(found) or list(found[0][0])[:1]
    columns = min(_COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    width = max(6.4, 4.2 * columns)
    figure = Figure(figsize=(width, 3.8 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    axis_of = {name: scale(found, name, (scales or {}).get(name)) for name in names}
    for axes, name in zip(panels, names, strict=False):
        _panel(axes, found, name, wanted, axis_of[name])
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    for axes in panels[::columns]:
        axes.set_ylabel(wanted.label)
    low, high = _limits([value for _, value in found])
    panels[0].set_ylim(low, high)
    if title:
        figure.suptitle(title)
    kinds = {axis.is_even for axis in axis_of.values()}
    bar = " or ".join(_MEANING[is_even] for is_even in sorted(kinds, reverse=True))
    figure.supxlabel(
        f"bar: best trial {bar} (the axis need not begin at 0); dot: every trial", fontsize=9
    )
    return figure


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """Around all values, so that small differences can be seen; not below 0."""
    low, high = min(values), max(values)
    margin = 0.12 * (high - low) or 0.1 * high or 1.0
    return max(0.0, low - 2 * margin), high + margin


def _panel(
    axes: "Axes",
    trials: Sequence[tuple[Mapping[str, Any], float]],
    name: str,
    wanted: Quantity,
    axis: Scale,
) -> None:
    overall = wanted.best(value for _, value in trials)
    if axis.is_even:
        edges = [(place - 0.35, place + 0.35) for place in range(len(axis.values))]
    else:
        edges = _bins(*axis.ends(), axis.log)
    if axis.log:
        axes.set_xscale("log")
        axes.tick_params(axis="x", which="minor", labelbottom=False)
    ticks = axis.ticks()
    axes.set_xticks([axis.place(value) for value in ticks], [text(value) for value in ticks])
    if sum(len(text(value)) for value in ticks) > 36:
        axes.tick_params(axis="x", labelrotation=45)
    for left, right in edges:
        within = [v for settings, v in trials if left <= axis.place(settings[name]) <= right]
        if within:
            height = wanted.best(within)
            style = _BEST if height == overall else _BAR
            axes.bar(left, height, width=right - left, align="edge", **style)
            if axis.is_even:
                axes.annotate(
                    wanted.text(height),
                    ((left + right) / 2, 0),
                    (0, 5),
                    xycoords=axes.get_xaxis_transform(),
                    textcoords="offset points",
                    ha="center",
                    fontsize=9,
                    color="white" if style is _BEST else "black",
                )
    axes.plot(
        [axis.place(settings[name]) for settings, _ in trials],
        [value for _, value in trials],
        linestyle="",
        marker="o",
        markersize=4,
        color="white",
        markeredgecolor="black",
        markeredgewidth=0.9,
    )
    axes.set_xlabel(label(name) + (" (log scale)" if axis.log else ""))
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _bins(low: float, high: float, log: bool) -> list[tuple[float, float]]:
    """Tenths of a range."""
    if log:
        low, high = math.log(low), math.log(high)
    edges = [low + (high - low) * index / _BINS for index in range(_BINS + 1)]
    edges = [math.exp(edge) for edge in edges] if log else edges
    edges[0], edges[-1] = edges[0] * (1 - 1e-9), edges[-1] * (1 + 1e-9)  # rounding of exp and log
    return list(itertools.pairwise(edges))
