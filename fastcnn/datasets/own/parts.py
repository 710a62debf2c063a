"""Train, validation and test part of people's own data, and the split of what has no test part."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...random import generator
from ...tasks import CLASSIFICATION
from ..dataset import DataError, Dataset, listing
from ..scaling import bring
from . import labels as label_numbers
from .pictures import Size

# By how much 255 times a pixel may miss a whole number: of four decimal places, of half floats.
_ROUNDED, _HALF = 0.02, 0.07
_MAX_MEMORY = 1 << 31  # bytes of images that are copied into memory to be split


@dataclass(frozen=True)
class Reading:
    """How people's own data is read.

    Attributes
    ----------
    size : pair, optional
        (height, width) of the images; None: as they are where they are alike.
    grey : bool
        Whether colours are given up.
    strict : bool
        Whether a picture that cannot be read is an error.
    seed : int
        Key of the split.
    test_share : float
        Part of the images that becomes the test part, where the data has none.
    progress : bool, optional
        Whether a bar shows how far reading is; None: in a terminal.
    whole : bool
        Whether the images are to be measured, not learned from: there need be no training part, nor
        two classes, and where there is no test part, it is all of them.
    task : {"classification", "multilabel", "regression"}
        What is learned of each image: its class, which of several labels it has, or numbers.
    """

    size: Size | None = None
    grey: bool = False
    strict: bool = False
    seed: int = 42
    test_share: float = 0.2
    progress: bool | None = None
    whole: bool = False
    task: str = CLASSIFICATION


@dataclass(frozen=True, eq=False)
class Parts:
    """What a file or folder holds: images and labels by the name of their part.

    Attributes
    ----------
    images : dict
        "train" and perhaps "val" and "test" -> uint8 (N, C, H, W). Those to be measured may lack
        "train".
    labels : dict
        The same names -> int64 (N,), or what else is learned: see `Dataset`.
    class_names, source, notes
        As in `Dataset`.
    """

    images: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    class_names: tuple[str, ...]
    source: str
    notes: tuple[str, ...] = ()


def dataset(path: Path, parts: Parts, reading: Reading) -> Dataset:
    """The dataset of these parts, split where there is no test part.

    Raises
    ------
    DataError
        If the parts do not fit one another, or are too small to be split.
    """
    images = {name: bring(each, reading.size, reading.grey) for name, each in parts.images.items()}
    _check_shapes(path, images)
    labels, notes = dict(parts.labels), parts.notes
    held_out = "test" not in images and not reading.whole
    if held_out:
        alike = (
            labels["train"] if reading.task == CLASSIFICATION else np.zeros(len(labels["train"]))
        )
        train, test = stratified(alike, reading.test_share, reading.seed)
        _check_sides(path, train, test)
        x, y = images["train"], labels["train"]
        images |= {"train": _rows(x, train), "test": _rows(x, test)}
        labels |= {"train": y[train], "test": y[test]}
        notes += (_held_out(labels, parts.class_names, reading),)
    if reading.whole:
        _fill(images)
        _fill(labels)
    elif reading.task == CLASSIFICATION:
        notes += label_numbers.without_images(labels["train"], parts.class_names)
    return Dataset(
        name=str(path.resolve()),
        x_train=images["train"],
        y_train=labels["train"],
        x_test=images["test"],
        y_test=labels["test"],
        class_names=parts.class_names,
        source=parts.source,
        notes=notes,
        x_val=images.get("val"),
        y_val=labels.get("val"),
        held_out=held_out,
        task=reading.task,
    )


def _held_out(labels: dict[str, np.ndarray], names: Sequence[str], reading: Reading) -> str:
    """The note on test images that were chosen here."""
    count = len(labels["test"])
    chosen = f"There is no test part: {count:,} of {count + len(labels['train']):,} images"
    if reading.task != CLASSIFICATION:
        return f"{chosen} are held out by seed {reading.seed}."
    there = {part: set(labels[part].tolist()) for part in ("train", "test")}
    single = [name for number, name in enumerate(names) if number in there["train"] - there["test"]]
    missing = "" if not single else (
        f", of which {listing(single[:10])} {'has' if len(single) == 1 else 'have'} a single image "
        f"and none there"
    )  # fmt: skip
    return (
        f"{chosen}, about the same share of each class{missing}, are held out by seed "
        f"{reading.seed}."
    )


def _fill(arrays: dict[str, np.ndarray]) -> None:
    """Give what is only to be measured a test part, and a training part, which may be empty."""
    some = next(iter(arrays.values()))
    arrays.setdefault("test", some)  # nobody trained on any of it
    arrays.setdefault("train", some[:0])


def stratified(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (train, test), ascending, with about the same share of each class in both.

    A class of two images or more has at least one on either side; one of a single image stays in
    the training part.
    """
    test = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        count = min(max(round(len(rows) * share), 1), len(rows) - 1) if share > 0 else 0
        order = generator(seed, "test part", int(label)).permutation(len(rows))
        test[rows[order[:count]]] = True
    return np.flatnonzero(~test), np.flatnonzero(test)


