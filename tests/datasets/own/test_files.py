"""CSV, .npz, IDX and CIFAR's Python version: the same images as given by x and y, or a sentence."""

import contextlib
import gzip
import io
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from fastcnn import datasets
from fastcnn.datasets.own import pickled

RNG = np.random.default_rng(5)
X = RNG.integers(0, 256, (30, 1, 6, 6), np.uint8)
Y = np.arange(30) % 3


def same(data, x=X, y=Y):
    """All images are there, each with its label."""
    rows = {image.tobytes(): label for image, label in zip(x, y, strict=True)}
    found = np.concatenate([data.x_train, data.x_test])
    labels = np.concatenate([data.y_train, data.y_test])
    assert len(found) == len(x)
    for image, label in zip(found, labels, strict=True):
        assert rows[np.ascontiguousarray(image).tobytes()] == label


def table(path, header=None, x=X, y=Y):
    columns = x.reshape(len(x), -1)
    header = header or ",".join(["label", *(f"pixel{i}" for i in range(columns.shape[1]))])
    rows = [
        ",".join(map(str, [label, *row])) for label, row in zip(y, columns.tolist(), strict=True)
    ]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_csv_of_kaggle(tmp_path):
    same(datasets.load(table(tmp_path / "train.csv")))


def test_csv_label_last_texts_windows_and_gzip(tmp_path):
    names = np.array(["cat", "dog", "emu"])[Y]
    columns = X.reshape(30, -1)
    lines = [",".join([*(f"p{i}" for i in range(36)), '"class"'])]
    lines += [
        ",".join([*map(str, row), f'"{name}"'])
        for row, name in zip(columns.tolist(), names, strict=True)
    ]
    text = "\ufeff" + "\r\n".join(lines) + "\r\n\r\n"
    (tmp_path / "a.csv").write_bytes(text.encode())
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(text.encode()))
    for file in ("a.csv", "b.csv.gz"):
        data = datasets.load(tmp_path / file)
        same(data)
        assert data.class_names == ("cat", "dog", "emu")


def test_csv_in_many_blocks_with_texts_like_numbers(tmp_path, monkeypatch):
    from fastcnn.datasets.own import table as reader

    monkeypatch.setattr(reader, "_ROWS", 4)
    names = [*"0123456789", *["ten"] * 5, *"0123456789", *"01234"]
    data = datasets.load(table(tmp_path / "a.csv", y=names))
    assert data.class_names == (*"0123456789", "ten")


def test_csv_says_its_size(tmp_path):
    x = RNG.integers(0, 256, (30, 1, 3, 5), np.uint8)
    header = "label," + ",".join(f"{r}x{c}" for r in range(1, 4) for c in range(1, 6))
    same(datasets.load(table(tmp_path / "a.csv", header, x)), x)


def lines_changed(tmp_path, change):
    path = table(tmp_path / "a.csv")
    lines = path.read_text().splitlines()
    change(lines)
    path.write_text("\n".join(lines) + "\n")
    return path


def _set(place, text):
    def change(lines):
        values = lines[4].split(",")
        values[place] = text
        lines[4] = ",".join(values)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: lines.pop(0), "has no header"),
        (_set(7, "nan"), r"line 5, column pixel6: nan is no pixel"),
        (_set(7, ""), r"line 5, column pixel6: the value is missing"),
        (_set(7, "red"), r"line 5, column pixel6: 'red' is no number$"),
        (_set(7, "a/1.JPG"), r"'a/1.JPG' is no number; .* a subfolder per class"),
        (_set(0, ""), "line 5: the label is missing"),
        (_set(7, "300"), "between 0 and 300"),
        (_set(7, "-1"), "between -1 and 255"),
        (_set(7, "0.5"), "are no pixels"),
        (_set(0, "1.5"), "no class number"),
        (lambda lines: lines.append("1,2"), "line 32: it has 2 values, the header has 37"),
        (lambda lines: lines.__delitem__(slice(1, None)), "no line below"),
        (lambda lines: lines.clear(), "is empty"),
        (
            lambda lines: lines.__setitem__(0, lines[0].replace("label", "id")),
            "no column called label",
        ),
        (
            lambda lines: lines.__setitem__(slice(None), [e.replace(",", ";") for e in lines]),
            "semicolons between its columns",
        ),
    ],
)
def test_csv_that_cannot_be_used(tmp_path, change, words):
    with pytest.raises(datasets.DataError, match=words):
        datasets.load(lines_changed(tmp_path, change))


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (Y + 1, "go from 1 to 3.*subtract 1"),
        (Y - 1, "label -1"),
        (np.zeros(30, int), "all labels are the same"),
    ],
)
def test_labels_that_cannot_be_used(tmp_path, y, words):
    with pytest.raises(datasets.DataError, match=words):
        datasets.load(table(tmp_path / "a.csv", y=y))
    np.savez(tmp_path / "a.npz", x=X, y=y)
    with pytest.raises(datasets.DataError, match=words):
        datasets.load(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["x_test", "x_valid", "test_images"])
