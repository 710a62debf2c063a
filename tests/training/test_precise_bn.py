"""BatchNorm's statistics measured anew: the numbers, what is left alone, and resuming."""

import numpy as np
import pytest

from fastcnn import Sequential, datasets
from fastcnn.layers import BatchNorm, Conv2D, Dense, Flatten, MaxPool2D, ReLU, Residual
from fastcnn.optim import SGD
from fastcnn.training.precise_bn import measure_statistics


def small_integers(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).integers(-4, 5, shape).astype(np.float32)


def network() -> Sequential:
    """BatchNorm before a pool, which a fused kernel does; within a residual block; of vectors."""
    return Sequential(
        Conv2D(1, 4, 3, padding=1), BatchNorm(4), ReLU(), MaxPool2D(2),
        Residual([Conv2D(4, 4, 3, padding=1), BatchNorm(4)], activation=ReLU()),
        Flatten(), Dense(4 * 8 * 8, 10), BatchNorm(10), seed=3,
    )  # fmt: skip


def norms(model: Sequential) -> list[BatchNorm]:
    return [
        layer for part in model.layers for layer in part.family() if isinstance(layer, BatchNorm)
    ]


@pytest.fixture(scope="module")
def digits():
    data = datasets.load("digits")
    return data.x_train[:150, :, 6:22, 6:22].copy(), data.y_train[:150]


@pytest.mark.parametrize("shape", [(6, 3), (5, 3, 4, 7)])
def test_statistics_are_means_over_the_batches(shape):
    batches = small_integers(4, *shape)
    model = Sequential(BatchNorm(3), seed=1)
    model.layers[0].state["running_mean"][:] = 99  # of no weight
    measure_statistics(model, batches)
    axes = (1, *range(3, batches.ndim))
    state = model.layers[0].state
    np.testing.assert_allclose(state["running_mean"], batches.mean(axes).mean(0), rtol=1e-5)
    np.testing.assert_allclose(state["running_var"], batches.var(axes).mean(0), rtol=1e-5)
    assert model.layers[0].momentum == 0.9


def test_weights_and_frozen_layers_stay(digits):
    x = digits[0][:40] / np.float32(255)
    model = network()
    model.freeze(2)
    before = model.copy_arrays()
    measure_statistics(model, [x, x[::-1]])
    changed = {name for name, array in model.named_arrays() if (array != before[name]).any()}
    parts = {name.rpartition(".")[0] for name in changed}
    assert parts == {layer.path for layer in norms(model)[1:]}
    assert {name.rpartition(".")[2] for name in changed} == {"running_mean", "running_var"}


def test_after_an_epoch_the_statistics_are_those_of_its_weights(digits):
    x, y = digits
    model = network()
    options = {"optimizer": SGD(0.5), "batch_size": 40, "shuffle": False, "epochs": 2}
    model.train(x, y, precise_bn=2, **options)
    after = model.copy_arrays()
    measure_statistics(model, (model.prepared(x[i : i + 40]) for i in (0, 40)))
    for name, array in model.named_arrays():
        np.testing.assert_array_equal(array, after[name], err_msg=name)


def test_last_short_batch_is_not_measured(digits, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "fastcnn.training.loop.measure_statistics",
        lambda _model, batches: seen.extend(len(batch) for batch in batches),
    )
    network().train(*digits, epochs=1, batch_size=40, precise_bn=100)
    network().train(*digits, epochs=1, batch_size=200, precise_bn=100)
    network().train(*digits, epochs=1, batch_size=40)
    assert seen == [40, 40, 40, 150]


def test_resumed_run_has_the_same_bits(digits, tmp_path):
    options = {"batch_size": 40, "precise_bn": 2, "checkpoint_path": tmp_path / "run.npz"}
    whole, parted = network(), network()
    whole.train(*digits, epochs=3, **options)
    parted.train(*digits, epochs=1, **options)
    parted = network()
    parted.train(*digits, epochs=3, resume_from=tmp_path / "run.npz", **options)
    expected = whole.copy_arrays()
    for name, array in parted.named_arrays():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


def test_helps_where_running_statistics_lag(digits):
    """Steps of a fixed, long length: what ran along is of weights long gone."""
    x, y = digits
    losses = []
    for precise_bn in (0, 3):
        model = network()
        options = {"optimizer": SGD(0.5), "clip_norm": 1.0, "clip_mode": "array"}
        history = model.train(
            x, y, epochs=3, batch_size=40, validation=(x, y), precise_bn=precise_bn,
            **options,
        )  # fmt: skip
        losses.append(history["val_loss"][-1])
    assert losses[1] < 0.8 * losses[0]
