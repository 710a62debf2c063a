"""What a model runs gives what its layers give one by one."""

import copy
import math
from functools import partial

import numpy as np
import pytest

from fastcnn import Graph, Sequential, backend
from fastcnn.layers import (
    Add,
    BatchNorm,
    Concat,
    Concatenate,
    Conv2D,
    Flatten,
    GroupNorm,
    Input,
    LayerNorm,
    LeakyReLU,
    MaxPool2D,
    ReLU,
    Residual,
    Tanh,
)
from fastcnn.layers.convolutions import ConvMaxPool, ConvNorm, ConvNormMaxPool, SummedConv
from fastcnn.layers.fusion import OwnLayer, plan
from fastcnn.layers.groups import layers_of
from fastcnn.layers.normalized import NormalizedReLU
from fastcnn.layers.rows import NormedRow
from fastcnn.layers.segments import NormalizedAdd, WidenedConcat


def rows_of_layers(channels):
    return {
        "relu, pool": lambda: [ReLU(), MaxPool2D(2)],
        "relu, padded pool": lambda: [ReLU(), MaxPool2D(3, stride=2, padding=1)],
        "conv, relu, pool": lambda: [Conv2D(channels, 7, 3, padding=1), ReLU(), MaxPool2D(2)],
        "conv, pool, no bias": lambda: [Conv2D(channels, 16, (1, 2), bias=False), MaxPool2D(2)],
        "strided conv, relu, pool": lambda: [
            Conv2D(channels, 9, 2, stride=(1, 2), padding=2),
            ReLU(),
            MaxPool2D(2),
        ],
        "norm, relu": lambda: [BatchNorm(channels), ReLU()],
        "group norm, relu": lambda: [GroupNorm(math.gcd(channels, 3), channels), ReLU()],
        "layer norm, relu": lambda: [LayerNorm(channels), ReLU()],
        "conv, group norm, relu, pool": lambda: [
            Conv2D(channels, 12, 3, padding=1),
            GroupNorm(3, 12),
            ReLU(),
            MaxPool2D(2),
        ],
        "conv, norm, relu, conv": lambda: [
            Conv2D(channels, 17, 3, padding=1, bias=False),
            BatchNorm(17),
            ReLU(),
            Conv2D(17, channels, 1),
        ],
        "conv, norm, pool": lambda: [
            Conv2D(channels, 18, 3, padding=(1, 0)),
            BatchNorm(18),
            MaxPool2D(2),
        ],
        "conv, norm, relu, pool": lambda: [
            Conv2D(channels, 7, 3, stride=(1, 2), padding=2, bias=False),
            BatchNorm(7),
            ReLU(),
            MaxPool2D(2),
        ],
        "depthwise conv, relu, pool": lambda: [
            Conv2D(channels, 2 * channels, 3, dilation=2, padding=2, groups=channels),
            ReLU(),
            MaxPool2D(2),
        ],
        "grouped conv, norm, relu, pool": lambda: [
            Conv2D(channels, 6, 3, padding=((2, 0), (0, 2)), groups=math.gcd(channels, 6)),
            BatchNorm(6),
            ReLU(),
            MaxPool2D(2),
        ],
        "conv in small groups, norm, relu": lambda: [
            Conv2D(channels, 12, 1),
            Conv2D(12, 12, 3, padding=1, groups=3),
            BatchNorm(12),
            ReLU(),
        ],
        "conv in small groups, relu, pool": lambda: [
            Conv2D(channels, 12, 1),
            Conv2D(12, 12, 3, padding=1, groups=6, bias=False),
            ReLU(),
            MaxPool2D(2),
        ],
        "conv of pixels, norm, relu": lambda: [
            Conv2D(channels, 17, 1),
            BatchNorm(17),
            ReLU(),
        ],
        "depthwise conv, norm, relu": lambda: [
            Conv2D(channels, channels, 3, stride=(2, 1), padding=1, groups=channels, bias=False),
            BatchNorm(channels),
            ReLU(),
        ],
        "conv, norm": lambda: [Conv2D(channels, 20, 3, padding=1), BatchNorm(20)],
        "norm, pool": lambda: [BatchNorm(channels), MaxPool2D(2)],
        "norm, relu, pool": lambda: [BatchNorm(channels), ReLU(), MaxPool2D(2)],
        "norm, relu, padded pool": lambda: [BatchNorm(channels), ReLU(), MaxPool2D(3, 2, 1)],
    }


