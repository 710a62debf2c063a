"""What the pictures of a search share: names with units, values on an axis."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Trials = Sequence[tuple[Mapping[str, Any], float | None]]
"""(settings, value) of each trial, in order; the value is None where there is no result."""

_NAMES = {"lr": "learning rate", "weight_decay": "L2 penalty", "hidden": "hidden units"}
_QUANTITIES = {  # (label, factor, whether higher is better)
    "val_accuracy": ("validation accuracy (%)", 100.0, True),
    "test_accuracy": ("test accuracy (%)", 100.0, True),
    "val_loss": ("validation loss (nats per image)", 1.0, False),
    "test_loss": ("test loss (nats per image)", 1.0, False),
}
_FEW = 8  # so many different numbers are drawn at even distances, each with its label
_TICKS = 5  # on an axis of numbers, at most


@dataclasses.dataclass(frozen=True)
class Quantity:
    """What trials are compared by.

    Attributes
    ----------
    label : str
        With its unit.
    factor : float
        From a trial's value to the label's unit.
    is_higher_better : bool
        An accuracy, not a loss.
    """

    label: str
    factor: float
    is_higher_better: bool

    def best(self, values: Iterable[float]) -> float:
        """The best of some values."""
        return max(values) if self.is_higher_better else min(values)

    def text(self, value: float) -> str:
        """A value in the label's unit: an accuracy to a tenth, a loss to a thousandth."""
        return f"{value:.1f}" if self.is_higher_better else f"{value:.3f}"


def quantity(name: str) -> Quantity:
    """The quantity of that name.

    Raises
    ------
    ValueError
        If it is not an accuracy or loss that is measured.
    """
    if name not in _QUANTITIES:
        raise ValueError(f"quantity must be one of {', '.join(_QUANTITIES)}, got {name!r}")
    return Quantity(*_QUANTITIES[name])


def scaled(trials: Trials, wanted: Quantity) -> list[tuple[Mapping[str, Any], float | None]]:
    """The trials with values in the quantity's unit."""
    return [
        (settings, None if value is None else value * wanted.factor) for settings, value in trials
    ]


def searched(trials: Trials) -> list[str]:
    """Names of the settings that differ between trials."""
    names = dict.fromkeys(name for settings, _ in trials for name in settings)
    return [name for name in names if len(different(trials, name)) > 1]


def different(trials: Trials, name: str) -> list[Any]:
    """The values of a setting that were tried: numbers rising, others in order of appearance."""
    values = list(dict.fromkeys(settings[name] for settings, _ in trials))
    return sorted(values) if all(map(is_number, values)) else values


def is_number(value: Any) -> bool:
    """Whether a value can stand on an axis of numbers."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def label(name: str) -> str:
    """A setting's name for an axis."""
    return _NAMES.get(name, name.replace("_", " "))


def text(value: Any) -> str:
    """A setting's value for people."""
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value).lower()


@dataclasses.dataclass(frozen=True)
class Scale:
    """Where the values of a setting stand on an axis.

    Attributes
    ----------
    values : sequence of Any
        Those that were tried.
    is_even : bool
        Few values or words, at 0, 1, 2, ...; otherwise numbers.
    log : bool
        Numbers on a logarithmic axis.
    """

    values: Sequence[Any]
    is_even: bool
    log: bool

    def place(self, value: Any) -> float:
        """Of one value."""
        return self.values.index(value) if self.is_even else float(value)

    def fraction(self, value: Any) -> float:
        """Of one value, from 0 at the lowest to 1 at the highest."""
        low, high = self.ends()
        at = self.place(value)
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(at)
        return (at - low) / (high - low) if high > low else 0.5

    def ends(self) -> tuple[float, float]:
        """Of the lowest and the highest value."""
        if self.is_even:
            return 0.0, len(self.values) - 1.0
        return float(min(self.values)), float(max(self.values))

    def ticks(self) -> Sequence[Any]:
        """Values to write at the axis: round ones, if there are any within."""
        from matplotlib.ticker import LogLocator, MaxNLocator

        if self.is_even:
            return self.values
        low, high = min(self.values), max(self.values)
        is_whole = all(isinstance(value, int) for value in self.values)
        number = int if is_whole else float
        locators = [MaxNLocator(_TICKS, steps=(1, 2, 5, 10), integer=is_whole)]
        if self.log:  # 0.01, 0.1, 1, or where these are too few: 1, 2, 5, 10
            locators = [LogLocator(), LogLocator(subs=(1, 2, 5)), *locators]
        for locator in locators:
            ticks = [number(tick) for tick in locator.tick_values(low, high) if low <= tick <= high]
            if len(ticks) > 2:
                return ticks
        return [low, high]


def scale(trials: Trials, name: str, kind: str | None = None) -> Scale:
    """The axis of a setting.

    Parameters
    ----------
    trials : Trials
        With its values.
    name : str
        Of the setting.
    kind : str, optional
        "linear" or "log": to scale, however few its values; None: to scale if there are many
        different numbers.
    """
    values = different(trials, name)
    is_few = len(values) <= (1 if kind else _FEW)
    is_even = is_few or not all(map(is_number, values))
    return Scale(values, is_even, kind == "log" and not is_even)
