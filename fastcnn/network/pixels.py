"""How the pixels of uint8 images become numbers: pixel * scale + offset."""

from typing import Any

import numpy as np


def checked(value: Any) -> tuple[np.ndarray, np.ndarray]:
    """(scale, offset) as float32 arrays of one length.

    Raises
    ------
    ValueError
        If they are none.
    """
    wanted = (
        "normalization must be (scale, offset), each one finite number for all channels or "
        "one per channel"
    )
    try:
        with np.errstate(over="ignore"):  # what becomes infinite is refused below
            scale, offset = (np.atleast_1d(np.asarray(part, np.float32)) for part in value)
    except (TypeError, ValueError):
        raise ValueError(f"{wanted}, got {value!r}") from None
    size = max(scale.size, offset.size)
    for part in (scale, offset):
        if part.ndim != 1 or part.size not in (1, size) or not np.isfinite(part).all():
            raise ValueError(f"{wanted}, got {value!r}")
    return np.resize(scale, size), np.resize(offset, size)
