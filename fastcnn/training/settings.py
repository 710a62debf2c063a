"""What a training run is told, in groups, each of which checks itself as it is made."""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .. import optim, schedules
from ..checks import at_least_0, flag, is_number, is_whole, number
from ..files import make_folder
from ..losses import CrossEntropyLoss, chosen
from ..network import weighting
from ..network.measures import MEASURES, Metric
from ..network.network import Network
from .augment import Augment
from .budget import Budget
from .clipping import Clipping
from .history import Best, History, Pace
from .parallel import Alone
from .progress import Progress

Arrays = tuple[NDArray[Any], ...]
"""Samples and targets, and perhaps a weight for each."""

_EXAMPLES = {
    "optimizer": "SGD(0.01)",
    "schedule": "schedules.CosineAnnealing()",
    "augment": "Augment(flip=True)",
    "parallel": "training.parallel.MPI()",
}


@dataclasses.dataclass(frozen=True)
class Method:
    """How a batch becomes a step."""

    loss: Any
    """Any with `forward` and `backward`, see `fastcnn.losses.chosen`."""
    optimizer: optim.Optimizer
    schedule: schedules.Schedule
    clipping: Clipping
    ema: float | None = None
    """Decay of the moving average of the weights, which is then measured and kept; None: none."""

    @classmethod
    def of(
        cls,
        loss: Any = None,
        optimizer: optim.Optimizer | str | None = None,
        schedule: schedules.Schedule | str | None = None,
        clipping: Clipping | None = None,
        ema: float | None = None,
        loss_weights: Any = None,
    ) -> Self:
        """The method with these parts, some of them by name; None: the usual ones."""
        if isinstance(schedule, str):
            schedule = schedules.from_name(schedule)
        if isinstance(optimizer, str):
            optimizer = optim.from_name(optimizer)
        return cls(
            chosen.checked(CrossEntropyLoss() if loss is None else loss, loss_weights),
            optim.SGD() if optimizer is None else optimizer,
            schedules.Constant() if schedule is None else schedule,
            clipping or Clipping(),
            ema,
        )

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        chosen.checked(self.loss)
        if self.ema is not None:
            number("training", "ema", self.ema, 0, 1, "a number of at least 0 and below 1")
        _check_kind("optimizer", self.optimizer, optim.Optimizer)
        _check_kind("schedule", self.schedule, schedules.Schedule)


@dataclasses.dataclass(frozen=True)
class Weighting:
    """How much each sample counts in training."""

    samples: Any = None
    """A number for each sample."""
    classes: weighting.Classes = None
    """A number for each class, or "balanced"."""

    def of(
        self, model: Network, y: NDArray[Any], samples: NDArray[np.float64] | None,
        rows: NDArray[np.int64], outputs: tuple[int, ...],
    ) -> NDArray[np.float64] | None:  # fmt: skip
        """Weights of all samples whose mean is 1 over the rows that are trained on."""
        if samples is None and self.classes is None:
            return None
        trained = weighting.together(
            "training", model.task, None if samples is None else samples[rows], self.classes,
            y[rows], outputs, model.class_names,
        )  # fmt: skip
        assert trained is not None
        weights = np.zeros(len(y))
        weights[rows] = trained / trained.mean()
        return weights


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
    budget: Budget | None = None
    """How long training may take; then `epochs` counts for nothing."""
    parallel: Alone = dataclasses.field(default_factory=Alone)
    """Who else computes a part of each batch."""

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        _check_whole("epochs", self.epochs)
        _check_whole("batch_size", self.batch_size)
        flag("training", "shuffle", self.shuffle)
        flag("training", "drop_last", self.drop_last)
        if self.augment is not None:
            _check_kind("augment", self.augment, Augment)
        _check_kind("parallel", self.parallel, Alone)

    @property
    def each_batch(self) -> Augment | None:
        """What changes every batch anew."""
        augment = self.augment
        if augment is None or not augment.append:
            return augment
        return Augment(mixup=augment.mixup, cutmix=augment.cutmix)


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
    metrics: Mapping[str, Metric] = dataclasses.field(default_factory=dict)
    """What else is measured on validation and test data: name -> function(targets, outputs)."""

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        _check_whole("precise_bn", self.precise_bn, least=0)
        flag("training", "track_gradients", self.track_gradients)
        _check_part("test", self.test)
        if is_number(self.validation):
            object.__setattr__(self, "validation", float(self.validation))  # one of NumPy's, too
        else:
            _check_part("validation", self.validation, "a share between 0 and 1, or ")
        _check_metrics(self.metrics)


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
        if self.restore_best is not None:
            flag("training", "restore_best", self.restore_best)
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

    def pace(self, is_validated: bool, otherwise: str = "accuracy") -> Pace | None:
        """The judge of how steep the curve is; None if nobody asks."""
        if self.stop_gain is None:
            return None
        watched = self.monitor if is_validated else otherwise
        return Pace(watched, self.stop_gain, self.stop_gain_epochs)