def one_by_one(layers, x, dy_of):
    """Forward and backward through the layers themselves, in their own order."""
    for layer in layers:
        x = layer.forward(x, training=True)
    y, dy = x.copy(), dy_of(x.shape)
    for layer in reversed(layers):
        dy = layer.backward(dy)
    return y, dy


def ones(shape):
    return np.ones(shape, np.float32)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("channels", [1, 6, 16, 33])
@pytest.mark.parametrize("size", [(8, 8), (9, 7), (2, 5)])
@pytest.mark.parametrize("name", list(rows_of_layers(1)))
def test_same_values_and_gradients(name, size, channels, dtype):
    rng = np.random.default_rng(0)
    x = rng.normal(1, 2, (5, channels, *size)).astype(dtype)
    make = rows_of_layers(channels)[name]
    alone, model = make(), Sequential(*make()).astype(dtype)
    for ours, theirs in zip(model.layers, alone, strict=True):
        theirs.astype(dtype)
        for part in ours.params:  # gammas of both signs
            ours.params[part] = rng.normal(0, 1, ours.params[part].shape)
            theirs.params[part] = ours.params[part]
    gradient = {}

    def dy_of(shape):
        return gradient.setdefault(shape, rng.normal(0, 1, shape).astype(dtype))

    y, dx = one_by_one(alone, x, dy_of)
    np.testing.assert_array_equal(model.forward(x, training=True), y)
    close = {"rtol": 1e-4, "atol": 1e-5} if dtype == "f4" else {"rtol": 1e-10, "atol": 1e-11}
    np.testing.assert_allclose(model.backward(dy_of(y.shape)), dx, **close)
    for ours, theirs in zip(model.layers, alone, strict=True):
        for part in ours.grads:
            np.testing.assert_allclose(ours.grads[part], theirs.grads[part], **close)
        for part in ours.state:
            np.testing.assert_array_equal(ours.state[part], theirs.state[part])


@pytest.mark.parametrize(("channels", "groups"), [(40, 5), (18, 9), (15, 5), (66, 2)])
def test_group_norm_and_relu_of_vectors(channels, groups):
    rng = np.random.default_rng(0)
    x, dy = rng.normal(1, 2, (2, 7, channels)).astype("f4")
    norm = GroupNorm(groups, channels)
    norm.params["beta"] = rng.normal(0, 1, channels).astype("f4")
    alone, model = [norm, ReLU()], Sequential(GroupNorm(groups, channels), ReLU())
    model.layers[0].params["beta"] = norm.params["beta"].copy()
    y, dx = one_by_one(alone, x, lambda _: dy)
    np.testing.assert_array_equal(model.forward(x, training=True), y)
    np.testing.assert_allclose(model.backward(dy), dx, rtol=1e-4, atol=1e-5)
    for part in ("gamma", "beta"):
        ours, theirs = model.layers[0].grads[part], norm.grads[part]
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    assert 0 < np.count_nonzero(y) < y.size


def test_ties_and_nan_take_the_same_way():
    x = np.zeros((1, 1, 4, 4), np.float32)
    x[0, 0, :2, :2] = [[2, 2], [1, 2]]
    x[0, 0, 2, 3] = np.nan
    y, dx = one_by_one([ReLU(), MaxPool2D(2)], x, ones)
    model = Sequential(ReLU(), MaxPool2D(2))
    np.testing.assert_array_equal(model.forward(x, training=True), y)
    np.testing.assert_array_equal(model.backward(np.ones_like(y))[0, 0, :2], dx[0, 0, :2])


