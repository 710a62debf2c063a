"""Options of ``python -m fastcnn.explain``: the products and the sum behind one number.

Exit codes: 0 explained, 1 cannot be written, 2 cannot be explained.
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Annotated

import tyro

from .. import files
from ..explaining import Number, as_text, explain
from ..gallery.views import Options, View
from ..languages import Language, Refusal, Said
from ..network.intake import turned
from ..runs.saved import Saved
from ..terminal import one_line
from . import interrupt, options

_PROGRAM = "python -m fastcnn.explain"


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
    language: Language = "en"
    """Of the text: en, or zh for Chinese."""
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
    language: Language = "en"
    try:
        arguments = options.parse(Arguments(), options.spelled(Arguments, argv), _PROGRAM)
        language = arguments.language
        if not arguments.run:
            raise ValueError(f"of which run? name its folder: {_PROGRAM} runs/MODEL-DATASET")
        if arguments.terms < 1:
            raise ValueError(f"terms must be at least 1, got {arguments.terms}")
        with interrupt.answered("interrupted; nothing was written"):
            return _explain(arguments)
    except Refusal as error:
        return options.refuse(ValueError(error.said.of(language)), 2)
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
    x = turned(view.model, view.image[None])
    label = int(view.data.y_test[arguments.image])
    number = explain(saved.model, x, arguments.layer, at, label)
    guess = saved.model.predict_proba(x)[0]
    best = int(guess.argmax())
    names, sure = view.data.class_names, f"{guess[best]:.1%}"
    heading = Said(
        f"{saved.model_name}, {view.image_name}, taken for {names[best]} ({sure})",
        f"{saved.model_name}，{view.data.name} 的第 {arguments.image} 张测试图像，"
        f"类别 {names[label]}，网络认为是 {names[best]}（{sure}）",
    ).of(arguments.language)
    if arguments.json:
        text = _as_json(number, heading)
    else:
        text = as_text(number, heading, arguments.terms, arguments.language)
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
