"""One training run from settings to a folder of results: what `python -m fastcnn.train` does.

`Run.prepare` finds every reason why a run cannot start; `Run.train` then trains and writes

    result.json       the numbers of the best epoch, times, memory
    history.csv       a row per epoch
    gradients.csv     where gradients are tracked: the norm of each, a row per epoch
    config.toml       every setting, usable as --config
    best.npz          the model (best validated epoch; without validation, the last)
    last.npz          checkpoint that --resume continues from; last-1.npz, ... those before
    curves.png        loss and accuracy, or what the task measures, over the epochs
    predictions.png   ten random test images

Each file appears only once it is complete.
"""

import math
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from kernels import compiling, jit

from .. import backends, training
from ..config import Config, ConfigError, check, replace, to_toml
from ..config.recipe import (
    begin,
    make_measuring,
    make_method,
    make_model,
    make_normalization,
    make_optimizer,
    make_passes,
    make_stopping,
    make_weighting,
    resolved,
)
from ..datasets import is_path
from ..files import place
from ..sequential import Sequential
from ..terminal import one_line, say
from ..training import TrainingDiverged
from ..training.budget import Budget
from ..training.checkpoint import load_training
from ..training.history import History
from ..training.parallel import Alone
from ..training.progress import ConsoleProgress, Progress, QuietProgress
from ..training.settings import Watching, never
from . import images, results
from .folder import EARLIER, InFolder, RunFolder, free_folder, newest
from .going_on import absolute, check_same, noted, stand
from .rehearsal import rehearse
from .same_images import described

_SECONDS_PICTURES = 2.0  # for drawing, and for the end of Python

RUNS = Path("runs")
"""Where runs are kept whose folder nobody has named."""


