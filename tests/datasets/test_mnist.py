"""IDX files, and the folders of MNIST and Fashion-MNIST, made small in a temporary folder."""

import dataclasses
import gzip
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from fastcnn import datasets
from fastcnn.datasets import checksums, idx, mnist

TRAIN, TEST = 12, 5
FILES = mnist.FILES


def image_bytes(count: int, height: int = 4, width: int = 3, start: int = 0) -> bytes:
    header = np.array([2051, count, height, width], ">u4").tobytes()
    return header + (np.arange(start, start + count * height * width) % 251).astype("u1").tobytes()


def label_bytes(count: int, start: int = 0) -> bytes:
    labels = (np.arange(start, start + count) % 10).astype("u1")
    return np.array([2049, count], ">u4").tobytes() + labels.tobytes()


def contents() -> dict[str, bytes]:
    parts = (
        image_bytes(TRAIN),
        label_bytes(TRAIN),
        image_bytes(TEST, start=7),
        label_bytes(TEST, 3),
    )
    return dict(zip(FILES, parts, strict=True))


def make_folder(data_dir: Path, name: str = "mnist", **changed: bytes | None) -> Path:
    """Write the four files; `changed` replaces one by its first word ("train_images=b'...'")."""
    folder = data_dir / name
    folder.mkdir(parents=True)
    for file, content in contents().items():
        content = changed.get("_".join(file.split("-")[:2]), content)
        if content is not None:
            (folder / file).write_bytes(content)
    return folder


def load(data_dir: Path, name: str = "mnist") -> datasets.Dataset:
    return datasets.load(name, data_dir=data_dir, offline=True)


def failure(data_dir: Path, name: str = "mnist") -> str:
    with pytest.raises(datasets.DataError) as caught:
        load(data_dir, name)
    return str(caught.value)


def spec_of(files: dict[str, bytes]) -> mnist.IdxDataset:
    """A dataset whose published sums are those of the given files."""
    published = tuple(
        checksums.Published(name, len(content), "sha256:" + hashlib.sha256(content).hexdigest())
        for name, content in files.items()
    )
    return dataclasses.replace(mnist.MNIST, published=published)


def test_values_and_types(tmp_path):
    make_folder(tmp_path)
    data = load(tmp_path)
    assert data.x_train.shape == (TRAIN, 1, 4, 3) and data.x_test.shape == (TEST, 1, 4, 3)
    assert data.x_train.dtype == np.uint8 and data.y_train.dtype == np.int64
    assert data.x_train.ravel().tolist() == [i % 251 for i in range(TRAIN * 12)]
    assert data.y_test.tolist() == [3, 4, 5, 6, 7]
    assert data.x_train.flags.writeable and data.x_train.flags.c_contiguous
    assert data.class_names == tuple("0123456789")
    assert str(tmp_path / "mnist") in data.source
    assert "Not the official MNIST" in data.notes[0]


@pytest.mark.parametrize("spelling", ["{}.gz", "{dotted}", "{dotted}.gz"])
def test_other_spellings(tmp_path, spelling):
    folder = make_folder(tmp_path)
    expected = load(tmp_path)
    for name in FILES:
        new = folder / spelling.format(name, dotted=name.replace("-idx", ".idx"))
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        new.write_bytes(gzip.compress(content) if new.suffix == ".gz" else content)
    got = load(tmp_path)
    np.testing.assert_array_equal(got.x_train, expected.x_train)
    np.testing.assert_array_equal(got.y_test, expected.y_test)


def test_name_says_gz_but_content_is_unpacked(tmp_path):
    folder = make_folder(tmp_path)
    (folder / FILES[0]).rename(folder / f"{FILES[0]}.gz")
    assert len(load(tmp_path).x_train) == TRAIN


