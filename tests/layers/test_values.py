"""What layers return, in values to check by hand and against NumPy, and how it lies in memory."""

import copy
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastcnn import Sequential, backend, load_model
from fastcnn.layers import (
    GELU,
    AdaptiveAveragePool2D,
    AdaptiveMaxPool2D,
    AveragePool1D,
    AveragePool2D,
    BatchNorm,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool1D,
    GlobalAveragePool2D,
    GlobalMaxPool1D,
    GlobalMaxPool2D,
    GroupNorm,
    InstanceNorm,
    Layer,
    LayerNorm,
    LeakyReLU,
    LogSoftmax,
    MaxPool1D,
    MaxPool2D,
    Pad,
    PixelShuffle,
    PReLU,
    ReLU,
    Reshape,
    Residual,
    Sigmoid,
    Softmax,
    SpatialDropout,
    Tanh,
    Upsample,
    from_spec,
)

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(-8, 8, (2, 3, 6, 5)).astype(np.float32)
ROWS = RNG.integers(-8, 8, (4, 6)).astype(np.float32)
ONE = np.array([[[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]], np.float32)

LAYERS: list[tuple[Layer, np.ndarray]] = [
    (Conv2D(3, 4, 3, padding=1), IMAGES),
    (MaxPool2D(2), IMAGES),
    (AveragePool2D(2), IMAGES),
    (MaxPool2D(2, 3, ((1, 0), (0, 1)), dilation=2, ceil_mode=True), IMAGES),
    (AveragePool2D(2, 3, ((1, 0), (0, 1)), False, ceil_mode=True, dilation=2), IMAGES),
    (MaxPool1D(2, padding=(0, 1), ceil_mode=True), IMAGES[0]),
    (AveragePool1D(3, 1, "same"), IMAGES[0]),
    (AdaptiveMaxPool2D(3), IMAGES),
    (AdaptiveAveragePool2D((None, 4)), IMAGES),
    (GlobalMaxPool2D(), IMAGES),
    (GlobalAveragePool2D(), IMAGES),
    (GlobalMaxPool1D(), IMAGES[0]),
    (GlobalAveragePool1D(), IMAGES[0]),
    (BatchNorm(3), IMAGES[:, :, 0]),
    (GroupNorm(3, 3), IMAGES[:, :, 0]),
    (Dense(6, 5), ROWS),
    (BatchNorm(3), IMAGES),
    (BatchNorm(6), ROWS),
    (GroupNorm(3, 3), IMAGES),
    (GroupNorm(2, 6), ROWS),
    (LayerNorm(3), IMAGES),
    (LayerNorm(6), ROWS),
    (Dropout(0.5), IMAGES),
    (SpatialDropout(0.5), IMAGES),
    (InstanceNorm(3), IMAGES),
    (Pad(((1, 0), (2, 3)), "constant", 2.5), IMAGES),
    (Pad(2, "reflect"), IMAGES),
    (Upsample((2, 3)), IMAGES),
    (Upsample(size=(4, 9), mode="bilinear", align_corners=True), IMAGES),
    (PixelShuffle(2), IMAGES.reshape(2, 1, 3, 30).repeat(4, axis=1)),
    (Reshape((5, -1)), IMAGES),
    (Reshape((2, 3, -1)), ROWS),
    (Flatten(), IMAGES),
    (Flatten(), ROWS),
    (ReLU(), IMAGES),
    (LeakyReLU(), ROWS),
    (Sigmoid(), IMAGES),
    (Tanh(), IMAGES),
    (Softmax(), ROWS),
    (LogSoftmax(-1), IMAGES),
    (PReLU(3), IMAGES),
    (PReLU(), IMAGES[0]),
    (GELU("tanh"), IMAGES),
    (Residual([Conv2D(3, 3, 1)], activation=ReLU()), IMAGES),
    (Concatenate([BatchNorm(3), ReLU(), Conv2D(3, 2, 1)]), IMAGES),
    (Concatenate([Dense(6, 2)]), ROWS),
]
every_layer = pytest.mark.parametrize(("layer", "x"), LAYERS, ids=lambda v: str(v)[:40])
every_backend = pytest.mark.parametrize("name", ["loop", "im2col", "numba"])


def ones_like_weights(layer: Layer) -> Layer:
    for name in layer.params:
        layer.params[name] = np.ones_like(layer.params[name])
    return layer


# --- memory, for all layers alike ---------------------------------------------------------------


@every_layer
@pytest.mark.parametrize("training", [False, True])
def test_every_call_returns_a_new_array(layer: Layer, x: np.ndarray, training: bool) -> None:
    y = layer.forward(x, training)
    assert not np.shares_memory(y, layer.forward(x, training))
    assert not np.shares_memory(y, x)


@every_layer
def test_images_are_views_of_channels_last_memory(layer: Layer, x: np.ndarray) -> None:
    y = layer.forward(x, training=True)
    dx = layer.backward(np.ones_like(y))
    assert dx.shape == x.shape
    for array in (y, dx):
        if array.ndim == 4:
            assert array.transpose(0, 2, 3, 1).flags.c_contiguous


@every_layer
def test_layout_of_the_input_does_not_matter(layer: Layer, x: np.ndarray) -> None:
    expected = layer.forward(x)
    if x.ndim == 4:
        others = [np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)]
    else:
        others = [np.asfortranarray(x)]
    others.append(np.repeat(x, 2, axis=0)[::2])
    for other in others:
        np.testing.assert_array_equal(layer.forward(other), expected)


