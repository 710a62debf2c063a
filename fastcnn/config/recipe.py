"""From settings to the objects that training takes: the network, the optimizer, its schedule."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.images import batch as batch_kernels

from .. import datasets, losses, models, optim, schedules
from ..losses import Loss
from ..sequential import Sequential
from ..training import split
from ..training.budget import Budget
from ..training.parallel import Alone
from ..training.settings import Arrays, Clipping, Measuring, Method, Passes, Stopping, Weighting
from .groups import Config, ConfigError
from .values import replace

USUAL = ("lr", "weight_decay")
"""Settings whose None means what is usual for the optimizer."""

USUAL_LOSSES = {
    losses.CLASSIFICATION: "cross-entropy",
    losses.MULTILABEL: "bce",
    losses.REGRESSION: "mse",
}
"""Task -> the loss that "default" means."""

# Option -> (setting, the values of it that know the option).
_OWNERS = {
    "momentum": ("optimizer", ("sgd", "rmsprop")),
    "nesterov": ("optimizer", ("sgd",)),
    "decoupled_decay": ("optimizer", ("radam",)),
    "lr_per_step": ("schedule", ("cosine",)),
}


def resolved(config: Config) -> Config:
    """The settings with what is usual for the optimizer and the task in the place of defaults."""
    optimizer = make_optimizer(config)
    usual = {name: getattr(optimizer, name) for name in USUAL}
    return replace(config, {**usual, "loss": loss_of(config)})


def load_data(
    config: Config, size: tuple[int, int] | None = None, whole: bool = False
) -> datasets.Dataset:
    """The images that the settings name, all of them; `size` (height, width) instead of theirs.

    whole : whether they are to be measured, not learned from; as in `datasets.load`
    """
    options = config.data
    return datasets.load(
        options.dataset,
        options.data_dir,
        options.offline,
        size=size or options.size,
        grey=options.grey,
        strict=options.strict,
        seed=config.training.seed,
        test_share=options.test_share,
        whole=whole,
        task=options.task,
    )


def make_model(config: Config, input_shape: tuple[int, ...], classes: int) -> Sequential:
    """The network that the settings describe, with its starting weights.

    classes : how many numbers it gives; of another task one for each label or number
    """
    options = vars(config.model)
    changes = {
        name: value
        for name, value in options.items()
        if name not in ("model", "preset") and value not in (None, "default")
    }
    return models.build(
        options["model"],
        seed=config.training.seed,
        input_shape=input_shape,
        classes=classes,
        **changes,
    )


def make_normalization(
    config: Config, images: NDArray[np.uint8], held_out: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(scale, offset) per channel: the network is given pixel * scale + offset.

    Parameters
    ----------
    images : uint8 (N, C, H, W)
        Those to train on, and those held out of them.
    held_out : float
        Share that is held out for validation; its pixels do not count.
    """
    channels, kind = images.shape[1], config.data.normalization
    if kind != "standardize":
        scale = 1 / 256 if kind == "scale256" else 1 / 255
        return np.full(channels, scale, np.float32), np.zeros(channels, np.float32)
    if held_out:
        images = images[split(len(images), held_out, config.training.seed)[0]]
    mean, deviation = batch_kernels.channel_moments(images)
    scale = 1 / (deviation + 1e-8)
    return (scale / 255).astype(np.float32), (-mean * scale).astype(np.float32)


def begin(
    model: Sequential, config: Config, class_names: Sequence[str], outputs: int | None = None
) -> str:
    """Load what fits from the model that the settings name, and freeze what they say.

    Parameters
    ----------
    class_names : sequence of str
        Of the images that are trained on; empty where numbers have no names.
    outputs : int, optional
        How many numbers the network gives; default: one for each name.

    Returns
    -------
    str
        What was loaded, in words; empty if nothing was asked for.

    Raises
    ------
    ValueError
        If the file cannot be used, nothing in it fits, or there are fewer layers.
    """
    options, said = config.transfer, ""
    if options.init_from is not None:
        said = str(model.load_fitting(options.init_from))
        if options.fresh_head:
            model.replace_head(outputs or len(class_names), class_names or None)
            said += "; the last layer begins anew"
    model.freeze(options.freeze or 0)
    return said


def make_optimizer(config: Config) -> optim.Optimizer:
    """The optimizer that the settings describe."""
    options = config.optimizer
    given = {name: getattr(options, name) for name in USUAL}
    arguments: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    _refuse_options_of_others(config, "optimizer")
    if options.optimizer in _OWNERS["momentum"][1]:
        arguments["momentum"] = options.momentum
    if options.optimizer in _OWNERS["nesterov"][1]:
        arguments["nesterov"] = options.nesterov
    if options.optimizer in _OWNERS["decoupled_decay"][1]:
        arguments["decoupled_weight_decay"] = options.decoupled_decay
    if options.optimizer != "ranger":
        optimizer = optim.from_name(options.optimizer, **arguments)
        if options.lookahead is None:
            return optimizer
        return optim.Lookahead(optimizer, options.lookahead, options.lookahead_alpha)
    if options.lookahead is not None:
        arguments["k"] = options.lookahead
    return optim.Ranger(**arguments, alpha=options.lookahead_alpha)


