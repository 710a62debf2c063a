"""What a training run is told, in groups, each of which checks itself as it is made."""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .. import optim, schedules
from ..checks import unknown
from ..losses import CrossEntropyLoss
from .augment import Augment
from .history import Best, Pace
from .progress import Progress

Arrays = tuple[NDArray[Any], NDArray[Any]]

_CLIP_MODES = ("global", "array", "value")
_USUAL_ARRAYS = ("weight", "bias", "gamma", "beta")
_EXAMPLES = {
    "loss": "CrossEntropyLoss()",
    "optimizer": "SGD(0.01)",
    "schedule": "schedules.CosineAnnealing()",
    "augment": "Augment(flip=True)",
}


@dataclasses.dataclass(frozen=True)
class Clipping:
    """How long a gradient may be."""

    norm: float | None = None
    mode: str = "global"
    """All as one vector, or each "array" by itself, or every single number ("value")."""
    arrays: tuple[str, ...] | None = None
    """Names of those that are clipped, such as "weight" or "0.bias"; None: all."""

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        if self.norm is not None and not self.norm > 0:
            raise ValueError(f"clip_norm must be above 0, got {self.norm!r}")
        if self.mode not in _CLIP_MODES:
            raise ValueError(
                f"clip_mode must be one of {', '.join(_CLIP_MODES)}, got {self.mode!r}"
            )

    def check_arrays(self, known: tuple[str, ...]) -> None:
        """Refuse the name of an array that no layer has."""
        for name in self.arrays or ():
            if name not in _USUAL_ARRAYS and not any(is_named(array, name) for array in known):
                raise ValueError(unknown("parameter array", name, (*_USUAL_ARRAYS, *known)))

    def includes(self, array: str) -> bool:
        """Whether the gradient of an array, such as "0.bias", is clipped."""
        return self.arrays is None or any(is_named(array, name) for name in self.arrays)


def is_named(array: str, name: str) -> bool:
    """Whether an array, such as "0.bias", is meant by a name, such as "bias" or "0.bias"."""
    return array == name or array.endswith(f".{name}")


@dataclasses.dataclass(frozen=True)
class Method:
    """How a batch becomes a step."""

    loss: CrossEntropyLoss
    optimizer: optim.Optimizer
    schedule: schedules.Schedule
    clipping: Clipping

    @classmethod
    def of(
        cls,
        loss: CrossEntropyLoss | None = None,
        optimizer: optim.Optimizer | str | None = None,
        schedule: schedules.Schedule | str | None = None,
        clipping: Clipping | None = None,
    ) -> Self:
        """The method with these parts, some of them by name; None: the usual ones."""
        if isinstance(schedule, str):
            schedule = schedules.from_name(schedule)
        if isinstance(optimizer, str):
            optimizer = optim.from_name(optimizer)
        return cls(
            CrossEntropyLoss() if loss is None else loss,
            optim.SGD() if optimizer is None else optimizer,
            schedules.Constant() if schedule is None else schedule,
            clipping or Clipping(),
        )

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        _check_kind("loss", self.loss, CrossEntropyLoss)
        _check_kind("optimizer", self.optimizer, optim.Optimizer)
        _check_kind("schedule", self.schedule, schedules.Schedule)


@dataclasses.dataclass(frozen=True)
class Passes:
    """How the training data is gone through."""

    epochs: int = 10
    batch_size: int = 32
    shuffle: bool = True
    augment: Augment | None = None
    seed: int | None = None
    """Key of shuffling, splitting and augmentation; None: the model's."""
    drop_last: bool = False
    """Leave out the last batch of an epoch where it is smaller than the others."""

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        _check_whole("epochs", self.epochs)
        _check_whole("batch_size", self.batch_size)
        if self.augment is not None:
            _check_kind("augment", self.augment, Augment)


@dataclasses.dataclass(frozen=True)
class Measuring:
    """What is measured after each epoch."""

    validation: Arrays | float | None = None
    """Data that chooses the best epoch, or the share of the training data to hold out for it."""
    test: Arrays | None = None
    """Data that is used for nothing else."""
    precise_bn: int = 0
    """Training batches over which BatchNorm's statistics are measured before."""
    track_gradients: bool = False

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        _check_whole("precise_bn", self.precise_bn, least=0)
        _check_pair("test", self.test)
        if not isinstance(self.validation, (int, float)):
            _check_pair("validation", self.validation)


@dataclasses.dataclass(frozen=True)
class Stopping:
    """Which epoch is best, and when training has gone on for long enough."""

    monitor: str = "val_loss"
    patience: int | None = None
    min_gain: float = 0.0
    stop_gain: float | None = None
    stop_gain_epochs: int = 3
    restore_best: bool | None = None

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        if self.patience is not None:
            _check_whole("patience", self.patience)
        _check_whole("stop_gain_epochs", self.stop_gain_epochs)
        self.best()
        self.pace(is_validated=True)

    @property
    def keeps_best(self) -> bool:
        """Whether training ends with the parameters of the best epoch, not of the last."""
        return self.patience is not None if self.restore_best is None else self.restore_best

    @property
    def needs_validation(self) -> bool:
        """Whether it asks for an epoch that is better on the validation data."""
        return self.patience is not None or bool(self.restore_best)

    def best(self) -> Best:
        """The judge of which epoch is best."""
        return Best(self.monitor, self.min_gain)

    def pace(self, is_validated: bool) -> Pace | None:
        """The judge of how steep the curve is; None if nobody asks."""
        if self.stop_gain is None:
            return None
        watched = self.monitor if is_validated else "accuracy"
        return Pace(watched, self.stop_gain, self.stop_gain_epochs)


def _never() -> bool:
    return False


@dataclasses.dataclass(frozen=True)
class Watching:
    """Who is told what happens, and who may end it between two batches."""

    progress: Progress = dataclasses.field(default_factory=Progress)
    should_stop: Callable[[], bool] = _never


@dataclasses.dataclass(frozen=True)
class Keeping:
    """The checkpoint that is written after each epoch, and the one to go on from."""

    path: Path | None = None
    resume_from: Path | None = None
    allow: Collection[str] = ()
    """Settings that may be others than those of the run that is resumed."""
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What else the checkpoint shall hold, as JSON can."""

    def keep(self, epochs: int, write: Callable[[Path], None]) -> None:
        """Have the checkpoint written, after so many epochs."""
        if self.path is not None:
            write(self.path)


def _check_kind(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise ValueError(
            f"{name} must be a fastcnn {kind.__name__} object, such as {_EXAMPLES[name]}, "
            f"got {value!r}"
        )


def _check_pair(name: str, value: object) -> None:
    if value is not None and not (isinstance(value, (tuple, list)) and len(value) == 2):
        raise ValueError(f"{name} must be a pair (x, y) of images and labels")


def _check_whole(name: str, value: object, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        words = "above 0" if least else "of at least 0"
        raise ValueError(f"{name} must be a whole number {words}, got {value!r}")
