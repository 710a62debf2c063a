"""From settings to the objects that training takes: the network, the optimizer, its schedule."""

from typing import Any

from . import models, optim, schedules
from .config import Config, ConfigError
from .model import Sequential


def make_model(config: Config, input_shape: tuple[int, ...], classes: int) -> Sequential:
    """The network that the settings describe, with its starting weights."""
    options = vars(config.model)
    changes = {
        name: value for name, value in options.items() if name != "model" and value is not None
    }
    return models.build(
        options["model"],
        seed=config.training.seed,
        input_shape=input_shape,
        classes=classes,
        **changes,
    )


def make_optimizer(config: Config) -> optim.Optimizer:
    """The optimizer that the settings describe."""
    options = config.optimizer
    arguments: dict[str, Any] = {"weight_decay": options.weight_decay}
    if options.lr is not None:
        arguments["lr"] = options.lr
    if options.optimizer in ("sgd", "rmsprop"):
        arguments["momentum"] = options.momentum
    elif options.momentum:
        raise ConfigError(f"momentum is an option of sgd and rmsprop, not of {options.optimizer}")
    if options.optimizer == "sgd":
        arguments["nesterov"] = options.nesterov
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
