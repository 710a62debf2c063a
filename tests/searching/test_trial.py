"""What a first critical user found; each was wrong once."""

import numpy as np
import pytest

from fastcnn import Sequential, models
from fastcnn.layers import BatchNorm, Conv2D, Dense, Flatten, MaxPool2D, ReLU
from fastcnn.losses import CrossEntropyLoss
from fastcnn.optim import Adam


def images(n=6):
    return np.random.default_rng(0).random((n, 1, 8, 8), np.float32)


@pytest.mark.parametrize("with_norm", [False, True])
def test_prediction_between_forward_and_backward(with_norm):
    layers = [Conv2D(1, 4, 3), *([BatchNorm(4)] if with_norm else []), ReLU(), MaxPool2D(2)]
    model = Sequential(*layers)
    x = images()
    y = model.forward(x, training=True)
    undisturbed = model.backward(np.ones_like(y))
    state = {name: array.copy() for name, array in model.named_arrays()}
    model.forward(x, training=True)
    model.load_arrays(state)
    model.forward(x + 1)
    np.testing.assert_array_equal(model.backward(np.ones_like(y)), undisturbed)


def test_layers_of_a_model_called_one_by_one_give_new_arrays():
    model = Sequential(Conv2D(1, 4, 3, padding=1), ReLU(), Conv2D(4, 4, 3, padding=1))
    x, maps, copies = images(), [], []
    model.forward(x)
    for layer in model.layers:
        x = layer.forward(x)
        maps.append(x)
        copies.append(x.copy())
    model.layers[0].forward(images() + 1)
    model.forward(images() + 2)
    for kept, copy in zip(maps, copies, strict=True):
        np.testing.assert_array_equal(kept, copy)


def test_first_layer_gives_an_input_gradient_after_training():
    model = Sequential(Conv2D(1, 4, 3), Flatten(), Dense(144, 3))
    model.train(images(), np.zeros(6, int), epochs=1, batch_size=3)
    y = model.layers[0].forward(images(), training=True)
    assert model.layers[0].backward(np.ones_like(y)).shape == (6, 1, 8, 8)


def test_a_model_keeps_its_memory_from_step_to_step():
    model = Sequential(Conv2D(1, 4, 3), Flatten(), Dense(144, 3))
    places = set()
    for _ in range(3):
        logits = model.forward_training(images())
        model.backward_training(np.ones_like(logits))
        places.add(logits.ctypes.data)
    assert len(places) == 1


def small():
    return Sequential(Flatten(), Dense(64, 3))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"optimizer": Adam}, r"optimizer must be a fastcnn Optimizer object, such as SGD"),
        ({"optimizer": "adm"}, r"there is no optimizer 'adm'; did you mean 'adam'\?"),
        ({"loss": CrossEntropyLoss}, "loss must be a name or an object .* got the class itself"),
        ({"schedule": 0.5}, r"schedule must be a fastcnn Schedule object"),
        ({"augment": "flip"}, r"augment must be a fastcnn Augment object"),
        ({"validation": (1, 2, 3, 4)}, r"validation must be a share .*, or a pair \(x, y\)"),
    ],
)
def test_wrong_options_are_named(options, said):
    with pytest.raises(ValueError, match=said):
        small().train(images(), np.zeros(6, int), **options)


def test_unknown_option_of_train():
    with pytest.raises(TypeError, match=r"'epoch'; did you mean 'epochs'\?"):
        small().train(images(), np.zeros(6, int), epoch=3)


def test_nothing_to_train_on():
    with pytest.raises(ValueError, match="training: needs arrays of samples x and of labels y"):
        small().train(None, None)
    with pytest.raises(ValueError, match="evaluate: needs arrays"):
        small().evaluate(images(), None)


def test_optimizer_by_name():
    history = small().train(images(), np.zeros(6, int), epochs=1, optimizer="adam")
    assert history.epochs == 1


def test_nan_in_the_data_is_not_blamed_on_the_learning_rate():
    x = images()
    x[2] = np.nan
    with pytest.raises(ValueError, match="training: sample 2 holds NaN or infinite numbers"):
        small().train(x, np.zeros(6, int), epochs=1)


def test_choice_of_another_model():
    with pytest.raises(ValueError, match=r"no choice of 'growth'; those that have are densenet"):
        models.build("lab-cnn", growth=12)


def test_saving_into_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        small().save(tmp_path / "none" / "model.npz")
