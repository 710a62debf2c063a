"""Whether people's own images are still those that a run was measured on.

Folders of pictures grow. The part held out for the test is chosen anew then, and has images in it
that the network was trained on.
"""

import sys
from collections.abc import Mapping

from ..datasets import Dataset
from ..terminal import one_line, say
from ..training.resuming import fingerprint

_PARTS = ("test", "val")


def described(data: Dataset) -> dict[str, str]:
    """For each part that is measured, what tells its images and labels; for result.json."""
    found = {}
    for part in _PARTS:
        x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        if x is not None:
            found[part] = f"{fingerprint(x)} with labels {fingerprint(y)}"
    return found


def say_if_changed(kept: Mapping[str, str], data: Dataset) -> None:
    """Say on standard error what should be known of images that are not the run's any more.

    Parameters
    ----------
    kept : mapping
        What `described` gave when the run was trained.
    """
    now = described(data)
    parts = [part for part in _PARTS if kept.get(part) != now.get(part)]
    if not kept or not parts:
        return
    sentence = (
        f"{data.title} has changed since the run: its {' and '.join(parts)} images are not those "
        f"that the run was measured on"
    )
    if data.held_out:
        sentence += (
            ", and it may have been trained on some of them; pictures in a folder of their own "
            "tell how good it is (--dataset FOLDER)"
        )
    say(f"note: {one_line(sentence)}", sys.stderr)
