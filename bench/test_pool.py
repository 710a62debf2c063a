"""Maximum and average pooling over the pooling layers of the five systems."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.cases import SYSTEM_POOLS, PoolCase, backend_module

every_case = pytest.mark.parametrize("case", SYSTEM_POOLS, ids=str)

Measure = Callable[..., None]
Numbers = Callable[[tuple[int, ...]], np.ndarray]


@every_case
def test_max_forward(measure: Measure, numbers: Numbers, backend: str, case: PoolCase):
    kernel, x = backend_module(backend).max_pool_forward, numbers(case.x_shape)
    y, index = np.empty(case.y_shape, np.float32), np.empty(case.y_shape, case.index_dtype)
    measure(
        f"{case}, maximum, forward",
        lambda: kernel(x, case.window, case.stride, case.padding, y, index),
        case.batch,
    )


@every_case
def test_max_backward(measure: Measure, numbers: Numbers, backend: str, case: PoolCase):
    kernel = backend_module(backend).max_pool_backward
    x, dy, y = numbers(case.x_shape), numbers(case.y_shape), np.empty(case.y_shape, np.float32)
    index, dx = np.empty(case.y_shape, case.index_dtype), np.empty_like(x)
    backend_module("im2col").max_pool_forward(x, case.window, case.stride, case.padding, y, index)
    measure(
        f"{case}, maximum, backward",
        lambda: kernel(dy, index, case.window, case.stride, case.padding, dx),
        case.batch,
    )


@every_case
def test_average_forward(measure: Measure, numbers: Numbers, backend: str, case: PoolCase):
    kernel, x = backend_module(backend).average_pool_forward, numbers(case.x_shape)
    y = np.empty(case.y_shape, np.float32)
    measure(
        f"{case}, average, forward",
        lambda: kernel(x, case.window, case.stride, case.padding, True, y),
        case.batch,
    )


@every_case
def test_average_backward(measure: Measure, numbers: Numbers, backend: str, case: PoolCase):
    kernel, dy = backend_module(backend).average_pool_backward, numbers(case.y_shape)
    dx = np.empty(case.x_shape, np.float32)
    measure(
        f"{case}, average, backward",
        lambda: kernel(dy, case.window, case.stride, case.padding, True, dx),
        case.batch,
    )
