"""The presets are what the five authors wrote: each line here is a line of their documents."""

import dataclasses
from typing import Any

import pytest

from fastcnn import config, models
from fastcnn.config.presets import configure
from fastcnn.layers import BatchNorm

# What the documents say, and behind "ours" what they leave open.
WRITTEN: dict[str, dict[str, Any]] = {
    # S1a: SGD lr 0.01, batch 32, 20 epochs, nothing else; pixels to [0, 1], then standardised.
    "mnist-baseline": {
        "dataset": "mnist", "normalization": "standardize", "optimizer": "sgd", "lr": 0.01,
        "batch_size": 32, "epochs": 20, "momentum": 0.0, "weight_decay": None,
        "schedule": "constant", "patience": None, "clip_norm": None, "shift": 0, "rotate": 0.0,
        "loss_reduction": "mean", "ours": (),
    },
    # S1b: Adam 1e-3, batch 64, up to 20 epochs, L2 1e-4, cosine to 0, patience 5 on validation
    # loss, clip 5.0 by global norm; seed 42. Augmentation is optional, his tables are without.
    "mnist-optimized": {
        "dataset": "mnist", "normalization": "standardize", "optimizer": "adam", "lr": 1e-3,
        "batch_size": 64, "epochs": 20, "weight_decay": 1e-4, "schedule": "cosine", "lr_min": 0.0,
        "lr_per_step": False, "patience": 5, "monitor": "val_loss", "clip_norm": 5.0,
        "clip_mode": "global", "clip_arrays": None, "shift": 0, "rotate": 0.0, "seed": 42,
        "loss_reduction": "mean", "ours": ("validation",),
    },
    # S2: first 1,000 and 100 images, 2 epochs.
    "lab-cnn": {
        "dataset": "mnist", "limit_train": 1000, "limit_test": 100, "epochs": 2,
        "ours": ("optimizer", "lr", "batch_size"),
    },
    # S3: lr 0.01 * 0.995^epoch, L2 5e-3, batch 128, 20 epochs, patience 5 on validation accuracy;
    # pixels to [0, 1]; 40,000 and 10,000; gradient summed, clipped to 5.0 per array, biases not.
    "cifar-cnn": {
        "dataset": "cifar10", "normalization": "scale", "validation": 0.2, "optimizer": "sgd",
        "lr": 0.01, "schedule": "exponential", "lr_decay": 0.995, "weight_decay": 5e-3,
        "batch_size": 128, "epochs": 20, "patience": 5, "monitor": "val_accuracy",
        "loss_reduction": "sum", "clip_norm": 5.0, "clip_mode": "array",
        "clip_arrays": ("weight", "gamma", "beta"), "precise_bn": 0, "flip": False, "ours": (),
    },
    # S4: gradient summed, lr 0.0015, batch 64, 10 to 50 epochs, pixels / 256, shuffled.
    "lenet5": {
        "dataset": "mnist", "normalization": "scale256", "loss_reduction": "sum",
        "optimizer": "sgd", "lr": 0.0015, "momentum": 0.0, "batch_size": 64, "epochs": 10,
        "shuffle": True, "ours": (),
    },
    # S5: SGD momentum 0.9, lr 0.01, L2 0.01, batch 128; decay 0.9, patience 10 and epochs 100 are
    # the published code's; 90/10; horizontal flips; stops on validation accuracy.
    "cifar-mlp": {
        "dataset": "cifar10", "validation": 0.1, "optimizer": "sgd", "lr": 0.01, "momentum": 0.9,
        "weight_decay": 0.01, "batch_size": 128, "schedule": "s5", "lr_decay": 0.9,
        "epochs": 100, "patience": 10, "monitor": "val_accuracy", "flip": True, "ours": (),
    },
}  # fmt: skip

