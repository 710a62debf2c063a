"""What batch normalisation sums up by itself: an image, or a chunk of a batch of small ones.

Whoever writes an image can sum it up while it is in the cache, and the bits are the same
(`conv.normed`). The sums of units are added in order to those of their chunk, and chunks along
a tree (`portion`).

    borders   (units + 1,): where units begin in the flat array, and where the last one ends
    firsts    (chunks + 1,): the first unit of each chunk, likewise
    sums      (units * 3 * C,): for each unit three rows of float64, sums of the channels; sums of
              squares or of products; and for squares what they are about

Inside a unit sums run along `wide_rows`.
"""

from typing import NamedTuple

import numpy as np

from kernels import jit
from kernels.norm.wide_rows import LEAST_CHUNK_ROWS, fold, in_chunks
from kernels.portion import MAX_CHUNKS, Portion, cut
from kernels.shares import is_small
from kernels.simd import lanes, load_part, store_part
from kernels.workspace import Workspace

ROWS = 3  # of a unit's sums


class Room(NamedTuple):
    """Where the sums of units go, and what a thread needs to form them.

    sums : see above; empty if nobody wants them
    columns (threads, 2 * width), float64 : the sums of a unit, column by column
    block (threads, 2 * width) : likewise of a block, in the array's dtype
    width : columns of a wide row
    """

    sums: np.ndarray
    columns: np.ndarray
    block: np.ndarray
    width: int


def room(units: int, channels: int, dtype: np.dtype, workspace: Workspace) -> Room:
    """For so many units; with none, the sums are wanted by nobody."""
    width = fold(channels) * channels
    shape = (jit.max_threads(), 2 * width) if units else (1, 0)
    return Room(
        workspace.array("norm_unit_sums", (units * ROWS * channels,), np.float64),
        workspace.array("norm_columns", shape, np.float64),
        workspace.array("norm_block", shape, dtype),
        width,
    )


def are_images(images: int, size: int, channels: int) -> bool:
    """Whether units are images, if a batch has so many of so many numbers."""
    wide = fold(channels) * channels
    enough = images >= MAX_CHUNKS and size >= LEAST_CHUNK_ROWS * wide
    return enough and not is_small(images * size)


def in_units(
    *arrays: np.ndarray, channels: int, portion: Portion
) -> tuple[tuple[np.ndarray, ...], Portion, np.ndarray, np.ndarray]:
    """Arrays (N, ..., C) as flat ones, what portion of the batch they are, borders and firsts."""
    here = len(arrays[0])
    size, images = arrays[0].size // here, portion.images(here)
    flat, portion, borders = in_chunks(*arrays, channels=channels, portion=portion)
    if are_images(images, size, channels):
        return flat, portion, cut(flat[0].size, flat[0].size // size), borders // size
    return flat, portion, borders, cut(len(borders) - 1, len(borders) - 1)


@jit.serial
def fold_columns(columns, start, width, count, channels, sums, at):
    """The sums of ``count`` columns into those of a unit's channels, from sums[at] on."""
    for row in range(2):
        for c in range(0, channels, lanes(sums)):
            first, left = start + row * width + c, channels - c
            total = load_part(columns, first, left)
            for column in range(channels, count, channels):
                total = total + load_part(columns, first + column, left)
            store_part(sums, at + row * channels + c, total, left)


@jit.serial
def add_units(unit_sums, firsts, channels, sums):
    """The sums of each chunk: those of its units, one after the other."""
    size, step = 2 * channels, ROWS * channels
    for chunk in range(firsts.size - 1):
        for k in range(0, size, lanes(sums)):
            total = load_part(unit_sums, firsts[chunk] * step + k, size - k)
            for unit in range(firsts[chunk] + 1, firsts[chunk + 1]):
                total = total + load_part(unit_sums, unit * step + k, size - k)
            store_part(sums, chunk * size + k, total, size - k)