@every_layer
def test_input_and_gradient_stay_as_they_were(layer: Layer, x: np.ndarray) -> None:
    before = x.copy()
    y = layer.forward(x, training=True)
    dy = np.ones_like(y)
    layer.backward(dy)
    np.testing.assert_array_equal(x, before)
    assert (dy == 1).all()


@every_layer
def test_backward_belongs_to_the_last_training_pass(layer: Layer, x: np.ndarray) -> None:
    y = layer.forward(x, training=True)
    dx = layer.backward(np.ones_like(y))
    layer.forward(x + 3)
    np.testing.assert_array_equal(layer.backward(np.ones_like(y)), dx)


@every_layer
def test_float64_throughout(layer: Layer, x: np.ndarray) -> None:
    layer = copy.deepcopy(layer).astype(np.float64)
    y = layer.forward(x.astype(np.float64), training=True)
    dx = layer.backward(np.ones_like(y))
    arrays = (y, dx, *layer.params.values(), *layer.grads.values(), *layer.state.values())
    assert all(array.dtype == np.float64 for array in arrays)


@every_layer
def test_specification_makes_the_same_layer(layer: Layer, x: np.ndarray) -> None:
    twin = from_spec(layer.spec())
    assert repr(twin) == repr(layer)
    assert twin.output_shape(x.shape) == layer.forward(x).shape


@every_layer
def test_copies_have_their_own_arrays(layer: Layer, x: np.ndarray) -> None:
    expected = layer.forward(x)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(twin.forward(x), expected)
        for name in twin.params:
            assert not np.shares_memory(twin.params[name], layer.params[name])


# --- values -------------------------------------------------------------------------------------


@every_backend
def test_convolution_by_hand(name: str) -> None:
    layer = Conv2D(1, 1, 2)
    layer.params["weight"] = [[[[1, 2], [3, 4]]]]
    layer.params["bias"] = [10]
    with backend(name):
        y = layer.forward(ONE, training=True)
        np.testing.assert_array_equal(y, [[[[47, 57], [77, 87]]]])
        dx = layer.backward(np.ones_like(y))
    np.testing.assert_array_equal(dx, [[[[1, 3, 2], [4, 10, 6], [3, 7, 4]]]])
    np.testing.assert_array_equal(layer.grads["weight"], [[[[12, 16], [24, 28]]]])
    np.testing.assert_array_equal(layer.grads["bias"], [4])


