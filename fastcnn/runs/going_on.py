"""A run that goes on: the settings it was begun with, and what may change of them."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from ..config import MACHINE, Config, ConfigError, read_toml, replace, to_dict
from ..config.recipe import resolved
from ..config.values import settings_by_name
from ..files import place
from ..network.checkpoint import CheckpointError
from ..training.checkpoint import SavedTraining, record_of
from ..training.history import History
from ..training.resuming import differences, refuse_differences
from .folder import SETTINGS, usable
from .saved import Saved

_FIXED = ("seed", "monitor", "optimizer", "lookahead", "ema")

MAY_CHANGE = tuple(
    name
    for name, setting in settings_by_name().items()
    if (setting.group in ("training", "optimizer", "augment") and name not in _FIXED)
    or name == "backend"
)
"""Settings that --allow can name; all others would make it another run."""


def noted(config: Config) -> dict[str, Any]:
    """The settings as a checkpoint keeps them."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in to_dict(config).items()
    }


def settings_of(folder: Path) -> dict[str, Any]:
    """The settings of the run in a folder, as `fastcnn.config.replace` takes them.

    Those in its checkpoint count; one of version 0.1.0 has none, then it is config.toml.

    Raises
    ------
    ValueError
        If there are none, or they cannot be read.
    """
    try:
        path = usable(folder)[0]
        kept = record_of(SavedTraining(path)).about
    except CheckpointError:
        kept = {}
    if not kept:
        return read_toml(folder / SETTINGS) if (folder / SETTINGS).is_file() else {}
    try:
        replace(Config(), kept)
    except ConfigError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from None
    return kept


def check_same(
    folder: Path, config: Config, allowed: Collection[str]
) -> tuple[History, Collection[str]]:
    """Refuse to go on with other settings than those allowed.

    Returns
    -------
    history : History
        The finished epochs.
    changed : collection of str
        Settings that are others.

    Raises
    ------
    ValueError
        One sentence, which names each such setting with both values.
    """
    record = record_of(SavedTraining(usable(folder)[0]))
    # A setting that an older run does not know was what it is by default.
    kept = settings_of(folder)
    before = {**noted(resolved(Config())), **kept} if kept else {}
    found = differences(before, noted(config), MACHINE)
    refuse_differences(folder, found, allowed, MAY_CHANGE, "--allow {}")
    return record.history, found


def stand(epochs: int, batches: int) -> str:
    """How far a run has come, in words."""
    return f"batch {batches} of epoch {epochs + 1}" if batches else f"epoch {epochs}"


def absolute(config: Config) -> Config:
    """The settings with no path that another folder would make another."""
    path = config.transfer.init_from
    return config if path is None else replace(config, {"init_from": str(place(path).resolve())})


def was_run_with(folder: Path, config: Config) -> bool:
    """Whether the run in a folder was begun with these settings, on whatever machine."""
    try:
        kept = to_dict(resolved(Saved(folder).config))
    except ValueError:  # no run, or one whose settings cannot be read
        return False
    wanted = to_dict(resolved(config))
    return all(kept[name] == wanted[name] for name in wanted if name not in MACHINE)
