"""What all command lines share: options as a dataclass, and refusing in a sentence.

Examples
--------
>>> import dataclasses
>>> @dataclasses.dataclass(frozen=True)
... class Options:
...     epochs: int = 20
>>> argv = spelled(Options, ["--Epochs", "3"])
>>> parse(Options(), argv, "python -m fastcnn.train").epochs
3
"""

import contextlib
import dataclasses
import errno
import inspect
import io
import itertools
import os
import re
import shutil
import sys
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import tyro

from ..checks import same, unknown
from ..config import ConfigError, meant
from ..files import make_folder, place, remove_empty
from ..runs.folder import WORK
from ..terminal import in_words, one_line

Options = TypeVar("Options")

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_LONG_WORD = re.compile(r"(\S{120})\S{300,}(\S{20})")
_MOST_LETTERS = 1500  # of a sentence
_EMPTY = "{} is empty (a variable that is not set?): give a text, or leave it out"
_NAMED_WRONGLY = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EACCES)
_NARROWEST = 40  # columns of the parser's help, which has no end on a terminal of 1


def spelled(kind: type, argv: Sequence[str]) -> list[str]:
    """The words as the parser wants them, however people write them.

    Options and the names that they choose from differ in case, dashes and underscores at most
    (``--Batch_size``, ``--optimizer Adam``); None is ``none``, as in a TOML file. Words that belong
    to no option come first, so that options may stand between them.

    Parameters
    ----------
    kind : type
        The dataclass of the options, groups of them inside.
    argv : sequence of str
        The words after the program's name.

    Raises
    ------
    ConfigError
        If there is no such option; names the one that is meant. If a text is empty, which no name
        or number is, but a variable of the shell that is not set.
    """
    hints = _hints(kind)
    free, words, hint, of = [], [], None, ""
    for index, word in enumerate(argv):
        if word == "--":  # what comes after it is no option, whatever it begins with
            return [*words, "--", *free, *argv[index + 1 :]]
        if word.startswith("--") and not word.startswith("--tyro-"):
            option, equals, value = word.partition("=")
            name = _name(option, hints)
            hint = hints.get(name.removeprefix("no_"), hints.get(name))
            of = option = "--" + name.replace("_", "-")
            if equals and not value:
                raise ConfigError(_EMPTY.format(of))
            words.append(f"{option}={_value(value, hint)}" if equals else option)
            hint = None if equals or hint is bool else hint
        elif hint is not None:
            if not word and not _is_list(hint):  # of names in a picture one may be left out
                raise ConfigError(_EMPTY.format(of))
            words.append(_value(word, hint))
            hint = hint if _is_list(hint) else None
        else:
            if not word:
                raise ConfigError(_EMPTY.format("a word"))
            (words if word == "-h" else free).append(word)
    return free + words


def _is_list(hint: Any) -> bool:
    """Whether an option takes any number of words."""
    kinds = (hint, *typing.get_args(hint))
    return any(typing.get_origin(kind) in (tuple, list) for kind in kinds)


def _hints(kind: Any) -> dict[str, Any]:
    """The options, in all groups, each with its type."""
    found = {}
    for name, hint in typing.get_type_hints(kind).items():
        found |= _hints(hint) if dataclasses.is_dataclass(hint) else {name: hint}
    return found


def _name(option: str, hints: Mapping[str, Any]) -> str:
    """The option's name as the dataclass has it."""
    switches = [f"no_{name}" for name, hint in hints.items() if hint is bool]
    names = [*hints, *switches, "help"]
    known = same(option, names)
    if known is None:
        near = meant(option.lstrip("-"), names)
        hint = f"did you mean --{near.replace('_', '-')}?" if near else "see --help"
        raise ConfigError(f"there is no option {option}; {hint}")
    return known


def _value(word: str, hint: Any) -> str:
    """An option's value as the parser wants it."""
    parts = typing.get_args(hint) if typing.get_origin(hint) is not Literal else (hint,)
    choices = [c for part in parts if typing.get_origin(part) is Literal for c in part.__args__]
    choice = same(word, choices) if word != "None" else None  # the default, not the choice none
    if choice is None and types.NoneType in parts and word.lower() == "none":
        return "None"
    return choice or word


def given(argv: Sequence[str], name: str) -> str | None:
    """The value of an option among words that are `spelled`, before the parser proper.

    It decides what the defaults are.
    """
    value = None
    for index, word in enumerate(argv):
        option, equals, rest = word.partition("=")
        if option == f"--{name}":
            if equals:
                value = rest
            elif index + 1 < len(argv):
                value = argv[index + 1]
    return value


def parse(default: Options, argv: Sequence[str], program: str) -> Options:
    """The options that `argv` gives, as a dataclass like `default`.

    Nested dataclasses are groups in the help; their names are not part of an option's name.

    Parameters
    ----------
    default : Options
        Values of options that are not given; its docstrings are the help.
    argv : sequence of str
        The words after the program's name, `spelled`.
    program : str
        What the user typed, for help and messages.

    Raises
    ------
    ConfigError
        If a word is no option or has a value that does not fit; one sentence.
    SystemExit
        After --help.
    """
    errors, told = io.StringIO(), _Help()
    try:
        outputs = contextlib.redirect_stderr(errors), contextlib.redirect_stdout(told)
        with _wide_enough(), outputs[0], outputs[1]:
            return tyro.cli(
                type(default),
                args=argv,
                default=default,
                prog=program,
                description=_about(type(default)),
                config=(tyro.conf.OmitArgPrefixes,),
            )
    except SystemExit as stop:
        if stop.code in (None, 0):
            told.show()
            raise
        raise ConfigError(_sentence(errors.getvalue(), program)) from None


