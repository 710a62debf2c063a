"""Anybody's methods: what they take, how they are called, what they give back, what they raise."""

import contextlib
import inspect
import random
import traceback
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from . import names
from .arrays import Path, walk


class Failure(Exception):
    """The student's code raised something.

    Attributes
    ----------
    error : Exception
        What.
    refused : bool
        Whether by a `raise` or `assert` of the student's own.
    """

    def __init__(self, what: str, error: BaseException) -> None:
        self.error = error
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if "/fastcnn/checking/" not in frame.filename]
        last = frames[-1] if frames else None
        line = (last.line or "").lstrip() if last else ""
        self.refused = line.startswith(("raise", "assert"))
        mine = [f for f in own if "site-packages" not in f.filename and f.filename[:1] != "<"]
        where = f" (line {mine[-1].lineno})" if mine else ""
        said = str(error).splitlines()[0] if str(error) else ""
        super().__init__(
            f"{what} raised {type(error).__name__}: {said}{where}".replace(": (", " (")
        )


@contextlib.contextmanager
def guarded(what: str) -> Iterator[None]:
    """What the student's code raises becomes a `Failure`; its warnings are not shown."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    except Failure:
        raise
    except (Exception, SystemExit) as error:
        raise Failure(what, error) from None


@contextlib.contextmanager
def seeded() -> Iterator[None]:
    """Within this block the global generators begin anew: dropout drops the same."""
    states = np.random.get_state(), random.getstate()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(states[0])  # noqa: NPY002
        random.setstate(states[1])


def method_of(thing: Any, known: tuple[str, ...]) -> str | None:
    """The first of these names that is a method."""
    for name in known:
        if callable(getattr(thing, name, None)) and not isinstance(getattr(thing, name), type):
            return name
    return None


def takes_of(method: Any) -> list[inspect.Parameter]:
    """What may be given by position."""
    try:
        parameters = inspect.signature(method).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p for p in parameters if p.kind in kinds or p.kind == p.KEYWORD_ONLY]


def call(method: Any, takes: list[inspect.Parameter], words: dict[str, Any]) -> Any:
    """Call a method with some of its arguments; the required ones that are left out get None."""
    given, named = [], {}
    by_position = True
    for p in takes:
        if p.name in words and by_position and p.kind != p.KEYWORD_ONLY:
            given.append(words[p.name])
        elif p.name in words:
            named[p.name] = words[p.name]
        elif p.default is p.empty:
            raise TypeError(f"it is not known what to give for {p.name!r}")
        else:
            by_position = False
    if not takes:
        given = list(words.values())
    return method(*given, **named)


def set_mode(thing: Any, training: bool) -> None:
    """Tell a layer that has a flag whether it is trained."""
    for name in ("training", "train", "is_training", "is_train", "train_flg", "mode"):
        value = getattr(thing, name, None)
        if isinstance(value, bool):
            setattr(thing, name, training)
        elif isinstance(value, str) and value in ("train", "test", "eval"):
            setattr(thing, name, "train" if training else "test")
    method = getattr(thing, "train" if training else "eval", None)
    if callable(method) and not _required(method) and hasattr(thing, "eval"):
        with contextlib.suppress(Exception):
            method()


def _required(method: Any) -> list[str]:
    return [p.name for p in takes_of(method) if p.default is p.empty]


# --- what backward returned ---------------------------------------------------------------------


def kept(thing: Any, known: tuple[str, ...]) -> np.ndarray | None:
    """The first array of these names that the object holds."""
    found = {names.plain(path[-1]): array for path, array in walk(thing)}
    return next((found[name] for name in known if name in found), None)


def input_gradient(result: Any, x: np.ndarray, thing: Any) -> np.ndarray | None:
    """The gradient by x among what `backward` returned or kept."""
    if result is None:  # kept, not returned
        result = kept(thing, names.INPUT_GRADIENTS)
    if isinstance(result, dict):
        keys = [key for key in result if names.plain(str(key)) in ("dx", "dinput", "dinputs", "x")]
        result = result[keys[0]] if keys else next(iter(result.values()), None)
    elif isinstance(result, tuple | list):
        arrays = [each for each in result if isinstance(each, np.ndarray)]
        fits = [each for each in arrays if each.shape == x.shape]
        result = (fits or arrays or [None])[0]
    return None if result is None else np.array(result, dtype=np.float64)


def others(result: Any, x: np.ndarray) -> dict[Any, np.ndarray]:
    """What was returned beside the gradient by x."""
    if isinstance(result, dict):
        return {k: np.asarray(v) for k, v in result.items() if names.plain(str(k)) != "dx"}
    if not isinstance(result, tuple | list):
        return {}
    arrays = [(i, each) for i, each in enumerate(result) if isinstance(each, np.ndarray)]
    first = next((i for i, each in arrays if each.shape == x.shape), arrays[0][0] if arrays else 0)
    return {i: each for i, each in arrays if i != first}


def returned_key(
    returned: dict[Any, np.ndarray], paths: list[Path], value: np.ndarray
) -> tuple | None:
    """The key, in a tuple, of the gradient for an array; what is given out is taken out."""
    for key in returned:
        if any(names.is_gradient_of(("grads", str(key)), p) for p in paths):
            returned.pop(key)
            return (key,)
    fits = [key for key, each in returned.items() if each.shape == value.shape]
    loose = [key for key, each in returned.items() if each.size == value.size]
    for key in (*fits, *loose, *list(returned)[:1]):
        if isinstance(key, int):
            returned.pop(key)
            return (key,)
    return None


def equal(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are the same to the bit."""
    return a.shape == b.shape and bool(np.array_equal(a, b, equal_nan=True))
