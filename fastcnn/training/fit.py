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
from ..network.intake import pair
from ..network.network import EVALUATED_AT_ONCE, Network
from ..random import generator
from . import blas, compilation
from .history import History
from .loop import TrainingDiverged, TrainingLoop
from .settings import Arrays, Keeping, Measuring, Method, Passes, Stopping, Watching

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
) -> History:
    """Train a model in place.

    Parameters
    ----------
    model : Network
        Its last layer gives logits.
    x : uint8 (N, C, H, W), or float32 (N, ...)
        Training data. uint8 images are normalised by the model (``model.normalization``).
    y : int (N,) or float (N, classes)
        Class numbers, or one-hot rows.
    method, passes, measuring, stopping, watching, keeping
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
    """
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
    with model.training_turn():  # another thread's training is not to be disturbed
        x, y = pair(model, "training", x, y, thorough=True, training=True)
        if measuring.test is not None:
            test = pair(model, "test", *measuring.test, thorough=True)
            measuring = dataclasses.replace(measuring, test=test)
        rows, validation = _divided(x, y, measuring.validation, model, passes.seed or 0)
        if passes.drop_last and len(rows) < passes.batch_size:
            raise ValueError(
                f"drop_last leaves nothing of {len(rows)} images in batches of "
                f"{passes.batch_size}: give a smaller batch_size"
            )
        loop = TrainingLoop(
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
        )
        with blas.one_thread(), contextlib.closing(watching.progress), _compilation(loop, x, y):
            loop.begin()
            return loop.run()


def _compilation(
    loop: TrainingLoop, x: NDArray[Any], y: NDArray[Any]
) -> contextlib.AbstractContextManager[None]:
    """Let a helper process compile too, which rehearses the run; not for the slow backends."""
    if backends.current_name() != "numba":
        return contextlib.nullcontext()
    count, size = len(loop.rows), loop.passes.batch_size
    steps = min(count, size + count % size)  # a whole batch and a last one
    measured = [each for each in (loop.validation, loop.measuring.test) if each]
    tests = [
        min(len(part), EVALUATED_AT_ONCE + len(part) % EVALUATED_AT_ONCE) for part, _ in measured
    ]

    def arguments() -> tuple[Any, ...]:
        passes = dataclasses.replace(loop.passes, epochs=1)
        measuring = dataclasses.replace(loop.measuring, validation=None, test=None)
        black = x[:0].dtype, x.shape[1:]
        return (loop.model, *black, y[:steps], tests, loop.method, passes, measuring)

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


def _divided(
    x: NDArray[Any], y: NDArray[Any], validation: Arrays | float | None, model: Network, seed: int
) -> tuple[NDArray[np.int64], Arrays | None]:
    """The rows of x and y to train on, and the validation data."""
    if isinstance(validation, (int, float)):
        rows, held_out = split(len(x), validation, seed)
        return rows, (x[held_out], y[held_out])
    if validation is not None:
        validation = pair(model, "validation", *validation, thorough=True)
    return np.arange(len(x)), validation
