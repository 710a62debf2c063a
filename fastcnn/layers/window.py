"""Where a window that moves over a padded image stops: shared by convolution and pooling."""

from typing import Any

from .. import checks
from ..checks import Pair
from . import spoken

Padding = Pair | str


def check_padding(layer: str, padding: Any) -> Padding:
    """A whole number, a pair, "same" or "valid", as a pair or "same"."""
    if isinstance(padding, str):
        if padding == "valid":
            return (0, 0)
        if padding != "same":
            raise ValueError(
                f"{layer}: padding must be a whole number, a pair (height, width), 'same' or "
                f"'valid', got {padding!r}"
            )
        return padding
    return checks.pair(layer, "padding", padding, least=0)


def plain(value: Pair | str) -> int | list[int] | str:
    """A pair as a person would write it: one number where both are equal."""
    if isinstance(value, str):
        return value
    return value[0] if value[0] == value[1] else list(value)


def padding_before(
    input_shape: tuple[int, ...], window: Pair, stride: Pair, padding: Padding
) -> Pair:
    """Padding at the (top, left) of an (N, C, H, W) input.

    "same" pads as evenly as it can; an odd pixel goes to the bottom and the right.
    """
    if not isinstance(padding, str):
        return padding
    top, left = (
        max((-(-input_shape[2 + axis] // stride[axis]) - 1) * stride[axis] + window[axis]
            - input_shape[2 + axis], 0) // 2
        for axis in (0, 1)
    )  # fmt: skip
    return top, left


def output_size(
    layer: str, input_shape: tuple[int, ...], window: Pair, stride: Pair, padding: Padding
) -> Pair:
    """Rows and columns of the output for an (N, C, H, W) input.

        a number of pixels   out = floor((in + 2 padding - window) / stride) + 1
        "same"               out = ceil(in / stride)

    Raises
    ------
    ValueError
        If the window is larger than the padded image.
    """
    height, width = input_shape[2:]
    if isinstance(padding, str):
        return -(-height // stride[0]), -(-width // stride[1])
    height, width = height + 2 * padding[0], width + 2 * padding[1]
    if window[0] > height or window[1] > width:
        raise ValueError(
            f"{layer}: the {window[0]}x{window[1]} window does not fit into the input of shape "
            f"{spoken.shape(input_shape)}, which is {height}x{width} with its padding; use a "
            f"smaller window or more padding"
        )
    return (height - window[0]) // stride[0] + 1, (width - window[1]) // stride[1] + 1


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