BROKEN = {
    "zero bytes": (b"", "is empty (0 bytes)"),
    "web page": (b"\n<!DOCTYPE html><html>404</html>", "is a web page, not data"),
    "no idx": (b"PK\x03\x04" + bytes(40), "is not an IDX file of images"),
    "labels": (label_bytes(TRAIN), "holds labels, not images (magic 2049, expected 2051)"),
    "floats": (np.array([0x0D03, 1, 1, 1], ">u4").tobytes() + bytes(4), "IDX type float"),
    "four axes": (np.array([0x0804, 1, 1, 1, 1], ">u4").tobytes() + b"a", "has 4 axes"),
    "short header": (image_bytes(1)[:9], "its header should have 16 bytes, the file ends after 9"),
    "truncated": (
        image_bytes(TRAIN)[:-1],
        "12 images of 4x3, 160 bytes with the header, but there are 159",
    ),
    "trailing": (image_bytes(TRAIN) + b"!", "has trailing bytes"),
    "no images": (image_bytes(0), "is an empty dataset"),
    "no width": (image_bytes(3, 4, 0), "is an empty dataset"),
    "huge claim": (np.array([2051, *[2**32 - 1] * 3], ">u4").tobytes(), "more than any dataset"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("case", BROKEN)
def test_broken_images(tmp_path, case, packed):
    content, message = BROKEN[case]
    if packed and case not in ("zero bytes", "web page"):
        content = gzip.compress(content)
    folder = make_folder(tmp_path, train_images=content)
    said = failure(tmp_path)
    assert message in said
    assert str(folder / FILES[0]) in said


def test_swapped_labels_say_so(tmp_path):
    make_folder(tmp_path, train_labels=image_bytes(TRAIN))
    assert "were the files of images and labels swapped?" in failure(tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda packed: packed[:-20], "the gzip data ends too early"),
        (lambda packed: packed[:-8] + bytes(4) + packed[-4:], "gzip checksum (CRC)"),
        (lambda packed: packed[:10] + b"\xff" * 9 + packed[19:], "cannot be unpacked"),
        (lambda packed: packed + b"garbage", "cannot be unpacked"),
    ],
)
def test_damaged_gzip(tmp_path, damage, message):
    noise = np.random.default_rng(0).integers(0, 256, TRAIN * 12, np.uint8).tobytes()
    make_folder(tmp_path, train_images=damage(gzip.compress(image_bytes(TRAIN)[:16] + noise)))
    said = failure(tmp_path)
    assert "is damaged" in said and message in said


def test_gzip_header_claims_more_than_it_can_hold(tmp_path):
    claim = np.array([2051, 10**6, 28, 28], ">u4").tobytes() + bytes(100)
    make_folder(tmp_path, train_images=gzip.compress(claim))
    assert "cannot hold" in failure(tmp_path)


def test_counts_differ(tmp_path):
    make_folder(tmp_path, t10k_labels=label_bytes(TEST + 1))
    said = failure(tmp_path)
    assert "has 5 images, but t10k-labels-idx1-ubyte has 6 labels" in said


def test_image_sizes_differ(tmp_path):
    make_folder(tmp_path, t10k_images=image_bytes(TEST, 5, 3))
    assert "images of 4x3, but t10k-images-idx3-ubyte of 5x3" in failure(tmp_path)