def test_the_plan():
    norm, relu, pool, conv = BatchNorm(3), ReLU(), MaxPool2D(2), Conv2D(3, 3, 1)
    (step,) = plan([conv, norm, relu, pool])
    assert isinstance(step, ConvNormMaxPool)
    assert list(layers_of([step])) == [conv, norm, pool, relu]
    (step,) = plan([conv, norm, relu])
    assert isinstance(step, ConvNorm)
    assert step.layers == [conv, norm, relu]
    (step,) = plan([Conv2D(3, 3, 5, padding="same", groups=3), norm, relu])
    assert isinstance(step, ConvNorm)
    heavy = Conv2D(3, 3, 3)
    assert [type(step) for step in plan([heavy, norm, relu])] == [ConvNorm]
    (step,) = plan([heavy, norm, relu, conv, norm, relu, conv, norm, relu])
    assert isinstance(step, NormedRow)
    assert [each.conv for each in step.steps] == [heavy, conv, conv]
    two = [conv, norm, relu, heavy, norm, relu]
    assert [type(step) for step in plan(two)] == [ConvNorm, ConvNorm]
    assert [type(step) for step in plan([norm, relu, *two])] == [NormedRow, ConvNorm]
    assert [type(step) for step in plan([GroupNorm(3, 3), relu, conv])] == [NormalizedReLU, Conv2D]
    first, second = plan([heavy, norm, conv, norm])  # without ReLU
    assert isinstance(first, ConvNorm) and first.layers == [heavy, norm] and first.relu is None
    assert isinstance(second, ConvNorm)
    (step,) = plan([heavy, norm, relu, conv])
    assert isinstance(step, NormedRow)
    assert [type(each) for each in step.steps] == [ConvNorm, SummedConv]
    first, second = plan([conv, norm, relu, pool, heavy], before_norm=True)
    assert isinstance(first, ConvNormMaxPool) and isinstance(second, SummedConv)
    assert plan([relu, norm, pool]) == [relu, norm, pool]
    for other in (GroupNorm(3, 3), LayerNorm(3)):
        assert [type(step) for step in plan([other, relu])] == [NormalizedReLU]
        assert plan([conv, other, relu, pool]) == [conv, other, pool, relu]
    (step,) = plan([conv, relu, pool])
    assert isinstance(step, ConvMaxPool)
    assert step.layers == [conv, pool, relu]
    untouched = [relu, conv, MaxPool2D(2, stride=1), norm, MaxPool2D(2, padding=1)]
    assert plan(untouched) == untouched


def a_row(channels, alone=False):
    """Convolutions of single pixels and channels, all but the first, with BatchNorm and ReLU.

    alone : whether the last one has neither
    """
    convolutions = [
        Conv2D(3, channels, 3, padding=1, bias=False),
        Conv2D(channels, channels, 3, padding=1, groups=channels),
        Conv2D(channels, 20, 1, bias=False),
        Conv2D(20, 20, (3, 2), stride=(2, 1), padding=((1, 1), (0, 1)), groups=20, bias=False),
        Conv2D(20, channels, 1),
    ]
    row = [layer for conv in convolutions for layer in (conv, BatchNorm(conv.out_channels), ReLU())]
    return row[:-2] if alone else row


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("channels", [6, 16, 33])
@pytest.mark.parametrize("size", [(19, 17), (4, 3)])
@pytest.mark.parametrize("batch", [3, 16, 37])
@pytest.mark.parametrize("end", [True, False], ids=["alone", "normed"])
def test_a_row_of_normed_convolutions(end, batch, size, channels, dtype):
    """The same bits as one by one, whether images are summed up by themselves or not."""
    rng = np.random.default_rng(0)
    x = rng.normal(1, 2, (batch, 3, *size)).astype(dtype)
    alone, model = a_row(channels, end), Sequential(*a_row(channels, end)).astype(dtype)
    assert [type(step) for step in plan(model.layers)] == [NormedRow]
    for ours, theirs in zip(model.layers, alone, strict=True):
        theirs.astype(dtype)
        for part in ours.params:  # gammas of both signs
            ours.params[part] = rng.normal(0, 1, ours.params[part].shape)
            theirs.params[part] = ours.params[part]
    gradient = {}

    def dy_of(shape):
        return gradient.setdefault(shape, rng.normal(0, 1, shape).astype(dtype))

    for _ in range(2):  # what the first pass left behind does not matter
        y, dx = one_by_one(alone, x, dy_of)
        np.testing.assert_array_equal(model.forward(x, training=True), y)
        np.testing.assert_array_equal(model.backward(dy_of(y.shape)), dx)
        for ours, theirs in zip(model.layers, alone, strict=True):
            for part in ours.grads:
                np.testing.assert_array_equal(ours.grads[part], theirs.grads[part])
            for part in ours.state:
                np.testing.assert_array_equal(ours.state[part], theirs.state[part])


