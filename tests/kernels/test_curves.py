"""Curves and the learned slope, against formulas in long double and sums in plain NumPy."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import DTypeLike

from kernels import curves, jit, prelu
from kernels.shares import is_small
from kernels.workspace import Workspace
from tests.gradient_check import check_gradient

every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f4", "f8"])
erfc = np.vectorize(math.erfc, otypes=[float])


def logistic(x: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -x))


def softplus(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0) + np.log1p(np.exp(-abs(x)))


Function = Callable[[np.ndarray], np.ndarray]
# Curves without numbers are equal, as all empty tuples are.
FORMULAS: list[tuple[curves.Curve, Function]] = [
    (curves.Elu(1.5, 2.0), lambda x: 2 * np.where(x > 0, x, 1.5 * np.expm1(np.minimum(x, 0)))),
    (curves.Gelu(), lambda x: x * erfc(-x / math.sqrt(2)) / 2),
    (curves.GeluTanh(), lambda x: x * logistic(math.sqrt(8 / math.pi) * (x + 0.044715 * x**3))),
    (curves.Silu(), lambda x: x * logistic(x)),
    (curves.Softplus(0.5), lambda x: softplus(x / 2) * 2),
    (curves.Mish(), lambda x: x * np.tanh(softplus(x))),
    (curves.HardSwish(), lambda x: x * np.clip(x + 3, 0, 6) / 6),
    (curves.HardSigmoid(), lambda x: np.clip(x + 3, 0, 6) / 6),
    (curves.Clip(-1.0, 2.0), lambda x: np.clip(x, -1, 2)),
]
every_curve = pytest.mark.parametrize(
    ("curve", "formula"), FORMULAS, ids=[str(curve) for curve, _ in FORMULAS]
)
# Every exponent, and the joints of formulas that change at a place.
_POSITIVE = np.concatenate([np.geomspace(1e-30, 60, 2_001), np.linspace(0.25, 6, 3_001)])
X = np.concatenate([_POSITIVE, -_POSITIVE, [0]])


@every_dtype
@every_curve
def test_values_are_precise_however_small(curve: curves.Curve, formula: Function, dtype: DTypeLike):
    """Tails that hardly are above 0 keep their digits, down to the smallest normal number."""
    x = X.astype(dtype)
    y = np.full_like(x, 7)
    curves.curve(curve, x, y)
    expected = formula(x.astype(np.float64))
    rtol = 3e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(y, expected, rtol=rtol, atol=2 * np.finfo(dtype).tiny)
    middle = abs(x) < 3
    rtol = 2e-6 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(y[middle], expected[middle], rtol, atol=2 * np.finfo(dtype).tiny)


@every_curve
def test_derivatives(curve: curves.Curve, formula: Function):
    x = np.random.default_rng(1).normal(0, 3, 37)
    dy, y, dx = np.random.default_rng(2).normal(size=37), np.empty(37), np.empty(37)

    def forward() -> np.ndarray:
        curves.curve(curve, x, y)
        return y

    curves.curve_backward(curve, dy, x, dx)
    check_gradient(forward, {"x": x}, dy, {"x": dx})
    single = np.empty(37, np.float32)
    curves.curve_backward(curve, np.float32(dy), np.float32(x), single)
    np.testing.assert_allclose(single, dx, rtol=1e-5, atol=1e-6)


@every_curve
def test_nan_stays_and_no_number_overflows(curve: curves.Curve, formula: Function):
    x = np.float32([np.nan, 1e4, -1e4, 3e38])
    y, dx = np.empty_like(x), np.empty_like(x)
    curves.curve(curve, x, y)
    curves.curve_backward(curve, np.ones_like(x), x, dx)
    assert np.isnan(y[0]) and np.isfinite(y[1:3]).all() and np.isfinite(dx[1:3]).all()


@every_dtype
@pytest.mark.parametrize("curve", [curve for curve, _ in FORMULAS], ids=str)
def test_slopes_of_huge_numbers(curve: curves.Curve, dtype: DTypeLike):
    """They are those of the line that a curve has become: no rounding error is multiplied by x."""
    straight = {curves.HardSigmoid: 0, curves.Clip: 0, curves.Elu: 2}
    x = np.array([1e3, 1e6, 1e20, 1e30, -1e3, -1e6, -1e20, -1e30], dtype)
    dx = np.full_like(x, np.nan)
    curves.curve_backward(curve, np.ones_like(x), x, dx)
    expected = [straight.get(type(curve), 1)] * 4 + [0] * 4
    np.testing.assert_allclose(dx, expected, rtol=1e-6, atol=1e-30)


def test_threads_and_tails():
    """As many elements as all threads share give what each of their parts gives alone."""
    size = 70_001
    assert not is_small(size, work=4)
    x = np.random.default_rng(3).standard_normal(size).astype(np.float32)
    y, part = np.empty_like(x), np.empty(1_001, np.float32)
    curves.curve(curves.Silu(), x, y)
    curves.curve(curves.Silu(), x[:1_001], part)
    np.testing.assert_array_equal(y[:1_001], part)
    curves.curve(curves.Silu(), x, x)
    np.testing.assert_array_equal(x, y)


@every_dtype
@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (500, 3), (40, 33), (3, 70), (140_001, 1)])
def test_learned_slopes(shape: tuple[int, int], dtype: DTypeLike):
    rng, workspace = np.random.default_rng(4), Workspace()
    x, dy = rng.integers(-4, 5, (2, *shape)).astype(dtype)
    slope = rng.integers(-3, 4, shape[1]).astype(dtype)
    y, dx, dslope = np.full_like(x, 7), np.full_like(x, 7), np.full_like(slope, 7)
    prelu.prelu(x, slope, y, workspace)
    prelu.prelu_backward(dy, x, slope, dx, dslope, workspace)
    np.testing.assert_array_equal(y, np.where(x > 0, x, slope * x))
    np.testing.assert_array_equal(dx, np.where(x > 0, dy, slope * dy))
    np.testing.assert_array_equal(dslope, np.where(x > 0, 0, dy * x).sum(axis=0))


def test_learned_slopes_have_the_same_bits_for_any_number_of_threads():
    rng, before, found = np.random.default_rng(5), jit.get_threads(), []
    x, dy = rng.standard_normal((2, 50_000, 5)).astype(np.float32)
    slope = np.ones(5, np.float32)
    for threads in (1, 2, 3):
        jit.set_threads(min(threads, jit.max_threads()))
        dx, dslope = np.empty_like(x), np.empty_like(slope)
        prelu.prelu_backward(dy, x, slope, dx, dslope, Workspace())
        found.append(dslope)
    jit.set_threads(before)
    np.testing.assert_array_equal(found, [found[0]] * 3)
