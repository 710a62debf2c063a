"""One layer in somebody's own loop: what goes wrong there is refused, never wrong in silence."""

import contextlib
import copy
import pickle
import re
from typing import Any

import numpy as np
import pytest

from fastcnn import Sequential, layers
from fastcnn.exchange.matching import load_state
from fastcnn.layers import (
    ELU,
    GELU,
    SELU,
    AdaptiveAveragePool2D,
    AdaptiveMaxPool2D,
    Add,
    AveragePool1D,
    AveragePool2D,
    BatchNorm,
    Concat,
    Concatenate,
    Conv1D,
    Conv2D,
    ConvTranspose2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool1D,
    GlobalAveragePool2D,
    GlobalMaxPool1D,
    GlobalMaxPool2D,
    GroupNorm,
    Hardsigmoid,
    Hardswish,
    InstanceNorm,
    Layer,
    LayerNorm,
    LeakyReLU,
    LogSoftmax,
    MaxPool1D,
    MaxPool2D,
    Mish,
    Multiply,
    Pad,
    PixelShuffle,
    PReLU,
    ReLU,
    ReLU6,
    Reshape,
    Residual,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    SpatialDropout,
    Tanh,
    Upsample,
)
from fastcnn.losses import CrossEntropyLoss, HuberLoss, Losses, MSELoss
from fastcnn.optim import SGD, Adam, AdamW, Ranger

IMAGES = (3, 4, 6, 6)
SERIES = (3, 4, 8)
EACH: list[tuple[Layer, tuple[int, ...]]] = [
    *((layer, IMAGES) for layer in (
        AdaptiveAveragePool2D(4), AdaptiveMaxPool2D(4), AveragePool2D(2), BatchNorm(4),
        Concatenate([Conv2D(4, 2, 3, padding=1), ReLU()]), Conv2D(4, 2, 3),
        Conv2D(4, 4, 3, stride=2, groups=2), ConvTranspose2D(4, 2, 3), Flatten(),
        GlobalAveragePool2D(), GlobalMaxPool2D(), GroupNorm(2, 4), InstanceNorm(4), LayerNorm(4),
        MaxPool2D(2), MaxPool2D(3, stride=1), Pad(1), PixelShuffle(2), Reshape((2, 72)),
        Residual([Conv2D(4, 4, 3, padding=1), BatchNorm(4), ReLU()], activation=ReLU()),
        Residual([Conv2D(4, 4, 3, padding=1), Sigmoid(), MaxPool2D(2)], [AveragePool2D(2)]),
        SpatialDropout(0.5, seed=1), Upsample(2),
    )),
    *((layer, SERIES) for layer in (
        AveragePool1D(2), BatchNorm(4), Conv1D(4, 2, 3), GlobalAveragePool1D(), GlobalMaxPool1D(),
        GroupNorm(2, 4), MaxPool1D(2),
    )),
    *((layer, (5, 4)) for layer in (
        ELU(), GELU(), SELU(), Dense(4, 3), Dropout(0.5, seed=1), Hardsigmoid(), Hardswish(),
        LeakyReLU(), LogSoftmax(), Mish(), PReLU(4), ReLU(), ReLU6(), Sigmoid(), SiLU(), Softmax(),
        Softplus(), Tanh(), BatchNorm(4), LayerNorm(4),
    )),
    *((layer, (2, *IMAGES)) for layer in (Add(), Concat(), Multiply())),  # two inputs
]  # fmt: skip
EVERY = pytest.mark.parametrize(("layer", "shape"), EACH, ids=lambda case: repr(case)[:40])


def test_each_kind_is_here() -> None:
    kinds = {kind for kind in vars(layers).values() if isinstance(kind, type)}
    assert {type(layer) for layer, _ in EACH} == {
        kind for kind in kinds if issubclass(kind, Layer) and kind is not Layer
    }


def begun(layer: Layer, shape: tuple[int, ...], seed: int = 0) -> tuple[Layer, Any, np.ndarray]:
    """A layer of its own, an x, and a gradient by its y."""
    layer, rng = copy.deepcopy(layer), np.random.default_rng(seed)
    x: Any = rng.normal(size=shape).astype(np.float32)
    if len(shape) > 3:  # as layers give images, which are taken without a copy
        x = np.moveaxis(np.moveaxis(x, -3, -1).copy(), -1, -3)
    x = list(x) if layer.takes_several else x
    return layer, x, rng.normal(size=layer.forward(x).shape).astype(np.float32)


