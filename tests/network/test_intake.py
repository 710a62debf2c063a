"""What a model is given: what is meant is taken as it is meant, all else is answered."""

import copy
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastcnn import Sequential, conversion, load_model, plain
from fastcnn.layers import (
    BatchNorm,
    Concatenate,
    Conv2D,
    Dense,
    Flatten,
    LayerNorm,
    MaxPool2D,
    ReLU,
    Residual,
)
from fastcnn.losses import CrossEntropyLoss, MSELoss
from fastcnn.network import intake
from fastcnn.optim import SGD
from fastcnn.plots.confusion import confusion_matrix

ANIMALS = ["cat", "dog", "emu"]
RNG = np.random.default_rng(5)
IMAGES = RNG.integers(0, 256, (12, 1, 4, 5), dtype=np.uint8)
IMAGES[0, 0, 0, :2] = 0, 255
LABELS = np.arange(12) % 3
FLOATS = RNG.random((12, 1, 4, 5), np.float32)


def build(**options: Any) -> Sequential:
    return Sequential(Conv2D(1, 3, 3), ReLU(), Flatten(), Dense(18, 3), **options)


class Table:
    """Like a pandas table: objects that NumPy gets through `__array__`."""

    def __init__(self, values: Any) -> None:
        self.values = np.array(values, dtype=object)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.values


PIXELS: list[Callable[[np.ndarray], Any]] = [
    np.ndarray.tolist, list, Table,
    *(lambda x, kind=kind: x.astype(kind) for kind in ("i8", ">i8", "<i2", ">u2", "u8", "i4")),
]  # fmt: skip
NUMBERS: list[Callable[[np.ndarray], Any]] = [
    np.ndarray.tolist, list, Table,
    *(lambda x, kind=kind: x.astype(kind) for kind in (">f4", "f8", ">f8")),
]  # fmt: skip


@pytest.mark.parametrize("given", PIXELS)
def test_whole_numbers_are_pixels(given: Callable[[np.ndarray], Any]) -> None:
    model = build()
    expected = model.predict_proba(IMAGES)
    np.testing.assert_array_equal(model.predict_proba(given(IMAGES)), expected)
    np.testing.assert_array_equal(model.predict(given(IMAGES)), model.predict(IMAGES))
    np.testing.assert_array_equal(model.forward(given(IMAGES)), model.forward(IMAGES))
    assert model.evaluate(given(IMAGES), LABELS) == model.evaluate(IMAGES, LABELS)


@pytest.mark.parametrize("given", NUMBERS)
def test_floats_are_taken_as_they_are(given: Callable[[np.ndarray], Any]) -> None:
    model = build()
    np.testing.assert_array_equal(model.forward(given(FLOATS)), model.forward(FLOATS))
    double = build().astype(np.float64)
    np.testing.assert_array_equal(
        double.forward(given(FLOATS)), double.forward(FLOATS.astype(np.float64))
    )


def test_half_precision_is_exact() -> None:
    half = FLOATS.astype(np.float16)
    np.testing.assert_array_equal(build().forward(half), build().forward(half.astype(np.float32)))


@pytest.mark.parametrize(
    "labels",
    [
        LABELS.tolist(), LABELS.astype(">i4"), LABELS.astype(np.uint8), LABELS.astype(float),
        LABELS[:, None], Table(LABELS), np.array(ANIMALS)[LABELS],
        [ANIMALS[k] for k in LABELS], Table([ANIMALS[k] for k in LABELS]),
        np.array([b"cat", b"dog", b"emu"])[LABELS], np.eye(3, dtype=bool)[LABELS],
    ],
    ids=lambda labels: str(getattr(labels, "dtype", type(labels).__name__)),
)  # fmt: skip
def test_labels(labels: Any) -> None:
    model = build(class_names=ANIMALS)
    expected = model.evaluate(IMAGES, LABELS)
    assert model.evaluate(IMAGES, labels) == pytest.approx(
        expected, rel=1e-7
    )  # one-hot: other sums


