"""The table of a training run that a person sees: two lines of heading, and one per epoch."""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
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
        """A number; one that is too long with fewer digits, or else in powers of ten."""
        fewer = [f".{digits}f" for digits in range(3, 0, -1)] if self.form == ".4f" else []
        texts = [format(value, form) for form in (self.form, *fewer, ".1e", ".0e")]
        text = next((text for text in texts if len(text) <= self.width), texts[-1])
        return text.rjust(self.width)


# What is shown beside the loss: the score, which is one of these.
_SCORES = (("acc", "accuracy", ".2%"), ("exact", "exact_match", ".2%"), ("R2", "r2", ".4f"))


def _measured(part: str, prefix: str) -> Iterator[Column]:
    yield Column(part, "loss", f"{prefix}loss", 7, ".4f")
    for head, name, form in _SCORES:
        yield Column(part, head, prefix + name, 7, form)


_ROOM = 78
# All that a run has take 78 letters of a terminal's 80.
_COLUMNS = (
    Column("", "epoch", "epoch", 5, ".0f"),
    Column("", "lr", "lr", 8, ".3g"),
    *_measured("train", ""),
    *_measured("val", "val_"),
    *_measured("test", "test_"),
    Column("", "seconds", "seconds", 7, ".2f"),
)


def columns_of(names: Collection[str]) -> list[Column]:
    """The columns for what is measured; the scores of several outputs as far as there is room."""
    columns = [column for column in _COLUMNS if column.key in names]
    for part, prefix in (("val", "val_"), ("train", ""), ("test", "test_")):
        scores = list(_scores(part, prefix, names))
        width = sum(column.width + len(_GAP) for column in (*columns, *scores)) - len(_GAP)
        if scores and width <= _ROOM:
            behind = [column.key for column in columns].index(f"{prefix}loss") + 1
            columns[behind:behind] = scores
    return columns


def _scores(part: str, prefix: str, names: Collection[str]) -> Iterator[Column]:
    """A column for each output, which has a loss of its own."""
    for key in names:
        output = key.removeprefix(prefix).removesuffix("_loss")
        for _, score, form in _SCORES:
            name = f"{prefix}{output}_{score}"
            if key == f"{prefix}{output}_loss" and name in names and (prefix or not _is_held(key)):
                yield Column(part, output[:7], name, 7, form)


def _is_held(key: str) -> bool:
    return key.startswith(("val_", "test_"))


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
