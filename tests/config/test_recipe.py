"""Optimizers and schedules as the settings describe them."""

from typing import Any

import pytest

from fastcnn.config import Config, ConfigError, replace
from fastcnn.config.recipe import make_method, make_optimizer, make_schedule, make_weighting
from fastcnn.optim import SGD, Adam, AdamW, Lookahead, Optimizer, RAdam, Ranger
from fastcnn.schedules import (
    Constant,
    CosineAnnealing,
    OneCycle,
    ReduceLROnPlateau,
    Schedule,
    StepDecay,
    Warmup,
)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, SGD()),
        ({"momentum": 0.9, "nesterov": True}, SGD(momentum=0.9, nesterov=True)),
        ({"optimizer": "adam", "lr": 0.1}, Adam(0.1)),
        ({"optimizer": "adamw", "weight_decay": 0.5}, AdamW(weight_decay=0.5)),
        ({"optimizer": "adamw"}, AdamW(weight_decay=0.01)),
        ({"optimizer": "radam"}, RAdam()),
        (
            {"optimizer": "radam", "decoupled_decay": True, "weight_decay": 0.1},
            RAdam(weight_decay=0.1, decoupled_weight_decay=True),
        ),
        ({"optimizer": "ranger", "lr": 0.1}, Ranger(0.1)),
        ({"optimizer": "ranger", "lookahead": 3, "lookahead_alpha": 0.8}, Ranger(k=3, alpha=0.8)),
        ({"lookahead": 5, "momentum": 0.9}, Lookahead(SGD(momentum=0.9))),
        (
            {"optimizer": "adam", "lookahead": 7, "lookahead_alpha": 0.2},
            Lookahead(Adam(), k=7, alpha=0.2),
        ),
    ],
    ids=str,
)
def test_optimizer(settings: dict[str, Any], expected: Optimizer):
    assert make_optimizer(replace(Config(), settings)).spec() == expected.spec()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, Constant()),
        ({"schedule": "step", "lr_factor": 0.1, "lr_every": 3}, StepDecay(0.1, 3)),
        ({"schedule": "cosine", "lr_min": 0.1}, CosineAnnealing(0.1)),
        ({"schedule": "cosine", "lr_per_step": True}, CosineAnnealing(per_step=True)),
        ({"schedule": "onecycle"}, OneCycle()),
        (
            {"schedule": "plateau", "lr_factor": 0.2, "plateau_epochs": 3, "lr_min": 0.1},
            ReduceLROnPlateau(0.2, 3, lr_min=0.1),
        ),
        (
            {"schedule": "plateau", "monitor": "val_accuracy", "warmup": 1.0},
            Warmup(ReduceLROnPlateau(0.5, monitor="val_accuracy"), 1.0),
        ),
        (
            {"schedule": "onecycle", "lr_rise": 0.4, "lr_div": 10.0, "lr_final_div": 100.0},
            OneCycle(0.4, 10.0, 100.0),
        ),
        ({"schedule": "cosine", "warmup": 2.5}, Warmup(CosineAnnealing(), 2.5)),
        ({"warmup": 1.0, "warmup_start": 0.2}, Warmup(Constant(), 1.0, 0.2)),
    ],
    ids=str,
)
def test_schedule(settings: dict[str, Any], expected: Schedule):
    assert make_schedule(replace(Config(), settings)).spec() == expected.spec()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"optimizer": "radam", "momentum": 0.9}, "momentum is an option of sgd and rmsprop, not"),
        ({"optimizer": "adam", "decoupled_decay": True}, "decoupled_decay is an option of radam"),
        ({"optimizer": "sgd", "decoupled_decay": True}, "an option of radam, not of sgd"),
        ({"optimizer": "adam", "nesterov": True}, "nesterov is an option of sgd, not of adam"),
        ({"lr_per_step": True}, "lr_per_step is an option of cosine, not of constant"),
        ({"schedule": "onecycle", "warmup": 1.0}, "warmup does not go with onecycle"),
    ],
)
def test_refused(settings: dict[str, Any], sentence: str):
    config = replace(Config(), settings)
    with pytest.raises(ConfigError, match=sentence):
        make_optimizer(config), make_schedule(config)


def test_loss_and_weights():
    method = make_method(replace(Config(), {"loss": "hinge", "loss_reduction": "sum", "ema": 0.9}))
    assert (repr(method.loss), method.ema) == ('HingeLoss("sum")', 0.9)
    method = make_method(replace(Config(), {"label_smoothing": 0.1}))
    assert repr(method.loss) == "CrossEntropyLoss(label_smoothing=0.1)"
    assert make_weighting(Config()).classes is None
    assert make_weighting(replace(Config(), {"class_weight": "balanced"})).classes == "balanced"
    with pytest.raises(ConfigError, match="label_smoothing is an option of cross-entropy, not of"):
        make_method(replace(Config(), {"loss": "hinge", "label_smoothing": 0.1}))