def test_names_of_classes_are_kept() -> None:
    model, names = build(), np.array(["zebra", "ant", "cat"])[LABELS]
    x, y = intake.pair(model, "training", IMAGES, names, thorough=True, training=True)
    assert model.class_names == ("ant", "cat", "zebra")
    np.testing.assert_array_equal(y, np.unique(names, return_inverse=True)[1])
    assert x is IMAGES
    with pytest.raises(ValueError, match="there is no class 'owl'; known are ant, cat, zebra"):
        model.evaluate(IMAGES[:1], ["owl"])


def test_a_refused_pair_changes_nothing() -> None:
    model = build()
    with pytest.raises(ValueError, match="got 12 samples and 1 labels"):
        intake.pair(model, "training", IMAGES, ["a"], training=True)
    assert (model.class_names, model.learned_from) == (None, None)


def anything(value: Any) -> Any:
    return value


FIRST = build()
SHAPED = build(input_shape=(1, 4, 5))
LAST = build(data_format="channels_last", input_shape=(4, 5, 1))
DENSE = Sequential(Dense(20, 3))
REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: FIRST.predict(IMAGES[0]), "pixels are given as images: x[None]"),
    (lambda: FIRST.predict(IMAGES[0].astype(int)), "pixels are given as images: x[None]"),
    (lambda: FIRST.predict(IMAGES[0].tolist()), "pixels are given as images: x[None]"),
    (lambda: SHAPED.predict(IMAGES[:, 0]), "pixels are given as images: x[:, None]"),
    (lambda: FIRST.predict(IMAGES[0, 0]), "pixels are given as images: x[None, None]"),
    (lambda: SHAPED.predict(IMAGES.reshape(12, -1)), "images: x.reshape(-1, 1, 4, 5)"),
    (lambda: LAST.predict(IMAGES[0, 0, :, :, None]), "pixels are given as images: x[None]"),
    (lambda: LAST.predict(IMAGES[:, 0]), "pixels are given as images: x[..., None]"),
    (lambda: LAST.predict(IMAGES[0, 0]), "images: x[None, ..., None]"),
    (lambda: FIRST.predict(IMAGES.transpose(0, 2, 3, 1)), "use x.transpose(0, 3, 1, 2)"),
    (lambda: LAST.predict(IMAGES), "use x.transpose(0, 2, 3, 1)"),
    (lambda: FIRST.predict(FLOATS[0]), "try x[None]"),
    (lambda: DENSE.predict(FLOATS), "try x.reshape(len(x), -1)"),
    (lambda: DENSE.predict(FLOATS[0, 0].ravel()), "passed as x[None]"),
    (lambda: DENSE.predict(IMAGES.reshape(12, -1)), "other numbers as floats: x.astype(np.float32"),
    (lambda: FIRST.predict(IMAGES.astype(int) - 1), "but these reach from -1 to 254"),
    (lambda: FIRST.predict(IMAGES.astype(int) * 257), "but these reach from 0 to 65535"),
    (lambda: FIRST.predict(IMAGES > 9), "x * np.uint8(255) for black and white"),
    (lambda: FIRST.predict(anything([[1, 2], [3]])), "got a list that NumPy makes none of"),
    (lambda: FIRST.predict(anything(None)), "predict: expected an array"),
    (lambda: FIRST.predict(anything(["a"])), "predict: expected numbers, got text such as a"),
    (lambda: FIRST.predict(FLOATS + 1j), "holds complex64"),
    (lambda: FIRST.predict(np.full((1, 1, 4, 5), 1e300)), "up to 1e+300 exceed float32"),
    (lambda: FIRST.predict(IMAGES[:0]), "expected at least one sample"),
    (lambda: FIRST.evaluate(IMAGES, LABELS + 0.5), "got float64 such as 0.5"),
    (lambda: FIRST.evaluate(IMAGES, [np.nan] * 12), "got float64 such as nan"),
    (lambda: FIRST.evaluate(IMAGES, ["a"] * 12), "class_names, labels = np.unique(labels, ret"),
    (lambda: FIRST.evaluate(IMAGES, ["a", np.nan] * 6), "text and nan stand side by side"),
    (lambda: FIRST.evaluate(IMAGES, Table(["a", None] * 6)), "evaluate: expected an array"),
    (lambda: FIRST.evaluate(IMAGES, 3), "needs arrays of samples x and of labels y"),
    (lambda: CrossEntropyLoss().forward(FLOATS[0, 0], ["a"] * 4), "names, labels = np.unique("),
    (
        lambda: intake.pair(FIRST, "validation", FLOATS * np.inf, LABELS, thorough=True),
        "validation: sample 0 holds NaN or infinite numbers",
    ),
    (
        lambda: intake.pair(FIRST, "test", IMAGES, LABELS + 1, thorough=True),
        "test: labels must lie between 0 and 2, as the model gives 3 numbers per sample, got 3; "
        "yours begin with 1: subtract 1",
    ),
    (
        lambda: intake.pair(FIRST, "test", IMAGES, np.eye(4)[LABELS], thorough=True),
        "test: expected 12 labels as (12,) or one-hot as (12, 3), got shape (12, 4)",
    ),
    (
        lambda: intake.pair(LAST, "test", IMAGES, LABELS, thorough=True),
        "use x.transpose(0, 2, 3, 1)",
    ),
    (
        lambda: intake.pair(Sequential(ReLU()), "test", IMAGES, LABELS, thorough=True),
        "end it with Flatten() and Dense(..., classes)",
    ),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        make()


