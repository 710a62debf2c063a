"""Checks of constructor arguments, shared by all layers; each raises with the layer's name."""

from typing import Any

import numpy as np

Pair = tuple[int, int]


def whole(layer: str, name: str, value: Any, least: int = 1) -> int:
    """`value` as an int of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        wanted = "a whole number above 0" if least == 1 else f"a whole number of at least {least}"
        raise ValueError(f"{layer}: {name} must be {wanted}, got {value!r}")
    return int(value)


def pair(layer: str, name: str, value: Any, least: int = 1) -> Pair:
    """A whole number for both axes, or a pair (height, width), as a pair."""
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise ValueError(
                f"{layer}: {name} must be a whole number or a pair (height, width), got {value!r}"
            )
        return whole(layer, name, value[0], least), whole(layer, name, value[1], least)
    number = whole(layer, name, value, least)
    return number, number


def number(layer: str, name: str, value: Any, low: float, high: float, wanted: str) -> float:
    """`value` as a float with low <= value < high."""
    real = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not real or not low <= value < high:
        raise ValueError(f"{layer}: {name} must be {wanted}, got {value!r}")
    return float(value)


def flag(layer: str, name: str, value: Any) -> bool:
    """`value`, which must be True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{layer}: {name} must be True or False, got {value!r}")
    return bool(value)


def seed(layer: str, value: Any) -> int | None:
    """`value`, which must be None or a whole number of at least 0."""
    return None if value is None else whole(layer, "seed", value, least=0)
