"""Runs experiments and keeps them: what is finished is never run twice.

An `Experiment` is a model and what is changed of its author's settings. With a seed it is one run,
which has a folder of its own, named after the changes, that holds what `python -m fastcnn.train`
writes. Results do not depend on the number of threads, so runs share the cores; those whose time
is wanted run alone, on all of them.
"""

import dataclasses
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kernels.cores import available_cores

from .. import datasets, models
from ..comparing.children import Children, is_finished
from ..comparing.evidence import Evidence
from ..config import Config, replace
from ..config.recipe import resolved
from ..files import write_text
from ..runs.folder import read_json
from ..runs.saved import Saved
from .records import Record, Records, measured
from .verdicts import Sample

FIRST_SEEDS = 4
"""With fewer no difference can be told (`fastcnn.comparing.evidence`)."""
_FIRST = 42
_SEEDS = (42, 43, 44)
_TRAIN_IMAGES = {"mnist": 60_000, "cifar10": 50_000}
_TIMED_EPOCHS = 2  # the last one counts
_ROUNDS = 3


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

    def seeded(self, count: int) -> "Experiment":
        """The experiment with so many seeds."""
        return dataclasses.replace(self, seeds=tuple(range(_FIRST, _FIRST + count)))

    @property
    def name(self) -> str:
        """Model and changes, as a folder can be called."""
        words = [self.model]
        for name, value in sorted(self.changes.items()):
            text = "-".join(map(str, value)) if isinstance(value, (tuple, list)) else f"{value}"
            words.append(f"{name}={text}")
        return ",".join(words)


@dataclasses.dataclass(frozen=True, eq=False)
class Question:
    """Whether a number is larger with one experiment than with another."""

    more: Experiment
    less: Experiment
    measure: Callable[[Sequence[Record]], Sample]
    seeds: int = 12
    """At most so many of each."""

    def evidence(self, lab: "Laboratory", count: int) -> Evidence:
        """The differences of so many seeds, which are trained."""
        sides = lab.train([side.seeded(count) for side in (self.more, self.less)])
        more, less = map(self.measure, sides)
        resolution = 1 / more.images if more.images else 0.0
        return Evidence(more.minus(less).values, resolution)


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
    most_seeds: int = 12
    """At most so many seeds for a claim about a difference."""
    decides: bool = True
    """Whether a claim can be judged by it."""


FULL = Scale("full", {}, 1.0, 3)
# Chosen so that all systems together take less than ten minutes on two cores.
QUICK = Scale("quick", {"limit_train": 2000, "limit_test": 1000}, 0.15, 1, 1, decides=False)


