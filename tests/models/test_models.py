"""The named networks."""

import copy
import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from fastcnn import Sequential, backend, config, datasets, load_model, models
from fastcnn.config.groups import ModelOptions
from fastcnn.layers import BatchNorm, Concatenate, Conv2D, GroupNorm, LayerNorm, Residual
from fastcnn.losses import CrossEntropyLoss
from fastcnn.models.parts import ACTIVATIONS
from fastcnn.optim import SGD
from kernels import jit

# Weights of ResNet-20's 3 x 3 convolutions, weights of its 1 x 1 convolutions, gamma and beta of
# its BatchNorms (two per block, one at the start, one per projection), the dense layer.
RESNET20 = (
    (9 * 3 * 16 + 6 * 9 * 16 * 16)
    + (9 * 16 * 32 + 5 * 9 * 32 * 32)
    + (9 * 32 * 64 + 5 * 9 * 64 * 64)
    + (16 * 32 + 32 * 64)
    + 2 * (7 * 16 + 7 * 32 + 7 * 64)
    + (64 * 10 + 10)
)

# DenseNet-BC with two units of growth 12 per block: the first convolution; in each unit gamma and
# beta of the channels it sees, its bottleneck, gamma and beta of that, its 3 x 3 convolution; after
# the first two blocks a transition to half of the channels; gamma, beta and the dense layer.
DENSENET = (
    27 * 24
    + sum(
        2 * channels + channels * 48 + 2 * 48 + 9 * 48 * 12 for channels in (24, 36, 24, 36, 24, 36)
    )
    + 2 * (2 * 48 + 48 * 24)
    + (2 * 48 + 48 * 10 + 10)
)

# Weights and biases of three pairs of convolutions, gamma and beta, the two dense layers.
VGG = (
    (27 * 32 + 9 * 32 * 32 + 9 * 32 * 64 + 9 * 64 * 64 + 9 * 64 * 128 + 9 * 128 * 128)
    + 3 * 2 * (32 + 64 + 128)
    + (2048 * 128 + 128 + 128 * 10 + 10)
)

# The plain convolution; in each block 9 weights a channel, the 1 x 1 convolution, two BatchNorms.
MOBILENET = (
    27 * 32
    + 2 * 32
    + sum(
        9 * c + 2 * c + c * d + 2 * d
        for c, d in ((32, 64), (64, 128), (128, 128), (128, 256), (256, 256))
    )
    + (256 * 10 + 10)
)

# Weights and biases of convolutions, gamma and beta, the dense layer: what is left is 4 x 4 pixels.
CIFAR_FAST = (
    (27 * 32 + 9 * 32 * 32 + 9 * 32 * 96 + 9 * 96 * 96 + 9 * 96 * 192 + 9 * 192 * 192)
    + 3 * 2 * (32 + 96 + 192)
    + (16 * 192 * 10 + 10)
)

