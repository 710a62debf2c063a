"""What is compiled for inference says what the model says.

python -m tests.inference.test_compiled 1000    so many random graphs
"""

import copy
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from fastcnn import Graph, Sequential, models
from fastcnn.layers import (
    GELU,
    Add,
    AveragePool2D,
    BatchNorm,
    Conv1D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalMaxPool2D,
    Layer,
    LeakyReLU,
    MaxPool2D,
    ReLU,
    Residual,
    Sigmoid,
    Softmax,
    Tanh,
)
from kernels import jit
from kernels.dense import depth_parts
from kernels.inference.multiplication import DEEP_ROWS
from kernels.workspace import Workspace
from tests.network.test_graph import random_graph, tuple_of

RNG = np.random.default_rng(5)


def with_statistics(model: Any) -> Any:
    """The model with a BatchNorm that does something."""
    for name, array in model.named_arrays():
        kind = name.rpartition(".")[2]
        if kind in ("running_mean", "beta", "bias"):
            array[...] = RNG.normal(0, 0.3, array.shape)
        elif kind in ("running_var", "gamma"):
            array[...] = RNG.uniform(0.5, 1.5, array.shape)
    return model


def folds(model: Any) -> bool:
    """Whether there is a BatchNorm that may be folded."""
    inside = (each for layer in model.layers for _, each in layer.leaves())
    return any(type(layer) is BatchNorm for layer in inside)


def assert_same(model: Any, x: Any, is_exact: bool) -> None:
    compiled = model.compile_for_inference()
    expected, found = tuple_of(model.forward(x)), tuple_of(compiled.forward(x))
    assert len(expected) == len(found)
    for one, other in zip(expected, found, strict=True):
        assert one.shape == other.shape and one.dtype == other.dtype
        if is_exact:
            np.testing.assert_array_equal(one, other)
        else:
            np.testing.assert_allclose(other, one, rtol=0, atol=1e-5 * np.abs(one).max())


# --- the same answers -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", models.names())
def test_every_named_model(name: str) -> None:
    model = with_statistics(models.build(name))
    shape = model.input_shape
    for count in (1, 11):
        pixels = RNG.integers(0, 256, (count, *shape), np.uint8)
        assert_same(model, pixels, not folds(model))
        assert_same(model, RNG.random((count, *shape), np.float32), not folds(model))


def check_graph(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs, ends = random_graph(rng)
    model = with_statistics(Graph(inputs, ends))
    x = [rng.normal(size=(3, 2, 4, 4)).astype(np.float32) for _ in inputs]
    given = x if len(x) > 1 else x[0]
    assert_same(model, given, not folds(model))
    # Some outputs as they are before their softmax.
    logits, packed = tuple(map(bool, rng.integers(0, 2, len(ends)))), model.taken("test", given)
    expected = [each.copy() for each in tuple_of(model._predict(packed, logits))]
    found = tuple_of(model.compile_for_inference()._model._predict(packed, logits))
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-5 * np.abs(one).max())


@pytest.mark.parametrize("seed", range(20))
def test_random_graphs(seed: int) -> None:
    check_graph(seed)


@pytest.mark.parametrize(
    "layers",
    [
        [Conv2D(3, 5, 3, padding=1, stride=2), BatchNorm(5), ReLU(), MaxPool2D(2), ReLU()],
        [Conv2D(3, 9, 3, padding=1), ReLU(), MaxPool2D(2), Conv2D(9, 16, 3, padding=2)],
        [Conv2D(3, 16, 3, padding=1), Conv2D(16, 17, 3, padding=1), ReLU(), MaxPool2D(2)],
        # 16 x 16 pixels, where filters of 5 x 5 and 6 x 5 are cut into pieces.
        [Conv2D(3, 16, 2, padding=(0, 1)), Conv2D(16, 18, 5, padding=2), ReLU(), MaxPool2D(2)],
        [Conv2D(3, 17, 2, padding=(0, 1)), Conv2D(17, 16, (6, 5), padding=((3, 2), (2, 2)))],
        [Conv2D(3, 6, (3, 2), padding=((2, 0), (0, 3)), dilation=(1, 2)), BatchNorm(6)],
        [Conv2D(3, 6, 5, padding="same", groups=3, bias=False), BatchNorm(6), Tanh()],
        [Conv2D(3, 3, 3, padding=1, stride=2, groups=3), BatchNorm(3), ReLU(), MaxPool2D(2)],
        [BatchNorm(3), ReLU(), AveragePool2D(3, 2, 1), LeakyReLU(0.2), GlobalMaxPool2D()],
        [MaxPool2D(2, dilation=2), ReLU()],
        [MaxPool2D(3, 2, dilation=2), GELU(), Flatten(), Dense(3 * 7 * 6, 40), Sigmoid()],
        [Residual([Conv2D(3, 3, 1)], [Conv2D(3, 3, 3, padding=1)], ReLU()), Dropout(0.5)],
        [Flatten(), Dense(3 * 17 * 15, 512, bias=False), Dense(512, 200), BatchNorm(200), ReLU()],
        [Flatten(), Dense(3 * 17 * 15, 1024), Tanh(), Dense(1024, 1100)],  # sums cut, memory asked
        [Flatten()],
        [Flatten(), ReLU()],
    ],
    ids=str,
)
def test_layers_and_what_follows_them(layers: list[Layer]) -> None:
    model = with_statistics(Sequential(*layers, input_shape=(3, 17, 15)))
    for count in (1, 13, 130):
        x = RNG.normal(size=(count, 3, 17, 15)).astype(np.float32)
        assert_same(model, x, not folds(model))
        assert_same(model, np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
                    not folds(model))  # fmt: skip
        assert_same(model, RNG.integers(0, 256, x.shape, np.uint8), not folds(model))


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_pixels_that_are_flattened_at_once_have_the_bits_of_the_model(channels: int) -> None:
    model = Sequential(Flatten(), Dense(channels * 35, 40), input_shape=(channels, 7, 5))
    model.normalization = (np.float32([0.0173, 0.0181, 0.0169][:channels]),
                           np.float32([-2.117, -2.035, -1.804][:channels]))  # fmt: skip
    assert_same(model, RNG.integers(0, 256, (9, channels, 7, 5), np.uint8), True)


