"""Loss and accuracy over the epochs, of one run or of several."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from . import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Run = Mapping[str, Sequence[float]]

# Prefix of the key, name, number of the line style.
_PARTS = (("", "train", 0), ("val_", "validation", 2), ("test_", "test", 1))
# Part -> (prefix of the key, what the axis says).
_NAMES = {"train": ("", "training"), "val": ("val_", "validation"), "test": ("test_", "test")}
# Quantity -> (what the axis says, factor from the history's unit).
_QUANTITIES = {
    "loss": ("loss", 1.0),
    "accuracy": ("accuracy (%)", 100.0),
    "exact_match": ("all labels right (%)", 100.0),
    "r2": ("explained share of the variance", 1.0),
    "lr": ("learning rate", 1.0),
    "seconds": ("time per epoch (s)", 1.0),
}
_SCORES = ("accuracy", "exact_match", "r2")  # of which a run has one
NATS = "cross-entropy, nats per image"
_NO_R2 = -1.0  # below, a network is no better the nearer it comes
_MOST_ACROSS = 4  # runs side by side; more make a second row


def curves(
    history: Run, title: str = "", best_epoch: int | None = None, loss: str = NATS
) -> "Figure":
    """Two panels: loss and accuracy of training, validation and test images per epoch.

    Parameters
    ----------
    history : mapping of lists
        ``epoch`` (from 1), ``loss`` (nats per image) and ``accuracy`` (0 to 1), and where there
        are such images ``val_loss``, ``val_accuracy``, ``test_loss``, ``test_accuracy``: what
        `Sequential.train` returns. Parts that are missing are left out. A run for numbers or
        several labels has ``r2`` or ``exact_match`` in the place of the accuracy.
    title : str
        Heading over both panels.
    best_epoch : int, optional
        Marked by a vertical line.
    loss : str
        What the loss of a run for classes is.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> figure = curves({"epoch": [1, 2], "loss": [0.9, 0.4], "accuracy": [0.7, 0.9]})
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['loss (cross-entropy, nats per image)', 'accuracy (%)']
    """
    figure = style.new_figure(10, 4.4, title)
    left, right = figure.subplots(1, 2)
    score = next((name for name in _SCORES if name in history), "accuracy")
    for axes, quantity in ((left, "loss"), (right, score)):
        _parts(axes, history, quantity, best_epoch)
        axes.set_ylabel(_QUANTITIES[quantity][0])
    if score == "accuracy":
        left.set_ylabel(_of_loss(loss))
    if score == "r2" and right.dataLim.ymax > _NO_R2:  # it may begin at -1000
        right.set_ylim(bottom=max(_NO_R2, right.get_ylim()[0]))
    _from_zero([left])
    style.legend_below(figure, left)
    return figure


def side_by_side(runs: Mapping[str, Run], title: str = "", loss: str = NATS) -> "Figure":
    """Loss above and accuracy below, a column for each run, with the same scale for all.

    Parameters
    ----------
    runs : mapping
        Name of a run -> its history, as `curves` takes it.
    title : str
        Heading over all panels.
    loss : str
        What their loss is; empty where they have several.

    Returns
    -------
    matplotlib.figure.Figure
        Panels row by row: the losses of the first four runs, their accuracies, then those of the
        next four.

    Raises
    ------
    ValueError
        If there is no run.

    Examples
    --------
    >>> run = {"epoch": [1, 2], "loss": [0.9, 0.4], "accuracy": [0.7, 0.9]}
    >>> figure = side_by_side({"small": run, "large": run})
    >>> [axes.get_title() for axes in figure.axes]
    ['small', 'large', '', '']
    """
    _check(runs)
    names = list(runs)
    across = min(len(names), _MOST_ACROSS)
    bands = -(-len(names) // across)
    figure = style.new_figure(max(5.5, 3.4 * across + 1), 6 * bands + 0.8, title)
    grid = figure.subplots(2 * bands, across, squeeze=False)
    score = next(
        (name for name in _SCORES if any(name in run for run in runs.values())), "accuracy"
    )
    losses, accuracies = [], []
    for index, name in enumerate(names):
        band, column = divmod(index, across)
        for row, quantity, panels in ((0, "loss", losses), (1, score, accuracies)):
            axes = grid[2 * band + row][column]
            _parts(axes, runs[name], quantity, None)
            panels.append(axes)
            if column == 0:
                words = _of_loss(loss) if quantity == "loss" else _QUANTITIES[quantity][0]
                axes.set_ylabel(words)
        losses[-1].set_title(style.wrapped(name, 3.2, 11), fontsize=11)
    for axes in grid.ravel():
        if not axes.lines:
            axes.remove()
    _same_scale(accuracies)
    _from_zero(losses)
    style.legend_below(figure, max(losses, key=lambda axes: len(axes.lines)))
    return figure


def overlay(
    runs: Mapping[str, Run],
    quantity: str = "accuracy",
    part: str = "train",
    title: str = "",
    loss: str = NATS,
) -> "Figure":
    """One quantity of several runs in one panel, a line each.

    Parameters
    ----------
    runs : mapping
        Name of a run, for the legend -> its history, as `curves` takes it.
    quantity : {"accuracy", "loss", "lr", "seconds"}
        What is drawn.
    part : {"train", "val", "test"}
        Of which images: those trained on, validated on, tested on.
    title : str
        Heading.
    loss : str
        What their loss is; empty where they have several.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no run, or a run has no such numbers; names it.

    Examples
    --------
    >>> fast = {"epoch": [1, 2], "accuracy": [0.7, 0.9]}
    >>> slow = {"epoch": [1, 2], "accuracy": [0.5, 0.6]}
    >>> figure = overlay({"lr 0.1": fast, "lr 0.01": slow})
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['lr 0.1', 'lr 0.01']
    """
    _check(runs)
    if quantity not in _QUANTITIES or part not in _NAMES:
        raise ValueError(
            f"a curve shows {', '.join(_QUANTITIES)} of the part {' or '.join(_NAMES)}, got "
            f"{quantity!r} of {part!r}"
        )
    prefix, images = _NAMES[part]
    label, factor = _QUANTITIES[quantity]
    label = _of_loss(loss) if quantity == "loss" else label
    figure = style.new_figure(8, 4.6 + 0.12 * len(runs), title)
    axes = figure.subplots()
    for index, (name, history) in enumerate(runs.items()):
        if not history.get(prefix + quantity):
            raise ValueError(_absent(name, history, quantity, part))
        values = [factor * value for value in history[prefix + quantity]]
        axes.plot(
            history["epoch"], values, label=name, **style.line_style(index, len(values))
        )  # fmt: skip
    of_images = quantity in ("loss", "accuracy")
    axes.set_ylabel(f"{images} {label}" if of_images else label)
    if quantity != "accuracy":
        _from_zero([axes])
    style.count_epochs(axes, [epoch for history in runs.values() for epoch in history["epoch"]])
    style.tidy(axes)
    style.legend_below(figure, axes, columns=3)
    return figure


def _of_loss(loss: str) -> str:
    return f"loss ({loss})" if loss else "loss"


def _absent(name: str, history: Run, quantity: str, part: str) -> str:
    """The sentence that a run has no such numbers: of which parts or quantities it has some."""
    parts = [other for other, (prefix, _) in _NAMES.items() if history.get(prefix + quantity)]
    if parts:
        return f"part must be {' or '.join(parts)} for {quantity} of the run {name}, got {part}"
    known = [other for other in _QUANTITIES if history.get(other)]
    return f"quantity must be one of {', '.join(known)} for the run {name}, got {quantity}"


def _check(runs: Mapping[str, Run]) -> None:
    if not runs:
        raise ValueError("curves of several runs need at least one run")


def _parts(axes: "Axes", history: Run, quantity: str, best_epoch: int | None) -> None:
    """One quantity of one run: a line for each part of the images."""
    epochs = history["epoch"]
    for prefix, label, number in _PARTS:
        values = history.get(prefix + quantity)
        if values:
            scaled = [value * _QUANTITIES[quantity][1] for value in values]
            axes.plot(epochs, scaled, label=label, **style.line_style(number, len(epochs)))
    if best_epoch is not None and len(epochs) > 1:
        axes.axvline(best_epoch, color="0.6", linewidth=1, zorder=0, label="best epoch")
    style.count_epochs(axes, epochs)
    style.tidy(axes)


def _from_zero(panels: "Sequence[Axes]") -> None:
    """From 0, with room above the highest marker."""
    highest = max(axes.dataLim.ymax for axes in panels)
    for axes in panels:
        axes.set_ylim(0, 1.05 * highest)


def _same_scale(panels: "Sequence[Axes]") -> None:
    limits = [axes.get_ylim() for axes in panels]
    for axes in panels:
        axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
