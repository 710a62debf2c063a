"""Models: the bare training loop, memory, seeds, data formats, and what they say of mistakes."""

import copy
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastcnn import Sequential
from fastcnn.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Layer,
    MaxPool2D,
    ReLU,
    Residual,
    Softmax,
)
from fastcnn.losses import CrossEntropyLoss
from fastcnn.optim import SGD, Adam
from fastcnn.random import generator, key
from tests.gradient_check import check_gradient

RNG = np.random.default_rng(2)
X = RNG.normal(size=(6, 2, 6, 6)).astype(np.float32)
Y = np.arange(6) % 3
IMAGES = RNG.integers(0, 256, (6, 2, 6, 6), dtype=np.uint8)


def layers() -> list[Layer]:
    """One of everything that is remembered or passed on."""
    block = Residual(
        [Conv2D(4, 6, 3, padding=1), BatchNorm(6), ReLU(), Residual([Conv2D(6, 6, 1)])],
        shortcut=[Conv2D(4, 6, 1), Dropout(0.5)],
        activation=ReLU(),
    )
    return [
        Conv2D(2, 4, 3, padding="same"), BatchNorm(4), ReLU(), Dropout(0.25), block,
        Residual([ReLU()]), MaxPool2D(2), Dropout(0.25), Flatten(), Dense(54, 8), ReLU(),
        Dropout(0.5), Dense(8, 3),
    ]  # fmt: skip


def build(**options: Any) -> Sequential:
    return Sequential(*layers(), **options)


def fit(model: Sequential, steps: int, x: np.ndarray = X) -> list[float]:
    loss, optimizer, losses = CrossEntropyLoss(), SGD(0.05, momentum=0.9), []
    for _ in range(steps):
        losses.append(loss.forward(model.forward(x, training=True), Y))
        model.backward(loss.backward())
        optimizer.step(model)
    return losses


# --- training in a bare loop --------------------------------------------------------------------


def test_a_bare_loop_learns() -> None:
    model = Sequential(Flatten(), Dense(72, 16), ReLU(), Dense(16, 3))
    losses = fit(model, 60)
    assert losses[-1] < 0.05 < 0.9 < losses[0]
    assert model.evaluate(X, Y)[1] == 1
    np.testing.assert_array_equal(model.predict(X), Y)


def test_same_seed_same_bits() -> None:
    one, two, other = build(), build(), build(seed=1)
    np.testing.assert_array_equal(fit(one, 3), fit(two, 3))
    np.testing.assert_array_equal(one.parameters.values, two.parameters.values)
    assert (other.parameters.values != build().parameters.values).any()


def test_training_loop_methods_do_what_the_public_ones_do() -> None:
    one, two, loss = build(), build(), CrossEntropyLoss()
    for _ in range(3):
        logits = one.forward(X, training=True)
        loss.forward(logits, Y)
        dx = one.backward(loss.backward())
        np.testing.assert_array_equal(two.forward_training(X), logits)
        two.backward_training(loss.backward())
        assert dx.shape == X.shape
        np.testing.assert_array_equal(one.parameters.gradients, two.parameters.gradients)


def test_gradients_of_a_whole_model() -> None:
    model = build().astype(np.float64)
    x = RNG.normal(size=(3, 2, 6, 6))

    def output() -> np.ndarray:
        model.set_clock(0, 0)
        return model.forward(x, training=True)

    y = output()
    upstream = RNG.normal(size=y.shape)
    gradients = {"x": model.backward(upstream)}
    for path, layer in (("0", model.layers[0]), ("4", model.layers[4])):
        gradients |= {f"{path}.{name}": grad.copy() for name, grad in layer.grads.items()}
    named = dict(model.named_arrays())
    check_gradient(output, {n: x if n == "x" else named[n] for n in gradients}, upstream, gradients)


@pytest.mark.parametrize("first", [Flatten(), Residual([Conv2D(2, 2, 1)]), ReLU()])
def test_skipping_the_gradient_of_the_input_changes_no_other(first: Layer) -> None:
    rest = [] if isinstance(first, Flatten) else [Conv2D(2, 2, 3, padding=1), Flatten()]
    model = Sequential(first, *rest, Dense(72, 3))
    loss = CrossEntropyLoss()
    loss.forward(model.forward(X, training=True), Y)
    model.backward(loss.backward())
    expected = model.parameters.gradients.copy()
    for skip in (
        lambda: model.backward_training(loss.backward()),
        lambda: model.backward(loss.backward(), input_gradient=False),
    ):
        model.parameters.gradients[:] = np.nan
        assert skip() is None
        for place in model.parameters.slices.values():
            np.testing.assert_array_equal(model.parameters.gradients[place], expected[place])
    assert model.backward(loss.backward()).shape == X.shape