def test_advice_is_followed() -> None:
    """What a sentence tells to write gives what was meant."""
    for model, x, meant in (
        (FIRST, IMAGES[0], IMAGES[:1]),
        (FIRST, IMAGES[0, 0], IMAGES[:1]),
        (SHAPED, IMAGES[:, 0], IMAGES),
        (SHAPED, IMAGES.reshape(12, -1), IMAGES),
        (FIRST, IMAGES.transpose(0, 2, 3, 1), IMAGES),
        (FIRST, IMAGES[0].transpose(1, 2, 0), IMAGES[:1]),
        (DENSE, FLOATS, FLOATS.reshape(12, -1)),
    ):
        with pytest.raises((TypeError, ValueError)) as caught:
            model.predict(x)
        advice = re.split("; try |as images: |: use |passed as ", str(caught.value))[1]
        np.testing.assert_array_equal(eval(advice, {"x": x, "len": len}), meant)


# --- floats for a model that knows pixels -------------------------------------------------------


def trained_on(x: np.ndarray, **options: Any) -> Sequential:
    model, loss = build(**options), CrossEntropyLoss()
    model.normalization = (1 / 64, -0.5)
    loss.forward(model.forward(x, training=True), LABELS)
    model.backward(loss.backward())
    SGD(0.01).step(model)
    return model


WARNED = (
    r"predict: this model knows uint8 pixels, which it brings to -0.5 ... 3.48 .* float32 numbers "
    r"from 0 to 255, .* give pixels as whole numbers"
)


def test_floats_for_a_model_of_pixels_are_told_of_once(recwarn: Any, tmp_path: Any) -> None:
    model = trained_on(IMAGES)
    model.save(tmp_path / "model.npz")
    for each in (model, load_model(tmp_path / "model.npz"), copy.deepcopy(model)):
        with pytest.warns(UserWarning, match=WARNED) as caught:
            each.predict(IMAGES.astype(np.float32))
        assert caught[0].filename == __file__
        each.predict(IMAGES.astype(np.float32))
    assert not recwarn.list


def test_floats_between_0_and_1_are_told_of_where_pixels_are_not() -> None:
    model = trained_on(IMAGES)
    with pytest.warns(UserWarning, match=r"from 0 to 1, which it takes as they are"):
        model.predict((IMAGES / 255).astype(np.float32))


@pytest.mark.parametrize("x", [IMAGES, FLOATS])
def test_nothing_is_said_where_nothing_is_wrong(x: np.ndarray, recwarn: Any) -> None:
    model = trained_on(x)
    model.predict(x)
    scale, offset = model.normalization
    model.predict((IMAGES * scale + offset).astype(np.float32))
    fresh = build()
    fresh.predict(FLOATS)
    fresh.predict(IMAGES.astype(np.float32))
    assert not recwarn.list


