"""Options of ``python -m fastcnn.evaluate``: a run's network measured on images.

The network runs as in training, so that what is measured on a run's test images is what its
result.json has; only where that would take long is it compiled for answers, see `Saved.logits`.

Exit codes: 0 measured, 1 cannot be written, 2 cannot be measured.
"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import tyro

from .. import files, metrics
from ..datasets import Dataset
from ..losses import CLASSIFICATION, REGRESSION
from ..metrics import Measured, Report
from ..runs.saved import Saved
from ..terminal import columns, left, one_line
from . import figures, interrupt, options
from .figures import short

_PROGRAM = "python -m fastcnn.evaluate"
_HEAD: list[object] = ["metric", "class", "predicted", "value", "low", "high", "images"]
_RATES = ("precision", "recall", "f1")
_COLUMNS = 80  # of a terminal
_MOST_PAIRS = 20  # of confused classes, where the matrix is too wide


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measure a trained network: loss, accuracy, precision, recall, F1, confusion, calibration; one
    for numbers: R2 and errors.

    Every number comes with the interval that holds it with 95 %: Wilson's for shares, else that of
    1,000 bootstrap samples. Rates are defined as in scikit-learn. Of several outputs, those are
    measured that tell the dataset's classes apart.

    Exit codes: 0 measured, 1 cannot be written, 2 cannot be measured.
    """

    run: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN")]] = ""
    """Folder of a training run, or a saved model (.npz)."""
    dataset: Annotated[str | None, tyro.conf.arg(metavar="NAME|None")] = None
    """Other images than the run's: a dataset's name or a path. All of them are measured if they
    have no test part of their own. None: the run's test images."""
    part: Literal["test", "val", "train"] = "test"
    """Which images of the dataset."""
    csv: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write CSV, not a table for people."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write JSON, not a table for people."""
    out: Annotated[str | None, tyro.conf.arg(metavar="FILE|None")] = None
    """File for the numbers. None: standard output."""
    data_dir: Annotated[str | None, tyro.conf.arg(metavar="DIR|None")] = None
    """Folder with the data. None: the run's, FASTCNN_DATA or the user's cache."""
    offline: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Never download."""


def main(argv: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    try:
        arguments = options.parse(Arguments(), options.spelled(Arguments, argv), _PROGRAM)
        if not arguments.run:
            raise ValueError(f"of which run? name its folder: {_PROGRAM} runs/MODEL-DATASET")
        with interrupt.answered("interrupted; nothing was written"):
            return _evaluate(arguments)
    except ValueError as error:
        return options.refuse(error, 2)
    except OSError as error:
        return options.refuse(error, 1)


def _evaluate(arguments: Arguments) -> int:
    if arguments.csv and arguments.json:
        raise ValueError("csv and json are two ways to write the same numbers: give one of them")
    saved = Saved(arguments.run)
    path = None if arguments.out is None else options.output(arguments.out, arguments.run)
    several, task = bool(saved.model.output_names), saved.model.task
    data = saved.dataset(arguments.dataset, arguments.data_dir, arguments.offline, True)
    images, labels = part_of(data, arguments.part)
    heading = f"{saved.model_name} on {len(images):,} {arguments.part} images of {data.title}"
    if several:
        measured, answers = saved.telling(data), saved.answers(images)
        reports = {
            saved.outputs[i].name: metrics.measure(answers[i], labels, data.class_names)
            for i in measured
        }
        left = [each.name for i, each in enumerate(saved.outputs) if i not in measured]
        if left:
            print(
                f"not measured, as the images have no targets: {', '.join(left)}", file=sys.stderr
            )
        written = _csv_of if arguments.csv else _json_of if arguments.json else _tables_of
        text = written(reports, heading)
    elif task != CLASSIFICATION:
        measure = metrics.measure_numbers if task == REGRESSION else metrics.measure_labels
        form = "csv" if arguments.csv else "json" if arguments.json else "table"
        found = measure(saved.answers(images)[0], labels, data.class_names)
        text = figures.written(found, heading, form)
    else:
        report = metrics.measure(saved.logits(images), labels, data.class_names)
        written = as_csv if arguments.csv else as_json if arguments.json else table
        text = written(report, heading)
    if path is None:
        print(text, end="")
    else:
        files.write_text(path, text)
        print(f"written: {one_line(path)}")
    return 0


def part_of(data: Dataset, part: str) -> tuple[Any, Any]:
    """Images and labels of a part."""
    images, labels = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
    if images is None or not len(images):
        why = "; a share held out by --validation is none" if part == "val" else ""
        raise ValueError(f"{data.title} has no {part} part{why}")
    return images, labels


def rows(report: Report) -> list[tuple[str, str, Measured, int]]:
    """(what, of which class, number, images) of everything that was measured."""
    found = [
        ("loss", "", report.loss, report.count),
        ("accuracy", "", report.accuracy, report.count),
        *((f"top-{k} accuracy", "", each, report.count) for k, each in report.top.items()),
        ("expected calibration error", "", report.calibration, report.count),
    ]
    for name, numbers in report.classes.items():
        found += [(rate, name, numbers[rate], report.support[name]) for rate in _RATES]
    for name, numbers in report.averages.items():
        found += [(f"{name} {rate}", "", numbers[rate], report.count) for rate in _RATES]
    return found


def _csv_of(reports: dict[str, Report], _heading: str) -> str:
    """Of several outputs: the name of each first."""
    lines: list[list[object]] = [["output", *_HEAD]]
    lines += [[name, *line] for name, report in reports.items() for line in _lines(report)]
    return files.csv_text(lines)


def _json_of(reports: dict[str, Report], heading: str) -> str:
    outputs = {name: _content(report) for name, report in reports.items()}
    content = {"outputs": outputs, "about": heading}
    return json.dumps(content, indent=2, allow_nan=False, default=str) + "\n"


def _tables_of(reports: dict[str, Report], heading: str) -> str:
    tables = (table(report, f"{heading}, output {name}") for name, report in reports.items())
    return "\n".join(tables)


def as_csv(report: Report, _heading: str) -> str:
    """A line per number, and one per pair of classes that were confused."""
    return files.csv_text([_HEAD, *_lines(report)])


def _lines(report: Report) -> list[list[object]]:
    lines: list[list[object]] = []
    for what, name, number, count in rows(report):
        lines.append([what, name, "", number.value, number.low, number.high, count])
    names = list(report.classes)
    for true, counts in zip(names, report.confusion.tolist(), strict=True):
        for predicted, count in zip(names, counts, strict=True):
            lines.append(["confusion", true, predicted, count, "", "", report.support[true]])
    return lines


def as_json(report: Report, heading: str) -> str:
    """Everything, with intervals as {"value", "low", "high"}."""
    content = _content(report) | {"about": heading}
    return json.dumps(content, indent=2, allow_nan=False, default=str) + "\n"


def _content(report: Report) -> dict[str, Any]:
    content = dataclasses.asdict(report) | {"confusion": report.confusion.tolist()}
    return figures.finite(content)


def table(report: Report, heading: str) -> str:
    """What a person reads: all numbers, and the confusion of a few classes."""
    lines = [one_line(heading), ""]
    plain = [row for row in rows(report) if row[1] == "" and row[0].split()[-1] not in _RATES]
    wide = max(len(row[0]) for row in plain)
    for what, _, number, _ in plain:
        lines.append(f"{what:{wide}}  {number.value:.4f}  (95 %: {_interval(number)})")
    lines.append("")
    names = [*report.classes, *report.averages]
    wide = max(len("class"), *(columns(short(name)) for name in names))
    lines.append(f"{'class':{wide}}  " + "  ".join(f"{rate:17}" for rate in _RATES) + "  images")
    for name in names:
        numbers = report.classes.get(name) or report.averages[name]
        cells = "  ".join(_cell(numbers[rate]) for rate in _RATES)
        count = report.support.get(name, report.count)
        lines.append(f"{left(short(name), wide)}  {cells}  {count:>6,}")
    lines += ["", *_confusion(report)]
    return "\n".join(lines) + "\n"


def _cell(number: Measured) -> str:
    return f"{number.value:.3f} ({number.low:.2f}-{number.high:.2f})"


def _interval(number: Measured) -> str:
    return f"{number.low:.4f}-{number.high:.4f}"


def _confusion(report: Report) -> list[str]:
    """The matrix, or of many classes the pairs that are confused most."""
    names, matrix = [one_line(name) for name in report.classes], report.confusion
    wide = max(columns(short(name)) for name in names)
    digits = max(len(str(matrix.max())), len(str(len(names))))
    if 5 + wide + len(names) * (digits + 1) <= _COLUMNS:
        numbers = " ".join(f"{i:>{digits}}" for i in range(1, len(names) + 1))
        lines = ["true class, by number of the predicted class:", f"{'':{wide + 5}} {numbers}"]
        for i, (name, counts) in enumerate(zip(names, matrix, strict=True), 1):
            cells = " ".join(f"{n:>{digits}}" for n in counts)
            lines.append(f"{i:>3}  {left(short(name), wide)} {cells}")
        return lines
    pairs = sorted(
        ((int(matrix[i, j]), names[i], names[j])
         for i in range(len(names)) for j in range(len(names)) if i != j and matrix[i, j]),
        reverse=True,
    )  # fmt: skip
    return ["confused most (true, predicted, images):", *(
        f"  {true}, {predicted}: {count:,}" for count, true, predicted in pairs[:_MOST_PAIRS]
    )]  # fmt: skip