# --- memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [False, True])
def test_results_are_new_arrays(training: bool) -> None:
    model = build()
    first = model.forward(X, training)
    kept = first.copy()
    model.forward(2 * X, training)
    np.testing.assert_array_equal(first, kept)
    if training:
        dx = model.backward(np.ones_like(first))
        kept = dx.copy()
        model.backward(2 * np.ones_like(first))
        np.testing.assert_array_equal(dx, kept)


def test_shared_buffers_give_what_layers_alone_give() -> None:
    model = build()
    fit(model, 2)
    x = X
    for layer in copy.deepcopy(model.layers):
        x = layer.forward(x)
    np.testing.assert_array_equal(model.forward(X), x)


def test_prediction_between_forward_and_backward() -> None:
    model = build()
    y = model.forward(X, training=True)
    expected = model.backward(np.ones_like(y)).copy()
    model.set_clock(0, 0)
    model.forward(X, training=True)
    model.predict(RNG.normal(size=(9, 2, 6, 6)).astype(np.float32))
    np.testing.assert_array_equal(model.backward(np.ones_like(y)), expected)


def test_a_step_takes_no_new_memory() -> None:
    model = build()
    fit(model, 1)
    sizes = [layer.workspace.nbytes for layer in model.layers] + [model.workspace.nbytes]
    fit(model, 3)
    assert sizes == [layer.workspace.nbytes for layer in model.layers] + [model.workspace.nbytes]


def test_parameters_are_views_of_one_array() -> None:
    model = build()
    flat = model.parameters
    assert flat.count == sum(a.size for layer in model.layers for a in layer.params.values())
    for name, array in model.named_arrays():
        if name in flat.slices:
            np.testing.assert_array_equal(array.ravel(), flat.values[flat.slices[name]])
            assert np.shares_memory(array, flat.values)
            assert array.ctypes.data % 64 == 0
            assert (flat.slices[name].stop <= flat.decayed) == name.endswith("weight")
    model.layers[-1].params["bias"] = [1, 2, 3]
    np.testing.assert_array_equal(flat.values[flat.slices["12.bias"]], [1, 2, 3])


def test_two_models_with_common_layers() -> None:
    """A part of a trained model is a model of its own, and both can go on."""
    model = build()
    fit(model, 1)
    expected = model.forward(X)
    part = Sequential(*model.layers[4:9])
    inside = RNG.normal(size=(2, 4, 6, 6)).astype(np.float32)
    assert part.forward(inside).shape == (2, 54)
    np.testing.assert_array_equal(model.forward(X), expected)
    twin = build()
    fit(twin, 1)
    for each in (model, twin):
        each.set_clock(0, 5)
        loss = CrossEntropyLoss()
        loss.forward(each.forward(X, training=True), Y)
        each.backward(loss.backward())
        SGD(0.1).step(each)
    np.testing.assert_array_equal(model.forward(X), twin.forward(X))
    np.testing.assert_array_equal(
        part.forward(inside), Sequential(*twin.layers[4:9]).forward(inside)
    )


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_models_of_their_own(copier: Callable[[Sequential], Sequential]) -> None:
    model = build(name="a", class_names="abc")
    model.normalization = ([0.5, 0.25], [1, 2])
    fit(model, 1)
    twin = copier(model)
    assert (twin.name, twin.class_names) == ("a", ("a", "b", "c"))
    np.testing.assert_array_equal(twin.predict_proba(IMAGES), model.predict_proba(IMAGES))
    before = model.parameters.values.copy()
    fit(twin, 1)
    np.testing.assert_array_equal(model.parameters.values, before)
    assert (twin.parameters.values != before).any()


# --- starting values and random choices ---------------------------------------------------------


def test_written_and_seeded_weights_are_kept() -> None:
    assigned, in_place, seeded = Dense(2, 3), Dense(2, 3), Dense(2, 3, seed=9)
    assigned.params["weight"] = np.ones((2, 3))
    in_place.params["weight"][:] = 2
    expected = seeded.params["weight"].copy()
    Sequential(assigned)
    Sequential(in_place)
    Sequential(seeded)
    assert (assigned.params["weight"] == 1).all()
    assert (in_place.params["weight"] == 2).all()
    np.testing.assert_array_equal(seeded.params["weight"], expected)


def test_other_weights_come_from_the_seed() -> None:
    looked_at, fresh = Dense(2, 3), Dense(2, 3)
    before = looked_at.params["weight"].copy()
    Sequential(looked_at)
    Sequential(fresh)
    np.testing.assert_array_equal(looked_at.params["weight"], fresh.params["weight"])
    assert (looked_at.params["weight"] != before).any()
    kept = Dense(2, 3)
    before = kept.params["weight"].copy()
    Sequential(kept, seed=None)
    np.testing.assert_array_equal(kept.params["weight"], before)


