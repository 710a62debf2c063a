"""Networks from ONNX files, ours and others', compute what ONNX Runtime computes, and train on."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastcnn import Graph, Sequential, exchange, models
from fastcnn import layers as L
from fastcnn.layers import BatchNorm, Conv2D, Dense, Flatten, Layer, ReLU
from fastcnn.network.checkpoint import CheckpointError

from .test_onnx_out import (
    CASES,
    IMAGES,
    SERIES,
    assert_same,
    branches,
    disturbed,
    named,
    onnx,
    run,
    samples,
)

# What goes out as several nodes that are no layer of their own.
ONE_WAY = (L.Upsample(size=(9, 4)),
           L.AveragePool1D(3, 2, 1, ceil_mode=True, dilation=2),
           L.AveragePool2D(3, 2, 1, ceil_mode=True),
           L.AveragePool2D(2, 2, 1, dilation=2, count_include_pad=False))  # fmt: skip
THERE_AND_BACK = [case for case in CASES if repr(case[1][0]) not in map(repr, ONE_WAY)]


@pytest.mark.parametrize(
    "case", THERE_AND_BACK, ids=lambda case: "-".join(a.name[:12] for a in case[1])
)
def test_there_and_back(tmp_path: Path, case: tuple[tuple[int, ...], list[Layer]]) -> None:
    shape, row = case
    model = disturbed(Sequential(*row, input_shape=shape))
    exchange.save_onnx(model, tmp_path / "model.onnx")
    again = exchange.load_onnx(tmp_path / "model.onnx")
    assert_same(again.forward(samples(shape)), model.forward(samples(shape)))


@pytest.mark.parametrize(
    ("name", "fold"), [*((name, False) for name in models.names()), ("resnet20", True)]
)
def test_the_named_networks(tmp_path: Path, name: str, fold: bool) -> None:
    model = disturbed(models.build(name))
    assert model.input_shape is not None
    exchange.save_onnx(model, tmp_path / "model.onnx", fold=fold)
    again = exchange.load_onnx(tmp_path / "model.onnx")
    x = samples(model.input_shape, 2)
    assert_same(again.forward(x), model.forward(x))
    assert again.name == name and again.input_shape == model.input_shape
    assert isinstance(again, Graph) == (name in ("resnet20", "densenet"))


def test_what_a_model_carries_comes_back_and_it_trains_on(tmp_path: Path) -> None:
    row = [
        Conv2D(3, 2, 3, padding=1, bias=False), BatchNorm(2), ReLU(), L.MaxPool2D(2),
        L.Dropout(0.2), Flatten(), Dense(12, 2),
    ]  # fmt: skip
    model = Sequential(*row, input_shape=(6, 5, 3), data_format="channels_last")
    model.normalization = ([0.1, 0.2, 0.3], [-1, 0, 1])
    pixels = np.random.default_rng(0).integers(0, 256, (8, 6, 5, 3)).astype(np.uint8)
    model.train(pixels, np.array(["cat", "dog"] * 4), epochs=1)
    exchange.save_onnx(model, tmp_path / "model.onnx")
    again = exchange.load_onnx(tmp_path / "model.onnx")
    assert repr(again) == repr(model) and again.learned_from == "pixels"
    assert again.class_names == ("cat", "dog") and again.data_format == "channels_last"
    assert repr(again.loss) == repr(model.loss) and again.task == model.task
    np.testing.assert_array_equal(again.normalization, model.normalization)
    np.testing.assert_array_equal(again.forward(pixels), model.forward(pixels))
    before = again.copy_arrays()
    again.train(pixels, np.array(["cat", "dog"] * 4), epochs=1)
    assert all((array != before[name]).any() for name, array in again.named_arrays())


def test_a_graph(tmp_path: Path) -> None:
    graph = branches()
    exchange.save_onnx(graph, tmp_path / "graph.onnx")
    again = exchange.load_onnx(tmp_path / "graph.onnx")
    given = samples((2, 5, 4)), samples((3,))
    for found, expected in zip(again.forward(given), graph.forward(given), strict=True):
        assert_same(found, expected)
    # The convolution that is called twice is one layer still.
    assert sum(isinstance(layer, Conv2D) for layer in again.layers) == 1


def test_names_come_back(tmp_path: Path) -> None:
    path, given = tmp_path / "graph.onnx", {"left": samples((5, 4, 2)), "right": samples((5, 4, 2))}
    exchange.save_onnx(named(), path)
    again = exchange.load_onnx(path)
    assert again.structure() == named().structure()
    assert again.output_names == ("sum", "product")
    for found, expected in zip(again.forward(given), named().forward(given), strict=True):
        assert_same(found, expected)
    exchange.save_onnx(branches(), path)  # has none
    assert exchange.load_onnx(path).structure().keys() == {"graph"}
    x = L.Input((3,))
    exchange.save_onnx(Graph({"a": x}, {"b": x + Dense(3, 3)(x)}), path)
    again = exchange.load_onnx(path).structure()
    assert (again["input_names"], again["output_names"]) == (["a"], ["b"])
    exchange.save_onnx(Graph({"a": x}, {"b": Dense(3, 3)(x)}), path)
    assert isinstance(exchange.load_onnx(path), Sequential)  # which has no names


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        (("digit", "ink"), ["digit", "ink"]),
        (("digit:0", "ink:0"), None),
        (("23", "ink"), None),
        (("val_digit", "ink"), None),
        (("output_0", "output_1"), None),
        (("y", "y"), None),
    ],
)
def test_names_that_others_chose(tmp_path: Path, names: tuple[str, str], kept: Any) -> None:
    make = onnx.helper
    values = [make.make_tensor_value_info(name, 1, ["n", 3]) for name in ("x.1", *names)]
    made = [("Relu", names[0]), ("Tanh", names[1])][: len(set(names))]
    nodes = [make.make_node(op, ["x.1"], [name]) for op, name in made]
    graph = make.make_graph(nodes, "g", values[:1], values[1:])
    path, opset = tmp_path / "model.onnx", make.make_opsetid("", 17)
    onnx.save(make.make_model(graph, opset_imports=[opset], ir_version=8), path)
    model = exchange.load_onnx(path)
    assert model.structure().get("output_names") == kept
    assert model.output_names == tuple(kept or ("y0", "y1"))
    assert "input_names" not in model.structure()
    assert [y.shape for y in model.forward(samples((3,)))] == [(3, 3)] * 2


# --- what others write ----------------------------------------------------------------------------

SHAPE_OF_FLATTEN = """
    s = Shape(x)
    i = Constant<value_int = 0>()
    b = Gather<axis = 0>(s, i)
    zero = Constant<value_ints = [0]>()
    u = Unsqueeze(b, zero)
    rest = Constant<value_ints = [-1]>()
    shape = Concat<axis = 0>(u, rest)
    y = Reshape(x, shape)"""
PICTURE, TEXT = (4, 6, 5), "float[n,4,6,5] x"
W3 = {"w": (6, 4, 3, 3)}
AROUND = "kernel_shape = [3, 3], strides = [2, 2]"
# (its nodes, arrays, the layers that are wanted); numbers of pads and shapes are int64 arrays.
FOREIGN: list[tuple[str, dict[str, Any], list[str]]] = [
    ("y = Conv<auto_pad = 'SAME_UPPER', strides = [2, 2]>(x, w)", W3, ["Conv2D"]),
    ("y = Conv<auto_pad = 'SAME_LOWER', strides = [2, 2]>(x, w)", W3, ["Conv2D"]),
    ("y = Conv<auto_pad = 'VALID', dilations = [2, 1]>(x, w)", W3, ["Conv2D"]),
    ("a = Conv<pads = [0, 1, 2, 0]>(x, w) y = Add(b, a)", W3 | {"b": (1, 6, 1, 1)}, ["Conv2D"]),
    ("a = Conv(x, w) y = Add(a, b) ", W3 | {"b": (1,)}, ["Conv2D", "BatchNorm"]),
    ("y = ConvTranspose<strides = [2, 2], group = 2, pads = [0, 1, 1, 0]>(x, w, b)",
     {"w": (4, 3, 3, 2), "b": (6,)}, ["ConvTranspose2D"]),
    ("f = Flatten(x) y = Gemm<alpha = 0.5, beta = 2.0, transB = 1>(f, w, b)",
     {"w": (3, 120), "b": (1, 3)}, ["Flatten", "Dense"]),
    ("f = Flatten<axis = -3>(x) m = MatMul(f, w) y = Add(m, b)",
     {"w": (120, 3), "b": (3,)}, ["Flatten", "Dense"]),
    ("f = Flatten(x) y = MatMul(f, w)", {"w": (120, 3)}, ["Flatten", "Dense"]),
    (f"y = MaxPool<{AROUND}, pads = [0, 0, 2, 2]>(x)", {}, ["MaxPool2D"]),
    (f"y = MaxPool<{AROUND}, ceil_mode = 1, dilations = [1, 2]>(x)", {}, ["MaxPool2D"]),
    (f"y = AveragePool<{AROUND}, pads = [1, 0, 1, 1], count_include_pad = 1>(x)", {},
     ["AveragePool2D"]),
    (f"y = AveragePool<{AROUND}, pads = [0, 1, 2, 1]>(x)", {}, ["AveragePool2D"]),
    ("y = ReduceMean<axes = [2, 3], keepdims = 0>(x)", {}, ["GlobalAveragePool2D"]),
    ("y = ReduceMean<axes = [-1, -2]>(x)", {}, ["AdaptiveAveragePool2D"]),
    ("y = ReduceMax<axes = [2, 3], keepdims = 0>(x)", {}, ["GlobalMaxPool2D"]),
    ("g = GlobalMaxPool(x) s = Constant<value_ints = [2, 3]>() y = Squeeze(g, s)", {},
     ["AdaptiveMaxPool2D", "Flatten"]),
    ("g = GlobalAveragePool(x) y = Flatten(g)", {}, ["GlobalAveragePool2D"]),
    ("g = GlobalAveragePool(x) s = Sigmoid(g) y = Mul(x, s)", {},
     ["AdaptiveAveragePool2D", "Sigmoid", "Upsample", "Multiply"]),
    ("y = Div(x, b)", {"b": (1, 4, 1, 1)}, ["BatchNorm"]),
    ("a = Sub(x, b) y = Mul(c, a)", {"b": (4, 1, 1), "c": ()}, ["BatchNorm", "BatchNorm"]),
    ("a = Sigmoid(x) y = Mul(a, x)", {}, ["SiLU"]),
    ("a = Softplus(x) b = Tanh(a) y = Mul(x, b)", {}, ["Mish"]),
    ("a = HardSigmoid<alpha = 0.16666667>(x) y = Mul(a, x)", {}, ["Hardswish"]),
    ("a = Add(x, three) b = Clip(a, zero, six) c = Mul(x, b) y = Div(c, six)",
     {"three": 3.0, "zero": 0.0, "six": 6.0}, ["Hardswish"]),
    ("a = Add(x, three) b = Clip(a, zero, six) y = Div(b, six)",
     {"three": 3.0, "zero": 0.0, "six": 6.0}, ["Hardsigmoid"]),
    ("a = Mul(x, half) b = Mul(x, root) c = Erf(b) d = Add(one, c) y = Mul(a, d)",
     {"half": 0.5, "root": 0.70710678, "one": 1.0}, ["GELU"]),
    ("y = Clip(x, zero)", {"zero": 0.0}, ["ReLU"]),
    ("a = Softplus(x) b = Greater(x, t) y = Where(b, x, a)", {"t": 20.0}, ["Softplus"]),
    ("a = Mul(x, two) b = Softplus(a) c = Div(b, two) d = Greater(a, t) y = Where(d, x, c)",
     {"t": 20.0, "two": 2.0}, ["Softplus"]),
    ("y = PRelu(x, b)", {"b": (4, 1, 1)}, ["PReLU"]),
    ("y = Sum(x, x, x)", {}, ["Add"]),
    ("a = Relu(x) y = Concat<axis = -3>(a, x)", {}, ["ReLU", "Concat"]),
    (SHAPE_OF_FLATTEN, {}, ["Flatten"]),
    ("s = Constant<value_ints = [-1, 120]>() y = Reshape(x, s)", {}, ["Flatten"]),
    ("s = Constant<value_ints = [0, 2, -1, 5]>() y = Reshape(x, s)", {}, ["Reshape"]),
    ("s = Constant<value_ints = [1, 3]>() f = Flatten(x) a = Unsqueeze(f, s) "
     "t = Constant<value_ints = [-1]>() b = Squeeze(a, t) y = Relu(b)", {},
     ["Flatten", "Reshape", "Reshape", "ReLU"]),
    ("y = Pad<mode = 'edge'>(x, p)", {"p": [0, 0, 1, 2, 0, 0, 0, 1]}, ["Pad"]),
    ("y = Pad(x, p, v)", {"p": [0, 0, 1, 2, 0, 0, 0, 1], "v": -1.5}, ["Pad"]),
    ("y = Resize<mode = 'nearest', coordinate_transformation_mode = 'asymmetric', "
     "nearest_mode = 'floor'>(x, '', s)", {"s": [1.0, 1.0, 2.0, 3.0]}, ["Upsample"]),
    ("y = DepthToSpace<blocksize = 2, mode = 'CRD'>(x)", {}, ["PixelShuffle"]),
    ("a = Identity(x) c = Cast<to = 1>(a) d = Dropout(c) y = Relu(d)", {}, ["Dropout", "ReLU"]),
    ("f = Flatten(x) y = LayerNormalization(f, b, c)", {"b": (120,), "c": (120,)},
     ["Flatten", "LayerNorm"]),
    ("y = InstanceNormalization(x, b, c)", {"b": (4,), "c": (4,)}, ["InstanceNorm"]),
    # parts, other orders, and one number or channel for many
    ("y = Slice(x, b, e, a, t)", {"b": [1, 0], "e": [9, -1], "a": [2, 3], "t": [2, 1]},
     ["Pad", "MaxPool2D"]),
    ("y = Slice(x, b, e, a)", {"b": [1], "e": [-1], "a": [1]}, ["Conv2D"]),
    ("a, b = Split<axis = 1>(x) y = Concat<axis = 1>(b, a)", {}, ["Conv2D", "Conv2D", "Concat"]),
    ("a, b = Split<axis = 1>(x, s) y = Relu(b)", {"s": [3, 1]}, ["Conv2D", "ReLU"]),
    ("a, b = Split<axis = 2>(x, s) d = Relu(b) y = Concat<axis = 1>(d, d)", {"s": [4, 2]},
     ["Pad", "ReLU", "Concat"]),
    ("i = Constant<value_int = -2>() y = Gather<axis = 3>(x, i)", {}, ["Pad", "Reshape"]),
    ("y = Gather<axis = 1>(x, i)", {"i": [2]}, ["Conv2D"]),
    ("s = Constant<value_ints = [0, 2, 2, 6, 5]>() a = Reshape(x, s) "
     "t = Transpose<perm = [0, 2, 1, 3, 4]>(a) r = Constant<value_ints = [0, 4, 6, 5]>() "
     "y = Reshape(t, r)", {}, ["Conv2D"]),
    ("g = GlobalAveragePool(x) e = Expand(g, s) y = Mul(e, x)", {"s": [1, 4, 6, 5]},
     ["AdaptiveAveragePool2D", "Upsample", "Multiply"]),
    ("c = Conv(x, w) y = Mul(x, c)", {"w": (1, 4, 1, 1)}, ["Conv2D", "Conv2D", "Multiply"]),
    ("m = ReduceMax<axes = [3]>(x) y = Add(x, m)", {}, ["AdaptiveMaxPool2D", "Upsample", "Add"]),
    ("y = ReduceMean<axes = [2], keepdims = 0>(x)", {}, ["AdaptiveAveragePool2D", "Reshape"]),
    ("r = Sigmoid(x) y = Sub(x, r)", {}, ["Sigmoid", "BatchNorm", "Add"]),
    ("y = Sub(b, x)", {"b": (4, 1, 1)}, ["BatchNorm"]),
    ("a = Abs(x) y = Neg(a)", {}, ["BatchNorm", "ReLU", "ReLU", "Add", "BatchNorm"]),
    ("y = Pow(x, p)", {"p": 2.0}, ["Multiply"]),
    ("y = Max(x, p)", {"p": 0.0}, ["ReLU"]),
    ("y = Pad(x, p)", {"p": [0, 1, -1, 0, 0, 0, -2, 1]}, ["Conv2D", "Pad"]),
    # alike but for the order of what they are given, or for what that is
    ("a = Sub(x, b) c = Sub(b, a) d = Relu(c) y = Sub(b, d)", {"b": (4, 1, 1)},
     ["BatchNorm", "BatchNorm", "ReLU"]),
    ("d = Concat<axis = 1>(x, x, x) s = Constant<value_ints = [0, 3, 4, 6, 5]>() "
     "t = Constant<value_ints = [0, 2, 6, 6, 5]>() r = Constant<value_ints = [0, 12, 6, 5]>() "
     "a = Reshape(d, s) b = Transpose<perm = [0, 2, 1, 3, 4]>(a) c = Reshape(b, r) "
     "e = Reshape(c, t) f = Transpose<perm = [0, 2, 1, 3, 4]>(e) y = Reshape(f, r)", {},
     ["Concat", "Conv2D", "Conv2D"]),
    # the largest and the smallest of several, or of one and 0
    ("a = Neg(x) b = Sigmoid(x) y = Max(a, b, x)", {},
     ["BatchNorm", "Sigmoid", "Concat", "Reshape", "MaxPool2D", "Reshape"]),
    ("g = GlobalMaxPool(x) a = Neg(x) f = Min(g, a) y = Max(p, f)", {"p": 0.0},
     ["AdaptiveMaxPool2D", "BatchNorm", "Upsample", "BatchNorm", "BatchNorm", "Concat", "Reshape",
      "MaxPool2D", "Reshape", "BatchNorm", "ReLU"]),
    ("y = Min(p, x)", {"p": 0.0}, ["BatchNorm", "ReLU", "BatchNorm"]),
    # what the file alone says
    ("m = Mod<fmod = 1>(a, b) y = Mul(x, m)", {"a": -5.5, "b": 3.0}, ["BatchNorm"]),
    ("n = Constant<value_ints = [0]>() e = Slice(n, n, n, n) s = ReduceSum<keepdims = 0>(b, e) "
     "t = ReduceSum<noop_with_empty_axes = 1>(b, e) a = Mul(x, s) y = Add(a, t)", {"b": (4, 1, 1)},
     ["BatchNorm", "BatchNorm"]),
    ("s = Constant<value_ints = [-9]>() e = Constant<value_ints = [-99]>() "
     "n = Constant<value_ints = [0]>() m = Constant<value_ints = [-1]>() c = Slice(b, s, e, n, m) "
     "d = Slice(b, m, e, n, m) f = Mul(x, d) y = Mul(f, c)", {"b": (4, 1, 1)},
     ["BatchNorm", "BatchNorm"]),
]  # fmt: skip
SERIES_OF_OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("y = BatchNormalization(x, b, c, m, v)", {"b": (4,), "c": (4,), "m": (4,), "v": (4,)}),
    ("y = Pad(x, p)", {"p": [0, 0, 3, 0, 0, -1]}),
    ("m = ReduceMean<axes = [2]>(x) y = Mul(x, m)", {}),
    ("y = ReduceMax<axes = [-1], keepdims = 0>(x)", {}),
    ("y = Slice(x, b, e, a, t)", {"b": [1, 2], "e": [3, 99], "a": [1, 2], "t": [1, 3]}),
    ("y = Mul(x, b)", {"b": (4, 1)}),
]


def file_of(
    path: Path,
    nodes: str,
    arrays: dict[str, Any],
    value: str = TEXT,
    opset: int = 17,
) -> Path:
    """A file of nodes, in the text that onnx.parser reads, with arrays of random numbers."""
    text = re.sub(r"'([^']*)'", r'"\1"', nodes.replace("(x, '', s)", "(x, , s)"))
    text = re.sub(r"(?<=[)\s])(?=\w+ = [A-Z])", "\n", text)
    graph = onnx.parser.parse_graph(f"g ({value}) => (float y) {{ {text} }}")
    del graph.output[0].type.tensor_type.shape.dim[:]
    rng = np.random.default_rng(3)
    for name, given in arrays.items():
        if isinstance(given, tuple):
            given = np.float32(rng.uniform(0.5, 1.5, given))
        kind = np.int64 if isinstance(given, list) and isinstance(given[0], int) else np.float32
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(given, kind), name))
    graph.output[0].type.tensor_type.ClearField("shape")
    opsets = [onnx.helper.make_opsetid("", opset)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


@pytest.mark.parametrize("case", FOREIGN, ids=lambda case: re.sub(r"\s+", "", case[0])[:50])
def test_files_of_others(tmp_path: Path, case: tuple[str, dict[str, Any], list[str]]) -> None:
    nodes, arrays, wanted = case
    path = file_of(tmp_path / "model.onnx", nodes, arrays)
    x = samples(PICTURE)
    model = exchange.load_onnx(path)
    assert_same(model.forward(x), run(path, x)[0])
    assert [type(layer).__name__ for layer in model.layers] == wanted
    assert model.backward(model.forward(x, training=True)).shape == x.shape


@pytest.mark.parametrize("case", SERIES_OF_OTHERS, ids=lambda case: case[0][:40])
def test_series_of_others(tmp_path: Path, case: tuple[str, dict[str, Any]]) -> None:
    path = file_of(tmp_path / "model.onnx", *case, "float[N, 4, 9] x")
    x = samples((4, 9))
    model = exchange.load_onnx(path)
    assert_same(model.forward(x), run(path, x)[0])
    assert model.backward(model.forward(x, training=True)).shape == x.shape


# A normalisation of groups: s makes them, t goes back, g is a scale and a shift.
GROUPS = (
    "a = Reshape(x, s) b = InstanceNormalization(a, o, z) c = Reshape(b, t) d = Mul(c, g) "
    "y = Add(d, g)"
)
ONE = {"o": [1.0], "z": [0.0]}
# (nodes, arrays, what the sentence says)
UNKNOWN: list[tuple[str, dict[str, Any], str]] = [
    ("y = LRN<size = 3>(x)", {}, "(LRN) cannot be taken: no layer does this; a BatchNormal"),
    ("y = Softsign(x)", {}, "(Softsign) cannot be taken: no layer does this; a Tanh could st"),
    ("y = Round(x)", {}, "(Round) cannot be taken: no layer does this; known are Abs, Add, "),
    ("y = Transpose<perm = [0, 1, 3, 2]>(x)", {}, "a network whose images are (N, C, H, W) fro"),
    (f"y = MaxPool<{AROUND}, pads = [2, 2, 2, 2]>(x)", {}, "padding may be at most half of po"),
    ("y = Resize<mode = 'linear'>(x, '', s)", {"s": [1.0, 1.0, 2.0, 1.5]}, "give it whole size"),
    ("y = Resize<mode = 'cubic'>(x, '', s)", {"s": [1.0, 1.0, 2.0, 2.0]}, "is not known; Upsamp"),
    ("s = Constant<value_ints = [-1, 60]>() y = Reshape(x, s)", {}, "the first axis must stay t"),
    ("y = Clip(x, a)", {"a": -1.0}, "it is from -1.0 to None; ReLU6 is from 0 to 6, ReLU from"),
    ("y = Conv(x, w)", {"w": (6, 3, 3, 3)}, "expected input with 3 channels"),
    ("y = Conv(x, w, b)", W3 | {"b": (5,)}, "its bias has shape (5,) where (6,) should be"),
    ("y = ConvTranspose<auto_pad = 'SAME_LOWER'>(x, w)", W3, "its padding follows from the size"),
    ("y = Gemm(x, w)", {"w": (5, 3)}, "a Conv of 1 x 1 does it for each pixel"),
    ("f = Flatten(x) y = Gemm(f, w, b)", {"w": (120, 3), "b": (3, 1)}, "its bias has shape (3, 1)"),
    ("h = Shape<end = 2>(x) o = Constant<value_ints = [9, 9]>() s = Concat<axis = 0>(h, o)"
     " y = Resize<mode = 'linear', keep_aspect_ratio_policy = 'not_larger'>(x, '', '', s)", {},
     "its keep_aspect_ratio_policy is 'not_larger'"),
    ("w = Relu(x) y = Conv(x, w)", {}, "its weight follows from the network's input, where it"),
    ("y = Mul(x, b)", {"b": (4, 6, 5)}, "what has one is a number, or one for each channel"),
    ("y = Selu<alpha = 1.0>(x)", {}, "its alpha is 1.0; SELU has the numbers of its paper"),
    ("y = Softmax<axis = 9>(x)", {}, "has no axis 9"),
    ("y = Slice(x, b, e, a)", {"b": [1], "e": [9], "a": [0]}, "along axis 0 of ('N', 4, 6, 5); sa"),
    ("y = Slice(x, b, e, a)", {"b": [9], "e": [9], "a": [2]}, "it takes nothing of ('N', 4, 6, 5"),
    ("y = Slice(x, b, e, a, t)", {"b": [5], "e": [0], "a": [2], "t": [-1]}, "such a part of ('N'"),
    ("a, b = Split<axis = 1>(x, s) y = Relu(b)", {"s": [3, 3]}, "it makes parts of [3, 3] of 4"),
    ("y = Gather<axis = 1>(x, i)", {"i": [2, 0]}, "a Slice takes several, a Conv of 1 x 1 any"),
    ("y = Expand(x, s)", {"s": [3, 4, 6, 5]}, "it makes [3, 4, 6, 5] of ('N', 4, 6, 5), where"),
    ("y = Expand(x, s)", {"s": [1, 8, 6, 5]}, "it makes [1, 8, 6, 5] of ('N', 4"),
    ("g = GlobalAveragePool(x) y = Expand(g, s)", {"s": [1, 4, 2**19, 2**19]}, "for a sample is o"),
    ("y = Expand(x, s)", {"s": [1, 2, 6, 5]}, "it makes [1, 2, 6, 5] of ('N', 4"),
    ("a, b, c = Split<axis = 1>(x) y = Relu(a)", {}, "it makes parts of [1, 1, 1] of 4"),
    ("y = MaxPool<kernel_shape = [2, 2], ceil_mode = 2>(x)", {}, "its ceil_mode is 2"),
    ("y = Pow(x, p)", {"p": 3.0}, "its exponent is not 2"),
    ("y = Max(x, p)", {"p": 1.0}, "it is not with 0, as a Relu"),
    ("a = Slice(x, b, b, b) y = Min(x, a)", {"b": [1]}, "it takes nothing of"),
    ("f = Flatten(x) y = Max(f, x)", {}, "(Max) cannot be taken: shapes differ: ('N', 120) and ("),
    # what is of another shape then, or of numbers that nobody knows
    ("s = Slice(x, b, e, b) y = Max(s, z)", {"b": [1], "e": [2], "z": (8, 1, 1)}, "shape (8, 1"),
    ("y = Pow(x, p)", {"p": (1, 1, 1, 1, 1)}, "an array of shape (1, 1, 1, 1, 1) beside"),
    ("f = Flatten(x) i = Constant<value_int = 2>() a = Gather<axis = 1>(f, i) y = Relu(a)", {},
     "it leaves no axis beside the samples"),
    ("g = GlobalMaxPool(x) y = Squeeze(g)", {}, "it takes the samples' axis too, where there"),
    ("s = Shape(x) i = Constant<value_int = 0>() n = Gather<axis = 0>(s, i) m = Cast<to = 1>(n) "
     "y = Div(x, m)", {}, "it computes with how large the batch is"),
    # groups whose scale is that of columns, which come back turned, or that are not groups
    (GROUPS, ONE | {"s": [0, 1, -1], "t": [0, 4, 6, 5], "g": (5,)}, "an array of shape (5,)"),
    (GROUPS, ONE | {"s": [0, 1, -1], "t": [0, 4, 5, 6], "g": (4, 1, 1)}, "it makes [0, 4, 5, 6]"),
    (GROUPS, ONE | {"s": [-1, 1, 30], "t": [0, 4, 6, 5], "g": (4, 1, 1)}, "first axis must stay"),
    # errors of any kind name the node
    ("y = Pad(x, p, v)", {"p": [0, 0, 1, 1, 0, 0, 1, 1], "v": (0,)}, "'y' (Pad) cannot be taken"),
    ("y = Unsqueeze<axes = 1>(x)", {}, "'y' (Unsqueeze) cannot be taken: 'int' object"),
    ("y = Div(b, x)", {"b": 1.0}, "an array divided by the network's values"),
    ("y = ReduceMean<axes = [1]>(x)", {}, "images are reduced over 2 and 3, series over 2"),
    ("g = GlobalAveragePool(x) a = Pad(g, p) y = Pad(a, p)", {"p": [0, 5000, 0, 0, 0, 0, 0, 0]},
     "(Pad) cannot be taken: 10004 of 5004 channels are too many to be chosen"),
    ("y = Pad(x, p)", {"p": [0, -1, 0, 0, 0, 0, 0, 0]}, "it pads channels by (-1, 0), which only"),
    ("y = Pad(x, p)", {"p": [0, 0, -6, 0, 0, 0, 0, 0]}, "cuts all off images of shape"),
    ("s = Constant<value_ints = [0, 65536, 1, 1]>() a = Expand(x, s) y = Relu(a)", {}, "it makes"),
    ("a, m = MaxPool<kernel_shape = [2, 2]>(x) z = Cast<to = 1>(m) y = Add(a, z)", {},
     "(MaxPool): only its first output is known, not 'm'"),
]  # fmt: skip


@pytest.mark.parametrize("case", UNKNOWN, ids=lambda case: case[0][:40])
def test_what_cannot_be_taken_is_named(
    tmp_path: Path, case: tuple[str, dict[str, Any], str]
) -> None:
    nodes, arrays, message = case
    path = file_of(tmp_path / "model.onnx", nodes, arrays)
    with pytest.raises(CheckpointError, match=re.escape(message)) as caught:
        exchange.load_onnx(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


NORM = {"b": (4,), "c": (4,), "m": (4,), "v": (4,)}
# (opset, nodes, arrays, what the sentence says; "" where they are taken)
VERSIONS: list[tuple[int, str, dict[str, Any], str]] = [
    (9, "y, m1, v1, m2, v2 = BatchNormalization(x, b, c, m, v)", NORM, "so it is in training"),
    (9, "y = BatchNormalization(x, b, c, m, v)", NORM, ""),
    # outputs and inputs that are left out have no name
    (12, "a, '' = MaxPool<kernel_shape = [2, 2]>(x) y = Clip(a, s, '')", {"s": 0.0}, ""),
    (10, "y = Clip<min = 0.0, max = 6.0>(x)", {}, ""),
    (10, "y = Clip<min = 0.0>(x)", {}, ""),
    (10, "y = Clip<max = 6.0>(x)", {}, "it is from None to 6.0"),
    (21, "y = GroupNormalization<num_groups = 2>(x, b, c)", {"b": (4,), "c": (4,)}, ""),
    (18, "y = GroupNormalization<num_groups = 2>(x, b, c)", {"b": (2,), "c": (2,)},
     "before opset 21"),
    (18, "y = Pad(x, p, '', a)", {"p": [1, 2, 0, 1], "a": [3, -2]}, ""),
    (12, "a, k = Dropout(x) c = Cast<to = 1>(k) y = Add(x, c)", {}, "only its first output"),
    (12, "t = Constant<value = bool {1}>() y = Dropout(x, r, t)", {"r": 0.5}, "it drops in"),
    (12, "t = Constant<value = bool {0}>() a = Dropout(x, r, t) y = Relu(a)", {"r": 0.5}, ""),
    (18, "y = Resize<axes = [3, 2], mode = 'linear'>(x, '', s)", {"s": [2.0, 3.0]}, ""),
    (18, "y = Resize<axes = [0, 1, 3, 2], mode = 'linear'>(x, '', s)",
     {"s": [1.0, 1.0, 2.0, 3.0]}, ""),
    (18, "y = Resize<axes = [-1], mode = 'linear'>(x, '', s)", {"s": [2.0]}, ""),
    (18, "y = Resize<axes = [2, 2], mode = 'linear'>(x, '', s)", {"s": [2.0, 2.0]}, "for the axes"),
    (18, "y = Resize<axes = [2], mode = 'linear'>(x, '', s)", {"s": [2.0, 2.0]}, "for the axes"),
    (18, "a, b, c = Split<axis = 2, num_outputs = 3>(x) d = Concat<axis = 1>(c, a) y = Relu(d)", {},
     ""),
    (18, "a, b, c = Split<axis = 3, num_outputs = 3>(x) y = Relu(c)", {}, ""),
    (12, "y = MaxPool<kernel_shape = [3, 3], dilations = [2, 1], auto_pad = 'SAME_UPPER'>(x)", {},
     "runtimes do not agree on"),
    (19, "y = AveragePool<kernel_shape = [3, 3], auto_pad = 'SAME_LOWER', ceil_mode = 1>(x)", {},
     ""),
]  # fmt: skip


@pytest.mark.parametrize("case", VERSIONS, ids=lambda case: f"{case[0]}-{case[1][:40]}")
def test_what_versions_say_in_their_own_way(
    tmp_path: Path, case: tuple[int, str, dict[str, Any], str]
) -> None:
    opset, nodes, arrays, said = case
    path = file_of(tmp_path / "model.onnx", nodes, arrays, opset=opset)
    if said:
        with pytest.raises(CheckpointError, match=re.escape(said)):
            exchange.load_onnx(path)
    else:
        x = samples(PICTURE)
        assert_same(exchange.load_onnx(path).forward(x), run(path, x)[0])


@pytest.mark.parametrize("op", ["Relu", "Add", "Conv"])
def test_operators_of_another_domain_are_not_those_of_onnx(tmp_path: Path, op: str) -> None:
    """Not where an array is computed either, nor as the half of what becomes one layer."""
    nodes = {
        "Relu": "y = Relu(x)",
        "Add": "a = Add(b, b) y = Mul(x, a)",
        "Conv": "a = Conv(x, w) y = Add(a, b)",
    }[op]
    path = file_of(tmp_path / "model.onnx", nodes, {"w": (4, 4, 1, 1), "b": (4, 1, 1)})
    model = onnx.load(path)
    next(node for node in model.graph.node if node.op_type == op).domain = "com.mine"
    onnx.save(model, path)
    with pytest.raises(CheckpointError, match=re.escape(f"(com.mine.{op}) is of the domain 'com.")):
        exchange.load_onnx(path)


def test_images_that_lie_otherwise_at_the_end_are_refused(tmp_path: Path) -> None:
    nodes = "t = Transpose<perm = [0, 3, 1, 2]>(x) y = Relu(t)"
    path = file_of(tmp_path / "model.onnx", nodes, {})
    with pytest.raises(CheckpointError, match="with a Transpose at its end both would lie alike"):
        exchange.load_onnx(path)


def test_a_vector_that_is_turned_as_an_image_is_refused(tmp_path: Path) -> None:
    nodes = (
        "t = Transpose<perm = [0, 3, 1, 2]>(x) a = Flatten(t) y = Transpose<perm = [0, 2, 3, 1]>(a)"
    )
    path = file_of(tmp_path / "model.onnx", nodes, {})
    with pytest.raises(CheckpointError, match=r"its output 'y' is of images, not \('N', 120\)"):
        exchange.load_onnx(path)


def test_sizes_that_a_file_leaves_open(tmp_path: Path) -> None:
    path = file_of(tmp_path / "model.onnx", "y = Relu(x)", {}, "float[n, 3, h, w] x")
    with pytest.raises(CheckpointError, match=r"leaves sizes of its input 'x' open, \('N', 3, Non"):
        exchange.load_onnx(path)
    with pytest.raises(CheckpointError, match=r"input_shape is \(1, 5, 5\), the file says \(3, No"):
        exchange.load_onnx(path, input_shape=(1, 5, 5))
    assert exchange.load_onnx(path, input_shape=(3, 5, 5)).input_shape == (3, 5, 5)


def test_arrays_that_several_nodes_have(tmp_path: Path) -> None:
    """A weight twice is one layer called twice, but equal numbers are written once by exporters."""
    nodes = (
        "a = Conv<pads = [1, 1, 1, 1]>(x, w) b = BatchNormalization(a, c, d, d, c) "
        "e = Conv<pads = [1, 1, 1, 1]>(b, w) y = BatchNormalization(e, c, d, d, c)"
    )
    arrays = {"w": (4, 4, 3, 3), "c": [1.0] * 4, "d": [0.0] * 4}
    path = file_of(tmp_path / "model.onnx", nodes, arrays)
    model = exchange.load_onnx(path)
    assert [type(layer) for layer in model.layers] == [Conv2D, BatchNorm, BatchNorm]
    assert_same(model.forward(samples(PICTURE)), run(path, samples(PICTURE))[0])


def test_layers_that_have_some_arrays_in_common(tmp_path: Path) -> None:
    """Only all of them make it one layer."""
    nodes = []
    for i, (gamma, beta) in enumerate(("gb", "hb", "gc", "gb")):
        nodes.append(
            f"a{i} = Reshape(v{i}, s) b{i} = InstanceNormalization(a{i}, o, z) "
            f"t{i} = Shape(v{i}) c{i} = Reshape(b{i}, t{i}) d{i} = Mul(c{i}, {gamma}) "
            f"v{i + 1} = Add(d{i}, {beta})"
        )
    text = (
        "v0 = Conv(x, w) "
        + " ".join(nodes)
        + (
            " e = Add(v4, b) f = Mul(e, b) i = Mul(g, f) j = Conv<group = 2>(i, u, k) "
            "l = Conv<group = 2>(i, u, m) n = PRelu(j, k2) q = PRelu(l, m2) y = Add(n, q)"
        )
    )
    one = (4, 1, 1)
    arrays = {"s": [0, 2, -1], "o": [1.0] * 2, "z": [0.0] * 2, "w": (4, 4, 1, 1)}
    arrays |= {"u": (4, 2, 1, 1), "k": (4,), "m": (4,), "k2": one, "m2": one}
    arrays |= dict.fromkeys("ghbc", one)
    path = file_of(tmp_path / "model.onnx", text, arrays)
    model = exchange.load_onnx(path)
    assert_same(model.forward(samples(PICTURE)), run(path, samples(PICTURE))[0])
    assert sum(isinstance(layer, L.GroupNorm) for layer in model.layers) == 3


@pytest.mark.parametrize("shape", [SERIES, IMAGES])
def test_pytorch(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """A small sample of `python -m tests.exchange.prove_onnx`."""
    pytest.importorskip("torch")
    from . import prove_onnx as prove

    if shape == IMAGES:
        module, size = prove.made("U-Net")
        model, off = prove.outputs(module, size, tmp_path / "model.onnx", "unfolded")
        assert off <= prove.OUTPUTS and prove.gradients(module, size, model) <= prove.GRADIENTS
    else:
        row = prove.nn.Sequential(
            prove.nn.Conv1d(4, 6, 3, padding=1), prove.nn.MaxPool1d(2), prove.nn.AvgPool1d(2, 1),
            prove.nn.Flatten(), prove.nn.Linear(18, 4), prove.nn.LogSoftmax(1),
        )  # fmt: skip
        assert prove.outputs(row.eval(), shape, tmp_path / "a.onnx", "plain")[1] <= prove.OUTPUTS
