"""What a network is given: samples and labels as arrays that it takes, or a sentence that helps.

`samples` is for prediction, `pair` for samples with their labels or other targets: training,
validation, test.
"""

import contextlib
import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import conversion
from ..conversion import PIXELS
from ..layers import spoken
from ..losses import CLASSIFICATION, MULTILABEL
from ..losses.asked import Task

if TYPE_CHECKING:
    from .core import Core

Shape = tuple[int, ...]

# Rows whose range is looked at: enough to tell 0 to 255 from 0 to 1.
_LOOKED_AT = 256
# Whole numbers no larger than this may be counts or levels.
_DARK = 50


def turned(model: "Core", images: np.ndarray) -> np.ndarray:
    """Images of a dataset, (N, C, H, W), as the model takes them."""
    return images.transpose(0, 2, 3, 1) if model.data_format == "channels_last" else images


def samples(model: "Core", who: str, x: Any, training: bool = False) -> np.ndarray:
    """Samples as uint8 images or floats of the model's dtype, of at least one row.

    Warns, once for each model, of floats that do not look like the pixels that it was trained on,
    and of pixels given as floats to one that is not trained yet.

    Parameters
    ----------
    training : bool
        Whether the model learns from them, and so may get to know floats.

    Raises
    ------
    TypeError, ValueError
        If they are neither and cannot be made so; names what would work.
    """
    x = model.taken(who, x)
    if x.ndim == 0 or 0 in x.shape:
        raise ValueError(f"{who}: expected at least one sample, got an array of shape {x.shape}")
    if x.dtype == PIXELS and x.ndim != 4:
        raise TypeError(
            f"{who}: this model takes {model.dtype} arrays or uint8 images of four dimensions, got "
            f"whole numbers of shape {x.shape}; {_pixels_advice(model, x.shape)}"
        )
    if x.dtype == PIXELS or model.told_of_floats:
        return x
    if model.learned_from == "pixels" if training else model.expects_pixels:
        model.told_of_floats = _warn_of_floats(model, who, x[:_LOOKED_AT])
    elif training and model.learned_from is None and x.ndim == 4:
        model.told_of_floats = _warn_of_pixels(who, x[:_LOOKED_AT])
    return x


def learn_from(model: "Core", x: np.ndarray, class_names: tuple[str, ...] | None = None) -> None:
    """Note what the model is trained on, and how its classes are called if nobody said so yet."""
    model.learned_from = "pixels" if x.dtype == PIXELS else "floats"
    if model.class_names is None:
        model.class_names = class_names


