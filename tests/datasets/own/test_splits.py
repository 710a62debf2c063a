"""Which folders are parts and which are classes, and images that are only to be measured."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from fastcnn import datasets, models
from fastcnn.datasets.own import splits
from fastcnn.evaluate import main as evaluate

# A command whose pictures are never read to their end.
ENDLESS = (
    "import sys, time; from fastcnn.commands import entry; "
    "from fastcnn.datasets.own import pictures; "
    "pictures.read = lambda *_: time.sleep(600); sys.exit(entry.run(sys.argv[1], sys.argv[2:]))"
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "users-cache"))


def pets(root, counts):
    for place, count in counts.items():
        (root / place).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.new("RGB", (8, 8), (number, 9, 99)).save(root / place / f"{number}.png")
    return root


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train", "train"), ("Training", "train"), ("seg_train", "train"),
        ("train_images", "train"), ("training_set", "train"), ("VALID", "val"),
        ("my-validation", "val"), ("val2017", "val"),
        ("test", "test"), ("seg_test", "test"), ("testing_set", "test"), ("cat", None),
        ("train_test", None), ("seg_pred", None), ("protester", None),
    ],
)  # fmt: skip
def test_the_part_of_a_name(name, part):
    assert splits.part_of(name) == part


@pytest.mark.parametrize(
    ("folders", "sizes"),
    [
        (("seg_train", "seg_test"), (4, None, 2)),
        (("seg_train/seg_train", "seg_test/seg_test"), (4, None, 2)),  # as unpacked from Kaggle
        (("training_set", "validation_set", "test_set"), (4, 2, 2)),
        (("train", "test_set"), (4, None, 2)),
        (("TrainData", "TestData"), (4, None, 2)),
        (("train", "val", "test"), (4, 2, 2)),
        (("train/train", "test/test"), (4, None, 2)),
    ],
)
def test_folders_that_are_called_like_parts(tmp_path, folders, sizes):
    root = tmp_path / "set"
    for folder in folders:
        count = 2 if "train" in folder.lower() else 1
        pets(root / folder, {"cat": count, "dog": count})
    (root / "seg_pred").mkdir()
    pets(root / "seg_pred", {".": 3})
    data = datasets.load(root)
    assert data.class_names == ("cat", "dog") and not data.held_out
    found = (data.y_train, data.y_val, data.y_test)
    assert tuple(None if y is None else len(y) for y in found) == sizes
    assert any("its folder seg_pred is left alone" in note for note in data.notes)


@pytest.mark.parametrize(
    "places",
    [
        ("seg_train", "seg_test"),  # pictures in them: nobody says they are parts
        ("train_old/a", "train_new/a"),  # no other part than the training part
        ("train_old/a", "test_old/b"),  # other classes
        ("train_old/a", "train_old/b", "test_old/a", "car/b"),  # one with folders is no part
        ("strain/a", "strain/b", "contest/c", "contest/d"),
    ],
)
def test_classes_that_are_called_like_parts_are_classes(tmp_path, places):
    root = pets(tmp_path / "set", dict.fromkeys(places, 3))
    assert datasets.load(root).class_names == tuple(sorted({each.split("/")[0] for each in places}))


@pytest.mark.parametrize(
    ("places", "words"),
    [
        (("train/a", "train/b", "Training/a", "test/a"), "are both the train part"),
        (("seg_train/a", "seg_train/b", "old_train/a", "test/a"), "are both the train part"),
        (("val/a", "val/b", "test/a"), "has test/ and val/, but no training part"),
        (("train/a", "train/b", "test/a", "test/c"), "'c' of which the training part has no pict"),
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path, places, words):
    root = pets(tmp_path / "set", dict.fromkeys(places, 2))
    with pytest.raises(datasets.DataError) as told:
        datasets.load(root)
    assert words in str(told.value).replace(str(root) + "/", "")


@pytest.mark.parametrize(
    ("counts", "single"),
    [
        ({"cat": 5, "dog": 5}, None),
        ({"cat": 5, "dog": 1}, "dog has a single image and none there"),
        ({"cat": 5, "dog": 1, "emu": 1}, "dog and emu have a single image and none there"),
    ],
)
def test_the_note_on_what_is_held_out(tmp_path, counts, single):
    (note,) = datasets.load(pets(tmp_path / "set", counts)).notes
    assert "about the same share of each class" in note
    assert ("single" not in note) if single is None else (single in note)


# --- images that are measured, not learned from -------------------------------------------------


@pytest.fixture
def network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = models.build("lenet5", input_shape=(1, 28, 28), classes=3)
    model.class_names = ("cat", "dog", "emu")
    model.save("net.npz")


def measured(capsys, *argv):
    code = evaluate(["net.npz", "--json", *argv])
    said = capsys.readouterr()
    assert "Traceback" not in said.err and said.err.count("\n") <= 1
    return (code, said.out, said.err)


@pytest.mark.parametrize(
    ("counts", "support"),
    [
        ({"dog": 3}, (0, 3, 0)),
        ({"dog": 1}, (0, 1, 0)),
        ({"cat": 1, "emu": 1}, (1, 0, 1)),
        ({"cat": 7, "dog": 2}, (7, 2, 0)),
        ({"test/dog": 2}, (0, 2, 0)),
        ({"val/dog": 2, "val/cat": 1}, (1, 2, 0)),
        ({"train/dog": 2, "train/cat": 2, "test/emu": 4}, (0, 0, 4)),
        ({"seg_train/dog": 2, "seg_train/cat": 2, "seg_test/dog": 4}, (0, 4, 0)),
    ],
)
@pytest.mark.usefixtures("network")
def test_a_folder_is_measured_whatever_classes_it_has(tmp_path, capsys, counts, support):
    pets(tmp_path / "more", counts)
    code, out, err = measured(capsys, "--dataset", "more")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert tuple(found["support"].values()) == support and found["count"] == sum(support)
    assert (found["loss"]["high"] is None) == (found["count"] == 1)
    assert evaluate(["net.npz", "--dataset", "more"]) == 0
    assert evaluate(["net.npz", "--dataset", "more", "--csv"]) == 0


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize("part", ["train", "test"])
def test_all_of_a_folder_without_parts_are_either_part(tmp_path, capsys, part):
    pets(tmp_path / "more", {"cat": 7, "dog": 2})
    code, out, _ = measured(capsys, "--dataset", "more", "--part", part)
    assert code == 0 and '"count": 9' in out


@pytest.mark.usefixtures("network")
def test_a_part_that_is_not_there_is_not_made_of_another(tmp_path, capsys):
    pets(tmp_path / "more", {"test/cat": 2, "test/dog": 2})
    code, out, err = measured(capsys, "--dataset", "more", "--part", "train")
    assert (code, out) == (2, "") and "more has no train part" in err


@pytest.mark.usefixtures("network")
def test_what_is_left_out_is_said(tmp_path, capsys):
    pets(tmp_path / "more", {"cat": 2})
    (tmp_path / "more" / "cat" / "cut.png").write_bytes(b"\x89PNG")
    code, out, err = measured(capsys, "--dataset", "more")
    assert code == 0 and '"count": 2' in out and "Left out 1 picture" in err and "cut.png" in err


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize(
    ("labels", "support"),
    [
        ([1, 1, 1], (0, 3, 0)),
        ([0, 0, 0], (3, 0, 0)),
        ([1, 2, 2], (0, 1, 2)),
        ([0, 1, 1], (1, 2, 0)),
        (["dog"] * 3, (0, 3, 0)),
    ],
)
@pytest.mark.parametrize("kind", ["npz", "npz-test", "csv", "idx"])
def test_files_are_measured_whatever_classes_they_have(tmp_path, capsys, labels, support, kind):
    images = np.random.default_rng(1).integers(0, 256, (3, 28, 28), np.uint8)
    if kind == "csv":
        name = "more.csv"
        names = ["label", *(f"p{i}" for i in range(784))]
        rows = [[label, *row] for label, row in zip(labels, images.reshape(3, -1), strict=True)]
        lines = [",".join(map(str, row)) for row in (names, *rows)]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    elif kind == "idx":
        if isinstance(labels[0], str):
            pytest.skip("IDX files hold numbers")
        name = "t10k-images-idx3-ubyte"
        for file, values in ((name, images), ("t10k-labels-idx1-ubyte", np.uint8(labels))):
            header = np.array([0x0800 + values.ndim, *values.shape], ">u4").tobytes()
            (tmp_path / file).write_bytes(header + values.tobytes())
        name = f"./{name}"
    else:
        name, end = "more.npz", "_test" if kind == "npz-test" else ""
        np.savez(tmp_path / name, **{f"x{end}": images, f"y{end}": labels})
    code, out, err = measured(capsys, "--dataset", name)
    assert (code, err) == (0, "")
    assert tuple(json.loads(out)["support"].values()) == support


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"horse": 2}, "'horse' that lenet5 does not know"),
        ({}, "more holds no pictures"),
    ],
)
def test_what_cannot_be_measured_is_refused(tmp_path, capsys, counts, words):
    (tmp_path / "more").mkdir()
    pets(tmp_path / "more", counts)
    code, out, err = measured(capsys, "--dataset", "more")
    assert (code, out) == (2, "") and words in err


# --- an interruption while pictures are read ----------------------------------------------------


@pytest.mark.parametrize(
    "argv",
    [
        ["train", "--dataset", "pets", "--out", "made/run"],
        ["evaluate", "net.npz", "--dataset", "pets"],
        ["search", "--dataset", "pets", "--search", "lr=0.1,0.2", "--out", "made/search"],
    ],
)
@pytest.mark.usefixtures("network")
def test_an_interruption_leaves_no_folder(tmp_path, argv):
    pets(tmp_path / "pets", {"cat": 2, "dog": 2})
    before = sorted(tmp_path.iterdir())
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS, *argv], stderr=subprocess.PIPE
    ) as process:
        while process.poll() is None and not list(tmp_path.glob(".pets.fastcnn/.*.tmp")):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        err = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130 and "Traceback" not in err and "interrupted" in err
    assert sorted(tmp_path.iterdir()) == before


def test_pictures_that_cannot_be_read_leave_no_cache(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        (tmp_path / "pets" / name / "x.png").write_bytes(b"no")
    with pytest.raises(datasets.DataError, match="none of the pictures can be read"):
        datasets.load(tmp_path / "pets")
    assert [each.name for each in tmp_path.iterdir()] == ["pets"]


@pytest.mark.parametrize("share", [0, 0.0, 1, -1, 1.5, "a", None, True, float("nan")])
def test_a_share_that_is_none_is_refused(tmp_path, share):
    np.savez(tmp_path / "a.npz", x=np.full((6, 8, 8), 200, np.uint8), y=np.arange(6) % 2)
    with pytest.raises(ValueError, match=r"test_share must be above 0 and below 1 \(whole=True"):
        datasets.load(tmp_path / "a.npz", test_share=share)
    data = datasets.load(tmp_path / "a.npz", whole=True)
    assert len(data.x_train) == len(data.x_test) == 6
