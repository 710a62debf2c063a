"""Checkpoints of a training run: the model's file, with the optimizer and the run's state in it."""

from pathlib import Path
from typing import Any

import numpy as np

from .. import optim
from ..network.checkpoint import Arrays, CheckpointError, describe, read, write
from ..network.network import Network
from .record import Record, RecordError


def save_training(
    path: str | Path,
    model: Network,
    optimizer: optim.Optimizer,
    state: dict[str, Any],
    best_arrays: Arrays,
    averages: Arrays | None = None,
) -> None:
    """Write everything that the rest of a training run depends on; `load_model` reads it too.

    Parameters
    ----------
    state : dict[str, Any]
        What the training loop wants back, as JSON can hold it.
    best_arrays : Arrays
        `model.copy_arrays()` of the best epoch; may be empty.
    averages : Arrays, optional
        The moving averages of the model's arrays, where there are such.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    header = {
        "model": describe(model),
        "training": {"optimizer": optimizer.spec(), "state": state},
    }
    groups = {
        "model": dict(model.named_arrays()),
        "optimizer": optimizer.state_arrays(),
        "best": best_arrays,
        "average": averages or {},
    }
    write(path, header, groups)


class SavedTraining:
    """What `save_training` wrote, opened but not yet believed.

    Parameters
    ----------
    path : path
        The file.

    Attributes
    ----------
    state : any
        What the training loop has written, as JSON holds it.
    best_arrays, averages : Arrays
        Parameters and states of the best epoch, and their moving averages; or none.

    Raises
    ------
    CheckpointError
        If the file cannot be used, or holds no training run.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self._header, self._groups = read(path)
        try:
            training = self._header["training"]
            self.state = training["state"]
            self._kind = optim.kind_of(training["optimizer"])
            self._layers = self._header["model"]["layers"]
            self._frozen = tuple(self._header["model"].get("frozen", ()))
        except (KeyError, TypeError, AttributeError, RecursionError):
            raise CheckpointError(f"{path} holds a model, but no training run to resume") from None
        self.best_arrays: Arrays = self._groups.get("best", {})
        self.averages: Arrays = self._groups.get("average", {})

    def check(self, model: Network, optimizer: optim.Optimizer) -> None:
        """Refuse what belongs to another model or optimizer, or is damaged; nothing is changed.

        Raises
        ------
        CheckpointError
            One sentence, which names the file.
        """
        path, frozen = self.path, self._frozen
        if self._layers != describe(model)["layers"]:
            raise CheckpointError(f"{path} belongs to a training run of a model with other layers")
        if frozen != model.frozen:
            raise CheckpointError(
                f"{path} belongs to a training run with frozen layers "
                f"{', '.join(map(str, frozen)) or 'none'}, not {', '.join(model.frozen) or 'none'}"
            )
        wanted = optim.kind_of(optimizer.spec())
        if self._kind != wanted:
            raise CheckpointError(
                f"{path} belongs to a training run with {self._kind}, not {wanted}"
            )
        own = {name: (array.shape, array.dtype) for name, array in model.named_arrays()}
        groups = {"best": self.best_arrays, "average": self.averages}
        for what, arrays in {"model": self._groups.get("model", {}), **groups}.items():
            if (arrays or what == "model") and own != {
                name: (array.shape, array.dtype) for name, array in arrays.items()
            }:
                raise CheckpointError(
                    f"{path} is damaged: the {what} arrays are not those of its model"
                )
        state = self._groups.get("optimizer", {})
        whole = (model.parameters.values.shape, model.dtype)
        for name, array in state.items():
            if name == "steps":
                fits = array.shape == () and array.dtype.kind in "iu" and array >= 0
            else:
                fits = (array.shape, array.dtype) == whole
            if not fits:
                raise CheckpointError(f"{path} is damaged: the optimizer's {name!r} is none")
        for group in self._groups.values():
            for name, array in group.items():
                if not np.isfinite(array).all():
                    raise CheckpointError(f"{path} is damaged: {name!r} is not finite")

    def load_into(self, model: Network, optimizer: optim.Optimizer) -> None:
        """Bring model and optimizer to where `save_training` was called, after `check`.

        Raises
        ------
        CheckpointError
            If it does not fit.
        """
        self.check(model, optimizer)
        try:
            optimizer.load_state_arrays(self._groups.get("optimizer", {}))
            model.load_arrays(self._groups.get("model", {}))
        except (ValueError, TypeError) as error:
            raise CheckpointError(f"{self.path} does not fit: {error}") from None


def record_of(saved: SavedTraining) -> Record:
    """What a checkpoint says about its run.

    Raises
    ------
    CheckpointError
        If that cannot be true; one sentence, which names the file.
    """
    try:
        return Record(saved.state)
    except RecordError as error:
        raise CheckpointError(f"{saved.path} is damaged: {error}") from None


def load_training(
    path: str | Path, model: Network, optimizer: optim.Optimizer
) -> tuple[dict[str, Any], Arrays]:
    """Bring model and optimizer to where `save_training` was called; returns (state, best_arrays).

    Raises
    ------
    CheckpointError
        If the file cannot be used, or is of another model or optimizer.
    """
    saved = SavedTraining(path)
    saved.load_into(model, optimizer)
    return saved.state, saved.best_arrays
