"""The training loop: epochs, validation, early stopping, clipping, checkpoints.

`fit` is what `Sequential.train` calls. It makes the same steps in the same order with the same
bits for the same seed, whether it runs in one go or is interrupted and resumed: every random
choice is keyed by (seed, purpose, epoch, step), and a checkpoint written after each epoch holds
everything else.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import schedules
from ..losses import CrossEntropyLoss
from ..network.network import Network
from ..optim import SGD, Optimizer
from ..optim import from_name as optimizer_from_name
from ..random import generator
from . import blas
from .augment import Augment
from .history import Best, History, Pace
from .loop import Arrays, TrainingDiverged, TrainingLoop
from .progress import Progress

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
    loss: CrossEntropyLoss | None = None,
    optimizer: Optimizer | None = None,
    epochs: int = 10,
    batch_size: int = 32,
    validation: Arrays | float | None = None,
    test: Arrays | None = None,
    schedule: schedules.Schedule | str | None = None,
    patience: int | None = None,
    monitor: str = "val_loss",
    min_gain: float = 0.0,
    stop_gain: float | None = None,
    stop_gain_epochs: int = 3,
    restore_best: bool | None = None,
    clip_norm: float | None = None,
    clip_mode: str = "global",
    augment: Augment | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
    checkpoint_path: str | Path | None = None,
    resume_from: str | Path | None = None,
    track_gradients: bool = False,
    precise_bn: int = 0,
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
    loss : CrossEntropyLoss, optional
        Default: the mean over the batch.
    optimizer : Optimizer, optional
        Default ``SGD(0.01)``. An L2 penalty is its ``weight_decay``.
    epochs : int
        Passes over the training data, those of a resumed run included.
    batch_size : int
        Rows per step; the last step of an epoch takes what is left.
    validation : (x, y) or float, optional
        Data measured after each epoch to choose the best, or the share of the training data
        to hold out for it.
    test : (x, y), optional
        Data measured after each epoch and used for nothing.
    schedule : Schedule or str, optional
        How the learning rate changes; default: not at all.
    patience : int, optional
        Stop after so many epochs without a better ``monitor``.
    monitor : {"val_loss", "val_accuracy"}
        What decides which epoch is best.
    min_gain : float
        An epoch is better only if it gains more than this on the best so far.
    stop_gain : float, optional
        Stop once an epoch gains less than this: ``monitor`` where there is validation data, else
        the training accuracy (0.001 is a tenth of a percent). Unlike ``patience``, which counts
        the epochs since the best one, it watches how steep the curve is. Epochs in which the
        network has not yet begun to learn (the loss is that of guessing) do not count: LeNet-5
        with sigmoids spends its first three on MNIST so.
    stop_gain_epochs : int
        The gain is the mean over so many epochs, as one alone is noisy; 1 for each by itself.
    restore_best : bool, optional
        End with the parameters of the best epoch. Default: if ``patience`` is given.
    clip_norm : float, optional
        Gradients longer than this (Euclidean norm) are scaled to it.
    clip_mode : {"global", "array"}
        All gradients as one vector, or each parameter array by itself.
    augment : Augment, optional
        Random changes to the training images, made anew for each batch.
    shuffle : bool
        New order of the rows in every epoch.
    seed : int, optional
        Key of shuffling, splitting and augmentation; default: the model's.
    progress : Progress, optional
        Is told what happens; `ConsoleProgress` prints it.
    should_stop : function, optional
        Asked after each batch; when it says True, training ends with the parameters of the
        last finished epoch (or the best).
    checkpoint_path : path, optional
        File that is rewritten at the end of each epoch, and read by ``resume_from``.
    resume_from : path, optional
        Continue the run of this checkpoint. All other arguments should be as they were; more
        ``epochs`` are fine.
    track_gradients : bool
        Record in the history's ``gradients`` the Euclidean norm of each parameter array's
        gradient, before clipping and without weight decay: per epoch the mean over up to ten
        steps, evenly spread.
    precise_bn : int
        Before each evaluation BatchNorm's running statistics become the means over so many
        training batches, with the weights as they are; 0: they are what ran along. For runs whose
        steps stay long to the end, see `fastcnn.training.precise_bn`.

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
    >>> from fastcnn import models, datasets
    >>> digits = datasets.load("digits")
    >>> history = fit(models.build("mnist-baseline"), digits.x_train, digits.y_train,
    ...               epochs=2)  # doctest: +SKIP
    """
    _check_whole("epochs", epochs)
    _check_whole("batch_size", batch_size)
    if patience is not None:
        _check_whole("patience", patience)
    _check_whole("stop_gain_epochs", stop_gain_epochs)
    _check_whole("precise_bn", precise_bn, least=0)
    if clip_norm is not None and not clip_norm > 0:
        raise ValueError(f"clip_norm must be above 0, got {clip_norm!r}")
    if clip_mode not in ("global", "array"):
        raise ValueError(f"clip_mode must be 'global' or 'array', got {clip_mode!r}")
    if (patience is not None or restore_best) and validation is None:
        raise ValueError("early stopping needs validation data: give validation=0.1, for example")
    if isinstance(schedule, str):
        schedule = schedules.from_name(schedule)
    if isinstance(optimizer, str):
        optimizer = optimizer_from_name(optimizer)
    for name, value, kind in (
        ("loss", loss, CrossEntropyLoss),
        ("optimizer", optimizer, Optimizer),
        ("schedule", schedule, schedules.Schedule),
        ("augment", augment, Augment),
    ):
        if value is not None and not isinstance(value, kind):
            raise ValueError(
                f"{name} must be a fastcnn {kind.__name__} object, such as {_EXAMPLES[name]}, "
                f"got {value!r}"
            )
    if model.frozen and not any(layer.learns for layer in model.layers):
        raise ValueError(
            "all layers with parameters are frozen, so there is nothing to train: freeze fewer, "
            "such as model.freeze('all-but-last')"
        )
    _check_pair("test", test)
    if not isinstance(validation, (int, float)):
        _check_pair("validation", validation)
    seed = model.seed if seed is None else seed
    x, y, rows, validation = _training_data(x, y, validation, seed)
    pace = None
    if stop_gain is not None:
        pace = Pace(monitor if validation else "accuracy", stop_gain, stop_gain_epochs)
    loop = TrainingLoop(
        model=model,
        loss=loss or CrossEntropyLoss(),
        optimizer=optimizer or SGD(),
        schedule=schedule or schedules.Constant(),
        x=x,
        y=y,
        rows=rows,
        batch_size=batch_size,
        validation=validation,
        test=test,
        best=Best(monitor, min_gain),
        pace=pace,
        clip_norm=clip_norm,
        clip_mode=clip_mode,
        augment=augment,
        shuffle=shuffle,
        seed=seed,
        progress=progress or Progress(),
        should_stop=should_stop or (lambda: False),
        keep_best=patience is not None if restore_best is None else restore_best,
        track_gradients=track_gradients,
        precise_bn=precise_bn,
    )
    if resume_from is not None:
        loop.load(Path(resume_from))
    with blas.one_thread(), contextlib.closing(loop.progress):
        return loop.run(epochs, patience, Path(checkpoint_path) if checkpoint_path else None)