def _rows(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Some of the images: a copy in memory, or, of very many, mapped from a file without a name."""
    if len(rows) * images[:1].nbytes <= _MAX_MEMORY:
        return images[rows]
    import tempfile

    with tempfile.TemporaryFile() as file:
        for start in range(0, len(rows), 512):
            file.write(images[rows[start : start + 512]].tobytes())
        file.flush()
        shape = (len(rows), *images.shape[1:])
        return np.memmap(file, np.uint8, "c", shape=shape).view(np.ndarray)


def _check_shapes(path: Path, images: dict[str, np.ndarray]) -> None:
    shapes = {name: each.shape[1:] for name, each in images.items()}
    first = next(iter(shapes))
    for name, shape in shapes.items():
        if shape != shapes[first]:
            raise DataError(
                f"{path}: the images of the {name} part have shape {shape}, those of the {first} "
                f"part {shapes[first]}; --size and --grey make them alike"
            )


def _check_sides(path: Path, train: np.ndarray, test: np.ndarray) -> None:
    if not len(test):
        raise DataError(
            f"{path} has {len(train)} images and no class with two of them, so none can be held "
            f"out to test on"
        )


def pixels(source: str, values: np.ndarray) -> np.ndarray:
    """Numbers as uint8 pixels, where that is exact: 0 to 255, or 0 to 1 in steps of 1/255.

    Where none but 0 and 1 occur, 1 is white.

    Raises
    ------
    DataError
        If they are not pixels.
    """
    if values.dtype == np.uint8 and (not values.size or values.max() > 1):
        return values
    if values.dtype.kind not in "iufb":
        raise DataError(f"{source}: pixels must be numbers, got {values.dtype}")
    if values.size == 0:
        raise DataError(f"{source} holds no pixels")
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        at = np.unravel_index(int(np.argmin(np.isfinite(values))), values.shape)
        raise DataError(f"{source}: the value at {tuple(map(int, at))} is {values[at]}, no pixel")
    fault = f"the values lie between {low:g} and {high:g} and are no pixels"
    if low >= 0 and 0 < high <= 1:
        scaled = values * np.float64(255)
        near = np.abs(scaled - np.round(scaled))
        if near.max() <= (_HALF if values.dtype == np.float16 else _ROUNDED):
            return np.round(scaled).astype(np.uint8)
        fault = f"{values.flat[near.argmax()]:g} is no multiple of 1/255 and so no pixel"
    if low >= 0 and high <= 255 and (values == np.round(values)).all():
        return values.astype(np.uint8)
    raise DataError(
        f"{source}: {fault}; whole numbers from 0 to 255, or those divided by 255, are read (other "
        f"numbers train from Python: model.train(x, y))"
    )


def as_images(source: str, values: np.ndarray) -> np.ndarray:
    """Pixels of any usual layout as (N, C, H, W).

    (N, H, W), (N, C, H, W) and (N, H, W, C) with 1 or 3 channels; rows of H * H or 3 * H * H.

    Raises
    ------
    DataError
        If the shape is another one.
    """
    shape = values.shape
    if values.size == 0:
        raise DataError(f"{source} holds no images")
    if len(shape) == 3:
        return values[:, None]
    if len(shape) == 4 and shape[1] in (1, 3):
        return values
    if len(shape) == 4 and shape[3] in (1, 3):
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2))
    if len(shape) == 2:
        for channels in (1, 3):
            side = round((shape[1] / channels) ** 0.5)
            if channels * side * side == shape[1]:
                return values.reshape(-1, channels, side, side)
        raise DataError(
            f"{source}: {shape[1]} pixels are no square image, grey or of three colours, so height "
            f"and width are not known; an .npz file with (N, height, width) says them"
        )
    raise DataError(
        f"{source}: images must be (N, height, width), (N, channels, height, width) or (N, height, "
        f"width, channels) with 1 or 3 channels, got {shape} (others train from Python: "
        f"model.train(x, y))"
    )


def count_of(source: str, images: np.ndarray, labels: Sequence[object] | np.ndarray) -> None:
    """Refuse images and labels that are not equally many."""
    if len(images) != len(labels):
        raise DataError(f"{source}: there are {len(images):,} images but {len(labels):,} labels")