def test_series_and_rows_of_numbers() -> None:
    series = Sequential(Conv1D(2, 3, 3), ReLU(), Flatten(), Dense(18, 4), Softmax())
    assert_same(series, RNG.normal(size=(5, 2, 8)).astype(np.float32), True)
    assert_same(Sequential(ReLU()), RNG.normal(size=(2, 7)).astype(np.float32), True)


@pytest.mark.parametrize(("kernel", "stride"), [(4, 2), (5, 2), (2, 1)])
def test_strides_and_pairs_are_the_model_s_numbers_but_for_rounding(
    kernel: int, stride: int
) -> None:
    layers = Conv2D(3, 64, 1), Conv2D(64, 64, kernel, stride=stride, padding=kernel // 2), ReLU()
    model = Sequential(*layers, input_shape=(3, 32, 32))
    assert_same(model, RNG.normal(size=(5, 3, 32, 32)).astype(np.float32), False)


def test_whole_numbers_stay_exact_where_nothing_is_folded() -> None:
    model = Sequential(Conv2D(3, 16, 3, padding=1), ReLU(), Conv2D(16, 16, 3, padding=1))
    for _, array in model.named_arrays():
        array[...] = RNG.integers(-4, 5, array.shape)
    x = RNG.integers(-9, 9, (2, 3, 12, 12)).astype(np.float32)
    assert_same(model, x, True)


class Fenced(Workspace):
    """Memory with a fence behind it, and nothing but NaN in it."""

    fences: list[np.ndarray]

    def array(self, name: str, shape: Any, dtype: Any = np.float32, zeroed: bool = False) -> Any:
        (size,) = shape
        wide = np.full(size + 4096, 77, dtype)
        if dtype == np.float32:
            wide[:size] = np.nan
        self.fences = [*getattr(self, "fences", []), wide[size:]]
        return wide[:size]


@pytest.mark.parametrize(
    "name", ["mnist-optimized", "cifar-mlp", "resnet20", "mobilenet-small", "filters in pieces"]
)
def test_what_is_planned_is_enough(name: str) -> None:
    if name == "filters in pieces":
        layers = (
            Conv2D(3, 17, 3, padding=1),
            ReLU(),
            Conv2D(17, 40, (6, 5), padding=((3, 2), (2, 2))),
        )
        model = Sequential(*layers, input_shape=(3, 28, 16))
    else:
        model = models.build(name)
    compiled, before = model.compile_for_inference(), jit.get_threads()
    shape = compiled.input_shape
    assert shape is not None
    for threads, count in ((1, 1), (2, 1), (2, 3), (1, 30), (2, 70)):
        jit.set_threads(threads)
        try:
            compiled._workspace = fenced = Fenced()
            assert np.isfinite(compiled.forward(np.zeros((count, *shape), np.uint8))).all()
        finally:
            jit.set_threads(before)
        assert all((fence == 77).all() for fence in fenced.fences) and fenced.fences


# --- how it is used -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> Sequential:
    return with_statistics(
        Sequential(
            Conv2D(3, 8, 3, padding=1),
            BatchNorm(8),
            ReLU(),
            MaxPool2D(2),
            Flatten(),
            Dense(8 * 16, 10),
            Softmax(),
            input_shape=(3, 8, 8),
            class_names="abcdefghij",
        )
    )


def test_it_answers_like_a_model(model: Sequential) -> None:
    compiled = model.compile_for_inference()
    x, y = RNG.integers(0, 256, (20, 3, 8, 8), np.uint8), RNG.integers(0, 10, 20)
    np.testing.assert_array_equal(compiled.predict(x), model.predict(x))
    for ask in ("predict_proba", "predict_logits"):
        one, other = getattr(model, ask)(x), getattr(compiled, ask)(x)
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-5 * np.abs(one).max())
    assert compiled.evaluate(x, y, 7) == pytest.approx(model.evaluate(x, y), rel=1e-4)
    assert compiled.measure(x, y)["accuracy"] == model.measure(x, y)["accuracy"]
    np.testing.assert_array_equal(compiled.predict(x.tolist()), compiled.predict(x, 3))
    assert compiled.class_names == tuple("abcdefghij") and compiled.input_shape == (3, 8, 8)
    again = pickle.loads(pickle.dumps(compiled))
    np.testing.assert_array_equal(again.forward(x), compiled.forward(x))
    assert repr(again) == "<Compiled: 4 steps>"


