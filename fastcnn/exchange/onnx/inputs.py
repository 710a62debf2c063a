"""What a file wants as its input: pixels or floats, and how images lie."""

from typing import Any, NamedTuple

import numpy as np

from ... import checks
from ...layers.symbols import Input, input_of
from .file import FLOATS, UINT8, Content, Op, Value

_LARGEST_SIDE = 2**16
_FIRST, _LAST = [0, 3, 1, 2], [0, 2, 3, 1]


class Prepared(NamedTuple):
    """An input, and where the layers begin.

    Attributes
    ----------
    symbol : Input
    value : str
        What the first layer is given: the input, or what the nodes that prepare it give.
    normalization : pair of arrays, optional
        (scale, offset) of pixels; None for floats.
    """

    symbol: Input
    value: str
    normalization: tuple[Any, Any] | None


class Uses:
    """Which nodes take a value, and whether it comes out."""

    def __init__(self, content: Content) -> None:
        self._takers: dict[str, list[Op]] = {}
        self.out = {value.name for value in content.outputs}
        for node in content.nodes:
            for name in node.inputs:
                self._takers.setdefault(name, []).append(node)

    def count(self, value: str) -> int:
        """How often a value is needed."""
        return len(self._takers.get(value, ())) + (value in self.out)

    def only(self, value: str) -> Op | None:
        """The node that alone takes a value."""
        takers = self._takers.get(value, [])
        return takers[0] if len(takers) == 1 and value not in self.out else None


def sizes(value: Value, asked: Any) -> tuple[int | None, tuple[int, ...]]:
    """(batch, shape of a sample) of an input; asked : what the user says of it.

    Raises
    ------
    ValueError
        If they are not known.
    """
    shape = value.shape or []
    if len(shape) < 2:
        raise ValueError(
            f"its input {value.name!r} has shape {shape}, which is no batch of samples"
        )
    batch, *sample = shape
    if asked is not None:
        asked = list(checks.sizes("load_onnx", "input_shape", asked))
        if len(asked) != len(sample) or any(
            size not in (None, each) for size, each in zip(sample, asked, strict=True)
        ):
            raise ValueError(f"input_shape is {tuple(asked)}, the file says {tuple(sample)}")
        sample = asked
    found = tuple(0 if size is None else size for size in sample)
    if min(found) < 1:
        raise ValueError(
            f"it leaves sizes of its input {value.name!r} open, {('N', *sample)}: give "
            f"input_shape, such as (3, 224, 224)"
        )
    if max(found) > _LARGEST_SIDE:
        raise ValueError(f"its input {value.name!r} has shape {('N', *found)}")
    return batch, found


def prepare(
    value: Value, sample: tuple[int, ...], uses: Uses, arrays: dict[str, np.ndarray]
) -> Prepared:
    """The input with what its first nodes say of it: Transpose, Cast, and pixel * scale + offset.

    Raises
    ------
    ValueError
        If it is of a kind that no network takes here.
    """
    if value.kind != UINT8 and value.kind not in FLOATS:
        raise ValueError(f"its input {value.name!r} holds neither floats nor uint8 pixels")
    name, last, floats = value.name, False, value.kind != UINT8
    scale, offset = np.float32(1), np.float32(0)
    while (node := uses.only(name)) is not None:
        if node.op == "Transpose" and node.attributes.get("perm") == _FIRST and not last:
            last, sample = True, (sample[2], *sample[:2])
        elif node.op == "Cast" and node.attributes.get("to") in FLOATS and value.kind == UINT8:
            floats = True
        elif value.kind == UINT8 and floats and (numbers := _numbers(node, arrays, sample, last)):
            scale, offset = _applied(node.op, scale, offset, numbers[0])
        else:
            break
        name = node.outputs[0]
    if not floats:
        raise ValueError(f"its input {value.name!r} holds pixels that nothing turns into floats")
    symbol = input_of(sample, "channels_last" if last else "channels_first")
    return Prepared(symbol, name, (scale, offset) if value.kind == UINT8 else None)


def _numbers(
    node: Op, arrays: dict[str, np.ndarray], sample: tuple[int, ...], last: bool
) -> list[np.ndarray] | None:
    """The array that a node adds to pixels or multiplies them with, by channel."""
    if node.op not in ("Add", "Sub", "Mul", "Div") or len(node.inputs) != 2:
        return None
    first, second = (arrays.get(name) for name in node.inputs)
    array = second if second is not None else first
    if array is None or (second is None and node.op in ("Sub", "Div")) or array.ndim > 4:
        return None
    shape = (1,) * (4 - array.ndim) + array.shape
    if len(sample) != 3 or shape[1] not in (1, sample[0]) or array.size != shape[1]:
        return None
    return [array.reshape(-1).astype(np.float32)]


def _applied(op: str, scale: Any, offset: Any, by: np.ndarray) -> tuple[Any, Any]:
    with np.errstate(all="ignore"):  # what is not finite, the model refuses
        if op in ("Add", "Sub"):
            return scale, offset + (by if op == "Add" else -by)
        return (scale * by, offset * by) if op == "Mul" else (scale / by, offset / by)


def turned_out(node: Op) -> bool:
    """Whether a node gives images as people with channels last see them."""
    return node.op == "Transpose" and node.attributes.get("perm") == _LAST
