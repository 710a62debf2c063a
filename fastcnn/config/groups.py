"""Every setting of a training run, in groups, each with its type, its limits and its meaning.

The names are unique across the groups, so a setting is addressed by its name alone: on the
command line (``--batch-size 64``), in a model's preset (``{"batch_size": 64}``) and in a TOML
file, whose tables are there for the reader.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import tyro

from ..training.augment import Augment


class Limits(NamedTuple):
    """What a value must be, in words, and the test of one that is not None."""

    words: str
    fits: Callable[[Any], bool]


_POSITIVE = Limits("at least 1", lambda value: value >= 1)
_COUNT = Limits("at least 0", lambda value: value >= 0)
_NOT_NEGATIVE = Limits("at least 0 and finite", lambda value: 0 <= value < math.inf)
_ABOVE_0 = Limits("above 0 and finite", lambda value: 0 < value < math.inf)
_SHARE = Limits("at least 0 and below 1", lambda value: 0 <= value < 1)
_INSIDE = Limits("between 0 and 1", lambda value: 0 < value < 1)
_FROM_0_TO_1 = Limits("between 0 and 1", lambda value: 0 <= value <= 1)
_SEED = Limits("at least 0 and below 2**63", lambda value: 0 <= value < 2**63)
_ALL_POSITIVE = Limits("numbers of at least 1", lambda value: value and min(value) >= 1)
_UNITS = Limits(
    "at least 1, each of them",
    lambda value: value and min(value if isinstance(value, tuple) else (value,)) >= 1,
)
_ARRAYS = Limits("at least one name", lambda value: len(value) > 0)
_LAYERS = Limits("at least 0", lambda value: value == "all-but-last" or value >= 0)

# The default help shows an optional number as "{None}|INT"; N and X read better.
_Count = Annotated[int | None, tyro.conf.arg(metavar="N|None")]
_Number = Annotated[float | None, tyro.conf.arg(metavar="X|None")]
_Counts = Annotated[tuple[int, ...] | None, tyro.conf.arg(metavar="N [N ...]|None")]
_Units = Annotated[int | tuple[int, ...] | None, tyro.conf.arg(metavar="N [N ...]|None")]
_Folder = Annotated[str | None, tyro.conf.arg(metavar="DIR|None")]


MACHINE = ("data_dir", "offline", "threads")
"""Settings that say where a run computes, not what comes out."""


class ConfigError(ValueError):
    """A setting that does not exist or cannot have the value given.

    Examples
    --------
    >>> from fastcnn.config import Config, replace
    >>> replace(Config(), {"epochs": "ten"})
    Traceback (most recent call last):
        ...
    fastcnn.config.groups.ConfigError: epochs must be a whole number, got 'ten'
    """


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """Which images, how many, and how their pixels become numbers."""

    dataset: str = "auto"
    """Name of the dataset, see --list-datasets; or the path of your own: a folder with a subfolder
    of pictures per class, .npz, .csv, IDX. auto: MNIST, else the small built-in digits."""
    task: Literal["classification", "multilabel", "regression"] = "classification"
    """What is learned of each image: its class; which of several labels it has, rows of 0 and 1; or
    numbers. The latter two are for data of your own, .npz, numbers in .csv too."""
    data_dir: _Folder = None
    """Folder with mnist/ and cifar-10-batches-bin/. None: FASTCNN_DATA or the user's cache."""
    offline: bool = False
    """Never download."""
    limit_train: Annotated[_Count, _POSITIVE] = None
    """Use only the first N training images."""
    limit_test: Annotated[_Count, _POSITIVE] = None
    """Use only the first N test images."""
    validation: Annotated[float, _SHARE] = 0.0
    """Share of the training images held out for validation, 0 for none. Data of your own that has a
    validation part is validated on that."""
    test_share: Annotated[float, _INSIDE] = 0.2
    """Share of your own images held out for the test, where they have no test part."""
    size: Annotated[_Count, _POSITIVE] = None
    """Scale the images to N x N pixels. None: as they are; your own, if their sizes differ, to at
    most 64 x 64."""
    grey: bool = False
    """Take the colours out of the images. Your own that are all grey are grey without it."""
    strict: bool = False
    """A picture of your own that cannot be read is an error, not left out."""
    normalization: Literal["scale", "scale256", "standardize"] = "scale"
    """scale: pixel / 255; scale256: pixel / 256; standardize: mean 0, deviation 1 per channel."""


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """Which network, and changes to it; a network refuses what it does not have."""

    model: str = "auto"
    """Name of the network, see --list-models. auto: the usual one for the dataset."""
    preset: Literal["author", "tuned"] = "author"
    """author: the settings that the network's author wrote; tuned: with what we found better."""
    filters: Annotated[_Counts, _ALL_POSITIVE] = None
    """Filters of each convolution; as many numbers, as many convolutions."""
    kernel_size: Annotated[_Count, _POSITIVE] = None
    """Height and width of the convolutions' filters."""
    stride: Annotated[_Count, _POSITIVE] = None
    """Pixels from one place of the filters to the next."""
    padding: Annotated[_Count, _COUNT] = None
    """Pixels of zeros around the input of each convolution."""
    pool: Literal["default", "max", "average", "none"] = "default"
    """Pooling behind each convolution."""
    hidden: Annotated[_Units, _UNITS] = None
    """Units of each hidden layer; as many numbers, as many layers."""
    activation: Literal[
        "default", "relu", "leaky-relu", "sigmoid", "tanh", "prelu", "relu6", "elu", "selu", "gelu",
        "silu", "softplus", "mish", "hardswish", "hardsigmoid",
    ] = "default"  # fmt: skip
    """Activation behind each convolution and hidden layer."""
    dropout: Annotated[_Number, _SHARE] = None
    """Probability of dropping a value; 0: no dropout."""
    norm: Literal["default", "batch", "group", "layer", "none"] = "default"
    """Normalisation; default: the network's own."""
    bn_start: Literal["default", "standard", "first-batch"] = "default"
    """What BatchNorm's running statistics begin as: mean 0 and variance 1, or the first batch's."""
    init: Literal["default", "he", "xavier", "normal"] = "default"
    """How weights start; normal: with mean 0 and deviation --init-std, biases too."""
    init_std: Annotated[_Number, _ABOVE_0] = None
    """Standard deviation of --init normal."""
    depth: Annotated[_Count, _POSITIVE] = None
    """Layers of a densenet: 4 more than a multiple of 6."""
    growth: Annotated[_Count, _POSITIVE] = None
    """Channels that each unit of a densenet adds."""


