"""Both gradients of a convolution at once."""

import numpy as np
import pytest

from kernels import conv
from kernels.conv.backward import run_both_gradients, suits
from kernels.conv.gradient_source import GradientSource
from kernels.conv.normed import nothing_summed
from kernels.workspace import Workspace


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("images", [1, 5, 37])
@pytest.mark.parametrize(
    ("channels", "filters", "kernel", "stride", "padding", "dilation"),
    [
        (3, 3, (3, 3), (1, 1), (1, 1), (1, 1)),
        (17, 17, (3, 3), (2, 2), (1, 1), (1, 1)),
        (32, 32, (5, 2), (1, 2), (2, 0), (2, 1)),
        (16, 33, (1, 1), (1, 1), (0, 0), (1, 1)),
        (9, 4, (1, 1), (1, 1), (0, 0), (1, 1)),
    ],
)
def test_they_are_those_of_one_by_one(
    channels, filters, kernel, stride, padding, dilation, images, dtype
):
    rng = np.random.default_rng(0)
    height, width = 11, 8
    size = [
        (edge + 2 * before - gap * (taps - 1) - 1) // step + 1
        for edge, before, gap, taps, step in zip(
            (height, width), padding, dilation, kernel, stride, strict=True
        )
    ]
    depth = channels if kernel == (1, 1) else 1
    x = rng.standard_normal((images, height, width, channels)).astype(dtype)
    dy = rng.standard_normal((images, *size, filters)).astype(dtype)
    weight = rng.standard_normal((filters, depth, *kernel)).astype(dtype)
    geometry, workspace = (stride, padding, dilation), Workspace(keep=False)
    assert suits(weight.shape, stride, padding, channels)
    for has_bias in (True, False):
        expected = (
            np.full_like(weight, 7),
            np.full(filters * has_bias, 7, dtype),
            np.full_like(x, 7),
        )
        conv.conv_backward_weight(x, dy, stride, padding, *expected[:2], workspace, dilation)
        conv.conv_backward_input(dy, weight, stride, padding, expected[2], workspace, dilation)
        for beside_norm in (False, True):  # another kernel
            found = tuple(np.full_like(each, 8) for each in expected)
            source = GradientSource(dy, beside_norm=beside_norm)
            run_both_gradients(
                x, source, weight, geometry, *found, workspace,
                nothing_summed(dy.dtype, workspace) if beside_norm else None,
            )  # fmt: skip
            for ours, theirs in zip(found, expected, strict=True):
                np.testing.assert_array_equal(ours, theirs)


def test_large_weights_are_for_one_by_one():
    """Their sums are fewer than there are chunks here."""
    assert suits((256, 512, 1, 1), (1, 1), (0, 0), 512)
    assert not suits((512, 512, 1, 1), (1, 1), (0, 0), 512)
    assert not suits((8, 512, 1, 1), (1, 1), (1, 1), 512)
    assert not suits((512, 16, 1, 1), (1, 1), (0, 0), 512)
