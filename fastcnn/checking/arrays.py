"""The arrays inside an object of anybody's: found, read and written by their path."""

import copy
import itertools
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

Path = tuple[str, ...]  # names of attributes, keys and places, from outside in

_DEPTH = 3
_MOST_ITEMS = 64  # of a list: longer ones hold no layer's weights
_OTHER = (type, types.ModuleType, types.FunctionType, types.MethodType, np.random.Generator)


def children(thing: Any) -> dict[str, Any]:
    """What is inside, by name."""
    if isinstance(thing, dict):
        return {str(key): value for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return {str(i): value for i, value in enumerate(thing[:_MOST_ITEMS])}
    if hasattr(thing, "parameter_shapes") and hasattr(thing, "grads"):  # a Layer of ours
        return {"params": thing.params, "grads": thing.grads, "state": thing.state}
    if isinstance(thing, _OTHER) or (callable(thing) and not hasattr(thing, "__dict__")):
        return {}
    slots = [name for cls in type(thing).__mro__ for name in getattr(cls, "__slots__", ())]
    found = {name: getattr(thing, name) for name in slots if hasattr(thing, name)}
    return found | dict(getattr(thing, "__dict__", {}))


def walk(thing: Any, path: Path = (), seen: frozenset[int] = frozenset()) -> Iterator[Any]:
    """(path, array) of all arrays and numbers of floats; a number as an array without axes."""
    for name, value in children(thing).items():
        place = (*path, name)
        if isinstance(value, np.ndarray):
            if value.dtype.kind == "f":
                yield place, value
        elif isinstance(value, float | np.floating):
            yield place, np.asarray(value)
        elif len(place) < _DEPTH and id(value) not in seen and not isinstance(value, str | int):
            yield from walk(value, place, seen | {id(thing)})


def get(thing: Any, path: Path) -> Any:
    """The value at a path; None if it is not there."""
    for step in path:
        thing = children(thing).get(step)
    return thing


def put(thing: Any, path: Path, value: np.ndarray) -> None:
    """Write an array where another is, into its memory if that can be."""
    old = get(thing, path)
    fits = isinstance(old, np.ndarray) and (old.dtype, old.shape) == (value.dtype, value.shape)
    if fits and old.flags.writeable:
        old[...] = value
        return
    outer = get(thing, path[:-1])
    new = value if isinstance(old, np.ndarray) else float(value)
    if isinstance(outer, dict):
        key = next(key for key in outer if str(key) == path[-1])
        outer[key] = new
    elif isinstance(outer, list):
        outer[int(path[-1])] = new
    else:
        setattr(outer, path[-1], new)


def label(path: Path) -> str:
    """A path as Python would write it: params['W'], grads[0], kernel.data.

    What is called like many things is taken for a dict.
    """
    words = path[0]
    for outer, step in itertools.pairwise(path):
        named = f"['{step}']" if outer.endswith("s") else f".{step}"
        words += f"[{step}]" if step.isdigit() else named
    return words


def duplicate(thing: Any) -> Any:
    """A copy that shares nothing; the object itself if it cannot be copied."""
    try:
        return copy.deepcopy(thing)
    except Exception:
        return thing


def in_float64(thing: Any) -> Any:
    """A copy whose float arrays are float64; a layer of ours that cannot be copied says why."""
    if hasattr(thing, "parameter_shapes"):
        return copy.deepcopy(thing).astype(np.float64)
    memo: dict[int, Any] = {}
    for _, array in walk(thing):
        if array.ndim and array.dtype != np.float64:
            memo[id(array)] = array.astype(np.float64)
    try:
        return copy.deepcopy(thing, memo)
    except Exception:
        return thing
