"""What is measured of a network besides its loss, which depends on what it is for.

- classification: ``accuracy``, the share of right classes;
- multilabel: ``exact_match``, the share of samples whose labels are all right, and
  ``label_accuracy``, the share of right labels;
- regression: ``r2``, the share of the targets' variance that is explained (1 is perfect, 0 as good
  as their mean; averaged over outputs), and ``mae``, the mean absolute error in the targets' units.

The first of each is what scikit-learn's ``score`` gives. Samples may have weights. Where a network
gives a row of numbers for each place of an image, each place counts as a sample. Of several
outputs each has its own, with its loss, behind its name: ``digit_loss``, ``digit_accuracy``.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.portion import WHOLE, Portion

from ..conversion import fields_of
from ..losses import CLASSIFICATION, MULTILABEL, REGRESSION, Loss, asked
from ..losses.asked import Task
from ..losses.base import by_place

if TYPE_CHECKING:
    from .network import Network

MEASURES = {
    CLASSIFICATION: ("accuracy",),
    MULTILABEL: ("exact_match", "label_accuracy"),
    REGRESSION: ("r2", "mae"),
}
"""Task -> names of what is measured; the first is the score."""

Metric = Callable[[Any, Any], float]
Metrics = Mapping[str, Metric]


class _One:
    """Of one output, whose loss is the loss of the whole."""

    def losses(self, count: float) -> dict[str, float]:
        """The losses of several outputs, by their columns."""
        return {}

    def add(
        self, loss: Any, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None
    ) -> None:
        """Count a batch, whose loss is computed already; each place is a row."""
        if outputs.ndim > 2:
            is_short = targets.ndim < outputs.ndim  # class numbers
            targets = targets.reshape(-1) if is_short else by_place(targets)
            rows = by_place(outputs)
            weights = None if weights is None else weights.repeat(len(rows) // len(outputs))
            outputs = rows
        self._add(loss, outputs, targets, weights)

    def _add(
        self, loss: Any, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None
    ) -> None:
        """The same of rows (N, K)."""
        raise NotImplementedError


class _Shares(_One):
    """Shares of samples: sums of numbers from 0 to 1, of which each sample has some."""

    def __init__(self, task: str) -> None:
        self._names = MEASURES[task]
        self._weight = 0.0
        self._sums = [0.0] * len(self._names)

    def _add(
        self, loss: Any, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None
    ) -> None:
        self._weight += len(outputs) if weights is None else float(weights.sum())
        correct = getattr(loss, "correct", None) if isinstance(loss, Loss) else None
        if weights is None and correct is not None:
            self._sums[0] += correct
            return
        for i, shares in enumerate(self._of(outputs, targets)):
            shares = shares if weights is None else shares * weights
            self._sums[i] += float(shares.sum(dtype=np.float64))

    def _of(self, outputs: np.ndarray, targets: np.ndarray) -> Iterator[np.ndarray]:
        if len(self._names) == 1:
            right = targets if targets.ndim == 1 else targets.argmax(axis=1)
            yield outputs.argmax(axis=1) == right
        else:
            is_right = labels_in(outputs) == (targets > 0.5)
            yield is_right.all(axis=1)
            yield is_right.mean(axis=1)

    def state(self) -> dict[str, Any]:
        """What is counted, as JSON can hold it; `load_state` takes it."""
        return {"weight": self._weight, "sums": self._sums}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from there; a ValueError if it is no such state."""
        if np.shape(state["sums"]) != (len(self._names),):
            raise ValueError("what it has counted is not what is counted")
        self._weight, self._sums = float(state["weight"]), list(map(float, state["sums"]))

    def row(self) -> dict[str, float]:
        """Name -> value."""
        return {
            name: total / self._weight for name, total in zip(self._names, self._sums, strict=True)
        }