@pytest.mark.parametrize("frozen", [0, 1, 4, 6])
def test_a_frozen_layer_in_such_a_row(frozen):
    """Those before and behind it have the gradients that they have alone."""
    rng = np.random.default_rng(0)
    x = rng.normal(1, 2, (16, 3, 19, 17)).astype(np.float32)
    model, alone = Sequential(*a_row(16), seed=1), a_row(16)
    for ours, theirs in zip(model.layers, alone, strict=True):
        for part in ours.params:
            theirs.params[part] = ours.params[part]
    model.layers[frozen].trainable = alone[frozen].trainable = False
    y, dx = one_by_one(alone, x, ones)
    np.testing.assert_array_equal(model.forward(x, training=True), y)
    np.testing.assert_array_equal(model.backward(np.ones_like(y)), dx)
    for ours, theirs in zip(model.layers, alone, strict=True):
        for part in ours.grads if ours.trainable else ():
            np.testing.assert_array_equal(ours.grads[part], theirs.grads[part])


@pytest.mark.parametrize("frozen", [0, 3, 6, 9])
def test_a_convolution_that_is_frozen_before_the_way_back(frozen):
    """Whoever normalises what it reads forms no sums then, and nobody may take them."""
    rng = np.random.default_rng(0)
    x = rng.normal(1, 2, (16, 3, 19, 17)).astype(np.float32)
    model, alone = Sequential(*a_row(16), seed=1), a_row(16)
    for ours, theirs in zip(model.layers, alone, strict=True):
        for part in ours.params:
            theirs.params[part] = ours.params[part]

    def waves(shape):
        return np.cos(np.arange(math.prod(shape), dtype="f4")).reshape(shape)

    y, dx = one_by_one(alone, x, waves)
    model.backward(model.forward(-x, training=True))  # whose sums lie in memory
    np.testing.assert_array_equal(model.forward(x, training=True), y)
    model.layers[frozen].trainable = False
    np.testing.assert_array_equal(model.backward(waves(y.shape)), dx)
    for ours, theirs in zip(model.layers, alone, strict=True):
        for part in ours.grads if ours.trainable else ():
            np.testing.assert_array_equal(ours.grads[part], theirs.grads[part])


def test_who_watches_a_layer_sees_it_run():
    """By a forward or backward put into the object; the numbers stay what they are."""
    rng = np.random.default_rng(0)
    block = [Conv2D(4, 4, 3, padding=1), BatchNorm(4), ReLU(), Conv2D(4, 4, 1), BatchNorm(4)]
    layers = [Conv2D(3, 4, 3), MaxPool2D(2), ReLU(), Residual(block, activation=ReLU()), *a_row(6)]
    layers[4] = Conv2D(4, 6, 3, padding=1)
    layers = [*layers, MaxPool2D(2), Flatten()]
    model = Sequential(*layers, seed=0)
    x = rng.normal(0, 1, (16, 3, 26, 22)).astype(np.float32)
    for _ in range(6):  # lists of kernels are called by now
        y = model.forward(x, training=True)
        dy = np.float32(rng.normal(0, 1, y.shape))
        model.backward(dy)
    leaves = [*model.layers[:3], *block, *model.layers[4:]]
    for leaf in leaves:
        calls = []

        def seen(*given, run, name, calls=calls, **named):
            calls.append(name)
            return run(*given, **named)

        expected = model.forward(x, training=True).copy(), model.backward(dy)
        gradients = model.parameters.gradients.copy()
        for name in ("forward", "backward"):
            setattr(leaf, name, partial(seen, run=getattr(leaf, name), name=name))
        y, dx = model.forward(x, training=True), model.backward(dy)
        assert calls == ["forward", "backward"]
        del leaf.forward, leaf.backward
        np.testing.assert_array_equal(y, expected[0])
        np.testing.assert_allclose(dx, expected[1], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(
            model.parameters.gradients, gradients, rtol=1e-3, atol=1e-3 * np.abs(gradients).max()
        )


@pytest.mark.parametrize("groups", [1, 12], ids=["pixels", "depthwise"])
def test_a_frozen_convolution_before_a_norm(groups):
    """Its weights have no gradient; what comes before it has the same one."""
    rng = np.random.default_rng(0)
    x = rng.normal(1, 2, (5, 3, 8, 9)).astype(np.float32)
    rows = [Conv2D(3, 12, 3), Conv2D(12, 12, 1, groups=groups), BatchNorm(12), ReLU()]
    model = Sequential(*rows, Flatten(), seed=0)
    expected = None
    for frozen in (False, True):
        rows[1].trainable = not frozen
        rows[1].grads["weight"][...] = 7
        y = model.forward(x, training=True)
        model.backward(np.ones_like(y))
        assert np.all(rows[1].grads["weight"] == 7) == frozen
        gradient = rows[0].grads["weight"].copy()
        np.testing.assert_array_equal(gradient, gradient if expected is None else expected)
        expected = gradient


def test_a_class_of_ones_own_is_left_alone():
    class Doubled(MaxPool2D):
        def forward(self, x, training=False):
            return 2 * super().forward(x, training)

    conv, pool = Conv2D(3, 3, 1), Doubled(2)
    first, second = plan([conv, pool])
    assert first is conv and isinstance(second, OwnLayer) and second.layer is pool


def test_other_backends_and_shapes_fall_back():
    rng = np.random.default_rng(0)
    model = Sequential(BatchNorm(4), MaxPool2D(2), Flatten())
    x = rng.normal(0, 1, (3, 4, 6, 6)).astype(np.float32)
    results = []
    for name in ("numba", "im2col"):
        with backend(name):
            y = model.forward(x, training=True)
            results.append((y, model.backward(np.ones_like(y))))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match=r"BatchNorm\(4\): expected input with 4 channels"):
        model.forward(x[:, :3], training=True)


