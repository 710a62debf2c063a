"""Outputs with a row for each place of an image or a series are as so many rows."""

import re

import numpy as np
import pytest

from fastcnn.losses import (
    BinaryCrossEntropyLoss,
    CrossEntropyLoss,
    HingeLoss,
    HuberLoss,
    MAELoss,
    MSELoss,
)

SHAPES = [(4, 3, 5, 6), (4, 3, 7), (4, 3, 2, 3, 2)]
LOSSES = [
    CrossEntropyLoss(),
    CrossEntropyLoss(label_smoothing=0.1),
    HingeLoss(),
    BinaryCrossEntropyLoss(),
    BinaryCrossEntropyLoss(pos_weight=[1, 2, 3]),
    MSELoss(),
    MAELoss(),
    HuberLoss(delta=0.5),
]


def rows_of(array: np.ndarray) -> np.ndarray:
    return np.stack([array[:, k].reshape(-1) for k in range(array.shape[1])], axis=1)


def targets_for(loss, shape, rng):
    """Targets of that shape, and the same of rows."""
    if loss.task == "classification":
        labels = rng.integers(0, shape[1], (shape[0], *shape[2:]))
        return labels, labels.reshape(-1)
    numbers = rng.random(shape)
    return numbers, rows_of(numbers)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("lies_last", [False, True])
def test_a_place_is_a_row(loss, shape, dtype, lies_last) -> None:
    rng = np.random.default_rng(0)
    outputs = rng.normal(size=shape).astype(dtype)
    rows = rows_of(outputs)
    if lies_last:  # as images from a network lie in memory
        outputs = np.moveaxis(np.ascontiguousarray(np.moveaxis(outputs, 1, -1)), -1, 1)
    targets, row_targets = targets_for(loss, shape, rng)
    value = loss.forward(outputs, targets)
    gradient, correct = loss.backward(), getattr(loss, "correct", None)
    assert gradient.shape == shape and gradient.dtype == dtype
    assert value == pytest.approx(loss.forward(rows, row_targets), rel=1e-6)
    assert getattr(loss, "correct", None) == correct
    np.testing.assert_allclose(rows_of(gradient), loss.backward(), rtol=1e-6)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_sample_is_the_mean_of_its_places(loss) -> None:
    rng = np.random.default_rng(1)
    outputs = rng.normal(size=(4, 3, 5, 6))
    targets, _ = targets_for(loss, outputs.shape, rng)
    weights = np.array([1, 0, 0.5, 3])
    each = [loss.forward(outputs[n : n + 1], targets[n : n + 1]) for n in range(4)]
    by_sample = []
    for n in range(4):
        loss.forward(outputs[n : n + 1], targets[n : n + 1])
        by_sample.append(loss.backward()[0] * weights[n])
    summed = loss.measuring() if "smoothing=0.1" not in repr(loss) else None
    if summed is not None:
        assert summed.forward(outputs, targets) == pytest.approx(sum(each))
    assert loss.forward(outputs, targets, weights) == pytest.approx(np.mean(weights * each))
    np.testing.assert_allclose(loss.backward(), np.array(by_sample) / 4, rtol=1e-12)


def test_soft_rows_and_probabilities_have_the_shape_of_the_logits() -> None:
    logits = np.random.default_rng(2).normal(size=(2, 3, 4, 5))
    labels = logits.argmin(axis=1)
    one_hot = np.moveaxis(np.eye(3)[labels], -1, 1)
    loss = CrossEntropyLoss()
    assert loss.forward(logits, labels) == pytest.approx(loss.forward(logits, one_hot))
    e = np.exp(logits)
    np.testing.assert_allclose(loss.probabilities, e / e.sum(axis=1, keepdims=True))


def test_the_axis_of_a_single_output_may_be_left_out() -> None:
    outputs, targets = np.ones((2, 1, 3, 4)), np.zeros((2, 3, 4))
    for loss in (MSELoss(), BinaryCrossEntropyLoss()):
        assert loss.forward(outputs, targets) == loss.forward(outputs, targets[:, None])
        assert loss.backward().shape == outputs.shape


@pytest.mark.parametrize(
    ("loss", "targets", "sentence"),
    [
        (CrossEntropyLoss(), (4, 6, 5), "expected labels of shape (4, 3, 5, 6) or (4, 5, 6)"),
        (CrossEntropyLoss(), (4,), "or (4, 5, 6) for outputs of shape (4, 3, 5, 6), got (4,)"),
        (HingeLoss(), (3, 5, 6), "HingeLoss: expected labels of shape (4, 3, 5, 6) or (4, 5, 6)"),
        (MSELoss(), (4, 5, 6), "expected targets of shape (4, 3, 5, 6) for outputs of shape"),
        (BinaryCrossEntropyLoss(), (4, 90), "got (4, 90)"),
    ],
)
def test_targets_of_other_places_are_refused(loss, targets, sentence) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        loss.forward(np.ones((4, 3, 5, 6)), np.zeros(targets, int))
    with pytest.raises(RuntimeError, match="needs a forward"):
        loss.backward()