@dataclasses.dataclass(frozen=True)
class TransferOptions:
    """What the network begins with, and what of it stays so."""

    init_from: Annotated[str | None, tyro.conf.arg(metavar="FILE|None")] = None
    """Saved model (best.npz) from which every array that fits by name and shape is loaded."""
    fresh_head: bool = False
    """Let the last layer begin anew, even if --init-from has one that fits."""
    freeze: Annotated[
        int | Literal["all-but-last"] | None,
        tyro.conf.arg(metavar="N|all-but-last|None"),
        _LAYERS,
    ] = None
    """Do not train the first N layers (those of the model's summary), or all but the last."""


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """How long and on what the network is trained."""

    epochs: Annotated[int, _POSITIVE] = 20
    """Passes over the training images."""
    minutes: Annotated[_Number, _ABOVE_0] = None
    """Train as long as the command then takes X minutes in all, whatever --epochs says."""
    batch_size: Annotated[int, _POSITIVE] = 32
    """Images per step."""
    loss: Literal["default", "cross-entropy", "hinge", "bce", "mse", "mae", "huber"] = "default"
    """What is made small: of classes cross-entropy or hinge, of several labels bce, of numbers mse,
    mae or huber. default: the first of them."""
    loss_reduction: Literal["mean", "sum"] = "mean"
    """Whether a batch's loss is the mean or the sum over its images."""
    label_smoothing: Annotated[float, _SHARE] = 0.0
    """cross-entropy: part of each label's weight that all classes share, in training only."""
    class_weight: Literal["none", "balanced"] = "none"
    """balanced: in training each class counts the same, however many images it has."""
    ema: Annotated[_Number, _SHARE] = None
    """Measure and keep a moving average of the weights, which keeps X (0.999) of itself a step."""
    patience: Annotated[_Count, _POSITIVE] = None
    """Stop after N epochs without a better --monitor; needs --validation."""
    monitor: Literal[
        "val_loss", "val_accuracy", "val_exact_match", "val_label_accuracy", "val_r2", "val_mae"
    ] = "val_loss"
    """What the best epoch is chosen by: the loss, or what else is measured of the --task."""
    min_gain: Annotated[float, _NOT_NEGATIVE] = 0.0
    """For --patience: an epoch counts as better only if it gains more than this."""
    stop_gain: Annotated[_Number, _NOT_NEGATIVE] = None
    """Stop once an epoch gains less than X: --monitor where validated, else training accuracy."""
    stop_gain_epochs: Annotated[int, _POSITIVE] = 3
    """For --stop-gain: the gain is the mean over so many epochs."""
    clip_norm: Annotated[_Number, _ABOVE_0] = None
    """Shorten gradients longer than this."""
    clip_mode: Literal["global", "array", "value"] = "global"
    """Clip by the length of all gradients together, or of each array by itself, or every number."""
    clip_arrays: Annotated[
        tuple[Literal["weight", "bias", "gamma", "beta"], ...] | None,
        tyro.conf.arg(metavar="NAME [NAME ...]|None"),
        _ARRAYS,
    ] = None
    """Parameter arrays whose gradients are clipped: weight, bias, gamma, beta. None: all."""
    shuffle: bool = True
    """New order of the images in every epoch."""
    drop_last: bool = False
    """Leave out an epoch's last batch where it is smaller than the others."""
    seed: Annotated[int, _SEED] = 42
    """Starting point of every random choice."""
    track_gradients: bool = False
    """Record the norm of every parameter array's gradient per epoch, in gradients.csv."""
    precise_bn: Annotated[int, _COUNT] = 0
    """Measure BatchNorm's statistics anew over N training batches after every epoch; 0: never."""


