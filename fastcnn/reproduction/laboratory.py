"""Runs experiments and keeps them: what is finished is never run twice.

An `Experiment` is a model and what is changed of its author's settings. With a seed it is one run,
which has a folder of its own, named after the changes, that holds what `python -m fastcnn.train`
writes. Results do not depend on the number of threads, so runs share the cores, one thread each;
those whose time is wanted run alone, on all of them.
"""

import dataclasses
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kernels.cores import available_cores

from .. import models, training
from ..comparing.children import Children, is_finished
from ..config import Config, replace
from ..config.recipe import resolved
from ..files import write_text
from ..runs.folder import read_json
from ..runs.saved import Saved

_SEEDS = (42, 43, 44)
_TRAIN_IMAGES = {"mnist": 60_000, "cifar10": 50_000}
_TIMED_EPOCHS = 4  # the first is not counted
_EVALUATION = "train_evaluation.json"


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A model, trained with its author's settings but for some changes."""

    model: str
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seeds: Sequence[int] = _SEEDS

    def settings(self) -> dict[str, Any]:
        """What is given to `fastcnn.config`: the preset and the changes."""
        preset = models.preset(self.model, self.changes.get("preset", "author"))
        return {**preset, "model": self.model, **self.changes}

    def but(self, **changes: Any) -> "Experiment":
        """The experiment with further changes."""
        return dataclasses.replace(self, changes={**self.changes, **changes})

    def once(self) -> "Experiment":
        """The experiment with its first seed alone."""
        return dataclasses.replace(self, seeds=self.seeds[:1])

    @property
    def name(self) -> str:
        """Model and changes, as a folder can be called."""
        words = [self.model]
        for name, value in sorted(self.changes.items()):
            text = "-".join(map(str, value)) if isinstance(value, (tuple, list)) else f"{value}"
            words.append(f"{name}={text}")
        return ",".join(words)


@dataclasses.dataclass(frozen=True)
class Scale:
    """How much of everything is done."""

    name: str
    changes: Mapping[str, Any]
    """Settings that all runs share: fewer images, for example."""
    epochs: float
    """Epochs, as a share of the author's."""
    seeds: int
    """At most so many seeds."""
    decides: bool = True
    """Whether a claim can be judged by it."""


FULL = Scale("full", {}, 1.0, 3)
# Chosen so that all systems together take less than ten minutes on two cores.
QUICK = Scale("quick", {"limit_train": 2000, "limit_test": 1000}, 0.15, 1, decides=False)