def gradients(layer: Layer, dy: np.ndarray) -> dict[str, np.ndarray]:
    """Copies of all that backward gives."""
    dx: Any = layer.backward(dy)
    parts = dx if isinstance(dx, tuple) else (dx,)
    found = {f"x{i}": part.copy() for i, part in enumerate(parts)}
    return found | {name: array.copy() for name, array in layer.grads.items()}


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], name)


@EVERY
@pytest.mark.parametrize("mistake", ["shape", "dtype"])
def test_backward_does_not_answer_for_the_forward_before_one_that_was_refused(
    layer: Layer, shape: tuple[int, ...], mistake: str
) -> None:
    layer, x, dy = begun(layer, shape)
    layer.forward(x, training=True)
    wrong: Any = np.zeros((2, 0), np.float32) if mistake == "shape" else np.zeros(shape, np.int64)
    wrong = [wrong, wrong[:1]] if layer.takes_several else wrong
    with pytest.raises((ValueError, TypeError)):
        layer.forward(wrong, training=True)
    with pytest.raises(RuntimeError, match=re.escape("that was not refused")):
        layer.backward(dy)


def test_nor_after_one_that_is_refused_in_training_only_or_inside() -> None:
    layer, x, dy = begun(LayerNorm(1), (3, 1, 2, 2))
    layer.forward(x, training=True)
    with pytest.raises(ValueError, match="each group is a single number"):
        layer.forward(x[:, :, :1, :1], training=True)
    with pytest.raises(RuntimeError, match="that was not refused"):
        layer.backward(dy)

    class Few(Layer):
        def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
            if len(x) > 3:
                raise ValueError("too many")
            return x

        def backward(self, dy: np.ndarray) -> np.ndarray:
            return dy

    layer, x, dy = begun(Residual([Dense(2, 2), Few()]), (3, 2))
    layer.forward(x, training=True)
    with pytest.raises(ValueError, match="too many"):
        layer.forward(np.concatenate([x, x]), training=True)
    with pytest.raises(RuntimeError, match="that was not refused"):
        layer.backward(dy)


@EVERY
def test_forward_and_backward_in_any_order(layer: Layer, shape: tuple[int, ...]) -> None:
    layer, x, dy = begun(layer, shape)
    layer.forward(x, training=True)
    expected = gradients(layer, dy)
    assert_same(gradients(layer, dy), expected)  # once more
    other = begun(layer, shape, seed=1)[1]
    if not isinstance(layer, Dropout):  # which drops other numbers in each pass
        layer.forward(other, training=True)
        y = layer.forward(x, training=True)
        kept = y.copy()
        layer.forward(other)
        assert_same(gradients(layer, dy), expected)
        np.testing.assert_array_equal(y, kept)


@EVERY
@pytest.mark.parametrize("what", ["x", "y", "params"])
def test_what_is_changed_in_place_is_refused_or_changes_nothing(
    layer: Layer, shape: tuple[int, ...], what: str
) -> None:
    layer, x, dy = begun(layer, shape)
    y = layer.forward(x, training=True)
    expected = gradients(layer, dy)
    changed = {"x": x if isinstance(x, list) else [x], "y": [y], "params": layer.params.values()}
    for array in changed[what]:
        array *= -1.5
    found: dict[str, np.ndarray] = {}
    with contextlib.suppress(RuntimeError):  # its sentence: below
        found = gradients(layer, dy)
    if found:
        assert_same(found, expected)


@pytest.mark.parametrize(
    ("layer", "shape", "what"),
    [
        (Dense(4, 3), (5, 4), "x"),
        (Dense(4, 3), (5, 4), "params"),
        (Conv2D(4, 2, 3), IMAGES, "x"),
        (ReLU(), (64, 8, 9, 9), "y"),
        (BatchNorm(4), IMAGES, "x"),
        (Multiply(), (2, 64, 8, 9, 9), "x"),
        (Dense(784, 10), (64, 784), "x"),
        (Residual([Conv2D(4, 4, 3, padding=1)]), IMAGES, "x"),
        (Residual([Conv2D(4, 4, 3, padding=1)]), IMAGES, "params"),
    ],
)  # fmt: skip
def test_the_sentence_for_what_is_changed(layer: Layer, shape: Any, what: str) -> None:
    layer, x, dy = begun(layer, shape)
    y = layer.forward(x, training=True)
    changed = {"x": x[1] if isinstance(x, list) else x, "y": y}
    array = changed[what] if what in changed else next(iter(layer.params.values()))
    kept = array.copy()
    array[...] = np.roll(kept, 1)  # as a loop that fills one array with batch after batch
    with pytest.raises(RuntimeError, match=r"was changed in place.*or change a copy"):
        layer.backward(dy)
    array[...] = kept
    layer.backward(dy)


