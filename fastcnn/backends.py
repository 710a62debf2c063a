"""Which kernels do the arithmetic of convolution, pooling and dense layers.

    "numba"   compiled kernels on all cores; the default
    "im2col"  NumPy matrix products
    "loop"    plain Python loops that read like the formulas; very slow

Examples
--------
>>> from fastcnn import backend, backends
>>> with backend("im2col"):
...     backends.current_name()
'im2col'
"""

import contextlib
import functools
import importlib
from collections.abc import Iterator
from types import ModuleType

from kernels.changes import changed

from .checks import unknown

_MODULES = {"numba": "kernels.compiled", "im2col": "kernels.im2col", "loop": "kernels.loop"}
_current_name = "numba"


def names() -> tuple[str, ...]:
    """The backends there are, the default first.

    Examples
    --------
    >>> names()
    ('numba', 'im2col', 'loop')
    """
    return tuple(_MODULES)


def current_name() -> str:
    """Name of the backend in use.

    Examples
    --------
    >>> current_name()
    'numba'
    """
    return _current_name


def current() -> ModuleType:
    """The backend in use: a module with the functions of `kernels.loop`.

    Examples
    --------
    >>> with backend("loop"):
    ...     current().__name__
    'kernels.loop'
    """
    return _module(_current_name)


@functools.cache
def _module(name: str) -> ModuleType:
    return importlib.import_module(_MODULES[name])  # on demand: Numba takes a while to import


def set_backend(name: str) -> None:
    """Use backend `name` from now on, in the whole process.

    Raises
    ------
    ValueError
        If there is no such backend.

    Examples
    --------
    >>> set_backend("im2col")
    >>> current_name()
    'im2col'
    >>> set_backend("numba")
    """
    global _current_name
    if name not in _MODULES:
        raise ValueError(unknown("backend", name, names()))
    _current_name = name
    changed()


@contextlib.contextmanager
def backend(name: str) -> Iterator[None]:
    """Use backend `name` inside a with block.

    Raises
    ------
    ValueError
        If there is no such backend.

    Examples
    --------
    >>> with backend("im2col"):
    ...     current_name()
    'im2col'
    """
    before = _current_name
    set_backend(name)
    try:
        yield
    finally:
        set_backend(before)
