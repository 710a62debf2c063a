"""A student's file: run as a module, and what in it is a layer or a loss."""

import copy
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from . import names
from .calling import Failure, guarded
from .construct import Made, Unmade, made, numbers
from .examine import Case
from .functions import pairs


class SourceError(ValueError):
    """A file that cannot be read as Python, or holds nothing to check; one sentence."""


def load(path: Path) -> ModuleType:
    """The file as a module; what stands under `if __name__ == "__main__"` does not run.

    Raises
    ------
    SourceError
        If there is no such file, or running it fails.
    """
    if not path.is_file():
        kind = "is a folder; name a Python file in it" if path.is_dir() else "does not exist"
        raise SourceError(f"{path} {kind}")
    if path.suffix != ".py":
        raise SourceError(f"{path} is no Python file: its name does not end with .py")
    name = f"student_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SourceError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and copies look there
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        with guarded(f"running {path.name}"):
            spec.loader.exec_module(module)
    except Failure as failure:
        error = failure.error
        if isinstance(error, SyntaxError):
            raise SourceError(f"{path}, line {error.lineno}: {error.msg}") from None
        if isinstance(error, SystemExit):
            raise SourceError(f"{path} ends Python while it is imported: put what runs under "
                              'if __name__ == "__main__":') from None  # fmt: skip
        if isinstance(error, UnicodeDecodeError | OSError):
            raise SourceError(f"{path} cannot be read: {error}") from None
        raise SourceError(f"{failure}") from None
    finally:
        sys.path.pop(0)
    return module


def found(module: ModuleType) -> Iterator[tuple[str, list[Made] | Unmade]]:
    """(name, layers with inputs, or why there are none) of all that can be checked.

    Raises
    ------
    SourceError
        If there is nothing.
    """
    by_hand = _given(module)
    for name, each in by_hand.items():
        yield name, each
    classes = {
        name: cls for name, cls in vars(module).items()
        if inspect.isclass(cls) and cls.__module__ == module.__name__ and is_layer(cls)
        and not issubclass(cls, BaseException)
    }  # fmt: skip
    functions = pairs(module)
    if not by_hand and not classes and not functions:
        raise SourceError(
            f"{Path(module.__file__ or '').name} holds no class with forward and backward methods; "
            f"what they may be called, and how to give a layer by hand, is in docs/check.md"
        )
    for name, cls in (classes | functions).items():
        if name in by_hand or _is_base(cls):
            continue
        heirs = any(cls in other.__mro__[1:] for other in classes.values())
        try:
            yield name, made(cls)
        except Unmade as reason:
            if heirs:  # a base class: what inherits from it is checked
                continue
            instance = _instance(module, cls)
            yield name, reason if instance is None else given(instance)


def is_layer(cls: type) -> bool:
    """Whether a class has a method for each way."""
    if _method(cls, names.FORWARD) is None:
        return False
    return _method(cls, names.BACKWARD) is not None or _returns_gradient(cls)


def _method(cls: type, known: tuple[str, ...]) -> Any:
    return next((getattr(cls, name) for name in known if inspect.isroutine(
        getattr(cls, name, None)) and name in _own_names(cls)), None)  # fmt: skip


def _own_names(cls: type) -> set[str]:
    """Attributes of the class and its bases, without those of `object` and of its type."""
    return {name for base in cls.__mro__ if base is not object for name in vars(base)}


def _returns_gradient(cls: type) -> bool:
    """Whether it is a loss whose forward may give (loss, gradient)."""
    from .kinds import kind_of

    return kind_of(cls.__name__) == "loss"


def _is_base(cls: Any) -> bool:
    """Whether it is meant to be inherited from only."""
    if inspect.isabstract(cls):
        return True
    method = _method(cls, names.FORWARD) if inspect.isclass(cls) else None
    try:
        source = inspect.getsource(method) if method else ""
    except (OSError, TypeError):
        return False
    body = [line.strip() for line in source.splitlines()[1:] if line.strip()]
    text = [line for line in body if not line.startswith(("#", '"""', "'''"))]
    return bool(text) and text[-1].startswith(("raise NotImplementedError", "pass", "...")) and (
        len(text) <= 2)  # fmt: skip


def is_network(name: str) -> bool:
    """Whether a class is called like a network of layers, which is not checked as one."""
    bare = names.plain(name)
    return bare.endswith(("net", "network", "model", "mlp", "cnn")) or "sequential" in bare


def _given(module: ModuleType) -> dict[str, list[Made] | Unmade]:
    """What `make()` gives: a layer, (layer, x), (layer, x, targets), or a list of these."""
    make = vars(module).get("make")
    if not callable(make):
        return {}
    try:
        with guarded("make()"):
            result = make()
    except Failure as failure:
        raise SourceError(str(failure)) from None
    many = result if isinstance(result, list) else [result]
    found: dict[str, list[Made] | Unmade] = {}
    for each in many:
        parts = each if isinstance(each, tuple) else (each,)
        name = type(parts[0]).__name__
        if not is_layer(type(parts[0])):
            raise SourceError(f"make() gives {name}, which has no forward and backward methods")
        found[name] = given(*parts)
    return found


def given(layer: Any, x: Any = None, targets: Any = None) -> list[Made] | Unmade:
    """A layer that was given, with its input or one that is found."""

    class Copied:
        """A class in the eyes of `made`."""

        def __new__(cls) -> Any:
            return copy.deepcopy(layer)

    Copied.__name__ = type(layer).__name__
    words = f"{type(layer).__name__}, as it is given"
    if x is None:
        try:
            return [
                Made(lambda: copy.deepcopy(layer), words, m.case, m.other) for m in made(Copied)
            ]
        except Unmade as reason:
            return reason
    x = np.asarray(x, np.float64)
    case = Case(x, targets)
    other = Case(
        x.mean() + x.std() * numbers(x.shape, 3), None if targets is None else targets[::-1]
    )
    return [Made(lambda: copy.deepcopy(layer), words, case, other)]


def _instance(module: ModuleType, cls: Any) -> Any:
    """A layer of this class that the file has made."""
    return next((v for v in vars(module).values() if type(v) is cls), None)
