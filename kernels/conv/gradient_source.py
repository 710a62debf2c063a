"""Where a convolution's gradient comes from: from memory, or made image by image when needed.

Between a convolution and the next array that is kept there may be batch normalisation, 2 x 2 max
pooling and ReLU. Their gradient is as large as the convolution's output, four times what it is made
from if they pool, and the convolution reads it twice: it is sooner made twice, in a thread's own
scratch, than written and read.

    PLAIN        dy is the gradient
    POOLED       dy belongs to the pooled images y; index says where each came from
    NORMED       dy is the gradient behind batch normalisation of x, and ReLU
    NORM_POOLED  dy belongs to pooled images as in POOLED, after batch normalisation of x
"""

import functools
from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload

from kernels import jit
from kernels.jit import thread_id
from kernels.norm.batch_gradient import gradient_stretch
from kernels.norm.pooled import spread_image
from kernels.pool.image import image_sizes, spread_fours_image
from kernels.portion import Portion
from kernels.simd import lanes, load_part, store_part
from kernels.simd.mathematics import through_relu
from kernels.workspace import Workspace

PLAIN, POOLED, NORMED, NORM_POOLED = range(4)


_INDEX = np.dtype(np.uint8)


@functools.cache
def nothing(dtype: np.dtype) -> np.ndarray:
    """An array that is not there."""
    return np.empty(0, dtype)


class GradientSource(NamedTuple):
    """The gradient of a convolution's output (N, H, W, O), which need not exist as an array.

    relu : whether ReLU came last
    y, index : the pooled images (N, H // 2, W // 2, O), rectified if `relu`, and uint8 indices
    x : the convolution's output
    factors, row : what `norm.batch_gradient_factors` returned, if NORMED; what
        `norm.pooled.norm_pool_factors` did, if NORM_POOLED
    beside_norm : whether there are such kinds in the same kernels, for which more is compiled
    """

    dy: np.ndarray
    kind: int = PLAIN
    relu: bool = False
    y: np.ndarray | None = None
    index: np.ndarray | None = None
    x: np.ndarray | None = None
    factors: np.ndarray | None = None
    row: int = 0
    beside_norm: bool = False

    def whole(self, portion: Portion, x: np.ndarray) -> tuple[np.ndarray, "GradientSource"]:
        """The convolution's images x and this, of the whole batch; other processes have a part."""
        names = [name for name in ("dy", "y", "index", "x") if getattr(self, name) is not None]
        x, *arrays = portion.whole(x, *(getattr(self, name) for name in names))
        return x, self._replace(**dict(zip(names, arrays, strict=True)))

    def arguments(
        self, shape: tuple[int, ...], group: int, workspace: Workspace
    ) -> "Gradient | GradientByNorm":
        """What `gradient_images` takes, for an output of that shape and so many images at once."""
        dtype = self.dy.dtype
        none, no_index = nothing(dtype), nothing(_INDEX)
        size = shape[1] * shape[2] * shape[3]
        room = (group + 1) * size if self.index is not None else group * size + jit.SLACK
        room = 0 if self.kind == PLAIN else room
        pooled = self.dy.shape[1:3] if self.index is not None else (0, 0)
        gradient = Gradient(
            self.kind,
            self.relu,
            self.dy.reshape(-1),
            none if self.y is None else self.y.reshape(-1),
            no_index if self.index is None else self.index.reshape(-1),
            workspace.array("gradients", (jit.max_threads(), room), dtype),
            shape[1],
            shape[2],
            pooled[0],
            pooled[1],
            shape[3],
        )
        if not self.beside_norm:
            return gradient
        return GradientByNorm(
            *gradient,
            none if self.x is None else self.x.reshape(-1),
            none if self.factors is None else self.factors,
            self.row,
        )


