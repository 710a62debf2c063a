"""Every setting of a training run, in groups; reading and writing them as TOML.

The names are unique across the groups, so a setting is addressed by its name alone: on the
command line (``--batch-size 64``), in a model's preset (``{"batch_size": 64}``) and in a TOML
file, whose tables are there for the reader.

Example:
    >>> from fastcnn.config import Config, replace
    >>> config = replace(Config(), {"lr": 0.1, "filters": (16, 32)})
    >>> config.optimizer.lr, config.model.filters
    (0.1, (16, 32))
"""

import dataclasses
import math
import tomllib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from .backends import nearest
from .data.augment import Augment

# The default help shows an optional number as "{None}|INT"; N and X read better.
_Count = Annotated[int | None, tyro.conf.arg(metavar="N|None")]
_Number = Annotated[float | None, tyro.conf.arg(metavar="X|None")]
_Counts = Annotated[tuple[int, ...] | None, tyro.conf.arg(metavar="N [N ...]|None")]
_Folder = Annotated[str | None, tyro.conf.arg(metavar="DIR|None")]

_WORDS = {int: "a whole number", bool: "true or false", str: "a text"}

# What "None" is called in TOML, which has no word for it.
_NONE = "none"

MACHINE = ("data_dir", "offline", "threads")
"""Settings that say where a run computes, not what comes out."""


class ConfigError(ValueError):
    """A setting that does not exist or cannot have the value given."""


class PlaceError(ConfigError):
    """A file or folder that cannot be read or written, whatever the settings; named."""


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """Which images, how many, and how their pixels become numbers."""

    dataset: str = "auto"
    """Name of the dataset, see --list-datasets. auto: MNIST, else the small built-in digits."""
    data_dir: _Folder = None
    """Folder with mnist/ and cifar-10-batches-bin/. None: FASTCNN_DATA or the user's cache."""
    offline: bool = False
    """Never download."""
    limit_train: _Count = None
    """Use only the first N training images."""
    limit_test: _Count = None
    """Use only the first N test images."""
    validation: float = 0.0
    """Share of the training images held out for validation, 0 for none."""
    normalization: Literal["scale", "scale256", "standardize"] = "scale"
    """scale: pixel / 255; scale256: pixel / 256; standardize: mean 0, deviation 1 per channel."""


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """Which network, and changes to it."""

    model: str = "auto"
    """Name of the network, see --list-models. auto: the usual one for the dataset."""
    filters: _Counts = None
    """Filters of each convolution, for networks that let them be chosen."""
    hidden: _Count = None
    """Units of the hidden layer, for networks that let them be chosen."""
    dropout: _Number = None
    """Probability of dropping a value, for networks with dropout."""
    norm: Literal["default", "batch", "group", "layer", "none"] = "default"
    """Normalisation, for networks that let it be chosen; default: the network's own."""
    depth: _Count = None
    """Layers of a densenet: 4 more than a multiple of 6."""
    growth: _Count = None
    """Channels that each unit of a densenet adds."""


@dataclasses.dataclass(frozen=True)
class TransferOptions:
    """What the network begins with, and what of it stays so."""

    init_from: Annotated[str | None, tyro.conf.arg(metavar="FILE|None")] = None
    """Saved model (best.npz) from which every array that fits by name and shape is loaded."""
    fresh_head: bool = False
    """Let the last layer begin anew, even if --init-from has one that fits."""
    freeze: Annotated[
        int | Literal["all-but-last"] | None, tyro.conf.arg(metavar="N|all-but-last|None")
    ] = None
    """Do not train the first N layers (those of the model's summary), or all but the last."""


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """How long and on what the network is trained."""

    epochs: int = 20
    """Passes over the training images."""
    batch_size: int = 32
    """Images per step."""
    loss_reduction: Literal["mean", "sum"] = "mean"
    """Whether a batch's loss is the mean or the sum over its images."""
    label_smoothing: float = 0.0
    """Part of each label's weight that all classes share, in training only."""
    patience: _Count = None
    """Stop after N epochs without a better --monitor; needs --validation."""
    monitor: Literal["val_loss", "val_accuracy"] = "val_loss"
    """What the best epoch is chosen by."""
    min_gain: float = 0.0
    """For --patience: an epoch counts as better only if it gains more than this."""
    stop_gain: _Number = None
    """Stop once an epoch gains less than X: --monitor where validated, else training accuracy."""
    stop_gain_epochs: int = 3
    """For --stop-gain: the gain is the mean over so many epochs."""
    clip_norm: _Number = None
    """Shorten gradients longer than this."""
    clip_mode: Literal["global", "array"] = "global"
    """Clip by the length of all gradients together, or of each parameter array by itself."""
    shuffle: bool = True
    """New order of the images in every epoch."""
    seed: int = 42
    """Starting point of every random choice."""
    track_gradients: bool = False
    """Record the norm of every parameter array's gradient per epoch, in gradients.csv."""
    precise_bn: int = 0
    """Measure BatchNorm's statistics anew over N training batches after every epoch; 0: never."""


