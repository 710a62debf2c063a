"""What training records: a row of numbers per epoch, and which epoch was best.

Examples
--------
>>> history = History()
>>> history.add({"epoch": 1, "loss": 0.5})
>>> history.add({"epoch": 2, "loss": 0.25})
>>> history["loss"]
[0.5, 0.25]
>>> history.row(1)
{'epoch': 2, 'loss': 0.25}
"""

import csv
import io
import math
from collections.abc import Iterator, Mapping
from typing import Any, Never, Self

from ..checks import at_least_0
from ..network.measures import MEASURES
from ..schedules import gain
from .table import columns_of, heading, line

_MEASURES = ("loss", *(name for names in MEASURES.values() for name in names))
_PARTS = ("", "val_", "test_")
# The order of the columns in history.csv.
COLUMNS = (
    "epoch",
    "lr",
    *(part + name for part in _PARTS for name in _MEASURES),
    "seconds",
    "seconds_training",
    "steps",
    "elapsed",
)
_USUAL = ("epoch", "lr", *(part + name for part in _PARTS for name in ("loss", "accuracy")))
_USUAL += ("seconds", "seconds_training")


# Why a run can be over; "" while it is not.
STOPPED = (
    "",
    "all epochs done",
    "early stopping",
    "gain under the threshold",
    "time is up",
    "a callback",
    "interrupted",
    "diverged",
)


class Table(dict[str, list[float]]):
    """Numbers per epoch: a dict of lists, one entry for each epoch."""

    def __init__(self, columns: Mapping[str, list[float]] | None = None) -> None:
        super().__init__({name: list(values) for name, values in (columns or {}).items()})

    def __getattr__(self, name: str) -> Never:
        hint = f": write history[{name!r}]" if name in self else ""
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{hint}")

    def add(self, row: Mapping[str, float]) -> None:
        """Append one epoch."""
        for name, value in row.items():
            self.setdefault(name, []).append(value)

    def row(self, index: int) -> dict[str, float]:
        """The numbers of the epoch at that index (from 0)."""
        return {name: values[index] for name, values in self.items()}

    def rows(self) -> Iterator[dict[str, float]]:
        """The epochs in order."""
        return (self.row(index) for index in range(len(self.get("epoch", ()))))

    def to_csv(self) -> str:
        """A header and one line per epoch; numbers as Python writes them, without loss."""
        text = io.StringIO()
        known = [name for name in COLUMNS if name in self]
        columns = [*known, *(name for name in self if name not in known)] or list(_USUAL)
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows())
        return text.getvalue()

    @classmethod
    def from_csv(cls, text: str) -> Self:
        """What `to_csv` wrote.

        Raises
        ------
        ValueError
            If a line has more or fewer numbers than the header has names, or something else
            than numbers; says which line.
        """
        try:
            names, *lines = list(csv.reader(io.StringIO(text))) or [[]]
        except csv.Error as error:
            raise ValueError(f"it is not a table: {error}") from None
        if "epoch" not in names:
            raise ValueError("its first line names no column 'epoch'")
        table = cls()
        for place, texts in enumerate(lines, 2):
            try:
                values = [float(text) for text in texts]
                table.add(dict(zip(names, values, strict=True)))
            except ValueError:
                raise ValueError(f"line {place} does not hold {len(names)} numbers") from None
            if not all(map(math.isfinite, values)):
                raise ValueError(f"line {place} holds a number that is not finite")
        if "epoch" in table:
            if any(epoch != int(epoch) or epoch < 1 for epoch in table["epoch"]):
                raise ValueError("its column 'epoch' must hold whole numbers")
            table["epoch"] = [int(epoch) for epoch in table["epoch"]]
        return table