def never() -> bool:
    """Nothing is wanted."""
    return False


@dataclasses.dataclass(frozen=True)
class Watching:
    """Who is told what happens, and who may end it between two batches."""

    progress: Progress = dataclasses.field(default_factory=Progress)
    should_stop: Callable[[], bool] = never
    should_save: Callable[[], bool] = never
    """Asked after each batch too: whether the checkpoint is wanted now."""
    callbacks: Sequence[Callable[[Network, History], Any]] = ()
    """Called after each epoch; one that says True ends training."""


@dataclasses.dataclass(frozen=True)
class Keeping:
    """The checkpoint that is written after each epoch and within one, and the one to go on from."""

    path: Path | None = None
    resume_from: Path | None = None
    allow: Collection[str] = ()
    """Settings that may be others than those of the run that is resumed."""
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What else the checkpoint shall hold, as JSON can."""
    minutes: float | None = None
    """After which it is written again, in the middle of an epoch too."""
    whole_epochs: bool = False
    """Go on from the end of the last finished epoch, whatever there is of the next."""

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        if self.minutes is not None:
            at_least_0("training", "save_minutes", self.minutes)

    @property
    def is_wanted(self) -> bool:
        """Whether a checkpoint is written at all."""
        return self.path is not None

    @property
    def checkpoint(self) -> Path | None:
        """The one that was written last."""
        return self.path

    @property
    def resuming(self) -> str:
        """The options that go on with the run, where a command's can."""
        return ""

    def keep(self, epochs: int, write: Callable[[Path], None], *, is_own: bool) -> bool:
        """Have the checkpoint written after so many epochs.

        Before the first it is written over no other.

        Parameters
        ----------
        epochs : int
        write : function
            Writes it to the path that it is given.
        is_own : bool
            Whether what is there is an earlier one of this run.

        Returns
        -------
        bool
            Whether it was.
        """
        if self.path is None:
            return False
        if epochs or is_own or not self.path.is_file():
            write(self.path)
            return True
        make_folder(self.path.parent)  # better refused now than after an epoch
        return False


def _check_kind(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise ValueError(
            f"{name} must be a fastcnn {kind.__name__} object, such as {_EXAMPLES[name]}, "
            f"got {value!r}"
        )


def _check_part(name: str, value: object, else_: str = "") -> None:
    if value is None:
        return
    if not isinstance(value, (tuple, list)) or len(value) not in (2, 3):
        raise ValueError(
            f"{name} must be {else_}a pair (x, y) of images and labels, or (x, y, sample_weight)"
        )
    if value[-1] is None:
        raise ValueError(f"{name}: the last of its {len(value)} is None: leave it out")


def _check_metrics(metrics: object) -> None:
    wanted = "metrics must be a dict of name -> function(targets, outputs)"
    if not isinstance(metrics, Mapping):
        raise ValueError(f"{wanted}, got {metrics!r}")
    for name, function in metrics.items():
        if not isinstance(name, str) or not name.isidentifier() or not callable(function):
            raise ValueError(f"{wanted}, got {name!r}: {function!r}")
        if name == "loss" or any(name in names for names in MEASURES.values()):
            raise ValueError(f"metrics: {name!r} is measured already; give another name")


def _check_whole(name: str, value: object, least: int = 1) -> None:
    if not is_whole(value) or value < least:
        words = "above 0" if least else "of at least 0"
        raise ValueError(f"{name} must be a whole number {words}, got {value!r}")