@dataclasses.dataclass(frozen=True)
class OptimizerOptions:
    """How a gradient becomes a step."""

    optimizer: Literal["sgd", "adam", "adamw", "radam", "ranger", "rmsprop", "adagrad"] = "sgd"
    """Update rule. One that is not the preset's brings its own lr, momentum, weight decay."""
    lr: _Number = None
    """Learning rate at the start, onecycle: the highest; None: the optimizer's usual one."""
    momentum: float = 0.0
    """Momentum of sgd and rmsprop."""
    nesterov: bool = False
    """Nesterov's form of sgd's momentum."""
    weight_decay: _Number = None
    """Weight decay (not of biases, gamma, beta), an L2 penalty but for adamw and ranger. None: the
    optimizer's usual one."""
    decoupled_decay: bool = False
    """radam: weight decay shrinks the weights directly, as that of adamw and ranger does."""
    lookahead: _Count = None
    """Lookahead: go back part of the way after every N steps. None: never, but ranger after 6."""
    lookahead_alpha: float = 0.5
    """Share of the way that Lookahead keeps."""
    schedule: Literal["constant", "step", "exponential", "cosine", "s5", "onecycle"] = "constant"
    """How lr changes as training goes on; s5: exponential, halved every 10 epochs too."""
    lr_factor: float = 0.5
    """step: factor."""
    lr_every: int = 10
    """step: epochs from one step to the next."""
    lr_decay: float = 0.95
    """exponential and s5: factor per epoch."""
    lr_min: float = 0.0
    """cosine: rate that it falls towards."""
    lr_per_step: bool = False
    """cosine: a new rate in every step, not in every epoch."""
    lr_rise: float = 0.3
    """onecycle: share of the run in which the rate rises to lr; then it falls."""
    lr_div: float = 25.0
    """onecycle: the first rate is lr divided by this."""
    lr_final_div: float = 1e4
    """onecycle: the last rate is the first divided by this."""
    warmup: float = 0.0
    """Epochs in which every step's rate rises towards that of the schedule, 0 for none."""
    warmup_start: float = 0.01
    """Share of the schedule's rate at the first step of the warm-up."""


@dataclasses.dataclass(frozen=True)
class MachineOptions:
    """What does the computing."""

    backend: Literal["numba", "im2col", "loop"] = "numba"
    """numba: compiled kernels; im2col: NumPy matrix products; loop: plain Python, very slow."""
    threads: _Count = None
    """Threads of the compiled kernels. None: all cores that this process may use."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Every setting that decides what a run computes."""

    data: DataOptions = dataclasses.field(default_factory=DataOptions)
    model: ModelOptions = dataclasses.field(default_factory=ModelOptions)
    transfer: TransferOptions = dataclasses.field(default_factory=TransferOptions)
    training: TrainingOptions = dataclasses.field(default_factory=TrainingOptions)
    optimizer: OptimizerOptions = dataclasses.field(default_factory=OptimizerOptions)
    augment: Augment = dataclasses.field(default_factory=Augment)
    machine: MachineOptions = dataclasses.field(default_factory=MachineOptions)


