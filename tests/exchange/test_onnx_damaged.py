"""Damaged and hostile ONNX files: one sentence, and memory of the order of the file's size."""

import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastcnn import exchange
from fastcnn.network.checkpoint import CheckpointError

from .test_onnx_in import PICTURE, TEXT, file_of
from .test_onnx_out import assert_same, onnx, run, samples

CONV = "y = Conv(x, w, b)", {"w": (6, 4, 3, 3), "b": (6,)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return file_of(tmp_path / "model.onnx", *CONV)


def refused(path: Path) -> str:
    """The sentence, for which little memory is taken."""
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError) as caught:
            exchange.load_onnx(path)
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()
    sentence = str(caught.value)
    assert str(path) in sentence and "\n" not in sentence
    return sentence


def change(path: Path, how: Callable[[Any], Any]) -> str:
    """The sentence about a file in which something is otherwise."""
    model = onnx.load(path)
    how(model)
    path.write_bytes(model.SerializeToString())
    return refused(path)


def external(model: Any) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"


def subgraph(model: Any) -> None:
    model.graph.node.append(onnx.helper.make_node("If", ["x"], ["z"], then_branch=model.graph))


def dims(*sizes: int) -> Callable[[Any], None]:
    def how(model: Any) -> None:
        tensor = model.graph.initializer[0]
        del tensor.dims[:]
        tensor.dims.extend(sizes)

    return how


def constant_of_shape(model: Any) -> None:
    big = onnx.numpy_helper.from_array(np.array([2**20, 2**20]), "big")
    model.graph.initializer.append(big)
    model.graph.node.insert(0, onnx.helper.make_node("ConstantOfShape", ["big"], ["huge"]))


def doubled(model: Any) -> None:
    """Each Concat is twice as long as the one before it."""
    for i in range(40):
        names = [f"d{i - 1}" if i else "b"] * 2
        model.graph.node.insert(i, onnx.helper.make_node("Concat", names, [f"d{i}"], axis=0))


def cycle(model: Any) -> None:
    model.graph.node[0].input[0] = "y"


def sparse(model: Any) -> None:
    model.graph.sparse_initializer.add()


def window(model: Any) -> None:
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("strides", [2**40, 1]))


def twice(name: str) -> Callable[[Any], None]:
    def how(model: Any) -> None:
        rows = {"node": model.graph.node, "initializer": model.graph.initializer,
                "input": model.graph.input}[name]  # fmt: skip
        rows.append(rows[0])

    return how


HOSTILE: list[tuple[Callable[[Any], Any], str]] = [
    (external, "the array 'w' lies in another file, which is not read"),
    (subgraph, "'z' (If) has a graph inside, which is not read"),
    (dims(6, 4, 3, 4), "is damaged, or no ONNX file: the array 'w' is not as long as its shape"),
    (dims(2**40, 4, 3, 3), "an array has an axis of 1099511627776"),
    (dims(2**30, 2**30, 2**30), "the array 'w' is not as long as its shape"),
    (dims(-6, 4, 3, 3), "an array has an axis of -6"),
    (dims(-1, 4, 3, 3), "the array 'w' has a negative size"),
    (dims(*[1] * 9), "an array has more than 8 axes"),
    (dims(216), "cannot be taken"),
    (constant_of_shape, "asks for far more memory than the file's size explains"),
    (doubled, "asks for far more memory than the file's size explains"),
    (cycle, "needs 'y', which nothing before it gives"),
    (sparse, "it has sparse arrays, which are not read"),
    (window, "its strides is [1099511627776, 1]"),
    (twice("node"), "it has two values called 'y'"),
    (twice("initializer"), "it has two arrays called 'w'"),
    (twice("input"), "it has two values called 'x'"),
    (lambda model: model.opset_import.__delitem__(0), "it has opset 0, known are 7 to 25; ask for"),
    (lambda model: setattr(model.opset_import[0], "version", 99), "it has opset 99, known are"),
    (lambda model: model.functions.add(), "it has functions of its own, which are not read"),
    (lambda model: model.ClearField("graph"), "is damaged, or no ONNX file: it has no graph"),
    (lambda model: setattr(model.graph.node[0], "domain", "com.mine"), "of the domain 'com.mine'"),
    (lambda model: setattr(model.graph.initializer[0], "data_type", 16), "elements of type 16, wh"),
    (lambda model: setattr(model.graph.output[0], "name", "w"), "its output 'w' comes from no nod"),
    (lambda model: model.graph.input.__delitem__(0), "needs 'x', which nothing before it gives"),
]  # fmt: skip


