"""Winograd's ways give what the direct method gives, also in pieces and with strides."""

import numpy as np
import pytest

from fastcnn.inference import packing
from kernels import compiled, conv, im2col, jit
from kernels.conv import input as conv_input
from kernels.conv import weight as conv_weight
from kernels.conv import winograd_plan
from kernels.conv.winograd_pieces import ONE_PIECE, pieces_of, planes_of
from kernels.conv.winograd_plan import blocks_of, suits, suits_back
from kernels.workspace import Workspace

Pair = tuple[int, int]

SHAPES = [
    # batch, (height, width), channels, filters, (top, left), (bottom, right)
    pytest.param(1, (8, 8), 16, 16, (1, 1), (1, 1), id="one image"),
    pytest.param(3, (14, 13), 17, 33, (1, 1), (1, 1), id="odd width, odd channels"),
    pytest.param(5, (6, 9), 33, 16, (0, 0), (0, 0), id="no padding"),
    pytest.param(2, (17, 17), 32, 64, (2, 2), (2, 2), id="wide padding"),
    pytest.param(2, (9, 7), 18, 17, (3, 0), (0, 3), id="padding on one side"),
    pytest.param(40, (8, 8), 24, 40, (1, 1), (1, 1), id="groups of images"),
    pytest.param(2, (40, 64), 64, 32, (1, 1), (1, 1), id="blocks of rows"),
    pytest.param(37, (4, 4), 170, 150, (1, 1), (1, 1), id="large filters"),
    pytest.param(3, (26, 18), 160, 161, (1, 1), (1, 1), id="large filters, blocks of rows"),
    pytest.param(37, (2, 2), 200, 190, (1, 1), (1, 1), id="large filters, a window an image"),
]


# batch, (height, width), channels, filters, (top, left), (bottom, right), groups, dilation
GEOMETRIES = [
    pytest.param(2, (16, 16), 32, 32, (2, 2), (2, 2), 1, (2, 2), id="dilated"),
    pytest.param(2, (19, 24), 17, 24, (3, 2), (1, 4), 1, (3, 2), id="parts of several sizes"),
    pytest.param(18, (12, 11), 16, 33, (0, 4), (2, 4), 1, (1, 4), id="gaps along rows"),
    pytest.param(2, (64, 40), 64, 32, (2, 2), (2, 2), 1, (2, 2), id="blocks of rows"),
    pytest.param(3, (8, 8), 64, 32, (1, 1), (1, 1), 2, (1, 1), id="groups"),
    pytest.param(2, (8, 10), 54, 51, (1, 1), (1, 1), 3, (1, 1), id="groups that share vectors"),
    pytest.param(2, (8, 8), 64, 96, (1, 1), (1, 1), 16, (1, 1), id="joined groups"),
    pytest.param(2, (8, 8), 96, 64, (2, 2), (2, 2), 8, (2, 2), id="joined forward only"),
    pytest.param(2, (15, 12), 48, 48, (2, 1), (2, 1), 12, (2, 1), id="joined groups, dilated"),
]


# kernel, batch, (height, width), channels, filters, (top, left), (bottom, right), dilation
PIECES = [
    pytest.param((5, 5), 2, (16, 16), 32, 32, (2, 2), (2, 2), (1, 1), id="5 x 5"),
    pytest.param((5, 5), 3, (13, 18), 17, 33, (0, 4), (3, 1), (1, 1), id="5 x 5, uneven"),
    pytest.param((5, 3), 37, (9, 8), 16, 20, (2, 1), (2, 1), (1, 1), id="5 x 3, many images"),
    pytest.param((3, 6), 2, (12, 11), 24, 18, (1, 0), (1, 2), (1, 1), id="3 x 6"),
    pytest.param((4, 4), 2, (40, 64), 40, 24, (1, 2), (2, 1), (1, 1), id="4 x 4, blocks of rows"),
    pytest.param((7, 9), 2, (17, 15), 19, 21, (3, 4), (3, 4), (1, 1), id="7 x 9"),
    pytest.param((5, 5), 2, (19, 24), 17, 24, (4, 6), (4, 5), (2, 3), id="5 x 5, dilated"),
    pytest.param((5, 6), 1, (4, 3), 70, 90, (3, 3), (2, 3), (1, 1), id="5 x 6, few pixels"),
]


