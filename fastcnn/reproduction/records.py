"""What finished runs have measured, kept in a text file: numbers outlive the machine.

A line of the file is a run, as JSON: the version that made it, its settings where they are not the
defaults, a fingerprint of its network, its result, its numbers of each epoch, what the finished
network does on the training images, which test images it confused (true, predicted, how many), and
of each array of weights the mean, the standard deviation and the excess kurtosis. A run is looked
up by its settings and its network, so what has changed since is not found, and made anew.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__, models, training
from ..config import MACHINE, Config, replace, to_dict, toml_value
from ..config.recipe import loss_of, make_model, make_normalization
from ..datasets import Dataset
from ..files import write_text
from ..plots.confusion import confusion_matrix
from ..runs.folder import read_file
from ..runs.saved import Saved
from ..sequential import Sequential
from ..training.history import History

_COLUMNS = ("loss", "accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy", "lr")
_RESULT = ("epochs_run", "best_epoch", "test_loss", "test_accuracy", "stopped_because")
_DIGITS = 6


@dataclasses.dataclass(frozen=True)
class Record:
    """A finished run without its weights."""

    version: str
    settings: Mapping[str, Any]
    network: str
    result: Mapping[str, Any]
    epochs: Mapping[str, list[float]]
    train: tuple[float, float]
    confused: list[tuple[int, int, int]]
    arrays: Mapping[str, tuple[float, float, float]]

    @cached_property
    def config(self) -> Config:
        """All settings."""
        return replace(Config(), self.settings)

    @cached_property
    def history(self) -> History:
        """The numbers of each epoch."""
        count = self.result["epochs_run"]
        history = History({"epoch": [float(epoch) for epoch in range(1, count + 1)], **self.epochs})
        history.best_epoch = self.result["best_epoch"] or 0
        return history

    @property
    def key(self) -> str:
        """What it is looked up by."""
        return _key(self.settings, self.network)


class Records:
    """The records in a file; one that does not exist is empty."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._records = self._read()

    def find(self, config: Config) -> Record | None:
        """The record of a run with these settings, on whatever machine."""
        return self._records.get(_key(_settings(config), fingerprint(config)))

    def add(self, record: Record) -> None:
        """Keep one more; what other processes have written meanwhile stays."""
        self._records = self._read() | {record.key: record}
        lines = sorted(json.dumps(dataclasses.asdict(each)) for each in self._records.values())
        write_text(self.path, "\n".join(lines) + "\n")

    def _read(self) -> dict[str, Record]:
        if not self.path.is_file():
            return {}
        return read_file(self.path, _parsed, "restore it")


def _parsed(text: str) -> dict[str, Record]:
    try:
        records = [Record(**json.loads(line)) for line in text.splitlines()]
        return {record.key: record for record in records}
    except (TypeError, AttributeError) as error:
        raise ValueError(f"a line of it is no record: {error}") from None


def measured(run: Saved, data: Dataset) -> Record:
    """The record of a finished run on these images."""
    result, config = run.result, run.config
    model = run.model if result["epochs_run"] else _untrained(config, data)
    x, y, share = data.x_train, data.y_train, config.data.validation
    if share:
        rows = training.split(len(x), share, config.training.seed)[0]
        x, y = x[rows], y[rows]
    matrix = confusion_matrix(data.y_test, model.predict(data.x_test), len(data.class_names))
    wrong = [
        (int(true), int(guess), int(matrix[true, guess]))
        for true, guess in zip(*np.nonzero(matrix), strict=True)
        if true != guess
    ]
    history = run.history if result["epochs_run"] else {}
    loss, accuracy = model.evaluate(x, y)
    record = Record(
        __version__,
        _settings(config),
        fingerprint(config),
        {name: _short(result[name]) for name in _RESULT},
        {name: list(map(_short, history[name])) for name in _COLUMNS if name in history},
        (_short(loss), _short(accuracy)),
        wrong,
        {name: _moments(array) for name, array in model.copy_arrays().items()},
    )
    return _parsed(json.dumps(dataclasses.asdict(record)))[record.key]  # as it will be read


def _untrained(config: Config, data: Dataset) -> Sequential:
    """The network that a run began with, which keeps none of its own if no epoch was finished."""
    model = make_model(config, data.x_train.shape[1:], len(data.class_names))
    model.normalization = make_normalization(config, data.x_train, config.data.validation)
    return model


def fingerprint(config: Config) -> str:
    """What tells the network of these settings from one that has since become another."""
    changes = {
        name: value
        for name, value in vars(config.model).items()
        if name not in ("model", "preset") and value not in (None, "default")
    }
    return _fingerprint(config.model.model, tuple(changes.items()))


@cache
def _fingerprint(name: str, changes: tuple[tuple[str, Any], ...]) -> str:
    try:
        network = repr(models.build(name, **dict(changes)))
    except ValueError:  # the run itself will say why
        network = ""
    return hashlib.sha256(network.encode()).hexdigest()[:12]


def _settings(config: Config) -> dict[str, Any]:
    """Those that are not the defaults, as JSON can hold them."""
    usual, given = (to_dict(each) | {"loss": loss_of(each)} for each in (Config(), config))
    return {
        name: toml_value(value)
        for name, value in given.items()
        if value != usual[name] and name not in (*MACHINE, "preset")
    }


def _key(settings: Mapping[str, Any], network: str) -> str:
    return json.dumps([dict(settings), network], sort_keys=True)


def _short(value: Any) -> Any:
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


def _moments(array: np.ndarray) -> tuple[float, float, float]:
    """Mean, standard deviation, excess kurtosis (0 for normal numbers)."""
    numbers = array.astype(np.float64).ravel()
    deviation = float(numbers.std())
    if not deviation:
        return _short(float(numbers.mean())), 0.0, 0.0
    kurtosis = float((((numbers - numbers.mean()) / deviation) ** 4).mean() - 3)
    return _short(float(numbers.mean())), _short(deviation), _short(kurtosis)
