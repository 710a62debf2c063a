"""The named networks."""

import numpy as np
import pytest

from fastcnn import config, models

# Parameters counted by hand from the descriptions.
COUNTS = {
    "mnist-baseline": 80 + 1168 + 784 * 128 + 128 + 1290,
    "mnist-optimized": 160 + 32 + 4640 + 64 + 1568 * 256 + 256 + 256 * 128 + 128 + 1290,
    "lab-cnn": 80 + 1352 * 128 + 128 + 1290,
    "cifar-cnn": 896 + 64 + 9248 + 64 + 25930,
    "lenet5": 61_706,
    "cifar-mlp": 3072 * 1024 + 1024 + 2048 + 10_250,
}
every_model = pytest.mark.parametrize("name", models.names())


@every_model
def test_parameters_and_output(name: str) -> None:
    model = models.build(name)
    assert model.name == name
    assert model.parameters.count == COUNTS[name]
    assert model.input_shape is not None
    assert model.predict(np.zeros((2, *model.input_shape), np.uint8)).shape == (2,)


@every_model
def test_seed_decides_the_weights(name: str) -> None:
    values = [models.build(name, seed=seed).parameters.values for seed in (1, 1, 2)]
    np.testing.assert_array_equal(values[0], values[1])
    assert (values[0] != values[2]).any()


@every_model
def test_preset_is_a_configuration(name: str) -> None:
    preset = models.preset(name)
    settings = config.to_dict(config.replace(config.Config(), preset))
    assert {key: settings[key] for key in preset} == preset
    preset.clear()
    assert models.preset(name)


def test_choices() -> None:
    model = models.build("cifar-cnn", filters=(4, 8), dropout=0.6, classes=3)
    assert [layer.params["weight"].shape[0] for layer in model.layers if "weight" in layer.params]
    assert model.layers[0].params["weight"].shape == (4, 3, 3, 3)
    assert model.layers[-1].params["weight"].shape == (8 * 9 * 9, 3)
    assert "Dropout(0.6)" in repr(model)
    assert models.build("cifar-mlp", hidden=20).layers[1].params["weight"].shape == (3072, 20)
    small = models.build("mnist-baseline", input_shape=(1, 8, 8))
    assert small.output_shape((5, 1, 8, 8)) == (5, 10)


def test_sums_for_sigmoid_start_smaller() -> None:
    weight = models.build("lenet5").layers[0].params["weight"]
    assert np.abs(weight).max() <= np.sqrt(6 / (25 + 150))


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="there is no model 'lenet'; did you mean 'lenet5'"):
        models.build("lenet")
    with pytest.raises(ValueError, match="there is no model 'x'; known are mnist-baseline, "):
        models.preset("x")
    with pytest.raises(ValueError, match="no choice for cifar-cnn: 'filter'; did you mean 'filt"):
        models.build("cifar-cnn", filter=(1, 2))
    with pytest.raises(ValueError, match="filters must be two numbers, such as"):
        models.build("cifar-cnn", filters=(1, 2, 3))
    with pytest.raises(ValueError, match="the 5x5 window does not fit into the input of shape"):
        models.build("lenet5", input_shape=(1, 8, 8))
    with pytest.raises(ValueError, match="lenet5: input_shape must be"):
        models.build("lenet5", input_shape=(28, 28))
    with pytest.raises(ValueError, match="lenet5: classes must be a whole number above 0"):
        models.build("lenet5", classes=0)