class Times(NamedTuple):
    """Seconds of an epoch, once for each round."""

    whole: list[float]
    """Testing included."""
    training: list[float]

    @property
    def median(self) -> float:
        """Of the whole epoch."""
        return statistics.median(self.whole)


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
    records : Path, optional
        File of what runs have measured; default: in the folder.
    note : function, optional
        Told each note of a run, once.
    """

    def __init__(
        self,
        folder: Path,
        scale: Scale = FULL,
        data_dir: str | None = None,
        workers: int | None = None,
        say: Any = print,
        offline: bool = False,
        records: Path | None = None,
        note: Callable[[str], object] = lambda note: None,
    ) -> None:
        self.folder = folder
        self.scale = scale
        self.cores = available_cores()
        self.data_dir = data_dir
        self.offline = offline
        self.records = Records(records or folder / "runs.jsonl")
        self.times = self.records.path.with_name("times.json")
        self._images: dict[str, datasets.Dataset] = {}
        self.children = Children(workers or self.cores, note)
        self._say = say

    # --- runs ---------------------------------------------------------------------------------

    def train(self, experiments: Sequence[Experiment]) -> list[list[Record]]:
        """The records of each experiment's runs, one for each seed; made now unless kept."""
        runs = self._runs(experiments)
        missing = {}
        for folder, config in runs.items():
            if self.records.find(config) is None:
                if is_finished(folder, config):
                    self._keep(folder)
                else:
                    missing[folder] = config
        threads = max(1, self.cores // max(1, min(self.children.workers, len(missing))))
        for done, (folder, seconds) in enumerate(self.children.run(missing, threads), 1):
            self._keep(folder)
            accuracy = Saved(folder).result["test_accuracy"]
            told = "diverged at once" if accuracy is None else f"test accuracy {accuracy:.2%}"
            name = folder.relative_to(self.folder)
            self._say(f"  run {done} of {len(missing)}: {name}: {told}, {seconds:.0f} s")
        return [list(map(self._found, self._runs([one]).values())) for one in experiments]

    def decide(self, questions: Sequence[Question]) -> list[Evidence]:
        """What tells the two sides of each question apart, seeds added by turns until it does.

        At most `Question.seeds`, and never more than the scale allows.
        """
        most = {q: min(q.seeds, self.scale.most_seeds) for q in questions}
        counts = {q: min(FIRST_SEEDS, most[q]) for q in questions}
        while True:
            self.train([side.seeded(counts[q]) for q in questions for side in (q.more, q.less)])
            evidence = {q: q.evidence(self, counts[q]) for q in questions}
            growing = [q for q in questions if not evidence[q].is_decided and counts[q] < most[q]]
            if not growing:
                return [evidence[q] for q in questions]
            for question in growing:
                counts[question] += 1

    @property
    def first_seeds(self) -> int:
        """Seeds that every question has."""
        return min(FIRST_SEEDS, self.scale.most_seeds)

    def saved(self, experiment: Experiment) -> Saved | None:
        """The first run of an experiment with its weights, if they are still in the folder."""
        folder, config = next(iter(self._runs([experiment]).items()))
        return Saved(folder) if is_finished(folder, config) else None

    def kept(self, experiments: Sequence[Experiment]) -> tuple[int, int]:
        """How many of the experiments' runs are known already, and how many there are."""
        runs = self._runs(experiments).values()
        return sum(self.records.find(config) is not None for config in runs), len(runs)

    def _found(self, config: Config) -> Record:
        record = self.records.find(config)
        assert record is not None
        return record

    def _keep(self, folder: Path) -> None:
        run = Saved(folder)
        data = run.config.data
        images = self._images.get(data.dataset)
        if images is None:
            images = datasets.load(data.dataset, self.data_dir, self.offline)
            self._images[data.dataset] = images
        self.records.add(measured(run, images.limit(data.limit_train, data.limit_test)))

    def time(self, experiments: Sequence[Experiment]) -> None:
        """Measure what an epoch takes, all by turns, on all cores; what is known is kept."""
        timed = {each.name: each for each in map(self._timed, experiments)}
        missing = {name: each for name, each in timed.items() if name not in self._times()}
        found: dict[str, Times] = {name: Times([], []) for name in missing}
        for _ in range(_ROUNDS if missing else 0):
            for name, each in missing.items():
                folder = self.folder / "timing" / name
                config = self._config({**each.settings(), "seed": _FIRST})
                (folder / "result.json").unlink(missing_ok=True)
                for _ in self.children.run({folder: config}, self.cores):
                    pass
                history = Saved(folder).history
                found[name].whole.append(history["seconds"][-1])
                found[name].training.append(history["seconds_training"][-1])
        if missing:
            self._say(f"  {len(missing)} times of an epoch, measured by turns")
            self._write_times(self._times() | found)

    def epoch(self, experiment: Experiment) -> Times:
        """Seconds that an epoch takes; where the scale limits the images, scaled up to all."""
        self.time([experiment])
        timed = self._timed(experiment)
        share = images_per_epoch(timed) / images_per_epoch(experiment)
        whole, training = self._times()[timed.name]
        return Times([each / share for each in whole], [each / share for each in training])

    def _timed(self, experiment: Experiment) -> Experiment:
        return self.scaled(experiment).but(epochs=_TIMED_EPOCHS, patience=None)

    def _times(self) -> dict[str, Times]:
        if not self.times.is_file():
            return {}
        kept = read_json(self.times)
        return {name: Times(*each) for name, each in kept.items()}

    def _write_times(self, times: Mapping[str, Times]) -> None:
        lines = [f"  {json.dumps(name)}: {json.dumps(times[name])}" for name in sorted(times)]
        write_text(self.times, "{\n" + ",\n".join(lines) + "\n}\n")

    def scaled(self, experiment: Experiment) -> Experiment:
        """The experiment as this laboratory's scale wants it."""
        if self.scale is FULL:
            return experiment
        epochs = experiment.settings()["epochs"]
        changes = dict(self.scale.changes)
        if experiment.settings().get("limit_train"):  # is small as it is
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


def images_trained(config: Config) -> int:
    """Images that are trained on."""
    return _images(config) - images_held_out(config)


def images_held_out(config: Config) -> int:
    """Images that are validated on."""
    return round(_images(config) * config.data.validation)


def _images(config: Config) -> int:
    return config.data.limit_train or _TRAIN_IMAGES[config.data.dataset]