def test_pixels_as_floats_are_told_of_before_a_model_learns_from_them(recwarn: Any) -> None:
    pixels = IMAGES.astype(np.float64)
    assert pixels.max() > 50
    model = build()
    with pytest.warns(UserWarning, match="float32 numbers from .* all of them whole") as caught:
        model.train(pixels, LABELS, epochs=1, seed=0)
    assert caught[0].filename == __file__
    model.train(pixels, LABELS, epochs=1, seed=0)  # once is enough
    recwarn.clear()
    for floats in (pixels / 255, pixels / 8, pixels + 0.5, pixels - 1, pixels % 17):
        build().train(floats, LABELS, epochs=1, seed=0)
    assert not recwarn.list


def test_an_array_that_fits_is_not_copied() -> None:
    for x, dtype in ((IMAGES, np.float32), (FLOATS, np.float32)):
        assert conversion.samples("x", x, np.dtype(dtype)) is x
    assert conversion.labels("y", LABELS) is LABELS


# --- errors of a channels-last model speak N, H, W, C -------------------------------------------

LAST_ERRORS: list[tuple[list[Any], tuple[int, ...], str]] = [
    ([Conv2D(3, 4, 3)], (2, 5, 5, 1), "3 channels as (N, H, W, 3), got shape (2, 5, 5, 1)"),
    ([Conv2D(3, 4, 3)], (2, 3, 5, 6), "got shape (2, 3, 5, 6); it looks like N, C, H, W: use x.t"),
    (
        [Conv2D(3, 4, 7)],
        (2, 5, 6, 3),
        "does not fit into the input of shape (2, 5, 6, 3), which is",
    ),
    ([MaxPool2D(9)], (2, 5, 6, 3), "does not fit into the input of shape (2, 5, 6, 3)"),
    ([MaxPool2D(2)], (2, 5), "expected input as (N, H, W, C), got shape (2, 5)"),
    ([BatchNorm(3)], (2, 5, 6, 4), "(N, 3), (N, 3, L) or (N, H, W, 3), got shape (2, 5, 6, 4)"),
    (
        [LayerNorm(6), ReLU()],
        (2, 5, 6),
        "expected input with 6 channels as (N, 6), (N, 6, L) or (N, H, W, 6), got shape (2, 5, 6)",
    ),
    (
        [Residual([Conv2D(3, 4, 3)])],
        (2, 5, 6, 3),
        "gives shape (2, 3, 4, 4) and the shortcut (2, 5",
    ),
    (
        [Concatenate([MaxPool2D(2)])],
        (2, 4, 6, 3),
        "shape (2, 4, 6, 3) and its layers give (2, 2, 3",
    ),
    ([ReLU()], (0, 5, 6, 3), "got an array of shape (0, 5, 6, 3)"),
]


@pytest.mark.parametrize(("layers", "shape", "message"), LAST_ERRORS, ids=str)
def test_channels_last(layers: list[Any], shape: tuple[int, ...], message: str) -> None:
    model = Sequential(*copy.deepcopy(layers), data_format="channels_last")
    x = np.zeros(shape, np.float32)
    uses: list[Callable[[], Any]] = [
        lambda: model.predict(x), lambda: model.forward(x), lambda: model.forward(x, training=True),
        lambda: model.evaluate(x, np.zeros(len(x), int)), lambda: model.forward_training(x),
    ]  # fmt: skip
    if 0 not in shape:
        uses.append(lambda: model.output_shape(shape))
    else:
        uses.pop()
    for use in uses:
        with pytest.raises(ValueError, match=re.escape(message)) as caught:
            use()
        assert str(caught.value).count("transpose") <= 1
    with pytest.raises(ValueError, match=re.escape("as (N, 2, H, W), got shape (1, 1, 5, 2)")):
        Conv2D(2, 2, 1).forward(np.zeros((1, 1, 5, 2), np.float32))  # alone it speaks as ever


