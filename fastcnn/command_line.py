"""Options of ``python -m fastcnn.train``: reading them, starting a run, stopping it, exit codes.

Settings come from the model's preset, then from the TOML file given by --config, then from the
options; the later wins. Exit codes: 0 done, 1 results cannot be written, 2 the run cannot start,
3 training diverged, 130 or 143 interrupted by Ctrl-C or SIGTERM (--resume continues).
"""

import contextlib
import dataclasses
import io
import itertools
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from . import datasets, models
from .backends import unknown
from .config import Config, ConfigError, read_toml, replace
from .run import Run
from .training import TrainingDiverged

_PROGRAM = "python -m fastcnn.train"
_DIVERGED = 3
_DEFAULT_MODELS = {"cifar10": "cifar-cnn"}  # every other dataset looks like MNIST


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
    """Print the names of the networks and stop."""
    list_datasets: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the names of the datasets and stop."""


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
    file = _given(argv, "config")
    out = _given(argv, "out")
    if file is None and "--resume" in argv and out is not None:
        kept = Path(out) / "config.toml"
        file = str(kept) if kept.is_file() else None
    settings = read_toml(file) if file is not None else {}
    for name in ("dataset", "model", "optimizer"):
        value = _given(argv, name)
        if value is not None:
            settings[name] = value
    preset = _with_preset(settings)
    if settings.get("model") == "auto":
        del settings["model"]  # the preset's model is what "auto" means here
    config = replace(preset, settings)
    arguments = Arguments(**{field.name: getattr(config, field.name) for field in _groups()})
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            parsed = tyro.cli(
                Arguments,
                args=list(argv),
                default=arguments,
                prog=_PROGRAM,
                config=(tyro.conf.OmitArgPrefixes,),
            )
        if parsed.model.model == "auto":
            parsed = dataclasses.replace(
                parsed, model=replace(parsed, {"model": config.model.model}).model
            )
        return parsed
    except SystemExit as stop:
        if stop.code in (None, 0):
            raise
        raise ConfigError(_sentence(errors.getvalue())) from None


def _groups() -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(Config)


def _given(argv: Sequence[str], name: str) -> str | None:
    """The value of an option, before the parser proper: it decides what the defaults are."""
    value = None
    for index, word in enumerate(argv):
        option, equals, rest = word.partition("=")
        if option == f"--{name}":
            if equals:
                value = rest
            elif index + 1 < len(argv):
                value = argv[index + 1]
    return value


def _with_preset(settings: Mapping[str, Any]) -> Config:
    """The preset of the model that the settings name or imply."""
    dataset = settings.get("dataset", "auto")
    model = settings.get("model", "auto")
    if model == "auto":
        model = _DEFAULT_MODELS.get(dataset, "mnist-baseline")
        preset = {**models.preset(model), "dataset": dataset}
    else:
        preset = models.preset(model)
    if settings.get("optimizer", preset.get("optimizer", "sgd")) != preset.get("optimizer", "sgd"):
        # A rate chosen for one optimizer is ten times wrong for another.
        for name in ("lr", "momentum", "nesterov"):
            preset.pop(name, None)
    return replace(Config(), {**preset, "model": model})


def _sentence(message: str) -> str:
    """The parser's boxed message as one sentence."""
    message = re.sub(r"\x1b\[[0-9;]*m", "", message)  # colours
    lines = [re.sub(r"^[│|]|[│|]$", "", line).strip() for line in message.splitlines()]
    is_rule = re.compile(r"[─╭╮╰╯+-]{9,}$")
    lines = ["" if is_rule.match(line) else line for line in lines[1:]]  # [0] is the title
    text = itertools.dropwhile(lambda line: not line, lines)
    sentence = " ".join(itertools.takewhile(bool, text)).rstrip(".")
    if not sentence:
        return f"the options cannot be read; see {_PROGRAM} --help"
    wrong = re.search(r"Error parsing (--\S+): no type matching .* from \[(.*)\]", sentence)
    if wrong:
        usages = [line for line in lines if line.startswith(wrong[1] + " ")]
        return f"{wrong[2]} does not fit the option {(usages or [wrong[1]])[0]}"
    number = re.search(
        r"parsing (--\S+): (?:invalid literal for int|could not .* float).*'(.*)'", sentence
    )
    if number:
        return f"{number[1]} takes a number, got {number[2]!r}; see {_PROGRAM} --help"
    choice = re.search(
        r"invalid choice '(.*)' for argument '(.*)'. Expected one of \((.*)\)", sentence
    )
    if choice:
        known = tuple(re.findall(r"'([^']*)'", choice[3]))
        return unknown(f"value of {choice[2]}", choice[1], known)
    near = [
        option.split()[0]
        for title, option in itertools.pairwise(lines)
        if re.match("Perhaps you meant|Arguments similar to", title)
    ]
    hint = f"perhaps you meant {' and '.join(near)}" if near else f"see {_PROGRAM} --help"
    sentence = re.sub("^Error parsing [a-z]+: ", "", sentence)
    return f"{sentence[0].lower()}{sentence[1:]}; {hint}"


class Interrupt:
    """Notes Ctrl-C and SIGTERM, so that training can end between two batches.

    The first signal asks; the second kills at once.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self) -> bool:
        """Whether a signal has come."""
        return self.signal is not None

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Within this block signals are noted instead of obeyed."""
        before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _frame: object) -> None:
        self.signal = number
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        # print() may be interrupted within itself; a bare write may not.
        os.write(2, b"\nstopping after this batch (once more: at once)\n")


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main(argv: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    interrupt = Interrupt()
    try:
        arguments = parse(argv)
        options = arguments.run
        if options.list_models or options.list_datasets:
            _list(options)
            return 0
        config = Config(**{field.name: getattr(arguments, field.name) for field in _groups()})
        run = Run(config, options.out, resume=options.resume, quiet=options.quiet)
        run.prepare()
    except (ValueError, OSError) as error:
        return _refuse(error, 2)
    except KeyboardInterrupt:
        print("interrupted before training began", file=sys.stderr)
        return 128 + signal.SIGINT
    try:
        with interrupt.noted():
            result = run.train(should_stop=interrupt)
    except TrainingDiverged as error:
        return _refuse(error, _DIVERGED)
    except OSError as error:
        return _refuse(error, 1)
    if result["stopped_because"] == "interrupted" and interrupt.signal is not None:
        print(
            f"interrupted; to continue after epoch {result['epochs_run']}: "
            f"{_PROGRAM} --resume --out {shlex.quote(str(run.out))}",
            file=sys.stderr,
        )
        return 128 + interrupt.signal
    return 0


def _refuse(error: Exception, code: int) -> int:
    print(f"error: {error}", file=sys.stderr)
    return code


def _list(options: RunOptions) -> None:
    names: list[Callable[[], Sequence[str]]] = []
    if options.list_models:
        names.append(models.names)
    if options.list_datasets:
        names.append(datasets.names)
    for each in names:
        print("\n".join(each()))
