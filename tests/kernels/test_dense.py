"""Dense layers: values to check by hand for every backend, and numerical gradients of `loop`."""

import numpy as np
import pytest

from kernels import loop
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
