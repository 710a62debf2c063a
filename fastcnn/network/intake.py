"""What a network is given: samples and labels as arrays that it takes, or a sentence that helps.

`samples` is for prediction, `pair` for samples with their labels or other targets: training,
validation, test.
"""

import math
import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import conversion
from ..conversion import PIXELS
from ..losses import CLASSIFICATION, MULTILABEL
from ..losses.asked import Task
from .advice import advising, pixels_advice

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
            f"whole numbers of shape {x.shape}; {pixels_advice(model, x.shape)}"
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
    model's dtype, each with the places of the outputs behind, as layers see them; for several
    outputs a table with a field for each (`conversion.table_of`).

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
    several = isinstance(task, tuple)
    if task == CLASSIFICATION and training:
        names = conversion.names_of(who, y)
    x = samples(model, who, x, training)
    shapes = shapes_of(model, who, x)
    if several:
        y = _table(model, who, y, task, shapes)
    else:
        y = _converted(model, who, y, task, shapes[0], model.class_names or names)
    if len(x) != len(y):
        raise ValueError(f"{who}: got {len(x)} samples and {len(y)} labels")
    if thorough and x.dtype != PIXELS and not np.isfinite(x).all():
        row = int(np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(axis=1))[0])
        raise ValueError(f"{who}: sample {row} holds NaN or infinite numbers: repair the data")
    if several:
        parts = zip(model.output_names, conversion.fields_of(y), task, shapes, strict=True)
        for name, part, kind, shape in parts:
            _check(f"{who}, output {name}", part, shape, kind)
    elif task != CLASSIFICATION or thorough:
        _check(who, y, shapes[0], task)
    if training:
        learn_from(model, x, names)
    return x, y


def _table(
    model: "Core", who: str, y: Any, tasks: tuple[str, ...], shapes: tuple[Shape, ...]
) -> np.ndarray:
    """Targets of several outputs, each as its task has it, in one array."""
    found = []
    given = conversion.fields_of(model.joined_targets(who, y))
    for name, part, task, shape in zip(model.output_names, given, tasks, shapes, strict=True):
        here = f"{who}, output {name}"
        if task == CLASSIFICATION and part.dtype.kind in "UST":
            raise TypeError(
                f"{here}: labels are names, such as {part.flat[0]!s:.40}, which only a network of "
                f"one output knows; number them: names, y = np.unique(y, return_inverse=True)"
            )
        found.append(_converted(model, here, part, task, shape))
    return conversion.table_of(model.output_names, found)


def _converted(
    model: "Core",
    who: str,
    y: Any,
    task: str,
    shape: Shape,
    class_names: tuple[str, ...] | None = None,
) -> np.ndarray:
    """Targets of an output as its task has them; shape : of the output, as layers see it."""
    y, places = conversion.array_of(who, y), shape[2:]
    if model.data_format == "channels_last" and y.ndim == len(shape) == 4:
        y = y.transpose(0, 3, 1, 2)
    if task == CLASSIFICATION:
        return conversion.labels(who, y, class_names, axes=1 + len(places))
    y = conversion.values(who, y, model.dtype)
    return y[:, None] if places and shape[1] == 1 and y.shape[1:] == places else y


def _check(who: str, y: np.ndarray, shape: Shape, task: str) -> None:
    """Raise unless these targets fit an output of that shape, (N, K) or with places behind."""
    if task == CLASSIFICATION:
        _check_labels(who, y, shape)
    else:
        _check_values(who, y, shape, task)


