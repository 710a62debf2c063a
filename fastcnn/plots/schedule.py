"""Learning rates over the epochs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from . import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def schedule_curves(
    rates: Mapping[str, Sequence[float]], title: str = "", steps_per_epoch: int = 1
) -> "Figure":
    """The learning rates of one or several schedules in one panel.

    Parameters
    ----------
    rates : mapping
        Name, for the legend -> the learning rate of each epoch, or of each step.
    title : str
        Heading.
    steps_per_epoch : int
        How many rates make an epoch.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no schedule, or one without rates.

    Examples
    --------
    >>> figure = schedule_curves({"step": [0.1, 0.1, 0.05], "constant": [0.1, 0.1, 0.1]})
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['step', 'constant']
    """
    if not rates or not all(rates.values()):
        raise ValueError("schedule curves need at least one schedule, each with at least one rate")
    figure = style.new_figure(8, 4.6 + 0.12 * len(rates), title)
    axes = figure.subplots()
    for index, (name, values) in enumerate(rates.items()):
        done = [step / steps_per_epoch for step in range(len(values) + 1)]
        look = style.line_style(index, len(values))
        if steps_per_epoch > 1:
            look["marker"] = ""  # would be taken for the steps, but cannot be as many
        axes.plot(done, [*values, values[-1]], drawstyle="steps-post", label=name, **look)
    axes.set_ylim(0, 1.05 * max(map(max, rates.values())))
    style.limit_ticks(axes.xaxis, 9, whole=True)
    axes.set_xlabel("epochs done")
    axes.set_ylabel("learning rate")
    style.tidy(axes)
    style.legend_below(figure, axes)
    return figure