# Parameters counted by hand from the descriptions.
COUNTS = {
    "mnist-baseline": 80 + 1168 + 784 * 128 + 128 + 1290,
    "mnist-optimized": 160 + 32 + 4640 + 64 + 1568 * 256 + 256 + 256 * 128 + 128 + 1290,
    "lab-cnn": 80 + 1352 * 128 + 128 + 1290,
    "cifar-cnn": 896 + 64 + 9248 + 64 + 25930,
    "lenet5": 61_706,
    "cifar-mlp": 3072 * 1024 + 1024 + 2048 + 10_250,
    "resnet20": RESNET20,
    "densenet": DENSENET,
    "vgg-small": VGG,
    "mobilenet-small": MOBILENET,
    "mnist-fast": 80 + 16 + 1168 + 32 + 784 * 128 + 128 + 1290,
    "cifar-fast": CIFAR_FAST,
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


def parameters(model: Sequential, kind: str) -> np.ndarray:
    """All parameters of that name in a row."""
    return np.concatenate([layer.params[kind].ravel() for layer in model.layers if layer.params])


def test_lenet5_starts_as_its_author_wrote() -> None:
    """All weights and all biases from N(0, 1)."""
    model = models.build("lenet5")
    for kind, count in (("weight", 61_470), ("bias", 236)):
        values = parameters(model, kind)
        assert values.size == count
        assert abs(values.mean()) < 4 / np.sqrt(count)
        assert abs(values.std() - 1) < 4 / np.sqrt(2 * count)


@pytest.mark.parametrize("name", models.names())
def test_the_start_can_be_chosen(name: str) -> None:
    top = models.build(name, init="normal", init_std=0.25).layers
    layers = [leaf for layer in top for _, leaf in layer.leaves()]
    weights = [layer.params["weight"].ravel() for layer in layers if "weight" in layer.params]
    assert np.concatenate(weights).std() == pytest.approx(0.25, rel=0.02)
    if name == "lenet5":
        model = models.build(name, init="xavier")
        assert np.abs(model.layers[0].params["weight"]).max() <= np.sqrt(6 / (25 + 150))
        assert not parameters(model, "bias").any()


def shapes(model: Sequential) -> list[Any]:
    """What the layers are, with the sizes of their weights."""
    return [
        (type(layer).__name__, *layer.params.get("weight", np.empty(())).shape)
        for layer in model.layers
    ]


def test_the_exercises_of_the_laboratory_are_typed() -> None:
    """S2: 32 filters, kernel 5, 256 units, second layers, average pooling, norm, dropout."""
    model = models.build(
        "lab-cnn", filters=(16, 32), kernel_size=5, hidden=(256, 128), pool="average",
        activation="tanh", norm="batch", dropout=0.5,
    )  # fmt: skip
    assert shapes(model) == [
        ("Conv2D", 16, 1, 5, 5), ("BatchNorm",), ("Tanh",), ("AveragePool2D",),
        ("Conv2D", 32, 16, 5, 5), ("BatchNorm",), ("Tanh",), ("AveragePool2D",), ("Flatten",),
        ("Dense", 512, 256), ("Tanh",), ("Dropout",),
        ("Dense", 256, 128), ("Tanh",), ("Dropout",), ("Dense", 128, 10),
    ]  # fmt: skip
    conv = models.build("lab-cnn", stride=2, padding=1).layers[0]
    assert (conv.stride, conv.padding) == ((2, 2), (1, 1))


def test_a_kernel_leaves_the_size_where_the_author_kept_it() -> None:
    model = models.build("mnist-baseline", kernel_size=5, pool="none", filters=4)
    assert model.layers[0].output_shape((1, 1, 28, 28)) == (1, 4, 28, 28)
    assert "Pool" not in repr(model)


def test_networks_without_convolutions_normalise_behind_dense_layers() -> None:
    names = [kind for kind, *_ in shapes(models.build("cifar-mlp", hidden=(32, 16)))]
    assert names == ["Flatten", *2 * ["Dense", "BatchNorm", "ReLU", "Dropout"], "Dense"]
    assert "BatchNorm" not in repr(models.build("cifar-mlp", norm="none"))


@pytest.mark.parametrize("name", ["resnet20", "densenet"])
def test_blocks_with_another_activation_and_norm(name: str) -> None:
    model = models.build(name, activation="leaky-relu", norm="group")
    kinds = {type(layer).__name__ for top in model.layers for layer in top.family()}
    assert {"LeakyReLU", "GroupNorm"} <= kinds and not {"ReLU", "BatchNorm"} & kinds


def test_every_activation_has_an_option() -> None:
    options = get_args(get_type_hints(ModelOptions)["activation"])
    assert set(options) == {"default", *ACTIVATIONS}
    for name in ACTIVATIONS:
        model = models.build("lab-cnn", activation=name)
        assert type(ACTIVATIONS[name]()) in {type(layer) for layer in model.layers}


# --- resnet20 -----------------------------------------------------------------------------------

RNG = np.random.default_rng(4)
IMAGES = RNG.integers(0, 256, (8, 3, 32, 32), dtype=np.uint8)
LABELS = np.arange(8)


def train_steps(
    model: Sequential,
    steps: int,
    images: np.ndarray = IMAGES,
    labels: np.ndarray = LABELS,
    lr: float = 0.1,
) -> list[float]:
    """The loss of each step."""
    x = images.astype(model.dtype) / 128 - 1
    loss, optimizer, losses = CrossEntropyLoss(), SGD(lr, momentum=0.9, weight_decay=1e-4), []
    for _ in range(steps):
        losses.append(loss.forward(model.forward_training(x), labels))
        model.backward_training(loss.backward())
        optimizer.step(model)
    return losses


def test_resnet20_has_the_size_of_the_paper() -> None:
    """Table 6: 0.27 million, where the shortcuts have no parameters."""
    projections = 16 * 32 + 32 * 64 + 2 * (32 + 64)
    assert (RESNET20, RESNET20 - projections) == (272_474, 269_722)
    layers = [layer for top in models.build("resnet20").layers for layer in top.family()]
    convs = [layer for layer in layers if isinstance(layer, Conv2D)]
    assert [conv.kernel_size for conv in convs].count((3, 3)) == 19  # the 20th layer is dense
    assert [conv.kernel_size for conv in convs].count((1, 1)) == 2
    assert not any(conv.bias for conv in convs)


def test_resnet20_halves_the_image_where_it_doubles_the_filters() -> None:
    shape, shapes, projected = (5, 3, 32, 32), [], []
    for layer in models.build("resnet20").layers:
        shape = layer.output_shape(shape)
        if isinstance(layer, Residual):
            shapes.append(shape[1:])
            projected.append(layer.shortcut is not None)
    assert shapes == 3 * [(16, 32, 32)] + 3 * [(32, 16, 16)] + 3 * [(64, 8, 8)]
    assert projected == 3 * [False] + 2 * [True, False, False]
    assert shape == (5, 10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["resnet20", "densenet"])
def test_on_both_fast_backends(name: str, dtype: Any) -> None:
    x = IMAGES.astype(dtype) / 128 - 1
    upstream = RNG.normal(size=(8, 10)).astype(dtype)
    results = []
    for kind in ("numba", "im2col"):
        model = models.build(name).astype(dtype)
        with backend(kind):
            y = model.forward(x, training=True)
            dx = model.backward(upstream)
            results.append([y, model.forward(x), dx, model.parameters.gradients])
    # In float32, one ReLU in a million stands so near 0 that rounding decides on its gradient.
    bound = 0.02 if dtype == np.float32 else 1e-11
    for ours, other in zip(*results, strict=True):
        assert np.linalg.norm(ours - other) < bound * np.linalg.norm(other)


@pytest.mark.parametrize("name", ["resnet20", "densenet"])
def test_learns(name: str) -> None:
    data = datasets.load("digits")
    x, y = data.x_train[:300, :, ::2, ::2].copy(), data.y_train[:300]
    model = models.build(name, input_shape=(1, 14, 14))
    history = model.train(x, y, optimizer=SGD(0.1, momentum=0.9), epochs=4, batch_size=50)
    assert history["loss"][-1] < 0.5 * history["loss"][0]


@pytest.mark.parametrize("name", models.names())
def test_the_same_bits_for_any_number_of_threads(name: str) -> None:
    """Batches of 33 do not divide evenly among any of them."""
    before, results, rng = jit.get_threads(), [], np.random.default_rng(0)
    shape = models.build(name).input_shape
    assert shape is not None
    if name in ("vgg-small", "mobilenet-small", "cifar-fast"):
        shape = (3, 8, 8)  # a sixteenth of the work
    images, labels = rng.integers(0, 256, (33, *shape)), rng.integers(0, 10, 33)
    try:
        for threads in (1, 2, 3, 4, 7):
            jit.set_threads(threads)
            model = models.build(name, input_shape=shape)
            losses = train_steps(model, 50, images, labels, lr=0.01)
            results.append((losses, {k: v.tobytes() for k, v in model.copy_arrays().items()}))
    finally:
        jit.set_threads(before)
    for result in results[1:]:
        assert result == results[0]


@pytest.mark.parametrize("name", ["resnet20", "densenet"])
def test_saved_and_copied(name: str, tmp_path: Path) -> None:
    model = models.build(name, classes=8)
    train_steps(model, 2)
    model.save(tmp_path / "model.npz")
    for twin in (load_model(tmp_path / "model.npz"), copy.deepcopy(model)):
        assert twin.name == name
        assert twin.predict_proba(IMAGES).tobytes() == model.predict_proba(IMAGES).tobytes()
        assert twin.evaluate(IMAGES, LABELS) == model.evaluate(IMAGES, LABELS)
        assert train_steps(twin, 1) == train_steps(copy.deepcopy(model), 1)


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 8, 8), (3, 33, 17), (2, 1, 1)])
@pytest.mark.parametrize("name", ["resnet20", "densenet", "mobilenet-small"])
def test_takes_images_of_any_size(name: str, shape: tuple[int, ...]) -> None:
    model = models.build(name, input_shape=shape, classes=3)
    x = RNG.normal(size=(4, *shape)).astype(np.float32)
    assert model.forward(x, training=True).shape == (4, 3)
    assert model.backward(np.ones((4, 3), np.float32)).shape == x.shape
    assert model.predict(x).shape == (4,)


