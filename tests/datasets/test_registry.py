"""Names, the data folder, "auto", limits, and the digits inside the package."""

import hashlib
import os

import numpy as np
import pytest
from PIL import Image

from fastcnn import datasets
from fastcnn.datasets import MissingDataError, digits, mnist, registry


def make_mnist(data_dir) -> None:
    folder = data_dir / "mnist"
    folder.mkdir()
    for name in mnist.FILES:
        axes = [2051, 2, 1, 1] if "images" in name else [2049, 2]
        (folder / name).write_bytes(np.array(axes, ">u4").tobytes() + b"\x01\x02")


@pytest.mark.parametrize("own", [False, True])
def test_sizes_are_whole_numbers_or_pairs(tmp_path, own):
    name = tmp_path / "own" if own else "digits"
    for number in range(4 if own else 0):
        (tmp_path / "own" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.new("L", (9, 7)).save(tmp_path / "own" / "ab"[number % 2] / f"{number}.png")
    for size, wanted in ((np.int64(6), (6, 6)), (np.array([6, 5]), (6, 5)), ([6, 5], (6, 5))):
        assert datasets.load(name, size=size).x_train.shape[1:] == (1, *wanted)
    for size in (0, -3, 6.0, "6", (6, 5, 1), (6,)):
        with pytest.raises(ValueError, match=r"datasets\.load: size must be a whole number"):
            datasets.load(name, size=size)


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("minst", "mnist"), ("CIFAR-100", "cifar10"), ("fashion", "fashion-mnist")],
)
def test_unknown_name_suggests_the_nearest(wrong, near):
    with pytest.raises(ValueError) as caught:
        datasets.load(wrong)
    said = str(caught.value)
    assert f"did you mean '{near}'?" in said
    assert all(name in said for name in datasets.names())


@pytest.mark.parametrize("name", ["MNIST", "Mnist"])
def test_case_and_signs_of_a_name_do_not_matter(name, tmp_path):
    make_mnist(tmp_path)
    assert datasets.load(name, tmp_path, offline=True).name == "mnist"
    assert datasets.about("CIFAR-10") == datasets.about("cifar10")


def test_unknown_name_near_nothing():
    with pytest.raises(ValueError) as caught:
        datasets.load("zzz")
    assert "did you mean" not in str(caught.value)
    with pytest.raises(TypeError, match="by its name"):
        datasets.load(5)  # type: ignore[arg-type]


def test_data_folder(tmp_path, monkeypatch):
    make_mnist(tmp_path)
    monkeypatch.setenv("FASTCNN_DATA", str(tmp_path))
    assert len(datasets.load("mnist", offline=True).x_train) == 2
    with pytest.raises(datasets.MissingDataError, match="elsewhere"):
        datasets.load("mnist", data_dir=tmp_path / "elsewhere", offline=True)


def test_default_folder_is_the_cache(monkeypatch):
    monkeypatch.delenv("FASTCNN_DATA", raising=False)
    assert registry._data_folder(None).name == "fastcnn"
    monkeypatch.setenv("FASTCNN_DATA", "")
    assert registry._data_folder(None).name == "fastcnn"


def test_auto_takes_mnist_where_it_is(tmp_path):
    make_mnist(tmp_path)
    data = datasets.load(data_dir=tmp_path, offline=True)
    assert data.name == "mnist" and "chosen by 'auto'" in data.source


def test_auto_takes_digits_otherwise_and_says_why(tmp_path):
    data = datasets.load(data_dir=tmp_path, offline=True)
    assert data.name == "digits"
    assert f"there is no folder {tmp_path / 'mnist'}" in data.source
    assert "downloading is switched off" in data.source


def test_auto_does_not_hide_damage(tmp_path):
    make_mnist(tmp_path)
    (tmp_path / "mnist" / mnist.FILES[0]).write_bytes(b"")
    with pytest.raises(datasets.DataError, match="is empty"):
        datasets.load("auto", data_dir=tmp_path, offline=True)


