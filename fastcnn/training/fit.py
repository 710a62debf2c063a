"""The training loop: epochs, validation, early stopping, clipping, checkpoints.

`fit` is what `Sequential.train` calls. It makes the same steps in the same order with the same
bits for the same seed, whether it runs in one go or is interrupted and resumed: every random
choice is keyed by (seed, purpose, epoch, step), and a checkpoint written after each epoch holds
everything else.
"""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import backends
from ..checks import unknown
from ..layers import Sigmoid, Softmax
from ..losses import CLASSIFICATION, MULTILABEL, CrossEntropyLoss, Losses, asked
from ..losses.asked import Task
from ..network.intake import pair, shapes_of
from ..network.measures import measured
from ..network.network import EVALUATED_AT_ONCE, Network
from ..network.row import is_contained
from ..network.weighting import of_samples
from ..random import generator
from ..schedules import Constant, Schedule
from . import blas, compilation, notes
from .appended import appended
from .augment import Augment
from .diverged import TrainingDiverged
from .history import History
from .loop import TrainingLoop
from .parallel import Alone
from .progress import Progress
from .settings import (
    Arrays,
    Keeping,
    Measuring,
    Method,
    Passes,
    Stopping,
    Watching,
    Weighting,
)

_UNWEIGHTED = Weighting()
_MOVING = ("shift", "rotate", "flip", "crop", "mixup", "cutmix")

__all__ = ["TrainingDiverged", "fit", "split"]


