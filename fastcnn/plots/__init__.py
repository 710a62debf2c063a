"""Pictures, one file per kind.

Each function takes arrays and returns a Matplotlib `Figure`; nothing is shown, and pyplot with
its global state is not used. Matplotlib takes 0.4 s to import, so it is imported when a picture
is drawn and not before.

Example:
    >>> from fastcnn.plots import curves, save
    >>> figure = curves({"epoch": [1, 2], "loss": [0.9, 0.4], "accuracy": [0.7, 0.9]})
    >>> save(figure, "curves.png")  # doctest: +SKIP
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from .curves import curves
from .predictions import predictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["curves", "predictions", "save"]


def save(figure: "Figure", path: str | Path, dpi: int = 120) -> None:
    """Write a figure as PNG; the file appears only once it is complete."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        figure.savefig(temporary, format="png", dpi=dpi)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
