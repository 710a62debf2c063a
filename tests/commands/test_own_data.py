"""Training on people's own data: one command, and a sentence where it cannot work."""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from fastcnn import datasets
from fastcnn.runs.saved import Saved
from fastcnn.train import main

pytestmark = pytest.mark.usefixtures("undrawn")
QUICK = ["--epochs", "1", "--batch-size", "8"]


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "users-cache"))


def mixed(root):
    """Three classes, grey and in colour, of all sizes and formats; one of four images."""
    rng = np.random.default_rng(0)
    for number, (name, count) in enumerate((("cat", 12), ("dog", 10), ("rare", 4))):
        (root / name).mkdir(parents=True)
        for i in range(count):
            height, width = rng.integers(18, 70, 2)
            pixels = rng.integers(0, 80, (height, width, 3), np.uint8)
            pixels[..., number] += 150
            image = Image.fromarray(pixels).convert("L" if i % 3 == 0 else "RGB")
            image.save(root / name / f"{i}.{('png', 'jpg', 'bmp', 'gif', 'webp')[i % 5]}")
    (root / "dog" / "broken.jpg").write_bytes(b"\xff\xd8\xff")


def test_a_folder_is_trained_on_by_one_command(tmp_path, capsys):
    mixed(tmp_path / "pets")
    assert main(["--dataset", "pets", "--size", "24", *QUICK]) == 0
    said = capsys.readouterr().out
    assert "26 pictures of 3 classes" in said and "broken.jpg" in said
    folder = tmp_path / "runs" / "mnist-baseline-pets"
    result = json.loads((folder / "result.json").read_text())
    assert result["dataset"] == str(tmp_path / "pets")
    saved = Saved(folder)
    data = saved.dataset()
    assert data.class_names == saved.model.class_names == ("cat", "dog", "rare")
    _, accuracy = saved.model.evaluate(data.x_test, data.y_test)
    assert accuracy == result["test_accuracy"]
    assert saved.name == "mnist-baseline on pets"
    assert main(["--resume", "--out", str(folder), "--epochs", "2"]) == 0


def test_a_validation_part_is_validated_on(tmp_path, capsys):
    for part in ("train", "val", "test"):
        mixed(tmp_path / "pets" / part)
    argv = ["--dataset", "pets", "--size", "20", "--grey", "--patience", "3", *QUICK]
    assert main([*argv, "--validation", "0.1", "--out", "run"]) == 0
    said = capsys.readouterr().out
    assert "val   images (26, 1, 20, 20)" in said and "on 26 images" in said
    history = Saved("run").history
    data = datasets.load("pets", size=20, grey=True)
    _, accuracy = Saved("run").model.evaluate(data.x_val, data.y_val)
    assert history["val_accuracy"][-1] == accuracy


def test_every_format_gives_what_the_arrays_give(tmp_path):
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 256, (60, 1, 16, 20), np.uint8), np.arange(60) % 4
    names = ("x_train", "y_train", "x_test", "y_test")
    np.savez("a.npz", **dict(zip(names, (x[:40], y[:40], x[40:], y[40:]), strict=True)))
    (tmp_path / "idx").mkdir()
    for part, rows in (("train", slice(40)), ("t10k", slice(40, 60))):
        for kind, values in (("images-idx3", x[rows, 0]), ("labels-idx1", y[rows])):
            header = np.array([0x0800 + values.ndim, *values.shape], ">u4").tobytes()
            content = header + values.astype(np.uint8).tobytes()
            (tmp_path / "idx" / f"{part}-{kind}-ubyte").write_bytes(content)
    for part, rows in (("train", slice(40)), ("test", slice(40, 60))):
        for i in range(rows.start or 0, rows.stop):
            folder = tmp_path / "pictures" / part / str(y[i])
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(x[i, 0]).save(folder / f"{i:03}.png")
    found = {}
    for name in ("a.npz", "idx", "pictures"):
        argv = ["--dataset", name, "--out", f"run-{name}", "--no-shuffle", *QUICK]
        assert main(argv) == 0
        found[name] = json.loads((tmp_path / f"run-{name}" / "result.json").read_text())
    assert found["a.npz"]["test_loss"] == found["idx"]["test_loss"]
    assert found["a.npz"]["test_accuracy"] == found["idx"]["test_accuracy"]
    data = datasets.load("pictures")
    order = np.argsort(y[:40], kind="stable")
    np.testing.assert_array_equal(data.x_train, x[:40][order])
    np.testing.assert_array_equal(data.y_train, y[:40][order])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty", None),
        ("one.csv", "label,a,b,c,d\n" + "0,1,2,3,4\n" * 4),
        ("from-one.csv", "label,a,b,c,d\n" + "1,1,2,3,4\n2,1,2,3,4\n" * 4),
        ("nan.csv", "label,a,b,c,d\n" + "0,1,nan,3,4\n1,1,2,3,4\n" * 4),
        ("bare.csv", "0,1,2,3,4\n1,1,2,3,4\n" * 4),
        ("pets.zip", "zip"),
        ("photo.png", "picture"),
        ("missing/folder", ""),
        ("missing", ""),
    ],
)
def test_what_cannot_be_read_leaves_nothing(tmp_path, capsys, name, content):
    path = tmp_path / name
    if content is None:
        path.mkdir()
    elif content == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/1.png", b"x")
    elif content == "picture":
        Image.new("L", (5, 5)).save(path)
    elif content:
        path.write_text(content)
    before = sorted(tmp_path.rglob("*"))
    assert main(["--dataset", name, "--out", "run", *QUICK]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ") and said.err.count("\n") == 1
    assert "Traceback" not in said.err and said.out == ""
    left = set(tmp_path.rglob("*")) - set(before)
    assert left <= {tmp_path / "run"}
    assert not (tmp_path / "run").exists() or not any((tmp_path / "run").iterdir())