def split(count: int, share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers for training and for validation, both in ascending order.

    Parameters
    ----------
    count : int
        Rows there are.
    share : float
        Part of them that is held out, between 0 and 1.
    seed : int
        Key of the choice.

    Raises
    ------
    ValueError
        If either part would be empty.

    Examples
    --------
    >>> train, validation = split(10, 0.2, seed=42)
    >>> len(train), len(validation)
    (8, 2)
    """
    held_out = round(count * share) if 0 < share < 1 else 0
    if not 0 < held_out < count:
        raise ValueError(
            f"validation must be a share between 0 and 1 that leaves images on both sides, "
            f"got {share!r} of {count} images"
        )
    order = generator(seed, "validation").permutation(count)
    return np.sort(order[held_out:]), np.sort(order[:held_out])


def fit(
    model: Network,
    x: NDArray[Any],
    y: NDArray[Any],
    *,
    method: Method,
    passes: Passes,
    measuring: Measuring,
    stopping: Stopping,
    watching: Watching,
    keeping: Keeping,
    weighting: Weighting = _UNWEIGHTED,
) -> History:
    """Train a model in place; if it raises before an epoch is finished, the model is what it was.

    Parameters
    ----------
    model : Network
        Its last layer gives logits, or numbers.
    x : uint8 (N, C, H, W), or float32 (N, ...)
        Training data. uint8 images are normalised by the model (``model.normalization``).
    y : int (N,) or float (N, outputs)
        Class numbers, one-hot rows, or what else the loss takes.
    method, passes, measuring, stopping, watching, keeping, weighting
        What `Sequential.train` has as single arguments, in groups.

    Returns
    -------
    History
        A dict of lists with one entry per epoch.

    Raises
    ------
    TrainingDiverged
        If a number becomes infinite or NaN; at the step where it shows.
    ValueError
        If an argument does not fit; the sentence says which.

    Examples
    --------
    >>> from fastcnn import Sequential
    >>> from fastcnn.layers import Dense
    >>> from fastcnn.training.settings import (
    ...     Keeping, Measuring, Method, Passes, Stopping, Watching,
    ... )
    >>> x, y = np.float32([[0], [1]]), np.array([0, 1])
    >>> history = fit(
    ...     Sequential(Dense(1, 2)), x, y, method=Method.of(), passes=Passes(epochs=3),
    ...     measuring=Measuring(), stopping=Stopping(), watching=Watching(), keeping=Keeping(),
    ... )
    >>> history["epoch"]
    [1, 2, 3]
    """
    with model.training_turn():  # another thread's training is not to be disturbed
        before, loop = model.known_of_training(), None
        try:
            loop = _prepared(
                model, x, y, method, passes, measuring, stopping, watching, keeping, weighting
            )
            with (
                loop.passes.parallel.together(), model.computing(loop.passes.parallel),
                blas.one_thread(), contextlib.closing(loop.watching.progress), _compilation(loop),
            ):  # fmt: skip
                loop.begin()
                return loop.run()
        except BaseException:
            if loop is None or not loop.history.epochs:
                vars(model).update(before)
            raise


def _prepared(
    model: Network,
    x: Any,
    y: Any,
    method: Method,
    passes: Passes,
    measuring: Measuring,
    stopping: Stopping,
    watching: Watching,
    keeping: Keeping,
    weighting: Weighting,
) -> TrainingLoop:
    """The run that `fit` was asked for, once nothing about it is to be refused."""
    if stopping.needs_validation and measuring.validation is None:
        raise ValueError("early stopping needs validation data: give validation=0.1, for example")
    if model.frozen and not any(layer.learns for layer in model.layers):
        raise ValueError(
            "all layers with parameters are frozen, so there is nothing to train: freeze fewer, "
            "such as model.freeze('all-but-last')"
        )
    method.clipping.check_arrays(tuple(model.parameters.slices))
    if passes.seed is None:
        passes = dataclasses.replace(passes, seed=model.seed)
    if not passes.parallel.is_first:  # one prints and writes
        watching = dataclasses.replace(watching, progress=Progress())
        keeping = Keeping(None, keeping.resume_from, keeping.allow, keeping.about,
                          whole_epochs=keeping.whole_epochs)  # fmt: skip
    y = model.joined_targets("training", y)
    several = Losses.fitting(method.loss, len(model.output_names) or 1)
    method = dataclasses.replace(method, loss=several)
    task = asked.task_of(method.loss, y)
    _check_end(model, method.loss, task)
    _check_mixing(passes.augment, method.loss, task)
    x, y = pair(model, "training", x, y, thorough=True, training=True, task=task)
    model.trained_by(method.loss, task)
    known = measured(task, model.output_names)
    _check_columns(method.schedule, measuring, stopping.monitor, ("loss", *known))
    counted = of_samples("training", weighting.samples, len(x))
    if isinstance(measuring.validation, (tuple, list)):
        first, second, *rest = measuring.validation
        targets = model.joined_targets("validation", second)
        held_out = (model.joined("validation", first), targets, *rest)
        measuring = dataclasses.replace(measuring, validation=held_out)
    if measuring.test is not None:
        measuring = dataclasses.replace(measuring, test=_checked(model, "test", measuring.test))
    data = (x, y) if counted is None else (x, y, counted)
    rows, validation = _divided(data, measuring.validation, model, passes.seed or 0)
    outputs = shapes_of(model, "training", x)
    _check_moving(passes.augment, outputs)
    weights = weighting.of(model, y, counted, rows, outputs[0])
    parts = [part for part in (validation, measuring.test) if part is not None]
    if weights is not None or any(len(part) > 2 for part in parts):
        _check_takes_weights(method.loss)
    count = len(rows) * (1 + (passes.augment.append if passes.augment is not None else 0))
    if passes.drop_last and count < passes.batch_size:
        raise ValueError(
            f"drop_last leaves nothing of {count} images in batches of "
            f"{passes.batch_size}: give a smaller batch_size"
        )
    if passes.augment is not None and passes.augment.append:
        watching.progress.on_note(notes.appended(len(rows), passes.augment.append))
        x, source = appended(
            x, rows, passes.augment, model.data_format == "channels_last", passes.seed or 0
        )
        y, rows = y[source], np.arange(len(x))
        weights = None if weights is None else weights[source]
        counted = None if counted is None else counted[source]
    return TrainingLoop(
        model=model,
        x=x,
        y=y,
        rows=rows,
        method=method,
        passes=passes,
        validation=validation,
        measuring=measuring,
        stopping=stopping,
        watching=watching,
        keeping=keeping,
        weights=weights,
        counted=counted,
        weighting=weighting,
    )


def _compilation(loop: TrainingLoop) -> contextlib.AbstractContextManager[None]:
    """Let a helper process compile too, which rehearses the run; not for the slow backends."""
    if backends.current_name() != "numba":
        return contextlib.nullcontext()
    x, y = loop.x, loop.y
    count, size = len(loop.rows), loop.passes.batch_size
    steps = min(count, size + count % size)  # a whole batch and a last one
    measured = [each for each in (loop.validation, loop.measuring.test) if each]
    tests = [
        min(len(part[0]), EVALUATED_AT_ONCE + len(part[0]) % EVALUATED_AT_ONCE) for part in measured
    ]

    def arguments() -> tuple[Any, ...]:
        passes = dataclasses.replace(loop.passes, epochs=1, budget=None, parallel=Alone())
        measuring = dataclasses.replace(loop.measuring, validation=None, test=None, metrics={})
        method = dataclasses.replace(loop.method, schedule=Constant())
        black = x[:0].dtype, x.shape[1:]
        return (loop.model, *black, y[:steps], tests, method, passes, measuring)

    return compilation.shared(rehearse, arguments)


def rehearse(
    model: Network,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    y: NDArray[Any],
    tests: Sequence[int],
    method: Method,
    passes: Passes,
    measuring: Measuring,
) -> None:
    """Train for an epoch on black images, of which only the sizes matter."""
    x = np.zeros((len(y), *shape), dtype)
    with contextlib.suppress(TrainingDiverged):
        fit(
            model, x, y, method=method, passes=passes, measuring=measuring,
            stopping=Stopping(), watching=Watching(), keeping=Keeping(),
        )  # fmt: skip
    for count in tests:
        images = np.zeros((count, *shape), dtype)
        model.evaluate(images, np.resize(y, (count, *y.shape[1:])))


def _checked(model: Network, who: str, data: Arrays) -> Arrays:
    """Data to measure, as (x, y) or (x, y, weights)."""
    x, y = pair(model, who, *data[:2], thorough=True)
    weights = of_samples(who, data[2], len(x)) if len(data) > 2 else None
    return (x, y) if weights is None else (x, y, weights)


def _divided(
    data: Arrays, validation: Arrays | float | None, model: Network, seed: int
) -> tuple[NDArray[np.int64], Arrays | None]:
    """The rows of the data to train on, and the validation data; weights stay with their rows."""
    count = len(data[0])
    if isinstance(validation, (int, float)):
        rows, held_out = split(count, validation, seed)
        return rows, tuple(array[held_out] for array in data)
    if validation is not None:
        validation = _checked(model, "validation", validation)
    return np.arange(count), validation


def _check_end(model: Network, loss: Any, task: Task) -> None:
    """Refuse a network that ends with the loss's sigmoid, or a softmax that cannot be left out."""
    each = zip(
        asked.each_of(loss), asked.each_of(task), model.ends, model.needs_ends,
        model.output_names or ("",), strict=True,
    )  # fmt: skip
    for own, kind, last, is_needed, name in each:
        if not asked.takes_logits(own):
            continue
        if kind == MULTILABEL and isinstance(last, Sigmoid | Softmax):
            raise ValueError(
                f"{type(own).__name__} has a sigmoid of its own: leave out the "
                f"{type(last).__name__} at the end of the network"
            )
        if is_needed and is_contained(last):
            raise ValueError(
                f"{type(own).__name__} has a softmax of its own, and the {type(last).__name__} of "
                f"output {name} is not left out, as other layers or outputs need it: make what "
                f"goes into it the output"
            )


def _check_columns(
    schedule: Schedule, measuring: Measuring, monitor: str, measures: tuple[str, ...]
) -> None:
    """Refuse to watch what is not measured."""
    for name in measuring.metrics:
        if name in measures:
            raise ValueError(f"metrics: {name!r} is measured already; give another name")
    validated = tuple(f"val_{name}" for name in (*measures, *measuring.metrics))
    if monitor not in validated:
        raise ValueError(f"monitor: {unknown('validated number', monitor, validated)}")
    if measuring.metrics and measuring.validation is None and measuring.test is None:
        raise ValueError("metrics need validation or test data, on which they are measured")
    watched = getattr(getattr(schedule, "schedule", schedule), "monitor", None)
    known = measures if measuring.validation is None else (*measures, *validated)
    if watched is not None and watched not in known:
        raise ValueError(f"the schedule's monitor: {unknown('number', watched, known)}")


def _check_mixing(augment: Augment | None, loss: Any, task: Task) -> None:
    """Refuse soft targets for a loss that has one right class."""
    if augment is None or not augment.mixes:
        return
    for each, kind in zip(asked.each_of(loss), asked.each_of(task), strict=True):
        if kind == CLASSIFICATION and not isinstance(each, CrossEntropyLoss):
            raise ValueError(
                f"mixup and cutmix mix targets too, and {type(each).__name__} takes one class for "
                f"each sample: take CrossEntropyLoss"
            )


def _check_moving(augment: Augment | None, outputs: Sequence[tuple[int, ...]]) -> None:
    """Refuse to change where things are in images, and not in targets for their places."""
    amounts = {name: getattr(augment, name, 0) for name in _MOVING}
    moving = ", ".join(f"{name}={amount}" for name, amount in amounts.items() if amount)
    places = [shape[2:] for shape in outputs if len(shape) > 2]
    if moving and places:
        raise ValueError(
            f"augment: the network gives something for each of {' x '.join(map(str, places[0]))} "
            f"places, and {moving} would change where things are in the images, but not in the "
            f"targets: change both before, and leave to augment what stays in its place "
            f"(brightness, noise, cutout)"
        )


def _check_takes_weights(loss: Any) -> None:
    for each in asked.each_of(loss):
        if not asked.takes_weights(each):
            raise ValueError(
                f"{type(each).__name__} takes no weights: give it forward(outputs, targets, "
                f"weights), which returns the mean over the batch of each sample's loss times its "
                f"weight"
            )
