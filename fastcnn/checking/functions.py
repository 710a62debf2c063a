"""Layers written as two functions: `affine_forward(x, w, b)` and `affine_backward(dout, cache)`."""

import inspect
import re
from types import ModuleType
from typing import Any

from . import names

_ENDS = re.compile(r"^(.*?)_?(forward|fwd)(_?.*)$")


def pairs(module: ModuleType) -> dict[str, type]:
    """Name -> a class that calls the two functions, for each pair of them in a file."""
    own = {
        name: f for name, f in vars(module).items()
        if inspect.isfunction(f) and f.__module__ == module.__name__
    }  # fmt: skip
    found = {}
    for name, forward in own.items():
        match = _ENDS.match(name)
        if not match or not match[1]:
            continue
        back = "bwd" if match[2] == "fwd" else "backward"
        other = own.get(name.replace(match[2], back))
        if other is not None:
            found[name] = _class(name, match[1], forward, other)
    return found


def _class(name: str, bare: str, forward: Any, backward: Any) -> type:
    """A class with the weights and settings of a pair of functions as its attributes."""
    _, *rest = inspect.signature(forward).parameters
    required = [
        p
        for p in rest
        if inspect.signature(forward).parameters[p].default is inspect.Parameter.empty
    ]
    settings = [p for p in required if re.search("param|hparam|config|options", p)]
    arrays = [p for p in required if p not in settings]
    numbers = {"conv": ("stride", "padding"), "pool": ("kernel", "stride")}

    class Pair:
        def __init__(self, **given: Any) -> None:
            self.__dict__.update({key: given[key] for key in arrays})
            self._settings: dict[str, Any] = {}
            for role, value in given.items():
                if role not in arrays:
                    setattr(self, role, value)
                    self._settings |= dict.fromkeys(_SPELLINGS[role], value)

        def forward(self, x: Any, training: bool = True) -> Any:
            settings_now = {**self._settings, "mode": "train" if training else "test"}
            self._settings.setdefault("eps", 1e-5)
            given = [settings_now if key in settings else getattr(self, key) for key in required]
            return forward(x, *given)

        def backward(self, dy: Any, cache: Any) -> Any:
            return backward(dy, cache)

    from .kinds import kind_of

    kind = kind_of(bare)
    roles = numbers.get(kind or "", ()) if settings else ()
    signature = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY) for key in (*arrays, *roles)
    ]
    Pair.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]
    Pair.__name__ = Pair.__qualname__ = bare
    Pair.source = inspect.getsource(forward)  # type: ignore[attr-defined]
    Pair.__module__ = forward.__module__
    return Pair


_SPELLINGS = {
    "stride": ("stride",),
    "padding": ("pad", "padding"),
    "kernel": ("pool_height", "pool_width", "pool_size", "HH", "WW", "f"),
}
assert set(_SPELLINGS) <= set(names.ROLES)
