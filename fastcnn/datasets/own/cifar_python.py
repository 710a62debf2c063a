"""The Python version of CIFAR-10 and CIFAR-100, which torchvision leaves on the disk.

A batch is a pickled dict: data, uint8 (images, 3072) with all red, then all green, then all blue
values of an image; and labels (CIFAR-10) or fine_labels and coarse_labels (CIFAR-100). Source:
https://www.cs.toronto.edu/~kriz/cifar.html ("Python / Matlab versions").
"""

import re
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ..dataset import DataError, listing
from . import pickled
from .labels import numbered
from .parts import Parts, count_of

FOLDERS = ("cifar-10-batches-py", "cifar-100-python")
"""What the archives unpack to, in the folder that torchvision calls root."""
_TRAIN = re.compile(r"data_batch_\d+|train")
_TEST = re.compile(r"test_batch|test")
_META = re.compile(r"batches\.meta|meta")
_MAX_BYTES = 1 << 29  # CIFAR-100's training part has 155 million


def _is_member(name: str) -> bool:
    return any(pattern.fullmatch(name) for pattern in (_TRAIN, _TEST, _META))


def in_folder(folder: Path) -> list[Path]:
    """The files of the Python version in a folder; none if it holds something else."""
    files = sorted(file for file in folder.iterdir() if file.is_file() and _is_member(file.name))
    return files if any(_TRAIN.fullmatch(file.name) for file in files) else []


def read_folder(folder: Path) -> Parts:
    """The images and labels of an unpacked archive."""
    contents = {}
    for file in in_folder(folder):
        try:
            contents[file.name] = _unpickled(file, file.read_bytes())
        except OSError as error:
            raise DataError(f"{file} cannot be read: {error.strerror or error}") from None
    return _parts(folder, contents)


def read_archive(path: Path) -> Parts:
    """The images and labels of a .tar.gz archive; nothing is unpacked to the disk."""
    contents: dict[str, Any] = {}
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                name = Path(member.name).name
                stream = archive.extractfile(member) if _is_member(name) else None
                if stream is None or name in contents:
                    continue
                if member.size > _MAX_BYTES:
                    raise DataError(f"{path}: {member.name} claims {member.size:,} bytes")
                contents[name] = _unpickled(f"{path}, {name}", stream.read())
    except (tarfile.TarError, EOFError, zlib.error) as error:
        reason = str(error).splitlines()[0].removesuffix(":")  # of each way that was tried
        raise DataError(f"{path} is damaged or no archive ({reason})") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    if not any(map(_TRAIN.fullmatch, contents)):
        raise DataError(
            f"{path} is an archive, but not the Python version of CIFAR-10 or CIFAR-100, the only "
            f"archives that are read; unpack others and name the folder"
        )
    return _parts(path, contents)


def _unpickled(source: object, data: bytes) -> dict[str, Any]:
    try:
        content = pickled.read(data)
    except pickled.RefusedError as error:
        raise DataError(f"{source} is not a file of CIFAR's Python version: {error}") from None
    if not isinstance(content, dict):
        raise DataError(f"{source} holds no names and values, as a file of CIFAR does")
    return content


def _parts(path: Path, contents: dict[str, Any]) -> Parts:
    meta = next((contents[name] for name in contents if _META.fullmatch(name)), {})
    names = meta.get("label_names") or meta.get("fine_label_names")
    images, labels = {}, {}
    for part, pattern in (("train", _TRAIN), ("test", _TEST)):
        batches = [_batch(path, name, contents[name])
                   for name in sorted(contents) if pattern.fullmatch(name)]  # fmt: skip
        if batches:
            x, y = zip(*batches, strict=True)
            images[part] = np.concatenate(x).reshape(-1, 3, 32, 32)
            labels[part] = np.concatenate(y)
    numbers, classes = numbered(str(path), list(labels.values()), names)
    source = f"{sum(map(len, numbers)):,} images from {path} (CIFAR's Python version)."
    return Parts(images, dict(zip(labels, numbers, strict=True)), classes, source)


def _batch(path: Path, name: str, content: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    source = f"{path}, {name}"
    labels = content.get("labels", content.get("fine_labels"))
    images = content.get("data")
    if labels is None or images is None:
        raise DataError(f"{source} has {listing(sorted(content))}, but not data and labels")
    if not isinstance(images, np.ndarray) or images.ndim != 2 or images.shape[1] != 3072:
        raise DataError(f"{source}: its data is not (images, 3072)")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise DataError(f"{source}: its labels are not a list of whole numbers")
    count_of(source, images, labels)
    return images, np.array(labels, np.int64)
