"""Matplotlib's figure, made without pyplot and its backends, that a notebook shows all the same."""

import contextlib
import os
import sys

if "matplotlib" not in sys.modules:
    # MPLBACKEND, meant for pyplot, may name a backend that is unknown here, and Matplotlib would
    # not be imported: it is set afterwards, as Matplotlib does, and does not matter if refused.
    _backend = os.environ.pop("MPLBACKEND", None)
    import matplotlib

    if _backend:
        os.environ["MPLBACKEND"] = _backend
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = _backend

import matplotlib.figure

from .drawing import drawn


class Figure(matplotlib.figure.Figure):
    """A figure that shows itself where it is the last line of a notebook's cell."""

    def _repr_png_(self) -> bytes:
        return drawn(self)