def test_images_without_labels_are_not_passed_over(tmp_path, name):
    np.savez(tmp_path / "a.npz", x_train=X, y_train=Y, **{name: X[:6]})
    words = f"has the array {name}, but no .* leave {name} out"
    with pytest.raises(datasets.DataError, match=words):
        datasets.load(tmp_path / "a.npz")


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_other_numbers_of_channels_are_told_the_way(tmp_path, channels):
    np.savez(tmp_path / "a.npz", x=np.zeros((30, 7, 7, channels), np.uint8), y=Y)
    with pytest.raises(datasets.DataError, match=r"1 or 3 channels, got .* model\.train\(x, y\)"):
        datasets.load(tmp_path / "a.npz")


def test_a_table_of_no_square_images(tmp_path):
    x = RNG.integers(0, 256, (30, 1, 4, 5), np.uint8)
    with pytest.raises(datasets.DataError, match="20 pixels are no square image"):
        datasets.load(table(tmp_path / "a.csv", x=x))


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x,
        lambda x: x[:, 0],
        lambda x: x.transpose(0, 2, 3, 1),
        lambda x: x.reshape(30, -1),
        lambda x: x.astype(np.int64),
        lambda x: x.astype(np.float32) / 255,
        lambda x: x.astype(np.float64),
        lambda x: np.asfortranarray(x),
        lambda x: x.astype(">u2"),
    ],
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_in_every_layout(tmp_path, change, save):
    save(tmp_path / "a.npz", x=change(X), y=Y)
    same(datasets.load(tmp_path / "a.npz"))


@pytest.mark.parametrize(
    "labels",
    [
        Y[:, None],
        np.eye(3)[Y],
        Y.astype(float),
        np.array(["a", "b", "c"])[Y],
        np.array([b"a", b"b", b"c"])[Y],
    ],
)
def test_npz_with_labels_of_every_kind(tmp_path, labels):
    np.savez(tmp_path / "a.npz", x_train=X, y_train=labels, x_test=X[:6], y_test=labels[:6])
    data = datasets.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(data.y_train, Y)
    np.testing.assert_array_equal(data.x_test, X[:6])
    assert not data.held_out


def test_npz_with_names_and_validation(tmp_path):
    np.savez(
        tmp_path / "a.npz", train_images=X[:, 0], train_labels=Y, val_images=X[:3, 0],
        val_labels=Y[:3], class_names=["x", "y", "z"],
    )  # fmt: skip
    data = datasets.load(tmp_path / "a.npz")
    assert data.class_names == ("x", "y", "z") and len(data.x_val) == 3


