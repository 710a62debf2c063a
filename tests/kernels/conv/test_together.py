"""Several images convolved at once give what each gives alone, in all three directions."""

import numpy as np
import pytest

from kernels import compiled, im2col, jit
from kernels.conv.arrangement import images_at_once, rows_of_images
from kernels.workspace import Workspace

CASES = [
    # name, batch, (height, width), channels, filters, kernel, stride, padding, dilation, groups
    ("few columns", 37, (5, 4), 16, 33, (3, 3), (2, 2), (1, 1), (1, 1), 1),
    ("one column", 30, (5, 5), 16, 120, (5, 5), (1, 1), (0, 0), (1, 1), 1),
    ("large filters", 29, (3, 3), 150, 140, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    ("large, stride 2", 23, (8, 7), 130, 260, (3, 3), (2, 2), (1, 1), (1, 1), 1),
    ("large, 5 x 5", 21, (6, 7), 100, 120, (5, 5), (1, 1), (2, 2), (1, 1), 1),
    ("single pixels", 19, (2, 2), 700, 650, (1, 1), (1, 1), (0, 0), (1, 1), 1),
    ("pixels, stride 2", 19, (4, 4), 520, 640, (1, 1), (2, 2), (0, 0), (1, 1), 1),
    ("groups", 25, (7, 6), 24, 36, (3, 3), (2, 2), (1, 1), (1, 1), 3),
    ("large groups", 17, (6, 6), 256, 512, (3, 3), (2, 2), (1, 1), (1, 1), 2),
    ("gaps", 25, (7, 6), 12, 20, (3, 2), (1, 2), (2, 1), (2, 3), 1),
    ("folded phases", 18, (6, 6), 48, 8, (4, 4), (2, 2), (1, 1), (1, 1), 1),
    ("half vectors", 17, (4, 6), 33, 5, (3, 3), (2, 1), (1, 1), (1, 1), 1),
]


def results(module, x, weight, dy, geometry):
    """y, dx, dweight, dbias of a backend; the bias is 0, 1, 2, ..."""
    stride, padding, dilation = geometry
    bias = np.arange(len(weight), dtype=x.dtype)
    y, dx, dweight, dbias = (np.full_like(array, np.nan) for array in (dy, x, weight, bias))
    workspace = Workspace()
    module.conv_forward(x, weight, bias, stride, padding, y, workspace, dilation)
    module.conv_backward_input(dy, weight, stride, padding, dx, workspace, dilation)
    module.conv_backward_weight(x, dy, stride, padding, dweight, dbias, workspace, dilation)
    return {"y": y, "dx": dx, "dweight": dweight, "dbias": dbias}


def operands(draw, batch, size, channels, filters, kernel, stride, padding, dilation, groups):
    out = tuple(
        (size[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1
        for i in (0, 1)
    )
    shapes = (
        (batch, *size, channels),
        (filters, channels // groups, *kernel),
        (batch, *out, filters),
    )
    return *map(draw, shapes), (stride, padding, dilation)


@pytest.mark.parametrize("case", [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_whole_numbers_are_exact(case):
    """With the least number of threads the most images are taken at once."""
    rng = np.random.default_rng(0)

    def draw(shape):
        return rng.integers(-4, 5, shape).astype(np.float32)

    arguments = operands(draw, *case)
    theirs = results(im2col, *arguments)
    before = jit.get_threads()
    try:
        for threads in {1, jit.max_threads()}:
            jit.set_threads(threads)
            for name, array in results(compiled, *arguments).items():
                np.testing.assert_array_equal(array, theirs[name], err_msg=name)
    finally:
        jit.set_threads(before)


@pytest.mark.parametrize("case", [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_bits_do_not_depend_on_the_number_of_threads(case):
    """With which the number of images at once changes."""
    rng = np.random.default_rng(1)

    def draw(shape):
        return rng.standard_normal(shape, np.float32)

    arguments = operands(draw, *case)
    before, found = jit.get_threads(), []
    try:
        for threads in range(1, jit.max_threads() + 1):
            jit.set_threads(threads)
            found.append(results(compiled, *arguments))
    finally:
        jit.set_threads(before)
    for each in found[1:]:
        for name, array in each.items():
            np.testing.assert_array_equal(array, found[0][name], err_msg=name)


def test_an_image_has_the_bits_that_it_has_alone():
    rng = np.random.default_rng(2)

    def draw(shape):
        return rng.standard_normal(shape, np.float32)

    x, weight, dy, geometry = operands(draw, *CASES[3][1:])
    together = results(compiled, x, weight, dy, geometry)
    alone = results(compiled, x[:1], weight, dy[:1], geometry)
    np.testing.assert_array_equal(together["y"][:1], alone["y"])
    np.testing.assert_array_equal(together["dx"][:1], alone["dx"])


def test_how_many_images_are_taken():
    many = 1 << 21
    assert images_at_once(32, 100_000) == 8  # four times 8, not three times 10 and 2
    assert images_at_once(5, 1 << 30) == 1
    assert images_at_once(0, 100) == 1
    assert rows_of_images(32, 10_000, 1000, columns=14, taps=9) == 1
    assert rows_of_images(32, 10_000, many, columns=14, taps=9) == 32
    assert rows_of_images(2, 10_000, many, columns=14, taps=9) == 1
    assert rows_of_images(32, 10_000, 1000, columns=1, taps=9) == 32