# --- densenet -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("depth", "millions"), [(40, 0.18), (100, 0.77)])
def test_densenet_has_the_size_of_the_paper(depth: int, millions: float) -> None:
    """Table 2 has 0.8 million for depth 100; 40 is the depth of the smallest published ones."""
    assert round(models.build("densenet", depth=depth).parameters.count / 1e6, 2) == millions


def test_densenet_grows_and_halves() -> None:
    model, shape, shapes = models.build("densenet", growth=8), (5, 3, 32, 32), []
    for layer in model.layers:
        shape = layer.output_shape(shape)
        if isinstance(layer, Concatenate):
            shapes.append(shape[1:])
    assert shapes == [
        (24, 32, 32), (32, 32, 32), (24, 16, 16), (32, 16, 16), (24, 8, 8), (32, 8, 8)
    ]  # fmt: skip
    assert shape == (5, 10)


@pytest.mark.parametrize("depth", [4, 21, 23, -2])
def test_densenet_depths_there_are_not(depth: int) -> None:
    with pytest.raises(ValueError, match="densenet: depth must be"):
        models.build("densenet", depth=depth)


# --- vgg-small, mobilenet-small and the fast ones -------------------------------------------------


def test_pairs_of_convolutions_and_depthwise_blocks() -> None:
    kinds = [type(layer).__name__ for layer in models.build("vgg-small").layers]
    stage = [*2 * ["Conv2D", "BatchNorm", "ReLU"], "MaxPool2D"]
    assert kinds == [*3 * stage, "Flatten", "Dense", "ReLU", "Dropout", "Dense"]
    convs = [layer for layer in models.build("mobilenet-small").layers if type(layer) is Conv2D]
    depthwise, pointwise = convs[1::2], convs[2::2]
    assert [conv.groups for conv in depthwise] == [32, 64, 128, 128, 256]
    assert [conv.stride for conv in depthwise] == [(1, 1), (2, 2), (1, 1), (2, 2), (1, 1)]
    assert {(conv.kernel_size, conv.groups) for conv in pointwise} == {((1, 1), 1)}
    narrow = models.build("mobilenet-small", filters=(8, 16), norm="none", activation="relu6")
    assert narrow.layers[2].bias and "BatchNorm" not in repr(narrow)


