"""Weights in the order in which the kernels read them: what training packs at every step.

The bits are those that the kernels' own packing gives.
"""

from typing import Any

import numpy as np

from kernels.conv.winograd_pieces import planes_of
from kernels.tile import (
    PAIRED,
    full_panel,
    full_vectors,
    odd_vectors,
    packed_mode,
    panel_width,
    vector_lanes,
)


def _like(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1)


def _up(count: int, width: int) -> int:
    return -(-count // width) * width


def _in_panels(array: np.ndarray, width: int) -> np.ndarray:
    """The last axis cut into panels, which become the first axis; zeros behind its end."""
    count = array.shape[-1]
    wide = np.zeros((*array.shape[:-1], _up(count, width)), array.dtype)
    wide[..., :count] = array
    panels = wide.reshape(*array.shape[:-1], -1, width)
    return np.ascontiguousarray(np.moveaxis(panels, -2, 0))


def vector(array: np.ndarray | None, count: int, width: int, dtype: np.dtype) -> np.ndarray:
    """Numbers, or zeros for none, and zeros behind them up to whole widths."""
    wide = np.zeros(_up(count, width), dtype)
    if array is not None:
        wide[:count] = array
    return wide


def filters(weight: np.ndarray, groups: int) -> np.ndarray:
    """Those of a convolution on the register tile, as `kernels.tile.pack` has them."""
    own, depth = len(weight) // groups, weight.shape[1]
    width = int(panel_width(_like(weight), own))
    is_paired = int(packed_mode(_like(weight), own, depth)) == PAIRED
    parts = []
    for g in range(groups):
        here = weight[g * own : (g + 1) * own].transpose(2, 3, 1, 0)
        panels = _in_panels(here, width)  # panel, row, column, channel, filter
        if is_paired:
            pairs = panels.reshape(*panels.shape[:3], depth // 2, 2, width)
            panels = pairs.swapaxes(-1, -2)
        parts.append(panels.reshape(-1))
    return np.concatenate(parts)


def filter_biases(bias: np.ndarray | None, weight: np.ndarray, groups: int) -> np.ndarray:
    """Those of each group in whole panels."""
    own = len(weight) // groups
    width = int(panel_width(_like(weight), own))
    parts = [None] * groups if bias is None else bias.reshape(groups, own)
    return np.concatenate([vector(part, own, width, weight.dtype) for part in parts])


def _transformed_line(taps: Any, side: int) -> tuple[Any, ...]:
    """G times a line of three taps; the two last of six are a complex number."""
    g0, g1, g2 = taps
    half, quarter = g0.dtype.type(0.5), g0.dtype.type(0.25)
    if side == 2:
        return g0, half * (g0 + g1 + g2), half * (g0 - g1 + g2), g2
    ends, middle = quarter * (g0 + g2), quarter * g1
    return g0, ends + middle, ends - middle, g2, half * (g0 - g2), -half * g1


def transformed(weight: np.ndarray, side: int) -> np.ndarray:
    """G g G^T of all filters, as `kernels.conv.winograd_image.transform_filters` has them."""

    def parts(real, imaginary):
        return [real, imaginary, real + imaginary]

    taps = weight.transpose(2, 3, 1, 0)  # row, column, channel, filter
    columns = [_transformed_line(taps[:, j], side) for j in range(3)]
    rows = [_transformed_line(each, side) for each in zip(*columns, strict=True)]
    planes = [each for row in rows[:4] for each in row]
    if side == 4:
        (*r, rr, ri), (*i, ir, ii) = rows[4:]
        half = weight.dtype.type(0.5)
        planes = [each for row in rows[:4] for each in (*row[:4], *parts(*row[4:]))]
        planes += [each for both in zip(r, i, strict=True) for each in parts(*both)]
        planes += parts(half * (rr - ii), half * (ir + ri))
        planes += parts(half * (rr + ii), half * (ir - ri))
    width = int(full_panel(_like(weight), len(weight)))
    packed = np.stack([_in_panels(plane, width).reshape(-1) for plane in planes])
    plane = int(odd_vectors(packed.shape[1], packed[0]))
    room = np.zeros((planes_of(side), plane), packed.dtype)
    room[:, : packed.shape[1]] = packed
    return room.reshape(-1)


def pieces(weight: np.ndarray, down: int, across: int) -> np.ndarray:
    """Filters (O, C, kh, kw) cut into 3 x 3 pieces (O, down * across * C, 3, 3), zeros beyond."""
    filters, channels, rows, columns = weight.shape
    whole = np.zeros((filters, channels, 3 * down, 3 * across), weight.dtype)
    whole[:, :, :rows, :columns] = weight
    cut = whole.reshape(filters, channels, down, 3, across, 3).transpose(0, 2, 4, 1, 3, 5)
    return cut.reshape(filters, down * across * channels, 3, 3)


def panels(weight: np.ndarray) -> np.ndarray:
    """Those of a dense layer, (in, out), in panels of columns."""
    return _in_panels(weight, int(panel_width(_like(weight), weight.shape[1]))).reshape(-1)


def taps(weight: np.ndarray) -> np.ndarray:
    """Those of a depthwise convolution, in whole vectors, tap by tap."""
    width = int(full_vectors(_like(weight), len(weight)))
    packed = np.zeros((weight[0].size, width), weight.dtype)
    packed[:, : len(weight)] = weight.reshape(len(weight), -1).T
    return packed.reshape(-1)


def lanes(dtype: np.dtype) -> int:
    """Numbers in a vector."""
    return int(vector_lanes(np.empty(0, dtype)))
