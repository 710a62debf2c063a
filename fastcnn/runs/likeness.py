"""Whether a picture is like those that a network was trained on, and if not, why."""

import numpy as np

from ..datasets import DataError
from .saved import Saved

_SAMPLE = 2000  # training images that are looked at
_MARGIN = 0.15  # of the range of theirs, beyond which a picture is unlike them

# What is looked at -> the words for less and for more of it.
_WORDS = {
    "brightness": ("darker", "brighter"),
    "background": ("on a darker background", "on a brighter background"),
    "contrast": ("of less contrast", "of more contrast"),
    "colour": ("paler", "more colourful"),
    "detail": ("smoother", "of finer detail, or noisier,"),
}


class Likeness:
    """The range of simple properties of a run's training images.

    Parameters
    ----------
    saved : Saved
        A run whose images can be found again.

    Raises
    ------
    ValueError
        If they cannot.
    """

    def __init__(self, saved: Saved) -> None:
        if not saved.is_run:
            raise DataError(f"{saved.path} is a model alone, which does not say on what it trained")
        images = saved.dataset(several=True, measured=False).x_train
        step = max(1, len(images) // _SAMPLE)
        seen = properties(images[::step])
        self._ranges = {name: (values.min(), values.max()) for name, values in seen.items()}

    def reasons(self, images: np.ndarray) -> list[str]:
        """For each image (N, C, H, W) what is unlike, in words; empty where nothing is."""
        found = properties(images)
        reasons: list[list[str]] = [[] for _ in images]
        for name, values in found.items():
            low, high = self._ranges[name]
            margin = _MARGIN * (high - low) + 1
            for number, value in enumerate(values):
                if low - margin <= value <= high + margin:
                    continue
                word = _WORDS[name][int(value > high)]
                reasons[number].append(
                    f"{word} than any training picture ({name} {value:.0f}, theirs {low:.0f} to "
                    f"{high:.0f})"
                )
        return ["; ".join(each) for each in reasons]


def properties(images: np.ndarray) -> dict[str, np.ndarray]:
    """Brightness and so on of images (N, C, H, W), each (N,) in steps of 0 to 255."""
    pixels = images.astype(np.float32)
    grey = pixels.mean(axis=1)
    border = np.concatenate([grey[:, 0], grey[:, -1], grey[:, :, 0], grey[:, :, -1]], axis=1)
    steps = [np.abs(np.diff(grey, axis=axis)).sum(axis=(1, 2)) for axis in (1, 2)]
    return {
        "brightness": grey.mean(axis=(1, 2)),
        "background": np.median(border, axis=1),
        "contrast": grey.std(axis=(1, 2)),
        "colour": np.ptp(pixels, axis=1).mean(axis=(1, 2)),
        "detail": sum(steps) / grey[0].size,
    }
