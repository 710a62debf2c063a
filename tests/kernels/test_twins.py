"""Every backend against the specification in `kernels.loop`, on every case: no difference at all.

The inputs are small whole numbers, whose sums are exact in float32 in whatever order they are
added. Results start as NaN and scratch memory too, so that a place left unwritten shows.
"""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import DTypeLike

from kernels import loop
from kernels.workspace import Workspace
from tests import cases
from tests.cases import ConvCase, DenseCase, PoolCase, backend_module

every_backend = pytest.mark.parametrize("backend", ["im2col", "numba"])
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f4", "f8"])

CONVS = [*cases.ODD_CONVS, *cases.random_convs(15, seed=1)]
POOLS = [*cases.ODD_POOLS, *cases.random_pools(15, seed=2)]
# The networks' own layers, with three images instead of a whole batch.
SYSTEM_CONVS = [replace(case, batch=3) for case in cases.SYSTEM_CONVS]
SYSTEM_POOLS = [replace(case, batch=3) for case in cases.SYSTEM_POOLS]


class DirtyWorkspace(Workspace):
    """Hands out scratch full of NaN, as if the worst had been in it before."""

    def array(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: DTypeLike = np.float32,
        zeroed: bool = False,
    ) -> np.ndarray:
        array = super().array(name, shape, dtype, zeroed)
        if not zeroed and array.dtype.kind == "f":
            array.fill(np.nan)
        return array


def whole_numbers(shape: tuple[int, ...], dtype: DTypeLike, seed: int, step: int = 1) -> np.ndarray:
    """Random multiples of `step` from -4 to 4 times it."""
    return step * np.random.default_rng(seed).integers(-4, 5, shape).astype(dtype)