class Laboratory:
    """A folder of runs, and what makes more of them.

    Parameters
    ----------
    folder : Path
        Where runs are kept; made if missing.
    scale : Scale
        How much is done of everything.
    data_dir : str, optional
        Folder of the datasets, as `--data-dir` of training.
    workers : int, optional
        Runs at a time; default: as many as cores.
    say : function, optional
        Told a line when a run is finished.
    offline : bool
        Never download.
    """

    def __init__(
        self,
        folder: Path,
        scale: Scale = FULL,
        data_dir: str | None = None,
        workers: int | None = None,
        say: Any = print,
        offline: bool = False,
    ) -> None:
        self.folder = folder
        self.scale = scale
        self.cores = available_cores()
        self.data_dir = data_dir
        self.offline = offline
        self.children = Children(workers or self.cores)
        self._say = say

    # --- runs ---------------------------------------------------------------------------------

    def train(self, experiments: Sequence[Experiment]) -> list[list[Saved]]:
        """The runs of each experiment, one for each of its seeds; made now unless kept."""
        runs = self._runs(experiments)
        missing = {folder: runs[folder] for folder in runs if not is_finished(folder, runs[folder])}
        for folder in missing:
            (folder / _EVALUATION).unlink(missing_ok=True)  # of an earlier run with other settings
        threads = max(1, self.cores // self.children.workers)
        for done, (folder, seconds) in enumerate(self.children.run(missing, threads), 1):
            accuracy = Saved(folder).result["test_accuracy"]
            told = "diverged at once" if accuracy is None else f"test accuracy {accuracy:.2%}"
            name = folder.relative_to(self.folder)
            self._say(f"  run {done} of {len(missing)}: {name}: {told}, {seconds:.0f} s")
        return [[Saved(folder) for folder in self._runs([one])] for one in experiments]

    def kept(self, experiments: Sequence[Experiment]) -> tuple[int, int]:
        """How many of the experiments' runs are finished already, and how many there are."""
        runs = self._runs(experiments)
        return sum(is_finished(*run) for run in runs.items()), len(runs)

    def seconds_per_epoch(self, experiment: Experiment) -> float:
        """Seconds that an epoch takes on all cores, testing included: the median of three.

        Where the scale limits the images, the time is scaled up to all of them.
        """
        timed = self.scaled(experiment).but(epochs=_TIMED_EPOCHS, patience=None)
        folder = self.folder / "timing" / timed.name
        config = self._config({**timed.settings(), "seed": 42})
        if not is_finished(folder, config):
            for _ in self.children.run({folder: config}, self.cores):
                pass
        seconds = Saved(folder).history["seconds"]
        share = images_per_epoch(timed) / images_per_epoch(experiment)
        return statistics.median(seconds[1:]) / share

    def train_accuracy(self, run: Saved) -> float:
        """Accuracy (0 to 1) on the images trained on, by the network that the run ended with.

        Not that of history.csv, which is measured during the epoch and with dropout.
        """
        return self._evaluated(run)["train_accuracy"]

    def train_loss(self, run: Saved) -> float:
        """The loss that goes with `train_accuracy`, in nats per image."""
        return self._evaluated(run)["train_loss"]

    def _evaluated(self, run: Saved) -> dict[str, float]:
        path = run.path / _EVALUATION
        if not path.is_file():
            data = run.dataset()
            x, y, share = data.x_train, data.y_train, run.config.data.validation
            if share:
                rows = training.split(len(x), share, run.config.training.seed)[0]
                x, y = x[rows], y[rows]
            loss, accuracy = run.model.evaluate(x, y)
            numbers = {"train_loss": loss, "train_accuracy": accuracy}
            write_text(path, json.dumps(numbers) + "\n")
        return read_json(path)

    def scaled(self, experiment: Experiment) -> Experiment:
        """The experiment as this laboratory's scale wants it."""
        if self.scale is FULL:
            return experiment
        epochs = experiment.settings()["epochs"]
        changes = dict(self.scale.changes)
        if "limit_train" in experiment.settings():  # is small as it is
            changes.clear()
        scaled = experiment.but(epochs=max(1, round(epochs * self.scale.epochs)), **changes)
        return dataclasses.replace(scaled, seeds=scaled.seeds[: self.scale.seeds])

    def _runs(self, experiments: Sequence[Experiment]) -> dict[Path, Config]:
        """The experiments' runs at this laboratory's scale: folder -> settings."""
        return {
            self.folder / experiment.name / f"seed-{seed}": self._config(
                {**experiment.settings(), "seed": seed}
            )
            for experiment in map(self.scaled, experiments)
            for seed in experiment.seeds
        }

    def _config(self, settings: Mapping[str, Any]) -> Config:
        machine = {"data_dir": self.data_dir, "offline": self.offline}
        return resolved(replace(Config(), {**settings, **machine}))


def images_per_epoch(experiment: Experiment) -> int:
    """Images that an epoch trains on: those not held out."""
    config = replace(Config(), experiment.settings())
    return _images(config) - images_held_out(config)


def images_held_out(config: Config) -> int:
    """Images that are validated on."""
    return round(_images(config) * config.data.validation)


def _images(config: Config) -> int:
    return config.data.limit_train or _TRAIN_IMAGES[config.data.dataset]
