"""An image in the order in which the register tile reads it.

The tile wants the columns and channels that an output sums over in one stream. So they lie in an
image that needs no zeros beside it and whose filters see all channels, without gaps; otherwise the
image is copied into a thread's scratch, one at a time, or one group of its channels at a time.

Of small images a few are convolved at once (`rows_of_images`): a tile then has one place of each in
its rows, which are many even if an image has few columns, and large weights are read for all of
them. They are always copied, an odd number of vectors apart.
"""

import functools
from typing import NamedTuple

import numpy as np

from kernels import jit
from kernels.tile import TILE_ROWS, copy_row, fill_row, odd_vectors, pad_image

LARGE_WEIGHTS = 5 << 17  # bytes, packed, of which a single image would read too many
_NEAR = 1 << 20  # bytes of images that are read again for each panel of the weights

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


def images_at_once(images: int, image_bytes: int) -> int:
    """How many of so many images stay near, in equal parts. image_bytes : of all that is read."""
    most = max(1, min(images, _NEAR // image_bytes))
    return -(-max(1, images) // -(-max(1, images) // most))


def rows_of_images(
    images: int, image_bytes: int, weight_bytes: int, columns: int, taps: int
) -> int:
    """How many images of a thread are the rows of tiles; 1 if an output's columns are.

    image_bytes : of one that is arranged; weight_bytes : packed
    columns, taps : of an output, and of a filter; the fewer they are, the more a copy costs
    """
    few = columns < TILE_ROWS // (2 if taps > 1 else 4)
    at_once = images_at_once(images, image_bytes) if few or weight_bytes > LARGE_WEIGHTS else 1
    return at_once if at_once > min(columns, TILE_ROWS // 2) else 1


@functools.lru_cache(maxsize=1000)
def arrangement_of(shapes, stride, padding, dilation, is_copied=False) -> Arrangement:
    """What suits a convolution; shapes : those of x, weight, y. is_copied : not DIRECT."""
    (_, _, width, channels), (_, depth, _, kernel_w), (_, _, out_w, _) = shapes
    gap = dilation[1] if kernel_w > 1 else 1
    columns = (out_w - 1) * stride[1] + (kernel_w - 1) * gap + 1
    if gap > 1:
        length = kernel_w * depth
        return Arrangement(
            SPREAD, out_w, stride[1], kernel_w, gap, padding[1], length, out_w * length
        )
    kind = PADDED if depth == channels else SPREAD
    if kind == PADDED and padding[1] == 0 and columns <= width and not is_copied:
        kind, columns = DIRECT, width
    return Arrangement(kind, columns, 1, 1, 1, padding[1], stride[1] * depth, columns * depth)


def arranged_size(height: int, arrangement: Arrangement, at_once: int, dtype: np.dtype) -> int:
    """Numbers from one arranged image to the next, of several at once; of one, all it needs."""
    if at_once > 1:
        return int(odd_vectors(height * arrangement.row_length, dtype))
    return height * arrangement.row_length if arrangement.kind != DIRECT else 1


@jit.serial
def arrange(x, x0, size, arrangement, channels, scratch, scratch0):
    """(array, start in it) of the image at x0, or of some of its channels, arranged.

    size : (height, width, channels); channels : (the first one, how many)
    scratch0 : where in scratch, if it is copied
    """
    if arrangement.kind == DIRECT:
        return x, x0
    left = arrangement.left
    if arrangement.kind == PADDED:
        padded = (size[0], arrangement.columns, size[2])
        pad_image(x, x0, size, (0, left), (1, 1), scratch, scratch0, padded)
    else:
        columns = (
            arrangement.columns, arrangement.step, arrangement.taps, arrangement.dilation, left,
        )  # fmt: skip
        spread_columns(x, x0, size, channels, columns, scratch, scratch0)
    return scratch, scratch0


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
