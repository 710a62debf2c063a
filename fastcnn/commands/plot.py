"""Options of ``python -m fastcnn.plot``: which picture, of what, where to.

Exit codes: 0 drawn, 1 writing failed, 2 cannot be drawn or has no place, 130 or 143 interrupted by
Ctrl-C or SIGTERM.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from .. import files, plots
from ..gallery.kinds import KINDS, Options, draw
from ..runs.saved import Saved
from ..terminal import one_line, say
from . import interrupt, options

_PROGRAM = "python -m fastcnn.plot"
_ALL = "all"
_NEEDS = {
    "run": "a run's folder",
    "runs": "folders of one or more runs",
    "model": "a run's folder or a model file",
    "images": "a run's folder, or a model file and --dataset",
}
_Number = Annotated[int | None, tyro.conf.arg(metavar="N|None")]
_Folder = Annotated[str | None, tyro.conf.arg(metavar="DIR|None")]
_Name = Annotated[str | None, tyro.conf.arg(metavar="NAME|None")]


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Draw a picture of training runs (the folders of python -m fastcnn.train) or saved models.

    --list explains the kinds. all draws every kind that the source allows, into a folder.

    Exit codes: 0 drawn, 1 writing failed, 2 cannot be drawn or has no place, 130 Ctrl-C, 143
    SIGTERM.
    """

    kind: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="KIND")]] = ""
    """Name of the picture, or all."""
    sources: tyro.conf.Positional[
        Annotated[tuple[str, ...], tyro.conf.arg(metavar="SOURCE ...")]
    ] = ()
    """A run's folder or a saved model (.npz); several runs for the kinds that compare."""
    out: Annotated[str | None, tyro.conf.arg(metavar="FILE|None")] = None
    """Picture (.png, .svg, .pdf), for all a folder. None: KIND.png in the run's folder, or
    MODEL-KIND.png beside the model. Missing folders are made."""
    dpi: int = 120
    """Pixels per inch of a PNG."""
    layer: _Number = None
    """Which of the layers that the picture is about, from 1. None: the usual one, or all."""
    channel: _Number = None
    """Input channel of filters, from 0. None: red, green and blue, else the first."""
    image: int = 0
    """Number of the test image, from 0."""
    most: _Number = None
    """Tiles, maps, features or images at most. None: as many as usual."""
    quantity: Literal["accuracy", "exact_match", "r2", "loss", "lr", "seconds"] = "accuracy"
    """What overlay shows."""
    part: Literal["train", "val", "test"] = "train"
    """Of which images overlay shows it."""
    names: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ()
    """What runs are called in the picture, one name each; default: model and dataset."""
    dataset: _Name = None
    """Dataset of the images. None: the run's."""
    data_dir: _Folder = None
    """Folder with the data. None: the run's, FASTCNN_DATA or the user's cache."""
    offline: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Never download."""
    list: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Explain each kind in a line, and stop."""


def main(argv: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    try:
        arguments = options.parse(Arguments(), options.spelled(Arguments, argv), _PROGRAM)
        if arguments.list:
            _list()
            return 0
        with interrupt.answered("interrupted; pictures that were written are whole"):
            return _draw_all(arguments) if arguments.kind == _ALL else _draw_one(arguments)
    except ValueError as error:
        return options.refuse(error, 2)
    except OSError as error:
        return options.refuse(error, 1)


def _list() -> None:
    wide = max(map(len, KINDS))
    for needs, source in _NEEDS.items():
        print(f"of {source}:")
        for name, kind in KINDS.items():
            if kind.needs == needs:
                print(f"  {name:{wide}}  {kind.about}")
    print(f"{_ALL}: every kind that the source allows, into a folder")


def _sources(arguments: Arguments) -> list[Saved]:
    if not arguments.kind:
        raise ValueError(f"which picture? {_PROGRAM} --list explains the kinds")
    if not arguments.sources:
        raise ValueError(f"of what? name a run's folder or a saved model: {arguments.kind} SOURCE")
    return [Saved(source) for source in arguments.sources]


def _picture_options(arguments: Arguments) -> Options:
    names = [field.name for field in dataclasses.fields(Options)]
    return Options(**{name: getattr(arguments, name) for name in names})


def _place(source: Saved, kind: str) -> Path:
    """Where a picture goes unless --out says: into the run's folder, beside the model."""
    if source.is_run:
        return source.path / f"{kind}.png"
    return source.path.with_name(f"{source.path.stem}-{kind}.png")


def _write(arguments: Arguments, kind: str, sources: Sequence[Saved], path: Path) -> None:
    figure = draw(kind, sources, _picture_options(arguments))
    files.remove_empty(files.make_folder(path.parent))
    plots.save(figure, path, arguments.dpi)
    print(f"written: {one_line(path)}")


def _draw_one(arguments: Arguments) -> int:
    sources = _sources(arguments)
    beside = _place(sources[0], arguments.kind) if len(sources) == 1 else f"{arguments.kind}.png"
    _write(arguments, arguments.kind, sources, options.output(arguments.out or beside))
    return 0


def _draw_all(arguments: Arguments) -> int:
    """Every kind that can be drawn; says of the others why not."""
    sources = _sources(arguments)
    if len(sources) != 1:
        raise ValueError(f"all is drawn from one run or model, got {len(sources)}")
    folder = files.place(arguments.out or _place(sources[0], "plots").with_suffix(""))
    files.remove_empty(files.make_folder(folder))
    refusals = []
    for kind in KINDS:
        try:
            _write(arguments, kind, sources, folder / f"{kind}.png")
        except ValueError as error:
            refusals.append(f"{kind}: {error}")
            say(one_line(f"left out {refusals[-1]}"), sys.stderr)
    if len(refusals) == len(KINDS):
        raise ValueError(f"no picture can be drawn of {sources[0].path}")
    return 0