def test_npz_is_scaled_and_made_grey(tmp_path):
    x = RNG.integers(0, 256, (30, 3, 8, 8), np.uint8)
    np.savez(tmp_path / "a.npz", x=x, y=Y)
    data = datasets.load(tmp_path / "a.npz", size=5, grey=True)
    assert data.x_train.shape[1:] == (1, 5, 5)
    grey = datasets.load(tmp_path / "a.npz", grey=True).x_train[0, 0]
    wanted = {
        np.asarray(Image.fromarray(image.transpose(1, 2, 0)).convert("L")).tobytes() for image in x
    }
    assert np.ascontiguousarray(grey).tobytes() in wanted


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"a": X}, "x_train and y_train"),
        ({"x": X, "y": Y[:-1]}, "30 images but 29 labels"),
        ({"x": X * np.nan, "y": Y}, "is nan, no pixel"),
        ({"x": X.astype(float) - 0.3, "y": Y}, "are no pixels"),
        ({"x": X[..., None, None], "y": Y}, "images must be"),
        ({"x": X[:0], "y": Y[:0]}, "no"),
        ({"x": X.astype("U"), "y": Y}, "must be numbers"),
        ({"x": X / 255 * 0.9, "y": Y}, "is no multiple of 1/255"),
        ({"x": X, "y": Y.astype(str).astype(object)}, "array.astype.str"),
        ({"x": X, "y": np.array([1j] * 30)}, "whole numbers or texts"),
    ],
)
def test_npz_that_cannot_be_used(tmp_path, arrays, words):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(datasets.DataError, match=words):
        datasets.load(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "x",
    [
        X > 128, (X > 128).astype(np.uint8), (X > 128).astype(int), (X > 128) * 1.0,
        np.round((X > 128) * np.random.default_rng(1).integers(0, 256, X.shape) / 255, 4),
        (X / 255).astype(np.float16), (X / 255).astype(np.float32),
    ],
)  # fmt: skip
def test_zero_to_one_is_black_to_white(tmp_path, x):
    np.savez(tmp_path / "a.npz", x=x, y=Y)
    data = datasets.load(tmp_path / "a.npz", test_share=0.2, seed=3)
    np.savez(tmp_path / "b.npz", x=np.round(x.astype(float) * 255).astype(np.uint8), y=Y)
    same = datasets.load(tmp_path / "b.npz", test_share=0.2, seed=3)
    assert (data.x_train == same.x_train).all() and data.x_train.max() > 250


@pytest.mark.parametrize("cut", [1, 900])
def test_nobody_can_download_these_again(tmp_path, cut):
    content = bytes([0, 0, 8, 3, 0, 0, 0, 30, 0, 0, 0, 6, 0, 0, 0, 6]) + bytes(1080)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content[:-cut])
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 30]) + bytes(30))
    with pytest.raises(datasets.DataError, match="truncated") as caught:
        datasets.load(tmp_path)
    assert "Delete" not in str(caught.value)


def test_an_archive_that_is_none_is_told_in_one_line(tmp_path):
    (tmp_path / "a.tar.gz").write_text("hello")
    with pytest.raises(datasets.DataError, match="no archive") as caught:
        datasets.load(tmp_path / "a.tar.gz")
    assert "\n" not in str(caught.value)


def test_npz_with_objects_runs_nothing(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    np.savez(tmp_path / "a.npz", x=np.array([Evil()] * 3, object), y=Y[:3])
    with pytest.raises(datasets.DataError, match="Python objects"):
        datasets.load(tmp_path / "a.npz")
    assert not (tmp_path / "made").exists()


def test_npz_that_is_damaged(tmp_path):
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(content[:-50])
    (tmp_path / "flip.npz").write_bytes(content[:400] + bytes([content[400] ^ 255]) + content[401:])
    (tmp_path / "text.npz").write_text("hello")
    for name in ("cut", "flip", "text"):
        with pytest.raises(datasets.DataError, match=name):
            datasets.load(tmp_path / f"{name}.npz")


def test_npz_that_claims_too_much(tmp_path):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "|u1", "fortran_order": False, "shape": (1 << 50,)}
    )
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", stream.getvalue() + b"123")
        archive.writestr("y.npy", stream.getvalue() + b"123")
    with pytest.raises(datasets.DataError, match="not as long as its shape"):
        datasets.load(tmp_path / "a.npz")


def idx(path, values):
    header = np.array([0x0800 + values.ndim, *values.shape], ">u4").tobytes()
    content = header + values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def test_idx_of_any_size(tmp_path):
    x = RNG.integers(0, 256, (30, 16, 20), np.uint8)
    folder = tmp_path / "letters"
    folder.mkdir()
    idx(folder / "my-train-images-idx3-ubyte.gz", x)
    idx(folder / "my-train-labels-idx1-ubyte", Y)
    for path in (folder, folder / "my-train-images-idx3-ubyte.gz"):
        same(datasets.load(path), x[:, None])
    idx(folder / "my-test-images-idx3-ubyte", x[:4])
    idx(folder / "my-test-labels-idx1-ubyte", Y[:4])
    data = datasets.load(folder)
    np.testing.assert_array_equal(data.x_train[:, 0], x)
    np.testing.assert_array_equal(data.x_test[:, 0], x[:4])
    idx(folder / "my-test-images-idx3-ubyte.gz", x[:4])  # as torchvision leaves both
    assert len(datasets.load(folder).x_test) == 4
    idx(folder / "second-images-idx3-ubyte", x)
    with pytest.raises(datasets.DataError, match="more than one pair"):
        datasets.load(folder)
    with pytest.raises(datasets.DataError, match="no labels beside it"):
        datasets.load(folder / "second-images-idx3-ubyte")


