"""A finished run, with the weights of the epochs that its folder holds."""

import math
from typing import Any

from ..datasets import Dataset
from ..network.checkpoint import Arrays
from ..runs.folder import MODEL, checkpoints
from ..runs.saved import Saved
from ..terminal import say
from ..training.checkpoint import SavedTraining, record_of
from .shown import Shown

_MOST = 400_000_000  # bytes of weights; of more, every other epoch is left out


class Trained(Shown):
    """The network of a run, looked back at.

    Parameters
    ----------
    saved : Saved
        The run, or a model file, which has no epochs.
    data : Dataset
        Images.
    """

    def __init__(self, saved: Saved, data: Dataset) -> None:
        rate = saved.config.optimizer.lr if saved.is_run else None
        moments = _moments(saved) if saved.is_run else []
        super().__init__(saved.model, data, saved.name, rate, moments=moments)
        self._is_run, self._own = saved.is_run, None
        self._losses: list[tuple[int, float]] = []
        self._accuracies: list[tuple[int, float]] = []
        try:
            self._own = saved.result.get("best_epoch")
            if saved.is_run:
                history = saved.history
                self._losses = _finite(history.get("loss", []))
                self._accuracies = _finite(history.get("test_accuracy", []))
        except ValueError as error:
            say(f"note: {error}; the page shows no curves")

    def about(self) -> dict[str, Any]:
        """As a network's; of a run also its epochs and its curves."""
        about = super().about()
        if not self._is_run:
            return about
        return {**about, "training": {
            "moments": [epoch for epoch, _ in self._moments],
            "own": self._own, "losses": self._losses, "accuracies": self._accuracies,
        }}  # fmt: skip


def _finite(column: list[float]) -> list[tuple[int, float]]:
    """(epoch, value) where it is a number."""
    return [(k, value) for k, value in enumerate(column, 1) if math.isfinite(value)]


def _moments(saved: Saved) -> list[tuple[int, Arrays]]:
    """(epoch, weights), the first epoch first; what cannot be shown is said, and left out."""
    wanted = {name: array.shape for name, array in saved.model.named_arrays()}
    found: dict[int, Arrays] = {}
    for path in checkpoints(saved.path):
        try:
            training = SavedTraining(path)
            epoch, arrays = record_of(training).history.epochs, training.end.kept
            if wanted != {name: array.shape for name, array in arrays.items()}:
                raise ValueError(f"{path} is of another network than {MODEL}")
        except ValueError as error:
            say(f"note: {error}; the page leaves it out")
            continue
        found.setdefault(epoch, arrays)  # the newest of an epoch: all hold its end
    moments = sorted(found.items())
    size = sum(array.nbytes for array in saved.model.copy_arrays().values())
    while len(moments) * size > _MOST and len(moments) > 2:
        del moments[-2::-2]
    return moments
