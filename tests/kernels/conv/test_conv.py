"""Convolution: values to check by hand for every backend, and numerical gradients of `loop`."""

import numpy as np
import pytest

from kernels import loop
from kernels.workspace import Workspace
from tests.cases import ConvCase, backend_module, conv
from tests.gradient_check import check_gradient

every_backend = pytest.mark.parametrize("backend", ["loop", "im2col", "numba"])

Pair = tuple[int, int]


def image(rows: list[list[float]]) -> np.ndarray:
    """One image of one channel, (1, height, width, 1) float32."""
    return np.array(rows, np.float32)[None, :, :, None]


def convolve(
    backend: str,
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    out_size: Pair,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
) -> np.ndarray:
    y = np.empty((x.shape[0], *out_size, weight.shape[0]), np.float32)
    module = backend_module(backend)
    module.conv_forward(x, weight, bias, stride, padding, y, Workspace(), dilation)
    return y


NO_BIAS = np.empty(0, np.float32)
# Digits in the decimal places show which pixel met which weight: 1, 2, 3 seen through 1, 10, 100
# give 321. (Convolution as mathematics defines it would flip the kernel and give 123.)
PLACES = np.array([1, 10, 100], np.float32).reshape(1, 1, 1, 3)


@every_backend
def test_each_window_is_a_weighted_sum(backend: str):
    x = image([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    diagonal = np.array([[1, 0], [0, 1]], np.float32).reshape(1, 1, 2, 2)
    y = convolve(backend, x, diagonal, np.array([100], np.float32), (2, 2))
    np.testing.assert_array_equal(y, image([[106, 108], [112, 114]]))


@every_backend
def test_padding_counts_as_zeros(backend: str):
    x, weight = image([[1] * 3] * 3), np.ones((1, 1, 3, 3), np.float32)
    y = convolve(backend, x, weight, NO_BIAS, (3, 3), padding=(1, 1))
    np.testing.assert_array_equal(y, image([[4, 6, 4], [6, 9, 6], [4, 6, 4]]))


@every_backend
def test_kernel_is_not_flipped_and_stride_skips(backend: str):
    x = image([[1, 2, 3, 4, 5]])
    y = convolve(backend, x, PLACES, NO_BIAS, (1, 2), stride=(1, 2))
    np.testing.assert_array_equal(y, image([[321, 543]]))


@every_backend
def test_end_padding_follows_from_the_output_size(backend: str):
    x = image([[1, 2, 3]])
    y = convolve(backend, x, PLACES, NO_BIAS, (1, 4), padding=(0, 1))
    np.testing.assert_array_equal(y, image([[210, 321, 32, 3]]))


@every_backend
def test_channels_are_summed_and_outputs_kept_apart(backend: str):
    x = np.array([2, 3], np.float32).reshape(1, 1, 1, 2)
    weight = np.array([[1, 10], [5, 7], [0, -1]], np.float32).reshape(3, 2, 1, 1)
    y = convolve(backend, x, weight, np.array([100, 200, 300], np.float32), (1, 1))
    np.testing.assert_array_equal(y.ravel(), [132, 231, 297])


@every_backend
def test_dilation_leaves_out_pixels(backend: str):
    x = image([[1, 2, 3, 4, 5, 6]])
    y = convolve(backend, x, PLACES, NO_BIAS, (1, 2), dilation=(1, 2))
    np.testing.assert_array_equal(y, image([[531, 642]]))


@every_backend
def test_groups_see_channels_of_their_own(backend: str):
    """Two groups of two channels, each with three filters; then four channels alone."""
    x = np.array([1, 2, 3, 4], np.float32).reshape(1, 1, 1, 4)
    weight = np.array([[1, 10], [1, 0], [0, 1]] * 2, np.float32).reshape(6, 2, 1, 1)
    y = convolve(backend, x, weight, NO_BIAS, (1, 1))
    np.testing.assert_array_equal(y.ravel(), [21, 1, 2, 43, 3, 4])
    weight = np.array([1, 10, 2, 20, 3, 30, 4, 40], np.float32).reshape(8, 1, 1, 1)
    y = convolve(backend, x, weight, np.arange(8, dtype=np.float32), (1, 1))
    np.testing.assert_array_equal(y.ravel(), [1, 11, 6, 43, 13, 95, 22, 167])


@every_backend
def test_gradients_by_hand(backend: str):
    """Two windows of three pixels that share the middle one of five."""
    module = backend_module(backend)
    x, dy = image([[1, 2, 3, 4, 5]]), image([[1, 2]])
    dx = np.empty_like(x)
    module.conv_backward_input(dy, PLACES, (1, 2), (0, 0), dx, Workspace())
    np.testing.assert_array_equal(dx, image([[1, 10, 100 + 2, 20, 200]]))
    dweight, dbias = np.empty_like(PLACES), np.empty(1, np.float32)
    module.conv_backward_weight(x, dy, (1, 2), (0, 0), dweight, dbias, Workspace())
    np.testing.assert_array_equal(dweight.ravel(), [1 + 2 * 3, 2 + 2 * 4, 3 + 2 * 5])
    np.testing.assert_array_equal(dbias, [3])


@every_backend
def test_pixels_that_no_window_covers_get_no_gradient(backend: str):
    weight, dy = np.ones((1, 1, 2, 2), np.float32), image([[1, 2]])
    dx = np.full((1, 3, 5, 1), np.nan, np.float32)
    backend_module(backend).conv_backward_input(dy, weight, (2, 2), (0, 0), dx, Workspace())
    np.testing.assert_array_equal(dx, image([[1, 1, 2, 2, 0], [1, 1, 2, 2, 0], [0] * 5]))


@pytest.mark.parametrize(
    "case",
    [
        conv("plain", 2, (4, 5), (2, 3), (3, 2)),
        conv("padded", 1, (3, 4), (2, 2), 3, padding=(1, 2)),
        conv("strided remainder", 2, (5, 6), (2, 2), 2, stride=(3, 2)),
        conv("only the end padded", 1, (3, 3), (3, 2), 3, stride=2, end_padding=(2, 1)),
        conv("1x1", 2, (2, 3), (3, 2), 1),
        conv("no bias", 2, (3, 3), (1, 2), 2, bias=False),
    ],
    ids=str,
)
def test_gradients_are_those_of_the_forward_pass(case: ConvCase):
    generator = np.random.default_rng(5)
    x, weight, bias, dy = (
        generator.standard_normal(shape)
        for shape in (case.x_shape, case.weight_shape, case.bias_shape, case.y_shape)
    )
    y, dx, dweight, dbias = (np.empty_like(array) for array in (dy, x, weight, bias))
    workspace = Workspace()

    def forward() -> np.ndarray:
        loop.conv_forward(x, weight, bias, case.stride, case.padding, y, workspace)
        return y

    loop.conv_backward_input(dy, weight, case.stride, case.padding, dx, workspace)
    loop.conv_backward_weight(x, dy, case.stride, case.padding, dweight, dbias, workspace)
    check_gradient(
        forward,
        {"x": x, "weight": weight, "bias": bias},
        dy,
        {"x": dx, "weight": dweight, "bias": dbias},
    )


def test_check_gradient_notices_a_wrong_gradient():
    x = np.array([1.0, 2.0])
    with pytest.raises(AssertionError, match="gradient by x"):
        check_gradient(lambda: x**2, {"x": x}, np.ones(2), {"x": 2.01 * x})
    np.testing.assert_array_equal(x, [1, 2])