class Gradient(NamedTuple):
    """A `GradientSource` as kernels take it: flat arrays, empty where there are none.

    room : each thread's images; behind those that are pooled, room for a pooled one
    """

    kind: int
    relu: bool
    dy: np.ndarray
    y: np.ndarray
    index: np.ndarray
    room: np.ndarray
    height: int
    width: int
    pooled_height: int
    pooled_width: int
    channels: int


class GradientByNorm(NamedTuple):
    """The same of one that may come through a normalisation."""

    kind: int
    relu: bool
    dy: np.ndarray
    y: np.ndarray
    index: np.ndarray
    room: np.ndarray
    height: int
    width: int
    pooled_height: int
    pooled_width: int
    channels: int
    x: np.ndarray
    factors: np.ndarray
    row: int


def gradient_images(gradient: Any, first: int, last: int) -> Any:
    """In kernels: (array, start in it) of the gradients of the images ``first`` to ``last`` - 1."""
    raise NotImplementedError


def normed_from(gradient: Any, first: int) -> Any:
    """In kernels: (array, start in it) of what normalisation was given; empty without it."""
    raise NotImplementedError


@overload(normed_from)
def _normed_from(gradient, first):
    if gradient.instance_class is GradientByNorm:
        return lambda gradient, first: (gradient.x, first)
    return lambda gradient, first: (gradient.dy[:0], first)


@overload(gradient_images)
def _gradient_images(gradient, first, last):
    if gradient.instance_class is GradientByNorm:
        return lambda gradient, first, last: _images_by_norm(gradient, first, last)
    return lambda gradient, first, last: _images(gradient, first, last)


@jit.serial
def _sizes_of(gradient):
    return (
        gradient.height, gradient.width, gradient.pooled_height, gradient.pooled_width,
        gradient.channels,
    )  # fmt: skip


@jit.serial
def _images(gradient, first, last):
    sizes = _sizes_of(gradient)
    size, pooled_size = image_sizes(sizes)
    if gradient.kind == PLAIN:
        return gradient.dy, first * size
    images = gradient.room[thread_id()]
    for n in range(first, last):
        pooled, pooled0 = _pooled_gradient(gradient, n * pooled_size, pooled_size, images, size)
        spread_fours_image(
            pooled, pooled0, gradient.index, n * pooled_size, sizes, True, images,
            (n - first) * size,
        )  # fmt: skip
    return images, 0


@jit.serial
def _images_by_norm(gradient, first, last):
    sizes = _sizes_of(gradient)
    size, pooled_size = image_sizes(sizes)
    if gradient.kind == PLAIN:
        return gradient.dy, first * size
    images, x, factors = gradient.room[thread_id()], gradient.x, gradient.factors
    if gradient.kind == NORMED:
        gradient_stretch(
            gradient.dy, x, first * size, (last - first) * size, factors, gradient.row,
            gradient.relu, images, 0,
        )  # fmt: skip
        return images, 0
    for n in range(first, last):
        index0 = n * pooled_size
        pooled, pooled0 = _pooled_gradient(gradient, index0, pooled_size, images, size)
        image0 = (n - first) * size
        if gradient.kind == POOLED:
            spread_fours_image(pooled, pooled0, gradient.index, index0, sizes, True, images, image0)
        else:
            spread_image(
                pooled, pooled0, gradient.index, index0, x, n * size, factors, sizes, images,
                image0,
            )  # fmt: skip
    return images, 0


@jit.serial
def _pooled_gradient(gradient, first, count, images, size):
    """(array, start in it) of the gradient by a pooled image that begins at dy[first]."""
    if not gradient.relu:
        return gradient.dy, first
    pooled0 = images.size - size
    _reaching(gradient.dy, gradient.y, first, count, images, pooled0)
    return images, pooled0


@jit.serial
def _reaching(dy, y, first, count, target, target0):
    """target[target0:][:count] = 0 where y <= 0, else dy."""
    for i in range(0, count, lanes(y)):
        left = count - i
        v = through_relu(load_part(dy, first + i, left), load_part(y, first + i, left))
        store_part(target, target0 + i, v, left)
