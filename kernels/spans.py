"""Which pixels each output of a pool sees, where that is more than a window and its step.

A window's places on the image are `COUNT` of them, `step` pixels apart, from pixel `START` on; the
first of them is place `PLACE` of the window; a mean is divided by `DIVISOR`. Rows and columns have
such a table each, for what holds of an output holds of its row and of its column.
"""

from typing import NamedTuple

import numpy as np

START, COUNT, PLACE, DIVISOR = range(4)


class Spans(NamedTuple):
    """Of one axis.

    Attributes
    ----------
    table : array
        Int64 (outputs, 4).
    step : int
        Pixels between neighbouring places.
    window : int
        Places in a window, at most.
    """

    table: np.ndarray
    step: int
    window: int


def of_windows(
    size: int,
    outputs: int,
    window: int,
    stride: int,
    before: int,
    dilation: int = 1,
    counted: int | None = 0,
) -> Spans:
    """Windows that move by a stride over an axis with so much padding before it.

    Parameters
    ----------
    counted : int, optional
        Padding behind the image whose places count in a mean, and then so do those before it; None:
        places on the image alone count.
    """
    first = np.arange(outputs) * stride - before
    place = np.maximum(-(first // dilation), 0)
    count = np.minimum(-((first - size) // dilation), window) - place
    divisor = count
    if counted is not None:
        divisor = np.minimum(-((first - size - counted) // dilation), window)
    table = np.stack([first + place * dilation, count, place, divisor], axis=1)
    return Spans(table.astype(np.int64), dilation, window)


def adaptive(size: int, outputs: int) -> Spans:
    """As many windows as there shall be outputs, of sizes as equal as can be, that cover an axis.

    Output o sees pixels floor(o * size / outputs) to ceil((o + 1) * size / outputs) - 1, as in
    PyTorch; windows overlap where the quotients are not whole.
    """
    o = np.arange(outputs)
    start, stop = o * size // outputs, -(-(o + 1) * size // outputs)
    table = np.stack([start, stop - start, np.zeros_like(o), stop - start], axis=1)
    return Spans(table.astype(np.int64), 1, int((stop - start).max()))
