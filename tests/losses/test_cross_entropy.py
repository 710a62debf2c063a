"""Cross-entropy against NumPy, numerical gradients, and its sentences."""

import re

import numpy as np
import pytest

from fastcnn.losses import CrossEntropyLoss
from tests.gradient_check import check_gradient

RNG = np.random.default_rng(1)


def reference(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -(targets * log_p).sum(axis=1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("one_hot", [False, True])
def test_value_and_gradient(dtype: type, reduction: str, one_hot: bool) -> None:
    logits = (3 * RNG.normal(size=(7, 10))).astype(dtype)
    labels = RNG.integers(0, 10, 7)
    targets = np.eye(10)[labels]
    loss = CrossEntropyLoss(reduction)
    value = loss.forward(logits, targets if one_hot else labels)
    losses = reference(logits.astype(np.float64), targets)
    assert value == pytest.approx(losses.mean() if reduction == "mean" else losses.sum(), rel=1e-5)
    probabilities = np.exp(-reference(np.repeat(logits, 10, 0), np.tile(np.eye(10), (7, 1))))
    probabilities = probabilities.reshape(7, 10)
    np.testing.assert_allclose(loss.probabilities, probabilities, rtol=1e-4)
    gradient = probabilities - targets
    gradient /= 7 if reduction == "mean" else 1
    np.testing.assert_allclose(loss.backward(), gradient, rtol=1e-4, atol=1e-6)
    assert loss.backward().dtype == dtype
    assert loss.correct == np.count_nonzero(logits.argmax(axis=1) == labels)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_value_and_gradient_are_those_of_pytorch(reduction: str, smoothing: float) -> None:
    torch = pytest.importorskip("torch")
    logits = 3 * RNG.normal(size=(7, 10))
    ours = CrossEntropyLoss(reduction, label_smoothing=smoothing)
    theirs = torch.nn.CrossEntropyLoss(reduction=reduction, label_smoothing=smoothing)
    for labels in (RNG.integers(0, 10, 7), RNG.dirichlet(np.ones(10), 7)):
        twin = torch.tensor(logits, requires_grad=True)
        value = theirs(twin, torch.tensor(labels))
        value.backward()
        assert ours.forward(logits, labels) == pytest.approx(value.item(), rel=1e-13)
        np.testing.assert_allclose(ours.backward(), twin.grad.numpy(), rtol=1e-12, atol=1e-15)


def test_smoothing_changes_neither_probabilities_nor_what_is_right() -> None:
    logits, labels = RNG.normal(size=(50, 4)), RNG.integers(0, 4, 50)
    plain, smooth = CrossEntropyLoss(), CrossEntropyLoss(label_smoothing=0.5)
    assert plain.forward(logits, labels) != smooth.forward(logits, labels)
    assert plain.correct == smooth.correct
    np.testing.assert_array_equal(plain.probabilities, smooth.probabilities)


def test_representation() -> None:
    assert repr(CrossEntropyLoss()) == "CrossEntropyLoss()"
    assert repr(CrossEntropyLoss("sum")) == 'CrossEntropyLoss("sum")'
    expected = 'CrossEntropyLoss("sum", label_smoothing=0.1)'
    assert repr(CrossEntropyLoss("sum", 0.1)) == expected


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("labels", [np.array([2, 0, 3]), RNG.dirichlet(np.ones(4), 3)])
def test_numerical_gradient(labels: np.ndarray, smoothing: float) -> None:
    logits, loss = RNG.normal(size=(3, 4)), CrossEntropyLoss(label_smoothing=smoothing)
    loss.forward(logits, labels)
    check_gradient(
        lambda: np.array([loss.forward(logits, labels)]),
        {"logits": logits}, np.ones(1), {"logits": loss.backward()},
    )  # fmt: skip


def test_by_hand() -> None:
    loss = CrossEntropyLoss("sum")
    value = loss.forward(np.array([[0, np.log(3)], [0, 0]], np.float32), np.array([1, 0]))
    assert value == pytest.approx(np.log(4 / 3) + np.log(2), rel=1e-6)
    np.testing.assert_allclose(loss.backward(), [[0.25, -0.25], [-0.5, 0.5]], rtol=1e-6)
    assert loss.correct == 2  # of equal logits the first counts


def test_large_logits_do_not_overflow() -> None:
    logits = np.array([[1e4, 0], [-1e4, 0], [3e38, -3e38]], np.float32)
    loss = CrossEntropyLoss("sum")
    assert loss.forward(logits, np.array([0, 1, 0])) == 0
    assert np.isfinite(loss.backward()).all()
    assert loss.forward(logits[:1], np.array([1])) == pytest.approx(1e4)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("kind", ["numbers", "one-hot", "soft"])
def test_a_number_added_to_all_logits_changes_nothing(kind: str, smoothing: float) -> None:
    near = RNG.integers(-64, 64, (20, 9)).astype(np.float32) / 32  # exact beside 1e5, too
    labels = RNG.integers(0, 9, 20)
    rows = RNG.dirichlet(np.ones(9), 20) if kind == "soft" else np.eye(9)[labels]
    loss = CrossEntropyLoss(label_smoothing=smoothing)
    value = loss.forward(near, labels if kind == "numbers" else rows)
    gradient = loss.backward()
    for far in (-1e5, 1e4, 1e5):
        found = loss.forward(near + np.float32(far), labels if kind == "numbers" else rows)
        assert found == pytest.approx(value, rel=1e-6)
        np.testing.assert_array_equal(loss.backward(), gradient)


def test_trouble_is_passed_on() -> None:
    assert np.isnan(CrossEntropyLoss().forward(np.array([[np.nan, 0]], np.float32), np.array([1])))


def test_label_dtypes() -> None:
    logits, labels = RNG.normal(size=(3, 4)), np.array([1, 3, 0])
    loss = CrossEntropyLoss()
    expected = loss.forward(logits, labels)
    for dtype in (np.uint8, np.int32, np.uint64):
        assert loss.forward(logits, labels.astype(dtype)) == expected
    for dtype in (bool, np.int64, np.float32):
        one_hot = np.eye(4)[labels].astype(dtype)
        assert loss.forward(logits, one_hot) == pytest.approx(expected, rel=1e-12)


LOGITS = np.zeros((3, 4), np.float32)
MISTAKES = [
    (
        LOGITS,
        np.array([0, 1, 4]),
        ValueError,
        "between 0 and 3, as there are 4 logits per row, got 4",
    ),
    (LOGITS, np.array([0, -1, 2]), ValueError, "labels must lie between 0 and 3"),
    (LOGITS, np.array([0, 1]), ValueError, "expected 3 labels as (3,) or one-hot as (3, 4), got"),
    (LOGITS, np.array([[0], [1], [2]]), ValueError, "expected 3 labels as (3,)"),
    (LOGITS, np.array([0.0, 1, 2]), TypeError, "convert them with labels.astype(np.int64)"),
    (LOGITS, np.eye(3), ValueError, "expected one-hot labels of shape (3, 4), like the logits"),
    (LOGITS, np.ones((3, 4)), ValueError, "must hold probabilities, at least 0 and with the sum 1"),
    (LOGITS, np.full((3, 4), "a"), TypeError, "one-hot labels must be numbers"),
    (
        LOGITS[0],
        np.array([1]),
        ValueError,
        "expected logits as (N, classes), or (N, classes, H, W) with places, got shape (4,)",
    ),
    (
        LOGITS[:0],
        np.array([], int),
        ValueError,
        "expected logits as (N, classes), or (N, classes, H, W) with places, got shape (0, 4)",
    ),
    (LOGITS.astype(int), np.array([1, 2, 3]), TypeError, "got int64 array"),
    ([[1.0]], np.array([0]), TypeError, "got list"),
]


@pytest.mark.parametrize(("logits", "labels", "error", "message"), MISTAKES)
def test_mistakes(logits, labels, error, message) -> None:
    with pytest.raises(error, match=re.escape(message)):
        CrossEntropyLoss().forward(logits, labels)


def test_order_and_reduction() -> None:
    with pytest.raises(ValueError, match="reduction must be 'mean' or 'sum', got 'max'"):
        CrossEntropyLoss("max")
    for wrong in (-0.1, 1, float("nan"), "0.1"):
        with pytest.raises(ValueError, match="CrossEntropyLoss: label_smoothing must be a number"):
            CrossEntropyLoss(label_smoothing=wrong)
    with pytest.raises(RuntimeError, match="backward needs a forward"):
        CrossEntropyLoss().backward()
    with pytest.raises(RuntimeError, match="probabilities needs a forward"):
        _ = CrossEntropyLoss().probabilities
