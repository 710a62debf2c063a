"""Numbers that are none at the first step: the sentence says which array they are in."""

import numpy as np
import pytest

from fastcnn import Graph, Input, Sequential
from fastcnn.layers import Dense, Layer, ReLU
from fastcnn.losses import Loss, MSELoss
from fastcnn.optim import SGD
from fastcnn.training import TrainingDiverged


class Squares:
    """Half the squares' sum, as somebody writes it; `spoil` changes what it gives."""

    def __init__(self, at=1, value=None, gradient=None):
        self.at, self.value, self.gradient, self.calls = at, value, gradient, 0

    def forward(self, outputs, targets, weights=None):
        self.calls += 1
        self.difference = outputs - targets
        loss = float((self.difference**2).sum(axis=1).mean()) / 2
        return loss if self.value is None or self.calls < self.at else self.value

    def backward(self):
        gradient = self.difference / len(self.difference)
        if self.gradient is not None and self.calls >= self.at:
            gradient[1, 0] = self.gradient
        return gradient


class OfOurs(Squares, Loss):
    """The same as a subclass."""

    def __init__(self, *args, **options):
        Loss.__init__(self)
        Squares.__init__(self, *args, **options)


class Through(Layer):
    """Gives what it gets, and spoils the gradient by what it is given."""

    def forward(self, x, training=False):
        return x.copy()

    def backward(self, dy):
        return np.full_like(dy, np.nan)

    def output_shape(self, input_shape):
        return input_shape


def diverged(model, x, y, **options):
    with pytest.raises(TrainingDiverged) as told:
        model.train(x, y, epochs=2, batch_size=4, progress=False, **options)
    assert "\n" not in str(told.value)
    return str(told.value)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(12, 3)).astype(np.float32), rng.normal(size=(12, 2)).astype(np.float32)


@pytest.mark.parametrize("kind", [Squares, OfOurs])
@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize(("at", "batch"), [(1, 1), (3, 3)])
def test_the_gradient_of_a_loss_of_ones_own(data, kind, number, at, batch):
    told = diverged(Sequential(Dense(3, 2)), *data, loss=kind(at, gradient=number))
    assert told.startswith(
        f"the gradient of the loss by the outputs became infinite or NaN in epoch 1, "
        f"batch {batch}: look at what backward of {kind.__name__} gives"
    )
    assert "learning rate" not in told


@pytest.mark.parametrize("kind", [Squares, OfOurs])
def test_the_value_of_a_loss_of_ones_own(data, kind):
    told = diverged(Sequential(Dense(3, 2)), *data, loss=kind(value=np.nan))
    assert (
        "the loss became nan in epoch 1, batch 1: no step has been made yet, and what the" in told
    )
    assert "is finite: look at the loss and the targets" in told


def test_the_outputs(data):
    model = Sequential(Dense(3, 2))
    model.layers[0].params["bias"] = np.array([np.nan, 0], np.float32)
    told = diverged(model, *data, loss="mse")
    assert "the network itself gives infinite numbers or NaN" in told


@pytest.mark.parametrize("clip", [None, 1.0])
def test_the_gradient_of_a_parameter(data, clip):
    model = Sequential(Dense(3, 4), ReLU(), Through(), Dense(4, 2))
    told = diverged(model, *data, loss="mse", clip_norm=clip)
    assert told.startswith(
        "the gradient of 0.bias became infinite or NaN in epoch 1, batch 1: no s"
    )


def test_the_gradient_by_one_output_of_several(data):
    x, y = data
    inputs = Input((3,))
    model = Graph(inputs, {"left": Dense(3, 2)(inputs), "right": Dense(3, 2)(inputs)})
    told = diverged(model, x, (y, y), loss=(MSELoss(), Squares(gradient=np.nan)))
    assert "the gradient of the loss by the output right became infinite or NaN in epoch 1" in told
    assert "backward of Squares" in told


def test_nothing_is_changed_where_all_is_finite(data):
    model, other = Sequential(Dense(3, 2)), Sequential(Dense(3, 2))
    model.train(*data, loss=Squares(), epochs=2, progress=False)
    other.train(*data, loss=OfOurs(), epochs=2, progress=False)
    np.testing.assert_array_equal(
        model.layers[0].params["weight"], other.layers[0].params["weight"]
    )


def test_a_weight_decay_that_is_too_high_is_blamed(data):
    rule = SGD(0.5, weight_decay=1e30)
    model, (x, y) = Sequential(Dense(3, 2)), data
    told = diverged(model, x, y, loss=MSELoss(), optimizer=rule)
    assert "the weight decay 1e+30 is too high: each step takes 5e+29 times the weights" in told


@pytest.mark.parametrize("at", [1, 3, 4, 6])
def test_before_an_epoch_is_finished_the_model_is_what_it_was(data, at):
    model = Sequential(Dense(3, 2))
    model.train(data[0], list("abab" * 3), epochs=1, progress=False)
    known, arrays = model.known_of_training(), model.copy_arrays()
    diverged(model, *data, loss=Squares(at, np.nan))  # three batches are an epoch
    is_begun = at > 3
    assert (model.known_of_training() == known) is not is_begun
    assert model.task == ("regression" if is_begun else "classification")
    unchanged = all((array == arrays[name]).all() for name, array in model.copy_arrays().items())
    assert unchanged is not is_begun


@pytest.mark.parametrize(
    "options",
    [{"resume_from": "nowhere"}, {"validation": 2.0}, {"drop_last": True, "batch_size": 99}],
)
def test_training_that_is_refused_leaves_the_task(data, options):
    model = Sequential(Dense(3, 2))
    before = model.known_of_training()
    with pytest.raises((ValueError, OSError)):
        model.train(*data, loss="mse", epochs=1, progress=False, **options)
    assert model.known_of_training() == before
    assert model.predict(data[0]).dtype == np.int64