def _groups() -> dict[str, type]:
    """Group name -> its dataclass, in the order of `Config`."""
    return typing.get_type_hints(Config)


def _places() -> dict[str, tuple[str, Any]]:
    """Setting -> (its group, its type without annotations)."""
    places = {}
    for group, options in _groups().items():
        hints = typing.get_type_hints(options)
        for field in dataclasses.fields(options):
            places[field.name] = (group, hints[field.name])
    return places


def names() -> list[str]:
    """Names of all settings."""
    return list(_places())


def to_dict(config: Config) -> dict[str, Any]:
    """All settings as one flat dict, name -> value."""
    return {name: getattr(getattr(config, place[0]), name) for name, place in _places().items()}


def replace(config: Config, settings: Mapping[str, Any]) -> Config:
    """A copy of ``config`` with some settings changed.

    Raises
    ------
    ConfigError
        If there is no setting of that name, or its value has the wrong type.
    """
    places = _places()
    changes: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        if name not in places:
            raise ConfigError(_unknown(name, list(places)))
        group, hint = places[name]
        changes.setdefault(group, {})[name] = _converted(name, value, hint)
    try:
        replaced = {
            group: dataclasses.replace(getattr(config, group), **values)
            for group, values in changes.items()
        }
    except ValueError as error:  # Augment checks itself
        raise ConfigError(str(error)) from None
    return dataclasses.replace(config, **replaced)


def _unknown(name: str, known: list[str], kind: str = "setting") -> str:
    match = nearest(name, known)
    hint = f"did you mean {match!r}?" if match else f"known are {', '.join(known)}"
    return f"there is no {kind} {name!r}; {hint}"


def _converted(name: str, value: Any, hint: Any) -> Any:
    """``value`` as the type ``hint``, or a ConfigError that says what would fit."""
    choices: list[str] = []
    is_union = typing.get_origin(hint) in (types.UnionType, typing.Union)
    kinds = typing.get_args(hint) if is_union else (hint,)
    if types.NoneType in kinds and value in (None, _NONE):
        return None
    for kind in kinds:
        if typing.get_origin(kind) is Literal:
            if value in typing.get_args(kind):
                return value
            choices.append("one of " + ", ".join(typing.get_args(kind)))
        elif typing.get_origin(kind) is tuple:
            if isinstance(value, list | tuple) and all(type(item) is int for item in value):
                return tuple(value)
            choices.append("a list of whole numbers")
        elif kind is types.NoneType:
            choices.append(f'"{_NONE}"')
        elif kind is float:
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value)
            choices.append("a number")
        elif type(value) is kind:
            return value
        else:
            choices.append(_WORDS[kind])
    raise ConfigError(f"{name} must be {' or '.join(choices)}, got {value!r}")


def read_toml(path: str | Path) -> dict[str, Any]:
    """Settings named in a TOML file, checked, as a flat dict.

    A setting stands in its group's table or at the top level.

    Raises
    ------
    ConfigError
        If the file cannot be read, is not TOML, or names an unknown setting, a setting in
        another's table or a value of the wrong type; says which file.
    """
    try:
        return from_tables(read_tables(path))
    except PlaceError:
        raise
    except ConfigError as error:
        raise ConfigError(f"in {path}: {error}") from None