# kernel, stride, batch, (height, width), channels, filters, (top, left), (bottom, right)
STRIDED = [
    pytest.param((4, 4), (2, 2), 3, (16, 16), 32, 24, (1, 1), (1, 1), id="4 x 4 by 2"),
    pytest.param((4, 4), (2, 2), 2, (15, 18), 17, 33, (3, 0), (0, 2), id="4 x 4 by 2, uneven"),
    pytest.param((4, 4), (2, 2), 40, (6, 8), 40, 70, (2, 1), (1, 2), id="4 x 4 by 2, many images"),
    pytest.param((4, 4), (2, 2), 2, (96, 64), 64, 64, (1, 1), (1, 1), id="4 x 4 by 2, blocks"),
    pytest.param((5, 5), (2, 2), 3, (16, 16), 32, 24, (2, 2), (2, 2), id="5 x 5 by 2"),
    pytest.param((5, 5), (2, 2), 2, (13, 18), 17, 33, (0, 4), (3, 1), id="5 x 5 by 2, uneven"),
    pytest.param((6, 6), (2, 2), 2, (21, 12), 20, 18, (2, 3), (3, 2), id="6 x 6 by 2"),
    pytest.param((8, 7), (4, 3), 2, (23, 22), 18, 16, (2, 5), (6, 1), id="8 x 7 by 4 and 3"),
    pytest.param((3, 3), (2, 1), 2, (12, 11), 16, 16, (1, 1), (1, 1), id="3 x 3 by 2 and 1"),
    pytest.param((2, 5), (1, 3), 2, (9, 20), 16, 19, (1, 2), (0, 2), id="2 x 5 by 1 and 3"),
    pytest.param((7, 7), (3, 3), 1, (7, 7), 33, 16, (6, 6), (6, 6), id="7 x 7 by 3, all padding"),
    pytest.param((4, 4), (2, 2), 2, (9, 9), 16, 16, (0, 0), (0, 0), id="a row that none reads"),
    pytest.param((2, 2), (1, 1), 3, (9, 16), 32, 17, (0, 1), (0, 0), id="2 x 2"),
    pytest.param((4, 2), (1, 1), 3, (12, 9), 19, 32, (2, 1), (1, 1), id="4 x 2"),
]


def forget_plans():
    """What follows from shapes is remembered."""
    for remembers in (
        winograd_plan.suits,
        winograd_plan.convolution_side, winograd_plan.sums_of, winograd_plan.convolution_plan,
        winograd_plan.gradient_plan, conv_input._plan, conv_weight._way,
    ):  # fmt: skip
        remembers.cache_clear()


@pytest.fixture(params=[2, 4])
def side(request, monkeypatch):
    """Outputs along a side of a window, whatever the shapes say."""
    monkeypatch.setattr(winograd_plan, "_side_of", lambda *_: request.param)
    forget_plans()
    yield request.param
    forget_plans()


@pytest.fixture
def in_pieces(monkeypatch):
    """Filters larger than 3 x 3 are cut into pieces, whatever the shapes say."""
    monkeypatch.setattr(winograd_plan, "_suits_in_pieces", lambda *_: True)
    forget_plans()
    yield
    forget_plans()


def results(module, x, weight, bias, dy, padding, dilation=(1, 1), stride=(1, 1)):
    """y, dx, dweight, dbias of a backend."""
    y, dx, dweight, dbias = (np.full_like(array, np.nan) for array in (dy, x, weight, bias))
    workspace = Workspace()
    module.conv_forward(x, weight, bias, stride, padding, y, workspace, dilation)
    module.conv_backward_input(dy, weight, stride, padding, dx, workspace, dilation)
    module.conv_backward_weight(x, dy, stride, padding, dweight, dbias, workspace, dilation)
    return {"y": y, "dx": dx, "dweight": dweight, "dbias": dbias}


