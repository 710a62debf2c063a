"""Where a convolution's gradient comes from: from memory, or made image by image when needed.

Between a convolution and the next array that is kept there may be batch normalisation, 2 x 2 max
pooling and ReLU. Their gradient is as large as the convolution's output, four times what it is made
from, and the convolution reads it twice: it is sooner made twice, in a thread's own scratch, than
written and read.

    PLAIN        dy is the gradient
    POOLED       dy belongs to the pooled images y; index says where each came from
    NORM_POOLED  likewise, after batch normalisation of x
"""

import functools
from typing import NamedTuple

import numpy as np

from kernels import jit
from kernels.jit import thread_id
from kernels.norm.batch_gradient import gradient_stretch
from kernels.norm.pooled import spread_image
from kernels.pool.image import image_sizes, spread_fours_image
from kernels.portion import Portion
from kernels.simd import lanes, load_part, store_part
from kernels.simd.mathematics import through_relu
from kernels.workspace import Workspace

PLAIN, POOLED, NORM_POOLED = range(3)


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
    factors : what `norm.pooled.norm_pool_factors` returned
    """

    dy: np.ndarray
    kind: int = PLAIN
    relu: bool = False
    y: np.ndarray | None = None
    index: np.ndarray | None = None
    x: np.ndarray | None = None
    factors: np.ndarray | None = None

    def whole(self, portion: Portion, x: np.ndarray) -> tuple[np.ndarray, "GradientSource"]:
        """The convolution's images x and this, of the whole batch; other processes have a part."""
        names = [name for name in ("dy", "y", "index", "x") if getattr(self, name) is not None]
        x, *arrays = portion.whole(x, *(getattr(self, name) for name in names))
        return x, self._replace(**dict(zip(names, arrays, strict=True)))

    def arguments(self, shape: tuple[int, ...], group: int, workspace: Workspace) -> "Gradient":
        """What `gradient_images` takes, for an output of that shape and so many images at once."""
        dtype = self.dy.dtype
        none, no_index = nothing(dtype), nothing(_INDEX)
        images = 0 if self.kind == PLAIN else group + 1  # behind them, room for a pooled one
        pooled = self.dy.shape[1:3] if self.index is not None else (0, 0)
        size = shape[1] * shape[2] * shape[3]
        return Gradient(
            self.kind,
            self.relu,
            self.dy.reshape(-1),
            none if self.y is None else self.y.reshape(-1),
            no_index if self.index is None else self.index.reshape(-1),
            none if self.x is None else self.x.reshape(-1),
            none if self.factors is None else self.factors,
            workspace.array("gradients", (jit.max_threads(), images * size), dtype),
            shape[1],
            shape[2],
            pooled[0],
            pooled[1],
            shape[3],
        )


class Gradient(NamedTuple):
    """A `GradientSource` as kernels take it: flat arrays, empty where there are none.

    room : each thread's images
    """

    kind: int
    relu: bool
    dy: np.ndarray
    y: np.ndarray
    index: np.ndarray
    x: np.ndarray
    factors: np.ndarray
    room: np.ndarray
    height: int
    width: int
    pooled_height: int
    pooled_width: int
    channels: int


@jit.serial
def gradient_images(gradient, first, last):
    """(array, start in it) of the gradients of the images from ``first`` to ``last``."""
    dy, index = gradient.dy, gradient.index
    sizes = (
        gradient.height, gradient.width, gradient.pooled_height, gradient.pooled_width,
        gradient.channels,
    )  # fmt: skip
    size, pooled_size = image_sizes(sizes)
    if gradient.kind == PLAIN:
        return dy, first * size
    images = gradient.room[thread_id()]
    for n in range(first, last):
        image0, index0 = (n - first) * size, n * pooled_size
        pooled, pooled0 = dy, index0
        if gradient.relu:
            pooled, pooled0 = images, images.size - size
            _reaching(dy, gradient.y, index0, pooled_size, images, pooled0)
        if gradient.kind == POOLED:
            spread_fours_image(pooled, pooled0, index, index0, sizes, True, images, image0)
        else:
            spread_image(
                pooled, pooled0, index, index0, gradient.x, n * size, gradient.factors, sizes,
                images, image0,
            )  # fmt: skip
    return images, 0


@jit.serial
def _reaching(dy, y, first, count, target, target0):
    """target[target0:][:count] = 0 where y <= 0, else dy."""
    for i in range(0, count, lanes(y)):
        left = count - i
        v = through_relu(load_part(dy, first + i, left), load_part(y, first + i, left))
        store_part(target, target0 + i, v, left)


class NormedGradient(NamedTuple):
    """What the gradient of a convolution's output x is made of, if BatchNorm follows unpooled.

    dy : the gradient behind BatchNorm, or behind the ReLU that follows it if ``relu``
    x : empty if there is no BatchNorm, and dy is the gradient
    factors, width : what `norm.batch_gradient_factors` returned
    """

    dy: np.ndarray
    x: np.ndarray
    factors: np.ndarray
    width: int
    relu: bool


def not_normed(dy: np.ndarray) -> NormedGradient:
    """The same for a gradient that lies in memory."""
    none = nothing(dy.dtype)
    return NormedGradient(dy, none, none, 0, False)


def room_of_normed(gradient: NormedGradient, size: int, workspace: Workspace) -> np.ndarray:
    """Each thread's room for `normed_image`."""
    room = size + jit.SLACK if gradient.x.size else 1
    return workspace.array("gradients", (jit.max_threads(), room), gradient.dy.dtype)


@jit.serial
def normed_image(gradient, n, size, room):
    """(array, start in it) of the gradient by image n, of so many numbers."""
    if gradient.x.size == 0:
        return gradient.dy, n * size
    gradient_stretch(
        gradient.dy, gradient.x, n * size, size, gradient.factors, gradient.width, gradient.relu,
        room, 0,
    )  # fmt: skip
    return room, 0
