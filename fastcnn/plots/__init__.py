"""Pictures, one file per kind.

Each function takes arrays and returns a Matplotlib `Figure`; nothing is shown, and pyplot with
its global state is not used. Matplotlib takes 0.4 s to import, so it is imported when a picture
is drawn and not before.

Examples
--------
>>> from fastcnn.plots import curves, save
>>> figure = curves({"epoch": [1, 2], "loss": [0.9, 0.4], "accuracy": [0.7, 0.9]})
>>> save(figure, "curves.png")
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from ..files import complete, place
from .bars import parameter_bars
from .confusion import confusion
from .curves import curves, overlay, side_by_side
from .drawing import drawn
from .feature_maps import feature_maps
from .given import given
from .gradients import gradient_flow
from .heatmap import weight_heatmap
from .importance import important_features
from .misclassified import misclassified
from .predictions import predictions
from .probabilities import class_probabilities
from .schedule import schedule_curves
from .search_bars import search_bars
from .search_grid import search_grid
from .search_history import search_history
from .search_parallel import search_parallel
from .tiles import unit_images, weight_tiles
from .variance import activation_variance
from .weights import neuron_norms, weight_histograms

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "activation_variance",
    "class_probabilities",
    "confusion",
    "curves",
    "feature_maps",
    "given",
    "gradient_flow",
    "important_features",
    "misclassified",
    "neuron_norms",
    "overlay",
    "parameter_bars",
    "predictions",
    "save",
    "schedule_curves",
    "search_bars",
    "search_grid",
    "search_history",
    "search_parallel",
    "side_by_side",
    "unit_images",
    "weight_heatmap",
    "weight_histograms",
    "weight_tiles",
]

FORMATS = ("png", "svg", "pdf")
_MOST_PIXELS = 100e6  # of a picture, which takes some ten bytes for each


def save(figure: "Figure", path: str | Path, dpi: int = 120) -> None:
    """Write a figure in the format that the name ends with; it appears only once complete.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        What a function of this package returned.
    path : path
        A name that ends with .png, .svg or .pdf.
    dpi : int
        Pixels per inch of a PNG.

    Raises
    ------
    ValueError
        If the name ends otherwise, or the picture would be too large for the memory.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> save(confusion([0, 1], [0, 1]), "confusion.png")
    >>> Path("confusion.png").exists()
    True
    """
    path = place(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise ValueError(f"a picture's name must end with .png, .svg or .pdf, got {path}")
    width, height = figure.get_size_inches()
    largest = int(math.sqrt(_MOST_PIXELS / (width * height)))
    if not 1 <= dpi <= largest:
        raise ValueError(
            f"dpi must be 1 to {largest} for a picture of {width:.3g} x {height:.3g} inches, "
            f"got {dpi}"
        )
    content = drawn(figure, kind, dpi=dpi)
    with complete(path) as temporary:
        temporary.write_bytes(content)