def operands(
    draw, batch, size, channels, filters, before, after, groups=1, dilation=(1, 1), kernel=(3, 3),
    stride=(1, 1),
):  # fmt: skip
    height, width = (
        (size[axis] + before[axis] + after[axis] - (kernel[axis] - 1) * dilation[axis] - 1)
        // stride[axis] + 1
        for axis in (0, 1)
    )  # fmt: skip
    shapes = (
        (batch, *size, channels), (filters, channels // groups, *kernel), (filters,),
        (batch, height, width, filters),
    )  # fmt: skip
    return [draw(shape) for shape in shapes]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(("batch", "size", "channels", "filters", "before", "after"), SHAPES)
def test_whole_numbers_are_exact(batch, size, channels, filters, before, after, dtype, side):
    rng = np.random.default_rng(0)

    def draw(shape):
        return rng.integers(-4, 5, shape).astype(dtype)

    x, weight, bias, dy = operands(draw, batch, size, channels, filters, before, after)
    assert suits(weight.shape, (1, 1), dy.shape[1:3], x.dtype)
    assert suits(weight.shape, (1, 1), x.shape[1:3], x.dtype)
    ours = results(compiled, x, weight, bias, dy, before)
    theirs = results(im2col, x, weight, bias, dy, before)
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


@pytest.mark.parametrize(
    ("batch", "size", "channels", "filters", "before", "after", "groups", "dilation"), GEOMETRIES
)
def test_gaps_and_groups(batch, size, channels, filters, before, after, groups, dilation, side):
    rng = np.random.default_rng(0)

    def draw(shape):
        return rng.integers(-4, 5, shape).astype("f4")

    shapes = batch, size, channels, filters, before, after, groups, dilation
    x, weight, bias, dy = operands(draw, *shapes)
    if jit.target().register_bytes == 64:  # narrower vectors leave some to the direct method
        assert suits(weight.shape, (1, 1), dy.shape[1:3], x.dtype, groups, dilation)
        assert suits(weight.shape, (1, 1), x.shape[1:3], x.dtype, groups, dilation)
    ours = results(compiled, x, weight, bias, dy, before, dilation)
    theirs = results(im2col, x, weight, bias, dy, before, dilation)
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    ("kernel", "batch", "size", "channels", "filters", "before", "after", "dilation"), PIECES
)
def test_pieces_of_larger_filters(
    kernel, batch, size, channels, filters, before, after, dilation, dtype
):
    rng = np.random.default_rng(0)

    def draw(shape):
        return rng.integers(-4, 5, shape).astype(dtype)

    shapes = batch, size, channels, filters, before, after, 1, dilation, kernel
    x, weight, bias, dy = operands(draw, *shapes)
    ours = results(compiled, x, weight, bias, dy, before, dilation)
    theirs = results(im2col, x, weight, bias, dy, before, dilation)
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    ("kernel", "stride", "batch", "size", "channels", "filters", "before", "after"), STRIDED
)
def test_strides(kernel, stride, batch, size, channels, filters, before, after, dtype):
    rng = np.random.default_rng(0)

    def draw(shape):
        return rng.integers(-4, 5, shape).astype(dtype)

    shapes = batch, size, channels, filters, before, after, 1, (1, 1), kernel, stride
    x, weight, bias, dy = operands(draw, *shapes)
    assert suits(weight.shape, stride, dy.shape[1:3], x.dtype)
    assert suits_back(weight.shape, (stride, before, (1, 1)), x.shape, x.dtype)
    ours = results(compiled, x, weight, bias, dy, before, stride=stride)
    theirs = results(im2col, x, weight, bias, dy, before, stride=stride)
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("kernel", [4, 5])
def test_a_transposed_convolution_adds_its_bias(kernel):
    rng = np.random.default_rng(0)
    dy, weight, bias = (
        rng.integers(-4, 5, shape).astype("f4")
        for shape in ((3, 7, 6, 20), (20, 17, kernel, kernel), 17)
    )
    found = []
    for module in (compiled, im2col):
        dx = np.full((3, 14, 12, 17), np.nan, "f4")
        module.conv_backward_input(
            dy, weight, (2, 2), (kernel // 2 - 1 + kernel % 2,) * 2, dx, Workspace(), (1, 1), bias
        )
        found.append(dx)
    np.testing.assert_array_equal(*found)


def test_pieces_round_about_as_the_direct_method():
    rng = np.random.default_rng(1)

    def draw(shape):
        return rng.normal(0, 0.1 if shape[-1] == 5 else 1, shape).astype(np.float32)

    x, weight, bias, dy = operands(draw, 8, (16, 16), 32, 64, (2, 2), (2, 2), kernel=(5, 5))
    assert suits(weight.shape, (1, 1), (16, 16), x.dtype)
    exact = results(im2col, *(a.astype(np.float64) for a in (x, weight, bias, dy)), padding=(2, 2))
    direct = results(im2col, x, weight, bias, dy, (2, 2))
    ours = results(compiled, x, weight, bias, dy, (2, 2))

    def error(results, name):
        return np.sqrt(np.mean((results[name] - exact[name]) ** 2)) / exact[name].std()

    for name in ("y", "dx", "dweight"):
        assert 0 < error(ours, name) < 1e-6
        assert error(ours, name) < 6 * error(direct, name)


def _check_spread_of_nan(kernel, further):
    """By how many rows or columns more than with the direct method, at most."""
    shape, before, found = (1, 24, 24, 16), (kernel - 1, kernel - 1), 0
    weight, bias = np.ones((16, 16, kernel, kernel), "f4"), np.zeros(16, "f4")
    for at in range(10, 14):  # every place in a window
        x, y = np.ones(shape, "f4"), np.empty((1, 23 + kernel, 23 + kernel, 16), "f4")
        x[0, at, 23 - at, 1], direct = np.nan, y.copy()
        compiled.conv_forward(x, weight, bias, (1, 1), before, y, Workspace())
        im2col.conv_forward(x, weight, bias, (1, 1), before, direct, Workspace())
        np.testing.assert_array_equal(y[np.isfinite(y)], direct[np.isfinite(y)])
        ours, theirs = (np.argwhere(np.isnan(each)) for each in (y, direct))
        found = max(found, *(theirs.min(0) - ours.min(0)), *(ours.max(0) - theirs.max(0)))
    assert found == further


def test_how_far_a_nan_spreads(side):
    _check_spread_of_nan(3, 2 if side == 4 else 0)


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize(("kernel", "further"), [(2, 0), (4, 0), (5, 3), (6, 2), (7, 4)])
def test_how_far_a_nan_spreads_in_pieces(kernel, further):
    _check_spread_of_nan(kernel, further)


@pytest.mark.parametrize(
    ("filters", "kernel", "stride", "size", "groups", "in_pieces"),
    [
        (32, (5, 5), (1, 1), (16, 16), 1, True),
        (32, (5, 5), (1, 1), (14, 14), 1, False),  # the last windows would be half empty
        (8, (5, 5), (1, 1), (16, 16), 1, False),
        (256, (5, 5), (1, 1), (8, 8), 1, False),  # filters of 192 MB
        (32, (5, 5), (1, 1), (16, 16), 2, False),
        (32, (7, 7), (1, 1), (16, 16), 1, False),  # nine pieces save too little
        (32, (6, 6), (1, 1), (16, 16), 1, True),
        (32, (5, 3), (1, 1), (16, 16), 1, True),
        (32, (5, 2), (1, 1), (16, 16), 1, False),
        (128, (4, 4), (1, 1), (32, 32), 1, True),
        (8, (4, 4), (1, 1), (32, 32), 1, False),
        (128, (2, 2), (1, 1), (16, 16), 1, True),
        (64, (5, 5), (2, 2), (16, 16), 1, True),
        (64, (6, 6), (2, 2), (16, 16), 1, True),
        (64, (4, 4), (2, 2), (16, 16), 1, True),
        (64, (4, 4), (2, 2), (16, 16), 2, False),
        (8, (4, 4), (2, 2), (16, 16), 1, False),
        (512, (4, 4), (2, 2), (4, 4), 1, False),
        (64, (3, 3), (2, 2), (16, 16), 1, False),  # as many products as there are
        (16, (7, 7), (2, 2), (16, 16), 1, False),
        (64, (1, 4), (1, 2), (16, 16), 1, False),
        (64, (2, 2), (2, 2), (16, 16), 1, False),  # each pixel is read once
    ],
)
def test_which_filters_are_cut_into_pieces(filters, kernel, stride, size, groups, in_pieces):
    shape, dtype = (filters, filters // groups, *kernel), np.dtype(np.float32)
    assert suits(shape, stride, size, dtype, groups) == in_pieces
    dx = 1, size[0] * stride[0], size[1] * stride[1], filters
    assert suits_back(shape, (stride, (1, 1), (1, 1)), dx, dtype) == in_pieces
    if max(stride) > 1:
        assert not suits(shape, stride, size, dtype, groups, (2, 2))


def test_transforms_are_shared_by_channels_and_filters():
    """Of pairs few products are saved: a convolution may suit one way and not the other."""
    shape, dtype = (64, 16, 4, 4), np.dtype(np.float32)
    assert suits(shape, (2, 2), (16, 16), dtype)
    if jit.target().register_bytes == 64:
        assert not suits_back(shape, ((2, 2), (1, 1), (1, 1)), (1, 32, 32, 16), dtype)


@pytest.mark.parametrize(
    ("kernel", "stride", "taps", "pieces"),
    [
        ((3, 3), (1, 1), 3, (1, 1)),
        ((5, 4), (1, 1), 3, (2, 2)),
        ((4, 4), (1, 1), 2, (2, 2)),
        ((8, 8), (1, 1), 3, (3, 3)),
        ((4, 4), (2, 2), 2, (2, 2)),
        ((5, 6), (2, 2), 3, (2, 2)),
        ((7, 7), (2, 2), 2, (4, 4)),
        ((6, 3), (3, 1), 3, (3, 1)),
    ],
)
def test_what_pieces_there_are(kernel, stride, taps, pieces):
    """Each tap of a filter belongs to one piece; and going back to one of one phase."""
    found = pieces_of(kernel, stride)
    assert (found.taps, found.down, found.across) == (taps, *pieces)
    for back in (False, True):
        each = pieces_of(kernel, stride, back)
        table = each.table(kernel, back, (1, 0), 100, 1)
        assert len(table) == found.count
        steps = np.array(stride) * np.stack(np.indices((taps, taps)), -1).reshape(-1, 1, 2)
        seen = (table[:, :2] + steps).reshape(-1, 2)
        inside = seen[((seen >= 0) & (seen < kernel)).all(1)]
        assert len(inside) == len(np.unique(inside, axis=0)) == kernel[0] * kernel[1]


def check_threads(*arguments):
    """Any number of threads gives the same bits."""
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


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("stride", [(1, 1), (2, 2)])
@pytest.mark.parametrize("kernel", [(5, 5), (3, 4), (4, 4)])
def test_pieces_give_the_same_bits_for_any_number_of_threads(kernel, stride):
    rng = np.random.default_rng(2)

    def draw(shape):
        return rng.standard_normal(shape, np.float32)

    x, weight, bias, dy = operands(
        draw, 37, (8, 9), 33, 40, (2, 2), (2, 1), kernel=kernel, stride=stride
    )
    check_threads(x, weight, bias, dy, (2, 2), (1, 1), stride)


def test_bits_do_not_depend_on_the_number_of_threads(side):
    """Blocks of large filters do: each thread takes as many."""
    rng = np.random.default_rng(2)

    def draw(shape):
        return rng.standard_normal(shape, np.float32)

    x, weight, bias, dy = operands(draw, 37, (4, 6), 170, 150, (1, 1), (1, 1))
    check_threads(x, weight, bias, dy, (1, 1))


def test_rounding_is_about_that_of_the_direct_method(side):
    """Root mean square error against float64, on numbers such as networks contain."""
    rng = np.random.default_rng(1)

    def draw(shape):
        scale = 0.1 if shape[-1] == 3 else 1
        return rng.normal(0, scale, shape).astype(np.float32)

    x, weight, bias, dy = operands(draw, 16, (16, 16), 32, 64, (1, 1), (1, 1))
    exact = results(im2col, *(a.astype(np.float64) for a in (x, weight, bias, dy)), padding=(1, 1))
    direct = results(im2col, x, weight, bias, dy, (1, 1))
    ours = results(compiled, x, weight, bias, dy, (1, 1))

    def error(results, name):
        return np.sqrt(np.mean((results[name] - exact[name]) ** 2)) / exact[name].std()

    for name in ("y", "dx", "dweight"):
        assert error(ours, name) < 1e-6
        assert error(ours, name) < 6 * error(direct, name)


@pytest.mark.parametrize(
    ("weight_shape", "stride", "out_size"),
    [
        ((32, 3, 3, 3), (1, 1), (32, 32)),
        ((32, 32, 3, 3), (2, 1), (32, 32)),
        ((32, 32, 1, 3), (1, 1), (32, 32)),
        ((32, 32, 3, 3), (1, 1), (1, 32)),
    ],
    ids=["few channels", "stride", "kernel", "mostly empty windows"],
)
def test_what_is_left_to_the_direct_method(weight_shape, stride, out_size):
    assert not suits(weight_shape, stride, out_size, np.dtype(np.float32))


@pytest.mark.parametrize(("images", "size"), [(128, (32, 32)), (128, (3, 3)), (1, (200, 7))])
def test_blocks_cover_images_and_stay_small(images, size):
    for side, planes in ((2, 16), (4, 46)):
        blocks = blocks_of(images, size, 32, (1, 1), side)
        assert blocks.grid == (-(-size[0] // side), -(-size[1] // side), side)
        assert blocks.planes == planes
        assert blocks.images == 1 or blocks.rows == blocks.images * blocks.grid[0]
        row = planes * 32 * blocks.grid[1]
        assert blocks.rows * row <= max(winograd_plan._NUMBERS, row)


@pytest.mark.parametrize("images", [1, 7, 100, 128])
def test_blocks_are_equal(images):
    blocks = blocks_of(images, (4, 4), 512, (1, 1), 2, most=16 * 64 * 512)
    assert blocks.images <= 16
    assert images % blocks.images == 0 or blocks.images - images % blocks.images < blocks.images / 2


@pytest.mark.parametrize("size", [(16, 16), (13, 18), (21, 7)])
def test_pooled_on_the_way(size, side):
    """What is left after pooling is the largest of what would have been there, and which it was."""
    _check_pooling(size, 3)


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("size", [(16, 16), (13, 18)])
def test_pieces_pooled_on_the_way(size):
    _check_pooling(size, 5)


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("size", [(16, 16), (13, 9)])
@pytest.mark.parametrize("kernel", [4, 5])
def test_strides_pooled_on_the_way(size, kernel):
    _check_pooling(size, kernel, 2)


def _check_pooling(size, kernel, stride=1):
    """size : of what is pooled"""
    rng, padding = np.random.default_rng(4), (kernel // 2, kernel // 2)
    stride, beyond = (stride, stride), kernel - 2 * padding[0] - 1
    image = ((each - 1) * stride[0] + 1 + beyond for each in size)
    x = rng.integers(-4, 5, (5, *image, 17)).astype("f4")
    weight = rng.integers(-4, 5, (33, 17, kernel, kernel)).astype("f4")
    bias = rng.integers(-4, 5, 33).astype("f4")
    dy = np.zeros((5, *size, 33), "f4")
    whole = results(im2col, x, weight, bias, dy, padding, stride=stride)["y"]
    rows, columns = size[0] // 2, size[1] // 2
    fours = whole[:, : 2 * rows, : 2 * columns].reshape(5, rows, 2, columns, 2, 33)
    fours = fours.transpose(0, 1, 3, 5, 2, 4).reshape(5, rows, columns, 33, 4)
    for relu in (False, True):
        y = np.full((5, rows, columns, 33), np.nan, "f4")
        index = np.full(y.shape, 9, np.uint8)
        conv.run_forward(
            x, weight, bias, (stride, padding, (1, 1)), whole.shape, y,
            conv.Pooled(index, relu), Workspace(),
        )  # fmt: skip
        np.testing.assert_array_equal(y, np.maximum(fours.max(-1), 0) if relu else fours.max(-1))
        np.testing.assert_array_equal(index, fours.argmax(-1))


def test_filters_are_transformed_the_same_for_compiled_networks(side):
    rng = np.random.default_rng(6)
    weight = rng.normal(size=(33, 17, 3, 3)).astype("f4")
    x, bias, y = (np.zeros(shape, "f4") for shape in ((1, 16, 16, 17), 33, (1, 16, 16, 33)))
    workspace, packed = Workspace(), packing.transformed(weight, side)
    seen = workspace.array("winograd_filters", packed.shape, packed.dtype)
    seen[...] = 0
    compiled.conv_forward(x, weight, bias, (1, 1), (1, 1), y, workspace)
    np.testing.assert_array_equal(packed, seen)
    assert packed.any()


def test_pieces_are_cut_the_same_for_compiled_networks():
    rng = np.random.default_rng(6)
    weight = rng.normal(size=(33, 17, 5, 6)).astype("f4")
    x, bias, y = (np.zeros(shape, "f4") for shape in ((1, 16, 16, 17), 33, (1, 16, 16, 33)))
    workspace, packed = Workspace(), packing.transformed(packing.pieces(weight, 2, 2), 4)
    assert suits(weight.shape, (1, 1), (16, 16), weight.dtype)
    seen = workspace.array("winograd_filters", packed.shape, packed.dtype)
    seen[...] = 0
    compiled.conv_forward(x, weight, bias, (1, 1), (2, 2), y, workspace)
    np.testing.assert_array_equal(packed, seen)
    assert packed.any()


@pytest.mark.parametrize(
    ("size", "channels", "forward", "back", "sums"),
    [
        ((32, 32), 16, 4, 4, 4),
        ((16, 16), 32, 4, 4, 4),
        ((8, 8), 64, 2, 4, 4),  # few windows of an image, for as large filters
        ((32, 32), 64, 4, 4, 4),
        ((16, 16), 128, 2, 4, 2),  # so many sums do not stay in a core's caches
        ((16, 16), 256, 2, 2, 2),
        ((14, 14), 16, 2, 2, 2),  # the last windows would be half empty
        ((4, 4), 512, 2, 2, 2),
    ],
)
def test_where_windows_are_large(size, channels, forward, back, sums):
    shape = size, 1, channels, channels, ONE_PIECE, (1, 1), np.dtype(np.float32)
    assert winograd_plan.convolution_side(*shape, True) == forward
    assert winograd_plan.convolution_side(*shape, False) == back
    assert winograd_plan.sums_of(*shape)[0] == sums
    assert [planes_of(side) for side in (2, 4)] == [16, 46]
