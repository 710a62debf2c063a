"""Options of ``python -m fastcnn.train``: reading them, starting a run, stopping it, exit codes.

Settings come from the model's preset, then from the TOML file given by --config, then from the
options; the later wins. Exit codes: 0 done, 1 results cannot be written, 2 the run cannot start,
3 training diverged, 130 interrupted by Ctrl-C, 143 by another signal: SIGTERM, SIGQUIT, SIGXCPU
or SIGHUP, the end of the terminal (--resume continues). SIGUSR1 has it save and go on.
"""

import dataclasses
import shlex
import signal
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from .. import datasets, models
from ..config import Config, ConfigError, presets, read_toml, replace
from ..files import place
from ..runs.folder import newest
from ..runs.going_on import settings_of, stand
from ..runs.run import RUNS, Run
from ..signals import exit_code
from ..training import parallel
from ..training.fit import TrainingDiverged
from . import entry, options
from .interrupt import Interrupt

_PROGRAM = "python -m fastcnn.train"
_DIVERGED = 3
_FILES = (".npz", ".onnx", ".safetensors", ".pt", ".pth")


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Where settings come from and results go."""

    out: Annotated[str | None, tyro.conf.arg(metavar="DIR|None")] = None
    """Folder for the results. None: runs/MODEL-DATASET, with a number where there is one."""
    config: Annotated[str | None, tyro.conf.arg(metavar="FILE|None")] = None
    """TOML file with settings, such as the config.toml of an earlier run."""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Continue the run in --out (None: the newest) where it was saved last, with its settings."""
    allow: Annotated[str | None, tyro.conf.arg(metavar="NAME,...|None")] = None
    """Settings that --resume may change, such as lr,batch_size; more --epochs are always fine."""
    replace: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace the run in --out, once this one has finished an epoch."""
    save_minutes: Annotated[float | None, tyro.conf.arg(metavar="X|None")] = 5.0
    """Save after X minutes too, within an epoch; None: after each epoch, and on a signal."""
    keep: int = 2
    """How many checkpoints are kept, up to 100: --resume goes back to one that is whole, and
    python -m fastcnn.demo shows the network after each."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print nothing but errors and notes, which go to standard error."""
    no_pictures: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Draw no curves.png and predictions.png (python -m fastcnn.plot makes them later)."""
    list_models: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the networks, a line each, and stop."""
    list_datasets: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the datasets, a line each, and stop."""


@dataclasses.dataclass(frozen=True)
class Arguments(Config):
    """Train a named network on images.

    Settings come from the model's preset, then the TOML file given by --config, then the options
    below: the later wins. The defaults shown are those of the preset.

    Exit codes: 0 done, 1 cannot write, 2 cannot start, 3 diverged, 130 Ctrl-C, 143 another signal:
    SIGTERM, SIGQUIT, SIGXCPU, SIGHUP (the terminal has gone; what is printed meanwhile is lost).
    All of them finish the batch and save. SIGUSR1 saves, and training goes on.
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
    if file is not None:
        settings = read_toml(file)
    elif "--resume" in argv:
        argv, settings = _resumed(argv)
    else:
        settings = {}
    for name in ("dataset", "task", "model", "preset", "optimizer"):
        value = options.given(argv, name)
        if value is not None:
            settings[name] = value
    _check_model(settings.get("model"))
    config = presets.configure(settings)
    arguments = Arguments(**{field.name: getattr(config, field.name) for field in _groups()})
    parsed = options.parse(arguments, argv, _PROGRAM)
    # Their names as they are listed; "auto" is known by now.
    return replace(parsed, {"model": config.model.model, "dataset": config.data.dataset})


def _check_model(name: Any) -> None:
    """Refuse a file, whose network has no settings to be trained with."""
    if isinstance(name, str) and name.lower().endswith(_FILES):
        raise ConfigError(
            f"--model {name}: here the networks are trained that have a name "
            f"({', '.join(models.names())}); --init-from FILE.npz begins one of them with the "
            f"file's weights, and any other network is trained in Python, load_model(...).train"
        )


def _resumed(argv: list[str]) -> tuple[list[str], dict[str, Any]]:
    """The options, which name the folder to resume in, and the settings of its run."""
    out = options.given(argv, "out")
    if out is None:
        dataset = options.given(argv, "dataset")
        dataset = None if dataset in (None, "auto") else datasets.title(dataset)
        found = newest(RUNS, options.given(argv, "model"), dataset)
        if found is None:
            raise ConfigError(f"there is no run to resume in {RUNS}: name its folder with --out")
        out = str(found)
        argv = [*argv, "--out", out]
    return argv, settings_of(place(out))


def _groups() -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(Config)


def main(argv: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    interrupt = Interrupt(speaks=(parallel.started() or (0, 1))[0] == 0)
    try:
        arguments = parse(argv)
        wanted = arguments.run
        if wanted.list_models or wanted.list_datasets:
            _list(wanted)
            return 0
        if wanted.allow is not None and not wanted.resume:
            raise ConfigError("--allow is for a run that goes on: give --resume, or leave it out")
        everybody = parallel.found()
        run = Run(
            Config(**{field.name: getattr(arguments, field.name) for field in _groups()}),
            wanted.out,
            resume=wanted.resume,
            replace=wanted.replace,
            allow=_names(wanted.allow),
            quiet=wanted.quiet,
            pictures=not wanted.no_pictures,
            save_minutes=wanted.save_minutes,
            keep=wanted.keep,
            parallel=everybody,
            started=entry.begun(),
        )
        with everybody.together():
            run.prepare()
    except (ValueError, OSError) as error:
        return _refuse(error, 2)
    try:
        with interrupt.noted():
            result = run.train(should_stop=interrupt, should_save=interrupt.asks_to_save)
    except TrainingDiverged as error:
        return _refuse(error, _DIVERGED)
    except ValueError as error:
        return _refuse(error, 2)
    except OSError as error:
        return _refuse(error, 1)
    if result["stopped_because"] != "interrupted":
        return 0
    if everybody.is_first:
        print(f"interrupted; {_how_to_go_on(run)}", file=sys.stderr)
    # Of several processes perhaps another was told to end.
    return exit_code(signal.SIGTERM if interrupt.signal is None else interrupt.signal)


def _refuse(error: Exception, code: int) -> int:
    """`options.refuse`; of several processes that refuse the same, one says so."""
    rank, _ = parallel.started() or (0, 1)
    return code if rank else options.refuse(error, code)


def _how_to_go_on(run: Run) -> str:
    """What can be done about an interrupted run."""
    epochs, batches = run.history.epochs, run.history.batches
    if not epochs and not batches:
        return f"before an epoch was finished: the run in {run.out} is as it was"
    out = shlex.quote(str(run.out))
    return f"to continue after {stand(epochs, batches)}: {_PROGRAM} --resume --out {out}"


def _names(text: str | None) -> list[str]:
    """The settings in a list with commas, their names as Python has them."""
    names = (name.strip().replace("-", "_") for name in (text or "").split(","))
    return [name for name in names if name]


def _list(wanted: RunOptions) -> None:
    for is_wanted, kind in ((wanted.list_models, models), (wanted.list_datasets, datasets)):
        for name in kind.names() if is_wanted else ():
            print(f"{name:16} {kind.about(name)}")
