"""A model that nobody holds any more is gone at once, not when Python looks for circles."""

import copy
import gc
import pickle
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from fastcnn import Sequential, load_model, models
from fastcnn.layers import Conv2D, Dense, Flatten, ReLU, Residual
from fastcnn.losses import CrossEntropyLoss
from fastcnn.optim import Adam, Lookahead

RNG = np.random.default_rng(13)


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def data(model: Sequential) -> tuple[np.ndarray, np.ndarray]:
    assert model.input_shape is not None
    return RNG.integers(0, 256, (4, *model.input_shape), dtype=np.uint8), np.array([0, 1, 2, 3])


def step(model: Sequential) -> None:
    (x, y), loss = data(model), CrossEntropyLoss()
    loss.forward(model.forward(x, training=True), y)
    model.backward(loss.backward())
    Adam(1e-3).step(model)


def train(model: Sequential) -> None:
    model.train(*data(model), epochs=1, optimizer=Lookahead(Adam(1e-3)), validation=data(model))


def fail(model: Sequential) -> None:
    with pytest.raises(ValueError, match="labels must lie"):
        model.evaluate(data(model)[0], np.full(4, 99))


USED: dict[str, Callable[[Sequential], Any]] = {
    "built": lambda model: None,
    "a step": step,
    "predict": lambda model: model.predict(data(model)[0]),
    "evaluate": lambda model: model.evaluate(*data(model)),
    "train": train,
    "summary": lambda model: model.summary(),
    "copied": copy.deepcopy,
    "pickled": lambda model: pickle.loads(pickle.dumps(model)),
    "a new head": lambda model: model.replace_head(5),
    "frozen": lambda model: (model.freeze("all-but-last"), step(model)),
    "an error": fail,
}


def parts(model: Sequential) -> list[weakref.ref[Any]]:
    """Weak references to all that holds memory."""
    flat = model.parameters
    inside = [layer for part in model.layers for layer in part.family()]
    return [
        weakref.ref(part)
        for part in (
            model, flat, flat.values, flat.gradients, model.workspace, *inside,
            *(layer.workspace for layer in inside), *(layer.scratch for layer in inside),
        )
    ]  # fmt: skip


def gone(model: list[Sequential]) -> None:
    held = parts(model[0])
    model.clear()
    alive = [ref() for ref in held if ref() is not None]
    assert alive == []


@pytest.mark.parametrize("name", models.names())
def test_every_model_after_a_step_a_prediction_and_training(name: str) -> None:
    for is_compiled in (False, True):
        model = [models.build(name)]
        for use in ("predict", "a step", "evaluate", "train"):
            USED[use](model[0])
        if is_compiled:
            gone(model)
        else:
            gc.collect()  # Numba holds on to what it compiled for


@pytest.mark.parametrize("use", USED.values(), ids=USED)
def test_every_use(use: Callable[[Sequential], Any], tmp_path: Any) -> None:
    use(Sequential(Conv2D(1, 3, 3), Flatten(), Dense(27, 5), input_shape=(1, 5, 5)))
    gc.collect()
    block = Residual([Conv2D(3, 3, 1), Residual([ReLU()])], activation=ReLU())
    layers = [Conv2D(1, 3, 3), ReLU(), block, Flatten(), Dense(27, 5)]
    model = Sequential(*layers, input_shape=(1, 5, 5))
    del layers, block
    use(model)
    model.save(tmp_path / "model.npz")
    held = [model]
    del model
    gone(held)
    held.append(load_model(tmp_path / "model.npz"))
    use(held[0])
    gone(held)


def test_layers_of_two_models_live_as_long_as_one_does() -> None:
    model = Sequential(Flatten(), Dense(25, 5), ReLU(), Dense(5, 5), input_shape=(1, 5, 5))
    part = Sequential(*model.layers[1:])
    step(model)
    held, layers = [model], [weakref.ref(layer) for layer in model.layers]
    del model
    gone_now = weakref.ref(held[0])
    held.clear()
    assert gone_now() is None
    assert [ref() is None for ref in layers] == [True, False, False, False]
    part.forward(np.zeros((1, 25), np.float32), training=True)
    del part
    assert all(ref() is None for ref in layers)
