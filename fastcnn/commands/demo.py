"""Options of ``python -m fastcnn.demo``: a page that shows a trained network at work.

Exit codes: 0 never, as it runs until it is ended; 2 cannot be shown, 130 Ctrl-C, 143 SIGTERM.
"""

import dataclasses
import importlib.util
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from ..runs.saved import Saved
from ..terminal import say
from . import interrupt, options

_PROGRAM = "python -m fastcnn.demo"
_USUAL = Path("runs")


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Look at a trained network in the browser: draw a digit, and see every number in it.

    The page is for the browser of this machine, needs no network, and writes nothing.

    Exit codes: 2 cannot be shown, 130 Ctrl-C, 143 SIGTERM.
    """

    run: tyro.conf.Positional[Annotated[str | None, tyro.conf.arg(metavar="RUN|None")]] = None
    """Folder of a training run, or a saved model (.npz). None: the newest in runs/."""
    port: Annotated[int | None, tyro.conf.arg(metavar="N|None")] = None
    """Where the page is: http://127.0.0.1:N. None: any port that is free."""
    open: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Open the page in the usual browser."""
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
    from ..showing.shown import Shown

    saved = Saved(arguments.run or _newest())
    with server.listening(arguments.port) as place:
        data = saved.dataset(arguments.dataset, arguments.data_dir, arguments.offline)
        shown = Shown(saved, data)
        address = f"http://{server.HOST}:{place.getsockname()[1]}"

        def ready() -> None:
            say(f"{saved.name}: {address} (Ctrl-C closes the page)")
            if arguments.open:
                webbrowser.open(address)

        server.serve(shown, place, ready)


def _newest() -> Path:
    """The folder in runs/ whose network was written last."""
    found = sorted(_USUAL.glob("*/best.npz"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ValueError(
            "there is no run in runs/: train one (python -m fastcnn.train), or name its folder"
        )
    return found[-1].parent
