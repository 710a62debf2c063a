"""Epochs and steps: what `fastcnn.training.fit` runs once it has checked its arguments."""

import contextlib
import functools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..losses import CLASSIFICATION, CrossEntropyLoss, asked
from ..network import measures
from ..network.network import EVALUATED_AT_ONCE, Network, whole
from ..random import generator
from . import callbacks, diverged, notes
from .averaging import Average
from .batches import Batches
from .budget import ByEpochs, ByTime, clock
from .diverged import TrainingDiverged
from .history import History
from .mixing import mixed
from .parallel import Alone, facts_of
from .part import Part
from .precise_bn import measure_statistics
from .saving import Saving
from .settings import Arrays, Keeping, Measuring, Method, Passes, Stopping, Watching, Weighting


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
        self._logits = asked.takes_logits(self.loss)
        usual = "accuracy" if self.model.task == CLASSIFICATION else "loss"
        self.pace = self.stopping.pace(self.validation is not None, usual)
        self.lr = self.optimizer.lr
        self._length = ByEpochs(self.passes.epochs)
        self.part: Part | None = None  # what there is of an epoch
        self.average = None if self.method.ema is None else Average(self.model, self.method.ema)
        self.best_arrays: dict[str, NDArray[Any]] = {}
        self._is_known_to_be_lost = False
        self._at_first: float | None = None  # the loss of a sample before any step
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
            seed=self.seed,
        )
        self._saving = Saving(self)

    @property
    def _parallel(self) -> Alone:
        return self.passes.parallel

    @property
    def seed(self) -> int:
        """Key of what is random."""
        return self.model.seed if self.passes.seed is None else self.passes.seed

    # --- the run ------------------------------------------------------------------------------

    def begin(self) -> None:
        """Go on from a checkpoint, or write the first; and say what should be known before."""
        if self.measuring.metrics:  # one that fails had better fail now
            for _, data in self._measured_data():
                self._measure(*data)
        self._saving.begin()
        facts = facts_of(self._saving.settings, self.model.parameters.values)
        self._parallel.agree(facts, self.passes.batch_size)
        if not self.passes.drop_last:
            count = len(self.rows), self.passes.batch_size
            self.note(notes.small_last_batch(self.model, *count))
        if not self.optimizer.steps:
            self.note(notes.far_targets(self.model, self.y[self.rows]))
        if self.passes.budget is not None:
            spent, passes = self.history.get("elapsed", [0.0])[-1:], self.measuring.precise_bn / 3
            if self.part is not None:
                spent = [*spent, self.part.seconds]
            first = self._measuring_at_first()
            budget, known, first = self._parallel.said((self.passes.budget, sum(spent), first))
            self._length = ByTime(
                budget, known, first, passes, lambda: self._parallel.said(clock())
            )

    @functools.cached_property
    def _schedule_begun(self) -> int:
        """Epochs that were finished before a resumed run was given this schedule."""
        changes = (each for each in self.history.changes if each["setting"] == "schedule")
        return max((each["epoch"] - 1 for each in changes), default=0)

    @property
    def count(self) -> int:
        """Rows of an epoch."""
        count = len(self.rows)
        return count - (count % self.passes.batch_size if self.passes.drop_last else 0)

    def run(self) -> History:
        """Train until all epochs are done or something stops it."""
        history = self.history
        good = self._saving.end.kept
        try:
            while not self._is_over():
                row = self._epoch(history.epochs + 1)
                history.add(row)
                if self.part is not None and self.part.norms is not None:
                    self.part.norms.record(history)
                self.part = None
                good = self._saving.end_epoch()
                if self.validation is None or self.best.update(history.epochs, row):
                    self.best.epoch = history.epochs
                    self.best_arrays = good if self.stopping.keeps_best else {}
                history.best_epoch = self.best.epoch
                self._saving.save()  # before anybody is told: a terminal may have gone away
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
            self.optimizer.lr = self.lr
            history.best_epoch = self.best.epoch
            self.model.load_arrays(self.best_arrays or good)
        return history

    def _wants_end(self, kept: dict[str, NDArray[Any]]) -> bool:
        """Show the model, with the arrays that are kept, to the callbacks."""
        if not self.watching.callbacks:
            return False
        return self._parallel.said(self._parallel.is_first and self._asks_callbacks(kept))

    def _asks_callbacks(self, kept: dict[str, NDArray[Any]]) -> bool:
        own = self.model.copy_arrays()
        self.model.load_arrays(kept)
        try:
            return callbacks.told(self.watching.callbacks, self.model, self.history)
        finally:
            self.note(notes.put_back(self.history, self.model.copy_arrays(), kept))
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
        length, part = self._length, self.part or Part(self.model, self.measuring)
        self.part, started = part, time.perf_counter() - part.seconds
        rows = self._rows(epoch, *([part.begun] if part.begun else []))
        whole = math.ceil(len(rows) / self.passes.batch_size)
        steps = part.begin(whole)
        self.watching.progress.on_epoch_start(epoch, length.shown(epoch, whole), steps - part.step)
        schedule = self.method.schedule.after(self.history, self._schedule_begun)
        if self.passes.budget is not None:
            schedule = schedule.by_step()
        length.begin_epoch()

        def rate(step: int) -> float:
            epochs = length.epochs(epoch - 1 + step / whole, whole)
            return schedule.step_rate(self.lr, epoch - 1, epochs, step, whole)

        if part.step:  # there may be none left, and the epoch's last rate is written down
            self.optimizer.lr = rate(part.step - 1)
        while part.step < steps:
            step = part.step
            self.optimizer.lr = rate(step)
            indices = self._indices(rows, step - part.begun)
            part.add(self._step(indices, epoch, step, part.tally), len(indices))
            self.watching.progress.on_step(part.loss / part.images)
            saves = self.watching.should_save() or self._saving.is_due
            stops, saves = self._parallel.any(self.watching.should_stop(), saves)
            if stops or saves:
                part.seconds = time.perf_counter() - started
                self._saving.save()
            if stops:
                raise _Interrupted
            if length.ends_after_step():
                break
            if part.step == steps and length.extends(whole):
                part.begun, steps = steps, steps + whole
                rows = self._rows(epoch, part.begun)
        step = part.step
        if not self.model.is_finite():
            raise self._diverged("the parameters became infinite or NaN", epoch, step)
        row = {"epoch": epoch, "lr": self.optimizer.lr, "loss": part.loss / part.images}
        row |= part.tally.losses(part.images) | part.tally.row()
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
        return self._parallel.said(row)

    def _rows(self, epoch: int, *again: int) -> NDArray[np.int64]:
        """The rows of an epoch in their order; of one that goes on, once more in another."""
        rows = self.rows
        if self.passes.shuffle:
            rows = rows[generator(self.seed, "shuffle", epoch, *again).permutation(len(rows))]
        return rows[: self.count]

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
            weights=(weights, weights), metrics=self.measuring.metrics, portion=self._parallel,
        )  # fmt: skip

    def _step(
        self, indices: NDArray[np.int64], epoch: int, step: int, tally: measures.Tally
    ) -> float:
        """One batch forward, backward and into the parameters; its loss, summed over samples."""
        here, batch = self._load(indices, epoch, step)
        # What the network gives is little: the loss of the whole batch is known to everybody.
        outputs = whole(self._parallel, self.model.forward_training(batch, self._logits))
        given = self.y, self.weights, self.counted
        targets, weights, counted = mixed(given, indices, self._batches.mixing, outputs)
        value = asked.value_of(self.loss, outputs, targets, weights)
        if not math.isfinite(value):
            advice = None if self.optimizer.steps else diverged.before_the_first_step(outputs)
            raise self._diverged(f"the loss became {value:g}", epoch, step + 1, advice)
        tally.add(self.loss, outputs, targets, counted)
        gradient = asked.gradient_of(self.loss, outputs)
        is_first = not self.optimizer.steps  # else the learning rate is blamed a step later
        if is_first:
            self._at_first = value / len(indices)
        if is_first or self._loss_is_own:
            found = diverged.of_loss(gradient, self.loss, self.model.output_names)
            if found is not None:
                raise self._diverged(found[0], epoch, step + 1, found[1])
        several = isinstance(gradient, tuple)
        gradient = tuple(each[here] for each in gradient) if several else gradient[here]
        self.model.backward_training(gradient, self._logits)
        self._parallel.add(each.gradients for each in self.model.parameters.trained())
        if self.part is not None and self.part.norms is not None:
            self.part.norms.look(step)
        found = diverged.of_parameters(self.model) if is_first else None
        if found is not None or not self.method.clipping.shorten(self.model):
            what = (
                found or diverged.of_parameters(self.model) or "a gradient became infinite or NaN"
            )
            raise self._diverged(what, epoch, step + 1)
        self.optimizer.step(self.model)
        if self.average is not None:
            self.average.update(self.optimizer.steps)
        return value

    def _indices(self, rows: NDArray[np.int64], step: int) -> NDArray[np.int64]:
        """The rows of one batch."""
        size = self.passes.batch_size
        return rows[step * size : (step + 1) * size]

    def _load(
        self, indices: NDArray[np.int64], epoch: int, step: int
    ) -> tuple[slice, NDArray[Any]]:
        """The images here and the batch of them, for the training pass that comes next."""
        self.model.set_clock(epoch, step, self.seed)
        here = self._parallel.share(len(indices))
        return here, self._batches.load(indices, epoch, step, here)

    def _measured(self, rows: NDArray[np.int64], epoch: int) -> Iterator[NDArray[Any]]:
        """The first batches of the epoch once more, for BatchNorm's statistics."""
        full = max(1, len(rows) // self.passes.batch_size)
        for step in range(min(self.measuring.precise_bn, full)):
            yield self._load(self._indices(rows, step), epoch, step)[1]

    # --- what a person should know ------------------------------------------------------------

    def _diverged(
        self, what: str, epoch: int, batch: int, advice: str | None = None
    ) -> TrainingDiverged:
        kept = self.best.epoch if self.stopping.keeps_best else self.history.epochs
        lr = self.optimizer.lr
        steps = self.optimizer.steps
        shrinking = lr * self.optimizer.weight_decay
        if advice is None and steps and shrinking > 1:
            advice = (
                f"the weight decay {self.optimizer.weight_decay:g} is too high: each step takes "
                f"{shrinking:g} times the weights away"
            )
        elif advice is None and steps:
            advice = f"the learning rate {lr:g} is probably too high, try {lr / 10:g}"
        elif advice is None:
            advice = "no step has been made yet: look at what the network begins with, and the data"
        return TrainingDiverged(what, epoch, batch, advice, kept, self.history, steps)

    @functools.cached_property
    def _loss_is_own(self) -> bool:
        return diverged.is_own(self.loss)

    @functools.cached_property
    def _guesses(self) -> int:
        """The number of classes that cross-entropy may guess among; 0 for another loss."""
        if not isinstance(self.loss, CrossEntropyLoss) or self.weights is not None:
            return 0
        return self.model.output_shape((1, *self.x.shape[1:]))[1]

    def note(self, note: str | None) -> None:
        """Have it known, if there is something."""
        if note is not None:
            self.history.notes.append(note)
            self.watching.progress.on_note(note)

    def _note_if_lost(self, row: dict[str, float]) -> None:
        """Say once that the network does no better than guessing, or far worse."""
        if self._guesses and not self._is_known_to_be_lost:
            note = notes.lost(row, self._guesses, self._at_first)
            self._is_known_to_be_lost = note is not None
            self.note(note)
