"""Safetensors files: what goes out comes in, and what is damaged or hostile is one sentence."""

import contextlib
import json
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastcnn import Sequential, exchange
from fastcnn.layers import BatchNorm, Conv2D, Dense, Flatten, PReLU, ReLU
from fastcnn.network.checkpoint import CheckpointError

pytest.importorskip("safetensors")

X = np.random.default_rng(0).normal(size=(3, 2, 4, 4)).astype(np.float32)


def network(seed: int = 1, **options: Any) -> Sequential:
    model = Sequential(
        Conv2D(2, 3, 3), BatchNorm(3, **options), PReLU(3), Flatten(), Dense(12, 5),
        input_shape=(2, 4, 4), class_names="abcde", seed=seed,
    )  # fmt: skip
    model.forward(X, training=True)
    return model


@pytest.fixture
def file(tmp_path: Path) -> Path:
    exchange.save_safetensors(network(), tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def raw(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_a_model_comes_back_whole(file: Path) -> None:
    model, again = network(), exchange.load_safetensors(file)
    np.testing.assert_array_equal(again.predict_logits(X), model.predict_logits(X))
    assert repr(again) == repr(model) and again.class_names == model.class_names
    before = again.predict_logits(X).copy()
    again.train(X, np.array([0, 1, 2]), epochs=1)  # and learns on
    assert (again.predict_logits(X) != before).any()


@pytest.mark.parametrize("layout", ["fastcnn", "torch"])
def test_arrays_come_into_a_model_of_the_same_shapes(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "arrays.safetensors"
    exchange.save_safetensors(network(), path, layout)
    other = network(seed=2, from_first_batch=True)
    matched = exchange.load_safetensors(path, other)
    np.testing.assert_array_equal(other.predict_logits(X), network().predict_logits(X))
    assert other.layers[1].state["begun"] == 1
    theirs = {"fastcnn": "1.gamma", "torch": "1.weight"}[layout]
    assert matched.how == "by name" and ("1.gamma", theirs) in matched.pairs
    assert f"1.gamma         from {theirs}" in re.sub("  +", " " * 9, str(matched))


def test_files_that_do_not_fit_leave_the_model_as_it_was(file: Path) -> None:
    model = Sequential(Conv2D(2, 3, 3), ReLU(), Flatten(), Dense(12, 5), seed=3)
    before = model.copy_arrays()
    with pytest.raises(CheckpointError, match=r"the model has 4 arrays, here are 9"):
        exchange.load_safetensors(file, Sequential(Dense(2, 2), ReLU(), Dense(2, 3)))
    smaller = network().copy_arrays()
    wide = Sequential(
        Conv2D(2, 3, 3), BatchNorm(3), PReLU(3), Flatten(), Dense(12, 6), seed=3
    )  # fmt: skip
    with pytest.raises(
        CheckpointError,
        match=re.escape("'4.weight' of shape (12, 5) does not fit '4.weight' of the model, which"),
    ):
        exchange.load_safetensors(file, wide)
    assert smaller.keys() == wide.copy_arrays().keys()
    for name, array in model.named_arrays():
        np.testing.assert_array_equal(array, before[name])


HUGE = {"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}
WRONG_TYPE = {"a": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]}}
WITHOUT = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
BROKEN: list[tuple[bytes, str]] = [
    (b"", "is damaged, or no safetensors file"),
    (b"PK\3\4 something else", "is damaged, or no safetensors file"),
    (b"\xff" * 40, "is damaged, or no safetensors file"),
    (struct.pack("<Q", 1 << 50) + b"{}", "is damaged, or no safetensors file"),
    (raw(b"[]"), "is damaged, or no safetensors file"),
    (raw(HUGE, bytes(8)), "is damaged, or no safetensors file"),
    (raw(WRONG_TYPE | {"__metadata__": {"fastcnn": "{}"}}, bytes(8)), "the array 'a' is I64; kno"),
    (raw(WITHOUT, bytes(4)), "does not say which layers it belongs to: build the model, and"),
    (raw({"__metadata__": {"fastcnn": "{"}}), "does not describe a model that this fastcnn"),
    (raw({"__metadata__": {"fastcnn": "[" * 9999}}), "does not describe a model that this"),
    (raw({"__metadata__": {"fastcnn": "[]"}}), "does not describe a model that this fastcnn"),
]


@pytest.mark.parametrize(("content", "message"), BROKEN, ids=range(len(BROKEN)))
def test_damaged_and_hostile_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "wrong.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=re.escape(message)) as caught:
        exchange.load_safetensors(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_description_of_too_much_takes_no_memory(file: Path) -> None:
    content = file.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    described = json.loads(header["__metadata__"]["fastcnn"])
    described["layers"][4]["in_features"] = 1 << 40
    header["__metadata__"]["fastcnn"] = json.dumps(described)
    file.write_bytes(raw(header, content[8 + length :]))
    with pytest.raises(CheckpointError, match="its arrays are not those of its layers"):
        exchange.load_safetensors(file)


def test_every_byte_of_the_header_may_be_another(file: Path) -> None:
    """One sentence, or a model: never anything else."""
    content, rng = bytearray(file.read_bytes()), np.random.default_rng(0)
    for place in rng.integers(0, 900, 150):
        changed = bytearray(content)
        changed[place] ^= int(rng.integers(1, 256))
        file.write_bytes(changed)
        with contextlib.suppress(CheckpointError):
            exchange.load_safetensors(file)


def test_places_where_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no file"):
        exchange.load_safetensors(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match="it is a folder"):
        exchange.load_safetensors(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        exchange.save_safetensors(network(), tmp_path / "none" / "a.safetensors")
    with pytest.raises(ValueError, match="layout must be 'fastcnn' or 'torch', got 'keras'"):
        exchange.save_safetensors(network(), tmp_path / "a.safetensors", "keras")


# --- arrays from anywhere -------------------------------------------------------------------------


def test_states_come_by_order_where_names_are_others() -> None:
    source, model = network(), network(seed=2)
    state = {}
    for i, (name, array) in enumerate(source.copy_arrays().items()):
        state[f"part{i}"] = array.T if name == "4.weight" else array
    state["part1.num_batches_tracked"] = np.array(7)
    matched = exchange.load_state(model, state)
    assert matched.how == "by order" and str(matched).startswith("9 arrays by order:")
    np.testing.assert_array_equal(model.predict_logits(X), source.predict_logits(X))


def test_states_that_do_not_fit() -> None:
    model = Sequential(Dense(2, 1), ReLU())
    before = model.copy_arrays()
    mistakes = [
        ({"w": np.ones((2, 1)), "b": np.ones(1)}, "'w' of shape (2, 1) does not fit '0.weight'"),
        ({"w": np.ones((1, 2)), "b": np.ones(1, int)}, "the array 'b' must hold floats, got int64"),
        (
            {"w": np.ones((1, 2))},
            "the model has 2 arrays, here are 1, and their names do not",
        ),
        ({}, "here are 0, and their names do not agree: '0.weight' is not among none"),
    ]
    for state, message in mistakes:
        with pytest.raises(ValueError, match=re.escape(message)):
            exchange.load_state(model, state)
    for name, array in model.named_arrays():
        np.testing.assert_array_equal(array, before[name])
