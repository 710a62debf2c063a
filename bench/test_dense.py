"""The dense layers of the five systems, in all three directions."""

from collections.abc import Callable

import numpy as np
import pytest

from kernels.workspace import Workspace
from tests.cases import SYSTEM_DENSES, DenseCase, backend_module

every_case = pytest.mark.parametrize("case", SYSTEM_DENSES, ids=str)

Measure = Callable[..., None]
Numbers = Callable[[tuple[int, ...]], np.ndarray]


@every_case
def test_forward(measure: Measure, numbers: Numbers, backend: str, case: DenseCase):
    kernel, workspace = backend_module(backend).dense_forward, Workspace()
    x, weight = numbers(case.x_shape), numbers(case.weight_shape)
    bias, y = numbers(case.bias_shape), np.empty(case.y_shape, np.float32)
    measure(
        f"{case}, forward",
        lambda: kernel(x, weight, bias, y, workspace),
        case.batch,
        case.operations,
    )


@every_case
def test_input_gradient(measure: Measure, numbers: Numbers, backend: str, case: DenseCase):
    kernel, workspace = backend_module(backend).dense_backward_input, Workspace()
    dy, weight = numbers(case.y_shape), numbers(case.weight_shape)
    dx = np.empty(case.x_shape, np.float32)
    measure(
        f"{case}, input gradient",
        lambda: kernel(dy, weight, dx, workspace),
        case.batch,
        case.operations,
    )


@every_case
def test_weight_gradient(measure: Measure, numbers: Numbers, backend: str, case: DenseCase):
    kernel, workspace = backend_module(backend).dense_backward_weight, Workspace()
    x, dy = numbers(case.x_shape), numbers(case.y_shape)
    dweight, dbias = (np.empty(s, np.float32) for s in (case.weight_shape, case.bias_shape))
    measure(
        f"{case}, weight gradient",
        lambda: kernel(x, dy, dweight, dbias, workspace),
        case.batch,
        case.operations,
    )
