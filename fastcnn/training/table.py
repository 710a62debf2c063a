"""The table of a training run that a person sees: two lines of heading, and one per epoch."""

import itertools
from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

_GAP = "  "


class Column(NamedTuple):
    """A column: what it is a part of, its heading, its name in the history, how it is written."""

    part: str
    head: str
    key: str
    width: int
    form: str

    def cell(self, value: float) -> str:
        """A number; one that is too long for its column in powers of ten."""
        text = format(value, self.form)
        return (text if len(text) <= self.width else f"{value:.1e}").rjust(self.width)


# All of them take 78 letters of a terminal's 80.
_COLUMNS = (
    Column("", "epoch", "epoch", 5, ".0f"),
    Column("", "lr", "lr", 8, ".3g"),
    Column("train", "loss", "loss", 7, ".4f"),
    Column("train", "acc", "accuracy", 7, ".2%"),
    Column("val", "loss", "val_loss", 7, ".4f"),
    Column("val", "acc", "val_accuracy", 7, ".2%"),
    Column("test", "loss", "test_loss", 7, ".4f"),
    Column("test", "acc", "test_accuracy", 7, ".2%"),
    Column("", "seconds", "seconds", 7, ".2f"),
)


def columns_of(names: Container[str]) -> list[Column]:
    """The columns for what is measured."""
    return [column for column in _COLUMNS if column.key in names]


def heading(columns: Sequence[Column]) -> list[str]:
    """Two lines: the parts, each over its columns, and what the columns show."""
    parts = []
    for part, group in itertools.groupby(columns, lambda column: column.part):
        widths = [column.width for column in group]
        width = sum(widths) + len(_GAP) * (len(widths) - 1)
        parts.append(f" {part} ".center(width, "-") if part else " " * width)
    return [
        _GAP.join(parts).rstrip(),
        _GAP.join(column.head.rjust(column.width) for column in columns),
    ]


def line(columns: Sequence[Column], row: Mapping[str, float]) -> str:
    """The numbers of an epoch."""
    return _GAP.join(column.cell(row[column.key]) for column in columns)