def test_the_fast_network_pools_between_two_convolutions() -> None:
    conv = ["Conv2D", "BatchNorm", "ReLU"]
    kinds = [type(layer).__name__ for layer in models.build("cifar-fast").layers]
    assert kinds == [*3 * [*conv, "MaxPool2D", *conv], "Flatten", "Dense"]
    narrow = models.build("cifar-fast", filters=(8, 16), norm="none", pool="average")
    assert shapes(narrow)[:6] == [
        ("Conv2D", 8, 3, 3, 3), ("ReLU",), ("AveragePool2D",), ("Conv2D", 8, 8, 3, 3), ("ReLU",),
        ("Conv2D", 16, 8, 3, 3),
    ]  # fmt: skip
    assert shapes(narrow)[-1] == ("Dense", 8 * 8 * 16, 10)


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="there is no model 'lenet'; did you mean 'lenet5'"):
        models.build("lenet")
    with pytest.raises(ValueError, match="there is no model 'x'; known are mnist-baseline, "):
        models.preset("x")
    with pytest.raises(ValueError, match="no choice for cifar-cnn: 'filter'; did you mean 'filt"):
        models.build("cifar-cnn", filter=(1, 2))
    with pytest.raises(ValueError, match="cifar-cnn: filters must be a whole number above 0"):
        models.build("cifar-cnn", filters=(1, 2.5))
    with pytest.raises(ValueError, match="cifar-mlp has no choice of 'filters'; those that have"):
        models.build("cifar-mlp", filters=(1, 2))
    with pytest.raises(ValueError, match="lenet5: there is no activation 'relo'; did you mean"):
        models.build("lenet5", activation="relo")
    with pytest.raises(ValueError, match="there is no preset 'best'; known are author, tuned"):
        models.preset("lenet5", "best")
    with pytest.raises(ValueError, match="8 x 8 are too small for it; it takes 12 x 12 and"):
        models.build("lenet5", input_shape=(1, 8, 8))
    with pytest.raises(ValueError, match="lenet5: input_shape must be"):
        models.build("lenet5", input_shape=(28, 28))
    with pytest.raises(ValueError, match="lenet5: classes must be a whole number above 0"):
        models.build("lenet5", classes=0)


