"""Loss and accuracy over the epochs."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Line style and marker tell the parts apart without colour; the colours differ in lightness too.
_PARTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("", "train", {"color": "#1b3a6b", "linestyle": "-", "marker": "o"}),
    ("val_", "validation", {"color": "#3f9c6d", "linestyle": ":", "marker": "^"}),
    ("test_", "test", {"color": "#e07b28", "linestyle": "--", "marker": "s"}),
)
_MANY_EPOCHS = 25  # beyond this many, markers would touch


def curves(
    history: Mapping[str, Sequence[float]], title: str = "", best_epoch: int | None = None
) -> "Figure":
    """Two panels: loss and accuracy of training, validation and test images per epoch.

    Parameters
    ----------
    history : mapping of lists
        ``epoch`` (from 1), ``loss`` (nats per image) and ``accuracy`` (0 to 1), and where there
        are such images ``val_loss``, ``val_accuracy``, ``test_loss``, ``test_accuracy``: what
        `fastcnn.training.fit` returns. Parts that are missing are left out.
    title : str
        Heading over both panels.
    best_epoch : int, optional
        Marked by a vertical line.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    _panel(left, history, "loss", 1.0, best_epoch)
    left.set_ylabel("loss (cross-entropy, nats per image)")
    left.set_ylim(0, 1.05 * left.dataLim.ymax)  # from 0, with room above the highest marker
    _panel(right, history, "accuracy", 100.0, best_epoch)
    right.set_ylabel("accuracy (%)")
    left.legend(loc="upper right", frameon=False, handlelength=3)
    right.legend(loc="lower right", frameon=False, handlelength=3)
    if title:
        figure.suptitle(title)
    return figure


def _panel(
    axes: "Axes",
    history: Mapping[str, Sequence[float]],
    quantity: str,
    factor: float,
    best_epoch: int | None,
) -> None:
    from matplotlib.ticker import MaxNLocator

    epochs = history["epoch"]
    every = max(1, math.ceil(len(epochs) / _MANY_EPOCHS))
    for prefix, label, style in _PARTS:
        values = history.get(prefix + quantity)
        if values:
            scaled = [value * factor for value in values]
            axes.plot(
                epochs, scaled, label=label, markersize=4, markevery=every, linewidth=1.6, **style
            )
    if best_epoch is not None and len(epochs) > 1:
        axes.axvline(best_epoch, color="0.6", linewidth=1, zorder=0, label="best epoch")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(epochs) == 1:
        axes.set_xticks(list(epochs))
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
