"""Options of ``python -m fastcnn.train``: reading them, starting a run, stopping it, exit codes.

Settings come from the model's preset, then from the TOML file given by --config, then from the
options; the later wins. Exit codes: 0 done, 1 results cannot be written, 2 the run cannot start,
3 training diverged, 130 or 143 interrupted by Ctrl-C or SIGTERM (--resume continues).
"""

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from .. import datasets, models
from ..config import Config, presets, read_toml, replace
from ..files import place
from ..runs.run import Run
from ..training.fit import TrainingDiverged
from . import options
from .interrupt import Interrupt, exit_code

_PROGRAM = "python -m fastcnn.train"
_DIVERGED = 3


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Where settings come from and results go."""

    out: Annotated[str | None, tyro.conf.arg(metavar="DIR|None")] = None
    """Folder for the results. None: runs/MODEL-DATASET."""
    config: Annotated[str | None, tyro.conf.arg(metavar="FILE|None")] = None
    """TOML file with settings, such as the config.toml of an earlier run."""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Continue the run in --out after its last finished epoch, with its settings."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print nothing but errors."""
    list_models: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the networks, a line each, and stop."""
    list_datasets: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the datasets, a line each, and stop."""


@dataclasses.dataclass(frozen=True)
class Arguments(Config):
    """Train a named network on images.

    Settings come from the model's preset, then the TOML file given by --config, then the options
    below: the later wins. The defaults shown are those of the preset.

    Exit codes: 0 done, 1 cannot write, 2 cannot start, 3 diverged, 130 Ctrl-C, 143 SIGTERM.
    """

    run: RunOptions = dataclasses.field(default_factory=RunOptions)


def parse(argv: Sequence[str]) -> Arguments:
    """All settings, from preset, TOML file and options.

    Raises
    ------
    ConfigError
        If an option or a setting in the file is unknown or has a wrong value.
    SystemExit
        After --help.
    """
    argv = options.spelled(Arguments, argv)
    file = options.given(argv, "config")
    out = options.given(argv, "out")
    if file is None and "--resume" in argv and out is not None:
        kept = place(out) / "config.toml"
        file = str(kept) if kept.is_file() else None
    settings = read_toml(file) if file is not None else {}
    for name in ("dataset", "model", "preset", "optimizer"):
        value = options.given(argv, name)
        if value is not None:
            settings[name] = value
    config = presets.configure(settings)
    arguments = Arguments(**{field.name: getattr(config, field.name) for field in _groups()})
    parsed = options.parse(arguments, argv, _PROGRAM)
    # Their names as they are listed; "auto" is known by now.
    return replace(parsed, {"model": config.model.model, "dataset": config.data.dataset})


def _groups() -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(Config)


def main(argv: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    interrupt = Interrupt()
    try:
        arguments = parse(argv)
        wanted = arguments.run
        if wanted.list_models or wanted.list_datasets:
            _list(wanted)
            return 0
        config = Config(**{field.name: getattr(arguments, field.name) for field in _groups()})
        run = Run(config, wanted.out, resume=wanted.resume, quiet=wanted.quiet)
        run.prepare()
    except (ValueError, OSError) as error:
        return options.refuse(error, 2)
    try:
        with interrupt.noted():
            result = run.train(should_stop=interrupt)
    except TrainingDiverged as error:
        return options.refuse(error, _DIVERGED)
    except OSError as error:
        return options.refuse(error, 1)
    if result["stopped_because"] == "interrupted" and interrupt.signal is not None:
        print(
            f"interrupted; to continue after epoch {result['epochs_run']}: "
            f"{_PROGRAM} --resume --out {shlex.quote(str(run.out))}",
            file=sys.stderr,
        )
        return exit_code(interrupt.signal)
    return 0


def _list(wanted: RunOptions) -> None:
    for is_wanted, kind in ((wanted.list_models, models), (wanted.list_datasets, datasets)):
        for name in kind.names() if is_wanted else ():
            print(f"{name:16} {kind.about(name)}")