@every_backend
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [
        ((5, 5), 3, 1, (5, 5)),
        ((5, 6), 2, 2, (3, 3)),
        ((6, 7), 3, 3, (2, 3)),
        ((4, 4), 4, 1, (4, 4)),
    ],
)
def test_same_padding(
    name: str, size: tuple[int, int], kernel: int, stride: int, expected: tuple[int, int]
) -> None:
    """ceil(size / stride) outputs; an odd row of zeros goes to the bottom right."""
    x = RNG.integers(-4, 5, (2, 2, *size)).astype(np.float32)
    total = [max((expected[a] - 1) * stride + kernel - size[a], 0) for a in (0, 1)]
    padded = np.pad(x, [(0, 0), (0, 0)] + [(t // 2, t - t // 2) for t in total])
    layer = ones_like_weights(Conv2D(2, 3, kernel, stride, padding="same", seed=1))
    plain = ones_like_weights(Conv2D(2, 3, kernel, stride))
    with backend(name):
        y = layer.forward(x)
        assert y.shape == (2, 3, *expected)
        np.testing.assert_array_equal(y, plain.forward(padded)[:, :, : expected[0], : expected[1]])


def test_output_shape_of_another_size_does_not_disturb_a_layer() -> None:
    layer = Conv2D(1, 1, 3, stride=2, padding="same")
    x = np.float32(RNG.normal(size=(1, 1, 5, 5)))
    expected = layer.forward(x)
    layer.output_shape((1, 1, 6, 6))
    np.testing.assert_array_equal(layer.forward(x), expected)


@every_backend
def test_maximum_and_its_gradient(name: str) -> None:
    layer = MaxPool2D(2, stride=1)
    with backend(name):
        y = layer.forward(ONE, training=True)
        np.testing.assert_array_equal(y, [[[[5, 6], [8, 9]]]])
        np.testing.assert_array_equal(layer.backward(y), [[[[0, 0, 0], [0, 5, 6], [0, 8, 9]]]])
        ties = MaxPool2D(3)
        y = ties.forward(np.zeros((1, 1, 3, 3), np.float32), training=True)
        assert ties.backward(y + 1).ravel().tolist() == [1] + 8 * [0]


@every_backend
def test_padding_never_wins_a_maximum(name: str) -> None:
    with backend(name):
        y = MaxPool2D(2, padding=1).forward(-ONE)
    np.testing.assert_array_equal(y, [[[[-1, -2], [-4, -5]]]])


@every_backend
def test_average_with_and_without_padding(name: str) -> None:
    with backend(name):
        y = AveragePool2D(2, padding=1).forward(ONE)
        np.testing.assert_array_equal(y, [[[[0.25, 1.25], [2.75, 7]]]])
        y = AveragePool2D(2, padding=1, count_include_pad=False).forward(ONE)
        np.testing.assert_array_equal(y, [[[[1, 2.5], [5.5, 7]]]])
        np.testing.assert_array_equal(GlobalAveragePool2D().forward(ONE), [[5]])


@every_backend
def test_windows_that_hang_over(name: str) -> None:
    """Rounded up, the last window holds what is left; beyond the padding nothing counts."""
    with backend(name):
        y = MaxPool2D(2, ceil_mode=True).forward(ONE)
        np.testing.assert_array_equal(y, [[[[5, 6], [8, 9]]]])
        y = AveragePool2D(2, ceil_mode=True).forward(ONE)
        np.testing.assert_array_equal(y, [[[[3, 4.5], [7.5, 9]]]])
        y = AveragePool2D(2, padding=((0, 1), (0, 0)), ceil_mode=True).forward(ONE)
        np.testing.assert_array_equal(y, [[[[3, 4.5], [3.75, 4.5]]]])
        one = np.float32([[[[1]]]])  # a window that would begin behind the image is left out
        assert MaxPool2D(1, stride=2, ceil_mode=True).forward(one).shape == (1, 1, 1, 1)


@every_backend
def test_places_with_gaps_between_them(name: str) -> None:
    with backend(name):
        layer = MaxPool2D(2, stride=1, dilation=2)
        y = layer.forward(-ONE, training=True)
        np.testing.assert_array_equal(y, [[[[-1]]]])
        expected = np.zeros_like(ONE)
        expected[0, 0, 0, 0] = 5
        np.testing.assert_array_equal(layer.backward(y + 6), expected)
        y = AveragePool2D(2, 1, dilation=2).forward(ONE)
        np.testing.assert_array_equal(y, [[[[5]]]])


@every_backend
def test_adaptive_windows_overlap(name: str) -> None:
    with backend(name):
        row = np.float32([[[[1, 5, 3, 7, 2]]]])
        y = AdaptiveAveragePool2D((1, 3)).forward(row)
        np.testing.assert_array_equal(y, [[[[3, 5, 4.5]]]])
        y = AdaptiveMaxPool2D((None, 3)).forward(row)
        np.testing.assert_array_equal(y, [[[[5, 7, 7]]]])
        np.testing.assert_array_equal(GlobalMaxPool2D().forward(ONE), [[9]])


@every_backend
def test_a_nan_wins_every_window_that_holds_it(name: str) -> None:
    x = ONE.copy()
    x[0, 0, 1, 1] = np.nan
    with backend(name):
        y = AdaptiveMaxPool2D(2).forward(x)
        assert np.isnan(y).all()
        layer = MaxPool2D(2, stride=1, dilation=(1, 2))
        y = layer.forward(x, training=True)
        np.testing.assert_array_equal(y, [[[[6], [9]]]])


@every_backend
def test_dense(name: str) -> None:
    layer = Dense(6, 5)
    layer.params["weight"] = weight = RNG.integers(-3, 4, (6, 5))
    layer.params["bias"] = bias = np.arange(5)
    with backend(name):
        y = layer.forward(ROWS, training=True)
        np.testing.assert_array_equal(y, ROWS @ weight + bias)
        np.testing.assert_array_equal(layer.backward(y), y @ weight.T)
    np.testing.assert_array_equal(layer.grads["weight"], ROWS.T @ y)
    np.testing.assert_array_equal(layer.grads["bias"], y.sum(axis=0))


def test_layers_without_bias_have_none() -> None:
    for layer, x in ((Conv2D(3, 4, 3, bias=False), IMAGES), (Dense(6, 5, bias=False), ROWS)):
        layer.backward(layer.forward(x, training=True))
        assert list(layer.params) == list(layer.grads) == ["weight"]
        np.testing.assert_array_equal(layer.forward(0 * x), 0)


def test_flatten_goes_channel_by_channel() -> None:
    flatten = Flatten()
    y = flatten.forward(IMAGES, training=True)
    np.testing.assert_array_equal(y, IMAGES.reshape(2, -1))
    np.testing.assert_array_equal(flatten.backward(y), IMAGES)


def test_activations() -> None:
    x = np.linspace(-6, 6, 41, dtype=np.float32)[None]
    np.testing.assert_array_equal(ReLU().forward(x), np.maximum(x, 0))
    np.testing.assert_allclose(LeakyReLU(0.25).forward(x), np.where(x > 0, x, x / 4), rtol=1e-6)
    np.testing.assert_allclose(Sigmoid().forward(x), 1 / (1 + np.exp(-x)), rtol=1e-5)
    np.testing.assert_allclose(Tanh().forward(x), np.tanh(x), rtol=1e-5, atol=1e-7)
    exponential = np.exp(x)
    np.testing.assert_allclose(Softmax().forward(x), exponential / exponential.sum(), rtol=1e-5)


@pytest.mark.parametrize("layer", [ReLU(), PReLU(), GELU(), Tanh(), Dropout(0.5), Softmax(-1)])
def test_any_shape_goes_in(layer: Layer) -> None:
    """What one row gives, its numbers give in any arrangement, and that stays for the gradient."""
    row = layer.forward(ROWS[0])
    shapes = [(6,), (1, 1, 6), (1, 1, 1, 1, 6)]
    shapes += [] if isinstance(layer, Softmax) else [(1, 6, 1), (3, 2), (1, 2, 3), (1, 1, 2, 3)]
    for shape in shapes:
        x = ROWS[0].reshape(shape)
        y = layer.forward(x)
        assert y.shape == layer.output_shape(shape) == shape
        np.testing.assert_array_equal(y.ravel(), row)
        assert layer.backward(layer.forward(x, training=True)).shape == shape


def test_a_series_between_layers_is_not_copied() -> None:
    """(N, C, L) lies channels-last, as images of one row do."""
    y = ReLU().forward(IMAGES[:, :, 0])
    assert y.transpose(0, 2, 1).flags.c_contiguous


def test_softmax_of_images_is_over_channels() -> None:
    y = Softmax().forward(IMAGES)
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(y[:, :, 2, 3], Softmax().forward(IMAGES[:, :, 2, 3]), rtol=1e-6)


@pytest.mark.parametrize("x", [IMAGES, ROWS])
def test_batch_norm_follows_the_batch(x: np.ndarray) -> None:
    layer = BatchNorm(x.shape[1], momentum=0.75)
    axes = (0, 2, 3) if x.ndim == 4 else (0,)
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    layer.params["gamma"] = np.arange(1, x.shape[1] + 1)
    layer.params["beta"] = np.arange(x.shape[1])
    shape = mean.shape
    gamma, beta = (layer.params[name].reshape(shape) for name in ("gamma", "beta"))
    expected = gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta
    np.testing.assert_allclose(layer.forward(x, training=True), expected, rtol=1e-4, atol=1e-5)
    running_mean = layer.state["running_mean"].reshape(shape)
    running_var = layer.state["running_var"].reshape(shape)
    np.testing.assert_allclose(running_mean, 0.25 * mean, rtol=1e-5)
    np.testing.assert_allclose(running_var, 0.75 + 0.25 * variance, rtol=1e-5)
    expected = gamma * (x - running_mean) / np.sqrt(running_var + 1e-5) + beta
    np.testing.assert_allclose(layer.forward(x), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.state["running_mean"].reshape(shape), 0.25 * mean, rtol=1e-5)


@pytest.mark.parametrize("x", [IMAGES, ROWS])
def test_batch_norm_can_begin_with_the_first_batch(x: np.ndarray) -> None:
    layer, other = BatchNorm(x.shape[1], momentum=0.75, from_first_batch=True), x[::2] * 3 + 1
    axes = (0, 2, 3) if x.ndim == 4 else (0,)
    layer.forward(x, training=True)
    np.testing.assert_allclose(layer.state["running_mean"], x.mean(axes), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(layer.state["running_var"], x.var(axes), rtol=1e-4)
    twin = copy.deepcopy(layer)
    for each in (layer, twin):  # a copy knows that it has begun
        each.forward(other, training=True)
        expected = 0.75 * x.var(axes) + 0.25 * other.var(axes)
        np.testing.assert_allclose(each.state["running_var"], expected, rtol=1e-4)
    layer.initialize(seed=1)
    assert layer.state["begun"] == 0
    assert set(BatchNorm(3).state) == {"running_mean", "running_var"}


@pytest.mark.parametrize(
    ("layer", "x"),
    [(GroupNorm(1, 3), IMAGES), (GroupNorm(3, 3), IMAGES), (LayerNorm(3), IMAGES),
     (GroupNorm(2, 6), ROWS), (LayerNorm(6), ROWS)],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("training", [False, True])
def test_group_norm_follows_each_sample(layer: GroupNorm, x: np.ndarray, training: bool) -> None:
    channels = x.shape[1]
    layer.params["gamma"] = np.arange(1, channels + 1)
    layer.params["beta"] = np.arange(channels)
    grouped = x.reshape(len(x), layer.num_groups, -1)
    mean, variance = grouped.mean(2, keepdims=True), grouped.var(2, keepdims=True)
    z = ((grouped - mean) / np.sqrt(variance + 1e-5)).reshape(x.shape)
    shape = (channels,) + (1,) * (x.ndim - 2)
    expected = layer.params["gamma"].reshape(shape) * z + layer.params["beta"].reshape(shape)
    np.testing.assert_allclose(layer.forward(x, training), expected, rtol=1e-4, atol=1e-5)


ALONE = {
    "groups of vectors": (lambda: GroupNorm(6, 6), (4, 6)),
    "groups of pixels": (lambda: GroupNorm(3, 3), (2, 3, 1, 1)),
    "an image": (lambda: InstanceNorm(3), (2, 3, 1, 1)),
    "a feature": (lambda: LayerNorm(1), (5, 1)),
    "a pixel": (lambda: LayerNorm(1), (5, 1, 1, 1)),
}


@pytest.mark.parametrize("name", ALONE)
def test_a_single_number_cannot_be_normalised_in_training(name: str) -> None:
    make, shape = ALONE[name]
    x, layer = np.random.default_rng(0).normal(size=shape).astype(np.float32), make()
    layer.params["beta"] = np.arange(shape[1])
    wanted = np.broadcast_to(layer.params["beta"].reshape(-1, *(1,) * (len(shape) - 2)), shape)
    np.testing.assert_array_equal(layer.forward(x), wanted)  # as all others do
    said = re.escape(f"{layer.name}: in an input of shape {shape} each group is a single number")
    for layers in ([layer], [layer, ReLU()], [Residual([layer])], [BatchNorm(shape[1]), layer]):
        with pytest.raises(ValueError, match=said):
            Sequential(*layers, seed=1).forward(x, training=True)


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1, 1)])
def test_a_batch_of_single_numbers_cannot_be_normalised_in_training(shape: tuple[int, ...]) -> None:
    """As PyTorch; but the last batch of `train` may be of one image, which it notes."""
    x = np.arange(1, 4, dtype=np.float32).reshape(shape)
    layer = BatchNorm(3)
    layer.forward(np.concatenate([x, 3 * x]), training=True)
    before = layer.copy_arrays()
    with pytest.raises(ValueError, match="each channel is a single number, so that y is beta"):
        layer.forward(x, training=True)
    assert all((array == before[name]).all() for name, array in layer.copy_arrays().items())
    with pytest.raises(RuntimeError, match="that was not refused"):
        layer.backward(x)
    wanted = (x.ravel() - before["running_mean"]) / np.sqrt(before["running_var"] + layer.eps)
    np.testing.assert_allclose(layer.forward(x).ravel(), wanted, rtol=1e-6)
    layer.trainable = False
    np.testing.assert_array_equal(layer.forward(x, training=True), layer.forward(x))
    with pytest.raises(ValueError, match="each channel is a single number"):
        Sequential(BatchNorm(3)).forward(x, training=True)


@pytest.mark.parametrize("shape", [(1, 4, 1, 2), (3, 4, 2, 1), (1, 4, 1, 1), (2, 4)])
def test_two_numbers_are_enough(shape: tuple[int, ...]) -> None:
    """As PyTorch, which counts the numbers of a whole batch and lets some more pass."""
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    groups = 4 if len(shape) == 4 and shape[2:] != (1, 1) else 2
    y = GroupNorm(groups, 4, eps=1e-9).forward(x, training=True)
    assert abs(y).min() > 0.9  # each is one deviation from the mean of two


def test_layer_norm_by_hand() -> None:
    image = np.float32([[[[1, 3]], [[5, 7]]]])  # 2 channels, 1 row, 2 columns: mean 4, variance 5
    y = LayerNorm(2, eps=4).forward(image)
    np.testing.assert_allclose(y, [[[[-1, -1 / 3]], [[1 / 3, 1]]]], rtol=1e-6)
    y = GroupNorm(2, 2, eps=3).forward(image)  # variance 1 in each channel
    np.testing.assert_allclose(y, [[[[-0.5, 0.5]], [[-0.5, 0.5]]]], rtol=1e-6)


def test_dropout_drops_and_scales_in_training_only() -> None:
    layer, x = Dropout(0.25, seed=3), np.ones((100, 100), np.float32)
    np.testing.assert_array_equal(layer.forward(x), x)
    y = layer.forward(x, training=True)
    kept = y != 0
    np.testing.assert_allclose(y[kept], 1 / 0.75, rtol=1e-6)
    assert abs(kept.mean() - 0.75) < 0.02
    np.testing.assert_array_equal(layer.backward(x), y)


@pytest.mark.parametrize("shape", [(50, 40), (50, 40, 3), (50, 40, 2, 3)])
def test_spatial_dropout_drops_whole_channels(shape: tuple[int, ...]) -> None:
    layer, x = SpatialDropout(0.25, seed=3), np.ones(shape, np.float32)
    np.testing.assert_array_equal(layer.forward(x), x)
    y = layer.forward(x, training=True)
    channels = y.reshape(50, 40, -1)
    assert (channels == channels[:, :, :1]).all()
    np.testing.assert_allclose(y[y != 0], 1 / 0.75, rtol=1e-6)
    assert abs((channels[:, :, 0] != 0).mean() - 0.75) < 0.05
    np.testing.assert_array_equal(layer.backward(x), y)
    x[:] = np.inf  # what is dropped is 0, not 0 * infinity
    assert not np.isnan(layer.forward(x, training=True)).any()


def test_pixels_around_images() -> None:
    row = np.float32([[[[1, 2, 3]]]])
    expected = {
        "zeros": [0, 0, 1, 2, 3, 0], "constant": [9, 9, 1, 2, 3, 9],
        "reflect": [3, 2, 1, 2, 3, 2], "replicate": [1, 1, 1, 2, 3, 3],
    }  # fmt: skip
    for mode, values in expected.items():
        layer = Pad(((0, 0), (2, 1)), mode, 9 if mode == "constant" else 0)
        np.testing.assert_array_equal(layer.forward(row)[0, 0, 0], values)
    np.testing.assert_array_equal(
        Pad(1).forward(ONE), np.pad(ONE, [(0, 0), (0, 0), (1, 1), (1, 1)])
    )
    far = np.float32(np.arange(6)[None, None, :, None])  # one column reflects no further than it is
    np.testing.assert_array_equal(
        Pad(((5, 5), (0, 0)), "reflect").forward(far)[0, 0, :, 0],
        np.pad(np.arange(6), 5, mode="reflect"),
    )


def test_scaled_images() -> None:
    row = np.float32([[[[0, 4]]]])
    values = {
        (("mode", "nearest"),): [0, 0, 4, 4],
        (("mode", "bilinear"),): [0, 1, 3, 4],
        (("mode", "bilinear"), ("align_corners", True)): [0, 4 / 3, 8 / 3, 4],
    }
    for options, expected in values.items():
        y = Upsample((1, 2), **dict(options)).forward(row)  # type: ignore[arg-type]
        np.testing.assert_allclose(y[0, 0, 0], expected, rtol=1e-6)
    np.testing.assert_array_equal(Upsample(size=(2, 2)).forward(ONE), [[[[1, 2], [4, 5]]]])


def test_other_orders() -> None:
    x = np.float32(np.arange(24).reshape(1, 8, 1, 3))
    y = PixelShuffle(2).forward(x)
    assert y.shape == (1, 2, 2, 6)
    np.testing.assert_array_equal(y[0, 1, 1], [18, 21, 19, 22, 20, 23])
    np.testing.assert_array_equal(Reshape((3, 30)).forward(IMAGES), IMAGES.reshape(2, 3, 30))
    np.testing.assert_array_equal(Reshape((6, 5, -1)).forward(IMAGES), IMAGES.reshape(2, 6, 5, 3))
    np.testing.assert_array_equal(Reshape((-1,)).forward(IMAGES), Flatten().forward(IMAGES))


def test_dropout_alone_depends_on_its_seed_and_its_steps() -> None:
    x = np.ones((10, 50), np.float32)
    first, second = Dropout(0.5, seed=1), Dropout(0.5, seed=1)
    a, b = first.forward(x, training=True), first.forward(x, training=True)
    assert (a != b).any()
    np.testing.assert_array_equal(second.forward(x, training=True), a)
    np.testing.assert_array_equal(second.forward(x, training=True), b)
    assert (Dropout(0.5).forward(x, training=True) != Dropout(0.5).forward(x, training=True)).any()


def test_residual_adds_what_both_ways_give() -> None:
    double = ones_like_weights(Conv2D(1, 1, 1, bias=False))
    np.testing.assert_array_equal(Residual([double]).forward(ONE), 2 * ONE)
    block = Residual([double], shortcut=[MaxPool2D(1)], activation=ReLU())
    y = block.forward(-ONE, training=True)
    np.testing.assert_array_equal(y, 0 * ONE)
    np.testing.assert_array_equal(block.backward(y + 1), 0 * ONE)
    assert list(block.params) == ["main.0.weight"]
    block.params["main.0.weight"] = [[[[5]]]]
    np.testing.assert_array_equal(block.forward(ONE), 6 * ONE)


def test_concatenate_puts_what_its_layers_make_behind_the_input() -> None:
    double = ones_like_weights(Conv2D(1, 2, 1, bias=False))
    unit = Concatenate([double, ReLU()])
    y = unit.forward(ONE, training=True)
    np.testing.assert_array_equal(y, np.concatenate([ONE, ONE, ONE], axis=1))
    dy = np.concatenate([ONE, 10 * ONE, 100 * ONE], axis=1)
    np.testing.assert_array_equal(unit.backward(dy), 111 * ONE)
    assert list(unit.params) == ["layers.0.weight"]
    np.testing.assert_array_equal(unit.grads["layers.0.weight"].ravel(), [2850, 28500])
    rows = Concatenate([Dense(6, 2)])
    np.testing.assert_array_equal(rows.forward(ROWS)[:, :6], ROWS)
    np.testing.assert_array_equal(rows.forward(ROWS)[:, 6:], rows.layers[0].forward(ROWS))


# --- starting values ----------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [Conv2D(8, 64, 5), Dense(200, 300)])
def test_he_initialisation(layer: Layer) -> None:
    weight = layer.params["weight"]
    fan_in = 200
    assert abs(weight.std() / np.sqrt(2 / fan_in) - 1) < 0.05
    assert abs(weight.mean()) < 0.01
    assert not layer.params["bias"].any()


def test_xavier_initialisation() -> None:
    limit = np.sqrt(6 / 500)
    weight = Dense(200, 300, init="xavier").params["weight"]
    assert 0.99 * limit < weight.max() <= limit
    assert abs(weight.std() / (limit / np.sqrt(3)) - 1) < 0.05


@pytest.mark.parametrize("make", [Conv2D, Dense])
def test_normal_initialisation_draws_biases_too(make: Any) -> None:
    kernel = [5] if make is Conv2D else []
    for std in (1.0, 0.1):
        given = {} if std == 1 else {"init_std": std}
        layer = make(20, 2000, *kernel, init="normal", seed=1, **given)
        for array in layer.params.values():
            assert abs(array.std() / std - 1) < 0.05 and abs(array.mean()) < 0.1 * std
        assert layer.arguments()["init_std"] == std
        twin = make(**layer.arguments(), seed=3)
        assert repr(twin) == repr(layer) and twin.params["bias"].std() > 0.9 * std
    assert make(20, 10, *kernel, bias=False, init="normal").params.keys() == {"weight"}
    assert "init_std" not in make(20, 10, *kernel).arguments()


def test_equal_layers_differ_and_equal_seeds_do_not() -> None:
    assert (Dense(3, 4).params["weight"] != Dense(3, 4).params["weight"]).any()
    one, two = Dense(3, 4, seed=5), Dense(3, 4, seed=5)
    np.testing.assert_array_equal(one.params["weight"], two.params["weight"])


# --- in a network -------------------------------------------------------------------------------


def test_a_network_of_all_kinds_trains_and_is_saved(tmp_path: Path) -> None:
    model = Sequential(
        Pad(1, "reflect"), Conv2D(3, 8, 3), InstanceNorm(8), GELU(),
        MaxPool2D(3, 2, ((1, 0), (0, 1)), ceil_mode=True), PReLU(8), SpatialDropout(0.2),
        PixelShuffle(2), Upsample(2, mode="bilinear"), AdaptiveAveragePool2D(4), Reshape((2, 16)),
        MaxPool1D(2), Flatten(), Dense(16, 3), LogSoftmax(), input_shape=(3, 6, 5),
    )  # fmt: skip
    slopes = model.layers[5].params["alpha"].copy()
    x = np.repeat(IMAGES, 4, axis=0)
    model.train(x, np.arange(8) % 3, epochs=1, batch_size=4)
    assert (model.layers[5].params["alpha"] != slopes).any()
    model.save(tmp_path / "model.npz")
    again = load_model(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.predict_logits(x), model.predict_logits(x))
    assert "InstanceNorm(8)" in again.summary() and "Reshape([2, 16])" in again.summary()
    # For logits the LogSoftmax is left out, as CrossEntropyLoss has it.
    logits = model.predict_logits(x)
    np.testing.assert_allclose(model.forward(x), LogSoftmax().forward(logits), rtol=1e-5)


def test_what_files_of_before_say() -> None:
    for spec, text in (
        ({"type": "MaxPool2D", "pool_size": 2, "stride": None, "padding": 0}, "MaxPool2D(2)"),
        (
            {"type": "AveragePool2D", "pool_size": 3, "stride": 2, "padding": [1, 0],
             "count_include_pad": False},
            "AveragePool2D(3, stride=2, padding=[1, 0], count_include_pad=False)",
        ),
        ({"type": "Softmax"}, "Softmax()"),
    ):  # fmt: skip
        layer = from_spec(spec)
        assert repr(layer) == text and layer.spec() == spec
