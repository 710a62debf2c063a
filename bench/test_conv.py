"""Convolutions of the five systems and of ResNet-20, in all three directions."""

from collections.abc import Callable

import numpy as np
import pytest

from kernels.workspace import Workspace
from tests.cases import DENSENET_CONVS, RESNET_CONVS, SYSTEM_CONVS, ConvCase, backend_module

every_case = pytest.mark.parametrize(
    "case", [*SYSTEM_CONVS, *RESNET_CONVS, *DENSENET_CONVS], ids=str
)

Measure = Callable[..., None]
Numbers = Callable[[tuple[int, ...]], np.ndarray]


@every_case
def test_forward(measure: Measure, numbers: Numbers, backend: str, case: ConvCase):
    kernel, workspace = backend_module(backend).conv_forward, Workspace()
    x, weight, bias = map(numbers, (case.x_shape, case.weight_shape, case.bias_shape))
    y = np.empty(case.y_shape, np.float32)
    measure(
        f"{case}, forward",
        lambda: kernel(x, weight, bias, case.stride, case.padding, y, workspace),
        case.batch,
        case.operations,
    )


@every_case
def test_input_gradient(measure: Measure, numbers: Numbers, backend: str, case: ConvCase):
    kernel, workspace = backend_module(backend).conv_backward_input, Workspace()
    dy, weight = numbers(case.y_shape), numbers(case.weight_shape)
    dx = np.empty(case.x_shape, np.float32)
    measure(
        f"{case}, input gradient",
        lambda: kernel(dy, weight, case.stride, case.padding, dx, workspace),
        case.batch,
        case.operations,
    )


@every_case
def test_weight_gradient(measure: Measure, numbers: Numbers, backend: str, case: ConvCase):
    kernel, workspace = backend_module(backend).conv_backward_weight, Workspace()
    x, dy = numbers(case.x_shape), numbers(case.y_shape)
    dweight, dbias = (np.empty(s, np.float32) for s in (case.weight_shape, case.bias_shape))
    measure(
        f"{case}, weight gradient",
        lambda: kernel(x, dy, case.stride, case.padding, dweight, dbias, workspace),
        case.batch,
        case.operations,
    )