def test_inside_a_residual():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (3, 4, 6, 6)).astype(np.float32)
    block = Residual([BatchNorm(4), ReLU(), MaxPool2D(2)], shortcut=[MaxPool2D(2)])
    y = block.forward(x, training=True)
    main, way = one_by_one([BatchNorm(4), ReLU(), MaxPool2D(2)], x, ones)
    short, shorter = one_by_one([MaxPool2D(2)], x, ones)
    np.testing.assert_array_equal(y, main + short)
    np.testing.assert_allclose(block.backward(np.ones_like(y)), way + shorter, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("activation", [None, ReLU()], ids=["plain", "relu"])
@pytest.mark.parametrize("shortcut", [None, [Conv2D(5, 5, 1)]], ids=["identity", "projection"])
@pytest.mark.parametrize("size", [(2, 2), (9, 7), (40, 30)])
@pytest.mark.parametrize("norm", [BatchNorm(5), GroupNorm(5, 5), LayerNorm(5)], ids=repr)
@pytest.mark.parametrize("batch", [6, 18])
def test_the_end_of_a_residual_block(batch, norm, size, shortcut, activation):
    """Normalisation, addition and ReLU in one pass, against the layers one after the other."""
    rng = np.random.default_rng(0)
    main = [Conv2D(5, 5, 3, padding=1), norm]
    block = Residual(main, shortcut, activation)
    assert isinstance(block._branches.segments[-1].joint, NormalizedAdd)
    x = rng.normal(1, 2, (batch, 5, *size)).astype(np.float32)
    dy = rng.normal(0, 1, x.shape).astype(np.float32)
    y, dx = block.forward(x, training=True).copy(), block.backward(dy).copy()
    gradients = {name: array.copy() for name, array in block.grads.items()}

    through = main[1].forward(main[0].forward(x, training=True), training=True)
    beside = shortcut[0].forward(x, training=True) if shortcut else x
    summed = through + beside
    np.testing.assert_array_equal(y, np.maximum(summed, 0) if activation else summed)
    reaching = np.where(summed > 0, dy, 0).astype(np.float32) if activation else dy
    expected = main[0].backward(main[1].backward(reaching))
    expected = expected + (shortcut[0].backward(reaching) if shortcut else reaching)
    np.testing.assert_array_equal(dx, expected)
    for name, layer in (("main.0", main[0]), ("main.1", main[1])):
        for part, array in layer.grads.items():
            np.testing.assert_array_equal(gradients[f"{name}.{part}"], array)


@pytest.mark.parametrize("norm", [BatchNorm(5), GroupNorm(5, 5)], ids=repr)
@pytest.mark.parametrize("size", [(2, 2), (90, 70)])  # small and large gradients have other memory
def test_gradients_of_a_row_of_blocks_are_added_on_the_way_back_through_relu(
    norm, size, monkeypatch
):
    def block(**shortcut):
        main = [Conv2D(5, 5, 3, padding=1), copy.deepcopy(norm)]
        return Residual(main, **shortcut, activation=ReLU())

    added = []
    whole = ReLU.backward_of_sum
    monkeypatch.setattr(
        ReLU, "backward_of_sum", lambda *given: added.append(given) or whole(*given)
    )
    model = Sequential(block(), block(shortcut=[Conv2D(5, 5, 1)]), block(), Flatten(), seed=1)
    rng = np.random.default_rng(0)
    x = rng.normal(1, 2, (16, 5, *size)).astype(np.float32)
    y = model.forward(x, training=True)
    dy = rng.normal(0, 1, y.shape).astype(np.float32)
    for _ in range(2):  # with memory that is there already
        y, dx = model.forward(x, training=True), model.backward(dy)
    gradients = [array.copy() for layer in model.layers for array in layer.grads.values()]
    assert len(added) == 2 * 2
    expected_y, expected = one_by_one(model.layers, x, lambda _: dy)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(dx, expected)
    alone = [array for layer in model.layers for array in layer.grads.values()]
    for ours, theirs in zip(gradients, alone, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_blocks_are_opened_but_for_those_of_somebody_s_own():
    class Mine(Residual):
        pass

    inner = Residual([Conv2D(2, 2, 1)])
    block = Residual([inner, BatchNorm(2)], activation=ReLU())
    assert [*block.family()] == [block, inner, *inner.inside, *block.inside[1:]]
    model = Sequential(block, Mine([Conv2D(2, 2, 1)]), Tanh(), seed=1)
    run = [layer for segment in model._row._branches.segments for layer in segment.layers()]
    assert not {block, inner} & {*run}
    assert {*block.inside, *inner.inside} - {inner} <= {*run} and type(run[-2]) is Mine
    x = np.random.default_rng(0).normal(size=(3, 2, 4, 4)).astype(np.float32)
    y = model.forward(x, training=True)
    dx = model.backward(y)
    for layer in model.layers:
        x = layer.forward(x, training=True)
    np.testing.assert_array_equal(y, x)
    dy = y
    for layer in reversed(model.layers):
        dy = layer.backward(dy)
    np.testing.assert_array_equal(dx, dy)


@pytest.mark.parametrize("wide", [(4, 3), (4, 3, 5), (4, 3, 2, 2)], ids=str)
@pytest.mark.parametrize("kind", ["one gradient besides", "an output", "two concatenations"])
def test_a_gradient_is_added_where_it_lies(kind, wide):
    """What is put behind an x from which it was made, in a graph, against NumPy."""
    x = Input(wide[1:])
    a = Tanh()(x)
    b = Concat()(a, LeakyReLU(0.5)(a))
    graph = Graph(x, {"an output": (b, a)}.get(kind, b), seed=None)
    if kind == "two concatenations":
        graph = Graph(x, Add()(Concat()(a, x), Concat()(a, x)), seed=None)
    joints = [type(segment.joint) for segment in graph._row._branches.segments]
    assert (WidenedConcat in joints) == (kind == "one gradient besides")
    values = np.random.default_rng(0).normal(size=wide)
    y = graph.astype(np.float64).forward(values, training=True)
    made = np.tanh(values)
    by_made = 1 - made**2
    if kind == "one gradient besides":
        np.testing.assert_allclose(y, np.concatenate([made, np.where(made > 0, 1, 0.5) * made], 1))
        expected = (1 + np.where(made > 0, 1, 0.5)) * by_made
    elif kind == "an output":
        expected = (2 + np.where(made > 0, 1, 0.5)) * by_made
    else:
        expected = 2 * (by_made + 1)
    dy = tuple(map(np.ones_like, y)) if isinstance(y, tuple) else np.ones_like(y)
    np.testing.assert_allclose(graph.backward(dy), expected)


def dense_units(channels):
    """A row of DenseNet's units with growth 7, each with a smaller unit inside."""
    return [
        Concatenate(
            [
                BatchNorm(seen),
                ReLU(),
                Conv2D(seen, 14, 1),
                Concatenate([BatchNorm(14), ReLU(), Conv2D(14, 1, 1)]),
                BatchNorm(15),
                ReLU(),
                Conv2D(15, 7, 3, padding=1),
            ]
        )
        for seen in (channels, channels + 7, channels + 14)
    ]


def through_unit(unit, x):
    """Forward through the layers of a unit one by one."""
    y = x
    for layer in unit.layers:
        inside = isinstance(layer, Concatenate)
        y = through_unit(layer, y) if inside else layer.forward(y, training=True)
    return np.concatenate([x, y], axis=1)


def back_through_unit(unit, dy):
    """Backward through the layers of a unit one by one."""
    channels = unit.layers[0].num_features
    by_layers = dy[:, channels:]
    for layer in reversed(unit.layers):
        inside = isinstance(layer, Concatenate)
        by_layers = back_through_unit(layer, by_layers) if inside else layer.backward(by_layers)
    return dy[:, :channels] + by_layers


@pytest.mark.parametrize("batch", [12, 20])
@pytest.mark.parametrize("size", [(5, 6), (96, 80)], ids=["memory of their own", "taking turns"])
def test_units_of_a_densenet(size, batch):
    """A row of units in a model, which uses memory again, against the layers one by one."""
    rng = np.random.default_rng(0)
    model, alone = Sequential(*dense_units(6)), dense_units(6)
    first, _, end, *_ = (segment for segment in model._row._branches.segments)
    assert [type(step) for step in first.steps] == [NormedRow]
    assert isinstance(end.joint, WidenedConcat)
    for ours, theirs in zip(model.layers, alone, strict=True):
        for part in ours.params:
            ours.params[part] = rng.normal(0, 0.5, ours.params[part].shape)
            theirs.params[part] = ours.params[part]
    x = rng.normal(1, 2, (batch, 6, *size)).astype(np.float32)
    dy = rng.normal(0, 1, (batch, 27, *size)).astype(np.float32)
    expected, by_x = x, dy
    for unit in alone:
        expected = through_unit(unit, expected)
    for unit in reversed(alone):
        by_x = back_through_unit(unit, by_x)
    for _ in range(2):  # the second time, memory holds the numbers of the first
        np.testing.assert_array_equal(model.forward(x, training=True), expected)
        np.testing.assert_array_equal(model.backward(dy), by_x)
        for ours, theirs in zip(model.layers, alone, strict=True):
            for part, gradient in ours.grads.items():
                np.testing.assert_array_equal(gradient, theirs.grads[part], part)
    assert model.forward(x).shape == expected.shape


def test_measuring_a_densenet_gives_what_its_layers_give():
    """Outside training, results take turns in memory."""
    rng = np.random.default_rng(0)
    model, alone = Sequential(*dense_units(6), seed=None), dense_units(6)
    for ours, theirs in zip(model.layers, alone, strict=True):
        for (_, array), (_, other) in zip(ours.named_arrays(), theirs.named_arrays(), strict=True):
            array[...] = other[...] = rng.uniform(0.5, 1.5, array.shape)
    x = rng.normal(1, 2, (3, 6, 8, 9)).astype(np.float32)
    expected = x
    for unit in alone:
        expected = unit.forward(expected)
    np.testing.assert_array_equal(model.forward(x), expected)


def test_gradients_of_a_row_take_turns_in_memory():
    """A deep model holds two gradients at a time, not one per layer."""
    layers = [layer for _ in range(6) for layer in (Conv2D(8, 8, 3, padding=1), ReLU())]
    model = Sequential(*layers)
    x = np.zeros((256, 8, 32, 32), np.float32)
    model.backward(np.ones_like(model.forward(x, training=True)))
    row = model._row
    memory = [row._scratch, *(layer.workspace for layer in row.family)]
    held = sum(workspace.nbytes for workspace in memory)
    assert held < 16 * x.nbytes  # 12 results, two gradients, and scratch
