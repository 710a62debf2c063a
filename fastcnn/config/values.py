"""One setting by its name: finding its group, converting and limiting its value.

Examples
--------
>>> from fastcnn.config import Config, replace
>>> config = replace(Config(), {"lr": 0.1, "filters": (16, 32)})
>>> config.optimizer.lr, config.model.filters
(0.1, (16, 32))
"""

import dataclasses
import functools
import os
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np

from ..checks import nearest, same
from .groups import Config, ConfigError, Limits

Kind = TypeVar("Kind", bound=Config)

NONE = "none"
"""What None is called in TOML, which has no word for it."""

# What a setting is called in other libraries and in papers.
_ELSEWHERE = {
    "learning_rate": "lr", "eta": "lr", "l2": "weight_decay", "wd": "weight_decay",
    "batch": "batch_size", "bs": "batch_size", "early_stopping": "patience",
    "val_split": "validation", "scheduler": "schedule", "lr_scheduler": "schedule",
    "network": "model", "arch": "model", "device": "backend", "gpu": "backend",
    "jobs": "threads", "num_workers": "threads", "clipnorm": "clip_norm", "pretrained": "init_from",
    "output": "out", "output_dir": "out",
}  # fmt: skip

_WORDS = {int: "a whole number", bool: "true or false", str: "a text"}


class Setting(NamedTuple):
    """Where a setting belongs, and what it can be."""

    group: str
    kind: Any
    limits: Limits | None


@functools.cache
def groups() -> dict[str, type]:
    """Group name -> its dataclass, in the order of `Config`."""
    return typing.get_type_hints(Config)


@functools.cache
def settings_by_name() -> dict[str, Setting]:
    """All settings, in the order of their groups."""
    found = {}
    for group, options in groups().items():
        kinds = typing.get_type_hints(options)
        annotated = typing.get_type_hints(options, include_extras=True)
        for field in dataclasses.fields(options):
            extras = getattr(annotated[field.name], "__metadata__", ())
            limits = next((extra for extra in extras if isinstance(extra, Limits)), None)
            found[field.name] = Setting(group, kinds[field.name], limits)
    return found


def names() -> list[str]:
    """Names of all settings.

    Examples
    --------
    >>> from fastcnn import config
    >>> config.names()[:3]
    ['dataset', 'task', 'data_dir']
    """
    return list(settings_by_name())


def to_dict(config: Config) -> dict[str, Any]:
    """All settings as one flat dict, name -> value.

    Examples
    --------
    >>> to_dict(Config())["batch_size"]
    32
    """
    return {
        name: getattr(getattr(config, setting.group), name)
        for name, setting in settings_by_name().items()
    }


def replace(config: Kind, settings: Mapping[str, Any]) -> Kind:
    """A copy of ``config`` with some settings changed.

    Raises
    ------
    ConfigError
        If there is no setting of that name, or its value has the wrong type.

    Examples
    --------
    >>> replace(Config(), {"lr": 0.1, "filters": (16, 32)}).model.filters
    (16, 32)
    >>> replace(Config(), {"learning_rate": 0.1})
    Traceback (most recent call last):
        ...
    fastcnn.config.groups.ConfigError: there is no setting 'learning_rate'; did you mean 'lr'?
    """
    changes: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        group = find(name).group
        changes.setdefault(group, {})[name] = converted(name, value)
    try:
        replaced = {
            group: dataclasses.replace(getattr(config, group), **values)
            for group, values in changes.items()
        }
    except ValueError as error:  # Augment checks itself
        raise ConfigError(str(error)) from None
    return dataclasses.replace(config, **replaced)


def find(name: str) -> Setting:
    """The setting of that name.

    Raises
    ------
    ConfigError
        If there is none; names one that is like it.
    """
    known = settings_by_name()
    if name not in known:
        raise ConfigError(unknown_name(name, list(known)))
    return known[name]


def unknown_name(name: str, known: Sequence[str], kind: str = "setting") -> str:
    """The sentence for a name that does not exist: the nearest one, else all there are."""
    match = meant(name, known)
    hint = f"did you mean {match!r}?" if match else f"known are {', '.join(known)}"
    return f"there is no {kind} {name!r}; {hint}"


def meant(name: str, known: Sequence[str]) -> str | None:
    """The known name that somebody means who writes this one; None if there is none like it.

    Examples
    --------
    >>> from fastcnn import config
    >>> [meant(name, config.names()) for name in ("learning_rate", "epohcs", "xyz")]
    ['lr', 'epochs', None]
    """
    ours = _ELSEWHERE.get(same(name, tuple(_ELSEWHERE)) or "")
    return ours if ours in known else nearest(name, known)


def converted(name: str, value: Any) -> Any:
    """The value as the setting's type; NumPy's numbers and paths are taken as Python's.

    Raises
    ------
    ConfigError
        If it cannot be; says what would fit.
    """
    hint = find(name).kind
    choices: list[str] = []
    is_union = typing.get_origin(hint) in (types.UnionType, typing.Union)
    kinds = typing.get_args(hint) if is_union else (hint,)
    if isinstance(value, list | tuple):
        value = [_plain(item) for item in value]
    value = _plain(value)
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if types.NoneType in kinds and value in (None, NONE):
        return None
    for kind in kinds:
        if typing.get_origin(kind) is Literal:
            known = typing.get_args(kind)
            choice = same(value, known) if isinstance(value, str) and value != "None" else None
            if choice is not None:
                return choice
            choices.append("one of " + ", ".join(known))
        elif typing.get_origin(kind) is tuple:
            item = typing.get_args(kind)[0]
            fits, words = (
                (lambda each: type(each) is int, "whole numbers") if item is int
                else (typing.get_args(item).__contains__, " or ".join(typing.get_args(item)))
            )  # fmt: skip
            if isinstance(value, list | tuple) and all(map(fits, value)):
                return tuple(value)
            choices.append(f"a list of {words}")
        elif kind is types.NoneType:
            choices.append(f'"{NONE}"')
        elif kind is float:
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value)
            choices.append("a number")
        elif type(value) is kind:
            return value
        else:
            choices.append(_WORDS[kind])
    raise ConfigError(f"{name} must be {' or '.join(choices)}, got {value!r}")


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def check(config: Config) -> None:
    """Refuse values that mean nothing.

    Raises
    ------
    ConfigError
        Names the setting, says what it must be and what it is.

    Examples
    --------
    >>> check(replace(Config(), {"batch_size": 0}))
    Traceback (most recent call last):
        ...
    fastcnn.config.groups.ConfigError: batch_size must be at least 1, got 0
    """
    for name, value in to_dict(config).items():
        limits = find(name).limits
        if limits is not None and value is not None and not limits.fits(value):
            raise ConfigError(f"{name} must be {limits.words}, got {value!r}")
    if config.transfer.fresh_head and config.transfer.init_from is None:
        raise ConfigError("fresh_head needs a model to begin with: give init_from")
    if config.training.patience is not None and config.data.validation == 0:
        raise ConfigError("patience needs images to validate on: give validation 0.1, for example")
    if config.optimizer.warmup >= config.training.epochs:
        raise ConfigError(
            f"warmup must be shorter than the run of {config.training.epochs} epochs, "
            f"got {config.optimizer.warmup:g}"
        )
