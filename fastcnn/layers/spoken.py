"""How errors speak of shapes: as the model that runs the layers has its images.

Layers see N, C, H, W. In a model with data_format="channels_last" people do not.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

Shape = tuple[int, ...]

_channels_last = ContextVar("_channels_last", default=False)


@contextlib.contextmanager
def channels_last(is_so: bool) -> Iterator[None]:
    """Speak of N, H, W, C inside a with block, if `is_so`; in this thread alone."""
    before = _channels_last.set(is_so)
    try:
        yield
    finally:
        _channels_last.reset(before)


def shape(shape: Shape) -> Shape:
    """An (N, C, H, W) shape as people see it."""
    if len(shape) != 4 or not _channels_last.get():
        return shape
    return (shape[0], shape[2], shape[3], shape[1])


def images(channels: int | str = "C") -> str:
    """What a batch of images is called: "(N, 3, H, W)"."""
    return f"(N, H, W, {channels})" if _channels_last.get() else f"(N, {channels}, H, W)"


def turned(shape: Shape, channels: int) -> str:
    """The end of a sentence about images with so many channels that lie the other way round."""
    if len(shape) != 4:
        return ""
    if _channels_last.get():
        if shape[2] != channels:  # rows of what the caller has as N, C, H, W
            return ""
        return "; it looks like N, C, H, W: use x.transpose(0, 2, 3, 1)"
    if shape[3] != channels:
        return ""
    return "; it looks like N, H, W, C: use x.transpose(0, 3, 1, 2)"
