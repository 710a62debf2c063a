"""What every picture must fulfil: no text over another or over a neighbouring panel, none cut off.

The figure is drawn, and the boxes of what is written are compared with each other, with the
panels and with the canvas.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

_TOUCHING = 0.5  # pixels that two boxes may share: they are rounded


def _not_drawn(figure: Figure) -> Iterator[Text]:
    """Texts that exist but are not drawn: of hidden axes, of ticks beyond the limits."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            drawn: list[Text] = []
            if axes.get_visible() and axes.axison and axis.get_visible():
                drawn = [axis.label, axis.offsetText]
                for tick in axis._update_ticks():
                    drawn += [tick.label1, tick.label2]
            written = {id(text) for text in drawn}
            yield from (text for text in axis.findobj(Text) if id(text) not in written)


def texts(figure: Figure) -> list[tuple[Text, Bbox]]:
    """(text, its box in pixels) of everything that is written in a figure."""
    canvas = FigureCanvasAgg(figure)
    figure.draw_without_rendering()  # as `save` does
    canvas.draw()
    skipped = {id(text) for text in _not_drawn(figure)}
    return [
        (text, text.get_window_extent(canvas.get_renderer()))
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and id(text) not in skipped
    ]


def _overlaps(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether each of (N, 4) boxes, x0, y0, x1, y1, shares an area with each of (M, 4)."""
    start = np.maximum(some[:, None, :2], others[None, :, :2])
    end = np.minimum(some[:, None, 2:], others[None, :, 2:])
    return ((end - start) > _TOUCHING).all(axis=2)


def _corners(boxes: Iterable[Bbox]) -> np.ndarray:
    return np.array([box.extents for box in boxes]).reshape(-1, 4)


def faults(figure: Figure) -> list[str]:
    """A sentence for each fault of a picture."""
    written = texts(figure)
    found = [] if written else ["nothing is written in the picture"]
    names = [repr(text.get_text()) for text, _ in written]
    boxes = _corners(box for _, box in written)
    canvas = figure.bbox.extents
    cut = (boxes[:, :2] < canvas[:2]).any(axis=1) | (boxes[:, 2:] > canvas[2:]).any(axis=1)
    found += [f"{names[i]} is cut off" for i in np.flatnonzero(cut)]
    pairs = np.argwhere(np.triu(_overlaps(boxes, boxes), 1))
    found += [f"{names[i]} overlaps {names[k]}" for i, k in pairs]
    panels = _overlaps(boxes, _corners(axes.bbox for axes in figure.axes))
    for i, k in np.argwhere(panels):
        if written[i][0].axes not in (None, figure.axes[k]):
            found.append(f"{names[i]} lies over another panel")
    return found
