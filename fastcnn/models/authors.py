"""The settings that each network is trained with: its author's, and ours where we know better.

`AUTHORS` has what the author wrote; where nothing was written the choice is ours, and said. The
names are those of `fastcnn.config`, settings that are not here have its defaults. The tests hold
the five systems to the list of what their documents say.
"""

from typing import Any

AUTHORS: dict[str, dict[str, Any]] = {
    "mnist-baseline": {
        "dataset": "mnist", "normalization": "standardize",
        "optimizer": "sgd", "lr": 0.01, "batch_size": 32, "epochs": 20,
    },
    # How many images are validated on is not written.
    "mnist-optimized": {
        "dataset": "mnist", "normalization": "standardize", "validation": 0.1,
        "optimizer": "adam", "lr": 1e-3, "weight_decay": 1e-4, "schedule": "cosine",
        "lr_min": 0.0, "batch_size": 64, "epochs": 20, "patience": 5, "monitor": "val_loss",
        "clip_norm": 5.0,
    },
    # Rate and batch size are not written.
    "lab-cnn": {
        "dataset": "mnist", "limit_train": 1000, "limit_test": 100,
        "optimizer": "sgd", "lr": 0.01, "batch_size": 32, "epochs": 2,
    },
    # The published code sums over the batch; the document prints the mean (`--loss-reduction`).
    "cifar-cnn": {
        "dataset": "cifar10", "validation": 0.2, "loss_reduction": "sum",
        "optimizer": "sgd", "lr": 0.01, "weight_decay": 5e-3,
        "schedule": "exponential", "lr_decay": 0.995, "batch_size": 128, "epochs": 20,
        "patience": 5, "monitor": "val_accuracy",
        "clip_norm": 5.0, "clip_mode": "array", "clip_arrays": ("weight", "gamma", "beta"),
    },
    "lenet5": {
        "dataset": "mnist", "normalization": "scale256", "loss_reduction": "sum",
        "optimizer": "sgd", "lr": 0.0015, "batch_size": 64, "epochs": 10,
    },
    # Decay, patience and epochs are the defaults of the published code.
    "cifar-mlp": {
        "dataset": "cifar10", "validation": 0.1, "flip": True,
        "optimizer": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.01,
        "schedule": "s5", "lr_decay": 0.9, "batch_size": 128, "epochs": 100,
        "patience": 10, "monitor": "val_accuracy",
    },
    # The paper's, but for the schedule, which in the paper takes 64,000 steps (182 epochs) with
    # lr / 10 at one half and at three quarters, and for the pixels: it subtracts the mean image.
    "resnet20": {
        "dataset": "cifar10", "normalization": "standardize", "validation": 0.1,
        "flip": True, "shift": 4,
        "optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4,
        "schedule": "cosine", "lr_min": 0.0, "batch_size": 128, "epochs": 30,
        "monitor": "val_accuracy",
    },
    # The paper's, but for the schedule (300 epochs with lr / 10 at one half and at three quarters)
    # and the batches (64).
    "densenet": {
        "dataset": "cifar10", "normalization": "standardize", "validation": 0.1,
        "flip": True, "shift": 4,
        "optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4,
        "schedule": "cosine", "lr_min": 0.0, "batch_size": 128, "epochs": 30,
        "monitor": "val_accuracy",
    },
    # The papers trained on ImageNet. Momentum and weight decay are the paper's (5e-4), the rest is
    # ours.
    "vgg-small": {
        "dataset": "cifar10", "normalization": "standardize", "validation": 0.1,
        "flip": True, "shift": 4,
        "optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4,
        "schedule": "cosine", "lr_min": 0.0, "batch_size": 128, "epochs": 30,
        "monitor": "val_accuracy",
    },
    # The paper asks for little weight decay, as depthwise filters have few weights.
    "mobilenet-small": {
        "dataset": "cifar10", "normalization": "standardize", "validation": 0.1,
        "flip": True, "shift": 4,
        "optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4,
        "schedule": "cosine", "lr_min": 0.0, "batch_size": 128, "epochs": 30,
        "monitor": "val_accuracy",
    },
    # Ours, for 99 % of MNIST and 85 % of CIFAR-10 soon (docs/accuracy.md).
    "mnist-fast": {
        "dataset": "mnist", "normalization": "standardize",
        "shift": 1, "label_smoothing": 0.1,
        "optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4,
        "schedule": "onecycle", "lr_rise": 0.2, "lr_div": 10.0, "batch_size": 128, "epochs": 4,
    },
    "cifar-fast": {
        "dataset": "cifar10", "normalization": "standardize",
        "flip": True, "shift": 2, "label_smoothing": 0.1,
        "optimizer": "sgd", "lr": 0.2, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4,
        "schedule": "onecycle", "lr_rise": 0.2, "lr_div": 10.0, "batch_size": 128, "epochs": 12,
    },
}  # fmt: skip

# What is changed of them where our own runs found better settings (docs/accuracy.md).
TUNED: dict[str, dict[str, Any]] = {
    # The smallest of the shifts that its author calls optional.
    "mnist-optimized": {"shift": 1},
    "cifar-cnn": {"bn_start": "standard", "precise_bn": 50, "clip_arrays": None},
    "lenet5": {"init": "xavier"},
    "cifar-mlp": {"lr_decay": 0.98, "epochs": 70, "patience": 15},
}
