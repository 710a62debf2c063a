"""Options of ``python -m fastcnn.compare``.

Exit codes: 0 done, decided or not, 1 a run failed, 2 wrong options, missing data or no place for
the results, 130 or 143 interrupted (the same command goes on where it stopped).
"""

import dataclasses
import sys
from collections.abc import Sequence
from typing import Annotated

import tyro

from kernels.cores import available_cores

from ..comparing.children import Children, RunError
from ..comparing.contest import Contest, Limits, Metric, common
from ..config import Config, ConfigError, check, presets, read_toml, replace
from ..config.recipe import only_classes
from ..files import make_folder, place
from ..terminal import say
from . import interrupt, options

_PROGRAM = "python -m fastcnn.compare"


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Find out which of two settings is better: train both with one seed after the other.

    The answer may be looked for after every seed: two equal settings are called different in at
    most 5 % of cases. Finished runs are kept in --out; the same command goes on with them.

    Exit codes: 0 done, 1 a run failed, 2 cannot start, 130 Ctrl-C, 143 SIGTERM.
    """

    settings: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="A.toml B.toml")
    ] = ()
    """Two files of settings, as --config of python -m fastcnn.train takes them."""
    metric: Metric = "test_accuracy"
    """What they are compared by: of the best epoch where the run validates, else of the last."""
    until_decided: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Stop as soon as one is better; else all --seeds are run."""
    minutes: float = 30.0
    """Begin no seed that would end later than this."""
    seeds: int = 30
    """At most so many of each, from the seed of its file on."""
    out: Annotated[str, tyro.conf.arg(metavar="DIR")] = "comparison"
    """Folder for the runs and comparison.json."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="N|None")] = None
    """Runs at a time. None: two, or one on a single core."""
    data_dir: Annotated[str | None, tyro.conf.arg(metavar="DIR|None")] = None
    """Folder of the datasets. None: what the files say."""


def main(argv: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    try:
        arguments = options.parse(Arguments(), options.spelled(Arguments, argv), _PROGRAM)
        contest, limits = _contest(arguments)
        cores = available_cores()
        workers = arguments.workers or min(2, cores)
        children = Children(workers, lambda note: say(note, sys.stderr))
        words = "interrupted; the same command goes on where it stopped"
        with interrupt.answered(words, children.stop):
            evidence = contest.held(limits, children, max(1, cores // workers), say)
    except (OSError, RunError) as error:
        return options.refuse(error, 1)
    except ValueError as error:
        return options.refuse(error, 2)
    say(contest.sentence(evidence))
    return 0


def _contest(arguments: Arguments) -> tuple[Contest, Limits]:
    if len(arguments.settings) != 2:
        raise ConfigError(f"two files of settings are compared, got {len(arguments.settings)}")
    for name, least in (("minutes", 0), ("seeds", 1), ("workers", 1)):
        value = getattr(arguments, name)
        if value is not None and not value >= least:
            raise ConfigError(f"{name} must be at least {least}, got {value}")
    first, second = (_config(name, arguments.data_dir) for name in arguments.settings)
    for config in (first, second):
        only_classes(config, "a comparison")
    common((first, second))
    if arguments.metric.startswith("val"):
        for name, config in zip(arguments.settings, (first, second), strict=True):
            if not config.data.validation:
                raise ConfigError(f"{name} validates on no images and has no {arguments.metric}")
    out = place(arguments.out)
    make_folder(out)
    names = arguments.settings[0], arguments.settings[1]
    limits = Limits(arguments.until_decided, arguments.minutes, arguments.seeds)
    return Contest(names, (first, second), arguments.metric, out), limits


def _config(name: str, data_dir: str | None) -> Config:
    config = presets.configure(read_toml(place(name)))
    if data_dir is not None:
        config = replace(config, {"data_dir": data_dir})
    check(config)
    return config
