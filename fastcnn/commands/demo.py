"""Options of ``python -m fastcnn.demo``: a page that shows a trained network at work.

The network is not compiled for its answers: the page shows what every layer gives, which nobody
knows of a compiled one, and its weights are those of the moment that the slider is at.

Exit codes: 0 never, as it runs until it is ended; 2 cannot be shown, 130 Ctrl-C, 143 SIGTERM.
"""

import dataclasses
import importlib.util
import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from ..config import replace
from ..runs.saved import Saved
from ..terminal import say
from . import interrupt, options

if TYPE_CHECKING:
    from ..showing.shown import Shown

_PROGRAM = "python -m fastcnn.demo"
_USUAL = Path("runs")


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Look at a trained network in the browser: draw a digit, and see every number in it.

    The page is for the browser of this machine, needs no network, and writes only what you save.

    Exit codes: 2 cannot be shown, 130 Ctrl-C, 143 SIGTERM.
    """

    run: tyro.conf.Positional[Annotated[str | None, tyro.conf.arg(metavar="RUN|None")]] = None
    """Folder of a training run, or a saved model (.npz). None: the newest in runs/."""
    port: Annotated[int | None, tyro.conf.arg(metavar="N|None")] = None
    """Where the page is: http://127.0.0.1:N. None: any port that is free."""
    open: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Open the page in the usual browser."""
    live: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Train a network and watch: one with RUN's settings, else --model with its author's."""
    model: Annotated[str | None, tyro.conf.arg(metavar="NAME|None")] = None
    """The network of --live. None: the dataset's usual one."""
    limit_train: Annotated[int | None, tyro.conf.arg(metavar="N|None")] = None
    """With --live: train on the first N images only."""
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
        missing = [name for name in ("starlette", "uvicorn") if not importlib.util.find_spec(name)]
        if missing:
            raise ValueError(
                f"the page needs {' and '.join(missing)}: pip install '.[demo]' in the folder of "
                f"the clone"
            )
        with interrupt.answered("the page is closed"):
            _show(arguments)
    except (ValueError, OSError) as error:
        return options.refuse(error, 2)
    return 0


def _show(arguments: Arguments) -> None:
    from ..showing import server

    with server.listening(arguments.port) as place:
        shown = _live(arguments) if arguments.live else _trained(arguments)
        address = f"http://{server.HOST}:{place.getsockname()[1]}"

        def ready() -> None:
            say(f"{shown.name}: {address} (Ctrl-C closes the page)")
            if arguments.open:
                # A browser in the terminal is waited for, while the page has to answer it.
                threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

        server.serve(shown, place, ready)


def _trained(arguments: Arguments) -> "Shown":
    from ..showing.trained import Trained

    for name in ("model", "limit_train"):
        if getattr(arguments, name) is not None:
            option = name.replace("_", "-")
            raise ValueError(f"--{option} is for a network in training: give --live too")
    saved = Saved(arguments.run or _newest())
    data = saved.dataset(arguments.dataset, arguments.data_dir, arguments.offline)
    if not len(data.x_train):
        raise ValueError(
            f"{data.title} has no train part, and the page shows which training images are most "
            f"like another"
        )
    return Trained(saved, data)


def _live(arguments: Arguments) -> "Shown":
    from ..config import presets
    from ..config.recipe import load_data, only_classes
    from ..showing.live import Live

    names = ("model", "dataset", "data_dir", "offline", "limit_train")
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name)}
    if arguments.run is None:
        config = presets.configure(given)
    else:
        config = replace(Saved(arguments.run).config, given)
    only_classes(config, "the page")
    return Live(config, load_data(config).limit(config.data.limit_train, config.data.limit_test))


def _newest() -> Path:
    """The folder in runs/ whose network was written last."""
    found = sorted(_USUAL.glob("*/best.npz"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ValueError(
            "there is no run in runs/: train one (python -m fastcnn.train), or name its folder"
        )
    return found[-1].parent