@dataclasses.dataclass(frozen=True)
class OptimizerOptions:
    """How a gradient becomes a step."""

    optimizer: Literal["sgd", "adam", "adamw", "radam", "ranger", "rmsprop", "adagrad"] = "sgd"
    """Update rule. One that is not the preset's brings its own lr, momentum, weight decay."""
    lr: Annotated[_Number, _ABOVE_0] = None
    """Learning rate at the start, onecycle: the highest; None: the optimizer's usual one."""
    momentum: Annotated[float, _SHARE] = 0.0
    """Momentum of sgd and rmsprop."""
    nesterov: bool = False
    """Nesterov's form of sgd's momentum."""
    weight_decay: Annotated[_Number, _NOT_NEGATIVE] = None
    """Weight decay (not of biases, gamma, beta), an L2 penalty but for adamw and ranger. None: the
    optimizer's usual one."""
    decoupled_decay: bool = False
    """radam: weight decay shrinks the weights directly, as that of adamw and ranger does."""
    lookahead: Annotated[_Count, _POSITIVE] = None
    """Lookahead: go back part of the way after every N steps. None: never, but ranger after 6."""
    lookahead_alpha: Annotated[float, _FROM_0_TO_1] = 0.5
    """Share of the way that Lookahead keeps."""
    schedule: Literal["constant", "step", "exponential", "cosine", "s5", "onecycle", "plateau"] = (
        "constant"
    )
    """How lr changes as training goes on; s5: exponential, halved every 10 epochs too."""
    lr_factor: Annotated[float, _ABOVE_0] = 0.5
    """step and plateau: factor."""
    lr_every: Annotated[int, _POSITIVE] = 10
    """step: epochs from one step to the next."""
    lr_decay: Annotated[float, _ABOVE_0] = 0.95
    """exponential and s5: factor per epoch."""
    plateau_epochs: Annotated[int, _COUNT] = 10
    """plateau: lr falls after more than N epochs without a better --monitor, or training loss."""
    lr_min: Annotated[float, _NOT_NEGATIVE] = 0.0
    """cosine: rate that it falls towards; plateau: rate that it does not fall below."""
    lr_per_step: bool = False
    """cosine: a new rate in every step, not in every epoch."""
    lr_rise: Annotated[float, _INSIDE] = 0.3
    """onecycle: share of the run in which the rate rises to lr; then it falls."""
    lr_div: Annotated[float, _ABOVE_0] = 25.0
    """onecycle: the first rate is lr divided by this."""
    lr_final_div: Annotated[float, _ABOVE_0] = 1e4
    """onecycle: the last rate is the first divided by this."""
    warmup: Annotated[float, _NOT_NEGATIVE] = 0.0
    """Epochs in which every step's rate rises towards that of the schedule, 0 for none."""
    warmup_start: Annotated[float, _FROM_0_TO_1] = 0.01
    """Share of the schedule's rate at the first step of the warm-up."""


@dataclasses.dataclass(frozen=True)
class MachineOptions:
    """What does the computing."""

    backend: Literal["numba", "im2col", "loop"] = "numba"
    """numba: compiled kernels; im2col: NumPy matrix products; loop: plain Python, very slow."""
    threads: Annotated[_Count, _POSITIVE] = None
    """Threads of the compiled kernels. None: all cores that this process may use."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Every setting that decides what a run computes.

    Examples
    --------
    >>> config = Config()
    >>> config.training.epochs, config.optimizer.optimizer
    (20, 'sgd')
    """

    data: DataOptions = dataclasses.field(default_factory=DataOptions)
    model: ModelOptions = dataclasses.field(default_factory=ModelOptions)
    transfer: TransferOptions = dataclasses.field(default_factory=TransferOptions)
    training: TrainingOptions = dataclasses.field(default_factory=TrainingOptions)
    optimizer: OptimizerOptions = dataclasses.field(default_factory=OptimizerOptions)
    augment: Augment = dataclasses.field(default_factory=Augment)
    machine: MachineOptions = dataclasses.field(default_factory=MachineOptions)
