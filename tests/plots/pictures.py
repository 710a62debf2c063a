"""What every picture must fulfil: no text over another or over a neighbouring panel, none cut off.

The figure is drawn, and the boxes of what is written are compared with each other, with the
panels and with the canvas.
"""

from collections.abc import Iterator

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


def _overlap(one: Bbox, other: Bbox) -> bool:
    shared = Bbox.intersection(one, other)
    return shared is not None and min(shared.width, shared.height) > _TOUCHING


def faults(figure: Figure) -> list[str]:
    """A sentence for each fault of a picture."""
    written = texts(figure)
    canvas = figure.bbox
    found = [] if written else ["nothing is written in the picture"]
    for index, (text, box) in enumerate(written):
        name = repr(text.get_text())
        inside = canvas.x0 <= box.x0 and canvas.y0 <= box.y0
        if not (inside and box.x1 <= canvas.x1 and box.y1 <= canvas.y1):
            found.append(f"{name} is cut off")
        for other, another in written[index + 1 :]:
            if _overlap(box, another):
                found.append(f"{name} overlaps {other.get_text()!r}")
        for axes in figure.axes:
            if axes is not text.axes and text.axes is not None and _overlap(box, axes.bbox):
                found.append(f"{name} lies over another panel")
    return found