NETWORKS = {
    "mnist-baseline": (
        "Conv2D(1, 8, kernel_size=3, padding=1), ReLU(), MaxPool2D(2), "
        "Conv2D(8, 16, kernel_size=3, padding=1), ReLU(), MaxPool2D(2), Flatten(), "
        "Dense(784, 128), ReLU(), Dense(128, 10)"
    ),
    "mnist-optimized": (
        "Conv2D(1, 16, kernel_size=3, padding=1), BatchNorm(16), ReLU(), MaxPool2D(2), "
        "Conv2D(16, 32, kernel_size=3, padding=1), BatchNorm(32), ReLU(), MaxPool2D(2), Flatten(), "
        "Dense(1568, 256), ReLU(), Dropout(0.5), Dense(256, 128), ReLU(), Dropout(0.5), "
        "Dense(128, 10)"
    ),
    "lab-cnn": (
        "Conv2D(1, 8, kernel_size=3), ReLU(), MaxPool2D(2), Flatten(), Dense(1352, 128), ReLU(), "
        "Dense(128, 10)"
    ),
    "cifar-cnn": (
        "Conv2D(3, 32, kernel_size=3, padding=2), BatchNorm(32, from_first_batch=True), ReLU(), "
        "MaxPool2D(2), Conv2D(32, 32, kernel_size=3, padding=2), "
        "BatchNorm(32, from_first_batch=True), ReLU(), MaxPool2D(2), Flatten(), Dropout(0.3), "
        "Dense(2592, 10)"
    ),
    "lenet5": (
        "Conv2D(1, 6, kernel_size=5, padding=2, NORMAL), Sigmoid(), AveragePool2D(2), "
        "Conv2D(6, 16, kernel_size=5, NORMAL), Sigmoid(), AveragePool2D(2), Flatten(), "
        "Dense(400, 120, NORMAL), Sigmoid(), Dense(120, 84, NORMAL), Sigmoid(), "
        "Dense(84, 10, NORMAL)"
    ).replace("NORMAL", "init='normal', init_std=1.0"),
    "cifar-mlp": (
        "Flatten(), Dense(3072, 1024), BatchNorm(1024), ReLU(), Dropout(0.5), Dense(1024, 10)"
    ),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_the_preset_is_what_the_author_wrote(name: str) -> None:
    written = dict(WRITTEN[name])
    ours = written.pop("ours")
    settings = config.to_dict(configure({"model": name}))
    assert {key: settings[key] for key in written} == written
    # and there is nothing in it that stands neither there nor among what was left open
    assert set(models.preset(name)) <= set(written) | set(ours)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_is_what_the_author_wrote(name: str) -> None:
    assert repr(models.build(name)) == f"Sequential({NETWORKS[name]})"
    for layer in models.build(name).layers:
        if isinstance(layer, BatchNorm):
            assert (layer.momentum, layer.eps) == (0.9, 1e-5)


def test_tuned_presets_say_what_they_change() -> None:
    changes = {
        name: {
            key: value
            for key, value in models.preset(name, "tuned").items()
            if models.preset(name).get(key, ...) != value
        }
        for name in models.names()
    }
    assert {name: change for name, change in changes.items() if change} == {
        "mnist-optimized": {"shift": 1},
        "cifar-cnn": {"bn_start": "standard", "precise_bn": 50, "clip_arrays": None},
        "lenet5": {"init": "xavier"},
        "cifar-mlp": {"lr_decay": 0.98, "epochs": 70, "patience": 15},
    }


def test_a_preset_is_chosen_like_any_setting() -> None:
    tuned = configure({"model": "lenet5", "preset": "tuned"})
    assert (tuned.model.preset, tuned.model.init) == ("tuned", "xavier")
    assert configure({"model": "lenet5", "preset": "tuned", "init": "he"}).model.init == "he"
    with pytest.raises(ValueError, match="preset must be one of author, tuned, got 'best'"):
        configure({"model": "lenet5", "preset": "best"})


def test_a_configuration_of_version_0_1_0_keeps_its_meaning() -> None:
    """It names no preset, and what it does not name was as it is tuned today."""
    new = {"preset", "init", "init_std", "bn_start", "clip_arrays", "activation", "pool"}
    whole = config.to_dict(configure({"model": "cifar-cnn", "preset": "tuned"}))
    old = {name: value for name, value in whole.items() if name not in new}
    assert config.to_dict(configure(old)) == whole
    assert dataclasses.replace(configure(old)).model.preset == "tuned"
