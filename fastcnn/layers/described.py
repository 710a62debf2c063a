"""How a layer is written down, and made again from that: in Python, in errors, in files.

A layer of this package is known by its name, a layer of one's own by module and name,
"mylab.layers:Scale", so that neither can be taken for the other.
"""

import functools
import inspect
import sys
import weakref
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Self

from .. import foreign
from ..checks import unknown

if TYPE_CHECKING:
    from .base import Layer

_PACKAGE = __name__.rpartition(".")[0]

# Classes of this package by name; all others by module and name, as long as someone has them.
_built_in: "dict[str, type[Described]]" = {}
_own: "weakref.WeakValueDictionary[str, type[Described]]" = weakref.WeakValueDictionary()


# Arguments that only decide what parameters begin with, and those of any name.
_BEGINNING = ("init", "init_std", "seed")
_COLLECTING = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Described:
    """Something that can be made again from its constructor arguments, with layers inside it."""

    positional = 0  # how many arguments the name shows without saying what they are
    __signature__: Any = foreign.OfInit()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not _is_built_in(cls):
            _own[_kind(cls)] = cls
        elif not cls.__name__.startswith("_"):
            _built_in[cls.__name__] = cls

    def __new__(cls, *positional: Any, **arguments: Any) -> Self:
        foreign.check_arguments(cls, arguments)
        self = super().__new__(cls)
        if not _is_built_in(cls):
            object.__setattr__(self, "_given", (positional, arguments))
        return self

    def arguments(self) -> dict[str, Any]:
        """Constructor arguments that would make such a layer, as JSON can hold them."""
        return {}

    @classmethod
    def from_arguments(cls, arguments: dict[str, Any]) -> "Layer":
        """A new layer from what `arguments` gave."""
        return cls(**arguments)  # type: ignore[return-value]

    def spec(self) -> dict[str, Any]:
        """Type and constructor arguments, as JSON can hold them; `from_spec` takes it back.

        Raises
        ------
        ValueError
            If another class has taken the name, so that `from_spec` would make one of those; or if
            `arguments` does not tell what the constructor of a class of one's own was given.
        """
        kind = _kind(type(self))
        found = _built_in.get(kind) or _own.get(kind)
        # A class at the top of a module that is defined anew, as in a notebook, is the same class.
        if found is not type(self) and "<locals>" in kind:
            raise ValueError(
                f"{self.name}: two classes are called {kind}; give one of them another name, or "
                f"this layer cannot be told from the other's when it is saved or copied"
            )
        arguments = self.arguments()
        if is_own(self) and type(self).from_arguments.__func__ is Described.from_arguments.__func__:
            self._check_told(arguments)
        return {"type": kind, **arguments}

    def _check_told(self, told: dict[str, Any]) -> None:
        """Refuse arguments without what would make another layer."""
        positional, named = vars(self).get("_given", ((), {}))
        signature = inspect.signature(type(self))
        for name, value in signature.bind_partial(*positional, **named).arguments.items():
            parameter = signature.parameters[name]
            if name in told or name in _BEGINNING or parameter.kind in _COLLECTING:
                continue
            if repr(value) != repr(parameter.default):
                raise ValueError(
                    f"{self.name}: its constructor was given {name}={value!r:.50}, which its "
                    f"arguments() does not tell: without '{name}' there a copy, or what is loaded "
                    f"from a file, would be another layer (docs/layers.md)"
                )

    @property
    def name(self) -> str:
        """The layer as it would be written in Python: what errors call it."""
        return repr(self)

    def __repr__(self) -> str:
        defaults = _defaults(type(self))
        parts = []
        for place, (name, value) in enumerate(self.arguments().items()):
            if place < self.positional:
                parts.append(repr(value))
            elif value != defaults.get(name, inspect.Parameter.empty):
                parts.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(parts)})"

    # --- layers inside --------------------------------------------------------------------------

    def children(self) -> "list[tuple[str, Layer]]":
        """Layers inside this one, with their names."""
        return []

    def family(self) -> "Iterator[Layer]":
        """Yield this layer and all layers inside it."""
        yield self  # type: ignore[misc]
        for _, child in self.children():
            yield from child.family()

    def leaves(self, path: str = "") -> "Iterator[tuple[str, Layer]]":
        """(path, layer) of the layers inside that have none inside themselves, or of this one."""
        children = self.children()
        if not children:
            yield path, self  # type: ignore[misc]
        for name, child in children:
            yield from child.leaves(f"{path}.{name}" if path else name)


