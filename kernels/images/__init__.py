"""Batches of images: gathered, changed, their channels joined, their axes turned."""

from kernels.images.batch import (
    channel_moments,
    gather,
)
from kernels.images.channels import (
    add_first_channels,
    join_channels,
    take_last_channels,
)
from kernels.images.layout import (
    shuffle_pixels,
    transpose_images,
)
from kernels.images.pixels import (
    gather_changed,
)

__all__ = [
    "add_first_channels",
    "channel_moments",
    "gather",
    "gather_changed",
    "join_channels",
    "shuffle_pixels",
    "take_last_channels",
    "transpose_images",
]
