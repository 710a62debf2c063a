"""Options of ``python -m fastcnn.explain``: the products and the sum behind one number.

Exit codes: 0 explained, 1 cannot be written, 2 cannot be explained.
"""

import dataclasses
import json
import textwrap
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from .. import files
from ..explaining import Number, explain
from ..gallery.views import Options, View
from ..runs.saved import Saved
from ..terminal import one_line
from . import interrupt, options

_PROGRAM = "python -m fastcnn.explain"
_COLUMNS = 80  # of a terminal


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Explain one number of a trained network: what made it, and what came back to it.

    Exit codes: 0 explained, 1 cannot be written, 2 cannot be explained.
    """

    run: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN")]] = ""
    """Folder of a training run, or a saved model (.npz)."""
    image: int = 0
    """Number of the test image, from 0."""
    layer: Annotated[str | None, tyro.conf.arg(metavar="NAME|None")] = None
    """Which layer: conv1, relu2, dense1, or its place in the model, 0 or 4.main.1. None: the first
    with weights."""
    at: Annotated[str | None, tyro.conf.arg(metavar="N,N,N|None")] = None
    """Which number of its output, from 0: channel,row,column of maps, else unit. None: the largest
    by its size."""
    terms: int = 30
    """At most so many products are listed, the largest."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write JSON with all products, not text for people."""
    out: Annotated[str | None, tyro.conf.arg(metavar="FILE|None")] = None
    """File for it. None: standard output."""
    dataset: Annotated[str | None, tyro.conf.arg(metavar="NAME|None")] = None
    """Other images than the run's: a dataset's name or a path."""
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
        if arguments.terms < 1:
            raise ValueError(f"terms must be at least 1, got {arguments.terms}")
        with interrupt.answered("interrupted; nothing was written"):
            return _explain(arguments)
    except ValueError as error:
        return options.refuse(error, 2)
    except OSError as error:
        return options.refuse(error, 1)


def _explain(arguments: Arguments) -> int:
    saved, at = Saved(arguments.run), _numbers(arguments.at)
    path = None if arguments.out is None else options.output(arguments.out, arguments.run)
    view = View(
        saved,
        Options(
            image=arguments.image, dataset=arguments.dataset,
            data_dir=arguments.data_dir, offline=arguments.offline,
        ),
    )  # fmt: skip
    x = view.taken(view.image[None])
    label = int(view.data.y_test[arguments.image])
    number = explain(saved.model, x, arguments.layer, at, label)
    guess = saved.model.predict_proba(x)[0]
    best = int(guess.argmax())
    heading = (
        f"{saved.model_name}, {view.image_name}, taken for {view.data.class_names[best]} "
        f"({guess[best]:.1%})"
    )
    text = _as_json(number, heading) if arguments.json else _as_text(number, heading, arguments)
    if path is None:
        print(text, end="")
    else:
        files.write_text(path, text)
        print(f"written: {one_line(path)}")
    return 0


def _numbers(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"at must be whole numbers such as 5,4,7, got {text!r}") from None


def _spoken(at: Sequence[int]) -> str:
    names = ("channel", "row", "column") if len(at) == 3 else ("unit",) if len(at) == 1 else ()
    return ", ".join(f"{name} {i}" for name, i in zip(names, at, strict=True)) or str(tuple(at))


def _as_text(number: Number, heading: str, arguments: Arguments) -> str:
    """For people: the number, its terms from the largest on, what came back, where the code is."""
    place, shape = number.place, " x ".join(map(str, number.shape))
    lines = [
        heading,
        f"{place.label} (layer {place.path}) is {place.layer!r}; its output is {shape}",
    ]
    if number.formula:
        lines += textwrap.wrap(
            number.formula, _COLUMNS, initial_indent=4 * " ", subsequent_indent=8 * " "
        )
    lines += ["", f"{_spoken(number.at)}:  {number.value:.9g}"]
    shown = sorted(number.terms, key=lambda term: -abs(term.product))[: arguments.terms]
    weights = "weight" in place.layer.params
    if number.is_sum:
        lines.append(f"  = {_parts(number)}; in double precision {number.total:.9g}")
    else:
        lines.append(f"  a curve of {_counted(len(number.terms), 'input')}; the slope in each:")
    if shown:
        lines += ["", *_table(number, shown, weights)]
    left = len(number.terms) - len(shown)
    if left:
        lines.append(f"  and {left:,} smaller ones (--terms {len(number.terms)}, --json)")
    if number.gradient is not None:
        lines += ["", *_came_back(number, weights)]
    lines += ["", "computed in " + "\n         by ".join(number.sources)]
    return "\n".join(lines) + "\n"


def _parts(number: Number) -> str:
    products = _counted(len(number.terms), "product")
    return f"{number.constant:.9g} + {products}" if number.constant else products


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _table(number: Number, shown: Sequence[Any], weights: bool) -> list[str]:
    axes = ("channel", "row", "column") if len(shown[0].at) == 3 else ("input",)
    head = [*axes, "input" if len(axes) == 3 else "value", "weight" if weights else "slope"]
    rows = [[*map(str, term.at), f"{term.x:.9g}", f"{term.slope:.9g}"] for term in shown]
    if number.is_sum:
        head.append("product")
        rows = [[*row, f"{term.product:.9g}"] for row, term in zip(rows, shown, strict=True)]
    wide = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  " + "  ".join(f"{cell:>{width}}" for cell, width in zip(row, wide, strict=True))
        for row in (head, *rows)
    ]


def _came_back(number: Number, weights: bool) -> list[str]:
    lines = [f"the loss of this image grows by {number.gradient:.9g} for each unit of it"]
    if number.gradient == 0:
        lines[0] = "nothing came back: a layer behind it gives the same whatever it is"
    elif weights:
        lines.append("a weight's gradient gets this times the weight's input from here")
    return lines


def _as_json(number: Number, heading: str) -> str:
    place = number.place
    told = {
        "about": heading,
        "layer": place.label, "path": place.path, "kind": repr(place.layer),
        "shape": number.shape, "at": number.at, "value": number.value,
        "is_sum": number.is_sum, "constant": number.constant, "gradient": number.gradient,
        "formula": number.formula, "sources": number.sources,
        "terms": [{"at": t.at, "input": t.x, "slope": t.slope} for t in number.terms],
    }  # fmt: skip
    return json.dumps(told, ensure_ascii=False) + "\n"
