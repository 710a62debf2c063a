"""Checkpoints of a training run: the model's file, with the optimizer and the run's state in it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from .. import optim
from ..layers import from_spec
from ..network.checkpoint import Arrays, CheckpointError, describe, read, write
from ..network.network import Network
from .record import Record, RecordError


@dataclasses.dataclass(frozen=True)
class Standing:
    """Where a run stands: all arrays that its next step depends on, each by its name."""

    model: Arrays
    optimizer: Arrays
    averages: Arrays
    """Moving averages of the model's, where there are such."""

    @property
    def kept(self) -> Arrays:
        """What is measured and kept: the model's arrays, or their averages."""
        return self.averages or self.model

    def copied(self) -> Self:
        """The same in memory of its own."""
        return type(self)(*(
            {name: array.copy() for name, array in arrays.items()}
            for arrays in (self.model, self.optimizer, self.averages)
        ))  # fmt: skip

    def groups(self, prefix: str = "") -> dict[str, Arrays]:
        """Them as groups of a file."""
        return {
            f"{prefix}model": self.model,
            f"{prefix}optimizer": self.optimizer,
            f"{prefix}average": self.averages,
        }

    @classmethod
    def of(cls, groups: Mapping[str, Arrays], prefix: str = "") -> Self:
        """What `groups` gave."""
        return cls(
            *(groups.get(f"{prefix}{name}", {}) for name in ("model", "optimizer", "average"))
        )


_PART = "part-"  # of the names of groups: where a run stands within an epoch


def save_standing(
    path: str | Path,
    trained: tuple[Network, optim.Optimizer],
    state: dict[str, Any],
    best_arrays: Arrays,
    end: Standing,
    now: Standing | None = None,
) -> None:
    """Write all that the rest of a run depends on; `load_model` reads the model in it too.

    Parameters
    ----------
    trained : (Network, Optimizer)
    state : dict
        What the training loop wants back, as JSON can hold it.
    best_arrays : Arrays
        `model.copy_arrays()` of the best epoch; may be empty.
    end, now : Standing
        Where the run stood at the end of an epoch, and where within the next one it stands now.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    model, optimizer = trained
    header = {
        "model": describe(model),
        "training": {"optimizer": optimizer.spec(), "state": state},
    }
    within = {} if now is None else now.groups(_PART)
    write(path, header, {**end.groups(), "best": best_arrays, **within})


class SavedTraining:
    """What `save_standing` wrote, opened but not yet believed.

    Parameters
    ----------
    path : path
        The file.

    Attributes
    ----------
    state : any
        What the training loop has written, as JSON holds it.
    best_arrays : Arrays
        Parameters and states of the best epoch; or none.
    end : Standing
        Where the run stood at the end of its last finished epoch.

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
            self._graph = self._header["model"].get("graph")
            self._names = self._header["model"].get("output_names")
            self._frozen = tuple(self._header["model"].get("frozen", ()))
        except (KeyError, TypeError, AttributeError, RecursionError):
            raise CheckpointError(f"{path} holds a model, but no training run to resume") from None
        self.best_arrays: Arrays = self._groups.get("best", {})
        self.end = Standing.of(self._groups)
        self._now = Standing.of(self._groups, _PART)

    def check(self, model: Network, optimizer: optim.Optimizer) -> None:
        """Refuse what belongs to another model or optimizer, or is damaged; nothing is changed.

        Raises
        ------
        CheckpointError
            One sentence, which names the file.
        """
        path, frozen = self.path, self._frozen
        if _with_all_arguments(self._layers) != describe(model)["layers"]:
            raise CheckpointError(f"{path} belongs to a training run of a model with other layers")
        if self._graph != model.structure().get("graph"):
            raise CheckpointError(
                f"{path} belongs to a training run of a model with other connections of its layers"
            )
        if self._names != model.structure().get("output_names"):
            raise CheckpointError(
                f"{path} belongs to a training run of a model with other names of its outputs"
            )
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
        for what, arrays in {
            "model": self.end.model,
            "best": self.best_arrays,
            "average": self.end.averages,
            "unfinished": self._now.model,
            "unfinished average": self._now.averages,
        }.items():
            if (arrays or what == "model") and own != {
                name: (array.shape, array.dtype) for name, array in arrays.items()
            }:
                raise CheckpointError(
                    f"{path} is damaged: the {what} arrays are not those of its model"
                )
        whole = (model.parameters.values.shape, model.dtype)
        counts = (), (1 + len(model.parameters.slices),)  # of all, and with each array
        for name, array in (*self.end.optimizer.items(), *self._now.optimizer.items()):
            if name == "steps":
                fits = array.shape in counts and array.dtype.kind in "iu" and array.min() >= 0
            else:
                fits = (array.shape, array.dtype) == whole
            if not fits:
                raise CheckpointError(f"{path} is damaged: the optimizer's {name!r} is none")
        for group in self._groups.values():
            for name, array in group.items():
                if not np.isfinite(array).all():
                    raise CheckpointError(f"{path} is damaged: {name!r} is not finite")

    def standing(self, *, in_part: bool = False) -> Standing:
        """Where the run stands, or within an epoch stood.

        Raises
        ------
        CheckpointError
            If it was within none.
        """
        if not in_part:
            return self.end
        if not self._now.model or bool(self._now.averages) != bool(self.end.averages):
            raise CheckpointError(f"{self.path} is damaged: it lacks the arrays within an epoch")
        return self._now

    def load_into(
        self, model: Network, optimizer: optim.Optimizer, *, in_part: bool = False
    ) -> None:
        """Bring model and optimizer to where `save_standing` was called, after `check`.

        Parameters
        ----------
        in_part : bool
            Within an epoch, not at the end of the last one.

        Raises
        ------
        CheckpointError
            If it does not fit.
        """
        self.check(model, optimizer)
        standing = self.standing(in_part=in_part)
        try:
            optimizer.load_state_arrays(standing.optimizer)
            model.load_arrays(standing.model)
        except (ValueError, TypeError) as error:
            raise CheckpointError(f"{self.path} does not fit: {error}") from None


def _with_all_arguments(specs: Any) -> Any:
    """Descriptions of layers with the arguments that an older version did not have yet."""
    try:
        return [from_spec(spec).spec() for spec in specs]
    except (ValueError, TypeError):
        return specs


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
    """Bring model and optimizer to where `save_standing` was called; returns (state, best_arrays).

    Raises
    ------
    CheckpointError
        If the file cannot be used, or is of another model or optimizer.
    """
    saved = SavedTraining(path)
    saved.load_into(model, optimizer)
    return saved.state, saved.best_arrays