def pair(
    model: "Core",
    who: str,
    x: Any,
    y: Any,
    thorough: bool = False,
    training: bool = False,
    task: Task | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Samples as `samples` gives them, and their targets.

    These are class numbers or rows of probabilities for classification, else (N, outputs) of the
    model's dtype; for several outputs a table with a field for each (`conversion.table_of`).

    Parameters
    ----------
    who : str
        What the data is called in errors, such as "evaluate" or "validation".
    thorough : bool
        Whether it is made sure that all of it can be computed, before anything is: no NaN and no
        infinite number, a shape that the layers take, labels of classes that there are.
    training : bool
        Whether the model learns from them, as `samples` has it. A model without `class_names` takes
        those of the labels, in the order of `np.unique`.
    task : str, optional
        One of `losses.TASKS`; default: the model's.

    Raises
    ------
    TypeError, ValueError
        If something does not fit the model; nothing is computed yet.
    """
    if np.isscalar(x) or np.isscalar(y) or x is None or y is None:
        raise ValueError(f"{who}: needs arrays of samples x and of labels y, got none")
    task, names = task or model.task, None
    if isinstance(task, tuple):
        y = _table(model, who, y, task)
    elif task == CLASSIFICATION:
        names = conversion.names_of(who, y) if training else None
        y = conversion.labels(who, y, model.class_names or names)
    else:
        y = conversion.values(who, y, model.dtype)
    x = samples(model, who, x, training)
    if len(x) != len(y):
        raise ValueError(f"{who}: got {len(x)} samples and {len(y)} labels")
    if thorough and x.dtype != PIXELS and not np.isfinite(x).all():
        row = int(np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(axis=1))[0])
        raise ValueError(f"{who}: sample {row} holds NaN or infinite numbers: repair the data")
    if isinstance(task, tuple):
        parts = zip(model.output_names, conversion.fields_of(y), task, strict=True)
        for (name, part, kind), outputs in zip(parts, widths_of(model, who, x), strict=True):
            _check(f"{who}, output {name}", part, outputs, kind)
    elif task != CLASSIFICATION or thorough:
        _check(who, y, outputs_of(model, who, x), task)
    if training:
        learn_from(model, x, names)
    return x, y


def _table(model: "Core", who: str, y: Any, tasks: tuple[str, ...]) -> np.ndarray:
    """Targets of several outputs, each as its task has it, in one array."""
    found = []
    given = conversion.fields_of(model.joined_targets(who, y))
    for name, part, task in zip(model.output_names, given, tasks, strict=True):
        here = f"{who}, output {name}"
        if task != CLASSIFICATION:
            found.append(conversion.values(here, part, model.dtype))
        elif part.dtype.kind in "UST":
            raise TypeError(
                f"{here}: labels are names, such as {part.flat[0]!s:.40}, which only a network of "
                f"one output knows; number them: names, y = np.unique(y, return_inverse=True)"
            )
        else:
            found.append(conversion.labels(here, part))
    return conversion.table_of(model.output_names, found)


def _check(who: str, y: np.ndarray, outputs: int, task: str) -> None:
    """Raise unless these targets fit so many outputs."""
    if task == CLASSIFICATION:
        _check_labels(who, y, outputs)
    else:
        _check_values(who, y, outputs, task)


def _check_labels(who: str, y: np.ndarray, classes: int) -> None:
    """Raise unless all of them are classes that there are, or rows of probabilities."""
    if y.ndim == 1 and (y.min() < 0 or y.max() >= classes):
        wrong = y.min() if y.min() < 0 else y.max()
        from_1 = (y.min(), y.max()) == (1, classes)
        hint = "; yours begin with 1: subtract 1" * from_1
        raise ValueError(
            f"{who}: labels must lie between 0 and {classes - 1}, as the model gives {classes} "
            f"numbers per sample, got {wrong}{hint}"
            if classes > 1
            else f"{who}: a model that gives one number tells no classes apart, got label {wrong}: "
            f"end it with one output for each class, or train it with loss='bce' and labels 0 or 1"
        )
    if y.ndim != 1 and y.shape[1:] != (classes,):
        raise ValueError(
            f"{who}: expected {len(y)} labels as ({len(y)},) or one-hot as ({len(y)}, {classes}), "
            f"got shape {y.shape}"
        )
    if y.ndim != 1:
        is_wrong = ~((y.min(axis=1) >= 0) & (np.abs(y.sum(axis=1, dtype=float) - 1) < 1e-3))
        if is_wrong.any():
            raise ValueError(
                f"{who}: row {is_wrong.argmax()} of the labels must hold probabilities, at least 0 "
                f"and with the sum 1; for numbers give loss='mse', for several labels 'bce'"
            )


def _check_values(who: str, y: np.ndarray, outputs: int, task: str) -> None:
    """Raise unless there is a finite number for each output, for several labels from 0 to 1."""
    count = len(y)
    if y.shape != (count, outputs):
        short = f"({count},)" if outputs == 1 else f"({count}, {outputs})"
        given = f"({count},)" if y.shape[1] == 1 else str(y.shape)
        raise ValueError(
            f"{who}: expected targets as {short}, as the model gives {outputs} "
            f"number{'s' if outputs > 1 else ''} per sample, got shape {given}"
        )
    is_wrong = ~np.isfinite(y).all(axis=1)
    if is_wrong.any():
        raise ValueError(
            f"{who}: target {is_wrong.argmax()} is NaN or infinite: repair it or leave it out"
        )
    is_wrong = ~((y >= 0) & (y <= 1)).all(axis=1)
    if task == MULTILABEL and is_wrong.any():
        raise ValueError(
            f"{who}: row {is_wrong.argmax()} of the labels must hold numbers from 0 (not there) to "
            f"1 (there), one for each label"
        )


def outputs_of(model: "Core", who: str, x: np.ndarray) -> int:
    """How many numbers the model gives for each sample of x.

    Raises
    ------
    ValueError
        If x does not fit, or the model gives no row of numbers for a sample.
    """
    model.one_output(who)
    return widths_of(model, who, x)[0]


def widths_of(model: "Core", who: str, x: np.ndarray) -> tuple[int, ...]:
    """The same for each of its outputs."""
    try:
        with advising(model, x.shape):
            shapes: Any = model.output_shape(x.shape)
    except ValueError as error:
        raise ValueError(f"{who}: {error}") from None
    shapes = shapes if model.output_names else (shapes,)
    for shape, name in zip(shapes, model.output_names or ("",), strict=True):
        if len(shape) != 2:
            raise ValueError(
                f"{who}: the model gives shape {shape} for {len(x)} samples"
                f"{name and ' as ' + name}, not one number for each class; end it with Flatten() "
                f"and Dense(..., classes)"
            )
    return tuple(shape[1] for shape in shapes)


# --- advice -------------------------------------------------------------------------------------


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


def _pixels_advice(model: "Core", shape: Shape) -> str:
    for text, other in _rearranged(model, shape):
        if len(other) == 4 and _takes(model, other):
            return f"pixels are given as images: {text}"
    return (
        f"pixels are given as images of shape {model.image_words}, other numbers as floats: "
        f"x.astype(np.{model.dtype})"
    )


def _warn_of_floats(model: "Core", who: str, x: np.ndarray) -> bool:
    """Warn if floats do not look like the normalised pixels that the model knows."""
    scale, offset = model.normalization
    ends = np.concatenate([offset, 255 * scale + offset])
    lowest, highest = float(ends.min()), float(ends.max())
    low, high = float(x.min()), float(x.max())
    if not np.isfinite(low + high):
        return False
    slack = 0.01 * (highest - lowest)
    inside = lowest - slack <= low and high <= highest + slack
    if inside and (low < 0 or lowest >= 0):
        return False
    warnings.warn(
        f"{who}: this model knows uint8 pixels, which it brings to {lowest:.3g} ... {highest:.3g} "
        f"(model.normalization), but was given {x.dtype} numbers from {low:.3g} to {high:.3g}, "
        f"which it takes as they are; give pixels as whole numbers from 0 to 255",
        UserWarning,
        stacklevel=_outside(),
    )
    return True


def _warn_of_pixels(who: str, x: np.ndarray) -> bool:
    """Warn if floats are whole numbers up to 255, which are too large to train on."""
    high = x.max()
    if not (_DARK < high <= 255 and x.min() >= 0 and (x == np.rint(x)).all()):
        return False
    warnings.warn(
        f"{who}: these are {x.dtype} numbers from {x.min():.3g} to {high:.3g}, all of them whole, "
        f"as pixels are, and floats are taken as they are; give pixels as uint8, which become 0 to "
        f"1, or divide them by 255",
        UserWarning,
        stacklevel=_outside(),
    )
    return True


def _outside() -> int:
    """The `stacklevel` of the first caller that is no file of this package."""
    package, level = __name__.partition(".")[0], 1
    frame = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] == package:
        frame, level = frame.f_back, level + 1
    return level
