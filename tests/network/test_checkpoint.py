"""Saved models: everything comes back, and nothing else gets in."""

import io
import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastcnn import Sequential, load_model
from fastcnn.layers import BatchNorm, Conv2D, Dense, Dropout, Flatten, ReLU, Residual
from fastcnn.losses import CrossEntropyLoss
from fastcnn.network.checkpoint import CheckpointError
from fastcnn.optim import SGD, Adam, Lookahead, RAdam
from fastcnn.training.checkpoint import Standing, load_training, save_standing

RNG = np.random.default_rng(3)
IMAGES = RNG.integers(0, 256, (5, 1, 4, 4), dtype=np.uint8)


def build() -> Sequential:
    model = Sequential(
        Conv2D(1, 2, 3, padding="same", bias=False), BatchNorm(2), ReLU(),
        Residual([Conv2D(2, 2, (1, 3), padding=(0, 1))], activation=ReLU()),
        Flatten(), Dropout(0.5), Dense(32, 3),
        seed=7, name="small", input_shape=(1, 4, 4), class_names=("a", "b", "ü"),
    )  # fmt: skip
    model.normalization = (0.1, -0.2)
    step(model, SGD(0.1))
    return model


def save_training(
    path: Path, model: Sequential, optimizer: Any, state: dict[str, Any], best: dict[str, Any]
) -> None:
    end = Standing(dict(model.named_arrays()), optimizer.state_arrays(), {})
    save_standing(path, (model, optimizer), state, best, end)


def step(model: Sequential, optimizer: Any) -> None:
    loss = CrossEntropyLoss()
    loss.forward(model.forward(IMAGES, training=True), np.array([0, 1, 2, 0, 1]))
    model.backward(loss.backward())
    optimizer.step(model)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "model.npz"
    build().save(file)
    return file


# --- what comes back ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_everything_comes_back(tmp_path: Path, dtype: Any) -> None:
    model = build().astype(dtype)
    model.save(tmp_path / "model.npz")
    loaded = load_model(str(tmp_path / "model.npz"))
    assert repr(loaded) == repr(model)
    for name in ("seed", "name", "input_shape", "class_names", "data_format", "dtype"):
        assert getattr(loaded, name) == getattr(model, name)
    np.testing.assert_array_equal(loaded.normalization, model.normalization)
    np.testing.assert_array_equal(loaded.predict_proba(IMAGES), model.predict_proba(IMAGES))
    assert loaded.copy_arrays().keys() == model.copy_arrays().keys()
    for name, array in model.named_arrays():
        np.testing.assert_array_equal(dict(loaded.named_arrays())[name], array)


def test_file_is_exactly_where_it_was_asked_for(tmp_path: Path) -> None:
    build().save(tmp_path / "model")
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_numpy_reads_the_file_without_pickle(path: Path) -> None:
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays["model/1.running_mean"].shape == (2,)
        assert json.loads(arrays["header"].tobytes())["model"]["name"] == "small"