@pytest.mark.parametrize(("how", "message"), HOSTILE, ids=[message[:40] for _, message in HOSTILE])
def test_hostile_files(file: Path, how: Callable[[Any], Any], message: str) -> None:
    assert re.search(re.escape(message), change(file, how))


BROKEN = [b"", b"PK\3\4 something else", b"\xff" * 40, b"\x0a" + b"\xff" * 9 + b"\x01", b"\0" * 9]


@pytest.mark.parametrize("content", BROKEN, ids=range(len(BROKEN)))
def test_what_is_no_such_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.onnx").write_bytes(content)
    assert "is damaged, or no ONNX file" in refused(tmp_path / "a.onnx")


def test_every_end_may_be_missing(file: Path) -> None:
    content = file.read_bytes()
    for length in range(0, len(content), 7):
        file.write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            exchange.load_onnx(file)


def test_more_nodes_than_any_network_has(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two bytes each, and each would be an object."""
    monkeypatch.setattr("fastcnn.exchange.onnx.file._MOST_PARTS", 1000)
    size = 2 * 1001
    graph = b"\x3a" + bytes([size & 127 | 128, size >> 7]) + b"\x0a\0" * 1001
    file.write_bytes(b"\x42\x02\x10\x11" + graph)
    assert "has more than 1,000 nodes, arrays and values" in refused(file)
    file.write_bytes(b"\x42\x02\x10\x11" + graph + graph)
    assert "it has two graphs" in refused(file)


def test_a_weight_in_many_layers_takes_no_more_memory_than_is_there(tmp_path: Path) -> None:
    nodes = " ".join(f"v{i} = Conv<pads = [0, {i}, 0, 0]>(x, w)" for i in range(20))
    total = "y = Sum(" + ", ".join(["v0"] * 2) + ")"
    path = file_of(tmp_path / "model.onnx", f"{nodes} {total}", {"w": (4, 4, 1, 1)}, TEXT)
    assert exchange.load_onnx(path).layers  # what is not needed is not made
    many = "f = Flatten(x) " + " ".join(
        f"v{i} = Gemm<alpha = {i}.5>(f, w)" for i in range(100)
    )  # fmt: skip
    total = "y = Concat<axis = 1>(" + ", ".join(f"v{i}" for i in range(100)) + ")"
    path = file_of(tmp_path / "model.onnx", f"{many} {total}", {"w": (120, 800)})
    with pytest.raises(CheckpointError, match="asks for far more memory than the file's size"):
        exchange.load_onnx(path)


def test_a_scale_in_many_layers_takes_no_more_memory_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a layer is made of several nodes."""
    monkeypatch.setattr("fastcnn.exchange.onnx.constants._SPARE", 2**20)
    nodes = "v0 = Relu(x) " + " ".join(
        f"a{i} = Reshape(v{i}, s) b{i} = InstanceNormalization(a{i}, o, z) t{i} = Shape(v{i}) "
        f"c{i} = Reshape(b{i}, t{i}) d{i} = Mul(c{i}, g) v{i + 1} = Add(d{i}, h)"
        for i in range(9)
    )
    many = np.ones((30_000, 1, 1))  # other numbers would make one layer of all
    arrays = {"s": [0, 1, -1], "o": [1.0], "z": [0.0], "g": many, "h": many}
    path = tmp_path / "model.onnx"
    value = "float[n, 30000, 1, 1] x"
    short = nodes[: nodes.index("a1 =")] + "y = Relu(v1)"
    made = exchange.load_onnx(file_of(path, short, arrays, value))
    assert [type(layer).__name__ for layer in made.layers] == ["ReLU", "LayerNorm", "ReLU"]
    file_of(path, f"{nodes} y = Relu(v9)", arrays, value)
    assert "asks for far more memory than the file's size explains" in refused(path)


def test_numbers_that_are_written_one_by_one(file: Path) -> None:
    """As onnx.helper.make_tensor does it, not as raw data; the values are the same."""
    expected = run(file, samples(PICTURE))[0]
    model = onnx.load(file)
    for tensor in model.graph.initializer:
        tensor.float_data.extend(np.frombuffer(tensor.raw_data, np.float32))
        tensor.ClearField("raw_data")
    onnx.save(model, file)
    assert_same(exchange.load_onnx(file).forward(samples(PICTURE)), expected)


def test_files_changed_at_random(tmp_path: Path) -> None:
    """A small sample of `python -m tests.exchange.fuzz_onnx 10000`."""
    from . import fuzz_onnx

    assert not [what for _, what, _ in fuzz_onnx.failures(150, tmp_path, seed=1)]


def test_places_where_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no file"):
        exchange.load_onnx(tmp_path / "none.onnx")
    with pytest.raises(CheckpointError, match="it is a folder"):
        exchange.load_onnx(tmp_path)
