"""What the kinds share: the right numbers, those of known mistakes, and settings by any name."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .. import names
from ..arrays import get

Pair = tuple[int, int]
Gradients = dict[str, np.ndarray]


class Reference:
    """What a layer of some kind should give for one input, and what it gives with a mistake.

    Mistakes are pairs: the words for a person, and the numbers that they would lead to. Those of
    the gradients name only the arrays that the mistake is about.
    """

    title = ""
    scales: Mapping[str, float] = {}  # what the result may wrongly be multiplied with

    def forward(self) -> np.ndarray:
        """The right y."""
        raise NotImplementedError

    def gradients(self, dy: np.ndarray) -> Gradients:
        """The right gradients for dLoss/dy, by label."""
        raise NotImplementedError

    def forward_mistakes(self) -> Iterator[tuple[str, np.ndarray]]:
        """What y would be."""
        return iter(())

    def gradient_mistakes(self, dy: np.ndarray) -> Iterator[tuple[str, Gradients]]:
        """What gradients would be."""
        return iter(())


def settings(thing: Any, roles: tuple[str, ...], given: dict[str, Any]) -> dict[str, Any]:
    """Role -> value, from the arguments of the constructor or the layer's attributes."""
    found: dict[str, Any] = {}
    for source in (getattr(thing, "__dict__", {}), given):
        parts: dict[str, dict[str, int]] = {}
        for name, value in source.items():
            role = names.role_of(name, roles)
            if role is None or not _is_setting(value):
                continue
            bare = names.plain(name)
            axis = (
                "h"
                if bare.endswith(("h", "height"))
                else "w"
                if bare.endswith(("w", "width"))
                else ""
            )
            if isinstance(value, int) and axis and bare not in ("h", "w"):
                parts.setdefault(role, {})[axis] = value
            elif value is not None:
                found[role] = value
        for role, sides in parts.items():
            if len(sides) == 2:
                found[role] = sides["h"], sides["w"]
    return found


def _is_setting(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return len(value) == 2 and all(isinstance(each, int | np.integer) for each in value)
    return isinstance(value, int | str | np.integer) and not isinstance(value, bool)


def as_pair(value: Any) -> Pair:
    """A number or a pair, as a pair."""
    if isinstance(value, tuple | list):
        return int(value[0]), int(value[1])
    return int(value), int(value)


def by_role(student: Any, thing: Any, roles: dict[str, str]) -> dict[str, Any]:
    """Which parameter is which: role -> Parameter, by name; each role takes one at most.

    What has a name of its own is known by what is left, and by its size.
    """
    found: dict[str, Any] = {}
    for role in roles:
        for parameter in student.parameters:
            bare = names.plain(parameter.path[-1]).rstrip("0123456789")
            taken = any(parameter is other for other in found.values())
            if not taken and bare in names.ROLES[role]:
                found[role] = parameter
                break
    listed = all(p.path[-1].isdigit() for p in student.parameters)  # params[0], params[1]
    if listed and len(student.parameters) == len(roles):
        return dict(zip(roles, student.parameters, strict=True))
    missing = [role for role in roles if role not in found]
    sizes = {
        p.label: np.size(get(thing, p.path)) for p in student.parameters
        if np.ndim(get(thing, p.path)) and not any(p is other for other in found.values())
    }  # fmt: skip
    left = sorted(
        (p for p in student.parameters if p.label in sizes), key=lambda p: -sizes[p.label]
    )
    if len(left) == len(missing) == len({*sizes.values()}):
        found |= dict(zip(missing, left, strict=True))
    return found


def near(one: Any, other: Any, tolerance: float) -> bool:
    """Whether two arrays have one shape and the same numbers, but for rounding."""
    one, other = np.asarray(one), np.asarray(other)
    if one.shape != other.shape:
        return False
    finite = np.isfinite(other)
    if other.size and not finite.any():
        return False
    with np.errstate(all="ignore"):
        scale = max(float(np.abs(other[finite]).max(initial=0)), 1e-12)
        both_lost = ~np.isfinite(one) & ~np.isfinite(other)
        return bool(np.all(both_lost | (np.abs(one - other) <= tolerance * scale)))
