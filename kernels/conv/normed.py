"""What a convolution does for the batch normalisation before it, and for that behind it.

An image that passes through memory between two layers is written, read, and often read once more.
So a convolution may

- normalise the images that it reads itself (`images_of`): those behind BatchNorm and ReLU are then
  never written, and going back they are made again from what BatchNorm was given;
- sum up the images that it writes while they are in the cache (`sum_up`): the statistics of the
  normalisation behind it, and going back the sums that the one before it needs.

Kernels that do none of it are given plain arrays, for which less is compiled.

The bits are those of `norm.batch`, which sums up images one by one, too (`norm.units`).
"""

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from kernels import jit
from kernels.conv.gradient_source import nothing
from kernels.jit import thread_id
from kernels.norm.batch import normalise_stretch, statistics_unit
from kernels.norm.batch_gradient import gradient_sums_unit
from kernels.norm.units import Room, are_images, room
from kernels.portion import Portion
from kernels.shares import AHEAD
from kernels.workspace import Workspace


class NormedInput(NamedTuple):
    """Images that are to be normalised and rectified when they are read.

    x : (N, H, W, C), what BatchNorm was given
    factors, width : what `norm.batch_statistics` returned
    """

    x: np.ndarray
    factors: np.ndarray
    width: int


class Images(NamedTuple):
    """The same as kernels take it. x : flat; factors : empty if x is what is wanted itself.

    room : for each thread an image that is normalised
    """

    x: np.ndarray
    factors: np.ndarray
    width: int
    room: np.ndarray


def images_of(
    x: np.ndarray | NormedInput, workspace: Workspace, beside_norm: bool
) -> Images | np.ndarray:
    """What kernels take for an array (N, H, W, C), or for one that is to be normalised.

    beside_norm : whether it may be the latter in these kernels; if not, less is compiled
    """
    if isinstance(x, NormedInput):
        size = x.x[0].size + jit.SLACK
        normed = workspace.array("normed_images", (jit.max_threads(), size), x.x.dtype)
        return Images(x.x.reshape(-1), x.factors, x.width, normed)
    if not beside_norm:
        return x.reshape(-1)
    none = workspace.array("normed_images", (jit.max_threads(), 0), x.dtype)
    return Images(x.reshape(-1), nothing(x.dtype), 0, none)


def read_for(images: Any, first: int) -> Any:
    """In kernels: (array, start in it) of what an image that begins at ``first`` is made of."""
    raise NotImplementedError


def image_of(images: Any, first: int, size: int) -> Any:
    """In kernels: (array, start in it) of the image that begins at ``first``."""
    raise NotImplementedError


@overload(read_for)
def _read_for(images, first):
    if isinstance(images, types.Array):
        return lambda images, first: (images, first)
    return lambda images, first: (images.x, first)


@overload(image_of)
def _image_of(images, first, size):
    if isinstance(images, types.Array):
        return lambda images, first, size: (images, first)
    return lambda images, first, size: _normed_image(images, first, size)


@jit.serial
def _normed_image(images, first, size):
    if images.factors.size == 0:
        return images.x, first
    normed = images.room[thread_id()]
    normalise_stretch(
        images.x, first, size, images.factors, images.width, images.x[:0], True, normed, 0,
        images.x, first + 2 * AHEAD,
    )  # fmt: skip
    return normed, 0


class SumsBefore(NamedTuple):
    """Where the sums of a gradient go that the normalisation before needs, and what they are of.

    sums, columns, block, width : `norm.units.Room`; without sums, nobody needs them
    x, factors : of the `NormedInput`
    """

    sums: np.ndarray
    columns: np.ndarray
    block: np.ndarray
    width: int
    x: np.ndarray
    factors: np.ndarray


def shape_of(x: np.ndarray | NormedInput) -> tuple[int, ...]:
    """(N, H, W, C)"""
    return (x.x if isinstance(x, NormedInput) else x).shape


def nothing_summed(dtype: np.dtype, workspace: Workspace) -> Room:
    """No image is summed up now, but by kernels that could."""
    return room(0, 1, dtype, workspace)


def statistics_of(
    shape: tuple[int, ...], dtype: np.dtype, workspace: Workspace, portion: Portion
) -> Room:
    """For images (N, H, W, C) that BatchNorm takes the statistics of, a portion of a batch.

    Without any sums where it does not form those of images.
    """
    count, height, width, channels = shape
    size = height * width * channels
    units = count if are_images(portion.images(count), size, channels) else 0
    return room(units, channels, dtype, workspace)


def sums_before(x: np.ndarray | NormedInput, dtype: np.dtype, workspace: Workspace) -> SumsBefore:
    """For the gradient by images: what BatchNorm needs of it, if it is to normalise them."""
    if isinstance(x, NormedInput):
        where = statistics_of(x.x.shape, dtype, workspace, workspace.portion)
        return SumsBefore(*where, x.x.reshape(-1), x.factors)
    return SumsBefore(*nothing_summed(dtype, workspace), nothing(dtype), nothing(dtype))


def sum_up(summing: Any, y: Any, n: int, size: int, channels: int) -> None:
    """In kernels: sum up image n, which lies in y[n * size:].

    summing : a `Room` for its statistics; or a `SumsBefore`; or an array, and nothing is summed up
    """
    raise NotImplementedError


@overload(sum_up)
def _sum_up(summing, y, n, size, channels):
    if isinstance(summing, types.Array):
        return lambda summing, y, n, size, channels: None
    if summing.instance_class is Room:
        return lambda summing, y, n, size, channels: _measure(summing, y, n, size, channels)
    return lambda summing, y, n, size, channels: _sum_gradient(summing, y, n, size, channels)


@jit.serial
def _measure(room, y, n, size, channels):
    if room.sums.size:
        statistics_unit(y, n * size, (n + 1) * size, channels, room, thread_id(), n)


@jit.serial
def _sum_gradient(summing, dy, n, size, channels):
    if summing.sums.size:
        room = Room(summing.sums, summing.columns, summing.block, summing.width)
        gradient_sums_unit(
            dy, summing.x, n * size, (n + 1) * size, summing.factors, True, channels, room,
            thread_id(), n,
        )  # fmt: skip
