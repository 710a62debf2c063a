"""Whole numbers that follow from others and from the kinds of arrays, for kernels and for Python.

Kernels compile them in; Python computes them itself. Each would else be a kernel of its own for
Python's sake, which takes 0.03 to 0.2 s to compile, in both processes of a first start.

    @size
    def full_vectors(array, channels):
        return (channels + lanes(array) - 1) // lanes(array) * lanes(array)
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core.registry import cpu_target

from kernels import jit


class Size:
    """What both call.

    Parameters
    ----------
    function : function
        Is called with whole numbers, and arrays of which it uses nothing but the kind.
    compiled : any
        What kernels call instead.

    Examples
    --------
    >>> half = Size(lambda count: count // 2, jit.serial(lambda count: count // 2))
    >>> half(7)
    3
    """

    def __init__(self, function: Callable[..., Any], compiled: Any) -> None:
        functools.update_wrapper(self, function)
        self._made_of = function, compiled

        def answer(*kinds: Any) -> Any:
            return function(*(np.empty(0, k) if isinstance(k, np.dtype) else k for k in kinds))

        self._answer = functools.lru_cache(maxsize=4096)(answer)

    @property
    def _numba_type_(self) -> Any:
        """What Numba takes it for; asked while a kernel is compiled."""
        typing: Any = cpu_target.typing_context
        return typing.resolve_value_type(self._made_of[1])

    def __reduce__(self) -> tuple[Any, ...]:
        return Size, self._made_of

    def __call__(self, *arguments: Any) -> Any:
        """The number; what was asked before is remembered."""
        return self._answer(*[a.dtype if isinstance(a, np.ndarray) else a for a in arguments])


def size(function: Callable[..., Any]) -> Size:
    """Compile a function for the kernels that call it, and let Python run it as it is."""
    return Size(function, jit.serial(function))