_EXAMPLES = {
    "loss": "CrossEntropyLoss()",
    "optimizer": "SGD(0.01)",
    "schedule": "schedules.CosineAnnealing()",
    "augment": "Augment(flip=True)",
}


def _check_pair(name: str, value: object) -> None:
    if value is not None and not (isinstance(value, (tuple, list)) and len(value) == 2):
        raise ValueError(f"{name} must be a pair (x, y) of images and labels")


def _check_whole(name: str, value: object, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        words = "above 0" if least else "of at least 0"
        raise ValueError(f"{name} must be a whole number {words}, got {value!r}")


def _training_data(
    x: NDArray[Any], y: NDArray[Any], validation: Arrays | float | None, seed: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64], Arrays | None]:
    """x, y, the rows of them to train on, and the validation data."""
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim == 0 or y.ndim == 0:
        raise ValueError("training needs arrays of images x and of labels y, got none")
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(
            f"training needs as many labels as images and at least one, got {len(x)} images "
            f"and {len(y)} labels"
        )
    rows = np.arange(len(x))
    if isinstance(validation, (int, float)):
        rows, held_out = split(len(x), validation, seed)
        return x, y, rows, (x[held_out], y[held_out])
    if validation is not None and len(validation[0]) == 0:
        raise ValueError("the validation data is empty")
    return x, y, rows, validation