def test_channels_last_gradients() -> None:
    model = Sequential(Conv2D(3, 4, 3), data_format="channels_last")
    y = model.forward(np.zeros((2, 5, 7, 3), np.float32), training=True)
    with pytest.raises(ValueError, match=re.escape("gradient of shape (2, 3, 5, 4), like the")):
        model.backward(y[:1])
    for wrong in (None, y.tolist()):
        with pytest.raises(ValueError, match=f"got {type(wrong).__name__}"):
            model.backward(wrong)  # type: ignore[arg-type]


def test_a_sample_that_is_one_number_is_no_row_of_classes() -> None:
    model = Sequential(ReLU())
    for task in ("classification", "regression", "multilabel"):
        model.task = task
        with pytest.raises(ValueError, match=re.escape("the model gives shape (3,), no row")):
            model.predict(np.zeros(3, np.float32))


def test_a_scale_that_is_no_float32_is_refused_in_a_sentence() -> None:
    model = Sequential(ReLU())
    with pytest.raises(ValueError, match="each one finite number"):
        model.normalization = (1e300, 0.0)  # warnings are errors here


def _masked(array: Any) -> Any:
    return np.ma.array(array, mask=np.arange(np.size(array)).reshape(np.shape(array)) == 3)


@pytest.mark.parametrize(
    ("who", "use"),
    [
        ("training", lambda: build().train(_masked(IMAGES / np.float32(255)), LABELS)),
        ("training", lambda: build().train(IMAGES, _masked(LABELS))),
        ("training: sample_weight", lambda: build().train(
            IMAGES, LABELS, sample_weight=_masked(np.ones(12)))),
        ("validation", lambda: build().train(
            IMAGES, LABELS, validation=(_masked(IMAGES), LABELS))),
        ("predict", lambda: build().predict(_masked(IMAGES))),
        ("evaluate", lambda: build().evaluate(IMAGES, _masked(LABELS))),
        ("Sequential", lambda: build().forward(_masked(IMAGES))),
        ("ReLU()", lambda: ReLU().forward(_masked(np.ones((4, 4), np.float32)))),
        ("MSELoss", lambda: MSELoss().forward(
            _masked(np.ones((4, 2), np.float32)), np.ones((4, 2)))),
        ("MSELoss", lambda: MSELoss().forward(
            np.ones((4, 2), np.float32), _masked(np.ones((4, 2))))),
        ("params['bias']", lambda: Dense(3, 5).params.update(bias=_masked(np.ones(5)))),
        ("ReLU()", lambda: plain.ReLU().forward(_masked(np.ones((4, 4))))),
        ("confusion: y", lambda: confusion_matrix(_masked(LABELS), LABELS)),
    ],
)  # fmt: skip
def test_masked_values_are_no_values(who: str, use: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=r"1 of .* values are masked, the first at") as told:
        use()
    assert who in str(told.value)


def test_a_mask_that_hides_nothing_is_no_matter() -> None:
    given = np.ma.array(IMAGES, mask=np.zeros(IMAGES.shape, bool))
    assert (build().forward(given) == build().forward(IMAGES)).all()


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("loss", ["cross-entropy", "bce", "hinge"])
@pytest.mark.parametrize("compiled", [False, True])
def test_nan_is_no_class(wrong: float, loss: str, compiled: bool) -> None:
    model = build()
    y = np.eye(3)[LABELS] if loss == "bce" else LABELS
    model.train(FLOATS, y, epochs=1, loss=loss)
    asked: Any = model.compile_for_inference() if compiled else model
    x = FLOATS.copy()
    x[9, 0, 1, 1] = wrong
    with np.errstate(invalid="ignore"):
        assert len(asked.predict(x[:9])) == 9
        for size in (256, 4):
            with pytest.raises(ValueError, match="gives NaN for sample 9, which is no answer"):
                asked.predict(x, batch_size=size)
        assert np.isnan(asked.predict_logits(x)).any(axis=1).nonzero()[0].tolist() == [9]


def test_nan_is_a_number_like_others_where_numbers_are_asked_for() -> None:
    model = build()
    model.train(FLOATS, np.eye(3)[LABELS], epochs=1, loss="mse")
    x = FLOATS.copy()
    x[9] = np.nan
    assert np.isnan(model.predict(x)).any(axis=1).nonzero()[0].tolist() == [9]