CIFAR = RNG.integers(0, 256, (12, 3072), np.uint8)


def cifar(folder, dump, text=bytes):
    key = (lambda name: name.encode()) if text is bytes else str
    folder.mkdir()
    for number in range(1, 6):
        batch = {
            key("batch_label"): key("x"), key("labels"): [int(n) for n in np.arange(12) % 10],
            key("data"): CIFAR, key("filenames"): [key(f"{n}.png") for n in range(12)],
        }  # fmt: skip
        (folder / f"data_batch_{number}").write_bytes(dump(batch))
    (folder / "test_batch").write_bytes(dump(batch))
    names = [key(name) for name in datasets.cifar.CLASS_NAMES]
    (folder / "batches.meta").write_bytes(
        dump({key("label_names"): names, key("num_cases_per_batch"): 12})
    )


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("text", [bytes, str])
def test_cifar_python_version(tmp_path, protocol, text):
    folder = tmp_path / "cifar-10-batches-py"
    cifar(folder, lambda batch: pickle.dumps(batch, protocol), text)
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(folder, folder.name)
    for path in (folder, tmp_path / "cifar-10-python.tar.gz"):
        data = datasets.load(path)
        assert data.x_train.shape == (60, 3, 32, 32) and data.class_names[3] == "cat"
        np.testing.assert_array_equal(data.x_test.reshape(12, -1), CIFAR)
        np.testing.assert_array_equal(data.y_test, np.arange(12) % 10)


def test_the_folder_above_as_torchvision_leaves_it(tmp_path):
    cifar(tmp_path / "cifar-10-batches-py", lambda batch: pickle.dumps(batch, 2))
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"what it was unpacked from")
    data = datasets.load(tmp_path)
    np.testing.assert_array_equal(data.x_test.reshape(12, -1), CIFAR)
    cifar(tmp_path / "cifar-100-python", lambda batch: pickle.dumps(batch, 2))
    with pytest.raises(datasets.DataError, match="cifar-10-batches-py and cifar-100-python: name"):
        datasets.load(tmp_path)


def test_the_python_version_stands_in_for_the_binary_one(tmp_path):
    cifar(tmp_path / "cifar-10-batches-py", lambda batch: pickle.dumps(batch, 4))
    data = datasets.load("cifar10", tmp_path, offline=True)
    assert data.name == "cifar10" and len(data.x_train) == 60 and not data.held_out
    assert any("no published checksum" in note for note in data.notes)
    (tmp_path / "cifar-10-batches-bin").mkdir()  # begun, but not whole: that is said instead
    with pytest.raises(datasets.MissingDataError, match="Python version is there too"):
        datasets.load("cifar10", tmp_path, offline=True)


def test_cifar_hundred(tmp_path):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    batch = {b"fine_labels": [5, 0, 99] * 4, b"coarse_labels": [1] * 12, b"data": CIFAR}
    for part in ("train", "test"):
        (folder / part).write_bytes(pickle.dumps(batch, 2))
    names = [f"c{number}".encode() for number in range(100)]
    (folder / "meta").write_bytes(pickle.dumps({b"fine_label_names": names}, 2))
    data = datasets.load(folder)
    assert len(data.class_names) == 100 and data.y_train[2] == 99


def python_two(value) -> bytes:
    """As Python 2 pickles texts, with `BINSTRING`."""
    text = value.encode("latin1") if isinstance(value, str) else value
    return b"T" + len(text).to_bytes(4, "little") + text


def test_the_pickles_of_python_two():
    # Put together by hand as the official files are, which pickletools shows.
    pixels = bytes(range(6))
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87R"
        b"(K\x01K\x02K\x03\x86cnumpy\ndtype\nq\x03U\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ"
        b"\xff\xff\xff\xffK\x00tb\x89" + python_two(pixels) + b"tb"
    )
    data = (
        b"\x80\x02}q\x00(" + python_two("data") + array + python_two("labels") + b"](K\x01K\x02eu."
    )
    found = pickled.read(data)
    np.testing.assert_array_equal(found["data"], np.arange(6).reshape(2, 3))
    assert found["labels"] == [1, 2]


