"""What lies at a path, and who reads it."""

import os
import zipfile
from pathlib import Path

from ... import files
from ..dataset import DataError, Dataset, listing
from . import arrays, cifar_python, folder, idx_pairs, table
from .parts import Parts, Reading, dataset
from .pictures import is_picture
from .targets import only_classes

_ARCHIVES = (".tar", ".tar.gz", ".tgz")
_TABLES = (".csv", ".csv.gz")


def has_separator(name: str) -> bool:
    """Whether a dataset's name can only be a path."""
    return any(sign in name for sign in {os.sep, os.altsep or os.sep, "/"})


def load(path: str | os.PathLike[str], reading: Reading | None = None) -> Dataset:
    """People's own data: a folder of pictures, .npz, CSV, IDX, or CIFAR's Python version.

    Raises
    ------
    DataError
        If there is nothing that can be read; one sentence, which names the file.
    """
    place = files.place(path)
    reading = reading or Reading()
    try:
        if not place.exists():
            raise DataError(f"there is no file or folder {place}")
        if not place.is_dir() and not place.is_file():
            raise DataError(
                f"{place} is a pipe, a socket or a device: write what it gives into a file, and "
                f"name that"
            )
        parts = _folder(place, reading) if place.is_dir() else _file(place, reading)
    except PermissionError as error:
        raise DataError(f"{error.filename or place} cannot be read: {error.strerror}") from None
    return dataset(place, parts, reading)


def _folder(place: Path, reading: Reading) -> Parts:
    roots = [place, *(place / name for name in cifar_python.FOLDERS)]
    found = [each for each in roots if each.is_dir() and cifar_python.in_folder(each)]
    if len(found) > 1:
        raise DataError(f"{place} holds {listing([each.name for each in found])}: name one of them")
    if found:
        only_classes(str(place), reading.task)
        return cifar_python.read_folder(found[0])
    images = idx_pairs.in_folder(place)
    if images:
        return idx_pairs.read(place, images, reading.whole, reading.task)
    entries = sorted(entry for entry in place.iterdir() if not entry.name.startswith("."))
    if not any(entry.is_dir() or is_picture(entry) for entry in entries):
        others = [entry for entry in entries if _is_readable(entry)]
        if others:
            raise DataError(
                f"{place} holds no pictures, but {listing([each.name for each in others[:5]])}; "
                f"name the file itself, such as {others[0]}"
            )
    only_classes(str(place), reading.task)
    return folder.read(place, reading)


def _is_readable(path: Path) -> bool:
    return path.name.lower().endswith((".npz", *_TABLES, *_ARCHIVES))


def _file(place: Path, reading: Reading) -> Parts:
    whole, task = reading.whole, reading.task
    name = place.name.lower()
    if name.endswith(".npz"):
        return arrays.read(place, whole, task)
    if name.endswith(_TABLES):
        return table.read(place, whole, task)
    if name.endswith(_ARCHIVES):
        only_classes(str(place), task)
        return cifar_python.read_archive(place)
    if idx_pairs.is_images(place):
        return idx_pairs.read(place, [place], whole, task)
    if is_picture(place):
        raise DataError(
            f"{place} is a single picture, not a dataset; name the folder that has a subfolder of "
            f"pictures per class (python -m fastcnn.predict RUN {place} tells what it shows)"
        )
    if zipfile.is_zipfile(place):
        raise DataError(f"{place} is a zip file: unpack it, and name what is in it")
    if name.endswith(".npy"):
        raise DataError(
            f"{place} is a single array: images and labels belong into one file, as "
            f"numpy.savez('data.npz', x=images, y=labels) writes it"
        )
    raise DataError(
        f"{place} is of no kind that is read: a folder with a subfolder of pictures per class, "
        f".npz, .csv, IDX files of images (...images-idx3-ubyte), or CIFAR's Python archive "
        f"(.tar.gz)"
    )
