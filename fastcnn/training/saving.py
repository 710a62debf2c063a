"""When a run's checkpoint is written, what is in it, and how a run goes on from it."""

import functools
import math
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..network import measures
from ..network.checkpoint import CheckpointError
from ..terminal import in_words
from . import checkpoint, notes
from .checkpoint import SavedTraining, Standing
from .part import Part
from .record import Record, to_state
from .resuming import described, differences, refuse_other_run

if TYPE_CHECKING:
    from .loop import TrainingLoop


class Saving:
    """The checkpoint of a run.

    It holds where the run stood at the end of its last finished epoch, from which it can go on with
    other settings, and in the middle of an epoch where it stands now too.

    Parameters
    ----------
    loop : TrainingLoop
        The run.

    Attributes
    ----------
    end : Standing
        Where it stood at the end of its last finished epoch.
    """

    def __init__(self, loop: "TrainingLoop") -> None:
        # No circle with what holds this: a model that is dropped is freed at once.
        self._loop: TrainingLoop = weakref.proxy(loop)
        self._keeping = loop.keeping
        self._epoch = 0  # the last in the checkpoint
        self._is_own = False  # whether the checkpoint that is there is of this run
        self._written = time.monotonic()
        self.end = self._standing().copied()

    def _standing(self) -> Standing:
        """Where the run stands: its arrays themselves, and copies of the optimizer's."""
        loop, is_wanted = self._loop, self._keeping.is_wanted
        return Standing(
            dict(loop.model.named_arrays()),
            loop.optimizer.state_arrays() if is_wanted else {},
            loop.average.arrays if loop.average else {},
        )

    def end_epoch(self) -> dict[str, Any]:
        """An epoch is finished; gives the arrays that are measured and kept."""
        self.end = self._standing().copied()
        return self.end.kept

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """What this run was told, for its checkpoint."""
        loop = self._loop
        return described(
            loop.model, (loop.x, loop.y), loop.method, loop.passes, loop.measuring, loop.stopping,
            loop.lr, loop.weighting,
        )  # fmt: skip

    # --- writing ------------------------------------------------------------------------------

    @property
    def is_due(self) -> bool:
        """Whether the checkpoint is older than it shall become."""
        minutes = self._keeping.minutes
        return minutes is not None and time.monotonic() - self._written >= 60 * minutes

    def _write(self, path: Path) -> None:
        """Write everything that the rest of the run depends on."""
        loop = self._loop
        state = to_state(
            loop.history, loop.best.state(), self.settings, self._keeping.about,
            measures.measured(loop.model.task, loop.model.output_names),
            list(loop.measuring.metrics),
        )  # fmt: skip
        now = None
        if loop.part is not None:
            state["part"], now = loop.part.state(), self._standing()
        checkpoint.save_standing(
            path, (loop.model, loop.optimizer), state, loop.best_arrays, self.end, now
        )

    def save(self) -> None:
        """Write the checkpoint where one is wanted."""
        loop = self._loop
        try:
            is_written = self._keeping.keep(loop.history.epochs, self._write, is_own=self._is_own)
        except OSError as error:
            raise OSError(f"{in_words(error)}; {self._left()}") from None
        self._is_own |= is_written
        self._written = time.monotonic()
        self._epoch = loop.history.epochs
        loop.history.batches = loop.part.step if is_written and loop.part is not None else 0

    def _left(self) -> str:
        """Where the work is if the checkpoint cannot be written."""
        keeping, epoch, best = self._keeping, self._epoch, self._loop.history.best_epoch
        kept = f"it holds the run up to epoch {epoch}"
        if not epoch:
            kept = "no epoch is saved"
        elif keeping.checkpoint is None or not keeping.checkpoint.is_file():
            kept = "what was saved there is gone"
        elif keeping.resuming:
            return (
                f"{keeping.checkpoint} holds the run up to epoch {epoch}, and {keeping.resuming} "
                f"goes on there, once the next can be written"
            )
        if keeping.resuming or not best:  # a command's model ends with it
            return kept
        return f"{kept}; the model keeps the weights of epoch {best}"

    # --- going on -----------------------------------------------------------------------------

    def begin(self) -> None:
        """Go on from a checkpoint, or write the first."""
        if self._keeping.resume_from is not None:
            self._go_on(self._keeping.resume_from)
        else:
            self.save()

    def _go_on(self, path: Path) -> None:
        """Go on where `_write` was called; nothing is changed unless everything fits."""
        loop, keeping = self._loop, self._keeping
        saved = SavedTraining(path)
        record = checkpoint.record_of(saved)
        saved.check(loop.model, loop.optimizer)
        refuse_other_run(path, record, self.settings, keeping.allow)
        if loop.stopping.keeps_best and record.best["epoch"] and not saved.best_arrays:
            raise CheckpointError(f"{path} is damaged: it lacks its best epoch's arrays")
        if loop.average and not saved.end.averages:
            raise CheckpointError(f"{path} is damaged: it lacks the moving averages")
        changed = differences(record.settings or {}, self.settings)
        part = None
        if record.part is not None and not changed and not keeping.whole_epochs:
            part = self._part(saved, record)
        saved.load_into(loop.model, loop.optimizer, in_part=part is not None)
        loop.history, loop.best_arrays, loop.part = record.history, saved.best_arrays, part
        loop.best.load_state(record.best)
        if loop.average:
            loop.average.arrays = saved.standing(in_part=part is not None).copied().averages
        self.end = saved.end
        self._epoch = record.history.epochs
        self._is_own = keeping.path in (None, path)
        for name, (before, after) in changed.items():
            record.history.changes.append(
                {"epoch": self._epoch + 1, "setting": name, "before": before, "after": after}
            )
        self._tell(path, record)

    def _part(self, saved: SavedTraining, record: Record) -> Part:
        """What there is of an epoch."""
        loop = self._loop
        part = Part(loop.model, loop.measuring)
        try:
            part.load_state(record.part or {})
        except (ValueError, TypeError, LookupError) as error:
            raise CheckpointError(f"{saved.path} is damaged: {error}") from None
        steps = math.ceil(loop.count / loop.passes.batch_size)
        if part.step > part.begun + steps or part.begun % steps:
            raise CheckpointError(
                f"{saved.path} is damaged: it has {part.step} batches of an epoch of {steps}"
            )
        return part

    def _tell(self, path: Path, record: Record) -> None:
        """Say what should be known of how the run goes on."""
        loop = self._loop
        if record.part is not None and loop.part is None:
            loop.note(notes.part_left_out(self._epoch, record.part["step"]))
        if record.settings is None:
            loop.note(
                f"{path} is of version 0.1.0, which did not keep its settings: whether they are "
                f"the same is not checked"
            )
            return
        if loop.passes.budget is not None:
            return
        steps, schedule = math.ceil(loop.count / loop.passes.batch_size), loop.method.schedule

        def rate(epoch: int, epochs: int, step: int) -> float:
            return schedule.step_rate(loop.lr, epoch, epochs, step, steps)

        epochs = loop.passes.epochs, record.settings["epochs"]
        loop.note(notes.other_rates(rate, *epochs, steps, record.history))
