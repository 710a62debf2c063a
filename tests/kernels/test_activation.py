"""Activations and dropout against NumPy, at sizes with tails and at sizes that use all threads."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import DTypeLike

from kernels import activation, jit
from kernels.shares import is_small
from tests.gradient_check import check_gradient

every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f4", "f8"])
# No element, less than a vector, tails, and enough for threads.
SIZES = [0, 1, 15, 17, 1000, 140_001]
LARGE = 140_001
KEY = 0x1234_5678_9ABC_DEF0


def numbers(size: int, dtype: DTypeLike, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(size).astype(dtype)


def forward(function: Callable, x: np.ndarray, *options: float) -> np.ndarray:
    y = np.full_like(x, 7)
    function(x, *options, y)
    return y


def test_the_largest_size_is_shared_by_threads():
    assert not is_small(LARGE)
    assert is_small(1000)


@every_dtype
@pytest.mark.parametrize("size", SIZES)
def test_rectifiers_and_sum(size: int, dtype: DTypeLike):
    x, dy = numbers(size, dtype, 1), numbers(size, dtype, 2)
    result = np.full_like(x, 7)
    slope = np.asarray(0.25, dtype)
    y = forward(activation.relu, x)
    np.testing.assert_array_equal(y, np.maximum(x, 0))
    activation.relu_backward(dy, y, result)
    np.testing.assert_array_equal(result, np.where(x > 0, dy, 0))
    activation.leaky_relu(x, 0.25, result)
    np.testing.assert_array_equal(result, np.where(x > 0, x, slope * x))
    activation.leaky_relu_backward(dy, x, 0.25, result)
    np.testing.assert_array_equal(result, np.where(x > 0, dy, slope * dy))
    activation.add(x, dy, result)
    np.testing.assert_array_equal(result, x + dy)
    activation.relu_backward_sum(dy, x, y, result)
    np.testing.assert_array_equal(result, np.where(x > 0, dy + x, 0))
    again = dy.copy()
    activation.relu_backward_sum(again, x, y, again)
    np.testing.assert_array_equal(again, result)


@every_dtype
@pytest.mark.parametrize("size", SIZES)
def test_sigmoid_and_tanh(size: int, dtype: DTypeLike):
    x = 5 * numbers(size, dtype, 3)
    rtol = 4 * np.finfo(dtype).eps
    exact = x.astype(np.longdouble)
    np.testing.assert_allclose(forward(activation.sigmoid, x), 1 / (1 + np.exp(-exact)), rtol)
    np.testing.assert_allclose(forward(activation.tanh, x), np.tanh(exact), rtol)


def test_sigmoid_and_tanh_are_precise_over_the_whole_range_of_float32():
    # Every exponent, and the joint of tanh's two formulas at 0.625.
    magnitudes = [np.geomspace(1e-30, 80, 30_001), np.linspace(0.5, 0.75, 20_001)]
    positive = np.concatenate(magnitudes).astype(np.float32)
    x = np.concatenate([positive, -positive])
    exact = x.astype(np.longdouble)
    for function, expected in (
        (activation.sigmoid, 1 / (1 + np.exp(-exact))),
        (activation.tanh, np.tanh(exact)),
    ):
        rounded = expected.astype(np.float32)
        error = np.abs(forward(function, x) - expected) / np.spacing(np.abs(rounded))
        assert error.max() < 2.5, f"{float(error.max())} units at {x[error.argmax()]}"


@every_dtype
def test_exceptional_numbers(dtype: DTypeLike):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, 1e4, -1e4], dtype)
    expected = {
        activation.relu: [np.nan, np.inf, 0, 0, 1e4, 0],
        activation.sigmoid: [np.nan, 1, 0, 0.5, 1, 0],
        activation.tanh: [np.nan, 1, -1, 0, 1, -1],
    }
    for function, values in expected.items():
        np.testing.assert_array_equal(forward(function, x), np.array(values, dtype))


@pytest.mark.parametrize(
    ("function", "backward", "options", "reads"),
    [
        (activation.relu, activation.relu_backward, (), "y"),
        (activation.leaky_relu, activation.leaky_relu_backward, (0.1,), "x"),
        (activation.sigmoid, activation.sigmoid_backward, (), "y"),
        (activation.tanh, activation.tanh_backward, (), "y"),
    ],
    ids=["relu", "leaky_relu", "sigmoid", "tanh"],
)
def test_gradients(function: Callable, backward: Callable, options: tuple, reads: str):
    x, dy = numbers(37, np.float64, 4), numbers(37, np.float64, 5)
    remembered = x if reads == "x" else forward(function, x, *options)
    dx = np.full_like(x, 7)
    backward(dy, remembered, *options, dx)
    check_gradient(lambda: forward(function, x, *options), {"x": x}, dy, {"x": dx})


@every_dtype
def test_results_may_replace_their_input(dtype: DTypeLike):
    x = numbers(1001, dtype, 6)
    expected = forward(activation.relu, x)
    activation.relu(x, x)
    np.testing.assert_array_equal(x, expected)


# --- softmax --------------------------------------------------------------------------------------

ROWS = [(1, 1), (3, 10), (5, 16), (4, 33), (400, 100)]


def softmax_twin(x: np.ndarray) -> np.ndarray:
    e = np.exp(x.astype(np.longdouble) - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@every_dtype
@pytest.mark.parametrize("shape", ROWS, ids=str)
def test_softmax(shape: tuple[int, int], dtype: DTypeLike):
    # All logits below 0: the zeros in the unused lanes of a vector must not be the maximum.
    x = (5 * np.random.default_rng(7).standard_normal(shape) - 30).astype(dtype)
    y = forward(activation.softmax, x)
    np.testing.assert_allclose(y, softmax_twin(x), rtol=32 * np.finfo(dtype).eps)
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=32 * np.finfo(dtype).eps)


@every_dtype
def test_softmax_of_large_logits(dtype: DTypeLike):
    y = forward(activation.softmax, np.array([[1e4, 1e4, -1e4], [-np.inf, 0, 0]], dtype))
    np.testing.assert_array_equal(y, [[0.5, 0.5, 0], [0, 0.5, 0.5]])


@pytest.mark.parametrize(
    ("function", "backward"),
    [
        (activation.softmax, activation.softmax_backward),
        (activation.log_softmax, activation.log_softmax_backward),
    ],
    ids=["softmax", "log_softmax"],
)
def test_softmax_gradient(function: Callable, backward: Callable):
    x = np.random.default_rng(8).standard_normal((3, 11))
    dy = np.random.default_rng(9).standard_normal((3, 11))
    dx = np.full_like(x, 7)
    backward(dy, forward(function, x), dx)
    check_gradient(lambda: forward(function, x), {"x": x}, dy, {"x": dx})


@every_dtype
@pytest.mark.parametrize("shape", ROWS, ids=str)
def test_log_softmax(shape: tuple[int, int], dtype: DTypeLike):
    x = (5 * np.random.default_rng(7).standard_normal(shape) - 30).astype(dtype)
    y = forward(activation.log_softmax, x)
    bound = 64 * np.finfo(dtype).eps
    np.testing.assert_allclose(y, np.log(softmax_twin(x)), rtol=bound, atol=bound)
    far = forward(activation.log_softmax, np.array([[1e4, 0, 0]], dtype))
    np.testing.assert_array_equal(far, [[0, -1e4, -1e4]])  # of which softmax gives 1, 0, 0


# --- dropout --------------------------------------------------------------------------------------


@every_dtype
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.5, 0.9])
def test_dropout_keeps_the_right_share_and_scales_it(rate: float, dtype: DTypeLike):
    x = np.ones(200_000, dtype)
    y = forward(activation.dropout, x, rate, KEY)
    kept = y != 0
    np.testing.assert_allclose(y[kept], 1 / (1 - rate), rtol=1e-6)
    # Five standard deviations of the share.
    assert abs(kept.mean() - (1 - rate)) <= 5 * np.sqrt(rate * (1 - rate) / x.size)
    # Neighbours are dropped independently of each other.
    both = (kept[1:] & kept[:-1]).mean()
    assert abs(both - (1 - rate) ** 2) < 0.01


def test_dropout_depends_on_the_key_and_on_nothing_else():
    x = np.ones(LARGE, np.float32)
    first = forward(activation.dropout, x, 0.5, KEY)
    np.testing.assert_array_equal(forward(activation.dropout, x, 0.5, KEY), first)
    # A part, done by one thread, is the beginning of the whole.
    np.testing.assert_array_equal(forward(activation.dropout, x[:999], 0.5, KEY), first[:999])
    for other in (KEY + 1, KEY + 2**40, 0, 2**63 - 1):
        agreement = (forward(activation.dropout, x, 0.5, other) == first).mean()
        assert 0.45 < agreement < 0.55, other


@every_dtype
@pytest.mark.parametrize("shape", [(2, 5, 7), (3, 1, 4), (40, 60, 60)])
def test_channel_dropout_is_dropout_of_channels_or_of_numbers_elsewhere(shape, dtype: DTypeLike):
    """Of the same choices, those that `dropout` makes of an (N, C) and of an (N, C, places)."""
    images, places, channels = shape
    key = np.array(activation.dropout_key(KEY, 3))
    x = numbers(images * places * channels, dtype, 4).reshape(shape)
    x[0, 0, :2] = np.nan  # what is dropped is zero, whatever it was
    kept = np.ones((images, channels), dtype)
    activation.dropout(kept, 0.4, key, kept)
    wanted = np.where(kept[:, None] > 0, x * kept[:, None], dtype(0))
    y = np.full(shape, np.nan, dtype)
    activation.channel_dropout(x, 0.4, key, y)
    assert y.tobytes() == wanted.astype(dtype).tobytes()
    turned = x.transpose(0, 2, 1).copy()
    activation.dropout(turned, 0.4, key, turned)
    activation.channel_dropout(x, 0.4, key, y, whole=False)
    assert y.tobytes() == np.ascontiguousarray(turned.transpose(0, 2, 1)).tobytes()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_any_number_of_threads_gives_the_same_bits(threads: int):
    x = numbers(LARGE, np.float32, 10)
    expected = [forward(f, x[:30_000]) for f in (activation.relu, activation.sigmoid)]
    before = jit.get_threads()
    jit.set_threads(threads)
    try:
        got = [forward(f, x)[:30_000] for f in (activation.relu, activation.sigmoid)]
    finally:
        jit.set_threads(before)
    np.testing.assert_array_equal(got, expected)