def _refuse_options_of_others(config: Config, setting: str) -> None:
    """Refuse an option that the chosen optimizer or schedule would leave without effect."""
    chosen = getattr(config.optimizer, setting)
    for name, (kind, owners) in _OWNERS.items():
        if kind == setting and chosen not in owners and getattr(config.optimizer, name):
            known = " and ".join(owners)
            raise ConfigError(f"{name} is an option of {known}, not of {chosen}")


def make_schedule(config: Config) -> schedules.Schedule:
    """The schedule that the settings describe."""
    options, monitor = config.optimizer, config.training.monitor
    _refuse_options_of_others(config, "schedule")
    if options.warmup and options.schedule == "onecycle":
        raise ConfigError("warmup does not go with onecycle, which begins with a rise: see lr_rise")
    arguments: dict[str, dict[str, Any]] = {
        "step": {"factor": options.lr_factor, "every": options.lr_every},
        "exponential": {"decay": options.lr_decay},
        "cosine": {"lr_min": options.lr_min, "per_step": options.lr_per_step},
        "s5": {"decay": options.lr_decay},
        "onecycle": {
            "pct_start": options.lr_rise,
            "div_factor": options.lr_div,
            "final_div_factor": options.lr_final_div,
        },
        "plateau": {
            "factor": options.lr_factor,
            "patience": options.plateau_epochs,
            # Its own default serves runs that are not validated too.
            "monitor": None if monitor == "val_loss" else monitor,
            "lr_min": options.lr_min,
        },
    }
    schedule = schedules.from_name(options.schedule, **arguments.get(options.schedule, {}))
    if not options.warmup:
        return schedule
    return schedules.Warmup(schedule, options.warmup, options.warmup_start)


def make_method(config: Config) -> Method:
    """How a batch becomes a step; new objects each time."""
    options = config.training
    return Method(
        make_loss(config),
        make_optimizer(config),
        make_schedule(config),
        Clipping(options.clip_norm, options.clip_mode, options.clip_arrays),
        options.ema,
    )


def loss_of(config: Config) -> str:
    """The name of the loss, which of "default" is the usual one of the task."""
    name = config.training.loss
    return USUAL_LOSSES[config.data.task] if name == "default" else name


def make_loss(config: Config) -> Loss:
    """What is made small.

    Raises
    ------
    ConfigError
        If it is not for the task.
    """
    options, name, task = config.training, loss_of(config), config.data.task
    arguments: dict[str, Any] = {"reduction": options.loss_reduction}
    if name == "cross-entropy":
        arguments["label_smoothing"] = options.label_smoothing
    elif options.label_smoothing:
        raise ConfigError(f"label_smoothing is an option of cross-entropy, not of {name}")
    loss = losses.from_name(name, **arguments)
    if loss.task != task:
        fitting = [each for each in losses.names() if losses.from_name(each).task == task]
        raise ConfigError(
            f"the loss {name} is for task {loss.task}, not for {task}: take {' or '.join(fitting)}"
        )
    return loss


def only_classes(config: Config, who: str) -> None:
    """Refuse another task than classification.

    who : what is about classes only, such as "a search"

    Raises
    ------
    ConfigError
        If it is another.
    """
    if config.data.task != losses.CLASSIFICATION:
        raise ConfigError(
            f"{who} is about classes, not about task {config.data.task}, which python -m "
            f"fastcnn.train and predict, evaluate, report and plot know"
        )


def make_weighting(config: Config) -> Weighting:
    """How much each image counts."""
    kind, task = config.training.class_weight, config.data.task
    if kind != "none" and task != losses.CLASSIFICATION:
        raise ConfigError(f"class_weight is for classes, which there are none of in task {task}")
    return Weighting(classes=None if kind == "none" else kind)


def make_passes(
    config: Config, budget: Budget | None = None, parallel: Alone | None = None
) -> Passes:
    """How the images are gone through, in a run perhaps that has so much time, or helpers."""
    options = config.training
    return Passes(
        epochs=options.epochs,
        batch_size=options.batch_size,
        shuffle=options.shuffle,
        augment=config.augment or None,
        seed=options.seed,
        drop_last=options.drop_last,
        budget=budget,
        parallel=parallel or Alone(),
    )


def make_measuring(config: Config, validation: Arrays | float | None, test: Arrays) -> Measuring:
    """What is measured after each epoch."""
    options = config.training
    return Measuring(validation, test, options.precise_bn, options.track_gradients)


def make_stopping(config: Config, is_validated: bool) -> Stopping:
    """Which epoch is best, and when it is enough; with validation, training ends with the best."""
    options = config.training
    return Stopping(
        monitor=options.monitor,
        patience=options.patience,
        min_gain=options.min_gain,
        stop_gain=options.stop_gain,
        stop_gain_epochs=options.stop_gain_epochs,
        restore_best=is_validated,
    )
