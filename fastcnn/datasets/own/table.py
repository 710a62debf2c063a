"""CSV as on Kaggle: a row per image, a column with the label and one for each pixel.

The first line names the columns. The label's is called label, class, target or y; the others are
pixels, row by row. The last one may say the size, as in "28x28".
"""

import csv
import gzip
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from ...tasks import CLASSIFICATION
from ..dataset import DataError
from .parts import Parts, as_images, pixels
from .pictures import is_picture
from .targets import targets

_LABELS = ("label", "labels", "class", "target", "y")
_ROWS = 4096  # lines that are read at a time


def read(path: Path, whole: bool = False, task: str = CLASSIFICATION) -> Parts:
    """The images and labels of a CSV file; `whole` and `task` are as in `Reading`.

    Raises
    ------
    DataError
        If it has no header or no labels, or a value is missing or no pixel; names the line.
    """
    try:
        with _opened(path) as file:
            names = next(csv.reader([file.readline()]), [])
            names = [name.strip().lstrip("\ufeff") for name in names]
            place = _label_column(path, names)
            blocks = [_block(path, lines, first, names, place) for first, lines in _lines(file)]
    except UnicodeDecodeError:
        raise DataError(f"{path} is no text in UTF-8, so it is not read as CSV") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    if not any(labels for labels, _ in blocks):
        raise DataError(f"{path} has a header, but no line below it")
    texts = [label for labels, _ in blocks for label in labels]
    values = np.concatenate([block for _, block in blocks])
    as_numbers = all(map(_is_number, texts))
    given = np.array(texts, float if as_numbers else str)
    (labels,), classes = targets(str(path), [given], None, whole, task)
    x = _shaped(path, names, place, pixels(str(path), values))
    return Parts({"train": x}, {"train": labels}, classes, f"{len(x):,} images from {path}.")


def _opened(path: Path) -> IO[str]:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return open(path, encoding="utf-8", newline="")


def _lines(file: IO[str]) -> Iterator[tuple[int, list[str]]]:
    """Blocks of lines, each with the number of its first one in the file."""
    number = 2
    while lines := list(itertools.islice(file, _ROWS)):
        yield number, lines
        number += len(lines)


def _label_column(path: Path, names: list[str]) -> int:
    if not any(names):
        raise DataError(f"{path} is empty")
    if all(map(_is_number, names)):
        raise DataError(
            f"{path} has no header: its first line is numbers, but must name the columns, such as "
            f"label,pixel0,pixel1"
        )
    places = [i for i, name in enumerate(names) if name.lower() in _LABELS]
    if len(places) != 1:
        other = next((mark for mark in ";\t" if mark in names[0]), None)
        if len(names) == 1 and other:
            raise DataError(
                f"{path} has {'semicolons' if other == ';' else 'tabs'} between its columns; write "
                f"commas there"
            )
        count = "no column" if not places else f"{len(places)} columns"
        raise DataError(
            f"{path} has {count} called {', '.join(_LABELS[:-1])} or {_LABELS[-1]}; one of its "
            f"{len(names)} columns must hold the labels and be called label"
        )
    if len(names) == 1:
        raise DataError(f"{path} has labels, but no columns of pixels")
    return places[0]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _block(
    path: Path, lines: list[str], first: int, names: list[str], place: int
) -> tuple[list[str], np.ndarray]:
    """(labels, pixels) of some lines, of which `first` is the number of the first."""
    while lines and not lines[-1].strip():
        lines = lines[:-1]  # empty ones at the end of the file
    labels = []
    rows = []
    for number, line in enumerate(lines, first):
        if line.count(",") != len(names) - 1:
            raise DataError(
                f"{path}, line {number:,}: it has {line.count(',') + 1:,} values, the header has "
                f"{len(names):,}"
            )
        before = line.split(",", place + 1)
        labels.append(before[place].strip().strip('"'))
        if labels[-1].lower() in ("", "nan"):
            raise DataError(f"{path}, line {number:,}: the label is missing")
        rows.append(",".join([*before[:place], *before[place + 1 :]]))
    if not rows:
        return [], np.empty((0, len(names) - 1), np.uint8)
    columns = [name for i, name in enumerate(names) if i != place]
    try:
        values = np.loadtxt(rows, np.float64, delimiter=",", ndmin=2, quotechar='"', comments=None)
        if values.shape != (len(rows), len(columns)):
            raise ValueError
    except ValueError:
        raise DataError(_fault(path, rows, first, columns)) from None
    wrong = ~np.isfinite(values)
    if wrong.any():
        row, column = (int(each[0]) for each in np.nonzero(wrong))
        raise DataError(
            f"{path}, line {first + row:,}, column {columns[column]}: {values[row, column]} is no "
            f"pixel"
        )
    whole = np.clip(values, 0, 255).astype(np.uint8)
    exact = bool((whole == values).all())
    return labels, whole if exact else values


def _fault(path: Path, rows: list[str], first: int, columns: list[str]) -> str:
    """The sentence for the first value that is no number."""
    for number, row in enumerate(rows, first):
        for column, text in zip(columns, row.rstrip("\r\n").split(","), strict=True):
            text = text.strip().strip('"')
            if not _is_number(text):
                what = f"{text!r} is no number" if text else "the value is missing"
                if is_picture(Path(text)):
                    what += "; instead of names of files give a folder with a subfolder per class"
                return f"{path}, line {number:,}, column {column}: {what}"
    return f"{path}: the lines {first:,} to {first + len(rows) - 1:,} cannot be read as numbers"


def _shaped(path: Path, names: list[str], place: int, values: np.ndarray) -> np.ndarray:
    """Rows of pixels as images; the last column's name may be the size."""
    last = [name for i, name in enumerate(names) if i != place][-1]
    size = re.fullmatch(r"\D*(\d+)x(\d+)", last)
    if size:
        height, width = int(size[1]), int(size[2])
        if height * width == values.shape[1]:
            return values.reshape(-1, 1, height, width)
    return as_images(str(path), values)
