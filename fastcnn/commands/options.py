"""What all command lines share: options as a dataclass, and refusing in a sentence.

Examples
--------
>>> import dataclasses
>>> @dataclasses.dataclass(frozen=True)
... class Options:
...     epochs: int = 20
>>> parse(Options(), ["--epochs", "3"], "python -m fastcnn.train").epochs
3
"""

import contextlib
import dataclasses
import io
import itertools
import re
import sys
import types
import typing
from collections.abc import Sequence
from typing import Any, TypeVar

import tyro

from ..checks import unknown
from ..config import ConfigError

Options = TypeVar("Options")


def parse(default: Options, argv: Sequence[str], program: str) -> Options:
    """The options that `argv` gives, as a dataclass like `default`.

    Nested dataclasses are groups in the help; their names are not part of an option's name.

    Parameters
    ----------
    default : Options
        Values of options that are not given; its docstrings are the help.
    argv : sequence of str
        The words after the program's name.
    program : str
        What the user typed, for help and messages.

    Raises
    ------
    ConfigError
        If an option is unknown or has a value that does not fit; one sentence.
    SystemExit
        After --help.
    """
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.cli(
                type(default),
                args=_with_none(argv, _optional(default)),
                default=default,
                prog=program,
                config=(tyro.conf.OmitArgPrefixes,),
            )
    except SystemExit as stop:
        if stop.code in (None, 0):
            raise
        raise ConfigError(_sentence(errors.getvalue(), program)) from None


def _optional(default: Any) -> set[str]:
    """The options, in all groups, that take None."""
    names = set()
    for name, hint in typing.get_type_hints(type(default)).items():
        if dataclasses.is_dataclass(hint):
            names |= _optional(getattr(default, name))
        elif types.NoneType in typing.get_args(hint):
            names.add("--" + name.replace("_", "-"))
    return names


def _with_none(argv: Sequence[str], optional: set[str]) -> list[str]:
    """The words, with None written as the parser wants it: "none" is how a TOML file has it."""
    words, before = [], ""
    for word in argv:
        option, equals, value = word.partition("=")
        if before in optional and word == "none":
            word = "None"
        elif option in optional and equals and value == "none":
            word = f"{option}=None"
        words.append(word)
        before = word
    return words


def given(argv: Sequence[str], name: str) -> str | None:
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


def _sentence(message: str, program: str) -> str:
    """The parser's boxed message as one sentence."""
    message = re.sub(r"\x1b\[[0-9;]*m", "", message)  # colours
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
    near = [
        option.split()[0]
        for title, option in itertools.pairwise(lines)
        if re.match("Perhaps you meant|Arguments similar to", title)
    ]
    hint = f"perhaps you meant {' and '.join(near)}" if near else f"see {program} --help"
    sentence = re.sub("^Error parsing [a-z]+: ", "", sentence)
    return f"{sentence[0].lower()}{sentence[1:]}; {hint}"


def refuse(error: Exception, code: int) -> int:
    """Say why not, in one sentence, and return the exit code."""
    print(f"error: {error}", file=sys.stderr)
    return code
