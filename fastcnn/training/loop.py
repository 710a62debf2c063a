"""Epochs and steps: what `fastcnn.training.fit` runs once it has checked its arguments."""

import contextlib
import functools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..losses import CLASSIFICATION, CrossEntropyLoss, chosen
from ..network import measures
from ..network.network import EVALUATED_AT_ONCE, Network
from ..random import generator
from . import callbacks, checkpoint, notes
from .averaging import Average
from .batches import Batches
from .budget import ByEpochs, ByTime
from .diverged import TrainingDiverged
from .history import History
from .mixing import mixed
from .precise_bn import measure_statistics
from .record import to_state
from .resuming import described, differences, refuse_other_run
from .settings import Arrays, Keeping, Measuring, Method, Passes, Stopping, Watching, Weighting
from .tracking import GradientNorms


class _Interrupted(Exception):
    """`should_stop` said so between two batches."""


@dataclass
class TrainingLoop:
    """One run of training, its data checked and its validation images chosen."""

    model: Network
    x: NDArray[Any]
    y: NDArray[Any]
    rows: NDArray[np.int64]  # of x and y that are trained on
    validation: Arrays | None
    method: Method
    passes: Passes
    measuring: Measuring
    stopping: Stopping
    watching: Watching
    keeping: Keeping
    weights: NDArray[np.float64] | None = None  # of all samples, in the loss
    counted: NDArray[np.float64] | None = None  # of all samples, in what else is measured
    weighting: Weighting = field(default_factory=Weighting)  # what both were made of
    history: History = field(default_factory=History)

    def __post_init__(self) -> None:
        self.optimizer, self.loss = self.method.optimizer, self.method.loss
        self.best = self.stopping.best()
        self._logits = chosen.takes_logits(self.loss)
        usual = "accuracy" if self.model.task == CLASSIFICATION else "loss"
        self.pace = self.stopping.pace(self.validation is not None, usual)
        self._lr = self.optimizer.lr
        self._length = ByEpochs(self.passes.epochs)
        self._norms: GradientNorms | None = None  # of this epoch so far
        self.average = None if self.method.ema is None else Average(self.model, self.method.ema)
        self._best_arrays: dict[str, NDArray[Any]] = {}
        self._saved = 0  # the epoch of the checkpoint
        self._is_known_to_be_lost = False
        channels_last = self.model.data_format == "channels_last"
        normalization = self.model.normalization
        if self.x.ndim == 4:
            normalization = self.model.normalization_of(self.x.shape[3 if channels_last else 1])
        self._batches = Batches(
            self.x,
            self.passes.batch_size,
            normalization,
            augment=self.passes.each_batch,
            channels_last=channels_last,
            dtype=self.model.dtype,
            seed=self._seed,
        )

    @property
    def _seed(self) -> int:
        return self.model.seed if self.passes.seed is None else self.passes.seed

    # --- checkpoints --------------------------------------------------------------------------

    @functools.cached_property
    def _settings(self) -> dict[str, Any]:
        """What this run was told, for its checkpoint."""
        return described(
            self.model, (self.x, self.y), self.method, self.passes, self.measuring, self.stopping,
            self._lr, self.weighting,
        )  # fmt: skip

    def _write(self, path: Path) -> None:
        """Write everything that the rest of the run depends on."""
        state = to_state(
            self.history, self.best.state(), self._settings, self.keeping.about,
            measures.MEASURES[self.model.task], list(self.measuring.metrics),
        )  # fmt: skip
        averages = self.average.arrays if self.average else None
        checkpoint.save_training(
            path, self.model, self.optimizer, state, self._best_arrays, averages
        )

    def _save(self) -> None:
        """Write the checkpoint where one is wanted."""
        try:
            self.keeping.keep(self.history.epochs, self._write)
        except OSError as error:
            kept = f"it holds the run up to epoch {self._saved}" if self._saved else "no epoch is"
            kept += "" if self._saved else " saved"
            raise OSError(f"{error}; {kept}") from None
        self._saved = self.history.epochs

    def begin(self) -> None:
        """Go on from a checkpoint, or write the first; and say what should be known before."""
        path = self.keeping.resume_from
        if self.measuring.metrics:  # one that fails had better fail now
            for _, data in self._measured_data():
                self._measure(*data)
        if path is not None:
            self._go_on(path)
        else:
            self._save()
        if not self.passes.drop_last:
            count = len(self.rows), self.passes.batch_size
            self._note(notes.small_last_batch(self.model, *count))
        if self.passes.budget is not None:
            spent, passes = self.history.get("elapsed", [0.0])[-1:], self.measuring.precise_bn / 3
            first = self._measuring_at_first()
            self._length = ByTime(self.passes.budget, sum(spent), first, passes)

    def _go_on(self, path: Path) -> None:
        """Go on where `_write` was called; nothing is changed unless everything fits."""
        saved = checkpoint.SavedTraining(path)
        record = checkpoint.record_of(saved)
        history = record.history
        saved.check(self.model, self.optimizer)
        refuse_other_run(path, record, self._settings, self.keeping.allow)
        if self.stopping.keeps_best and record.best["epoch"] and not saved.best_arrays:
            raise checkpoint.CheckpointError(f"{path} is damaged: it lacks its best epoch's arrays")
        if self.average and not saved.averages:
            raise checkpoint.CheckpointError(f"{path} is damaged: it lacks the moving averages")
        saved.load_into(self.model, self.optimizer)
        if self.average:
            self.average.arrays = {name: array.copy() for name, array in saved.averages.items()}
        self.history, self._best_arrays = history, saved.best_arrays
        self.best.load_state(record.best)
        self._saved = history.epochs
        for name, (before, after) in differences(record.settings or {}, self._settings).items():
            history.changes.append(
                {"epoch": history.epochs + 1, "setting": name, "before": before, "after": after}
            )
        if record.settings is None:
            self._note(
                f"{path} is of version 0.1.0, which did not keep its settings: whether they are "
                f"the same is not checked"
            )
            return
        if self.passes.budget is not None:
            return
        steps, schedule = math.ceil(self._count / self.passes.batch_size), self.method.schedule

        def rate(epoch: int, epochs: int, step: int) -> float:
            return schedule.step_rate(self._lr, epoch, epochs, step, steps)

        epochs = self.passes.epochs, record.settings["epochs"]
        self._note(notes.other_rates(rate, *epochs, steps, history))

    @functools.cached_property
    def _schedule_begun(self) -> int:
        """Epochs that were finished before a resumed run was given this schedule."""
        changes = (each for each in self.history.changes if each["setting"] == "schedule")
        return max((each["epoch"] - 1 for each in changes), default=0)

    @property
    def _count(self) -> int:
        """Rows of an epoch."""
        count = len(self.rows)
        return count - (count % self.passes.batch_size if self.passes.drop_last else 0)

    # --- the run ------------------------------------------------------------------------------

    def run(self) -> History:
        """Train until all epochs are done or something stops it."""
        history = self.history
        good = self._kept()
        try:
            while not self._is_over():
                row = self._epoch(history.epochs + 1)
                history.add(row)
                if self._norms is not None:
                    self._norms.record(history)
                good = self._kept()
                if self.validation is None or self.best.update(history.epochs, row):
                    self.best.epoch = history.epochs
                    self._best_arrays = good if self.stopping.keeps_best else {}
                history.best_epoch = self.best.epoch
                self._save()  # before anybody is told: a terminal may have gone away
                self.watching.progress.on_epoch_end(row)
                self._note_if_lost(row)
                self._length.end_epoch()
                if self._wants_end(good):
                    history.stopped_because = "a callback"
                    break
        except _Interrupted:
            history.stopped_because = "interrupted"
        except TrainingDiverged:
            history.stopped_because = "diverged"
            raise
        finally:
            self.optimizer.lr = self._lr
            history.best_epoch = self.best.epoch
            self.model.load_arrays(self._best_arrays or good)
        return history

    def _kept(self) -> dict[str, NDArray[Any]]:
        """Copies of the arrays that are measured and kept: the model's, or their averages."""
        if self.average is None:
            return self.model.copy_arrays()
        return {name: array.copy() for name, array in self.average.arrays.items()}

    def _wants_end(self, kept: dict[str, NDArray[Any]]) -> bool:
        """Show the model, with the arrays that are kept, to the callbacks."""
        if not self.watching.callbacks:
            return False
        own = self.model.copy_arrays()
        self.model.load_arrays(kept)
        try:
            return callbacks.told(self.watching.callbacks, self.model, self.history)
        finally:
            self._note(notes.put_back(self.history, self.model.copy_arrays(), kept))
            self.model.load_arrays(own)

    def _is_over(self) -> bool:
        finished, patience = self.history.epochs, self.stopping.patience
        if patience is not None and finished - self.best.epoch >= patience:
            self.history.stopped_because = "early stopping"
        elif self._is_slow():
            self.history.stopped_because = "gain under the threshold"
        elif self._length.is_over(finished):
            self.history.stopped_because = self._length.over
        else:
            return False
        return True

    def _is_slow(self) -> bool:
        """Whether the last epochs gained too little, in all of which the network was learning."""
        if self.pace is None or not self.pace.is_slow(self.history):
            return False
        losses = self.history["loss"][-1 - self.pace.epochs :]
        return not (
            self._guesses and any(notes.is_guessing(each, self._guesses) for each in losses)
        )

    def _epoch(self, epoch: int) -> dict[str, float]:
        """Train one epoch (counted from 1) and measure it."""
        started = time.perf_counter()
        rows, length = self._rows(epoch), self._length
        whole = steps = math.ceil(len(rows) / self.passes.batch_size)
        self.watching.progress.on_epoch_start(epoch, length.shown(epoch, steps), steps)
        total_loss, tally = 0.0, measures.tally(self.model.task)
        self._norms = GradientNorms(self.model, steps) if self.measuring.track_gradients else None
        schedule = self.method.schedule.after(self.history, self._schedule_begun)
        if self.passes.budget is not None:
            schedule = schedule.by_step()
        length.begin_epoch()
        step = done = begun = 0
        while step < steps:
            epochs = length.epochs(epoch - 1 + step / whole, whole)
            self.optimizer.lr = schedule.step_rate(self._lr, epoch - 1, epochs, step, whole)
            indices = self._indices(rows, step - begun)
            total_loss += self._step(indices, epoch, step, tally)
            step, done = step + 1, done + len(indices)
            self.watching.progress.on_step(total_loss / done)
            if self.watching.should_stop():
                raise _Interrupted
            if length.ends_after_step():
                break
            if step == steps and length.extends(whole):
                rows, begun, steps = self._rows(epoch, step), step, steps + whole
        if not self.model.is_finite():
            raise self._diverged("the parameters became infinite or NaN", epoch, step)
        row = {"epoch": epoch, "lr": self.optimizer.lr, "loss": total_loss / done}
        row |= tally.row()
        with self.average.in_place() if self.average else contextlib.nullcontext():
            measure_statistics(self.model, self._measured(rows, epoch))
            trained = time.perf_counter()
            for part, data in self._measured_data():
                measured = self._measure(*data)
                row |= {f"{part}_{name}": value for name, value in measured.items()}
                if not math.isfinite(row[f"{part}_loss"]):
                    raise self._diverged(f"the {part} loss became infinite or NaN", epoch, step)
        row |= length.row(step)
        row["seconds"] = time.perf_counter() - started
        row["seconds_training"] = trained - started
        return row

    def _rows(self, epoch: int, *again: int) -> NDArray[np.int64]:
        """The rows of an epoch in their order; of one that goes on, once more in another."""
        rows = self.rows
        if self.passes.shuffle:
            rows = rows[generator(self._seed, "shuffle", epoch, *again).permutation(len(rows))]
        return rows[: self._count]

    def _measuring_at_first(self) -> float:
        """Seconds that the data to measure will take, from two batches of it."""
        seconds = 0.0
        for _, data in self._measured_data():
            few = tuple(array[: 2 * EVALUATED_AT_ONCE] for array in data)
            self._measure(*few)  # it may compile
            started = time.perf_counter()
            self._measure(*few)
            seconds += (time.perf_counter() - started) * len(data[0]) / len(few[0])
        return seconds

    def _measured_data(self) -> Iterator[tuple[str, Any]]:
        """The data to measure after an epoch, with the name that its columns begin with."""
        for part, data in (("val", self.validation), ("test", self.measuring.test)):
            if data is not None:
                yield part, data

    def _measure(
        self, x: NDArray[Any], y: NDArray[Any], weights: NDArray[Any] | None = None
    ) -> dict[str, float]:
        """Loss and measures of validation or test data."""
        return measures.measure(
            self.model, x, y, loss=self.loss, batch_size=EVALUATED_AT_ONCE,
            weights=(weights, weights), metrics=self.measuring.metrics,
        )  # fmt: skip

    def _step(
        self, indices: NDArray[np.int64], epoch: int, step: int, tally: measures.Tally
    ) -> float:
        """One batch forward, backward and into the parameters; its loss, summed over samples."""
        outputs = self.model.forward_training(self._load(indices, epoch, step), self._logits)
        given = self.y, self.weights, self.counted
        targets, weights, counted = mixed(given, indices, self._batches.mixing, outputs)
        value = chosen.value_of(self.loss, outputs, targets, weights)
        if not math.isfinite(value):
            raise self._diverged(f"the loss became {value:g}", epoch, step + 1)
        tally.add(self.loss, outputs, targets, counted)
        self.model.backward_training(chosen.gradient_of(self.loss, outputs), self._logits)
        if self._norms is not None:
            self._norms.look(step)
        if not self.method.clipping.shorten(self.model):
            raise self._diverged("a gradient became infinite or NaN", epoch, step + 1)
        self.optimizer.step(self.model)
        if self.average is not None:
            self.average.update(self.optimizer.steps)
        return value

    def _indices(self, rows: NDArray[np.int64], step: int) -> NDArray[np.int64]:
        """The rows of one batch."""
        size = self.passes.batch_size
        return rows[step * size : (step + 1) * size]

    def _load(self, indices: NDArray[np.int64], epoch: int, step: int) -> NDArray[Any]:
        """One batch, for the training pass that comes next."""
        self.model.set_clock(epoch, step, self._seed)
        return self._batches.load(indices, epoch, step)

    def _measured(self, rows: NDArray[np.int64], epoch: int) -> Iterator[NDArray[Any]]:
        """The first batches of the epoch once more, for BatchNorm's statistics."""
        full = max(1, len(rows) // self.passes.batch_size)
        for step in range(min(self.measuring.precise_bn, full)):
            yield self._load(self._indices(rows, step), epoch, step)

    # --- what a person should know ------------------------------------------------------------

    def _diverged(self, what: str, epoch: int, batch: int) -> TrainingDiverged:
        kept = self.best.epoch if self.stopping.keeps_best else self.history.epochs
        lr = self.optimizer.lr
        advice = f"the learning rate {lr:g} is probably too high, try {lr / 10:g}"
        return TrainingDiverged(what, epoch, batch, advice, kept, self.history)

    @functools.cached_property
    def _guesses(self) -> int:
        """The number of classes that cross-entropy may guess among; 0 for another loss."""
        if not isinstance(self.loss, CrossEntropyLoss) or self.weights is not None:
            return 0
        return self.model.output_shape((1, *self.x.shape[1:]))[1]

    def _note(self, note: str | None) -> None:
        if note is not None:
            self.history.notes.append(note)
            self.watching.progress.on_note(note)

    def _note_if_lost(self, row: dict[str, float]) -> None:
        """Say once that the network does no better than guessing, or far worse."""
        if self._guesses and not self._is_known_to_be_lost:
            note = notes.lost(row, self._guesses)
            self._is_known_to_be_lost = note is not None
            self._note(note)