SET: list[tuple[Any, str, Any, str]] = [
    (Dense(4, 3), "weight", np.ones((4, 3)), "Dense(4, 3): weight is written with "
     "layer.params['weight'] = ..., which copies the values into the array"),
    (Dense(4, 3), "bias", [1, 2, 3], "bias is written with layer.params['bias'] = ..."),
    (Conv2D(1, 2, 3), "bias", 0, "bias is written with layer.params['bias'] = ..."),
    (PReLU(4), "alpha", 0.1, "alpha is written with layer.params['alpha'] = ..."),
    (BatchNorm(4), "running_mean", np.ones(4), "running_mean is written with layer.state['runn"),
    (Dense(4, 3), "params", {"weight": np.ones((4, 3))}, "params stay the same arrays: write"),
    (Dense(4, 3), "dtype", np.float64, "its dtype is changed with layer.astype("),
    (Dense(4, 3), "bias", False, "bias decides about its parameters, which are there already"),
    (Dense(4, 3), "in_features", 5, "in_features decides about its parameters"),
    (Dense(4, 3), "init", "xavier", "init decides about its parameters"),
    (Conv2D(4, 2, 3), "groups", 2, "groups decides about its parameters"),
    (Conv2D(4, 2, 3), "stride", 0, "Conv2D: stride must be a whole number above 0, got 0"),
    (MaxPool2D(2), "padding", 5, "MaxPool2D: padding may be at most half of pool_size"),
    (Upsample(2), "mode", "bicubic", "Upsample: there is no mode 'bicubic'"),
    (BatchNorm(4), "momentum", 2, "BatchNorm: momentum must be a number from 0 to 1, got 2"),
    (Dropout(0.5), "rate", 1, "Dropout: rate must be a probability of dropping"),
    (Dropout(0.5), "p", 0.2, "Dropout has no 'p'; here it is called 'rate'"),
    (Dropout(0.5), "seed", 3, "Dropout: seed cannot be changed: make a new one"),
    (Dropout(0.5), "training", False, "Dropout has no 'training'; say it to forward(x, training="),
    (Residual([ReLU()]), "main", [Tanh()], "the layers inside it stay the same: make a new one"),
    (MSELoss(), "reduction", "none", "MSELoss: reduction must be 'mean' or 'sum', got 'none'"),
    (CrossEntropyLoss(), "label_smoothing", 1.5, "label_smoothing must be a number of at least 0"),
    (HuberLoss(), "delta", -1, "HuberLoss: delta must be a finite number above 0, got -1"),
    (Losses([MSELoss()]), "weights", [1, 2], "loss_weights must be 1 numbers"),
    (SGD(), "learning_rate", 0.1, "SGD has no 'learning_rate'; here it is called 'lr'"),
    (SGD(), "nesterov", True, "SGD: nesterov needs a momentum above 0"),
    (Adam(), "betas", 0.9, "Adam: betas must be a pair, got 0.9"),
    (AdamW(), "weight_decay", -1, "AdamW: weight_decay must be a finite number, at least 0"),
    (Ranger(), "betas", (0.9, 0.99), "Ranger: betas cannot be changed: make a new one"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("thing", "name", "value", "sentence"), SET, ids=lambda case: repr(case)[:30]
)
def test_an_attribute_that_would_change_nothing_is_refused(
    thing: Any, name: str, value: Any, sentence: str
) -> None:
    thing = copy.deepcopy(thing)
    before, params = repr(thing), getattr(thing, "params", {})  # which makes them
    with pytest.raises((AttributeError, ValueError), match=re.escape(sentence)):
        setattr(thing, name, value)
    assert repr(thing) == before
    assert not [key for key, array in params.items() if array is not thing.params[key]]


@pytest.mark.parametrize(
    ("layer", "name", "value"),
    [
        (Conv2D(4, 2, 3, seed=1), "stride", 2),
        (Conv2D(4, 2, 3, seed=1), "padding", "same"),
        (MaxPool2D(2), "pool_size", (3, 3)),
        (MaxPool2D(3, ceil_mode=True), "dilation", 2),
        (Pad(1, mode="constant", value=1.0), "value", -2),
        (BatchNorm(4), "eps", 0.5),
        (LeakyReLU(), "alpha", 0.5),
    ],
)  # fmt: skip
@pytest.mark.parametrize("alone", [True, False])
def test_a_setting_that_is_changed_counts_from_then_on(
    layer: Layer, name: str, value: Any, alone: bool
) -> None:
    def made(layer: Layer) -> Any:
        if alone:
            return layer
        others = [Conv2D(4, 4, 3, seed=2), layer] if type(layer) is MaxPool2D else [layer]
        return Sequential(*others, seed=1)

    x = np.random.default_rng(0).normal(size=(2, 4, 12, 12)).astype(np.float32)
    layer = copy.deepcopy(layer)
    run = made(layer)
    run.forward(x, training=True)
    setattr(layer, name, value)
    other = made(copy.deepcopy(layer))
    y, wanted = run.forward(x, training=True), other.forward(x, training=True)
    np.testing.assert_array_equal(y, wanted)
    np.testing.assert_array_equal(run.backward(y), other.backward(y))


def test_settings_of_ones_own_are_ones_own() -> None:
    class Own(Layer):
        def __init__(self) -> None:
            super().__init__()
            self.p = 1

    class Focal(MSELoss):
        def __init__(self) -> None:
            super().__init__()
            self.gamma = 2

    for thing in (Own(), Focal()):
        thing.training = False  # type: ignore[union-attr]
    optimizer = Adam()
    optimizer.betas = 0.8, 0.9
    assert optimizer.arguments()["betas"] == [0.8, 0.9]
    with pytest.raises(AttributeError, match=re.escape("arrays are in layer.params")):
        Dense(4, 3).weight  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Dropout(0.5, seed=3), (4, 16)),
        (Dropout(0.5), (4, 16)),
        (SpatialDropout(0.5, seed=3), (4, 8, 3, 3)),
        (Residual([Dropout(0.5, seed=3), Dropout(0.3)]), (4, 16)),
    ],
)  # fmt: skip
def test_a_copy_goes_on_with_the_same_masks(layer: Layer, shape: Any, copied: Any) -> None:
    x = np.ones(shape, np.float32)
    first = layer.forward(x, training=True).copy()
    twin = copied(layer)
    for _ in range(2):
        y = layer.forward(x, training=True)
        assert not np.array_equal(y, first)
        np.testing.assert_array_equal(twin.forward(x, training=True), y)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))])
