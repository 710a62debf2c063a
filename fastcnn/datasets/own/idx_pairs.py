"""Pairs of IDX files, images and labels, of any size and with any beginning of their names."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ...tasks import CLASSIFICATION
from ..checksums import again
from ..dataset import DataError, listing
from ..idx import IdxFile, read_images, read_labels
from .parts import Parts, count_of
from .targets import targets

_IMAGES = re.compile(r"(.*)images([-.]idx3[-.]ubyte(?:\.gz)?)$", re.IGNORECASE)
_CLASSES = 256  # more cannot be told apart by a byte


def is_images(path: Path) -> bool:
    """Whether a file is called like the images of a pair."""
    return _IMAGES.fullmatch(path.name) is not None


def in_folder(folder: Path) -> list[Path]:
    """The files of images in a folder; not a file that has been unpacked beside itself."""
    found = sorted(file for file in folder.iterdir() if is_images(file) and file.is_file())
    return [file for file in found if file.suffix != ".gz" or file.with_suffix("") not in found]


def read(path: Path, files: list[Path], whole: bool = False, task: str = CLASSIFICATION) -> Parts:
    """The images in some files, with the labels beside them.

    A file with "test" or "t10k" in its name is the test part, another the training part. `whole`
    and `task` are as in `Reading`.

    Raises
    ------
    DataError
        If there is more than one file of a part, labels are missing, or a file is damaged.
    """
    images: dict[str, np.ndarray] = {}
    labels: dict[str, np.ndarray] = {}
    for file in files:
        match = _IMAGES.fullmatch(file.name)
        assert match is not None
        part = "test" if re.search("test|t10k", match[1], re.IGNORECASE) else "train"
        if part in images:
            names = listing([each.name for each in files])
            raise DataError(
                f"{path} has more than one pair of IDX files for the {part} part ({names}); name "
                f"the images of one pair"
            )
        images[part] = _own(read_images, file).values[:, None]
        labels[part] = _own(read_labels, _labels_of(file, match), _CLASSES).values
        count_of(str(file), images[part], labels[part])
    if "train" not in images and not whole:  # the test part alone was named
        images, labels = {"train": images["test"]}, {"train": labels["test"]}
    numbers, classes = targets(str(path), list(labels.values()), None, whole, task)
    count = sum(map(len, numbers))
    return Parts(
        images, dict(zip(labels, numbers, strict=True)), classes, f"{count:,} images from {path}."
    )


def _own(read: Callable[..., IdxFile], file: Path, *more: int) -> IdxFile:
    """What `read` makes of a file that nobody can download again."""
    try:
        return read(file, *more)
    except DataError as error:
        raise DataError(str(error).replace(again(file), "").rstrip(". ")) from None


def _labels_of(file: Path, match: re.Match[str]) -> Path:
    """The labels beside a file of images."""
    ending = re.sub("idx3", "idx1", match[2], flags=re.IGNORECASE)
    other = ending.removesuffix(".gz") if ending.endswith(".gz") else f"{ending}.gz"
    for name in (f"{match[1]}labels{ending}", f"{match[1]}labels{other}"):
        if (file.parent / name).is_file():
            return file.parent / name
    raise DataError(f"{file} has no labels beside it: there is no {match[1]}labels{ending}")
