"""Options of ``python -m fastcnn.predict``: what a trained network takes pictures for.

A few pictures are answered by the network as training ran it: to compile it for answers would take
far longer than they do. For very many it is compiled, see `Saved.logits`.

Exit codes: 0 answered, 1 cannot be written, 2 cannot be answered.
"""

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import tyro

from kernels.cores import available_cores

from .. import files, plots
from ..datasets.own import digit, pictures
from ..metrics import softmax
from ..runs.likeness import Likeness
from ..runs.saved import Saved
from ..terminal import columns, left, one_line
from . import interrupt, options
from .columns import Columns

_PROGRAM = "python -m fastcnn.predict"
_TOLD = 3  # classes per picture
_SHOWN = 100  # pictures in one file


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Ask a trained network what pictures show: the class, its probability, and the next two.

    Of a network with several outputs, or one for numbers or several labels, what each output says.
    Pictures are read, turned and scaled as those of the training folder were. A note says where one
    is unlike anything trained on, and why.

    Exit codes: 0 answered, 1 cannot be written, 2 cannot be answered.
    """

    run: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN")]] = ""
    """Folder of a training run, or a saved model (.npz)."""
    pictures: tyro.conf.Positional[
        Annotated[tuple[str, ...], tyro.conf.arg(metavar="PICTURE ...")]
    ] = ()
    """Files, folders (all pictures below them), or - for a list of files on standard input."""
    mnist_like: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Bring photos of a handwritten digit to MNIST's form: white on black, cropped, centred."""
    show: Annotated[str | None, tyro.conf.arg(metavar="FILE|None")] = None
    """Draw what the network saw, the first 100 pictures, into this file (.png, .svg, .pdf)."""
    csv: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write CSV, not a table for people."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write JSON, not a table for people."""
    out: Annotated[str | None, tyro.conf.arg(metavar="FILE|None")] = None
    """File for the answers. None: standard output."""


class Answer(NamedTuple):
    """What a network takes a picture for."""

    file: str
    classes: list[str]  # the most probable first
    probabilities: list[float]
    note: str


