"""What the outputs of a network say of pictures, a column for each, as text, CSV or JSON."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import files
from ..losses import CLASSIFICATION, MULTILABEL
from ..metrics import softmax
from ..runs.saved import Output, Saved
from ..terminal import aligned, one_line

_TOLD = 3  # numbers or labels of an output in the table
_UNNAMED = {CLASSIFICATION: "class", MULTILABEL: "labels"}

# What an output says of one picture: ("6", 0.98); labels as such pairs; or numbers.
Said = tuple[str, float] | list[tuple[str, float]] | list[float]


class Columns:
    """The outputs of a network that is not for the classes of one output.

    Raises
    ------
    ValueError
        If one gives no row of numbers for a picture.
    """

    def __init__(self, saved: Saved) -> None:
        self._saved, self._outputs = saved, saved.outputs
        self.is_usual = [each.task for each in self._outputs] == [CLASSIFICATION]
        for each in self._outputs:
            if len(each.shape) != 1:
                name = f"output {each.name} of " * bool(each.name)
                raise ValueError(
                    f"{name}{saved.path} gives {each.shape} for a picture, which is no row of "
                    f"numbers: use it in Python, load_model(...).predict(images)"
                )
        self._names = [each.name or _UNNAMED.get(each.task, "number") for each in self._outputs]

    def answers(self, images: np.ndarray) -> list[list[Said]]:
        """For each image (N, C, H, W) what each output says."""
        outputs = zip(self._outputs, self._saved.answers(images), strict=True)
        said = [self._said(output, given) for output, given in outputs]
        return [list(each) for each in zip(*said, strict=True)]

    def _called(self, output: Output) -> Sequence[str]:
        """Names of the classes, labels or numbers of an output."""
        own = self._saved.model.class_names
        is_own = own is not None and len(self._outputs) == 1 and len(own) == output.shape[0]
        return own if own is not None and is_own else [str(i) for i in range(output.shape[0])]

    def _said(self, output: Output, given: np.ndarray) -> list[Said]:
        if output.task == CLASSIFICATION:
            names, best = self._called(output), given.argmax(axis=1)
            shares = softmax(given)[np.arange(len(given)), best].tolist()
            places: list[int] = best.tolist()
            return [(names[i], share) for i, share in zip(places, shares, strict=True)]
        if output.task == MULTILABEL:
            names = self._called(output)
            shares = 1 / (1 + np.exp(-given.astype(np.float64).clip(-700, 700)))
            return [list(zip(names, row, strict=True)) for row in shares.tolist()]
        return given.tolist()

    # --- written --------------------------------------------------------------------------------

    def title(self, answer: Sequence[Said]) -> str:
        """What is written over a picture."""
        cells = zip(self._names, answer, strict=True)
        return "\n".join(f"{name} {_cell(said)}" for name, said in cells)

    def text(
        self, form: str, files_read: Sequence[str], told: Sequence[list[Said]], notes: Sequence[str]
    ) -> str:
        """All answers; form : "table", "csv" or "json"."""
        return getattr(self, f"_as_{form}")(files_read, told, notes)

    def _as_table(
        self, files_read: Sequence[str], told: Sequence[list[Said]], notes: Sequence[str]
    ) -> str:
        rows = [["", *self._names]]
        for file, answer in zip(files_read, told, strict=True):
            rows.append([one_line(file), *(one_line(_cell(said)) for said in answer)])
        lines: list[str] = []
        for line, note in zip(aligned(rows), ["", *notes], strict=True):
            lines.append(line)
            if note:
                lines.append(f"  unlike the pictures trained on: {note}")
        return "\n".join(lines) + "\n"

    def _as_csv(
        self, files_read: Sequence[str], told: Sequence[list[Said]], notes: Sequence[str]
    ) -> str:
        rows: list[list[object]] = [["file", *self._columns(), "unlike"]]
        for file, answer, note in zip(files_read, told, notes, strict=True):
            values: list[object] = []
            for said in answer:
                if isinstance(said, tuple):
                    values += said
                else:
                    values += [each[1] if isinstance(each, tuple) else each for each in said]
            rows.append([file, *values, note])
        return files.csv_text(rows)

    def _columns(self) -> list[str]:
        """Those of the CSV file: every number has one."""
        found: list[str] = []
        for output, name in zip(self._outputs, self._names, strict=True):
            if output.task == CLASSIFICATION:
                found += [name, f"{name}_probability"]
            elif output.task == MULTILABEL:
                found += [f"{name}_{label}" for label in self._called(output)]
            else:
                called = self._called(output)
                found += [name] if len(called) == 1 else [f"{name}_{each}" for each in called]
        return found

    def _as_json(
        self, files_read: Sequence[str], told: Sequence[list[Said]], notes: Sequence[str]
    ) -> str:
        content = [
            {
                "file": file,
                "outputs": dict(zip(self._names, map(_content, answer), strict=True)),
                "unlike": note or None,
            }
            for file, answer, note in zip(files_read, told, notes, strict=True)
        ]
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _cell(said: Said) -> str:
    """For people: a class, the labels that are more probable than not, or the first numbers."""
    if isinstance(said, tuple):
        return f"{said[0]} {said[1]:.1%}"
    pairs = [each for each in said if isinstance(each, tuple)]
    if pairs:
        told = [f"{name} {share:.1%}" for name, share in pairs if share > 0.5]
    else:
        told = [f"{each:.4g}" for each in said]
    more = len(told) - _TOLD
    return (", ".join(told[:_TOLD]) or "none") + f" and {more} more" * (more > 0)


def _content(said: Said) -> Any:
    """As JSON holds it."""
    if isinstance(said, tuple):
        return {"class": said[0], "probability": said[1]}
    if any(isinstance(each, tuple) for each in said):
        return dict(said)  # type: ignore[arg-type]
    return said[0] if len(said) == 1 else said
