"""A convolution's weights, packed into the panels that the register tile reads.

What is packed where follows from shapes alone: a table with a row for each group, and in an input
gradient for each of its phases. Kernels pack small weights themselves; large ones are packed
before, by all threads, and nothing is left to them.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from kernels import jit
from kernels.shares import CHUNKS, is_small
from kernels.tile import pack


class Panels(NamedTuple):
    """What `tile.pack` is told.

    table : rows of (first number, three strides, three counts, where the panels begin)
    channel_stride, channels : of the weights, from one column of the panels to the next
    """

    table: np.ndarray
    channel_stride: int
    channels: int


@jit.serial
def pack_share(weight, panels, packed, part, parts):
    """Pack one share of each row's panels."""
    for k in range(panels.table.shape[0]):
        first, i, j, step, count_i, count_j, count, packed0 = panels.table[k]
        pack(
            weight, first, (i, j, step), (count_i, count_j, count), panels.channel_stride,
            panels.channels, (part, parts), packed, packed0,
        )  # fmt: skip


@jit.parallel
def _pack(weight, panels, packed):
    for part in prange(CHUNKS):  # owns a share of each row's panels
        pack_share(weight, panels, packed, part, CHUNKS)


def packed_before(weight: np.ndarray, panels: Panels, packed: np.ndarray) -> Panels:
    """What is left to pack: large weights are packed here."""
    if is_small(packed.size):
        return panels
    _pack(weight, panels, packed)
    return panels._replace(table=panels.table[:0])