def _check_labels(who: str, y: np.ndarray, shape: Shape) -> None:
    """Raise unless all of them are classes that there are, or rows of probabilities."""
    classes, count = shape[1], len(y)
    plain, rows = (count, *shape[2:]), (count, *shape[1:])
    if y.ndim == 1 and len(shape) > 2:
        raise ValueError(
            f"{who}: the model gives shape {rows} for {count} samples, not one number for each "
            f"class; end it with Flatten() and Dense(..., classes), or give labels of shape "
            f"{plain}, one for each place"
        )
    if y.shape not in (plain, rows):
        raise ValueError(
            f"{who}: expected {count} labels as {plain} or one-hot as {rows}, got shape {y.shape}"
        )
    if y.ndim != len(shape):
        if y.min() >= 0 and y.max() < classes:
            return
        wrong = y.min() if y.min() < 0 else y.max()
        from_1 = (y.min(), y.max()) == (1, classes)
        hint = "; yours begin with 1: subtract 1" * from_1
        each = "place" if len(shape) > 2 else "sample"
        raise ValueError(
            f"{who}: labels must lie between 0 and {classes - 1}, as the model gives {classes} "
            f"numbers per {each}, got {wrong}{hint}"
            if classes > 1
            else f"{who}: a model that gives one number tells no classes apart, got label {wrong}: "
            f"end it with one output for each class, or train it with loss='bce' and labels 0 or 1"
        )
    is_wrong = ~((y.min(axis=1) >= 0) & (np.abs(y.sum(axis=1, dtype=float) - 1) < 1e-3))
    if is_wrong.any():
        raise ValueError(
            f"{who}: row {_first(is_wrong)} of the labels must hold probabilities, at least 0 "
            f"and with the sum 1; for numbers give loss='mse', for several labels 'bce'"
        )


def _check_values(who: str, y: np.ndarray, shape: Shape, task: str) -> None:
    """Raise unless there is a finite number for each output, for several labels from 0 to 1."""
    wanted, outputs = (len(y), *shape[1:]), math.prod(shape[1:])
    if y.shape != wanted:
        short = wanted[:1] if wanted[1:] == (1,) else wanted
        given = y.shape[:1] if y.shape[1:] == (1,) else y.shape
        fits = y.size == math.prod(wanted)
        hint = f"; give y.reshape{(-1, *wanted[1:])}" if fits else ""
        raise ValueError(
            f"{who}: expected targets as {short}, as the model gives "
            f"{' x '.join(map(str, wanted[1:]))} number{'s' if outputs > 1 else ''} per sample, "
            f"got shape {given}{hint}"
        )
    is_wrong = ~np.isfinite(y)
    if is_wrong.any():
        raise ValueError(
            f"{who}: target {_first(is_wrong)} is NaN or infinite: repair it or leave it out"
        )
    is_wrong = ~((y >= 0) & (y <= 1))
    if task == MULTILABEL and is_wrong.any():
        raise ValueError(
            f"{who}: row {_first(is_wrong)} of the labels must hold numbers from 0 (not there) to "
            f"1 (there), one for each label"
        )


def _first(is_wrong: np.ndarray) -> int:
    """Which sample is the first of which something is wrong."""
    return int(is_wrong.reshape(len(is_wrong), -1).any(axis=1).argmax())


def shape_of(model: "Core", who: str, x: np.ndarray) -> Shape:
    """The shape of what the model gives for x, as layers see it, (N, K) or with places behind.

    Raises
    ------
    ValueError
        If x does not fit, or the model gives no row of numbers for a sample.
    """
    model.one_output(who)
    return shapes_of(model, who, x)[0]


def shapes_of(model: "Core", who: str, x: np.ndarray) -> tuple[Shape, ...]:
    """The same for each of its outputs."""
    try:
        with advising(model, x.shape):
            shapes: Any = model.output_shape(x.shape)
    except ValueError as error:
        raise ValueError(f"{who}: {error}") from None
    shapes = shapes if model.output_names else (shapes,)
    if model.data_format == "channels_last":
        shapes = tuple((s[0], s[3], s[1], s[2]) if len(s) == 4 else s for s in shapes)
    for shape, name in zip(shapes, model.output_names or ("",), strict=True):
        if len(shape) < 2:
            raise ValueError(
                f"{who}: the model gives shape {shape} for {len(x)} samples"
                f"{name and ' as ' + name}, not one number for each class; end it with Flatten() "
                f"and Dense(..., classes)"
            )
    return tuple(map(tuple, shapes))


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