def test_channels_last_and_other_shapes() -> None:
    layers = Conv2D(3, 8, 3, padding=1), ReLU(), GlobalMaxPool2D(), Dense(8, 4)
    model = Sequential(*layers, data_format="channels_last")
    compiled = model.compile_for_inference()
    for size in ((8, 8), (9, 4), (8, 8)):
        x = RNG.integers(0, 256, (3, *size, 3), np.uint8)
        np.testing.assert_array_equal(compiled.forward(x), model.forward(x))
        floats = RNG.random((3, *size, 3), np.float32)
        np.testing.assert_array_equal(compiled.forward(floats), model.forward(floats))


def test_training_afterwards_changes_nothing(model: Sequential) -> None:
    trained = Sequential(Dense(6, 8), BatchNorm(8), ReLU(), Dense(8, 3))
    compiled, x = trained.compile_for_inference(), RNG.random((12, 6), np.float32)
    before, old = compiled.forward(x), trained.forward(x)
    trained.train(x, np.arange(12) % 3, epochs=1, progress=False)
    assert not np.array_equal(trained.forward(x), old)
    np.testing.assert_array_equal(compiled.forward(x), before)
    changed, pixels = copy.deepcopy(model), RNG.integers(0, 256, (2, 3, 8, 8), np.uint8)
    compiled = changed.compile_for_inference()
    changed.normalization = (2.0, 1.0)
    np.testing.assert_allclose(compiled.forward(pixels), model.forward(pixels), rtol=1e-4)


@pytest.mark.parametrize(
    ("inner", "out"), [(1031, 33), (1030, 40), (1029, 32), (517, 67), (4096, 10), (3000, 100)]
)
def test_dense_layers_that_are_summed_up_in_parts(inner: int, out: int) -> None:
    """Parts of unequal depth, panels that are not full, batches around the room for their sums."""
    model = Sequential(Dense(inner, out), ReLU(), Dense(out, 3), input_shape=(inner,))
    assert depth_parts(inner, out, model.dtype) > 1
    compiled = model.compile_for_inference()
    for count in (1, 2, 7, DEEP_ROWS - 1, DEEP_ROWS, DEEP_ROWS + 1, 2 * DEEP_ROWS + 3):
        x = RNG.normal(size=(count, inner)).astype(np.float32)
        np.testing.assert_array_equal(compiled.forward(x), model.forward(x))


def test_the_bits_do_not_depend_on_threads_and_batches() -> None:
    model = with_statistics(models.build("resnet20"))
    compiled, before = model.compile_for_inference(), jit.get_threads()
    x = RNG.integers(0, 256, (21, 3, 32, 32), np.uint8)
    found = []
    for threads in (1, 2):
        jit.set_threads(threads)
        try:
            found += [compiled.predict_logits(x, batch) for batch in (1, 4, 21, 21)]
        finally:
            jit.set_threads(before)
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


def test_any_number_of_threads_may_ask(model: Sequential) -> None:
    compiled = model.compile_for_inference()
    asked = [RNG.integers(0, 256, (count, 3, 8, 8), np.uint8) for count in (1, 3, 40, 7)]
    expected = [compiled.forward(x) for x in asked]
    start = threading.Barrier(4)

    def ask(number: int) -> bool:
        start.wait()
        return all(
            np.array_equal(compiled.forward(asked[number]), expected[number]) for _ in range(30)
        )

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(4)))


# --- refusals -------------------------------------------------------------------------------------


def test_what_does_not_fit_is_said(model: Sequential) -> None:
    compiled = model.compile_for_inference()
    with pytest.raises(ValueError, match=r"expected .*got shape \(3, 8, 8\).*x\[None\]"):
        compiled.predict(np.zeros((3, 8, 8), np.float32))
    with pytest.raises(ValueError, match=r"x\.transpose\(0, 3, 1, 2\)"):
        compiled.predict(np.zeros((2, 8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="features"):
        compiled.predict(np.zeros((2, 3, 9, 12), np.uint8))
    with pytest.raises(TypeError, match=r"predict: .*(text|numbers)"):
        compiled.predict("picture.png")
    with pytest.raises(TypeError, match=r"is float64, .*astype\(np.float32\)"):
        Sequential(Dense(2, 2)).astype(np.float64).compile_for_inference()
    with pytest.raises(ValueError, match=r"Graph: call it on symbols"):
        Sequential(Add(), Dense(2, 2)).compile_for_inference().predict(np.zeros((1, 2), "f"))


if __name__ == "__main__":
    for number in range(int(sys.argv[1])):
        check_graph(number)
