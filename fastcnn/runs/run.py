"""One training run from settings to a folder of results: what `python -m fastcnn.train` does.

`Run.prepare` finds every reason why a run cannot start; `Run.train` then trains and writes

    result.json       the numbers of the best epoch, times, memory
    history.csv       a row per epoch
    gradients.csv     where gradients are tracked: the norm of each, a row per epoch
    config.toml       every setting, usable as --config
    best.npz          the model (best validated epoch; without validation, the last)
    last.npz          checkpoint that --resume continues from
    curves.png        loss and accuracy over the epochs
    predictions.png   ten random test images

Each file appears only once it is complete.
"""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels import compiling, jit
from kernels.images import batch as batch_kernels

from .. import backends, training
from ..config import Config, ConfigError, check, replace, to_toml
from ..config.recipe import (
    begin,
    load_data,
    make_model,
    make_optimizer,
    make_schedule,
    resolved,
)
from ..files import make_folder, place, write_text
from ..losses import CrossEntropyLoss
from ..sequential import Sequential
from ..training import TrainingDiverged
from ..training.checkpoint import load_training
from ..training.history import History
from ..training.progress import ConsoleProgress, Progress
from . import results
from .folder import CHECKPOINT, holds_search

_MEASURED = 256  # images that Sequential.evaluate takes at a time


