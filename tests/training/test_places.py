"""Networks that give a class, labels or numbers for each place of an image or a series."""

import re

import numpy as np
import pytest

from fastcnn import Augment, Graph, Input, Sequential, load_model
from fastcnn.layers import BatchNorm, Conv1D, Conv2D, Dense, Flatten, GlobalAveragePool2D, ReLU
from fastcnn.optim import Adam

FORMATS = ("channels_first", "channels_last")
RNG = np.random.default_rng(0)
IMAGES = RNG.random((24, 2, 6, 5)).astype(np.float32)
CLASSES = (IMAGES[:, 0] > 0.5) + (IMAGES[:, 0] > 0.8).astype(int)  # of each pixel, 0 to 2
NUMBERS = np.stack([IMAGES[:, 0] - IMAGES[:, 1], IMAGES[:, 1] ** 2], axis=1)


def network(outputs, data_format="channels_first"):
    return Sequential(
        Conv2D(2, 8, 3, padding=1), BatchNorm(8), ReLU(), Conv2D(8, outputs, 1),
        data_format=data_format,
    )  # fmt: skip


def turned(images, data_format):
    return images.transpose(0, 2, 3, 1) if data_format == "channels_last" else images


@pytest.mark.parametrize("data_format", FORMATS)
def test_a_class_for_each_pixel(data_format, tmp_path) -> None:
    x, model = turned(IMAGES, data_format), network(3, data_format)
    options = {"epochs": 30, "batch_size": 8, "optimizer": Adam(0.02), "progress": False}
    history = model.train(x, CLASSES, validation=0.25, **options)
    assert history["val_accuracy"][-1] > 0.9
    found, logits = model.predict(x), model.predict_logits(x)
    assert found.shape == CLASSES.shape
    assert logits.shape == turned(np.ones((24, 3, 6, 5)), data_format).shape
    axis = 3 if data_format == "channels_last" else 1
    assert (logits.argmax(axis=axis) == found).all()
    e = np.exp(logits)
    np.testing.assert_allclose(
        model.predict_proba(x), e / e.sum(axis=axis, keepdims=True), rtol=1e-4
    )
    loss, accuracy = model.evaluate(x, CLASSES)
    assert accuracy == pytest.approx(np.mean(found == CLASSES))
    picked = np.take_along_axis(model.predict_proba(x), np.expand_dims(CLASSES, axis), axis)
    assert loss == pytest.approx(-np.log(picked).mean(), rel=1e-4)

    rows = turned(np.moveaxis(np.eye(3)[CLASSES], -1, 1), data_format)
    column = turned(CLASSES[:, None], data_format)
    for same in (rows, column, CLASSES.astype(np.uint8), CLASSES.astype(float)):
        assert model.evaluate(x, same) == pytest.approx((loss, accuracy))
    weights = np.arange(24.0)
    each = (found == CLASSES).reshape(24, -1).mean(axis=1)
    weighted = model.measure(x, CLASSES, sample_weight=weights)["accuracy"]
    assert weighted == pytest.approx((weights * each).sum() / weights.sum())

    model.save(tmp_path / "model.npz")
    assert (load_model(tmp_path / "model.npz").predict(x) == found).all()
    quick = model.compile_for_inference()
    assert (quick.predict(x) == found).mean() > 0.99
    assert quick.predict_proba(x).shape == logits.shape


def test_both_formats_learn_the_same() -> None:
    found = []
    for data_format in FORMATS:
        model = network(2, data_format)
        model.train(
            turned(IMAGES, data_format), turned(NUMBERS, data_format), loss="mse", epochs=2,
            batch_size=8,
        )  # fmt: skip
        found.append(model.parameters.values.copy())
        given = model.predict(turned(IMAGES, data_format))
        assert given.shape == turned(NUMBERS, data_format).shape
    assert (found[0] == found[1]).all()