def test_a_failed_write_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def fail(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        build().save(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_training_continues_bit_for_bit(tmp_path: Path) -> None:
    file = tmp_path / "run.npz"
    model, optimizer = build(), Adam()
    step(model, optimizer)
    best = model.copy_arrays()
    step(model, optimizer)
    state = {"epoch": 2, "loss": [0.1, float("nan")], "rate": np.float32(0.5)}
    save_training(file, model, optimizer, state, best)
    model.set_clock(0, 9)
    step(model, optimizer)

    again, other = build(), Adam()
    state, best_again = load_training(file, again, other)
    again.set_clock(0, 9)
    step(again, other)
    np.testing.assert_array_equal(again.parameters.values, model.parameters.values)
    assert (state["epoch"], state["rate"]) == (2, 0.5)
    assert np.isnan(state["loss"][1])
    assert best_again.keys() == best.keys()
    np.testing.assert_array_equal(best_again["6.weight"], best["6.weight"])
    assert load_model(file).name == "small"


def test_training_of_another_kind_is_refused(tmp_path: Path, path: Path) -> None:
    file = tmp_path / "run.npz"
    save_training(file, build(), Adam(), {}, {})
    with pytest.raises(CheckpointError, match="training run with Adam, not SGD"):
        load_training(file, build(), SGD())
    save_training(file, build(), Lookahead(Adam()), {}, {})
    with pytest.raises(CheckpointError, match="with Lookahead around Adam, not Lookahead around R"):
        load_training(file, build(), Lookahead(RAdam()))
    save_training(file, build(), Adam(), {}, {})
    with pytest.raises(CheckpointError, match="training run of a model with other layers"):
        load_training(file, Sequential(Dense(2, 3)), Adam())
    with pytest.raises(CheckpointError, match="holds a model, but no training run to resume"):
        load_training(path, build(), Adam())
    save_training(file, build(), Adam(), {}, {"6.weight": np.zeros(2)})
    with pytest.raises(CheckpointError, match="the best arrays are not those of its model"):
        load_training(file, build(), Adam())


# --- what does not get in -----------------------------------------------------------------------


def refused(path: Path, message: str) -> None:
    with pytest.raises(CheckpointError, match=re.escape(message)) as caught:
        load_model(path)
    assert str(path) in str(caught.value)


def rewritten(path: Path, **changes: Any) -> None:
    """Write the file again with other members; None leaves one out, a function changes it."""
    with np.load(path) as file:
        members = dict(file)
    for name, change in changes.items():
        if change is None:
            del members[name]
        else:
            members[name] = change(members.get(name)) if callable(change) else change
    with open(path, "wb") as file:
        np.savez(file, **members)


def header_with(**changes: Any) -> Any:
    def change(header: np.ndarray) -> np.ndarray:
        content = json.loads(header.tobytes())
        content["model"] |= changes
        return np.frombuffer(json.dumps(content).encode(), np.uint8)

    return change


def test_other_files(tmp_path: Path) -> None:
    file = tmp_path / "other"
    refused(file, "there is no file")
    refused(tmp_path, "cannot be read")
    (tmp_path / "net.ONNX").write_bytes(b"\x08\x08")
    refused(tmp_path / "net.ONNX", "net.ONNX model.npz makes one of it")
    for content in (b"", b"PK", b"hello, I am a text"):
        file.write_bytes(content)
        refused(file, "is not a fastcnn checkpoint" if content != b"PK" else "its end is missing")
    with open(file, "wb") as stream:
        np.savez(stream, a=np.zeros(3))
    refused(file, "it has no header")
    with open(file, "wb") as stream:
        np.savez(stream, header=np.frombuffer(b'{"format": "x"}', np.uint8))
    refused(file, "its header says otherwise")
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("header.npy", b"no npy")
    refused(file, "is damaged")


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9, 0.99])
def test_cut_files(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refused(path, "its end is missing")


def test_flipped_bits_never_pass_unnoticed(path: Path) -> None:
    """Every damage either is refused with a sentence or changes nothing."""
    content = path.read_bytes()
    expected = build().copy_arrays()
    noticed = 0
    for place in RNG.permutation(len(content))[:300]:
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(RNG.integers(8))
        path.write_bytes(damaged)
        try:
            loaded = load_model(path)
        except CheckpointError:
            noticed += 1
        else:
            for name, array in loaded.copy_arrays().items():
                np.testing.assert_array_equal(array, expected[name])
    assert noticed > 150


def test_newer_version(path: Path) -> None:
    def newer(header: np.ndarray) -> np.ndarray:
        content = json.loads(header.tobytes()) | {"version": 2}
        return np.frombuffer(json.dumps(content).encode(), np.uint8)

    rewritten(path, header=newer)
    refused(path, "has version 2; this fastcnn reads version 1")


HUGE = [{"type": "Dense", "in_features": 10**9, "out_features": 10**9}]


@pytest.mark.parametrize(
    "changes",
    [
        {"layers": HUGE},
        {"layers": []},
        {"layers": 5},
        {"layers": [{"type": "os.system"}]},
        {"layers": [{"type": "Dense", "in_features": -1, "out_features": 1}]},
        {"layers": [{"type": "Residual", "main": 3}]},
        {"dtype": "object"},
        {"seed": "x"},
        {"data_format": None},
        {"input_shape": "abc"},
        {"input_shape": [3, 4, 4]},
        {"class_names": 5},
        {"normalization": [1]},
        {"normalization": None},
    ],
    ids=str,
)
def test_headers_that_describe_no_model(path: Path, changes: dict[str, Any]) -> None:
    rewritten(path, header=header_with(**changes))
    refused(path, "does not describe a model that this fastcnn can build")


def test_headers_without_a_model(path: Path) -> None:
    for text in (b"[]", b"{", b"[" * 100_000, b'{"format": "fastcnn checkpoint", "version": 1}'):
        rewritten(path, header=np.frombuffer(text, np.uint8))
        with pytest.raises(CheckpointError, match=re.escape(str(path))):
            load_model(path)


def test_arrays_that_do_not_belong_to_the_layers(path: Path) -> None:
    content = path.read_bytes()
    for name, change in (
        ("model/6.bias", None),
        ("model/6.bias", np.zeros(4, np.float32)),
        ("model/7.bias", np.zeros(4, np.float32)),
    ):
        path.write_bytes(content)
        rewritten(path, **{name: change})
        refused(path, "its arrays are not those of its layers")


def test_objects_are_not_unpickled(path: Path) -> None:
    rewritten(path, **{"model/6.bias": np.array([print, 1, 2], object)})
    refused(path, "is not a fastcnn checkpoint: the array 'model/6.bias' holds object")


def npy(shape: tuple[int, ...], data: bytes) -> bytes:
    stream = io.BytesIO()
    described = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, described)
    return stream.getvalue() + data


def test_arrays_that_claim_to_be_huge(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b""  # no checksum, as in version 0.1
        archive.writestr("model/9.weight.npy", npy((10**6, 10**4), b"1234"))
    refused(path, "is not as long as its shape (1000000, 10000) asks for")


def test_compressed_files(path: Path) -> None:
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = b""
        archive.writestr("model/9.weight.npy", npy((10**5,), bytes(4 * 10**5)))
    refused(path, "it claims to hold more than its size, or is compressed")
    build().save(path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = b""
        archive.writestr("model/9.weight.npy", npy((1,), b"1234"))
    refused(path, "it is compressed or encrypted")