def test_dropout_follows_the_clock() -> None:
    model, x = Sequential(Dropout(0.5), Dropout(0.5)), np.ones((4, 200), np.float32)
    model.set_clock(3, 7)
    expected = model.forward(x, training=True)
    following = model.forward(x, training=True)
    assert (following != expected).any()
    model.set_clock(3, 8)
    np.testing.assert_array_equal(model.forward(x, training=True), following)
    model.set_clock(3, 7)
    np.testing.assert_array_equal(model.forward(x, training=True), expected)
    assert 0.2 < (expected != 0).mean() < 0.3  # two different masks, not twice the same


def test_random_numbers_follow_from_their_key() -> None:
    assert key(1, "a", 2) == key(np.int64(1), "a", np.int32(2)) != key(1, "a", 3)
    assert 0 <= key(1, "b") < 2**63
    assert generator(1, "a").random() == generator(1, "a").random() != generator(2, "a").random()
    with pytest.raises(TypeError, match="a seed must be a whole number, got"):
        generator(1.5, "a")  # type: ignore[arg-type]


# --- what goes in and comes out -----------------------------------------------------------------


def test_channels_last() -> None:
    first, last = build(), build(data_format="channels_last")
    x_last = X.transpose(0, 2, 3, 1)
    y = first.forward(X, training=True)
    np.testing.assert_array_equal(last.forward(x_last, training=True), y)
    dx = first.backward(y)
    np.testing.assert_array_equal(last.backward(y), dx.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(
        last.predict(np.ascontiguousarray(IMAGES.transpose(0, 2, 3, 1))), first.predict(IMAGES)
    )
    front = Sequential(Conv2D(2, 4, 3), data_format="channels_last")
    assert front.forward(x_last).shape == front.output_shape(x_last.shape) == (6, 4, 4, 4)


def test_uint8_images_are_normalised() -> None:
    model = build()
    np.testing.assert_allclose(
        model.forward(IMAGES), model.forward(IMAGES / np.float32(255)), rtol=1e-5, atol=1e-6
    )
    model.normalization = ([0.01, 0.02], [-1, -2])
    scale, offset = (part[:, None, None] for part in model.normalization)
    expected = model.forward((IMAGES * scale + offset).astype(np.float32))
    np.testing.assert_allclose(model.forward(IMAGES), expected, rtol=1e-5, atol=1e-6)
    expected = model.predict_proba(IMAGES)
    actual = model.astype(np.float64).predict_proba(IMAGES)
    assert actual.dtype == np.float64
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 4, 6, 100])
def test_evaluation_does_not_depend_on_the_batch_size(batch_size: int) -> None:
    model = build()
    fit(model, 2)
    logits = model.forward(X)
    loss = CrossEntropyLoss()
    expected = loss.forward(logits, Y)
    value, accuracy = model.evaluate(X, Y, batch_size)
    assert value == pytest.approx(expected, rel=1e-5)
    assert accuracy == loss.correct / 6
    np.testing.assert_array_equal(model.predict(X, batch_size), logits.argmax(axis=1))
    np.testing.assert_allclose(
        model.predict_proba(X, batch_size), Softmax().forward(logits), rtol=1e-4, atol=1e-6
    )


