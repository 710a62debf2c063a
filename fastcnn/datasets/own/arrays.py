"""Arrays in an .npz file: x and y, or x_train, y_train and so on, as `numpy.savez` writes them."""

import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from ...files import npy_header
from ...tasks import CLASSIFICATION
from ..dataset import DataError, listing
from .parts import Parts, as_images, count_of, pixels
from .targets import targets

# Part -> the names that its images and labels may have.
_NAMES = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels"), ("x", "y"), ("X", "y"),
              ("images", "labels")),
    "val": (("x_val", "y_val"), ("x_valid", "y_valid"), ("val_images", "val_labels")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
}  # fmt: skip
_DEFLATE_LIMIT = 1032  # zlib's technical details: data cannot shrink by more


def read(path: Path, whole: bool = False, task: str = CLASSIFICATION) -> Parts:
    """The images and labels of an .npz file; `whole` and `task` are as in `Reading`.

    Raises
    ------
    DataError
        If it is damaged, lacks arrays, or holds others than numbers and texts.
    """
    arrays = load_npz(path)
    images, labels = {}, {}
    for part, choices in _NAMES.items():
        for x, y in choices:
            if x in arrays and y in arrays:
                source = f"{path}, {x}"
                images[part] = as_images(source, pixels(source, arrays[x]))
                labels[part] = arrays[y]
                count_of(f"{path}, {x} and {y}", images[part], labels[part])
                break
        alone = [x for x, y in choices if x in arrays and y not in arrays]
        if part != "train" and part not in images and alone and not whole:
            raise DataError(
                f"{path} has the array {alone[0]}, but no {dict(choices)[alone[0]]}: give the "
                f"labels, or leave {alone[0]} out of the file"
            )
    if "train" not in images and not (whole and images):
        raise DataError(
            f"{path} has the arrays {listing(sorted(arrays)) or 'none'}; x_train and y_train (and "
            f"x_test, y_test), or x and y are needed"
        )
    names = arrays.get("class_names")
    known = None if names is None else [str(name) for name in names.ravel()]
    numbers, classes = targets(str(path), list(labels.values()), known, whole, task)
    count = sum(map(len, numbers))
    return Parts(
        images, dict(zip(labels, numbers, strict=True)), classes, f"{count:,} images from {path}."
    )


def load_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file, none of which may hold objects, in no more memory than they need."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {
                entry.filename.removesuffix(".npy"): _array(path, archive, entry)
                for entry in archive.infolist()
                if entry.filename.endswith(".npy")
            }
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is damaged or no .npz file: {error}") from None


def _array(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    source = f"{path}, {entry.filename.removesuffix('.npy')}"
    if entry.file_size > _DEFLATE_LIMIT * max(entry.compress_size, 1):
        raise DataError(f"{source} claims more bytes than the file can hold")
    with archive.open(entry) as file:
        shape, fortran, dtype = npy_header(file)
        if dtype.hasobject:
            raise DataError(
                f"{source} holds Python objects, which are not read; save numbers, or texts as "
                f"array.astype(str)"
            )
        if math.prod(shape) * dtype.itemsize != entry.file_size - file.tell():
            raise DataError(f"{source} is not as long as its shape {shape} asks for")
        content = np.empty(entry.file_size - file.tell(), np.uint8)
        filled = 0
        while filled < len(content) and (block := file.read(1 << 20)):
            content[filled : filled + len(block)] = np.frombuffer(block, np.uint8)
            filled += len(block)
        if filled < len(content):
            raise DataError(f"{source} ends too early")
    return content.view(dtype).reshape(shape, order="F" if fortran else "C")
