"""Which values of which settings a search tries.

Examples
--------
>>> from fastcnn.searching.space import from_text
>>> from_text("filters=16+32,32+64")
Choice(name='filters', values=((16, 32), (32, 64)))
>>> from_text("weight_decay=0.001..0.01:log")
Range(name='weight_decay', low=0.001, high=0.01, log=True)
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..config import Config, ConfigError, check, replace, to_dict, toml_value
from ..terminal import one_line

_EXAMPLES = "give values (lr=0.01,0.1) or a range (lr=0.001..0.1:log)"


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of several values."""

    name: str
    values: tuple[Any, ...]

    def draw(self, random: np.random.Generator) -> Any:
        """Any of the values, each as probable."""
        return self.values[random.integers(len(self.values))]

    def probes(self) -> tuple[Any, ...]:
        """Values that show whether the setting can have all of them."""
        return self.values

    def to_toml(self) -> Any:
        """What `from_toml` takes."""
        return [toml_value(value) for value in self.values]


@dataclasses.dataclass(frozen=True)
class Range:
    """Any number from ``low`` to ``high``, whole if they are; ``log``: even in its logarithm."""

    name: str
    low: float
    high: float
    log: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int)

    def draw(self, random: np.random.Generator) -> Any:
        """Any number within, each as probable (or each of its logarithm)."""
        low, high = (self.low, self.high + 1) if self.is_whole else (self.low, self.high)
        if self.log:
            number = math.exp(random.uniform(math.log(low), math.log(high)))
        else:
            number = random.uniform(low, high)
        number = math.floor(number) if self.is_whole else number
        return min(max(number, self.low), self.high)  # exp(log(low)) may be a bit less than low

    def probes(self) -> tuple[Any, ...]:
        """Values that show whether the setting can have all of them."""
        return self.low, self.high

    def to_toml(self) -> Any:
        """What `from_toml` takes."""
        return {"low": self.low, "high": self.high, "log": self.log}


Axis = Choice | Range


def from_text(text: str) -> Axis:
    """A setting and its values as the command line gives them.

    Parameters
    ----------
    text : str
        ``NAME=VALUE,VALUE,...`` (numbers of a list joined by ``+``), or ``NAME=LOW..HIGH``, or
        ``NAME=LOW..HIGH:log``.

    Raises
    ------
    ConfigError
        If there is no such setting, or it cannot have these values.
    """
    name, equals, values = text.partition("=")
    name = name.strip().replace("-", "_")
    if not equals or not values.strip():
        raise ConfigError(f"--search {text!r} names no values: {_EXAMPLES}")
    if ".." not in values:
        return _choice(name, [_literal(name, word.strip()) for word in values.split(",")])
    bounds, colon, kind = values.partition(":")
    if colon and kind.strip() != "log":
        raise ConfigError(f"--search {text!r}: after the colon only 'log' is known")
    low, _, high = bounds.partition("..")
    return _range(name, _literal(name, low.strip()), _literal(name, high.strip()), bool(colon))


def from_toml(name: str, value: Any) -> Axis:
    """A setting and its values as a TOML file gives them.

    Parameters
    ----------
    name : str
        Of the setting.
    value : list or table
        A list of values, or a table ``{low = 0.0, high = 1.0, log = false}``.

    Raises
    ------
    ConfigError
        If there is no such setting, or it cannot have these values.
    """
    if isinstance(value, list):
        return _choice(name, [_checked(name, each) for each in value])
    if isinstance(value, Mapping) and {"low", "high"} <= value.keys() <= {"low", "high", "log"}:
        log = value.get("log", False)
        if isinstance(log, bool):
            return _range(name, _checked(name, value["low"]), _checked(name, value["high"]), log)
    raise ConfigError(
        f"the values of {name} must be a list or a table {{low = ..., high = ..., log = true}}, "
        f"got {value!r}"
    )


def _checked(name: str, value: Any) -> Any:
    """The value as the setting's type, or a ConfigError."""
    return to_dict(replace(Config(), {name: value}))[name]


def _literal(name: str, word: str) -> Any:
    """A value written as text, as the first type that the setting can have."""
    candidates: list[Any] = [{"true": True, "false": False}.get(word.lower(), word)]
    for kind in (int, float, lambda text: tuple(int(item) for item in text.split("+"))):
        try:
            candidates.append(kind(word))
        except ValueError:
            continue
    for candidate in candidates:
        try:
            return _checked(name, candidate)
        except ConfigError:
            continue
    return _checked(name, candidates[0])  # raises what the setting wants


def _choice(name: str, values: Sequence[Any]) -> Choice:
    if not values:
        raise ConfigError(f"{name} has no values to choose from: {_EXAMPLES}")
    for value in values:
        if values.count(value) > 1:
            raise ConfigError(f"the value {show(value)} of {name} is given twice")
    return Choice(name, tuple(values))


def _range(name: str, low: Any, high: Any, log: bool) -> Range:
    for value in (low, high):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{name} has no range: give its values, {name}=A,B,C")
        if not math.isfinite(value):
            raise ConfigError(f"the range of {name} must have finite ends, got {value}")
    if not low < high:
        raise ConfigError(f"the range of {name} must rise, got {show(low)} to {show(high)}")
    if log and low <= 0:
        raise ConfigError(f"the range of {name} is logarithmic and must begin above 0, got {low}")
    if isinstance(high, float) and _is_open_at(name, high):
        high = math.nextafter(high, low)
    return Range(name, low, high, log)


def _is_open_at(name: str, high: float) -> bool:
    """Whether a setting can have all numbers below ``high`` but not this one, as dropout 1."""
    for value in (math.nextafter(high, -math.inf), high):
        try:
            check(replace(Config(), {name: value}))
        except ConfigError:
            return value == high
    return False


def grid(axes: Sequence[Choice]) -> list[dict[str, Any]]:
    """Every combination of values; the last axis changes fastest."""
    names = [axis.name for axis in axes]
    return [
        dict(zip(names, values, strict=True))
        for values in itertools.product(*(axis.values for axis in axes))
    ]


def probes(axes: Sequence[Axis]) -> Iterator[dict[str, Any]]:
    """Settings that together show every end and every value of every axis."""
    first = {axis.name: axis.probes()[0] for axis in axes}
    for axis in axes:
        for value in axis.probes():
            yield {**first, axis.name: value}


def show(value: Any) -> str:
    """A setting's value for people, as the command line takes it, numbers to four digits."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "+".join(map(str, value))
    if isinstance(value, str):  # a file may be called anything
        return one_line(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value).lower()