def test_softmax_at_the_end_is_not_applied_twice() -> None:
    bare, ending = build(), Sequential(*layers(), Softmax())
    np.testing.assert_array_equal(ending.forward_training(X), bare.forward_training(X))
    bare, ending = build(), Sequential(*layers(), Softmax())
    np.testing.assert_allclose(ending.forward(X).sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(ending.predict_proba(X), bare.predict_proba(X))
    np.testing.assert_allclose(ending.predict_proba(X), ending.forward(X), rtol=1e-6)
    assert ending.evaluate(X, Y) == bare.evaluate(X, Y)


def test_finite() -> None:
    model = build()
    assert model.is_finite()
    model.layers[1].state["running_var"][0] = np.inf
    assert not model.is_finite()


def test_copied_arrays_bring_a_model_back() -> None:
    model = build()
    before, expected = model.copy_arrays(), model.forward(X)
    fit(model, 2)
    assert (model.forward(X) != expected).any()
    model.load_arrays(before)
    np.testing.assert_array_equal(model.forward(X), expected)


def test_summary() -> None:
    lines = build(input_shape=(2, 6, 6)).summary().splitlines()
    assert lines[1].split() == [
        "Conv2D(2,", "4,", "kernel_size=3,", "padding='same')", "4", "x", "6", "x", "6", "76"
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[5:16]] == [
        "Residual", "main.0:", "main.1:", "main.2:", "main.3:", "main.0:", "shortcut.0:",
        "shortcut.1:", "activation:", "Residual", "main.0:",
    ]  # fmt: skip
    assert lines[9].split() == ["main.3:", "Residual", "6", "x", "6", "x", "6"]
    assert lines[10].startswith("    main.0: Conv2D(6, 6, kernel_size=1)")
    assert lines[10].split()[-6:] == ["6", "x", "6", "x", "6", "42"]
    assert lines[11].startswith("  shortcut.0: Conv2D(4, 6, kernel_size=1)")
    assert lines[-1].split() == ["total", f"{build().parameters.count:,}"]
    assert "6 x" not in build().summary()
    last = Sequential(Conv2D(1, 2, 3), data_format="channels_last", input_shape=(5, 4, 1))
    assert "2 x 3 x 2" in last.summary()
    assert repr(Sequential(Dense(2, 3), ReLU())) == "Sequential(Dense(2, 3), ReLU())"


# --- mistakes -----------------------------------------------------------------------------------


def anything(value: Any) -> Any:
    return value


TWICE = ReLU()
SMALL = Sequential(Conv2D(1, 2, 3), Flatten(), Dense(18, 2))
MISTAKES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: Sequential(), TypeError, "Sequential takes one or more layers, got none"),
    (lambda: Sequential(anything([ReLU()])), TypeError, "unpack a list with Sequential(*layers)"),
    (lambda: Sequential(TWICE, TWICE), ValueError, "the same layer object stands in two places"),
    (lambda: Sequential(ReLU(), data_format="NHWC"), ValueError, "data_format must be 'channels_f"),
    (
        lambda: Sequential(ReLU(), input_shape=anything((1, 2.5))), ValueError,
        "Sequential: input_shape must be a whole number above 0, got 2.5",
    ),
    (
        lambda: Sequential(Conv2D(1, 2, 3), input_shape=(3, 5, 5)), ValueError,
        "Conv2D(1, 2, kernel_size=3): expected input with 1 channel",
    ),
    (
        lambda: Sequential(Dense(1, 2), Dense(2, 1).astype("float64")), ValueError,
        "some layers have float32 and some float64",
    ),
    (lambda: SMALL.astype(int), ValueError, "the dtype must be float32 or float64"),
    (
        lambda: SMALL.predict(np.zeros((5, 5), np.uint8)), TypeError,
        "this model takes float32 arrays or uint8 images of four dimensions, got whole numbers of "
        "shape (5, 5); pixels are given as images: x[None, None]",
    ),
    (lambda: SMALL.predict(np.zeros((0, 1, 5, 5), np.uint8)), ValueError, "at least one sample"),
    (lambda: SMALL.predict(X, batch_size=0), ValueError, "batch_size must be a whole number above"),
    (
        lambda: SMALL.evaluate(np.zeros((2, 1, 5, 5), np.float32), np.zeros(3, int)), ValueError,
        "evaluate: got 2 samples and 3 labels",
    ),
    (
        lambda: SMALL.forward(np.zeros((1, 1, 6, 6), np.float32)), ValueError,
        "Dense(18, 2): expected input with 18 features as (N, 18), got shape (1, 32)",
    ),
    (lambda: SMALL.backward(np.zeros((1, 2), np.float32)), RuntimeError, "Dense(18, 2): backward"),
    (lambda: setattr(SMALL, "normalization", 0.5), ValueError, "must be (scale, offset)"),
    (lambda: setattr(SMALL, "normalization", ([1, 2], [1, 2, 3])), ValueError, "one per channel"),
    (lambda: setattr(SMALL, "normalization", (np.nan, 0)), ValueError, "one finite number"),
    (lambda: SMALL.load_arrays({}), ValueError, "is missing"),
    (
        lambda: SMALL.load_arrays(SMALL.copy_arrays() | {"9.w": X}), ValueError,
        "the array '9.w' belongs to no layer of the model",
    ),
    (
        lambda: SMALL.load_arrays(SMALL.copy_arrays() | {"2.bias": np.zeros(3)}), ValueError,
        "the array '2.bias' must have shape (2,), got (3,)",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("make", "error", "message"), MISTAKES, ids=[m for *_, m in MISTAKES])
def test_mistakes(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        make()


def test_normalization_of_other_channels() -> None:
    model = build()
    model.normalization = ([1, 2, 3], 0)
    with pytest.raises(ValueError, match="normalization is for 3 channels, the images have 2"):
        model.forward(IMAGES)


def test_layer_of_another_dtype_is_found() -> None:
    model = build()
    model.layers[0].astype(np.float64)
    with pytest.raises(ValueError, match="call the model's astype instead"):
        Adam().step(model)
