"""The input gradient window by window, also where `suits` would choose another way."""

import numpy as np
import pytest

from kernels import loop
from kernels.conv import windows
from kernels.conv.gradient_source import GradientSource
from kernels.tile import prepare
from kernels.workspace import Workspace
from tests.cases import ConvCase, conv

CASES = [
    conv("tutorial", 2, 14, (6, 16), 5),
    conv("one number", 1, 1, (1, 1), 1),
    conv("more taps than a panel", 2, (9, 7), (7, 3), (5, 4), padding=(2, 1)),
    conv("windows apart", 1, (11, 13), (3, 5), (2, 3), stride=(3, 5), padding=(1, 2)),
    conv("only the end padded", 2, (4, 5), (2, 4), 3, end_padding=(2, 2)),
    conv("padding as wide as the filter", 1, (3, 4), (2, 2), 3, padding=2),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_whole_numbers_give_what_the_loops_give(case: ConvCase):
    rng = np.random.default_rng(3)
    dy, weight = (
        rng.integers(-9, 10, shape).astype(np.float32)
        for shape in (case.y_shape, case.weight_shape)
    )
    prepare(dy.dtype)
    for bias in (loop.NO_BIAS, rng.integers(-9, 10, case.in_channels)):
        bias = bias.astype(dy.dtype)
        expected, found = (np.full(case.x_shape, np.nan, np.float32) for _ in range(2))
        geometry, workspace = (case.stride, case.padding), Workspace()
        loop.conv_backward_input(dy, weight, *geometry, expected, workspace, bias=bias)
        windows.input_gradient(
            GradientSource(dy), weight, bias, *geometry, dy.shape, found, workspace
        )
        np.testing.assert_array_equal(found, expected)


def suits(channels: int, filters: int, kernel: int, size: int) -> bool:
    out = size - kernel + 1
    return windows.suits(
        (8, out, out, filters),
        (filters, channels, kernel, kernel),
        (8, size, size, channels),
        (1, 1),
        np.dtype(np.float32),
    )


def test_few_channels_and_large_filters_suit_it():
    assert suits(channels=6, filters=16, kernel=5, size=14)
    assert not suits(channels=64, filters=64, kernel=3, size=14)
    assert not suits(channels=64, filters=64, kernel=1, size=14)
