"""Dense layers: values to check by hand for every backend, and numerical gradients of `loop`."""

import numpy as np
import pytest

from kernels import compiled, dense, jit, loop
from kernels.workspace import Workspace
from tests.cases import DenseCase, backend_module
from tests.gradient_check import check_gradient

every_backend = pytest.mark.parametrize("backend", ["loop", "im2col", "numba"])

X = np.array([[1, 2], [0, -1]], np.float32)
WEIGHT = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
BIAS = np.array([10, 20, 30], np.float32)
DY = np.array([[1, 0, 2], [0, 3, 0]], np.float32)


@every_backend
def test_forward_by_hand(backend: str):
    y = np.empty((2, 3), np.float32)
    backend_module(backend).dense_forward(X, WEIGHT, BIAS, y, Workspace())
    np.testing.assert_array_equal(y, [[1 + 8 + 10, 2 + 10 + 20, 3 + 12 + 30], [6, 15, 24]])


@every_backend
def test_forward_without_bias(backend: str):
    y = np.empty((2, 3), np.float32)
    backend_module(backend).dense_forward(X, WEIGHT, np.empty(0, np.float32), y, Workspace())
    np.testing.assert_array_equal(y, [[9, 12, 15], [-4, -5, -6]])


@every_backend
def test_gradients_by_hand(backend: str):
    module, workspace = backend_module(backend), Workspace()
    dx, dweight, dbias = (np.full_like(array, np.nan) for array in (X, WEIGHT, BIAS))
    module.dense_backward_input(DY, WEIGHT, dx, workspace)
    module.dense_backward_weight(X, DY, dweight, dbias, workspace)
    np.testing.assert_array_equal(dx, [[1 + 6, 4 + 12], [6, 15]])
    np.testing.assert_array_equal(dweight, [[1, 0, 2], [2, -3, 4]])
    np.testing.assert_array_equal(dbias, [1, 3, 2])


@pytest.mark.parametrize(
    "case",
    [
        DenseCase("small", 3, 4, 5),
        DenseCase("one row", 1, 3, 2),
        DenseCase("no bias", 2, 3, 4, bias=False),
    ],
    ids=str,
)
def test_gradients_are_those_of_the_forward_pass(case: DenseCase):
    generator = np.random.default_rng(5)
    x = generator.standard_normal(case.x_shape)
    weight = generator.standard_normal(case.weight_shape)
    bias = generator.standard_normal(case.bias_shape)
    dy = generator.standard_normal(case.y_shape)
    y, dx, dweight, dbias = (np.empty_like(array) for array in (dy, x, weight, bias))
    workspace = Workspace()

    def forward() -> np.ndarray:
        loop.dense_forward(x, weight, bias, y, workspace)
        return y

    loop.dense_backward_input(dy, weight, dx, workspace)
    loop.dense_backward_weight(x, dy, dweight, dbias, workspace)
    check_gradient(
        forward,
        {"x": x, "weight": weight, "bias": bias},
        dy,
        {"x": dx, "weight": dweight, "bias": dbias},
    )


# --- summed up in parts of the depth --------------------------------------------------------------


def _deep_case(rows: int, inner: int, out: int, dtype: type) -> tuple[np.ndarray, ...]:
    """x, weight and bias, of whole numbers."""
    generator = np.random.default_rng(rows + inner + out)
    shapes = (rows, inner), (inner, out), (out,)
    x, weight, bias = (generator.integers(-9, 10, shape).astype(dtype) for shape in shapes)
    return x, weight, bias


def _forward(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    y = np.full((len(x), weight.shape[1]), np.nan, x.dtype)
    compiled.dense_forward(x, weight, bias, y, Workspace())
    return y


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("rows", "inner", "out"),
    [(1, 1031, 33), (7, 784, 128), (65, 4096, 10), (513, 517, 67), (1030, 1025, 32)],
)
@pytest.mark.parametrize("with_bias", [True, False])
def test_parts_of_the_depth_are_exact(
    rows: int, inner: int, out: int, dtype: type, with_bias: bool
) -> None:
    x, weight, bias = _deep_case(rows, inner, out, dtype)
    bias = bias if with_bias else bias[:0]
    assert dense.depth_parts(inner, out, x.dtype) > 1
    wanted = x.astype(np.int64) @ weight.astype(np.int64)
    wanted += bias.astype(np.int64) if with_bias else 0
    np.testing.assert_array_equal(_forward(x, weight, bias), wanted)


@pytest.mark.parametrize("inner", [2048, 1037])  # rows that are copied apart, and that are not
def test_parts_of_the_depth_have_the_bits_of_any_batch_and_threads(inner: int) -> None:
    generator = np.random.default_rng(3)
    x = generator.standard_normal((1030, inner)).astype(np.float32)
    weight = generator.standard_normal((inner, 65)).astype(np.float32)
    bias = generator.standard_normal(65).astype(np.float32)
    threads, whole = jit.get_threads(), _forward(x, weight, bias)
    try:
        for few in range(1, jit.max_threads() + 1):
            jit.set_threads(few)
            for rows in (slice(0, 1), slice(3, 70), slice(500, 1030)):
                np.testing.assert_array_equal(_forward(x[rows], weight, bias), whole[rows])
    finally:
        jit.set_threads(threads)


def test_few_weights_and_many_columns_are_summed_up_at_once() -> None:
    for inner, out in ((128, 10), (200, 120), (512, 512), (1024, 1000)):
        assert dense.depth_parts(inner, out, np.dtype(np.float32)) == 1
