"""The pickles of CIFAR's Python version, read without unpickling.

A pickle is a small program, and `pickle.load` would run whatever it says. Here its opcodes are
taken apart (`pickletools.genops`, which runs nothing) and interpreted by a machine that knows
numbers, texts, lists, dicts, and arrays of bytes. The three names that such a file needs stand for
themselves: nothing is looked up, imported or called. Every other name and opcode is refused.

Source: the comments of Python's `pickletools` module.
"""

import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class RefusedError(ValueError):
    """A pickle that holds something else than numbers, texts and arrays of bytes."""


class _Name(NamedTuple):
    module: str
    name: str


class _Type(NamedTuple):
    code: str


class _Array:
    """An array that is being described; `BUILD` gives it its values."""

    def __init__(self) -> None:
        self.values: np.ndarray | None = None


class _Mark:
    pass


# NumPy 2 has moved the first one.
_RECONSTRUCT = (
    _Name("numpy.core.multiarray", "_reconstruct"),
    _Name("numpy._core.multiarray", "_reconstruct"),
)
_NDARRAY = _Name("numpy", "ndarray")
_DTYPE = _Name("numpy", "dtype")
# Not an object, but how Python 3 writes bytes in protocol 2.
_ENCODE = _Name("_codecs", "encode")
_NAMES = (*_RECONSTRUCT, _NDARRAY, _DTYPE, _ENCODE)

_VALUES = {
    "BININT", "BININT1", "BININT2", "LONG1", "INT", "BINUNICODE", "SHORT_BINUNICODE", "UNICODE",
    "BINBYTES", "SHORT_BINBYTES", "BINSTRING", "SHORT_BINSTRING", "STRING", "BINFLOAT",
}  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_IGNORED = {"PROTO", "FRAME", "STOP"}


def read(data: bytes) -> Any:
    """The numbers, texts, lists, dicts and arrays of bytes that a pickle describes.

    Texts of Python 2, which are bytes, become texts by Latin-1.

    Raises
    ------
    RefusedError
        If it holds anything else, or is damaged.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(data):
            machine.step(opcode.name, argument)
        if len(machine.stack) != 1:
            raise RefusedError("it does not end in one value")
        return _finished(machine.stack[0])
    except RefusedError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise RefusedError(f"it is damaged ({error})") from None


class _Machine:
    """A stack of values, and those that the pickle refers to again."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._steps: dict[str, Callable[[], None]] = {
            "MARK": lambda: self.stack.append(_Mark()),
            "EMPTY_DICT": lambda: self.stack.append({}),
            "EMPTY_LIST": lambda: self.stack.append([]),
            "EMPTY_TUPLE": lambda: self.stack.append(()),
            "TUPLE": lambda: self.stack.append(tuple(self._since_mark())),
            "LIST": lambda: self.stack.append(self._since_mark()),
            "DICT": lambda: self.stack.append(_pairs(self._since_mark())),
            "TUPLE1": lambda: self.stack.append(tuple(self._popped(1))),
            "TUPLE2": lambda: self.stack.append(tuple(self._popped(2))),
            "TUPLE3": lambda: self.stack.append(tuple(self._popped(3))),
            "APPEND": lambda: self._append(self._popped(1)),
            "APPENDS": lambda: self._append(self._since_mark()),
            "SETITEM": lambda: self._set(self._popped(2)),
            "SETITEMS": lambda: self._set(self._since_mark()),
            "MEMOIZE": lambda: self._remember(len(self._memo)),
            "STACK_GLOBAL": lambda: self._name(*self._popped(2)),
            "REDUCE": lambda: self._reduce(*self._popped(2)),
            "BUILD": lambda: self._build(*self._popped(2)),
        }

    def step(self, opcode: str, argument: Any) -> None:
        """Do what one opcode says."""
        if opcode in _VALUES:
            self.stack.append(argument)
        elif opcode in _CONSTANTS:
            self.stack.append(_CONSTANTS[opcode])
        elif opcode in self._steps:
            self._steps[opcode]()
        elif opcode in ("BINPUT", "LONG_BINPUT", "PUT"):
            self._remember(argument)
        elif opcode in ("BINGET", "LONG_BINGET", "GET"):
            self.stack.append(self._memo[argument])
        elif opcode == "GLOBAL":
            self._name(*argument.split(" ", 1))
        elif opcode not in _IGNORED:
            raise RefusedError(f"it uses {opcode}, which no file of CIFAR needs")

    def _popped(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise RefusedError("it takes more values than it has")
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    def _since_mark(self) -> list[Any]:
        for place in range(len(self.stack) - 1, -1, -1):
            if isinstance(self.stack[place], _Mark):
                values = self.stack[place + 1 :]
                del self.stack[place:]
                return values
        raise RefusedError("it ends a row that it has not begun")

    def _remember(self, number: int) -> None:
        self._memo[number] = self.stack[-1]

    def _append(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise RefusedError("it appends to something that is no list")
        self.stack[-1].extend(values)

    def _set(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict):
            raise RefusedError("it sets an item of something that is no dict")
        self.stack[-1].update(_pairs(values))

    def _name(self, module: object, name: object) -> None:
        if (module, name) not in _NAMES:
            raise RefusedError(f"it names {module}.{name}, which no file of CIFAR needs")
        self.stack.append(_Name(str(module), str(name)))

    def _reduce(self, name: object, arguments: tuple[Any, ...]) -> None:
        """What a call of one of the names would give, without calling it."""
        if name in _RECONSTRUCT and arguments[0] == _NDARRAY:
            self.stack.append(_Array())
        elif name == _DTYPE and arguments[0] in ("u1", "|u1"):
            self.stack.append(_Type("u1"))
        elif name == _DTYPE:
            raise RefusedError(f"it has an array of {arguments[0]}, not of bytes")
        elif name == _ENCODE and isinstance(arguments[0], str) and arguments[1:] == ("latin1",):
            self.stack.append(arguments[0].encode("latin1"))
        else:
            raise RefusedError("it calls something, which no file of CIFAR needs")

    def _build(self, target: object, state: tuple[Any, ...]) -> None:
        """Give an array its values: (version, shape, type, columns first, bytes)."""
        if isinstance(target, _Array):
            _, shape, kind, fortran, content = state
            if not isinstance(kind, _Type):
                raise RefusedError("it has an array of an unknown type")
            if isinstance(content, str):
                content = content.encode("latin1")
            values = np.frombuffer(content, np.uint8)
            target.values = values.reshape(shape, order="F" if fortran else "C")
        elif not isinstance(target, _Type):
            raise RefusedError("it changes something that is no array")
        self.stack.append(target)


def _pairs(values: list[Any]) -> dict[Any, Any]:
    if len(values) % 2:
        raise RefusedError("it has a name without a value")
    return dict(zip(map(_finished, values[::2]), values[1::2], strict=True))


def _finished(value: Any) -> Any:
    """A value with arrays in place of their descriptions, and with texts as texts."""
    if isinstance(value, _Array):
        if value.values is None:
            raise RefusedError("it has an array without values")
        return value.values
    if isinstance(value, bytes):
        return value.decode("latin1")
    if isinstance(value, dict):
        return {_finished(name): _finished(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finished(each) for each in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise RefusedError(f"it holds a {type(value).__name__.strip('_').lower()}")
