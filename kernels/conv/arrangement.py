"""An image in the order in which the register tile reads it.

The tile wants the columns and channels that an output sums over in one stream. So they lie in an
image that needs no zeros beside it and whose filters see all channels, without gaps; otherwise the
image is copied into a thread's scratch, one at a time, or one group of its channels at a time.
"""

import functools
from typing import NamedTuple

from kernels import jit
from kernels.tile import copy_row, fill_row, pad_image

DIRECT, PADDED, SPREAD = range(3)


class Arrangement(NamedTuple):
    """How the images of a convolution are laid out for it.

    kind : DIRECT, as they lie; PADDED, with zeros on both sides; SPREAD, as `spread_columns` does
    columns, step, taps, dilation, left : of a SPREAD image, see there; columns and left of a PADDED
        one
    column_step, row_length : numbers from one output column's taps to the next one's, and in a row
    """

    kind: int
    columns: int
    step: int
    taps: int
    dilation: int
    left: int
    column_step: int
    row_length: int


@functools.lru_cache(maxsize=1000)
def arrangement_of(shapes, stride, padding, dilation) -> Arrangement:
    """What suits a convolution; shapes : those of x, weight, y."""
    (_, _, width, channels), (_, depth, _, kernel_w), (_, _, out_w, _) = shapes
    gap = dilation[1] if kernel_w > 1 else 1
    columns = (out_w - 1) * stride[1] + (kernel_w - 1) * gap + 1
    if gap > 1:
        length = kernel_w * depth
        return Arrangement(
            SPREAD, out_w, stride[1], kernel_w, gap, padding[1], length, out_w * length
        )
    kind = PADDED if depth == channels else SPREAD
    if kind == PADDED and padding[1] == 0 and columns <= width:
        kind, columns = DIRECT, width
    return Arrangement(kind, columns, 1, 1, 1, padding[1], stride[1] * depth, columns * depth)


@jit.serial
def arrange(x, x0, size, arrangement, channels, scratch):
    """(array, start in it) of the image at x0, or of some of its channels, arranged.

    size : (height, width, channels); channels : (the first one, how many)
    """
    if arrangement.kind == DIRECT:
        return x, x0
    left = arrangement.left
    if arrangement.kind == PADDED:
        padded = (size[0], arrangement.columns, size[2])
        pad_image(x, x0, size, (0, left), (1, 1), scratch, 0, padded)
    else:
        columns = (
            arrangement.columns, arrangement.step, arrangement.taps, arrangement.dilation, left,
        )  # fmt: skip
        spread_columns(x, x0, size, channels, columns, scratch, 0)
    return scratch, 0


@jit.serial
def spread_columns(image, image0, size, channels, columns, target, target0):
    """Copy some channels of an image so that the taps of each output column lie side by side.

        target[row, q, k, c] = image[row, q * step + k * dilation - left, first channel + c]

    and 0 where there is no such column.

    columns : (how many q, step, how many k, dilation, left)
    """
    height, width, image_channels = size
    first, depth = channels
    count, step, taps, dilation, left = columns
    target_at = target0
    for row in range(height):
        image_at = image0 + row * width * image_channels + first
        for q in range(count):
            for k in range(taps):
                column = q * step + k * dilation - left
                if 0 <= column < width:
                    copy_row(image, image_at + column * image_channels, target, target_at, depth)
                else:
                    fill_row(target, target_at, depth)
                target_at += depth
