"""Two settings against each other, a seed after the other, until it is decided."""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, get_args

from ..config import Config, replace
from ..config.recipe import resolved
from ..files import write_text
from ..runs.saved import Saved
from .children import Children, RunError, is_finished
from .evidence import Evidence

Metric = Literal[
    "test_accuracy", "test_loss", "val_accuracy", "val_loss", "train_accuracy", "train_loss"
]
METRICS: tuple[str, ...] = get_args(Metric)
_COLUMNS = {"train_accuracy": "accuracy", "train_loss": "loss"}


@dataclasses.dataclass(frozen=True)
class Limits:
    """When to stop looking."""

    until_decided: bool = True
    """Stop as soon as the settings are told apart."""
    minutes: float = 30.0
    """Begin no seed that would end later."""
    seeds: int = 30
    """At most so many."""


@dataclasses.dataclass(frozen=True)
class Contest:
    """Two settings and the number that they are compared by.

    Parameters
    ----------
    names : pair of str
        What they are called.
    configs : pair of Config
        The settings; their seed is the first, the others follow it.
    metric : str
        One of `METRICS`, of the epoch that a run ends with.
    out : Path
        Folder for the runs.
    """

    names: tuple[str, str]
    configs: tuple[Config, Config]
    metric: str
    out: Path

    def held(
        self, limits: Limits, children: Children, threads: int, say: Callable[[str], object]
    ) -> Evidence:
        """Run seeds by turns; the differences (first less second) of all that were finished."""
        differences: list[float] = []
        started, longest = time.monotonic(), 0.0
        for number in range(limits.seeds):
            begun = time.monotonic()
            if number and begun - started + longest > 60 * limits.minutes:
                break
            values, images = self._seed(number, children, threads)
            longest = max(longest, time.monotonic() - begun)
            differences.append(values[0] - values[1])
            evidence = Evidence(differences, 1 / images if self._is_accuracy else 0.0)
            seed = self.configs[0].training.seed + number
            say(f"  seed {seed}: {self._told(values[0])} and {self._told(values[1])}")
            if limits.until_decided and evidence.is_decided:
                break
        self._write(evidence)
        return evidence

    def sentence(self, evidence: Evidence) -> str:
        """What came out, in one sentence."""
        count = len(evidence.differences)
        seeds = "1 seed" if count == 1 else f"{count} seeds"
        what = self.metric.replace("_", " ")
        if evidence.is_decided:
            first_wins = (evidence.mean > 0) == self._is_accuracy
            better, worse = self.names if first_wins else self.names[::-1]
            ends = sorted(map(abs, evidence.interval))
            return (
                f"{better} is better than {worse} by {self._gap(abs(evidence.mean))} of {what} "
                f"(95 %: {self._gap(ends[0])} to {self._gap(ends[1])}), after {seeds} of each"
            )
        told = f"{self.names[0]} and {self.names[1]} cannot be told apart by {what} after {seeds}"
        if evidence.largest == float("inf"):
            return f"{told} of each, which are too few to exclude any difference"
        return (
            f"{told} of each: the difference is {self._gap(evidence.mean)}, and one of more than "
            f"{self._gap(evidence.largest)} either way is excluded"
        )

    @property
    def _is_accuracy(self) -> bool:
        return self.metric.endswith("accuracy")

    def _seed(
        self, number: int, children: Children, threads: int
    ) -> tuple[tuple[float, float], int]:
        """The two numbers of a seed, made now unless kept; images behind the coarser of them."""
        wanted = {}
        for side, config in zip("AB", self.configs, strict=True):
            seed = config.training.seed + number
            wanted[self.out / side / f"seed-{seed}"] = resolved(replace(config, {"seed": seed}))
        missing = {path: each for path, each in wanted.items() if not is_finished(path, each)}
        for _ in children.run(missing, threads):
            pass
        measured = [self._measured(Saved(path)) for path in wanted]
        return (measured[0][0], measured[1][0]), min(images for _, images in measured)

    def _measured(self, run: Saved) -> tuple[float, int]:
        """(the number, images behind it) of a run; a run that diverged at once has guessed."""
        data, result = run.config.data, run.result
        dataset = run.dataset()
        trained = len(dataset.x_train)
        held_out = round(trained * data.validation)
        images = {"test": len(dataset.x_test), "val": held_out, "train": trained - held_out}
        count = images[self.metric.split("_")[0]]
        if not result["epochs_run"]:
            if not self._is_accuracy:
                raise RunError(f"{run.path} diverged in its first epoch and has no {self.metric}")
            return 1 / len(dataset.class_names), count
        column = _COLUMNS.get(self.metric, self.metric)
        if column not in run.history:
            raise RunError(f"{run.path} has no {self.metric}: it validates on no images")
        return run.history[column][result["best_epoch"] - 1], count

    def _gap(self, value: float) -> str:
        return f"{100 * value:.2f} points" if self._is_accuracy else f"{value:.3g} nats"

    def _told(self, value: float) -> str:
        return f"{value:.2%}" if self._is_accuracy else f"{value:.4g}"

    def _write(self, evidence: Evidence) -> None:
        kept = {
            "settings": list(self.names),
            "metric": self.metric,
            "differences": list(evidence.differences),
            "decided": evidence.is_decided,
            "said": self.sentence(evidence),
        }
        write_text(self.out / "comparison.json", json.dumps(kept, indent=2) + "\n")


def common(configs: Sequence[Config]) -> None:
    """Refuse settings whose numbers cannot be compared.

    Raises
    ------
    ValueError
        If they are measured on other images.
    """
    first, second = (config.data for config in configs)
    for name in ("dataset", "limit_test"):
        one, other = getattr(first, name), getattr(second, name)
        if one != other:
            raise ValueError(
                f"the two settings are measured on different images: {name} is {one} and {other}"
            )