def test_digits():
    data = datasets.load("digits")
    assert data.x_train.shape == (1501, 1, 28, 28) and data.x_test.shape == (296, 1, 28, 28)
    assert data.x_train.dtype == np.uint8 and data.y_train.dtype == np.int64
    assert data.x_train.max() == 255 and not data.x_train[:, :, :4].any()
    assert np.bincount(data.y_test).tolist() == [29, 30, 29, 30, 30, 30, 30, 29, 29, 30]
    # scikit-learn's order starts 0, 1, 2, ...; the sixth of each class went to the test part.
    assert data.y_train[:10].tolist() == list(range(10))
    assert data.notes == () and len(data.class_names) == 10


@pytest.mark.parametrize("size", [14, (7, 20)])
def test_named_datasets_in_another_size(size):
    small, whole = datasets.load("digits", size=size), datasets.load("digits")
    height, width = (size, size) if isinstance(size, int) else size
    assert small.x_train.shape == (1501, 1, height, width)
    assert small.x_test.shape == (296, 1, height, width) and small.x_test.dtype == np.uint8
    # The light of a picture stays the same.
    means = [data.x_test.mean(axis=(1, 2, 3)) for data in (small, whole)]
    assert abs(means[0] - means[1]).max() < 1 < means[1].std()
    assert (datasets.load("digits", grey=True).x_test == whole.x_test).all()


def test_digits_are_the_same_bytes_everywhere():
    data = datasets.load("digits")
    sums = [hashlib.sha256(part.tobytes()).hexdigest()[:16] for part in (data.x_train, data.x_test)]
    assert sums == ["d8646975b540834a", "2b52253a038ae944"]


def test_enlarging_against_plain_interpolation():
    small = np.random.default_rng(3).integers(0, 17, (2, 8, 8)).astype(np.uint8)
    places = np.clip((np.arange(20) + 0.5) * 0.4 - 0.5, 0, 7)

    def along(rows):
        return np.array([np.interp(places, np.arange(8), row) for row in rows])

    got = digits.enlarge(small)
    assert got.shape == (2, 1, 28, 28)
    for image, result in zip(small, got[:, 0], strict=True):
        expected = along(along(image).T).T * 255 / 16
        assert np.abs(result[4:-4, 4:-4] - expected).max() <= 0.5 + 1e-9
        assert result.sum() == result[4:-4, 4:-4].sum()


def test_limit():
    data = datasets.load("digits")
    short = data.limit(train=7, test=np.int64(2))  # type: ignore[arg-type]
    assert len(short.x_train) == len(short.y_train) == 7
    assert len(short.x_test) == len(short.y_test) == 2
    assert short.notes[0] == "Only the first 7 of 1,501 train images are used."
    assert np.shares_memory(short.x_train, data.x_train)
    assert data.limit() is data and data.limit(train=10**6) is data


@pytest.mark.parametrize("wrong", [0, -3])
def test_limit_below_one(wrong):
    with pytest.raises(ValueError, match=f"at least 1, got {wrong}"):
        datasets.load("digits").limit(test=wrong)


@pytest.mark.parametrize("wrong", [1.5, "7", True])
def test_limit_that_is_no_integer(wrong):
    with pytest.raises(TypeError, match="whole number"):
        datasets.load("digits").limit(train=wrong)


@pytest.mark.skipif(os.name == "nt", reason="there the home is asked for otherwise")
def test_a_user_without_a_home(tmp_path, monkeypatch):
    """As in a container whose user number nobody has heard of."""

    def unknown(_):
        raise KeyError

    for name in ("HOME", "XDG_CACHE_HOME", "FASTCNN_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.chdir(tmp_path)
    data = datasets.load("auto")
    assert data.name == "digits"
    assert "instead of MNIST: there is no folder for data, as this user has no home." in data.source
    for name in ("mnist", "fashion-mnist", "cifar10"):
        with pytest.raises(MissingDataError, match=r"no home\. Name one with --data-dir or FASTC"):
            datasets.load(name)
    for number in range(20):
        folder = tmp_path / "mine" / str(number % 2)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(folder / f"{number}.png")
    (tmp_path / ".mine.fastcnn").touch()  # where the pixels would be kept
    assert len(datasets.load("./mine").x_train) == 16
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine.fastcnn", "mine"]