def test_so_does_a_copy_of_a_model(copied: Any) -> None:
    model = Sequential(Dense(16, 16), Dropout(0.5), SpatialDropout(0.5), seed=1)
    x = np.ones((4, 16), np.float32)
    model.set_clock(3, 5, seed=9)
    model.forward(x, training=True)
    twin = copied(model)
    for _ in range(2):
        y = model.forward(x, training=True)
        np.testing.assert_array_equal(twin.forward(x, training=True), y)


def test_numbers_too_large_for_float32_are_not_written_as_infinite() -> None:
    layer = Dense(2, 3)
    model = Sequential(layer, seed=1)
    before = model.copy_arrays()
    huge = np.full((2, 3), -1e300)
    huge[0] = 1
    theirs = {"w": huge.T, "b": np.zeros(3)}
    for write in (
        lambda: layer.params.__setitem__("weight", huge),
        lambda: model.load_arrays({**before, "0.weight": huge}),
        lambda: load_state(model, theirs),
        lambda: load_state(model, {**theirs, "w": np.ones((3, 2)), "b": np.full(3, 1e39)}),
    ):
        with pytest.raises(ValueError, match=r"(-1e\+300|1e\+39) is too large for float32"):
            write()
        for name, array in model.copy_arrays().items():
            np.testing.assert_array_equal(array, before[name])
    layer.params["weight"] = np.full((2, 3), np.inf)  # as they are
    assert np.isinf(layer.params["weight"]).all()
    layer.astype(np.float64)
    layer.params["weight"] = huge
    np.testing.assert_array_equal(layer.params["weight"], huge)