class Run:
    """One run.

    Parameters
    ----------
    config : Config
        Every setting.
    out : path, optional
        Folder for the results, made if missing; default: runs/MODEL-DATASET.
    resume : bool
        Continue from the checkpoint in ``out``.
    quiet : bool
        Print nothing.
    progress : Progress, optional
        Is told what happens during training; default: printed, unless ``quiet``.
    pictures : bool
        Draw curves.png and predictions.png, which takes a second.

    Examples
    --------
    >>> from fastcnn.config import Config, replace
    >>> run = Run(replace(Config(), {"dataset": "digits", "epochs": 1}), "runs/digits")
    >>> run.prepare(); result = run.train()  # doctest: +SKIP
    """

    def __init__(
        self,
        config: Config,
        out: str | Path | None = None,
        *,
        resume: bool = False,
        quiet: bool = False,
        progress: Progress | None = None,
        pictures: bool = True,
    ) -> None:
        self.config = config
        self.out = place(out) if out is not None else Path()
        self._name_folder = out is None  # once the dataset's name is known
        self._resume = resume
        self._quiet = quiet
        self.resumed = History()  # epochs that an earlier process has finished
        self._progress = progress
        self._pictures = pictures

    def _say(self, line: str) -> None:
        if not self._quiet:
            print(line, flush=True)

    # --- before training ----------------------------------------------------------------------

    def prepare(self) -> None:
        """Check the settings and the folder, load the data, build the network, compile.

        Raises
        ------
        ValueError
            Any reason why the run cannot start, in one sentence.
        """
        check(self.config)
        self.config = resolved(self.config)
        backends.set_backend(self.config.machine.backend)
        if self.config.machine.threads is not None:
            jit.set_threads(self.config.machine.threads)
        if not self._name_folder:  # better refused before data is downloaded than after
            self._prepare_folder()
        self._load_data()
        if self._name_folder:
            self.out = Path("runs") / f"{self.config.model.model}-{self.data.title}"
            self._prepare_folder()
        started = time.perf_counter()
        with compiling.announced("never" if self._quiet else "always"):
            self.model = self._build()
            if self._resume:  # a checkpoint that cannot be used is better refused now
                optimizer = make_optimizer(self.config)
                state, _ = load_training(self.out / CHECKPOINT, self.model, optimizer)
                self.resumed = History(state["history"])
                self._say(f"resuming after epoch {self.resumed.epochs}")
            else:
                self._begin()
            self._warm_up()
        self._seconds_compile = time.perf_counter() - started
        write_text(self.out / "config.toml", to_toml(self.config))
        # An earlier run's result would be taken for ours if we do not come to an end.
        for name in ("result.json", "gradients.csv"):
            (self.out / name).unlink(missing_ok=True)

    def _prepare_folder(self) -> None:
        """Find out now whether the results can be written, not after hours of training."""
        if self._resume and not (self.out / CHECKPOINT).is_file():
            raise ConfigError(f"there is no run to resume in {self.out}: it has no {CHECKPOINT}")
        if holds_search(self.out):
            raise ConfigError(f"{self.out} is the folder of a search: give the run another one")
        if (self.out / "result.json").is_file() and not self._resume:
            self._say(f"note: the finished run in {self.out} is replaced")
        make_folder(self.out)

    def _load_data(self) -> None:
        options = self.config.data
        started = time.perf_counter()
        data = load_data(self.config)
        self._seconds_load = time.perf_counter() - started
        self._say(f"dataset {data.title} loaded in {self._seconds_load:.2f} s: {data.source}")
        for part, x, y in (
            ("train", data.x_train, data.y_train),
            ("test", data.x_test, data.y_test),
        ):
            self._say(f"  {part:5} images {_shape(x)}, labels {_shape(y)}")
        limited = data.limit(options.limit_train, options.limit_test)
        for part, whole, limit in (
            ("train", data.x_train, limited.x_train),
            ("test", data.x_test, limited.x_test),
        ):
            if len(limit) != len(whole):
                self._say(f"  {part:5} images before limit {len(whole):,}, after {len(limit):,}")
        self.data = limited
        if data.x_val is not None:
            self._say(f"  val   images {_shape(data.x_val)}, validated on")
        elif options.validation:
            rows, held_out = training.split(
                len(limited.x_train), options.validation, self.config.training.seed
            )
            self._say(f"  train images trained on {len(rows):,}, validated on {len(held_out):,}")
        for note in data.notes:
            self._say(f"note: {note}")
        self.config = replace(self.config, {"dataset": data.name})

    @property
    def _held_out(self) -> float:
        """Share of the training images that validation takes."""
        return self.config.data.validation if self.data.x_val is None else 0.0

    @property
    def _validation(self) -> Any:
        """What is validated on: images and labels, a share of those for training, or None."""
        if self.data.x_val is not None:
            return self.data.x_val, self.data.y_val
        return self._held_out or None

    def _build(self) -> Sequential:
        """The network, for this dataset's images and classes."""
        shape, classes = self.data.x_train.shape[1:], len(self.data.class_names)
        model = make_model(self.config, shape, classes)
        model.normalization = self._normalization()
        model.class_names = self.data.class_names
        model.freeze(self.config.transfer.freeze or 0)
        return model

    def _begin(self) -> None:
        """Start from another model where the settings say so."""
        path = self.config.transfer.init_from
        if path is not None:  # config.toml may be used from another folder
            self.config = replace(self.config, {"init_from": str(place(path).resolve())})
        said = begin(self.model, self.config, self.data.class_names)
        if said:
            self._say(said)
        elif self.model.frozen:
            self._say("note: frozen layers keep their random weights; init_from loads learned ones")

    def _normalization(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(scale, offset) per channel: the network is given pixel * scale + offset."""
        images = self.data.x_train
        channels = images.shape[1]
        kind = self.config.data.normalization
        if kind != "standardize":
            scale = 1 / 256 if kind == "scale256" else 1 / 255
            return np.full(channels, scale, np.float32), np.zeros(channels, np.float32)
        if self._held_out:  # images held out must not take part
            seed = self.config.training.seed
            images = images[training.split(len(images), self._held_out, seed)[0]]
        mean, deviation = batch_kernels.channel_moments(images)
        scale = 1 / (deviation + 1e-8)
        return (scale / 255).astype(np.float32), (-mean * scale).astype(np.float32)

    def _training_arguments(self) -> dict[str, Any]:
        """Arguments of `Sequential.train` that do not depend on data; new objects each time."""
        config = self.config.training
        return {
            "loss": CrossEntropyLoss(config.loss_reduction, config.label_smoothing),
            "optimizer": make_optimizer(self.config),
            "schedule": make_schedule(self.config),
            "batch_size": config.batch_size,
            "clip_norm": config.clip_norm,
            "clip_mode": config.clip_mode,
            "clip_arrays": config.clip_arrays,
            "augment": self.config.augment or None,
            "shuffle": config.shuffle,
            "seed": config.seed,
            "track_gradients": config.track_gradients,
            "precise_bn": config.precise_bn,
        }

    def _warm_up(self) -> None:
        """Train a copy of the network for two steps, so that every kernel is compiled.

        The run itself is then not slowed by compilation, and its numbers are not touched:
        random numbers are keyed, not drawn from a common stream.
        """
        compiles = self.config.machine.backend == "numba"
        # Kernels may be compiled for a size of batch: a whole and a last batch of training,
        # and those of measuring. The other backends know no such thing, and are slow.
        batch_size = self.config.training.batch_size if compiles else 1
        rows = batch_size + self._images_trained() % batch_size
        x, y = self.data.x_train[:rows], self.data.y_train[:rows]
        measured = _MEASURED + len(self.data.x_test) % _MEASURED if compiles else 1
        test = self.data.x_test[:measured], self.data.y_test[:measured]
        with contextlib.suppress(TrainingDiverged):  # of interest only in the run itself
            self._build().train(x, y, test=test, epochs=1, **self._training_arguments())

    def _images_trained(self) -> int:
        """Training images without those held out for validation."""
        count = len(self.data.x_train)
        return count - round(count * self._held_out)

    # --- training -----------------------------------------------------------------------------

    def train(self, should_stop: Callable[[], bool] | None = None) -> dict[str, Any]:
        """Train and write the results.

        Parameters
        ----------
        should_stop : function, optional
            Asked after each batch; True ends the run as if the last epoch were its last.

        Returns
        -------
        dict
            What result.json holds.

        Raises
        ------
        TrainingDiverged
            After the results of the finished epochs are written.
        """
        config = self.config
        count, trained = self.model.parameters.count, self.model.parameters.trained_count
        frozen = f" ({count - trained:,} of them frozen)" if trained < count else ""
        self._say(
            f"training {config.model.model}, {count:,} parameters{frozen}, "
            f"on {self._images_trained():,} images"
        )
        path = self.out / CHECKPOINT
        diverged = None
        try:
            history = self.model.train(
                self.data.x_train,
                self.data.y_train,
                test=(self.data.x_test, self.data.y_test),
                epochs=config.training.epochs,
                validation=self._validation,
                patience=config.training.patience,
                monitor=config.training.monitor,
                min_gain=config.training.min_gain,
                stop_gain=config.training.stop_gain,
                stop_gain_epochs=config.training.stop_gain_epochs,
                restore_best=self._validation is not None,
                progress=self._progress or (Progress() if self._quiet else ConsoleProgress()),
                should_stop=should_stop,
                checkpoint_path=path,
                resume_from=path if self._resume else None,
                **self._training_arguments(),
            )
        except TrainingDiverged as error:
            diverged, history = error, error.history
        result = self._result(history)
        best = None if self._validation is None else history.best_epoch
        results.write(
            self.out, self.model, self.data, history, result, best, pictures=self._pictures
        )
        self._summarise(history, result)
        if diverged is not None:
            raise diverged
        return result

    def _result(self, history: History) -> dict[str, Any]:
        best = history.row(history.best_epoch - 1) if history.best_epoch else {}
        total = sum(history.get("seconds", ()))
        trained = sum(history.get("seconds_training", ()))
        images = history.epochs * self._images_trained()
        return {
            "dataset": self.config.data.dataset,
            "model": self.config.model.model,
            "backend": self.config.machine.backend,
            "threads": jit.get_threads(),
            "seed": self.config.training.seed,
            "epochs_run": history.epochs,
            "best_epoch": history.best_epoch,
            "train_loss": best.get("loss"),
            "train_accuracy": best.get("accuracy"),
            "test_loss": best.get("test_loss"),
            "test_accuracy": best.get("test_accuracy"),
            "seconds_load": self._seconds_load,
            "seconds_compile": self._seconds_compile,
            "seconds_total": total,
            "seconds_per_epoch": total / history.epochs if history.epochs else None,
            "images_per_second": images / trained if trained else None,
            "peak_memory_mb": results.peak_memory_mb(),
            "stopped_because": history.stopped_because,
        }

    def _summarise(self, history: History, result: dict[str, Any]) -> None:
        if not history.epochs:
            return
        epochs = "1 epoch" if history.epochs == 1 else f"{history.epochs} epochs"
        self._say(
            f"{history.stopped_because}: {epochs} in "
            f"{result['seconds_total']:.2f} s, {result['seconds_per_epoch']:.2f} s per epoch, "
            f"{result['images_per_second']:,.0f} images/s"
        )
        self._say(
            f"best epoch {history.best_epoch}: test loss {result['test_loss']:.4f}, "
            f"test accuracy {result['test_accuracy']:.2%}"
        )
        self._say(f"results in {self.out}")


def _shape(array: NDArray[Any]) -> str:
    return f"{array.shape} {array.dtype}"
