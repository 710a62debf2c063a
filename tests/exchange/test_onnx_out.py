"""What `save_onnx` writes computes in ONNX Runtime what the network computes here."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastcnn import Graph, Sequential, exchange, models
from fastcnn import layers as L
from fastcnn.layers import BatchNorm, Conv2D, Dense, Flatten, Input, Layer, ReLU
from fastcnn.network.network import Network

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

IMAGES, SERIES, ROWS = (4, 7, 6), (4, 9), (8,)
MORE = ((1, 2), (0, 1))

# Of each kind of layer the cases that are written in different ways: (shape of a sample, layers).
CASES: list[tuple[tuple[int, ...], list[Layer]]] = [
    (IMAGES, [Conv2D(4, 6, (3, 2), (2, 1), MORE, groups=2), L.SELU()]),
    (IMAGES, [Conv2D(4, 8, 3, 2, "same", bias=False, groups=4), L.Hardswish()]),
    (IMAGES, [Conv2D(4, 3, (2, 4), padding="same", dilation=2), L.Hardsigmoid()]),
    (IMAGES, [L.ConvTranspose2D(4, 6, 3, (2, 3), 1, output_padding=1, groups=2), L.Mish()]),
    (IMAGES, [L.ConvTranspose2D(4, 3, 2, padding=((0, 1), (1, 0)), dilation=2, bias=False)]),
    (SERIES, [L.Conv1D(4, 6, 3, 2, (2, 1), groups=2), L.Softplus()]),
    (SERIES, [L.Conv1D(4, 6, 4, padding="same"), L.Softplus(2.5)]),
    (ROWS, [Dense(8, 5, bias=False), L.LeakyReLU(0.2), Dense(5, 3), L.Softmax()]),
    (IMAGES, [L.MaxPool2D(3, 2, ((0, 1), (1, 0)), ceil_mode=True)]),
    (IMAGES, [L.MaxPool2D(2, 1, dilation=2), L.MaxPool2D(2, padding="same")]),
    (IMAGES, [L.MaxPool2D((2, 3), (1, 2), (2, 1), dilation=(3, 2), ceil_mode=True)]),
    (SERIES, [L.MaxPool1D(2, 1, 2, dilation=3), L.MaxPool1D(3, padding="same", dilation=2)]),
    (SERIES, [L.MaxPool1D(3, 2, 1, ceil_mode=True), L.AveragePool1D(2, 3, ceil_mode=True)]),
    (SERIES, [L.AveragePool1D(3, 2, 1, ceil_mode=True, dilation=2)]),
    (IMAGES, [L.AveragePool2D(3, 2, 1), L.AveragePool2D(3, padding="same")]),
    (IMAGES, [L.AveragePool2D(3, 2, 1, count_include_pad=False, ceil_mode=True)]),
    (IMAGES, [L.AveragePool2D(3, 2, 1, ceil_mode=True)]),
    (IMAGES, [L.AveragePool2D(2, 2, 1, dilation=2, count_include_pad=False)]),
    (IMAGES, [L.GlobalAveragePool2D(), L.ReLU6()]),
    (IMAGES, [L.GlobalMaxPool2D(), L.PReLU(4)]),
    (SERIES, [BatchNorm(4), L.GroupNorm(2, 4), L.InstanceNorm(4), L.GlobalAveragePool1D()]),
    (SERIES, [L.LayerNorm(4), L.Conv1D(4, 6, 3), BatchNorm(6), ReLU(), L.GlobalMaxPool1D()]),
    (IMAGES, [L.AdaptiveAveragePool2D((3, 4)), L.AdaptiveAveragePool2D(1)]),
    (IMAGES, [L.AdaptiveMaxPool2D((5, 4)), L.AdaptiveMaxPool2D((None, 2))]),
    (IMAGES, [BatchNorm(4), L.GELU(), L.GroupNorm(2, 4), L.PReLU(), L.LayerNorm(4)]),
    (ROWS, [BatchNorm(8), L.GELU("tanh"), L.GroupNorm(2, 8), L.LogSoftmax(-1)]),
    (IMAGES, [L.InstanceNorm(4), L.PReLU(4), L.Softmax(2), L.LogSoftmax()]),
    (SERIES, [L.PReLU(4), L.Sigmoid(), L.Reshape((2, 3, 6)), L.Tanh(), L.Reshape((-1,))]),
    (IMAGES, [L.PixelShuffle(2), L.ELU(0.5), L.Pad(MORE, "reflect"), L.SiLU(), Flatten()]),
    (IMAGES, [L.Pad(1, "replicate"), L.Pad(MORE, "constant", 2.0), L.Pad(1), ReLU()]),
    (IMAGES, [L.Upsample((3, 2)), L.Upsample(2, mode="bilinear"), L.Dropout(0.5)]),
    (IMAGES, [L.Upsample(size=(9, 4)), L.Upsample(size=(5, 7), mode="bilinear")]),
    (IMAGES, [L.Upsample(3, mode="bilinear", align_corners=True), L.SpatialDropout(0.3)]),
    (IMAGES, [L.Residual([Conv2D(4, 4, 3, padding=1), BatchNorm(4)], activation=ReLU())]),
    (IMAGES, [L.Residual([Conv2D(4, 2, 1)], [Conv2D(4, 2, 1)]), L.Concatenate([BatchNorm(2)])]),
]  # fmt: skip


def disturbed(model: Network) -> Any:
    """The model, with other numbers than those that BatchNorm and PReLU start with."""
    rng = np.random.default_rng(1)
    for name, array in model.named_arrays():
        if "weight" not in name:
            array[...] = rng.uniform(0.5, 1.5, array.shape)
    return model


def run(path: Path, *inputs: np.ndarray) -> list[np.ndarray]:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1  # its threads would spin beside our own
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options)
    names = [each.name for each in session.get_inputs()]
    return session.run(None, dict(zip(names, inputs, strict=True)))


def samples(shape: tuple[int, ...], count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).uniform(-2, 2, (count, *shape)).astype(np.float32)


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape and found.dtype == expected.dtype
    assert abs(found - expected).max() <= 1e-5 * abs(expected).max()


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(a.name[:12] for a in case[1]))
def test_each_kind_of_layer(tmp_path: Path, case: tuple[tuple[int, ...], list[Layer]]) -> None:
    shape, row = case
    path = tmp_path / "model.onnx"
    model = disturbed(Sequential(*row, input_shape=shape))
    exchange.save_onnx(model, path)
    onnx.checker.check_model(str(path), full_check=True)
    for batch in (1, 3):
        x = samples(shape, batch)
        assert_same(run(path, x)[0], model.forward(x))


def test_the_cases_are_of_all_kinds() -> None:
    tried = {type(layer).__name__ for _, row in CASES for layer in row}
    tried |= {"Add", "Multiply", "Concat"}  # in a graph, below
    assert tried >= set(L.__all__) - {"Input", "Layer", "from_spec"}


@pytest.mark.parametrize("name", models.names())
def test_the_named_networks(tmp_path: Path, name: str) -> None:
    model = disturbed(models.build(name))
    assert model.input_shape is not None
    for fold in (False, True):
        path = tmp_path / f"{fold}.onnx"
        exchange.save_onnx(model, path, fold=fold)
        for batch in (1, 3):
            x = samples(model.input_shape, batch)
            assert_same(run(path, x)[0], model.forward(x))


def branches() -> Graph:
    """With two inputs and outputs, a layer called twice, one output inside, sums of three."""
    x, z = Input((2, 5, 4)), Input((3,))
    shared = Conv2D(2, 2, 3, padding=1)
    a = shared(x)
    b = BatchNorm(2)(shared(a))
    c = L.Concat()(L.Multiply()(a, b, x), L.Add()(a, b, x))
    return disturbed(Graph((x, z), (a, L.Concat()(Dense(80, 2)(Flatten()(c)), Dense(3, 2)(z)))))


def test_a_graph(tmp_path: Path) -> None:
    graph, path = branches(), tmp_path / "graph.onnx"
    given = samples((2, 5, 4)), samples((3,))
    for fold in (False, True):
        exchange.save_onnx(graph, path, fold=fold)
        for found, expected in zip(run(path, *given), graph.forward(given), strict=True):
            assert_same(found, expected)
    # The layer that is called twice keeps its weights, so its BatchNorm stays.
    assert "BatchNormalization" in [node.op_type for node in onnx.load(path).graph.node]


def named(
    inputs: tuple[str, str] = ("left", "right"), outputs: tuple[str, ...] = ("sum", "product")
) -> Graph:
    """Two inputs and outputs with names; of images, so that both may lie channels last."""
    x, z = (Input((5, 4, 2), data_format="channels_last") for _ in range(2))
    ends = {"sum": x + z, "product": L.Flatten()(x * z)}
    return Graph(
        dict(zip(inputs, (x, z), strict=True)), dict(zip(outputs, ends.values(), strict=True))
    )


def test_outputs_are_given_by_name(tmp_path: Path) -> None:
    graph, path = named(), tmp_path / "graph.onnx"
    exchange.save_onnx(graph, path)
    given = {"right": samples((5, 4, 2)), "left": samples((5, 4, 2)) ** 2}
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for name, expected in zip(("sum", "product"), graph.forward(given), strict=True):
        assert_same(session.run([name], given)[0], expected)


@pytest.mark.parametrize(
    ("inputs", "outputs", "expected"),
    [
        (("image", "x"), ("image", "y"), ["image", "x", "image_2", "y"]),
        (None, ("input_0", "output_0"), ["input_0_2", "input_1", "input_0", "output_0"]),
        (("output_1", "b"), None, ["output_1", "b", "output_0", "output_1_2"]),
        (None, None, ["input_0", "input_1", "output_0", "output_1"]),
    ],
)
def test_a_name_stands_in_a_file_once(
    tmp_path: Path, inputs: Any, outputs: Any, expected: list[str]
) -> None:
    graph, path = named(inputs or ("a", "b"), outputs or ("c", "d")), tmp_path / "graph.onnx"
    structure = {
        name: names
        for name, names in graph.structure().items()
        if not ((name == "input_names" and not inputs) or (name == "output_names" and not outputs))
    }
    graph = Graph.of_layers(graph.layers, structure, data_format="channels_last", input_shape=None)
    exchange.save_onnx(graph, path)
    onnx.checker.check_model(str(path), full_check=True)
    found = onnx.load(path).graph
    assert [value.name for value in (*found.input, *found.output)] == expected
    given = samples((5, 4, 2)), samples((5, 4, 2)) ** 2
    for found, wanted in zip(run(path, *given), graph.forward(given), strict=True):
        assert_same(found, wanted)


def test_layers_called_again_on_images_of_another_size(tmp_path: Path) -> None:
    x, path = Input((4, 6, 5)), tmp_path / "model.onnx"
    shared = [L.GroupNorm(2, 4), L.Pad(1, "reflect"), L.AdaptiveAveragePool2D(2),
              L.AdaptiveMaxPool2D(2), L.AveragePool2D(2, 2, 1, False), L.Upsample(size=(7, 8)),
              L.InstanceNorm(4), L.PReLU(4), L.Reshape((4, -1, 1)), Flatten(),
              Conv2D(4, 2, 3, 2, "same")]  # fmt: skip
    for layer in shared:
        small = L.MaxPool2D(2)(x)
        ends = [Flatten()(layer(each)) for each in (x, small, x)]
        model = disturbed(Graph(x, L.Concat()(*ends)))
        exchange.save_onnx(model, path)
        given = samples((4, 6, 5))
        assert_same(run(path, given)[0], model.forward(given))


def test_pixels_of_several_inputs_with_other_channels(tmp_path: Path) -> None:
    x, z = Input((3, 5, 4)), Input((1, 5, 4))
    model, path = (
        Graph((x, z), L.Concat()(Conv2D(3, 2, 3)(x), Conv2D(1, 2, 3)(z))),
        tmp_path / "two",
    )
    model.normalization = (1 / 100, -0.5)
    exchange.save_onnx(model, path, pixels=True)
    rng = np.random.default_rng(4)
    given = tuple(rng.integers(0, 256, (2, *each.shape), np.uint8) for each in (x, z))
    assert_same(run(path, *given)[0], model.forward(given))
    assert_same(exchange.load_onnx(path).forward(given), model.forward(given))


def folding() -> Sequential:
    row = [
        Conv2D(4, 4, 3, groups=2, bias=False), BatchNorm(4), L.ConvTranspose2D(4, 6, 2, groups=2),
        BatchNorm(6), ReLU(), BatchNorm(6), Flatten(), Dense(180, 3), BatchNorm(3),
    ]  # fmt: skip
    return disturbed(Sequential(*row, input_shape=IMAGES))


def test_two_norms_are_folded_one_after_the_other(tmp_path: Path) -> None:
    row = [Conv2D(2, 3, 3, bias=False), BatchNorm(3), BatchNorm(3), Flatten(), Dense(18, 2)]
    model, path = disturbed(Sequential(*row, input_shape=(2, 5, 4))), tmp_path / "model.onnx"
    exchange.save_onnx(model, path, fold=True)
    assert [node.op_type for node in onnx.load(path).graph.node] == ["Conv", "Flatten", "Gemm"]
    x = samples((2, 5, 4))
    assert_same(run(path, x)[0], model.forward(x))


def test_batch_norm_is_folded_where_it_can_be(tmp_path: Path) -> None:
    model, path = folding(), tmp_path / "model.onnx"
    exchange.save_onnx(model, path, fold=True)
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert kinds.count("BatchNormalization") == 1  # the one behind the ReLU
    assert_same(run(path, samples(IMAGES))[0], model.forward(samples(IMAGES)))


def test_names_are_those_of_the_layers(tmp_path: Path) -> None:
    exchange.save_onnx(folding(), tmp_path / "model.onnx")
    graph = onnx.load(tmp_path / "model.onnx").graph
    assert [node.name for node in graph.node][:3] == [
        "0.Conv2D",
        "1.BatchNorm",
        "2.ConvTranspose2D",
    ]
    arrays = [array.name for array in graph.initializer]
    assert arrays[:3] == ["0.weight", "1.gamma", "1.beta"]
    assert (graph.input[0].name, graph.output[0].name) == ("input", "output")
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_what_a_model_carries(tmp_path: Path) -> None:
    """Pixels go in where the model was made for them, and the file says how they become floats."""
    path = tmp_path / "model.onnx"
    model = Sequential(Conv2D(3, 2, 3), Flatten(), Dense(2 * 4 * 3, 2), class_names=("cat", "dog"))
    model.normalization = ([0.1, 0.2, 0.3], [-1, 0, 1])
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 6, 5)).astype(np.uint8)
    exchange.save_onnx(model, path, input_shape=(3, 6, 5))
    assert_same(run(path, pixels)[0], model.forward(pixels))
    told = {each.key: json.loads(each.value) for each in onnx.load(path).metadata_props}
    assert told["class_names"] == ["cat", "dog"]
    np.testing.assert_allclose(told["normalization"], model.normalization)
    assert onnx.load(path).graph.input[0].doc_string == "uint8 pixels from 0 to 255"
    exchange.save_onnx(model, path, pixels=False, input_shape=(3, 6, 5))
    assert_same(run(path, model.prepared(pixels).copy())[0], model.forward(pixels))
    assert "pixel * scale + offset" in onnx.load(path).graph.input[0].doc_string


def test_images_lie_as_the_model_has_them(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = Sequential(Conv2D(3, 2, 3), ReLU(), input_shape=(6, 5, 3), data_format="channels_last")
    exchange.save_onnx(model, path, pixels=True)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 6, 5, 3)).astype(np.uint8)
    assert_same(run(path, pixels)[0], model.forward(pixels))


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    class Mine(ReLU):
        pass

    small = Sequential(Dense(2, 2), input_shape=(2,))
    mistakes: list[tuple[Sequential, dict[str, Any], str]] = [
        (Sequential(Dense(2, 2), Mine()), {"input_shape": (2,)}, "Mine() (layer 1): save_onnx"),
        (Sequential(Conv2D(1, 2, 3)), {}, "does not say what it takes: give input_shape, such"),
        (small, {"input_shape": (3,)}, "input_shape is (2,), as the model says, not (3,)"),
        (small, {"pixels": True}, "pixels=True is for images, the model takes samples of shape"),
        (Sequential(Dense(2, 2)), {"input_shape": (3,)}, "Dense(2, 2): expected"),
    ]
    for model, options, message in mistakes:
        with pytest.raises(ValueError, match=re.escape(message)):
            exchange.save_onnx(model, tmp_path / "model.onnx", **options)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        exchange.save_onnx(models.build("lenet5"), tmp_path / "none" / "model.onnx")
    with pytest.raises(ValueError, match="input_shape is for one input; this Graph says"):
        exchange.save_onnx(branches(), tmp_path / "model.onnx", input_shape=(2, 5, 4))
    assert not list(tmp_path.iterdir())