def _is_built_in(cls: type) -> bool:
    return cls.__module__.startswith(f"{_PACKAGE}.")


def _kind(cls: type) -> str:
    """What files call a class."""
    return cls.__name__ if _is_built_in(cls) else f"{cls.__module__}:{cls.__qualname__}"


@functools.cache
def _defaults(cls: type[Described]) -> dict[str, Any]:
    parameters = inspect.signature(cls).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters}


def own_classes(layers: "Iterable[Layer]") -> tuple[type, ...]:
    """Classes of one's own among those of the layers, which a pickle must name to import them."""
    own = {type(layer) for each in layers for layer in each.family() if is_own(layer)}
    return tuple(cls for cls in own if _named(cls) is cls)


def _named(cls: type) -> Any:
    """What another process would find by the name of a class."""
    found: Any = sys.modules.get(cls.__module__)
    for name in cls.__qualname__.split("."):
        found = getattr(found, name, None)
    return None if cls.__module__ == "__main__" else found


def is_own(layer: Described) -> bool:
    """Whether it is of a class that does not belong to this package."""
    return not _is_built_in(type(layer))


def is_altered(layer: Described) -> bool:
    """Whether somebody put a function into the place of a method of this one layer."""
    return any(callable(getattr(type(layer), name, None)) for name in vars(layer))


def from_spec(spec: Any) -> "Layer":
    """A new layer from what `Layer.spec` gave; nothing is imported for it.

    Raises
    ------
    ValueError
        If there is no such layer, or it cannot have such arguments.

    Examples
    --------
    >>> from fastcnn.layers import Dense
    >>> from_spec(Dense(4, 2).spec())
    Dense(4, 2)
    """
    if not isinstance(spec, dict) or not isinstance(spec.get("type"), str):
        raise ValueError(f"a layer is described by a dict with a 'type', got {spec!r:.200}")
    arguments = {name: value for name, value in spec.items() if name != "type"}
    cls = _class_of(spec["type"])
    try:
        return cls.from_arguments(arguments)
    except TypeError as error:
        raise ValueError(
            f"{cls.__name__} cannot be made from {arguments!r:.200}: {error}"
        ) from None


def _class_of(kind: str) -> type[Described]:
    """The class that a file means, among those that are defined."""
    found = _built_in.get(kind) or _own.get(kind)
    if found is not None:
        return found
    module, _, name = kind.rpartition(":")
    same = [cls for cls in dict(_own).values() if cls.__qualname__ == name]
    # Version 0.1 wrote no module, and a script's own is called "__main__" in every script.
    if module in ("", "__main__") and len(same) == 1:
        return same[0]
    if len(same) > 1 and not module:
        raise ValueError(
            f"several classes are called {name}: {', '.join(sorted(map(_kind, same)))}; the file, "
            f"of version 0.1, does not say which it means"
        )
    if not module:
        raise ValueError(unknown("layer", kind, (*_built_in, *sorted(_own))))
    if module == "__main__":
        cure = f"the script that saved it defines it: define or import a class {name} first"
    elif module in sys.modules:
        cure = f"the module {module} is imported, but defines no such layer"
    else:
        cure = f"import {module} first"
    raise ValueError(f"there is no layer {name} of {module}; {cure}")