def unwritten(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    return np.full(shape, np.nan, dtype)


@every_backend
@every_dtype
@pytest.mark.parametrize("case", CONVS, ids=str)
def test_convolution(backend: str, case: ConvCase, dtype: DTypeLike):
    check_convolution(backend, case, dtype)


@every_backend
@pytest.mark.parametrize("case", SYSTEM_CONVS, ids=str)
def test_convolution_of_the_networks(backend: str, case: ConvCase):
    check_convolution(backend, case, np.float32)


def check_convolution(backend: str, case: ConvCase, dtype: DTypeLike) -> None:
    x = whole_numbers(case.x_shape, dtype, 1)
    weight = whole_numbers(case.weight_shape, dtype, 2)
    bias = whole_numbers(case.bias_shape, dtype, 3)
    dy = whole_numbers(case.y_shape, dtype, 4)
    results = []
    for module in (loop, backend_module(backend)):
        workspace = DirtyWorkspace()
        y = unwritten(case.y_shape, dtype)
        module.conv_forward(x, weight, bias, case.stride, case.padding, y, workspace)
        dx = unwritten(case.x_shape, dtype)
        module.conv_backward_input(dy, weight, case.stride, case.padding, dx, workspace)
        dweight, dbias = unwritten(case.weight_shape, dtype), unwritten(case.bias_shape, dtype)
        module.conv_backward_weight(x, dy, case.stride, case.padding, dweight, dbias, workspace)
        results.append({"y": y, "dx": dx, "dweight": dweight, "dbias": dbias})
    check_equal(*results)


@every_backend
@every_dtype
@pytest.mark.parametrize("case", cases.ODD_DENSES, ids=str)
def test_dense(backend: str, case: DenseCase, dtype: DTypeLike):
    x = whole_numbers(case.x_shape, dtype, 1)
    weight = whole_numbers(case.weight_shape, dtype, 2)
    bias = whole_numbers(case.bias_shape, dtype, 3)
    dy = whole_numbers(case.y_shape, dtype, 4)
    results = []
    for module in (loop, backend_module(backend)):
        workspace = DirtyWorkspace()
        y = unwritten(dy.shape, dtype)
        module.dense_forward(x, weight, bias, y, workspace)
        dx = unwritten(x.shape, dtype)
        module.dense_backward_input(dy, weight, dx, workspace)
        dweight, dbias = unwritten(weight.shape, dtype), unwritten(bias.shape, dtype)
        module.dense_backward_weight(x, dy, dweight, dbias, workspace)
        results.append({"y": y, "dx": dx, "dweight": dweight, "dbias": dbias})
    check_equal(*results)


@every_backend
@every_dtype
@pytest.mark.parametrize("case", POOLS, ids=str)
def test_max_pool(backend: str, case: PoolCase, dtype: DTypeLike):
    check_max_pool(backend, case, dtype)


@every_backend
@pytest.mark.parametrize("case", SYSTEM_POOLS, ids=str)
def test_max_pool_of_the_networks(backend: str, case: PoolCase):
    check_max_pool(backend, case, np.float32)


def check_max_pool(backend: str, case: PoolCase, dtype: DTypeLike) -> None:
    # With nine different values, most windows have ties.
    x = whole_numbers(case.x_shape, dtype, 1)
    dy = whole_numbers(case.y_shape, dtype, 2)
    results = []
    for module in (loop, backend_module(backend)):
        y, dx = unwritten(case.y_shape, dtype), unwritten(case.x_shape, dtype)
        index = np.full(case.y_shape, 99, case.index_dtype)
        module.max_pool_forward(x, case.window, case.stride, case.padding, y, index)
        module.max_pool_backward(dy, index, case.window, case.stride, case.padding, dx)
        results.append({"y": y, "index": index, "dx": dx})
    check_equal(*results)


@every_backend
@every_dtype
@pytest.mark.parametrize("count_include_pad", [True, False], ids=["with pad", "without pad"])
@pytest.mark.parametrize("case", POOLS, ids=str)
def test_average_pool(backend: str, case: PoolCase, dtype: DTypeLike, count_include_pad: bool):
    check_average_pool(backend, case, dtype, count_include_pad)


@every_backend
@pytest.mark.parametrize("case", SYSTEM_POOLS, ids=str)
def test_average_pool_of_the_networks(backend: str, case: PoolCase):
    check_average_pool(backend, case, np.float32, count_include_pad=True)


def check_average_pool(
    backend: str, case: PoolCase, dtype: DTypeLike, count_include_pad: bool
) -> None:
    # Gradients that every divisor divides, so that the shares are whole numbers too.
    divisors = [
        rows * columns
        for rows in range(1, case.window[0] + 1)
        for columns in range(1, case.window[1] + 1)
    ]
    whole = case.window[0] * case.window[1]
    step = whole if count_include_pad or whole > 64 else int(np.lcm.reduce(divisors))
    x = whole_numbers(case.x_shape, dtype, 1)
    dy = whole_numbers(case.y_shape, dtype, 2, step)
    window, stride, padding = case.window, case.stride, case.padding
    results = []
    for module in (loop, backend_module(backend)):
        y, dx = unwritten(case.y_shape, dtype), unwritten(case.x_shape, dtype)
        module.average_pool_forward(x, window, stride, padding, count_include_pad, y)
        module.average_pool_backward(dy, window, stride, padding, count_include_pad, dx)
        results.append({"y": y, "dx": dx})
    check_equal(*results)


def check_equal(expected: dict[str, np.ndarray], got: dict[str, np.ndarray]) -> None:
    for name, value in expected.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)
        assert np.isfinite(got[name]).all(), name


@every_backend
def test_large_batches_are_cut_into_slices(backend: str, monkeypatch: pytest.MonkeyPatch):
    """A batch that `im2col` cuts in slices, with a last one that is not full, gives the same."""
    case = cases.conv("slices", 5, (6, 7), (3, 4), 3, padding=1)
    if backend == "im2col":
        image = 6 * 7 * 27 * 4
        monkeypatch.setattr("kernels.im2col.COLUMN_BYTES", 2 * image)
        monkeypatch.setattr("kernels.im2col.POOL_BYTES", 300)
    check_convolution(backend, case, np.float32)
    check_max_pool(backend, cases.pool("slices", 5, 6, 4, 2), np.float32)
    check_average_pool(backend, cases.pool("slices", 5, 6, 4, 2), np.float32, True)


@every_backend
def test_one_workspace_serves_layers_of_every_size(backend: str):
    """Scratch left over from a larger layer does not leak into the next one."""
    module, workspace = backend_module(backend), Workspace(keep=True)
    for case in cases.ODD_CONVS:
        x = whole_numbers(case.x_shape, np.float32, 1)
        weight = whole_numbers(case.weight_shape, np.float32, 2)
        bias = whole_numbers(case.bias_shape, np.float32, 3)
        expected, got = unwritten(case.y_shape, np.float32), unwritten(case.y_shape, np.float32)
        loop.conv_forward(x, weight, bias, case.stride, case.padding, expected, workspace)
        module.conv_forward(x, weight, bias, case.stride, case.padding, got, workspace)
        np.testing.assert_array_equal(got, expected, err_msg=str(case))