@contextlib.contextmanager
def _wide_enough() -> Iterator[None]:
    """Within this block no terminal is narrower than help can be."""
    before, width = os.environ.get("COLUMNS"), shutil.get_terminal_size().columns
    os.environ["COLUMNS"] = str(max(width, _NARROWEST))
    try:
        yield
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before


class _Help(io.StringIO):
    """The parser's help, whose first line it leaves as long as it is."""

    def __init__(self) -> None:
        super().__init__()
        self._stream = sys.stdout

    def isatty(self) -> bool:
        """Whether there may be colours."""
        return self._stream.isatty()

    def show(self) -> None:
        """Print it."""
        usage, _, rest = self.getvalue().partition("\n")
        plain = _COLOURS.sub("", usage)
        fold = textwrap.TextWrapper(shutil.get_terminal_size().columns, subsequent_indent="  ")
        usage = usage if len(plain) <= fold.width else fold.fill(plain)
        print(f"{usage}\n{rest}", end="", file=self._stream)


def _about(kind: type) -> str:
    """What a command does, in lines that fit: the parser would leave each paragraph in one.

    It joins lines unless they are indented.
    """
    fold = textwrap.TextWrapper(shutil.get_terminal_size().columns, subsequent_indent="  ")
    return "\n\n".join(map(fold.fill, inspect.cleandoc(kind.__doc__ or "").split("\n\n")))


def _sentence(message: str, program: str) -> str:
    """The parser's boxed message as one sentence."""
    message = _COLOURS.sub("", message)
    lines = [re.sub(r"^[│|]|[│|]$", "", line).strip() for line in message.splitlines()]
    is_rule = re.compile(r"[─╭╮╰╯+-]{9,}$")
    lines = ["" if is_rule.match(line) else line for line in lines[1:]]  # [0] is the title
    text = itertools.dropwhile(lambda line: not line, lines)
    sentence = " ".join(itertools.takewhile(bool, text)).rstrip(".")
    if not sentence:
        return f"the options cannot be read; see {program} --help"
    wrong = re.search(r"Error parsing (--\S+): no type matching .* from \[(.*)\]", sentence)
    if wrong:
        usages = [line for line in lines if line.startswith(wrong[1] + " ")]
        return f"{wrong[2]} does not fit the option {(usages or [wrong[1]])[0]}"
    number = re.search(
        r"parsing (--\S+): (?:invalid literal for int|could not .* float).*'(.*)'", sentence
    )
    if number:
        kind = "whole number" if "int" in number[0] else "number"
        return f"{number[1]} takes a {kind}, got {number[2]!r}; see {program} --help"
    choice = re.search(
        r"invalid choice '(.*)' for argument '(.*)'. Expected one of \((.*)\)", sentence
    )
    if choice:
        known = tuple(re.findall(r"'([^']*)'", choice[3]))
        return unknown(f"value of {choice[2]}", choice[1], known)
    sentence = re.sub("^Error parsing [a-z]+: ", "", sentence)
    return f"{sentence[0].lower()}{sentence[1:]}; see {program} --help"


def output(wanted: str | Path, *read: str | Path) -> Path:
    """The place of a file that a command writes, in a folder that can be written to or be made.

    Parameters
    ----------
    wanted : path
        As the user gave it.
    *read : path
        What the command reads.

    Raises
    ------
    ValueError
        If it would take the place of a folder, of what a run is made of, or of what is read; or
        cannot be made.
    """
    path = place(wanted)
    if path.is_symlink():  # what it leads to is written, as with any program
        path = Path(os.path.realpath(path))
    if path.name in WORK and path.is_file():
        raise ValueError(f"{path} is a file of a run, which would be lost: give another name")
    if path.is_file() and any(path.samefile(file) for file in map(place, read) if file.is_file()):
        raise ValueError(f"{path} is read by this command, and would be lost: give another name")
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name a file in it")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is a device or a pipe, which no file can replace: name a file")
    remove_empty(make_folder(path.parent))  # nothing is left where the work fails
    return path


def refuse(error: Exception, code: int) -> int:
    """Say why not, in one sentence, and return the exit code."""
    print(f"error: {_readable(in_words(error))}", file=sys.stderr)
    is_named_wrongly = isinstance(error, OSError) and error.errno in _NAMED_WRONGLY
    return 2 if is_named_wrongly else code


def _readable(sentence: str) -> str:
    """A sentence without the megabytes that a damaged file may have put into it."""
    sentence = one_line(sentence)
    sentence = _LONG_WORD.sub(r"\1...\2", sentence)
    return sentence if len(sentence) <= _MOST_LETTERS else f"{sentence[:_MOST_LETTERS]}..."
