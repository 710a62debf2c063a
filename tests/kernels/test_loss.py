"""Softmax cross-entropy against the formula in long double, and its gradient."""

import numpy as np
import pytest
from numpy.typing import DTypeLike

from kernels import loss
from tests.gradient_check import check_gradient

every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f4", "f8"])
SHAPES = [(1, 1), (3, 10), (5, 17), (400, 100)]


def twin(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Losses and gradient of their sum, for targets of any weights."""
    z = logits.astype(np.longdouble)
    z = z - z.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    weight = targets.sum(axis=1, keepdims=True)
    return -(targets * log_p).sum(axis=1), np.exp(log_p) * weight - targets


def run_labels(logits: np.ndarray, labels: np.ndarray, scale: float = 1.0, smoothing: float = 0.0):
    losses, dlogits = np.full(len(logits), 7, logits.dtype), np.full_like(logits, 7)
    loss.softmax_cross_entropy(logits, labels, scale, smoothing, losses, dlogits)
    return losses, dlogits


@every_dtype
@pytest.mark.parametrize("shape", [*SHAPES, (5000, 10)], ids=str)
def test_what_it_returns(shape: tuple[int, int], dtype: DTypeLike):
    """Rows that are right and the sum of what stands in `losses`; below 0 for a label too many."""
    rng = np.random.default_rng(1)
    rows, classes = shape
    logits, labels = rng.standard_normal(shape).astype(dtype), rng.integers(0, classes, rows)
    losses, dlogits = np.full(rows, 7, dtype), np.full_like(logits, 7)
    right, total = loss.softmax_cross_entropy(logits, labels, 0.5, 0.0, losses, dlogits)
    assert right == np.count_nonzero(logits.argmax(axis=1) == labels)
    np.testing.assert_allclose(total, losses.sum(dtype=np.float64), rtol=1e-13)
    labels[rows // 2] = classes
    assert loss.softmax_cross_entropy(logits, labels, 0.5, 0.0, losses, dlogits)[0] < 0


def run_targets(logits: np.ndarray, targets: np.ndarray, scale: float = 1.0):
    losses, dlogits = np.full(len(logits), 7, logits.dtype), np.full_like(logits, 7)
    loss.softmax_cross_entropy_soft(logits, targets, scale, losses, dlogits)
    return losses, dlogits


@every_dtype
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_losses_and_gradient(shape: tuple[int, int], dtype: DTypeLike):
    rng = np.random.default_rng(1)
    rows, classes = shape
    logits = (4 * rng.standard_normal(shape) - 20).astype(dtype)
    labels = rng.integers(0, classes, rows)
    one_hot = np.eye(classes, dtype=dtype)[labels]
    soft = rng.random(shape).astype(dtype)
    smoothed = dtype(0.7) * one_hot + dtype(0.3 / classes)
    eps = np.finfo(dtype).eps
    for result, targets in (
        (run_labels(logits, labels, 0.5), one_hot),
        (run_labels(logits, labels, 0.5, 0.3), smoothed),
        (run_targets(logits, one_hot, 0.5), one_hot),
        (run_targets(logits, soft, 0.5), soft),
    ):
        losses, gradient = twin(logits, targets)
        np.testing.assert_allclose(result[0], losses, rtol=32 * eps, atol=32 * eps)
        size = targets.sum(axis=1).max()
        np.testing.assert_allclose(result[1], 0.5 * gradient, rtol=0, atol=16 * eps * size)


def test_a_case_done_by_hand():
    # softmax(log 1, log 2, log 5) = 1/8, 2/8, 5/8
    logits = np.log(np.array([[1.0, 2.0, 5.0]]))
    losses, gradient = run_labels(logits, np.array([1]))
    np.testing.assert_allclose(losses, [np.log(4)])
    np.testing.assert_allclose(gradient, [[0.125, -0.75, 0.625]])


def test_a_smoothed_case_done_by_hand():
    # The targets are 0.1, 0.8, 0.1; the logarithms of 1/8, 2/8, 5/8 as above.
    logits = np.log(np.array([[1.0, 2.0, 5.0]]))
    losses, gradient = run_labels(logits, np.array([1]), smoothing=0.3)
    expected = 0.1 * np.log(8) + 0.8 * np.log(4) + 0.1 * np.log(8 / 5)
    np.testing.assert_allclose(losses, [expected])
    np.testing.assert_allclose(gradient, [[0.025, -0.55, 0.525]])


@every_dtype
@pytest.mark.parametrize("label", [0, 1])
def test_smoothed_labels_are_infinitely_surprised_by_an_impossible_class(dtype: DTypeLike, label):
    losses, gradient = run_labels(np.array([[-np.inf, 0, 0]], dtype), np.array([label]), 1.0, 0.3)
    assert losses[0] == np.inf
    assert np.isfinite(gradient).all()


@every_dtype
def test_extreme_logits(dtype: DTypeLike):
    logits = np.array([[1e4, 0, -1e4], [-np.inf, 0, 0]], dtype)
    labels = np.array([1, 2])
    for losses, gradient in (
        run_labels(logits, labels),
        run_targets(logits, np.eye(3, dtype=dtype)[labels]),
    ):
        np.testing.assert_allclose(losses, [1e4, np.log(2)], rtol=1e-6)
        np.testing.assert_allclose(gradient, [[1, -1, 0], [0, 0.5, -0.5]], rtol=1e-6)


@every_dtype
def test_not_a_number_is_passed_on(dtype: DTypeLike):
    logits = np.zeros((2, 5), dtype)
    logits[0, 3] = np.nan
    for losses, gradient in (
        run_labels(logits, np.array([0, 0])),
        run_targets(logits, np.eye(5, dtype=dtype)[[0, 0]]),
    ):
        assert np.isnan(losses[0])
        assert np.isnan(gradient[0]).any()
        np.testing.assert_allclose(losses[1], np.log(5), rtol=1e-6)


def test_gradients_are_the_numerical_ones():
    rng = np.random.default_rng(2)
    logits, targets = rng.standard_normal((3, 7)), rng.random((3, 7))
    labels = np.array([0, 6, 3])
    ones = np.ones(3)
    _, gradient = run_labels(logits, labels, smoothing=0.3)
    check_gradient(
        lambda: run_labels(logits, labels, smoothing=0.3)[0],
        {"z": logits}, ones, {"z": gradient},
    )  # fmt: skip
    _, gradient = run_labels(logits, labels)
    check_gradient(lambda: run_labels(logits, labels)[0], {"z": logits}, ones, {"z": gradient})
    _, gradient = run_targets(logits, targets)
    check_gradient(lambda: run_targets(logits, targets)[0], {"z": logits}, ones, {"z": gradient})
