"""Adaptive pools whose windows overlap go to ONNX as many nodes, and come back as themselves."""

import re
from pathlib import Path

import numpy as np
import pytest

from fastcnn import Sequential, exchange
from fastcnn import layers as L
from fastcnn.layers import ReLU
from fastcnn.network.checkpoint import CheckpointError

from .test_onnx_in import file_of
from .test_onnx_out import samples


@pytest.mark.parametrize("kind", [L.AdaptiveAveragePool2D, L.AdaptiveMaxPool2D])
def test_adaptive_pools_of_many_sizes(tmp_path: Path, kind: type[L.AdaptiveMaxPool2D]) -> None:
    rng = np.random.default_rng(5)
    sizes = [(7, 7, 3, 2), (1, 5, 3, 5), (6, 4, 3, 2), (3, 9, 1, 4), (9, 3, 4, 1), (5, 5, 5, 3)]
    sizes += rng.integers(1, 12, (40, 4)).tolist()
    for height, width, *out in sizes:
        x = samples((2, height, width))
        x[0, 0, -1, -1], x[1, 0, 0, 0] = np.inf, -np.inf
        row = Sequential(ReLU(), kind(tuple(out)), ReLU(), input_shape=x.shape[1:])
        exchange.save_onnx(row, tmp_path / "model.onnx")
        again = exchange.load_onnx(tmp_path / "model.onnx")
        np.testing.assert_array_equal(again.forward(x), row.forward(x))
        np.testing.assert_array_equal(again.layers[1].forward(x), row.layers[1].forward(x))
        assert isinstance(again, Sequential) and len(again.layers) == 3


def test_what_only_looks_like_an_adaptive_pool(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    row = [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]
    columns = np.transpose(row).tolist()
    nodes = "a = MatMul(r, x) y = MatMul(a, c)"
    fits = {"r": row, "c": columns}
    model = exchange.load_onnx(file_of(path, nodes, fits, "float[n,4,3,3] x"))
    assert repr(model.layers) == "(AdaptiveAveragePool2D(2),)"
    for arrays, text, message in [
        (
            {"r": [[0.5, 0.5, 0], [0, 0.4, 0.5]], "c": columns},
            "float[n,4,3,3] x",
            "cannot be taken",
        ),
        (fits, "float[n,4,3,4] x", "pools images of (3, 3) pixels, its input is ('N', 4, 3, 4)"),
    ]:
        with pytest.raises(CheckpointError, match=re.escape(message)):
            exchange.load_onnx(file_of(path, nodes, arrays, text))
    parts = (
        "a0 = Slice(x, n0, n2, n2) b0 = ReduceMax<axes = [2]>(a0) a1 = Slice(x, n1, n3, n2) "
        "b1 = ReduceMax<axes = [2]>(a1) a = Concat<axis = 2>(b0, b1) "
        "c0 = Slice(a, n0, n2, n3) d0 = ReduceMax<axes = [3]>(c0) c1 = Slice(a, n1, n3, n3) "
        "d1 = ReduceMax<axes = [3]>(c1) y = Concat<axis = 3>(d0, d1)"
    )
    numbers = {f"n{i}": [i] for i in range(4)}
    model = exchange.load_onnx(file_of(path, parts, numbers, "float[n,4,3,3] x"))
    assert repr(model.layers) == "(AdaptiveMaxPool2D(2),)"
    for old, new in [
        ("Slice(x, n1, n3", "Slice(x, n2, n3"), ("Slice(x, n1, n3, n2", "Slice(x, n1, n3, n3"),
        ("axes = [2]>(a1", "axes = [1]>(a1"), ("Slice(a, n1, n3, n3)", "Slice(x, n1, n3, n3)"),
        ("[3]>(c1", "[3], keepdims = 0>(c1"), ("Concat<axis = 2>(b0, b1)", "Concat<axis = 2>(x)"),
    ]:  # fmt: skip
        assert old in parts
        with pytest.raises(CheckpointError, match="cannot be taken"):
            exchange.load_onnx(file_of(path, parts.replace(old, new), numbers, "float[n,4,3,3] x"))
