"""Symbols: what a layer will give, before there are numbers; a call of a layer makes one."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import checks, foreign
from . import spoken
from .described import from_spec

if TYPE_CHECKING:
    from .base import Layer

Shape = tuple[int, ...]

FORMATS = ("channels_first", "channels_last")
_numbers = itertools.count()  # symbols are in the order in which they were typed


class Symbol(foreign.Answering):
    """What a layer gives for a sample: its shape, and where it comes from.

    ``a + b`` and ``a * b`` are `Add` and `Multiply`. Differences, quotients and arithmetic with
    numbers have no layer, and are refused with what can stand in their place.

    Parameters
    ----------
    shape : tuple of int
        Of a sample, as layers see it: (channels, height, width).
    layer : Layer, optional
        What gives it; None for an input.
    sources : sequence of Symbol
        What the layer is given.
    data_format : str
        How people see images.
    """

    def __init__(
        self,
        shape: Shape,
        layer: "Layer | None",
        sources: "Sequence[Symbol]",
        data_format: str,
    ) -> None:
        self.seen, self.layer, self.sources = shape, layer, tuple(sources)
        self.data_format = data_format
        self.number = next(_numbers)

    @property
    def shape(self) -> Shape:
        """Of a sample, as people see it."""
        with spoken.channels_last(self.data_format == "channels_last"):
            return spoken.shape((1, *self.seen))[1:]

    def __add__(self, other: "Symbol") -> "Symbol":
        return self._joined("Add", other)

    def __mul__(self, other: "Symbol") -> "Symbol":
        return self._joined("Multiply", other)

    def _joined(self, kind: str, other: Any) -> "Symbol":
        return from_spec({"type": kind})(self, other) if isinstance(other, Symbol) else self._no()

    def _no(self, _: Any = None) -> Any:
        raise TypeError(
            "of symbols there are a + b and a * b of two of them: for a difference, a quotient or "
            "arithmetic with numbers call a layer of your own on one (docs/graphs.md has -x), or "
            "do it in the loss"
        )

    __sub__ = __truediv__ = __pow__ = __neg__ = __matmul__ = _no
    __radd__ = __rmul__ = __rsub__ = __rtruediv__ = __rpow__ = _no

    def __repr__(self) -> str:
        return f"<{self.shape} of {self.layer.name}>" if self.layer else f"Input({self.shape})"


class Input(Symbol):
    """What goes into a graph.

    Parameters
    ----------
    shape : sequence of int
        Of one sample, such as (1, 28, 28), as `data_format` says.
    data_format : str
        "channels_first" or "channels_last": how images are given to the graph.

    Raises
    ------
    ValueError
        If the shape is none, or there is no such format.

    Examples
    --------
    >>> from fastcnn.layers import Conv2D, Input
    >>> Conv2D(1, 8, 3)(Input((1, 28, 28))).shape
    (8, 26, 26)
    """

    def __init__(self, shape: Sequence[int], data_format: str = "channels_first") -> None:
        if data_format not in FORMATS:
            raise ValueError(
                f"Input: data_format must be 'channels_first' or 'channels_last', got "
                f"{data_format!r}"
            )
        sizes = checks.sizes("Input", "shape", shape)
        if not sizes:
            raise ValueError("Input: shape must be that of one sample, such as (1, 28, 28), got ()")
        if data_format == "channels_last" and len(sizes) == 3:
            sizes = (sizes[2], *sizes[:2])
        super().__init__(sizes, None, (), data_format)


def input_of(seen: Shape, data_format: str) -> Input:
    """An input of a shape that is as layers see it."""
    turn = data_format == "channels_last" and len(seen) == 3
    return Input((*seen[1:], seen[0]) if turn else seen, data_format)


def called(layer: "Layer", given: Sequence[Any]) -> Symbol:
    """What a layer gives for symbols; checks them as they are typed.

    Raises
    ------
    TypeError
        If they are no symbols, or another number of them.
    ValueError
        If their shapes do not fit the layer; names the layer.
    """
    if len(given) == 1 and isinstance(given[0], (list, tuple)):
        given = given[0]
    for each in given:
        if not isinstance(each, Symbol):
            raise TypeError(
                f"{layer.name}: a call takes symbols, such as Input((1, 28, 28)), and builds a "
                f"graph, got {type(each).__name__}; for arrays use forward(x)"
            )
    if (len(given) < 2) if layer.takes_several else (len(given) != 1):
        wanted = "two symbols or more" if layer.takes_several else "one symbol"
        cure = "" if layer.takes_several else "; Add, Multiply and Concat take several"
        raise TypeError(f"{layer.name} takes {wanted}, got {len(given)}{cure}")
    formats = {each.data_format for each in given}
    if len(formats) > 1:
        raise ValueError(f"{layer.name}: one input is channels_first and the other channels_last")
    shapes = tuple((1, *each.seen) for each in given)
    with spoken.channels_last(formats == {"channels_last"}):
        made = layer.output_shape(shapes if layer.takes_several else shapes[0])  # type: ignore[arg-type]
    return Symbol(tuple(made[1:]), layer, given, formats.pop())
