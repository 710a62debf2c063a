"""How a search went on: every trial, and the best so far."""

from typing import TYPE_CHECKING

from .settings import Trials, quantity, scaled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def search_history(trials: Trials, objective: str = "val_accuracy", title: str = "") -> "Figure":
    """A dot per trial, a line for the best so far, a cross at the bottom where there is no result.

    Parameters
    ----------
    trials, objective, title
        As `fastcnn.plots.search_bars`; trials in order.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the objective is not known.

    Examples
    --------
    >>> figure = search_history([({"lr": 0.1}, 0.9), ({"lr": 0.01}, 0.8), ({"lr": 1.0}, None)])
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['best so far', 'trial', 'no result']
    """
    from matplotlib.ticker import MaxNLocator

    from .figure import Figure

    wanted = quantity(objective)
    values = [value for _, value in scaled(trials, wanted)]
    found = [(number, value) for number, value in enumerate(values) if value is not None]
    without = [number for number, value in enumerate(values) if value is None]
    best = [wanted.best(value for _, value in found[: end + 1]) for end in range(len(found))]

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    numbers = [number for number, _ in found]
    axes.plot(
        [*numbers, len(values) - 1], [*best, best[-1]], color="#1b3a6b", linewidth=1.6,
        drawstyle="steps-post", label="best so far",
    )  # fmt: skip
    axes.plot(
        numbers, [value for _, value in found], linestyle="", marker="o", markersize=5,
        color="#e07b28", markeredgecolor="black", markeredgewidth=0.6, label="trial",
    )  # fmt: skip
    if without:
        axes.plot(
            without, [0.02] * len(without), linestyle="", marker="x", markersize=6, color="0.3",
            label="no result", transform=axes.get_xaxis_transform(),
        )  # fmt: skip
    axes.set_xlabel("trial")
    axes.set_ylabel(wanted.label)
    axes.margins(y=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    if title:
        figure.suptitle(title)
    return figure
