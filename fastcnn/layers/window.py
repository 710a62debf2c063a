"""Where a window that moves over a padded image stops: shared by convolution and pooling."""

import functools
from typing import Any

from .. import checks
from ..checks import Pair
from . import spoken

Padding = Pair | tuple[Pair, Pair] | str


def check_padding(layer: str, padding: Any, uneven: bool = False, least: int | None = 0) -> Padding:
    """A whole number, a pair, "same" or "valid", as a pair or "same".

    With `uneven` also ((top, bottom), (left, right)); as a pair where both sides are equal.
    Numbers are at least `least`, or any where that is None.
    """
    if isinstance(padding, str):
        if padding == "valid":
            return (0, 0)
        if padding != "same":
            sides = ", ((top, bottom), (left, right))" if uneven else ""
            raise ValueError(
                f"{layer}: padding must be a whole number, a pair (height, width){sides}, 'same' "
                f"or 'valid', got {padding!r}"
            )
        return padding
    if not uneven or not isinstance(padding, (tuple, list)) or len(padding) != 2:
        return checks.pair(layer, "padding", padding, least)
    (top, bottom), (left, right) = (checks.pair(layer, "padding", each, least) for each in padding)
    return (top, left) if (top, left) == (bottom, right) else ((top, bottom), (left, right))


def sides(padding: Padding) -> tuple[Pair, Pair]:
    """((top, bottom), (left, right)) of a padding that is given in numbers."""
    assert not isinstance(padding, str)
    top, left = ((each, each) if isinstance(each, int) else each for each in padding)
    return top, left


def plain(value: Padding) -> Any:
    """A pair as a person would write it: one number where both are equal."""
    if isinstance(value, str):
        return value
    if not isinstance(value[0], int):
        return [list(side) for side in sides(value)]
    return value[0] if value[0] == value[1] else list(value)


def extent(window: Pair, dilation: Pair) -> Pair:
    """Rows and columns from a window's first place to its last one."""
    return (window[0] - 1) * dilation[0] + 1, (window[1] - 1) * dilation[1] + 1


@functools.lru_cache(maxsize=1000)
def padding_before(
    input_shape: tuple[int, ...],
    window: Pair,
    stride: Pair,
    padding: Padding,
    dilation: Pair = (1, 1),
) -> Pair:
    """Padding at the (top, left) of an (N, C, H, W) input.

    "same" pads as evenly as it can; an odd pixel goes to the bottom and the right.
    """
    if not isinstance(padding, str):
        (top, _), (left, _) = sides(padding)
        return top, left
    outputs = tuple(-(-input_shape[2 + axis] // stride[axis]) for axis in (0, 1))
    rows, columns = padding_behind(input_shape, outputs, window, stride, (0, 0), dilation)
    return rows // 2, columns // 2


def padding_behind(
    input_shape: tuple[int, ...],
    outputs: tuple[int, ...],
    window: Pair,
    stride: Pair,
    before: Pair,
    dilation: Pair = (1, 1),
) -> Pair:
    """Padding at the (bottom, right) with which an (N, C, H, W) input gives so many outputs."""
    reach = extent(window, dilation)
    bottom, right = (
        max((outputs[axis] - 1) * stride[axis] + reach[axis] - input_shape[2 + axis] - before[axis],
            0)
        for axis in (0, 1)
    )  # fmt: skip
    return bottom, right


def output_size(
    layer: str,
    input_shape: tuple[int, ...],
    window: Pair,
    stride: Pair,
    padding: Padding,
    dilation: Pair = (1, 1),
) -> Pair:
    """Rows and columns of the output for an (N, C, H, W) input.

        a number of pixels   out = floor((in + padding - extent of the window) / stride) + 1
        "same"               out = ceil(in / stride)

    Raises
    ------
    ValueError
        If the window is larger than the padded image.
    """
    height, width = input_shape[2:]
    if isinstance(padding, str):
        return -(-height // stride[0]), -(-width // stride[1])
    rows, columns = sides(padding)
    height, width = height + sum(rows), width + sum(columns)
    reach = extent(window, dilation)
    if reach[0] > height or reach[1] > width:
        gaps, less = "", ""
        if dilation != (1, 1):
            gaps = f" (dilated: {reach[0]}x{reach[1]})"
            less = ", less dilation"
        raise ValueError(
            f"{layer}: the {window[0]}x{window[1]} window{gaps} does not fit into the input of "
            f"shape {spoken.shape(input_shape)}, which is {height}x{width} with its padding; use a "
            f"smaller window{less} or more padding"
        )
    return (height - reach[0]) // stride[0] + 1, (width - reach[1]) // stride[1] + 1


def check_images(layer: str, input_shape: tuple[int, ...], channels: int | None = None) -> None:
    """Raise unless `input_shape` is (N, C, H, W), with C = `channels` if given."""
    if len(input_shape) == 4 and channels in (None, input_shape[1]):
        return
    got = f"got shape {spoken.shape(input_shape)}"
    if channels is None:
        raise ValueError(f"{layer}: expected input as {spoken.images()}, {got}")
    noun = "channel" if channels == 1 else "channels"
    raise ValueError(
        f"{layer}: expected input with {channels} {noun} as {spoken.images(channels)}, {got}"
        f"{spoken.turned(input_shape, channels)}"
    )