def test_r2_is_that_of_each_number_over_all_places() -> None:
    model = network(2)
    model.train(IMAGES, NUMBERS, loss="mse", epochs=20, batch_size=8, optimizer=Adam(0.02))
    measured, error = model.measure(IMAGES, NUMBERS), model.predict(IMAGES) - NUMBERS
    squares = (error**2).sum(axis=(0, 2, 3))
    spread = ((NUMBERS - NUMBERS.mean(axis=(0, 2, 3), keepdims=True)) ** 2).sum(axis=(0, 2, 3))
    assert measured["r2"] > 0.8
    assert measured["r2"] == pytest.approx((1 - squares / spread).mean(), rel=1e-4)
    assert measured["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-4)
    assert measured["loss"] == pytest.approx((error**2).mean(), rel=1e-4)


def test_one_output_for_each_pixel_needs_no_axis_of_its_own() -> None:
    model, mask = network(1), CLASSES > 0
    history = model.train(IMAGES, mask, loss="bce", epochs=20, batch_size=8, optimizer=Adam(0.02))
    assert history["label_accuracy"][-1] > 0.9
    found = model.predict(IMAGES)
    assert found.shape == mask.shape and model.predict_proba(IMAGES).shape == (24, 1, 6, 5)
    assert model.evaluate(IMAGES, mask)[1] == pytest.approx(np.mean(found == mask))
    assert model.evaluate(IMAGES, mask) == model.evaluate(IMAGES, mask[:, None])


def test_a_class_for_each_place_of_a_series() -> None:
    series = RNG.normal(size=(24, 1, 30)).astype(np.float32)
    labels = (series[:, 0] > 0).astype(int)
    model = Sequential(Conv1D(1, 8, 3, padding=1), ReLU(), Conv1D(8, 2, 1))
    model.train(series, labels, epochs=30, batch_size=8, optimizer=Adam(0.02))
    assert model.evaluate(series, labels)[1] > 0.95
    assert model.predict(series).shape == labels.shape


def test_beside_an_output_for_the_whole_image() -> None:
    x = Input((2, 6, 5))
    y = ReLU()(Conv2D(2, 8, 3, padding=1)(x))
    model = Graph(x, {"mask": Conv2D(8, 3, 1)(y), "mean": Dense(8, 1)(GlobalAveragePool2D()(y))})
    targets = {"mask": CLASSES, "mean": IMAGES[:, 0].mean(axis=(1, 2))}
    history = model.train(
        IMAGES, targets, loss={"mask": "cross-entropy", "mean": "mse"}, epochs=60, batch_size=8,
        validation=0.25, optimizer=Adam(0.02),
    )  # fmt: skip
    assert history["val_mask_accuracy"][-1] > 0.85
    mask, mean = model.predict(IMAGES)
    assert mask.shape == CLASSES.shape and mean.shape == (24,)


@pytest.mark.parametrize(
    ("y", "options", "sentence"),
    [
        (CLASSES[:, 0, 0], {}, "end it with Flatten() and Dense(..., classes), or give labels of"),
        (CLASSES[:, :4], {}, "expected 24 labels as (24, 6, 5) or one-hot as (24, 3, 6, 5), got"),
        (CLASSES + 1, {}, "between 0 and 2, as the model gives 3 numbers per place, got 3; yours"),
        (CLASSES * 0.5, {}, "labels must be whole numbers"),
        (CLASSES, {"class_weight": "balanced"}, "class_weight is for one class for each sample"),
        (CLASSES, {"augment": Augment(flip=True)}, "6 x 5 places, and flip=True would change"),
        (CLASSES, {"augment": Augment(mixup=0.2)}, "mixup=0.2 would change where things are"),
        (NUMBERS, {"loss": "mse"}, "expected targets as (24, 3, 6, 5), as the model gives 3 x 6"),
        (np.zeros((24, 90)), {"loss": "mse"}, "got shape (24, 90); give y.reshape(-1, 3, 6, 5)"),
        (np.full((24, 3, 6, 5), np.nan), {"loss": "mse"}, "target 0 is NaN or infinite"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_step(y, options, sentence) -> None:
    model = network(3)
    before = model.parameters.values.copy()
    with pytest.raises((ValueError, TypeError), match=re.escape(sentence)):
        model.train(IMAGES, y, epochs=1, **options)
    assert (model.parameters.values == before).all()


def test_images_as_targets_of_a_flat_output_are_told_how() -> None:
    with pytest.raises(ValueError, match=re.escape("give y.reshape(-1, 60)")):
        Sequential(Flatten(), Dense(60, 60)).train(IMAGES, IMAGES, loss="mse")


def test_pixels_may_change_where_they_are() -> None:
    model = network(3)
    augment = Augment(noise=0.01, brightness=0.1, cutout=2)
    model.train(IMAGES, CLASSES, epochs=1, augment=augment)
