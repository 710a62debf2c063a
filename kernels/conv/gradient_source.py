"""Where a convolution's gradient comes from: from memory, or made image by image when needed.

Between a convolution and the next array that is kept there may be batch normalisation, 2 x 2 max
pooling and ReLU. Their gradient is as large as the convolution's output, four times what it is made
from, and the convolution reads it twice: it is sooner made twice, in a thread's own scratch, than
written and read.

    PLAIN        dy is the gradient
    POOLED       dy belongs to the pooled images y; index says where each came from
    NORM_POOLED  likewise, after batch normalisation of x
"""

from typing import Any, NamedTuple

import numpy as np

from kernels import jit
from kernels.jit import thread_id
from kernels.norm.pooled import spread_image
from kernels.pool.image import spread_fours_image
from kernels.simd import lanes, load_part, store_part
from kernels.simd.mathematics import through_relu
from kernels.workspace import Workspace

PLAIN, POOLED, NORM_POOLED = range(3)


class GradientSource(NamedTuple):
    """The gradient of a convolution's output (N, H, W, O), which need not exist as an array.

    relu : whether ReLU came last
    y, index : the pooled images (N, H // 2, W // 2, O), rectified if `relu`, and uint8 indices
    x : the convolution's output
    wide : what `norm_pool.norm_pool_factors` returned
    """

    dy: np.ndarray
    kind: int = PLAIN
    relu: bool = False
    y: np.ndarray | None = None
    index: np.ndarray | None = None
    x: np.ndarray | None = None
    wide: np.ndarray | None = None

    def arguments(self, shape: tuple[int, ...], group: int, workspace: Workspace) -> Any:
        """What `gradient_images` takes, for an output of that shape and so many images at once."""
        dtype = self.dy.dtype
        nothing = np.empty(0, dtype)
        images = 0 if self.kind == PLAIN else group + 1  # behind them, room for a pooled one
        pooled = self.dy.shape[1:3] if self.index is not None else (0, 0)
        size = shape[1] * shape[2] * shape[3]
        room = workspace.array("gradients", (jit.max_threads(), images * size), dtype)
        return (
            self.kind, self.relu, self.dy.reshape(-1),
            nothing if self.y is None else self.y.reshape(-1),
            np.empty(0, np.uint8) if self.index is None else self.index.reshape(-1),
            nothing if self.x is None else self.x.reshape(-1),
            nothing if self.wide is None else self.wide, room,
            shape[1], shape[2], *pooled, shape[3],
        )  # fmt: skip


@jit.serial
def gradient_images(source, first, last):
    """(array, place) of the gradients of the images from ``first`` to ``last``, one by one."""
    kind, relu, dy, y, index, x, wide, room = source[:8]
    sizes = source[8:]
    size = sizes[0] * sizes[1] * sizes[4]
    if kind == PLAIN:
        return dy, first * size
    images = room[thread_id()]
    for n in range(first, last):
        target = (n - first) * size
        pooled_size = sizes[2] * sizes[3] * sizes[4]
        pooled, pooled0 = dy, n * pooled_size
        if relu:
            pooled, pooled0 = images, images.size - size
            _reaching(dy, y, n * pooled_size, pooled_size, images, pooled0)
        if kind == POOLED:
            spread_fours_image(pooled, pooled0, index, n * pooled_size, sizes, True, images, target)
        else:
            spread_image(
                pooled, pooled0, index, n * pooled_size, x, n * size, wide, sizes, images, target
            )
    return images, 0


@jit.serial
def _reaching(dy, y, first, count, target, target0):
    """target[target0:][:count] = 0 where y <= 0, else dy."""
    for i in range(0, count, lanes(y)):
        left = count - i
        v = through_relu(load_part(dy, first + i, left), load_part(y, first + i, left))
        store_part(target, target0 + i, v, left)