def main(argv: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    try:
        arguments = options.parse(Arguments(), options.spelled(Arguments, argv), _PROGRAM)
        if not arguments.run or not arguments.pictures:
            raise ValueError(f"name a run's folder and pictures: {_PROGRAM} RUN PICTURE ...")
        with interrupt.answered("interrupted; nothing was written"):
            return _predict(arguments)
    except ValueError as error:
        return options.refuse(error, 2)
    except OSError as error:
        return options.refuse(error, 1)


def _predict(arguments: Arguments) -> int:
    if arguments.csv and arguments.json:
        raise ValueError("csv and json are two ways to write the same answers: give one of them")
    saved = Saved(arguments.run)
    shape, columns = saved.image_shape, Columns(saved)
    if shape is None:
        raise ValueError(
            f"{saved.path} takes samples of shape {saved.model.input_shape}, which are no "
            f"pictures: use it in Python, load_model(...).predict(x)"
        )
    if arguments.mnist_like and shape != (1, 28, 28):
        raise ValueError(
            f"mnist_like is for networks that take MNIST's images, 28 x 28 in grey; this one has "
            f"{shape[1]} x {shape[2]} with {shape[0]} channels"
        )
    named, found = _files(arguments.pictures)
    path, show = (
        None if wanted is None else options.output(wanted, arguments.run, *named, *found)
        for wanted in (arguments.out, arguments.show)
    )
    images, files_read = _read([*named, *found], set(named), shape, arguments.mnist_like)
    form = "csv" if arguments.csv else "json" if arguments.json else "table"
    if columns.is_usual:
        probabilities = softmax(saved.logits(images))
        answers = _answers(saved, files_read, probabilities, _notes(saved, images))
        titles = [f"{each.classes[0]} {each.probabilities[0]:.1%}" for each in answers]
        text = {"csv": _as_csv, "json": _as_json, "table": _table}[form](answers)
    else:
        told, notes = columns.answers(images), _notes(saved, images)
        titles = [columns.title(each) for each in told]
        text = columns.text(form, list(map(_text, files_read)), told, notes)
    if show is not None:
        _show(show, images, files_read, titles)
    if path is None:
        print(text, end="")
    else:
        files.write_text(path, text)
        print(f"written: {one_line(path)}", file=sys.stderr)
    return 0


def _files(wanted: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """Files that were named, and pictures found in folders."""
    named: list[Path] = []
    found: list[Path] = []
    for word in wanted:
        lines = sys.stdin.read().splitlines() if word == "-" else [word]
        for line in filter(str.strip, lines):
            path = files.place(line.strip() if word == "-" else line)
            if path.is_dir():
                inside = (place / name for place, names in pictures.walk(path) for name in names)
                below = sorted(filter(pictures.is_picture, inside))
                if not below:
                    raise ValueError(f"the folder {path} holds no pictures")
                found += below
            elif path.exists():
                named.append(path)
            else:
                raise ValueError(f"there is no file or folder {path}")
    if not named and not found:
        raise ValueError("standard input named no pictures: one file or folder per line is read")
    return named, found


def _read(
    paths: Sequence[Path], named: set[Path], shape: tuple[int, int, int], mnist_like: bool
) -> tuple[np.ndarray, list[Path]]:
    """Images (N, C, H, W) as the network takes them, and the files that they are from.

    A file that was named must be a picture; one that was found in a folder is left out.
    """
    read = _reader(shape, mnist_like)
    images, kept = [], []
    with pictures.quietly(), ThreadPoolExecutor(available_cores()) as pool:
        for path, image in zip(paths, pool.map(read, paths), strict=True):
            if isinstance(image, np.ndarray):
                images.append(image)
                kept.append(path)
            elif path in named:
                raise ValueError(f"{path} cannot be read: {image}")
            else:
                print(f"left out {one_line(path)}: {image}", file=sys.stderr)
    if not images:
        raise ValueError("none of the pictures can be read")
    return np.stack(images), kept


def _reader(shape: tuple[int, int, int], mnist_like: bool) -> Callable[[Path], np.ndarray | str]:
    def read(path: Path) -> np.ndarray | str:
        try:
            if mnist_like:
                return digit.mnist_like(pictures.read(path, grey=True)[..., 0])[None]
            return pictures.read(path, shape[1:], shape[0] == 1).transpose(2, 0, 1)
        except pictures.UnreadableError as error:
            return str(error)

    return read


def _notes(saved: Saved, images: np.ndarray) -> list[str]:
    """For each image what is unlike the training images; empty where nothing is."""
    try:
        return Likeness(saved).reasons(images)
    except (ValueError, OSError) as error:
        print(f"note: pictures are not compared with those trained on: {error}", file=sys.stderr)
        return [""] * len(images)


def _answers(
    saved: Saved, paths: Sequence[Path], probabilities: np.ndarray, notes: Sequence[str]
) -> list[Answer]:
    names = saved.model.class_names or [str(i) for i in range(probabilities.shape[1])]
    answers = []
    for path, row, note in zip(paths, probabilities, notes, strict=True):
        order = np.argsort(-row, kind="stable")[:_TOLD]
        answers.append(Answer(_text(path), [names[i] for i in order], row[order].tolist(), note))
    return answers


def _text(path: Path) -> str:
    """A file's name as text, with escapes for bytes that are none."""
    return str(path).encode(errors="backslashreplace").decode()


def _table(answers: Sequence[Answer]) -> str:
    names = [one_line(answer.file) for answer in answers]
    wide = max(map(columns, names))
    lines = []
    for file, (_, classes, probabilities, note) in zip(names, answers, strict=True):
        shares = zip(map(one_line, classes), probabilities, strict=True)
        told = [f"{name} {share:.1%}" for name, share in shares]
        others = f"  (then {', '.join(told[1:])})" if told[1:] else ""
        lines.append(f"{left(file, wide)}  {told[0]}{others}")
        if note:
            lines.append(f"  unlike the pictures trained on: {note}")
    return "\n".join(lines) + "\n"


def _as_csv(answers: Sequence[Answer]) -> str:
    places = range(1, len(answers[0].classes) + 1)
    columns = [column for i in places for column in (f"class{i}", f"probability{i}")]
    rows: list[list[object]] = [["file", *columns, "unlike"]]
    for answer in answers:
        pairs = zip(answer.classes, answer.probabilities, strict=True)
        rows.append([answer.file, *(value for pair in pairs for value in pair), answer.note])
    return files.csv_text(rows)


def _as_json(answers: Sequence[Answer]) -> str:
    content = [
        {
            "file": answer.file,
            "classes": [
                {"class": name, "probability": share}
                for name, share in zip(answer.classes, answer.probabilities, strict=True)
            ],
            "unlike": answer.note or None,
        }
        for answer in answers
    ]
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _show(path: Path, images: np.ndarray, shown: Sequence[Path], told: Sequence[str]) -> None:
    """A sheet of the images as the network was given them."""
    each = zip(shown[:_SHOWN], told, strict=False)
    titles = [f"{one_line(_text(Path(file.name)))}\n{answer}" for file, answer in each]
    plots.save(plots.given(images[:_SHOWN], titles), path)
    print(f"written: {one_line(path)}", file=sys.stderr)
