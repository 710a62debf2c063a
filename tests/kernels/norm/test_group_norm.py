"""Group normalisation against the formula in float64, and its gradients."""

import numpy as np
import pytest
from numpy.typing import DTypeLike

from kernels import jit
from kernels.norm import group as group_norm
from kernels.shares import is_small
from kernels.workspace import Workspace
from tests.gradient_check import check_gradient

every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f4", "f8"])
EPS = 1e-5
# (N, pixels, C) and groups: one number, vectors with groups of one, of less and of more than a
# vector register, with several groups in a register and an incomplete last one, images smaller than
# a wide row and with an incomplete last one, one image, and enough for threads.
CASES = [
    ((1, 1, 1), 1), ((7, 1, 5), 1), ((4, 1, 6), 6), ((20, 1, 1024), 8), ((9, 1, 120), 4),
    ((6, 1, 22), 11), ((5, 1, 36), 9), ((8, 1, 120), 15), ((3, 1, 48), 3),
    ((3, 2, 3), 3), ((5, 49, 6), 2), ((2, 100, 33), 11), ((33, 64, 64), 1), ((1, 300, 16), 4),
    ((40, 196, 32), 4), ((2500, 1, 64), 2), ((2500, 1, 64), 8),
]  # fmt: skip
every_case = pytest.mark.parametrize(("shape", "groups"), CASES, ids=str)


def data(shape: tuple[int, int, int], dtype: DTypeLike, mean: float = 3.0):
    rng = np.random.default_rng(1)
    channels = shape[2]
    x = rng.standard_normal(shape) * rng.uniform(0.5, 2, channels) + mean
    gamma, beta = rng.standard_normal((2, channels))
    dy = rng.standard_normal(shape)
    return [array.astype(dtype) for array in (x, gamma, beta, dy)]