class Run:
    """One run.

    Parameters
    ----------
    config : Config
        Every setting.
    out : path, optional
        Folder for the results, made if missing; default: runs/MODEL-DATASET, or the first of
        runs/MODEL-DATASET-2, -3, ... in which there is no run. To resume: the newest of these.
    resume : bool
        Continue from the checkpoint in ``out``.
    replace : bool
        Whether a run in ``out`` may be replaced; it stays whole until this one has finished an
        epoch.
    allow : collection of str
        Settings in which a resumed run may differ from what it was.
    quiet : bool
        Print nothing but notes, to standard error; with ``progress`` that is told them.
    progress : Progress, optional
        Is told what happens during training; default: printed, unless ``quiet``.
    pictures : bool
        Draw curves.png and predictions.png, which takes a second.
    save_minutes : float, optional
        Write the checkpoint once it is so old, in the middle of an epoch too; None: only after
        each epoch, and at an interruption.
    keep : int
        How many checkpoints are kept, 1 to 100; one that is damaged is answered with the one
        before.
    parallel : Alone, optional
        Who else computes a part of each batch; the first process alone prints and writes.
    started : float, optional
        When the minutes of the settings began, by `time.monotonic`; default: now.

    Raises
    ------
    ConfigError
        If an argument is out of range, or ``replace`` has no folder to replace.

    Examples
    --------
    >>> from fastcnn.config.presets import configure
    >>> config = configure({"dataset": "digits", "limit_train": 100, "epochs": 1})
    >>> run = Run(config, "runs/digits", quiet=True, pictures=False)
    >>> run.prepare()
    >>> result = run.train()
    >>> run.history.epochs, run.out.name
    (1, 'digits')
    """

    def __init__(
        self,
        config: Config,
        out: str | Path | None = None,
        *,
        resume: bool = False,
        replace: bool = False,
        allow: Collection[str] = (),
        quiet: bool = False,
        progress: Progress | None = None,
        pictures: bool = True,
        save_minutes: float | None = 5.0,
        keep: int = 2,
        parallel: Alone | None = None,
        started: float | None = None,
    ) -> None:
        if replace and (resume or out is None):
            raise ConfigError("replace needs the folder of a run that is not resumed: give out")
        if not 1 <= keep <= 1 + len(EARLIER):
            raise ConfigError(f"keep must be from 1 to {1 + len(EARLIER)} checkpoints, got {keep}")
        if save_minutes is not None and not 0 <= save_minutes < math.inf:
            raise ConfigError(f"save_minutes must be at least 0 and finite, got {save_minutes}")
        self.config = config
        self.out = place(out) if out is not None else Path()
        self._name_folder = out is None  # once the dataset's name is known
        self._resume = resume
        self._replace = replace
        self._allow = allow
        self._parallel = parallel or Alone()
        self._quiet = quiet or not self._parallel.is_first
        self._folder: RunFolder | None = None
        self.resumed = History()  # epochs that an earlier process has finished
        self.history = History()  # of the run, once it has been trained
        self._changed: Collection[str] = ()  # settings of a resumed run
        self._save_minutes, self._keep = save_minutes, keep
        silent = QuietProgress() if self._parallel.is_first else Progress()
        self._progress = progress or (silent if self._quiet else ConsoleProgress())
        self._pictures = pictures
        self._started = time.monotonic() if started is None else started

    def _say(self, line: str) -> None:
        if not self._quiet:
            compiling.watcher.stop()  # its line would be in front of ours
            say(one_line(line))

    def _note(self, note: str) -> None:
        """Say what a person should know, quiet or not."""
        if self._quiet:
            self._progress.on_note(one_line(note))
        else:
            self._say(f"note: {note}")

    # --- before training ----------------------------------------------------------------------

    def prepare(self) -> None:
        """Check the settings and the folder, load the data, build the network, compile.

        Raises
        ------
        ValueError
            Any reason why the run cannot start, in one sentence.
        """
        check(self.config)
        self.config = absolute(resolved(self.config))
        backends.set_backend(self.config.machine.backend)
        threads = self.config.machine.threads
        if threads is not None or self._parallel.processes > 1:
            jit.set_threads(self._parallel.threads if threads is None else threads)
        try:
            self._prepare()
        except BaseException:
            self._release()
            raise

    def _prepare(self) -> None:
        with self._parallel.only_first() as is_first:  # better refused before data is downloaded
            if is_first and not self._name_folder:
                self._folder = RunFolder(
                    self.out, resume=self._resume, replace=self._replace, keep=self._keep
                )
        self.data, self._seconds_load = self._parallel.once(
            lambda: images.loaded(self.config, self._say, self._note)
        )
        self.config = replace(self.config, {"dataset": self.data.name})
        with self._parallel.only_first() as is_first:
            if is_first and self._name_folder:
                self._folder = self._default_folder()
        folder = self._folder
        found = (folder.path, folder.start, folder.notes) if folder else None
        self.out, self._start, notes = self._parallel.said(found)
        if self._resume:
            self.resumed, self._changed = check_same(self.out, self.config, self._allow)
        started = time.perf_counter()
        with compiling.announced("never" if self._quiet else "always"), self._parallel.in_turn():
            self.model = self._build()
            if self._resume:  # a checkpoint that cannot be used is better refused now
                load_training(self._start, self.model, make_optimizer(self.config))
                for note in notes:
                    self._note(note)
                batches = 0 if self._changed else self.resumed.batches
                self._say(f"resuming the run after {stand(self.resumed.epochs, batches)}")
            else:
                self._begin()
            self._rehearse()
        self._seconds_compile = time.perf_counter() - started

    def _default_folder(self) -> RunFolder:
        """The folder whose name is made of the run's; a finished run is left alone."""
        name = f"{self.config.model.model}-{self.data.title}"
        if not self._resume:
            return free_folder(RUNS / name, self._keep)
        found = newest(RUNS, self.config.model.model, self.data.title)
        return RunFolder(found or RUNS / name, resume=True, keep=self._keep)

    @property
    def is_kept(self) -> bool:
        """Whether the folder's files are still those of an earlier run."""
        return self._folder is not None and not self._folder.is_ours

    def _release(self) -> None:
        if self._folder is not None:
            self._folder.release()

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
        """The network, for this dataset's images and what is learned of them."""
        model = make_model(self.config, self.data.x_train.shape[1:], self.data.outputs)
        model.normalization = make_normalization(self.config, self.data.x_train, self._held_out)
        model.class_names = self.data.class_names or None
        model.freeze(self.config.transfer.freeze or 0)
        return model

    def _begin(self) -> None:
        """Start from another model where the settings say so."""
        said = begin(self.model, self.config, self.data.class_names, self.data.outputs)
        if said:
            self._say(said)
        elif self.model.frozen:
            self._note("frozen layers keep their random weights; init_from loads learned ones")

    def _rehearse(self) -> None:
        """Train a copy of the network for two steps; one that a file's numbers spoil is refused."""
        model, source = self._build(), None if self._resume else self.config.transfer.init_from
        if source is not None:
            begin(model, self.config, self.data.class_names, self.data.outputs)
        try:
            rehearse(model, self.config, self.data, self._images_trained())
        except TrainingDiverged as error:  # later, it is of interest only in the run itself
            if source is not None and not error.steps:
                raise ConfigError(
                    f"the network in {source} cannot be trained: {error.what} before any step"
                ) from None

    def _images_trained(self) -> int:
        """Training images of an epoch: without those held out, or dropped with the last batch."""
        count, config = len(self.data.x_train), self.config
        count = (count - round(count * self._held_out)) * (1 + config.augment.append)
        return count - (count % config.training.batch_size if config.training.drop_last else 0)

    def _images_per_epoch(self, history: History) -> float:
        """Those, or with a budget of time, where epochs differ, their mean."""
        steps, size = sum(history.get("steps", ())), self.config.training.batch_size
        return steps * size / history.epochs if steps else self._images_trained()

    # --- training -----------------------------------------------------------------------------

    def train(
        self,
        should_stop: Callable[[], bool] | None = None,
        should_save: Callable[[], bool] | None = None,
    ) -> dict[str, Any]:
        """Train and write the results.

        Parameters
        ----------
        should_stop : function, optional
            Asked after each batch; True ends the run as if the last epoch were its last, with a
            checkpoint that has the batches after it too.
        should_save : function, optional
            Asked after each batch; True has the checkpoint written.

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
        try:
            return self._train(should_stop or never, should_save or never)
        finally:
            self._release()

    def _train(
        self, should_stop: Callable[[], bool], should_save: Callable[[], bool]
    ) -> dict[str, Any]:
        config, folder = self.config, self._folder
        diverged, is_validated = None, self._validation is not None
        try:
            history = training.fit(
                self.model,
                self.data.x_train,
                self.data.y_train,
                method=make_method(config),
                passes=make_passes(config, self._budget, self._parallel),
                measuring=make_measuring(
                    config, self._validation, (self.data.x_test, self.data.y_test)
                ),
                stopping=make_stopping(config, is_validated),
                watching=Watching(self._progress, should_stop, should_save),
                keeping=InFolder(
                    resume_from=self._start if self._resume else None,
                    allow=training.MAY_CHANGE,  # `prepare` has compared each setting
                    about=noted(config),
                    folder=folder,
                    settings=to_toml(config),
                    minutes=self._save_minutes,
                    whole_epochs=bool(self._changed),
                ),
                weighting=make_weighting(config),
            )
        except TrainingDiverged as error:
            diverged, history = error, error.history
        self.history = history
        result = self._result(history)
        if folder is not None and folder.takes_results(history):
            best = history.best_epoch if is_validated else None
            with folder.kept_on_failure(history.epochs):
                notes = results.write(
                    self.out, self.model, self.data, history, result, best, pictures=self._pictures
                )
            for note in notes:
                self._note(note)
        for line in results.summary(history, result, self.out, is_validated):
            self._say(line)
        if config.training.minutes is not None:
            seconds = time.monotonic() - self._started
            self._say(f"{seconds:.1f} s of {60 * config.training.minutes:g} s since the start")
        if diverged is not None:
            raise diverged
        return result

    @property
    def _budget(self) -> Budget | None:
        """The time of the run, of which the results need some."""
        minutes = self.config.training.minutes
        reserve = _SECONDS_PICTURES if self._pictures else 0.0
        return None if minutes is None else Budget(minutes, self._started, reserve)

    def _result(self, history: History) -> dict[str, Any]:
        config = self.config
        return {
            "dataset": config.data.dataset,
            "model": config.model.model,
            "backend": config.machine.backend,
            "threads": jit.get_threads(),
            "seed": config.training.seed,
            **results.accuracies(history, config.data.task),
            "seconds_load": self._seconds_load,
            "seconds_compile": self._seconds_compile,
            **results.times(history, self._images_per_epoch(history)),
            "peak_memory_mb": results.peak_memory_mb(),
            "stopped_because": history.stopped_because,
            **({"steps": sum(history["steps"])} if "steps" in history else {}),
            "changes": [each for each in history.changes if each["epoch"] <= history.epochs],
            **({"images": described(self.data)} if is_path(config.data.dataset) else {}),
        }