class _Errors(_One):
    """Errors of numbers."""

    def __init__(self) -> None:
        self._weight = self._absolute = 0.0
        self._shift: np.ndarray | None = None  # near the targets, so that no square is rounded off
        self._sums: np.ndarray = np.zeros(0)  # (3, outputs): of squared errors, targets, squares

    def _add(
        self, loss: Any, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None
    ) -> None:
        targets = targets.astype(np.float64)
        if self._shift is None:
            self._shift = targets[0]
            self._sums = np.zeros((3, targets.shape[1]))
        weights = np.ones(len(targets)) if weights is None else weights
        error, moved = outputs - targets, targets - self._shift
        self._weight += float(weights.sum())
        self._absolute += float((np.abs(error).mean(axis=1) * weights).sum())
        each = np.stack([error * error, moved, moved * moved])
        self._sums += (each * weights[:, None]).sum(axis=1)

    def state(self) -> dict[str, Any]:
        """What is counted, as JSON can hold it; `load_state` takes it."""
        return {
            "weight": self._weight,
            "absolute": self._absolute,
            "shift": None if self._shift is None else self._shift.tolist(),
            "sums": self._sums.tolist(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from there; a ValueError if it is no such state."""
        shift, sums = (np.array(state[name], np.float64) for name in ("shift", "sums"))
        if shift.ndim != 1 or sums.shape != (3, len(shift)):
            raise ValueError("what it has counted is not what is counted")
        self._shift, self._sums = shift, sums
        self._weight, self._absolute = float(state["weight"]), float(state["absolute"])

    def row(self) -> dict[str, float]:
        """Name -> value. Of targets that are all the same, r2 is 1 if hit and else 0."""
        squared, sums, squares = self._sums
        spread = squares - sums * sums / self._weight
        flat = ~(spread > 0)
        share = np.where(flat, squared > 0, squared / np.where(flat, 1, spread))
        return {"r2": float((1 - share).mean()), "mae": self._absolute / self._weight}


class _Several:
    """Of several outputs the loss of each, and what is measured of each."""

    def __init__(self, tasks: tuple[str, ...], names: tuple[str, ...]) -> None:
        self._parts = {name: _tally(task) for name, task in zip(names, tasks, strict=True)}
        self._losses = [0.0] * len(names)

    def add(self, loss: Any, outputs: Any, targets: Any, weights: np.ndarray | None) -> None:
        """Count a batch, whose loss is computed already."""
        self._losses = [a + b for a, b in zip(self._losses, loss.values, strict=True)]
        each = zip(self._parts.values(), loss.losses, outputs, fields_of(targets), strict=True)
        for part, own, y, target in each:
            part.add(own, y, target, weights)

    def state(self) -> dict[str, Any]:
        """What is counted, as JSON can hold it; `load_state` takes it."""
        parts = self._parts.items()
        state = {f"{n}_{key}": value for n, part in parts for key, value in part.state().items()}
        return {"losses": self._losses, **state}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from there; a ValueError if it is no such state."""
        if np.shape(state["losses"]) != (len(self._losses),):
            raise ValueError("what it has counted is not what is counted")
        self._losses = list(map(float, state["losses"]))
        for name, part in self._parts.items():
            part.load_state({key: state[f"{name}_{key}"] for key in part.state()})

    def losses(self, count: float) -> dict[str, float]:
        """Each divided by a count, as the loss of the whole is."""
        return {
            f"{n}_loss": loss / count for n, loss in zip(self._parts, self._losses, strict=True)
        }

    def row(self) -> dict[str, float]:
        """Name -> value."""
        parts = self._parts.items()
        return {f"{n}_{key}": value for n, part in parts for key, value in part.row().items()}


Tally = _Shares | _Errors | _Several


def tally(task: Task, names: tuple[str, ...]) -> Tally:
    """What counts batch after batch, for what is `measured`.

    names : of several outputs, as many as tasks
    """
    return _Several(task, names) if isinstance(task, tuple) else _tally(task)


def _tally(task: str) -> _Shares | _Errors:
    return _Errors() if task == REGRESSION else _Shares(task)


def measured(task: Task, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of what is measured besides the loss."""
    if not isinstance(task, tuple):
        return MEASURES[task]
    each = zip(names, task, strict=True)
    rest = (f"{name}_{key}" for name, kind in each for key in MEASURES[kind])
    return (*(f"{name}_loss" for name in names), *rest)


def scores(task: Task, names: tuple[str, ...]) -> tuple[str, ...]:
    """The name of the score of each output."""
    if not isinstance(task, tuple):
        return (MEASURES[task][0],)
    return tuple(f"{name}_{MEASURES[kind][0]}" for name, kind in zip(names, task, strict=True))


def labels_in(outputs: np.ndarray) -> np.ndarray:
    """Which labels logits speak for: those of a probability above one half."""
    return outputs > 0


def measure(
    model: "Network",
    x: np.ndarray,
    y: np.ndarray,
    *,
    loss: Any,
    batch_size: int,
    weights: tuple[np.ndarray | None, np.ndarray | None] = (None, None),
    metrics: Metrics | None = None,
    portion: Portion = WHOLE,
) -> dict[str, float]:
    """Loss and measures of data that `intake.pair` has seen.

    Parameters
    ----------
    loss : loss
        Which one.
    weights : pair of float (N,), optional
        Those of the samples in the loss, and in what else is measured.
    metrics : mapping, optional
        More measures: name -> function of the targets and of the network's outputs (N, K), which
        are tuples where there are several.
    portion : Portion, optional
        What this process computes of each batch.
    """
    loss, counted = asked.measuring(loss), tally(model.task, model.output_names)
    for_loss, for_rest = weights
    total, kept, one = 0.0, [], not model.output_names
    for rows, outputs in model.outputs(x, batch_size, asked.takes_logits(loss), portion):
        total += asked.value_of(
            loss, outputs, y[rows], None if for_loss is None else for_loss[rows]
        )
        counted.add(loss, outputs, y[rows], None if for_rest is None else for_rest[rows])
        if metrics:
            kept.append(np.copy(outputs) if one else tuple(map(np.copy, outputs)))
    count = len(x) if for_loss is None else float(for_loss.sum())
    row = {"loss": total / count} | counted.losses(count) | counted.row()
    for name, function in (metrics or {}).items():
        if one:
            value = function(y.copy(), np.concatenate(kept))
        else:
            each = zip(*kept, strict=True)
            value = function(tuple(map(np.copy, fields_of(y))), tuple(map(np.concatenate, each)))
        try:
            row[name] = float(value)
        except (TypeError, ValueError):
            raise ValueError(f"the metric {name!r} must give a number, got {value!r}") from None
        if not math.isfinite(row[name]):
            raise ValueError(
                f"the metric {name!r} must give a finite number, got {row[name]:g}; give 0 where "
                f"it has no value"
            )
    return row
