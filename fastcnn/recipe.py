"""From settings to the objects that training takes: the network, the optimizer, its schedule."""

from collections.abc import Sequence
from typing import Any

from . import models, optim, schedules
from .config import Config, ConfigError, replace
from .model import Sequential

USUAL = ("lr", "weight_decay")
"""Settings whose None means what is usual for the optimizer."""


def resolved(config: Config) -> Config:
    """The settings with numbers in place of what is usual for the optimizer."""
    optimizer = make_optimizer(config)
    return replace(config, {name: getattr(optimizer, name) for name in USUAL})


def make_model(config: Config, input_shape: tuple[int, ...], classes: int) -> Sequential:
    """The network that the settings describe, with its starting weights."""
    options = vars(config.model)
    changes = {
        name: value
        for name, value in options.items()
        if name != "model" and value not in (None, "default")
    }
    return models.build(
        options["model"],
        seed=config.training.seed,
        input_shape=input_shape,
        classes=classes,
        **changes,
    )


def begin(model: Sequential, config: Config, class_names: Sequence[str]) -> str:
    """Load what fits from the model that the settings name, and freeze what they say.

    Args:
        class_names: of the images that are trained on.

    Returns:
        What was loaded, in words; empty if nothing was asked for.

    Raises:
        ValueError: if the file cannot be used, nothing in it fits, or there are fewer layers.
    """
    options, said = config.transfer, ""
    if options.init_from is not None:
        said = str(model.load_fitting(options.init_from))
        if options.fresh_head:
            model.replace_head(len(class_names), class_names)
            said += "; the last layer begins anew"
    model.freeze(options.freeze or 0)
    return said


def make_optimizer(config: Config) -> optim.Optimizer:
    """The optimizer that the settings describe."""
    options = config.optimizer
    given = {name: getattr(options, name) for name in USUAL}
    arguments: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if options.optimizer in ("sgd", "rmsprop"):
        arguments["momentum"] = options.momentum
    elif options.momentum:
        raise ConfigError(f"momentum is an option of sgd and rmsprop, not of {options.optimizer}")
    if options.optimizer == "sgd":
        arguments["nesterov"] = options.nesterov
    elif options.nesterov:
        raise ConfigError(f"nesterov is an option of sgd, not of {options.optimizer}")
    if options.optimizer == "radam":
        arguments["decoupled_weight_decay"] = options.decoupled_decay
    elif options.decoupled_decay:
        raise ConfigError(f"decoupled_decay is an option of radam, not of {options.optimizer}")
    if options.optimizer != "ranger":
        optimizer = optim.from_name(options.optimizer, **arguments)
        if options.lookahead is None:
            return optimizer
        return optim.Lookahead(optimizer, options.lookahead, options.lookahead_alpha)
    if options.lookahead is not None:
        arguments["k"] = options.lookahead
    return optim.Ranger(**arguments, alpha=options.lookahead_alpha)


def make_schedule(config: Config) -> schedules.Schedule:
    """The schedule that the settings describe."""
    options = config.optimizer
    if options.lr_per_step and options.schedule != "cosine":
        raise ConfigError(f"lr_per_step is an option of cosine, not of {options.schedule}")
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
    }
    schedule = schedules.from_name(options.schedule, **arguments.get(options.schedule, {}))
    if not options.warmup:
        return schedule
    return schedules.Warmup(schedule, options.warmup, options.warmup_start)
