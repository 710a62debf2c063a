"""Everything that decides what a search computes, and the TOML file that repeats it.

    method = "grid"                        in the table [search]
    lr = [0.01, 0.05, 0.1]                 in the table [search.space]
    model = "cifar-cnn"                    in the tables of `fastcnn.config`: for all trials

Examples
--------
>>> from fastcnn.searching import plan, space
>>> search = plan.make({"model": "cifar-mlp"}, [space.from_text("lr=0.005,0.01")])
>>> search.method, search.trials, search.settings(1)
('grid', 2, {'lr': 0.01})
"""

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ..checks import unknown
from ..config import (
    MACHINE,
    Config,
    ConfigError,
    check,
    from_tables,
    presets,
    read_tables,
    replace,
    to_tables,
)
from ..config.recipe import begin, make_model, make_optimizer, make_schedule
from ..files import place
from ..random import generator
from . import space
from .space import Axis, Choice

Method = Literal["grid", "random", "tpe"]
Objective = Literal["val_accuracy", "val_loss"]
Prune = Literal["none", "median", "halving"]

_TRIALS = 20  # of a search that is not a grid, unless said otherwise


@dataclasses.dataclass(frozen=True)
class Plan:
    """A search; `make` fills in what is not given.

    Attributes
    ----------
    fixed : Mapping[str, Any]
        Settings that all trials have; the model's preset has the others.
    axes : tuple[Axis, ...]
        What differs.
    method : Method
        Grid (every combination once), random, or tpe (model-based).
    trials : int
        How many.
    objective : Objective
        What the trials are compared by, measured on the validation images in the epoch where it is
        best.
    prune : Prune
        How hopeless trials are ended early.
    """

    fixed: Mapping[str, Any]
    axes: tuple[Axis, ...]
    method: Method
    trials: int
    objective: Objective
    prune: Prune

    @property
    def seed(self) -> int:
        """Key of every proposal: the training's seed, or its default where that is searched."""
        return self.fixed.get("seed", Config().training.seed)

    @property
    def is_higher_better(self) -> bool:
        """Whether the objective should rise."""
        return self.objective == "val_accuracy"

    def settings(self, number: int) -> dict[str, Any]:
        """What trial `number` (from 0) tries; a function of the seed and the number alone.

        A tpe search draws its first trials like this.
        """
        if self.method == "grid":
            return space.grid([axis for axis in self.axes if isinstance(axis, Choice)])[number]
        return {
            axis.name: axis.draw(generator(self.seed, "search", number, axis.name))
            for axis in self.axes
        }

    def config(self, settings: Mapping[str, Any]) -> Config:
        """Every setting of a trial."""
        config = presets.configure({**self.fixed, **settings})
        path = config.transfer.init_from
        return replace(
            config,
            # A relative path would mean another file in another folder.
            {"monitor": self.objective, "init_from": path and str(place(path).resolve())},
        )

    def check(self, input_shape: tuple[int, ...], class_names: Sequence[str]) -> None:
        """Refuse now what a trial would refuse later, as far as can be told.

        Raises
        ------
        ValueError
            Names the setting, says what it must be.
        """
        axes = self.axes
        tried = space.grid(typing.cast(Any, axes)) if self.method == "grid" else space.probes(axes)
        models = []
        for settings in tried:
            config = self.config(settings)
            check(config)
            if config.data.validation == 0:
                raise ConfigError(
                    f"a search compares trials by {self.objective} and {config.model.model} "
                    f"validates on no images: give --validation 0.1, for example"
                )
            make_optimizer(config)
            make_schedule(config)
            if (config.model, config.transfer) not in models:
                begin(make_model(config, input_shape, len(class_names)), config, class_names)
                models.append((config.model, config.transfer))

    def to_tables(self) -> dict[str, Any]:
        """What `from_tables` takes and TOML can write."""
        search: dict[str, Any] = {"method": self.method}
        if self.method != "grid":
            search["trials"] = self.trials
        search |= {"objective": self.objective, "prune": self.prune}
        search["space"] = {axis.name: axis.to_toml() for axis in self.axes}
        return {"search": search, **to_tables(self.fixed)}

    def to_toml(self) -> str:
        """A file that `read` takes."""
        import tomli_w

        return tomli_w.dumps(self.to_tables())

    def identity(self) -> dict[str, Any]:
        """What all who work on a search must agree about; more trials may be added."""
        fixed = {name: value for name, value in self.fixed.items() if name not in MACHINE}
        tables = dataclasses.replace(self, fixed=fixed).to_tables()
        tables["search"].pop("trials", None)
        # Which trial is which cell of a grid hangs on it.
        tables["search"]["order"] = [axis.name for axis in self.axes]
        return tables