class History(Table):
    """What training records: one entry for each finished epoch.

    Keys: ``epoch`` (from 1), ``lr`` (that of the epoch's last step, where it changes with the
    step), ``loss`` and ``accuracy`` (means over the epoch's batches, each measured just before the
    batch's step; loss in nats per image, as it is trained on; accuracy 0 to 1),
    ``val_loss`` and ``val_accuracy``, ``test_loss`` and ``test_accuracy`` (measured after the
    epoch, where there are such images), ``seconds`` (the whole epoch) and ``seconds_training``
    (without the measuring); with a budget of time also ``steps``, and ``elapsed``, the seconds of
    it that are over. Where the loss is not for classes, or there are several outputs,
    `network.measures` says what stands in the place of the accuracy.

    Attributes
    ----------
    best_epoch : int
        The epoch that was best on the validation images; without them, the last; 0 before the
        first is finished.
    stopped_because : str
        "all epochs done", "early stopping", "gain under the threshold", "time is up",
        "a callback", "interrupted" or "diverged"; "" while training.
    notes : list of str
        Sentences that a reader of the numbers should know.
    changes : list of dict
        What a resumed run was told anew: ``epoch`` (the first with it), ``setting``, ``before``,
        ``after``.
    batches : int
        Of the epoch after the finished ones, as many as the checkpoint holds besides.
    gradients : Table
        For each parameter array ("0.weight") the Euclidean norm of its gradient; empty unless
        training was asked to track them.

    Examples
    --------
    >>> history = History({"epoch": [1, 2], "loss": [0.5, 0.25]})
    >>> history["loss"][-1], history.epochs
    (0.25, 2)
    """

    def __init__(self, columns: Mapping[str, list[float]] | None = None) -> None:
        super().__init__(columns)
        self.gradients = Table()
        self.best_epoch = self.batches = 0
        self.stopped_because = ""
        self.notes: list[str] = []
        self.changes: list[dict[str, Any]] = []

    @property
    def epochs(self) -> int:
        """Number of finished epochs."""
        return len(self.get("epoch", ()))

    def __str__(self) -> str:
        """A table with a row per epoch."""
        if not self.epochs:
            return "a history of no epoch"
        columns = columns_of(self)
        return "\n".join([*heading(columns), *(line(columns, row) for row in self.rows())])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """The same table, in a notebook."""
        columns = columns_of(self)
        heads = "".join(f"<th>{column.part} {column.head}</th>" for column in columns)
        lines = [f"<tr>{heads}</tr>"]
        for row in self.rows():
            cells = (column.cell(row[column.key]).strip() for column in columns)
            lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
        return f"<table>{''.join(lines)}</table>"


class Best:
    """Which epoch is best so far by one validated number.

    Parameters
    ----------
    monitor : str
        Which number, such as "val_loss" or "val_accuracy"; a loss or an error should fall, all else
        rise.
    min_gain : float
        An epoch is better only if it gains more than this on the best so far.

    Raises
    ------
    ValueError
        If the monitor is no validated number, or the gain is negative.
    """

    def __init__(self, monitor: str = "val_loss", min_gain: float = 0.0) -> None:
        if not isinstance(monitor, str) or not monitor.startswith("val_"):
            raise ValueError(
                f"monitor must be a validated number such as 'val_loss' or 'val_accuracy', got "
                f"{monitor!r}"
            )
        self.monitor = monitor
        self.min_gain = at_least_0("training", "min_gain", min_gain)
        self.epoch = 0
        self.value: float | None = None

    def update(self, epoch: int, row: Mapping[str, float]) -> bool:
        """Take note of an epoch's numbers; returns whether it is the best so far."""
        value = row[self.monitor]
        if self.value is not None and not gain(self.monitor, self.value, value) > self.min_gain:
            return False
        self.epoch, self.value = epoch, value
        return True

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"monitor": self.monitor, "epoch": self.epoch, "value": self.value}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        if state["monitor"] != self.monitor:
            raise ValueError(
                f"the run was started with monitor {state['monitor']!r} and cannot be continued "
                f"with {self.monitor!r}"
            )
        self.epoch, self.value = state["epoch"], state["value"]


class Pace:
    """Whether an epoch still gains enough to be worth its time.

    Unlike `Best`, which asks whether a record was broken, it looks at how steep the curve still
    is: the gain per epoch is the mean over the last few, which is their whole gain divided by
    their number.

    Parameters
    ----------
    name : str
        Column of the history: a loss gains by falling, an accuracy by rising.
    least : float
        What an epoch has to gain, in units of that column.
    epochs : int
        Over how many epochs the gain is averaged.

    Raises
    ------
    ValueError
        If ``least`` is negative.

    Examples
    --------
    >>> history = History({"epoch": [1, 2, 3, 4], "accuracy": [0.5, 0.8, 0.9, 0.91]})
    >>> Pace("accuracy", 0.05, epochs=1).is_slow(history)
    True
    >>> Pace("accuracy", 0.05, epochs=3).is_slow(history)
    False
    """

    def __init__(self, name: str, least: float, epochs: int) -> None:
        self.name = name
        self.least = at_least_0("training", "stop_gain", least)
        self.epochs = epochs

    def is_slow(self, history: History) -> bool:
        """Whether the last epochs gained less than they had to; False while they are too few."""
        values = history.get(self.name, [])
        if len(values) <= self.epochs:
            return False
        return gain(self.name, values[-1 - self.epochs], values[-1]) / self.epochs < self.least