def twin(groups: int, x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, dy: np.ndarray):
    """All results by name, in float64."""
    x, gamma, beta, dy = (array.astype(np.float64) for array in (x, gamma, beta, dy))
    batch, pixels, channels = x.shape

    def mean_of(array: np.ndarray) -> np.ndarray:
        """The mean over a group, for every channel."""
        means = array.reshape(batch, pixels, groups, -1).mean(axis=(1, 3))
        return np.repeat(means, channels // groups, axis=1)[:, None, :]

    mean = mean_of(x)
    inverse_std = 1 / np.sqrt(mean_of((x - mean) ** 2) + EPS)
    z, dz = (x - mean) * inverse_std, gamma * dy
    first = slice(None, None, channels // groups)
    return {
        "y": gamma * z + beta,
        "mean": mean[:, 0, first],
        "inverse_std": inverse_std[:, 0, first],
        "dx": inverse_std * (dz - mean_of(dz) - z * mean_of(dz * z)),
        "dgamma": (dy * z).sum(axis=(0, 1)),
        "dbeta": dy.sum(axis=(0, 1)),
    }


def run(groups: int, x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, dy: np.ndarray):
    """The same from the kernels, in memory that was full of NaN."""
    workspace = Workspace()
    workspace.array("group_norm_sums", (100_000,), np.float64).fill(np.nan)
    workspace.array("group_norm_factors", (200_000,), x.dtype).fill(np.nan)
    y, dx = np.full_like(x, np.nan), np.full_like(x, np.nan)
    mean, inverse_std = np.full((2, len(x), groups), np.nan, x.dtype)
    dgamma, dbeta = np.full((2, x.shape[2]), np.nan, x.dtype)
    group_norm.group_norm(x, gamma, beta, EPS, y, mean, inverse_std, workspace)
    group_norm.group_norm_backward(dy, x, gamma, mean, inverse_std, dx, dgamma, dbeta, workspace)
    return {
        "y": y,
        "mean": mean,
        "inverse_std": inverse_std,
        "dx": dx,
        "dgamma": dgamma,
        "dbeta": dbeta,
    }


@every_dtype
@every_case
def test_forward_and_backward(shape: tuple[int, int, int], groups: int, dtype: DTypeLike):
    arrays = data(shape, dtype)
    tolerance = 4e-6 if dtype == np.float32 else 1e-13
    _, gamma, _, dy = arrays
    expected, got = twin(groups, *arrays), run(groups, *arrays)
    # Where terms of either sign cancel, rounding is as large as the terms are.
    inverse = np.repeat(expected["inverse_std"], shape[2] // groups, axis=1)[:, None, :]
    terms = dict.fromkeys(expected, 0.0)
    terms["dgamma"] = terms["dbeta"] = float(np.sqrt(shape[0] * shape[1]))
    terms["dx"] = float(np.abs(gamma * inverse * dy).max())
    for name, value in expected.items():
        atol = tolerance * (np.abs(value).max() + terms[name])
        np.testing.assert_allclose(got[name], value, rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize("mean", [100.0, -1000.0, 30_000.0])
@pytest.mark.parametrize(
    ("shape", "groups"),
    [((6, 500, 8), 1), ((6, 500, 8), 4), ((6, 1, 3000), 1), ((60, 1, 72), 9)],
    ids=str,
)
def test_a_large_mean_does_not_drown_the_variance(
    shape: tuple[int, int, int], groups: int, mean: float
):
    arrays = data(shape, np.float32, mean)
    expected, got = twin(groups, *arrays), run(groups, *arrays)
    np.testing.assert_allclose(got["inverse_std"], expected["inverse_std"], rtol=1e-5)
    np.testing.assert_allclose(got["mean"], expected["mean"], rtol=2e-7)


@pytest.mark.parametrize(
    ("shape", "groups"), [((5, 64, 6), 2), ((5, 1, 64), 2), ((5, 1, 64), 8)], ids=str
)
def test_a_misleading_first_number_does_not_drown_the_variance(
    shape: tuple[int, int, int], groups: int
):
    x, gamma, beta, dy = data(shape, np.float32, 0.0)
    x[1, 0, 0] = 1000
    expected, got = twin(groups, x, gamma, beta, dy), run(groups, x, gamma, beta, dy)
    np.testing.assert_allclose(got["inverse_std"], expected["inverse_std"], rtol=1e-5)


@every_dtype
@pytest.mark.parametrize(
    ("shape", "groups"), [((5, 99, 6), 2), ((5, 1, 66), 1), ((5, 1, 72), 9)], ids=str
)
def test_equal_numbers_have_no_variance(shape: tuple[int, int, int], groups: int, dtype: DTypeLike):
    x = np.full(shape, 0.1, dtype)
    gamma, beta = np.ones(shape[2], dtype), np.arange(shape[2]).astype(dtype)
    got = run(groups, x, gamma, beta, np.ones_like(x))
    np.testing.assert_allclose(got["inverse_std"], EPS**-0.5, rtol=1e-6)
    # The mean may be off by a rounding, which dividing by sqrt(eps) makes 300 times larger.
    atol = 400 * 0.1 * np.finfo(dtype).eps
    np.testing.assert_allclose(got["y"], np.broadcast_to(beta, shape), rtol=0, atol=atol)


@pytest.mark.parametrize("shape", [(5, 30, 6), (5, 1, 24)], ids=str)
def test_a_sample_depends_on_no_other(shape: tuple[int, int, int]):
    arrays = data(shape, np.float32)
    expected = run(3, *arrays)
    x, gamma, beta, dy = arrays
    x[2], dy[2] = np.nan, np.nan
    got = run(3, x, gamma, beta, dy)
    for name in ("y", "dx"):
        for n in (0, 1, 3, 4):
            np.testing.assert_array_equal(got[name][n], expected[name][n])
        assert np.isnan(got[name][2]).all()


@pytest.mark.parametrize(
    ("shape", "groups"), [((9, 37, 6), 2), ((9, 1, 37), 1), ((9, 1, 36), 9)], ids=str
)
def test_results_may_replace_their_input(shape: tuple[int, int, int], groups: int):
    x, gamma, beta, dy = data(shape, np.float32)
    expected, workspace = run(groups, x, gamma, beta, dy), Workspace()
    mean, inverse_std = expected["mean"], expected["inverse_std"]
    dgamma, dbeta = np.empty((2, shape[2]), np.float32)
    group_norm.group_norm_backward(dy, x, gamma, mean, inverse_std, dy, dgamma, dbeta, workspace)
    group_norm.group_norm(x, gamma, beta, EPS, x, mean, inverse_std, workspace)
    np.testing.assert_array_equal(dy, expected["dx"])
    np.testing.assert_array_equal(x, expected["y"])


@pytest.mark.parametrize(
    ("shape", "groups"), [((3, 4, 6), 2), ((3, 4, 6), 1), ((3, 1, 6), 2), ((3, 1, 20), 5)], ids=str
)
def test_gradients_are_the_numerical_ones(shape: tuple[int, int, int], groups: int):
    x, gamma, beta, dy = data(shape, np.float64, 0.5)
    got = run(groups, x, gamma, beta, dy)
    check_gradient(
        lambda: run(groups, x, gamma, beta, dy)["y"],
        {"x": x, "gamma": gamma, "beta": beta},
        dy,
        {"x": got["dx"], "gamma": got["dgamma"], "beta": got["dbeta"]},
    )


@pytest.mark.parametrize(
    ("shape", "groups"), [((41, 196, 32), 4), ((2501, 1, 64), 2), ((2501, 1, 64), 8)], ids=str
)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_any_number_of_threads_gives_the_same_bits(
    shape: tuple[int, int, int], groups: int, threads: int
):
    arrays = data(shape, np.float32)
    assert not is_small(arrays[0].size, work=2)
    expected = run(groups, *arrays)
    before = jit.get_threads()
    jit.set_threads(threads)
    try:
        got = run(groups, *arrays)
    finally:
        jit.set_threads(before)
    for name, value in expected.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)
