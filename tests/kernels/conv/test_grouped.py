"""Convolution in small groups gives what the loops give, by the way that is made for it."""

import numpy as np
import pytest

from kernels import compiled, im2col, jit
from kernels.conv import grouped
from kernels.simd import lanes
from kernels.workspace import Workspace

# group, batch, size, channels, kernel, stride, (top, left), (bottom, right), rows from tap to tap
CASES = {
    "of four": (4, 3, (16, 16), 32, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "of two, a part of a vector": (2, 3, (9, 12), 26, (3, 3), (1, 1), (0, 2), (2, 1), 1),
    "of eight": (8, 2, (12, 19), 40, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "several strips": (4, 2, (40, 44), 64, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "rows in parts": (4, 2, (7, 75), 20, (3, 5), (1, 1), (1, 2), (1, 2), 1),
    "strips and parts, a stride": (2, 2, (33, 70), 64, (3, 3), (1, 2), (1, 0), (1, 1), 1),
    "stride and dilation": (4, 2, (21, 17), 12, (5, 4), (2, 2), (2, 1), (3, 2), 2),
    "single pixels": (4, 17, (8, 8), 8, (1, 1), (1, 1), (0, 0), (0, 0), 1),
    "filters beside the image": (2, 1, (3, 9), 6, (2, 7), (1, 1), (4, 3), (5, 3), 1),
}  # fmt: skip


def operands(draw, group, batch, size, channels, kernel, stride, before, after, gap):
    """x, weight, bias, dy; and the geometry."""
    rows = size[0] + before[0] + after[0] - (kernel[0] - 1) * gap
    columns = size[1] + before[1] + after[1] - (kernel[1] - 1)
    y_size = (rows - 1) // stride[0] + 1, (columns - 1) // stride[1] + 1
    shapes = (
        (batch, *size, channels), (channels, group, *kernel), (channels,),
        (batch, *y_size, channels),
    )  # fmt: skip
    return [draw(shape) for shape in shapes], (stride, before, (gap, 1))


def results(module, x, weight, bias, dy, geometry):
    """y, dx, dweight, dbias of a backend."""
    y, dx, dweight, dbias = (np.full_like(array, np.nan) for array in (dy, x, weight, bias))
    workspace, (stride, padding, dilation) = Workspace(), geometry
    module.conv_forward(x, weight, bias, stride, padding, y, workspace, dilation)
    module.conv_backward_input(dy, weight, stride, padding, dx, workspace, dilation)
    module.conv_backward_weight(x, dy, stride, padding, dweight, dbias, workspace, dilation)
    return {"y": y, "dx": dx, "dweight": dweight, "dbias": dbias}


def is_ours(x, weight, dy, geometry):
    """Whether groups are small enough for the vectors of this processor."""
    ours = grouped.suits(x.shape, weight.shape, geometry, dy.shape, x.dtype)
    assert ours == (weight.shape[1] < lanes(x.dtype))
    return ours


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_whole_numbers_are_exact(case, dtype):
    rng = np.random.default_rng(0)
    (x, weight, bias, dy), geometry = operands(
        lambda shape: rng.integers(-4, 5, shape).astype(dtype), *case
    )
    is_ours(x, weight, dy, geometry)
    theirs = results(im2col, x, weight, bias, dy, geometry)
    for name, array in results(compiled, x, weight, bias, dy, geometry).items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_any_number_of_threads_gives_the_same_bits(case):
    rng = np.random.default_rng(1)
    arrays, geometry = operands(lambda shape: rng.normal(size=shape).astype("f4"), *case)
    threads = jit.get_threads()
    try:
        jit.set_threads(1)
        alone = results(compiled, *arrays, geometry)
    finally:
        jit.set_threads(threads)
    for name, array in results(compiled, *arrays, geometry).items():
        np.testing.assert_array_equal(array, alone[name], err_msg=name)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_gradients_are_those_of_the_formula(case):
    """Of sum(y * dy), which is linear in each argument: exact but for rounding."""
    rng = np.random.default_rng(2)
    (x, weight, bias, dy), geometry = operands(lambda shape: rng.normal(size=shape), *case)
    found = results(compiled, x, weight, bias, dy, geometry)
    for name, array in (("dx", x), ("dweight", weight), ("dbias", bias)):
        step = rng.normal(size=array.shape)
        moved = [each + step if each is array else each for each in (x, weight, bias)]
        change = results(compiled, *moved, dy, geometry)["y"] - found["y"]
        np.testing.assert_allclose((change * dy).sum(), (found[name] * step).sum(), rtol=1e-9)


def test_few_channels_for_many_filters_are_no_small_groups():
    image, weight = (2, 16, 16, 8), (16, 8, 3, 3)
    geometry, kind = ((1, 1), (1, 1), (1, 1)), np.dtype("f4")
    assert not grouped.suits(image, weight, geometry, (2, 16, 16, 16), kind)
    assert not grouped.suits_back(weight, geometry, image, kind)


def test_groups_do_not_see_each_other():
    rng = np.random.default_rng(3)
    (x, weight, bias, dy), geometry = operands(
        lambda shape: rng.normal(size=shape).astype("f4"), *CASES["of two, a part of a vector"]
    )
    assert is_ours(x, weight, dy, geometry)  # on every processor
    x[:, 5, 5, 9] = dy[:, 4, 7, 20] = np.nan
    found = results(compiled, x, weight, bias, dy, geometry)
    for name, channels in (("y", [8, 9]), ("dx", [20, 21])):
        bad = np.isnan(found[name]).any(axis=(0, 1, 2)).nonzero()[0]
        assert bad.tolist() == channels
    bad = np.isnan(found["dweight"])
    assert bad[8:10, 1].all() and bad[20].all() and bad.sum() == 9 * (2 + 2)