def test_mnist_networks_with_and_without_normalisation():
    names = lambda model: [type(layer).__name__ for layer in model.layers]  # noqa: E731
    plain = models.build("mnist-optimized", norm="none", dropout=0)
    assert "BatchNorm" not in names(plain) and "Dropout" not in names(plain)
    assert names(models.build("mnist-baseline", norm="batch", dropout=0.5)).count("BatchNorm") == 2
    with pytest.raises(ValueError, match=r"mnist-baseline: there is no norm 'bath'.*'batch'"):
        models.build("mnist-baseline", norm="bath")


@pytest.mark.parametrize("name", ["mnist-baseline", "mnist-optimized", "cifar-cnn", "resnet20"])
@pytest.mark.parametrize("norm", ["batch", "group", "layer", "none"])
def test_norm_can_be_chosen(name: str, norm: str):
    layers = [layer for top in models.build(name, norm=norm).layers for layer in top.family()]
    norms = [layer for layer in layers if isinstance(layer, BatchNorm | GroupNorm)]
    wanted = {"batch": BatchNorm, "group": GroupNorm, "layer": LayerNorm}
    count = 21 if name == "resnet20" else 2
    assert [type(layer) for layer in norms] == ([] if norm == "none" else count * [wanted[norm]])
    if norm == "group":
        assert {layer.num_channels // layer.num_groups for layer in norms} == {8}


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_other_norms_learn_digits(norm: str, tmp_path: Path):
    data = datasets.load("digits")
    model = models.build("mnist-optimized", norm=norm, dropout=0.0)
    x, y = data.x_train[:600], data.y_train[:600]
    history = model.train(x, y, optimizer=SGD(0.01, momentum=0.9), epochs=2)
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    model.save(tmp_path / "model.npz")
    twin = load_model(tmp_path / "model.npz")
    np.testing.assert_array_equal(twin.predict_proba(data.x_test), model.predict_proba(data.x_test))


@pytest.mark.parametrize("name", models.names())
@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 16, 20), (4, 33, 17)])
def test_every_network_takes_the_shape_and_classes_of_the_data(name, shape):
    model = models.build(name, input_shape=shape, classes=7)
    assert model.output_shape((2, *shape)) == (2, 7)


@pytest.mark.parametrize("name", models.names())
def test_networks_say_which_sizes_they_take(name):
    for height, width in ((1, 1), (5, 9), (40, 2), (8, 8)):
        side = _least(name, height, width)
        if side is not None:
            models.build(name, input_shape=(1, side, side))
            assert _least(name, side - 1, side) == side


def _least(name, height, width):
    """The side that a network asks for in place of these; None if it takes them."""
    try:
        models.build(name, input_shape=(1, height, width))
    except ValueError as error:
        sentence = rf"{name}: images of {height} x {width} are too small .* \(--size (\d+)\)"
        return int(re.fullmatch(sentence, str(error))[1])
    return None
