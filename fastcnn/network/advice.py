"""What may have been meant by samples of a shape that a model does not take."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..layers import spoken

if TYPE_CHECKING:
    from .core import Core

Shape = tuple[int, ...]


def shape_advice(model: "Core", shape: Shape) -> str:
    """The end of a sentence, such as "; try x[None]": the first rearrangement that fits, if any.

    There is none where the shape itself fits, so that what is wrong is a layer.
    """
    if _takes(model, shape):
        return ""
    for text, other in _rearranged(model, shape):
        if _takes(model, other):
            return f"; try {text}"
    return ""


class advising:
    """What the layers say of a shape that does not fit, with advice for samples of this shape."""

    def __init__(self, model: "Core", shape: Shape) -> None:
        self._model, self._shape, self._speaking = model, shape, None

    def __enter__(self) -> None:
        if self._model.data_format == "channels_last":
            self._speaking = speaking(self._model)
            self._speaking.__enter__()

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        if self._speaking is not None:
            self._speaking.__exit__(None, None, None)
        if isinstance(error, ValueError):
            advice = shape_advice(self._model, self._shape)
            advice = "" if advice.removeprefix("; try ") in str(error) else advice
            raise ValueError(f"{error}{advice}") from None


def speaking(model: "Core") -> contextlib.AbstractContextManager[None]:
    """A with block in which layers speak of images as this model has them."""
    return spoken.channels_last(model.data_format == "channels_last")


def _takes(model: "Core", shape: Shape) -> bool:
    if model.input_shape is not None and shape[1:] != model.input_shape:
        return False
    try:
        model.output_shape(shape)
    except ValueError:
        return False
    return True


def _rearranged(model: "Core", shape: Shape) -> Iterator[tuple[str, Shape]]:
    """(how it is written, shape) of what may have been meant."""
    first = model.data_format == "channels_first"
    if len(shape) == 2:
        yield ("x[None, None]", (1, 1, *shape)) if first else ("x[None, ..., None]", (1, *shape, 1))
    if len(shape) == 3:
        one, two, three = shape
        yield "x[None]", (1, *shape)
        yield ("x[:, None]", (one, 1, two, three)) if first else ("x[..., None]", (*shape, 1))
        if first:
            yield "x.transpose(2, 0, 1)[None]", (1, three, one, two)
        else:
            yield "x.transpose(1, 2, 0)[None]", (1, two, three, one)
    if len(shape) == 4:
        batch, one, two, three = shape
        if first:
            yield "x.transpose(0, 3, 1, 2)", (batch, three, one, two)
        else:
            yield "x.transpose(0, 2, 3, 1)", (batch, two, three, one)
    sample = model.input_shape
    if sample is not None and len(shape) > 1 and np.prod(shape[1:]) == np.prod(sample):
        yield f"x.reshape(-1, {', '.join(map(str, sample))})", (shape[0], *sample)
    if len(shape) > 2:
        yield "x.reshape(len(x), -1)", (shape[0], int(np.prod(shape[1:])))
    if len(shape) == 1:
        yield "x[None]", (1, *shape)


def pixels_advice(model: "Core", shape: Shape) -> str:
    """How whole numbers of a shape are given as pixels, or as floats."""
    for text, other in _rearranged(model, shape):
        if len(other) == 4 and _takes(model, other):
            return f"pixels are given as images: {text}"
    return (
        f"pixels are given as images of shape {model.image_words}, other numbers as floats: "
        f"x.astype(np.{model.dtype})"
    )
