"""Pooling: values to check by hand and edge cases for every backend, gradients of `loop`."""

import numpy as np
import pytest

from kernels import loop
from tests.cases import PoolCase, backend_module, pool
from tests.gradient_check import check_gradient

every_backend = pytest.mark.parametrize("backend", ["loop", "im2col", "numba"])

Pair = tuple[int, int]


def image(rows: list[list[float]]) -> np.ndarray:
    """One image of one channel, (1, height, width, 1) float32."""
    return np.array(rows, np.float32)[None, :, :, None]


def max_pool(
    backend: str,
    x: np.ndarray,
    out_size: Pair,
    window: Pair = (2, 2),
    stride: Pair = (2, 2),
    padding: Pair = (0, 0),
    dy: np.ndarray | float = 1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(y, index, dx), for an upstream gradient of ones unless told."""
    module = backend_module(backend)
    y = np.empty((x.shape[0], *out_size, x.shape[3]), x.dtype)
    index, dx = np.empty(y.shape, np.uint8), np.empty_like(x)
    module.max_pool_forward(x, window, stride, padding, y, index)
    upstream = np.ascontiguousarray(np.broadcast_to(dy, y.shape), x.dtype)
    module.max_pool_backward(upstream, index, window, stride, padding, dx)
    return y, index, dx


@every_backend
def test_maximum_by_hand(backend: str):
    x = image([[1, 5, 2, 0], [3, 4, 7, 1], [9, 6, 8, 8], [2, 9, 1, 3]])
    y, index, dx = max_pool(backend, x, (2, 2), dy=image([[10, 20], [30, 40]]))
    np.testing.assert_array_equal(y, image([[5, 7], [9, 8]]))
    np.testing.assert_array_equal(index, image([[1, 2], [0, 0]]))
    expected = image([[0, 10, 0, 0], [0, 0, 20, 0], [30, 0, 40, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(dx, expected)


@every_backend
def test_a_tie_goes_to_the_first_maximum_only(backend: str):
    y, index, dx = max_pool(backend, image([[0, 0, 1, 2], [0, 0, 2, 2]]), (1, 2))
    np.testing.assert_array_equal(y, image([[0, 2]]))
    np.testing.assert_array_equal(index, image([[0, 1]]))
    np.testing.assert_array_equal(dx, image([[1, 0, 0, 1], [0, 0, 0, 0]]))


@every_backend
def test_gradients_of_overlapping_windows_add_up(backend: str):
    """The middle wins all four windows that hold it."""
    x = image([[0, 1, 0], [1, 9, 1], [0, 1, 0]])
    dy = image([[1, 2], [3, 4]])
    y, index, dx = max_pool(backend, x, (2, 2), stride=(1, 1), dy=dy)
    np.testing.assert_array_equal(y, image([[9, 9], [9, 9]]))
    np.testing.assert_array_equal(index, image([[3, 2], [1, 0]]))
    np.testing.assert_array_equal(dx, image([[0, 0, 0], [0, 10, 0], [0, 0, 0]]))


@every_backend
@pytest.mark.parametrize("value", [-1.0, -np.inf])
@pytest.mark.parametrize("channels", [1, 8, 16, 19])
def test_padding_never_wins(backend: str, value: float, channels: int):
    x = np.full((1, 2, 2, channels), value, np.float32)
    y, index, dx = max_pool(backend, x, (2, 2), padding=(1, 1))
    np.testing.assert_array_equal(y, x)
    # Each window holds one pixel of the image, in its corner towards the middle.
    expected = np.broadcast_to(image([[3, 2], [1, 0]]), index.shape)
    np.testing.assert_array_equal(index, expected)
    np.testing.assert_array_equal(dx, np.ones_like(x))


@every_backend
@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("channels", [1, 8, 16, 19])
def test_nan_is_passed_on_and_gets_the_gradient(backend: str, place: int, channels: int):
    x = np.random.default_rng(place).standard_normal((1, 4, 6, channels)).astype(np.float32)
    x[0, 2 + place // 2, 2 + place % 2, channels // 2] = np.nan
    y, index, dx = max_pool(backend, x, (2, 3))
    np.testing.assert_array_equal(np.argwhere(np.isnan(y)), [[0, 1, 1, channels // 2]])
    assert index[0, 1, 1, channels // 2] == place
    assert dx[0, 2 + place // 2, 2 + place % 2, channels // 2] == 1
    assert dx.sum() == y.size


@every_backend
def test_an_infinite_gradient_stays_where_it_is(backend: str):
    """Losers get 0, not 0 * infinity."""
    _, _, dx = max_pool(backend, image([[1, 2], [3, 4]]), (1, 1), dy=np.inf)
    np.testing.assert_array_equal(dx, image([[0, 0], [0, np.inf]]))


@every_backend
def test_large_windows_have_wide_indices(backend: str):
    x = np.zeros((1, 20, 20, 3), np.float32)
    x[0, 19, 18] = 1
    y, index, dx = np.empty((1, 1, 1, 3), np.float32), np.empty((1, 1, 1, 3), np.int32), x + 5
    module = backend_module(backend)
    module.max_pool_forward(x, (20, 20), (20, 20), (0, 0), y, index)
    module.max_pool_backward(y, index, (20, 20), (20, 20), (0, 0), dx)
    np.testing.assert_array_equal(index.ravel(), [398] * 3)
    np.testing.assert_array_equal(dx, x)


def average_pool(
    backend: str,
    x: np.ndarray,
    dy: np.ndarray,
    window: Pair = (2, 2),
    stride: Pair = (2, 2),
    padding: Pair = (0, 0),
    count_include_pad: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """(y, dx) for an upstream gradient dy."""
    module, y, dx = backend_module(backend), np.empty_like(dy), np.empty_like(x)
    module.average_pool_forward(x, window, stride, padding, count_include_pad, y)
    module.average_pool_backward(dy, window, stride, padding, count_include_pad, dx)
    return y, dx


@every_backend
def test_average_by_hand(backend: str):
    x = image([[1, 2, 3, 4], [5, 6, 7, 8]])
    y, dx = average_pool(backend, x, image([[4, 8]]))
    np.testing.assert_array_equal(y, image([[3.5, 5.5]]))
    np.testing.assert_array_equal(dx, image([[1, 1, 2, 2], [1, 1, 2, 2]]))


@every_backend
@pytest.mark.parametrize(
    ("count_include_pad", "y", "dx"),
    [
        (True, [[1, 2], [3, 4]], [[4, 4], [4, 4]]),
        (False, [[4, 8], [12, 16]], [[16, 16], [16, 16]]),
    ],
)
def test_average_with_and_without_the_padding(
    backend: str, count_include_pad: bool, y: list[list[float]], dx: list[list[float]]
):
    """Each window holds one pixel and three zeros: a fourth of the pixel, or all of it."""
    got = average_pool(
        backend,
        image([[4, 8], [12, 16]]),
        image([[16, 16], [16, 16]]),
        padding=(1, 1),
        count_include_pad=count_include_pad,
    )
    np.testing.assert_array_equal(got[0], image(y))
    np.testing.assert_array_equal(got[1], image(dx))


GRADIENT_CASES = [
    pool("plain", 2, (4, 6), 2, 2),
    pool("remainder", 1, (5, 7), 2, (2, 3)),
    pool("overlapping", 2, (5, 6), 2, 3, stride=(1, 2)),
    pool("padded", 1, (5, 4), 3, 3, stride=2, padding=1),
    pool("only the end padded", 1, (3, 5), 2, 2, end_padding=(1, 1)),
]


@pytest.mark.parametrize("case", GRADIENT_CASES, ids=str)
def test_max_pool_gradient_is_that_of_the_forward_pass(case: PoolCase):
    generator = np.random.default_rng(5)
    # All different by far more than the step of the numerical gradient, half of them negative.
    size = int(np.prod(case.x_shape))
    x = (generator.permutation(size) - size / 2.0).reshape(case.x_shape)
    dy = generator.standard_normal(case.y_shape)
    y, index, dx = np.empty_like(dy), np.empty(dy.shape, np.uint8), np.empty_like(x)

    def forward() -> np.ndarray:
        loop.max_pool_forward(x, case.window, case.stride, case.padding, y, index)
        return y

    forward()
    loop.max_pool_backward(dy, index, case.window, case.stride, case.padding, dx)
    check_gradient(forward, {"x": x}, dy, {"x": dx})


@pytest.mark.parametrize("count_include_pad", [True, False], ids=["with pad", "without pad"])
@pytest.mark.parametrize("case", GRADIENT_CASES, ids=str)
def test_average_pool_gradient_is_that_of_the_forward_pass(case: PoolCase, count_include_pad: bool):
    generator = np.random.default_rng(5)
    x, dy = generator.standard_normal(case.x_shape), generator.standard_normal(case.y_shape)
    y, dx = np.empty_like(dy), np.empty_like(x)
    window, stride, padding = case.window, case.stride, case.padding

    def forward() -> np.ndarray:
        loop.average_pool_forward(x, window, stride, padding, count_include_pad, y)
        return y

    loop.average_pool_backward(dy, window, stride, padding, count_include_pad, dx)
    check_gradient(forward, {"x": x}, dy, {"x": dx})
