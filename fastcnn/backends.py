"""Which kernels do the arithmetic of convolution, pooling and dense layers.

    "numba"   compiled kernels on all cores; the default
    "im2col"  NumPy matrix products
    "loop"    plain Python loops that read like the formulas; very slow

Example:
    >>> from fastcnn import backend, backends
    >>> with backend("im2col"):
    ...     backends.current_name()
    'im2col'
"""

import contextlib
import difflib
import functools
import importlib
import itertools
from collections.abc import Iterator, Sequence
from types import ModuleType

_MODULES = {"numba": "kernels.compiled", "im2col": "kernels.im2col", "loop": "kernels.loop"}
_current_name = "numba"


def names() -> tuple[str, ...]:
    """The backends there are, the default first."""
    return tuple(_MODULES)


def current_name() -> str:
    """Name of the backend in use."""
    return _current_name


def current() -> ModuleType:
    """The backend in use: a module with the ten functions of `kernels.loop`."""
    return _module(_current_name)


@functools.cache
def _module(name: str) -> ModuleType:
    return importlib.import_module(_MODULES[name])  # on demand: Numba takes a while to import


def set_backend(name: str) -> None:
    """Use backend `name` from now on, in the whole process.

    Raises:
        ValueError: if there is no such backend.
    """
    global _current_name
    if name not in _MODULES:
        raise ValueError(unknown("backend", name, names()))
    _current_name = name


@contextlib.contextmanager
def backend(name: str) -> Iterator[None]:
    """Use backend `name` inside a with block.

    Raises:
        ValueError: if there is no such backend.
    """
    before = _current_name
    set_backend(name)
    try:
        yield
    finally:
        set_backend(before)


def unknown(kind: str, name: object, known: tuple[str, ...]) -> str:
    """The sentence for a name that does not exist: the nearest one, and all there are."""
    match = nearest(str(name), known)
    hint = f"did you mean {match!r}? " if match else ""
    return f"there is no {kind} {name!r}; {hint}known are {', '.join(known)}"


def nearest(name: str, known: Sequence[str]) -> str | None:
    """The known name that is meant by a misspelt one; None if none is like it.

    Words that begin alike count for more than equal letters elsewhere: lrate is lr, not rotate.
    """
    plain = {_plain(each): each for each in known}
    name = _plain(name)

    def likeness(other: str) -> float:
        words = itertools.product(name.split("_"), other.split("_"))
        alike = max((_beginning(one, two) for one, two in words if one and two), default=0.0)
        return difflib.SequenceMatcher(None, name, other).ratio() + 0.3 * alike

    near = [each for each in plain if difflib.get_close_matches(name, [each], 1, 0.5)]
    return plain[max(near, key=likeness)] if near else None


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")


def _beginning(one: str, two: str) -> float:
    """How much of the shorter word is the beginning of both, from 0 to 1."""
    pairs = zip(one, two, strict=False)
    same = itertools.takewhile(lambda letters: letters[0] == letters[1], pairs)
    return len(list(same)) / min(len(one), len(two))
