"""From a few settings to all of them: a model's preset fills in what is not given.

Examples
--------
>>> from fastcnn import presets
>>> presets.configure({"model": "lenet5", "lr": 0.005}).training.batch_size
64
"""

from collections.abc import Mapping
from typing import Any

from .. import datasets, models
from ..checks import same
from ..losses import CLASSIFICATION, REGRESSION
from .groups import Config
from .values import converted, replace

_DEFAULT_MODELS = {"cifar10": "cifar-cnn"}  # every other dataset looks like MNIST

# A config.toml has these. One without a preset was written by version 0.1.0, whose settings of
# every network are the tuned ones of today.
_WRITTEN_WHOLE = {"dataset", "seed", "optimizer", "threads"}


# Settings of presets that mean nothing where there are no classes.
_OF_CLASSES = ("loss", "loss_reduction", "monitor", "label_smoothing")


def configure(settings: Mapping[str, Any]) -> Config:
    """All settings: the given ones, then those of the model's preset, then the defaults.

    Parameters
    ----------
    settings : Mapping[str, Any]
        Name -> value. Without a model (or with "auto") the dataset's usual one is taken. An
        optimizer that is not the preset's does without the preset's lr, momentum and weight decay,
        a task without classes without what the preset says of the loss. Numbers are learned with
        Adam: the gradient of their loss is as large as the error, and plain SGD at a rate chosen
        for classes runs away.

    Raises
    ------
    ConfigError
        If a setting is unknown or has a value of the wrong type.
    ValueError
        If there is no such model or preset.
    """
    settings = {name: converted(name, value) for name, value in settings.items()}
    if "dataset" in settings:  # one that is unknown is refused when it is loaded
        settings["dataset"] = same(settings["dataset"], datasets.names()) or settings["dataset"]
    dataset = settings.get("dataset", "auto")
    model = settings.get("model", "auto")
    kind = settings.get("preset", "tuned" if settings.keys() >= _WRITTEN_WHOLE else "author")
    if same(model, ("auto",)):
        model = _DEFAULT_MODELS.get(dataset, "mnist-baseline")
        preset = {**models.preset(model, kind), "dataset": dataset}
    else:
        model = models.known(model)
        preset = models.preset(model, kind)
    task = settings.get("task", CLASSIFICATION)
    if task != CLASSIFICATION:
        for name in _OF_CLASSES:
            preset.pop(name, None)
    if task == REGRESSION and "optimizer" not in settings:
        settings["optimizer"] = "adam"
    if settings.get("optimizer", preset.get("optimizer", "sgd")) != preset.get("optimizer", "sgd"):
        # A rate chosen for one optimizer is ten times wrong for another.
        for name in ("lr", "momentum", "nesterov", "weight_decay"):
            preset.pop(name, None)
    return replace(Config(), {**preset, **settings, "model": model, "preset": kind})