def read_tables(path: str | Path) -> dict[str, Any]:
    """What a TOML file holds, its names not yet checked.

    Raises
    ------
    PlaceError
        If the file cannot be read or is not TOML; says which file.
    """
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        raise PlaceError(f"there is no configuration file {path}") from None
    except OSError as error:
        reason = error.strerror or error
        raise PlaceError(f"the configuration file {path} cannot be read: {reason}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlaceError(f"the configuration file {path} is not valid TOML: {error}") from None


def from_tables(tables: Mapping[str, Any], others: Sequence[str] = ()) -> dict[str, Any]:
    """Settings in the tables of their groups or at the top level, checked, as a flat dict.

    Tables named in ``others`` are passed over.

    Raises
    ------
    ConfigError
        As `read_toml`, but cannot say which file.
    """
    places = _places()
    settings: dict[str, Any] = {}

    def add(table: str | None, name: str, value: Any) -> None:
        if name not in places:
            raise ConfigError(_unknown(name, list(places)))
        group, hint = places[name]
        if table not in (None, group):
            raise ConfigError(f"{name} belongs into the table [{group}], not [{table}]")
        if name in settings:
            raise ConfigError(f"{name} is given twice")
        settings[name] = _converted(name, value, hint)

    for key, value in tables.items():
        if key in others:
            continue
        if not isinstance(value, dict):
            add(None, key, value)
        elif key in _groups():
            for name, entry in value.items():
                add(key, name, entry)
        else:
            raise ConfigError(_unknown(key, [*_groups(), *others], "table"))
    return settings


def to_toml(config: Config) -> str:
    """All settings as TOML text that `read_toml` takes back."""
    import tomli_w

    return tomli_w.dumps(to_tables(to_dict(config)))


def to_tables(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Some settings in the tables of their groups, with values that TOML can write."""
    tables: dict[str, dict[str, Any]] = {}
    for name, (group, _) in _places().items():
        if name in settings:
            tables.setdefault(group, {})[name] = toml_value(settings[name])
    return tables


def toml_value(value: Any) -> Any:
    """A setting's value as TOML can write it."""
    if value is None:
        return _NONE
    return list(value) if isinstance(value, tuple) else value


# Setting -> (test of a value that is not None, what it must be).
_RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(
        (
            "limit_train",
            "limit_test",
            "epochs",
            "batch_size",
            "patience",
            "lr_every",
            "threads",
            "stop_gain_epochs",
            "lookahead",
        ),
        (lambda value: value >= 1, "at least 1"),
    ),
    **dict.fromkeys(("hidden", "depth", "growth"), (lambda value: value >= 1, "at least 1")),
    "filters": (lambda value: value and min(value) >= 1, "numbers of at least 1"),
    "freeze": (lambda value: value == "all-but-last" or value >= 0, "at least 0"),
    "seed": (lambda value: 0 <= value < 2**63, "at least 0 and below 2**63"),
    "validation": (lambda value: 0 <= value < 1, "at least 0 and below 1"),
    "dropout": (lambda value: 0 <= value < 1, "at least 0 and below 1"),
    "momentum": (lambda value: 0 <= value < 1, "at least 0 and below 1"),
    "label_smoothing": (lambda value: 0 <= value < 1, "at least 0 and below 1"),
    "lr_rise": (lambda value: 0 < value < 1, "between 0 and 1"),
    "lookahead_alpha": (lambda value: 0 <= value <= 1, "between 0 and 1"),
    "warmup_start": (lambda value: 0 <= value <= 1, "between 0 and 1"),
    **dict.fromkeys(
        ("lr", "clip_norm", "lr_factor", "lr_decay", "lr_div", "lr_final_div"),
        (lambda value: 0 < value < math.inf, "above 0"),
    ),
    **dict.fromkeys(
        ("weight_decay", "lr_min", "min_gain", "stop_gain", "warmup", "precise_bn"),
        (lambda value: 0 <= value < math.inf, "at least 0"),
    ),
}


def check(config: Config) -> None:
    """Refuse values that mean nothing.

    Raises
    ------
    ConfigError
        Names the setting, says what it must be and what it is.
    """
    for name, value in to_dict(config).items():
        if name in _RANGES and value is not None:
            fits, words = _RANGES[name]
            if not fits(value):
                raise ConfigError(f"{name} must be {words}, got {value!r}")
    if config.transfer.fresh_head and config.transfer.init_from is None:
        raise ConfigError("fresh_head needs a model to begin with: give init_from")
    if config.training.patience is not None and config.data.validation == 0:
        raise ConfigError("patience needs images to validate on: give validation 0.1, for example")
    if config.optimizer.warmup >= config.training.epochs:
        raise ConfigError(
            f"warmup must be shorter than the run of {config.training.epochs} epochs, "
            f"got {config.optimizer.warmup:g}"
        )
