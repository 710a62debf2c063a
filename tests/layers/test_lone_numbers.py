"""BatchNorm of one number per channel: refused where nobody would see it, noted by `train`."""

import numpy as np
import pytest

from fastcnn import Graph, Sequential
from fastcnn.layers import (
    Add,
    BatchNorm,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePool2D,
    Input,
    MaxPool2D,
    ReLU,
    Residual,
)


def graph() -> Graph:
    x = Input((2, 3, 3))
    y = BatchNorm(2)(Conv2D(2, 2, 3)(x))
    return Graph(x, Dense(2, 2)(Flatten()(Add()(y, Conv2D(2, 2, 3)(x)))))


IMAGE = (2, 3, 3)
NETWORKS = {
    "row": lambda: (Sequential(Dense(3, 4), BatchNorm(4), ReLU(), Dense(4, 2)), (3,)),
    "convolution": lambda: (Sequential(Conv2D(2, 4, 3), BatchNorm(4), ReLU()), IMAGE),
    "before a convolution": lambda: (
        Sequential(Conv2D(2, 16, 3), BatchNorm(16), ReLU(), Conv2D(16, 16, 1), Flatten()),
        IMAGE,
    ),
    "pooled": lambda: (Sequential(GlobalAveragePool2D(), BatchNorm(2)), IMAGE),
    "behind a pool": lambda: (Sequential(Conv2D(2, 2, 2), MaxPool2D(2), BatchNorm(2)), IMAGE),
    "block": lambda: (Sequential(Residual([Dense(3, 3), BatchNorm(3)]), ReLU()), (3,)),
    "graph": lambda: (graph(), IMAGE),
    "float64": lambda: (Sequential(BatchNorm(3)).astype(np.float64), (3,)),
    "channels last": lambda: (
        Sequential(Conv2D(2, 4, 3), BatchNorm(4), data_format="channels_last"),
        (3, 3, 2),
    ),
}


def numbers(model: Sequential | Graph, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(model.dtype)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_loop_of_ones_own_is_told(name):
    model, shape = NETWORKS[name]()
    x = numbers(model, (1, *shape))
    norms = [leaf for layer in model.layers for leaf in layer.family()]
    norms = [leaf for leaf in norms if isinstance(leaf, BatchNorm)]
    before = [norm.copy_arrays() for norm in norms]
    for _ in range(4):  # the passes that are listed later, too
        with pytest.raises(ValueError, match="each channel is a single number"):
            model.forward(x, training=True)
    for norm, arrays in zip(norms, before, strict=True):
        for place, array in norm.copy_arrays().items():
            np.testing.assert_array_equal(array, arrays[place])
    y = model.forward(x)
    with pytest.raises(RuntimeError, match="that was not refused"):
        model.backward(np.ones_like(y))


@pytest.mark.parametrize("name", NETWORKS)
def test_what_has_more_numbers_is_not(name):
    model, shape = NETWORKS[name]()
    y = model.forward(numbers(model, (2, *shape)), training=True)
    assert model.backward(np.ones_like(y)).shape == (2, *shape)
    one = numbers(model, (1, *shape))
    for layer in model.layers:
        layer.trainable = False
    np.testing.assert_array_equal(model.forward(one, training=True).shape[0], 1)


def test_one_image_of_several_pixels_is_not():
    model = Sequential(Conv2D(2, 4, 2), BatchNorm(4), ReLU(), Conv2D(4, 4, 1), BatchNorm(4))
    x = numbers(model, (1, *IMAGE))
    assert model.forward(x, training=True).shape == (1, 4, 2, 2)


def test_after_training_with_lone_samples_a_loop_is_still_told():
    """What `train` has done with such batches is not run again."""
    model, shape = NETWORKS["row"]()
    x = numbers(model, (9, *shape))
    history = model.train(x, np.arange(9) % 2, batch_size=1, epochs=2, progress=False)
    assert any("each batch has 1 image" in note for note in history.notes)
    with pytest.raises(ValueError, match="each channel is a single number"):
        model.forward(x[:1], training=True)


def test_the_time_of_one_sample_can_be_taken():
    model, shape = NETWORKS["row"]()
    assert "BatchNorm(4)" in model.summary(shape, time=True, batch_size=1)