def test_label_out_of_range(tmp_path):
    labels = bytearray(label_bytes(TRAIN))
    labels[8 + 2] = 17
    make_folder(tmp_path, train_labels=bytes(labels))
    assert "label 17 of image 2 is out of range; the labels are 0 to 9" in failure(tmp_path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(datasets.MissingDataError) as caught:
        load(tmp_path)
    assert caught.value.reason.startswith(f"there is no folder {tmp_path / 'mnist'}")
    make_folder(tmp_path, t10k_labels=None)
    said = failure(tmp_path)
    assert f"{tmp_path / 'mnist'} lacks t10k-labels-idx1-ubyte" in said
    for hint in (*FILES, "--data-dir", "FASTCNN_DATA", "--dataset digits", "switched off"):
        assert hint in said


def test_files_one_folder_too_high(tmp_path):
    make_folder(tmp_path.parent, name=tmp_path.name + "/x")
    assert "move them there" in failure(tmp_path / "x")


def test_official_files_have_no_notes(tmp_path):
    make_folder(tmp_path)
    assert mnist.load(spec_of(contents()), tmp_path, True, None).notes == ()


@pytest.mark.parametrize("packed", [False, True])
def test_one_changed_byte_among_official_files(tmp_path, packed):
    changed = bytearray(image_bytes(TRAIN))
    changed[100] ^= 1
    content = gzip.compress(bytes(changed)) if packed else bytes(changed)
    folder = make_folder(tmp_path, train_images=content)
    with pytest.raises(datasets.DataError, match="is damaged: its checksum is not that of the"):
        mnist.load(spec_of(contents()), tmp_path, True, None)
    # Listed in a manifest by its owner, the same file is what it is meant to be.
    listed = f"{hashlib.sha256(content).hexdigest()}  {FILES[0]}\n"
    (folder / "SHA256SUMS").write_text(listed)
    assert FILES[0] in mnist.load(spec_of(contents()), tmp_path, True, None).notes[0]


def test_subset_beside_official_files_is_used(tmp_path):
    make_folder(tmp_path, train_images=image_bytes(6), train_labels=label_bytes(6))
    data = mnist.load(spec_of(contents()), tmp_path, True, None)
    assert len(data.x_train) == 6
    assert f"{FILES[0]} and {FILES[1]}" in data.notes[0] and FILES[2] not in data.notes[0]


def test_files_of_the_other_dataset(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "FASHION_MNIST", spec_of(contents()))
    make_folder(tmp_path)
    assert "it belongs in" in failure(tmp_path)


def test_manifest_finds_a_changed_file(tmp_path):
    folder = make_folder(tmp_path)
    checksums.write_manifest(
        folder, {n: hashlib.sha256(c).hexdigest() for n, c in contents().items()}
    )
    load(tmp_path)
    (folder / FILES[1]).write_bytes(label_bytes(TRAIN, start=1))
    assert f"{folder / FILES[1]} is damaged or was changed" in failure(tmp_path)


def test_manifest_that_is_none(tmp_path):
    folder = make_folder(tmp_path)
    (folder / "SHA256SUMS").write_text("hello\n")
    assert "SHA256SUMS, line 1: expected a SHA-256 sum" in failure(tmp_path)


def test_manifest_keeps_earlier_entries(tmp_path):
    checksums.write_manifest(tmp_path, {"a": "1" * 64})
    checksums.write_manifest(tmp_path, {"b c": "2" * 64})
    assert checksums.read_manifest(tmp_path) == {"a": "1" * 64, "b c": "2" * 64}
    assert [path.name for path in tmp_path.iterdir()] == ["SHA256SUMS"]


def test_fashion_mnist_has_its_own_folder(tmp_path):
    make_folder(tmp_path, name="fashion-mnist")
    data = load(tmp_path, "fashion-mnist")
    assert data.name == "fashion-mnist" and data.class_names[9] == "Ankle boot"


def test_idx_reader_on_labels_alone(tmp_path):
    path = tmp_path / "labels"
    path.write_bytes(label_bytes(4))
    assert idx.read_labels(path, classes=10).values.tolist() == [0, 1, 2, 3]
    with pytest.raises(datasets.DataError, match="label 3 of image 3"):
        idx.read_labels(path, classes=3)


def real_mnist() -> Path | None:
    folder = Path(os.environ.get("FASTCNN_DATA", ""), "mnist")
    return folder if all(mnist.find(folder, name) for name in FILES) else None


@pytest.mark.skipif(real_mnist() is None, reason="FASTCNN_DATA holds no mnist/")
def test_real_mnist():
    data = datasets.load("mnist", offline=True)
    assert data.x_train.shape == (60000, 1, 28, 28) and data.x_test.shape == (10000, 1, 28, 28)
    assert data.notes == ()
    assert data.y_train[:5].tolist() == [5, 0, 4, 1, 9]
