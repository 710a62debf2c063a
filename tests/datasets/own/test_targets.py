"""Numbers and several labels in people's own files."""

import numpy as np
import pytest
from PIL import Image

from fastcnn import datasets
from fastcnn.datasets import DataError

X = np.random.default_rng(0).integers(0, 256, (20, 4, 4), np.uint8)
Y = np.linspace(-1, 1, 20)


@pytest.fixture(autouse=True)
def there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_numbers_are_a_column_each():
    np.savez("a.npz", x_train=X, y_train=Y, x_test=X[:5], y_test=Y[:5], x_val=X[:2], y_val=Y[:2])
    data = datasets.load("a.npz", task="regression")
    assert data.task == "regression" and data.outputs == 1 and data.class_names == ()
    assert data.y_train.dtype == np.float32 and data.y_train.shape == (20, 1)
    np.testing.assert_array_equal(data.y_val, Y[:2, None].astype(np.float32))
    np.savez("b.npz", x=X, y=np.stack([Y, 3 * Y], 1), class_names=["left", "top"])
    data = datasets.load("b.npz", task="regression")
    assert (data.class_names, data.outputs) == (("left", "top"), 2)
    assert len(data.x_test) == 4 and data.held_out
    assert "4 of 20 images are held out by seed 42." in data.notes[0] and len(data.notes) == 1
    # Rows stay together.
    for part in ("train", "test"):
        x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        rows = [int(np.flatnonzero((image[0] == X).all(axis=(1, 2)))[0]) for image in x]
        np.testing.assert_array_equal(y[:, 0], Y[rows].astype(np.float32))


def test_numbers_in_a_table():
    lines = ["target," + ",".join(f"p{i}" for i in range(16))]
    lines += [f"{y:.3f}," + ",".join(map(str, x.ravel())) for x, y in zip(X, Y, strict=True)]
    with open("a.csv", "w") as file:
        file.write("\n".join(lines))
    data = datasets.load("a.csv", task="regression", whole=True)
    np.testing.assert_allclose(data.y_test[:, 0], Y, atol=1e-3)
    with pytest.raises(DataError, match="numbers are learned with --task regression"):
        datasets.load("a.csv")


def test_labels_are_rows_of_0_and_1():
    y = np.stack([Y > 0, Y > 0.5, Y < 2], axis=1)
    np.savez("a.npz", x=X, y=y.astype(np.float64))
    data = datasets.load("a.npz", task="multilabel")
    assert (data.class_names, data.outputs, data.y_train.dtype) == (("0", "1", "2"), 3, np.uint8)
    assert data.limit(train=3).y_train.shape == (3, 3)


@pytest.mark.parametrize(
    ("task", "y", "words"),
    [
        ("regression", np.array(["a"] * 20), "learns numbers, and the targets are texts"),
        ("regression", np.where(Y > 0, np.nan, Y), "target 0 of image 10 is nan, which is no numb"),
        ("regression", np.full(20, 1e300), r"is 1e\+300, which is no number that can be"),
        ("regression", np.zeros((20, 2, 2)), r"shape \(N,\) or \(N, numbers\), got shape \(20, 2"),
        ("multilabel", np.arange(20) % 2, r"shape \(N, labels\), got shape \(20,\)"),
        ("multilabel", np.full((20, 2), 2), "target 0 of image 0 is 2, but labels"),
        ("multilabel", np.full((20, 2), 0.5), "numbers are --task regression"),
        ("classification", -np.arange(20), "numbers are learned with --task regression"),
        ("classification", np.arange(20) * 10_000, "numbers are learned with --task regression"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_is_no_target_is_refused(task, y, words):
    np.savez("a.npz", x=X, y=y)
    with pytest.raises(DataError, match=words):
        datasets.load("a.npz", task=task)


def test_parts_and_names_must_fit():
    np.savez("a.npz", x_train=X, y_train=Y, x_test=X, y_test=np.stack([Y, Y], 1))
    with pytest.raises(DataError, match="1 and 2 targets for each image"):
        datasets.load("a.npz", task="regression")
    np.savez("a.npz", x=X, y=Y, class_names=["a", "b"])
    with pytest.raises(DataError, match="2 class_names for 1 targets"):
        datasets.load("a.npz", task="regression")


def test_classes_are_not_numbers(tmp_path):
    for name in "ab":
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(X[i]).save(tmp_path / "pets" / name / f"{i}.png")
    with pytest.raises(DataError, match=r"pets holds classes.*several labels of an image are read"):
        datasets.load("pets", task="multilabel")
    with pytest.raises(DataError, match="digits holds classes"):
        datasets.load("digits", task="regression")
    with pytest.raises(ValueError, match="regression"):
        datasets.load("digits", task="regresion")