def make(
    fixed: Mapping[str, Any],
    axes: Sequence[Axis],
    method: str | None = None,
    trials: int | None = None,
    objective: str = "val_accuracy",
    prune: str | None = None,
) -> Plan:
    """A plan from what the user said.

    Parameters
    ----------
    fixed : Mapping[str, Any]
        Settings that all trials have.
    axes : sequence of Axis
        What differs.
    method : str, optional
        Default: grid if every axis is a list of values, else tpe.
    trials : int, optional
        Default: 20; a grid has its own number.
    objective : str
        Val_accuracy or val_loss.
    prune : str, optional
        None, median or halving; default: none for a grid, so that its table is complete, else
        median.

    Raises
    ------
    ConfigError
        In one sentence, what contradicts what.
    """
    if not axes:
        raise ConfigError("there is nothing to search: give --search lr=0.01,0.1, for example")
    names = [axis.name for axis in axes]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{name} is searched twice: give all its values at once")
        if name in fixed:
            raise ConfigError(f"{name} is both given and searched: leave one out")
        if name in MACHINE:
            raise ConfigError(f"{name} does not change what a trial finds and cannot be searched")
    if fixed.get("init_from"):
        fixed = {**fixed, "init_from": str(place(fixed["init_from"]).resolve())}
    axes = sorted(axes, key=lambda axis: not isinstance(axis, Choice))  # as TOML will have them
    ranges = [axis.name for axis in axes if not isinstance(axis, Choice)]
    if method is None:
        method = "tpe" if ranges else "grid"
    if prune is None:
        prune = "none" if method == "grid" else "median"
    for what, value, kind in (
        ("method", method, Method),
        ("objective", objective, Objective),
        ("way to prune", prune, Prune),
    ):
        if value not in typing.get_args(kind):
            raise ConfigError(unknown(what, value, typing.get_args(kind)))
    if method == "grid":
        if ranges:
            raise ConfigError(
                f"a grid needs values, and {ranges[0]} has a range: give {ranges[0]}=A,B,C, or "
                f"--method random or tpe"
            )
        cells = len(space.grid(typing.cast(Any, axes)))
        if trials not in (None, cells):
            raise ConfigError(f"this grid has {cells} trials: leave --trials {trials} out")
        trials = cells
    trials = _TRIALS if trials is None else trials
    if isinstance(trials, bool) or not isinstance(trials, int) or trials < 1:
        raise ConfigError(f"trials must be a whole number of at least 1, got {trials!r}")
    if "monitor" in names or fixed.get("monitor", objective) != objective:
        raise ConfigError(
            f"a search by {objective} takes each trial's best epoch by {objective} too: leave "
            f"monitor out, or give --objective"
        )
    return Plan(
        dict(fixed),
        tuple(axes),
        typing.cast(Method, method),
        trials,
        typing.cast(Objective, objective),
        typing.cast(Prune, prune),
    )


def read(path: str | Path) -> dict[str, Any]:
    """Arguments for `make` from a TOML file; a file of `python -m fastcnn.train` has no axes.

    Raises
    ------
    ConfigError
        If something in the file is unknown; says which file.
    ConfigFileError
        If it cannot be read.
    """
    tables = read_tables(path)
    try:
        return from_file_tables(tables)
    except ConfigError as error:
        raise ConfigError(f"in {path}: {error}") from None


def from_file_tables(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for `make` from what a TOML file holds."""
    search = tables.get("search", {})
    if not isinstance(search, Mapping):
        raise ConfigError("search must be a table: [search]")
    known = ("method", "trials", "objective", "prune", "space")
    for name in search:
        if name not in known:
            raise ConfigError(unknown("setting in [search]:", name, known))
    axes = search.get("space", {})
    if not isinstance(axes, Mapping):
        raise ConfigError("space must be a table: [search.space]")
    return {
        **{name: value for name, value in search.items() if name != "space"},
        "axes": [space.from_toml(name, value) for name, value in axes.items()],
        "fixed": from_tables(tables, others=["search"]),
    }
