"""Batch normalisation against the formula in float64, and its gradients."""

import numpy as np
import pytest
from numpy.typing import DTypeLike

from kernels import jit, norm
from kernels.workspace import Workspace
from tests.gradient_check import check_gradient

every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f4", "f8"])
EPS = 1e-5
# Rows fewer than a wide row, incomplete last wide rows, channels with and without whole vectors,
# features of a dense layer, and enough for threads (40,000 numbers and more).
SHAPES = [(2, 1), (7, 5), (50, 8), (1000, 16), (777, 33), (128, 1024), (13_201, 10), (2500, 32)]


def data(shape: tuple[int, int], dtype: DTypeLike, mean: float = 3.0):
    rng = np.random.default_rng(1)
    channels = shape[1]
    x = rng.standard_normal(shape) * rng.uniform(0.5, 2, channels) + mean
    gamma, beta = rng.standard_normal((2, channels))
    dy = rng.standard_normal(shape)
    return [array.astype(dtype) for array in (x, gamma, beta, dy)]


def twin(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, dy: np.ndarray):
    """All results by name, in float64."""
    x, gamma, beta, dy = (array.astype(np.float64) for array in (x, gamma, beta, dy))
    mean, variance = x.mean(axis=0), x.var(axis=0)
    inverse_std = 1 / np.sqrt(variance + EPS)
    z = (x - mean) * inverse_std
    dbeta, dgamma = dy.sum(axis=0), (dy * z).sum(axis=0)
    dx = gamma * inverse_std * (dy - dbeta / len(x) - z * dgamma / len(x))
    return {
        "y": gamma * z + beta,
        "mean": mean,
        "variance": variance,
        "inverse_std": inverse_std,
        "dx": dx,
        "dgamma": dgamma,
        "dbeta": dbeta,
    }


def run(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, dy: np.ndarray):
    """The same from the kernels, in memory that was full of NaN."""
    workspace = Workspace()
    for name, dtype in (("sums", np.float64), ("scratch", x.dtype), ("factors", x.dtype)):
        workspace.array(f"norm_{name}", (100_000,), dtype).fill(np.nan)
    y, dx = np.full_like(x, np.nan), np.full_like(x, np.nan)
    mean, variance, inverse_std, dgamma, dbeta = np.full((5, x.shape[1]), np.nan, x.dtype)
    norm.batch_norm_training(x, gamma, beta, EPS, y, mean, variance, inverse_std, workspace)
    norm.batch_norm_backward(dy, x, gamma, mean, inverse_std, dx, dgamma, dbeta, workspace)
    return {
        "y": y,
        "mean": mean,
        "variance": variance,
        "inverse_std": inverse_std,
        "dx": dx,
        "dgamma": dgamma,
        "dbeta": dbeta,
    }


@every_dtype
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_training_and_backward(shape: tuple[int, int], dtype: DTypeLike):
    arrays = data(shape, dtype)
    tolerance = 2e-6 if dtype == np.float32 else 1e-13
    _, gamma, _, dy = arrays
    expected, got = twin(*arrays), run(*arrays)
    # Where terms of either sign cancel, rounding is as large as the terms are.
    terms = dict.fromkeys(expected, 0.0)
    terms["dgamma"] = terms["dbeta"] = float(np.sqrt(shape[0]))
    terms["dx"] = float(np.abs(gamma * expected["inverse_std"] * dy).max())
    for name, value in expected.items():
        atol = tolerance * (np.abs(value).max() + terms[name])
        np.testing.assert_allclose(got[name], value, rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize("mean", [100.0, -1000.0, 30_000.0])
def test_a_large_mean_does_not_drown_the_variance(mean: float):
    """Rounding of x itself is all that remains: sums of squares would be off by 100 % and more."""
    arrays = data((5000, 8), np.float32, mean)
    expected, got = twin(*arrays), run(*arrays)
    np.testing.assert_allclose(got["variance"], expected["variance"], rtol=1e-5)
    np.testing.assert_allclose(got["mean"], expected["mean"], rtol=2e-7)


def test_a_misleading_first_row_does_not_drown_the_variance():
    x, gamma, beta, dy = data((5000, 8), np.float32, 0.0)
    x[0] = 1000
    x[2500:] += 10  # nor do halves that differ
    expected, got = twin(x, gamma, beta, dy), run(x, gamma, beta, dy)
    np.testing.assert_allclose(got["variance"], expected["variance"], rtol=1e-5)
    np.testing.assert_allclose(got["mean"], expected["mean"], atol=1e-4)


@every_dtype
def test_equal_rows_have_no_variance(dtype: DTypeLike):
    x = np.full((999, 3), 0.1, dtype)
    gamma, beta, dy = np.ones(3, dtype), np.array([1, 2, 3], dtype), np.ones_like(x)
    got = run(x, gamma, beta, dy)
    np.testing.assert_array_equal(got["variance"], 0)
    np.testing.assert_allclose(got["y"], np.tile(beta, (999, 1)), rtol=1e-6)


@every_dtype
@pytest.mark.parametrize("shape", [(7, 5), (13_201, 10)], ids=str)
def test_inference(shape: tuple[int, int], dtype: DTypeLike):
    x, gamma, beta, _ = data(shape, dtype)
    mean, var = x.mean(axis=0) + 1, x.var(axis=0) * 2
    y = np.full_like(x, np.nan)
    norm.batch_norm_inference(x, gamma, beta, mean, var, EPS, y)
    expected = gamma * (x.astype(np.float64) - mean) / np.sqrt(var + EPS) + beta
    np.testing.assert_allclose(y, expected, rtol=0, atol=8 * np.finfo(dtype).eps * 10)


def test_results_may_replace_their_input():
    x, gamma, beta, dy = data((333, 6), np.float32)
    expected, workspace = run(x, gamma, beta, dy), Workspace()
    mean, variance, inverse_std, dgamma, dbeta = np.empty((5, 6), np.float32)
    norm.batch_norm_backward(
        dy, x, gamma, expected["mean"], expected["inverse_std"], dy, dgamma, dbeta, workspace
    )
    norm.batch_norm_training(x, gamma, beta, EPS, x, mean, variance, inverse_std, workspace)
    np.testing.assert_array_equal(dy, expected["dx"])
    np.testing.assert_array_equal(x, expected["y"])


def test_gradients_are_the_numerical_ones():
    x, gamma, beta, dy = data((6, 5), np.float64, 0.5)
    got = run(x, gamma, beta, dy)
    check_gradient(
        lambda: run(x, gamma, beta, dy)["y"],
        {"x": x, "gamma": gamma, "beta": beta},
        dy,
        {"x": got["dx"], "gamma": got["dgamma"], "beta": got["dbeta"]},
    )


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_any_number_of_threads_gives_the_same_bits(threads: int):
    arrays = data((13_201, 10), np.float32)
    expected = run(*arrays)
    before = jit.get_threads()
    jit.set_threads(threads)
    try:
        got = run(*arrays)
    finally:
        jit.set_threads(before)
    for name, value in expected.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)