class Call:
    def __init__(self, function, *arguments):
        self.made = function, arguments

    def __reduce__(self):
        return self.made


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    "wrap", [lambda evil: evil, lambda evil: {"data": evil}, lambda evil: [evil]]
)
def test_no_pickle_runs_anything(tmp_path, protocol, wrap):
    made = tmp_path / "made"
    for evil in (
        Call(os.mkdir, str(made)),
        Call(eval, f"__import__('os').mkdir({str(made)!r})"),
        Call(np.load, "x", None, True),
        Call(getattr, "", "join"),
        Call(np.dtype, "O"),
        Call(np.ndarray, (2,)),
        np.array([1.5]),
        np.array([None]),
        {1, 2},
    ):
        with pytest.raises(pickled.RefusedError):
            pickled.read(pickle.dumps(wrap(evil), protocol))
    assert not made.exists()


def test_names_are_never_looked_up(monkeypatch):
    import builtins

    data = pickle.dumps({"data": CIFAR}, 4)
    real = builtins.__import__

    def refuse(name, *rest):
        assert "multiarray" not in name
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    np.testing.assert_array_equal(pickled.read(data)["data"], CIFAR)


@pytest.mark.parametrize(
    "data",
    [b"", b".", b"}", b"(.", b"\x80\x02}q\x00", b"e.", b"]K\x01.", b"0.", b"}h\x05.", b"}(K\x01u.",
     b"\x80\x02cnumpy\nndarray\n.", b"K\x01K\x02.", b"cos\nsystem\n.", b"\x80\x02}\x81."],
)  # fmt: skip
def test_damaged_pickles(data):
    with pytest.raises(pickled.RefusedError):
        pickled.read(data)


def test_any_byte_changed_gives_values_or_a_sentence():
    data = pickle.dumps({"data": CIFAR[:1, :8], "labels": [1, 2]}, 4)
    for place in range(len(data)):
        for value in (0, 40, 46, 82, 98, 99, 147, 255):
            changed = data[:place] + bytes([value]) + data[place + 1 :]
            with contextlib.suppress(pickled.RefusedError):
                pickled.read(changed)


def test_other_files_are_answered(tmp_path):
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        archive.writestr("cat/1.png", b"x")
    Image.new("L", (3, 3)).save(tmp_path / "one.png")
    (tmp_path / "notes.txt").write_text("hello")
    np.save(tmp_path / "images.npy", np.zeros((4, 3, 3)))
    with tarfile.open(tmp_path / "other.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "notes.txt", "notes.txt")
    (tmp_path / "bad.tar.gz").write_bytes(b"no archive")
    for name, words in (
        ("pets.zip", "is a zip file: unpack it"),
        ("one.png", "is a single picture.*fastcnn.predict"),
        ("notes.txt", "of no kind that is read"),
        ("images.npy", r"is a single array.*numpy.savez"),
        ("other.tar.gz", "not the Python version of CIFAR"),
        ("bad.tar.gz", "damaged or no archive"),
        ("nothing/here", "there is no file or folder"),
    ):
        with pytest.raises(datasets.DataError, match=words):
            datasets.load(tmp_path / name)
    with pytest.raises(ValueError, match=r"there is no dataset 'pets'.*no such file or folder"):
        datasets.load("pets")


@pytest.mark.parametrize(
    ("version", "header", "sentence"),
    [
        (1, b"(((", "the header of an array is no header"),
        (7, b"", "an array has an unknown version, "),
        *((1, text, "") for text in (b"{'descr': [[[", b"{" * 9000, b"1 +", b"{}", b"\xff")),
    ],
)
def test_a_header_of_an_array_that_is_none(tmp_path, version, header, sentence):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        start = b"\x93NUMPY" + bytes([version, 0]) + len(header).to_bytes(2, "little")
        archive.writestr("x.npy", start + header)
    with pytest.raises(datasets.DataError, match=rf"is damaged or no \.npz file: {sentence}"):
        datasets.load(path)
