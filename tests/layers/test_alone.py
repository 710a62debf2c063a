"""One layer in somebody's own loop: what goes wrong there is refused, never wrong in silence."""

import contextlib
import copy
import re
from typing import Any

import numpy as np
import pytest

from fastcnn import layers
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
    GlobalAveragePool2D,
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
    *((layer, SERIES) for layer in (AveragePool1D(2), Conv1D(4, 2, 3), MaxPool1D(2))),
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
