"""CIFAR-10 folders and archives, made small in a temporary folder."""

import dataclasses
import hashlib
import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from fastcnn import datasets
from fastcnn.datasets import cifar

NAMES = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
META = b"\n".join(name.encode() for name in cifar.CLASS_NAMES) + b"\n\n"


def batch(number: int, records: int = 3) -> bytes:
    values = np.arange(records * 3073).reshape(records, 3073) + number
    values[:, 0] = (np.arange(records) + number) % 10
    return (values % 256).astype("u1").tobytes()


def contents() -> dict[str, bytes]:
    return {name: batch(number) for number, name in enumerate(NAMES)} | {cifar.META: META}


def make_folder(data_dir: Path, changed: dict[str, bytes | None] | None = None) -> Path:
    folder = data_dir / cifar.FOLDER
    folder.mkdir(parents=True)
    for name, content in (contents() | (changed or {})).items():
        if content is not None:
            (folder / name).write_bytes(content)
    return folder


def make_archive(data_dir: Path, files: dict[str, bytes]) -> Path:
    data_dir.mkdir(exist_ok=True)
    path = data_dir / cifar.ARCHIVE.name
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{cifar.FOLDER}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def load(data_dir: Path) -> datasets.Dataset:
    return datasets.load("cifar10", data_dir=data_dir, offline=True)


def failure(data_dir: Path) -> str:
    with pytest.raises(datasets.DataError) as caught:
        load(data_dir)
    return str(caught.value)


def test_values_and_types(tmp_path):
    make_folder(tmp_path, {NAMES[1]: batch(1, records=2)})
    data = load(tmp_path)
    assert data.x_train.shape == (14, 3, 32, 32) and data.x_test.shape == (3, 3, 32, 32)
    assert data.x_train.dtype == np.uint8 and data.y_train.dtype == np.int64
    assert data.y_train.tolist() == [0, 1, 2, 1, 2, 2, 3, 4, 3, 4, 5, 4, 5, 6]
    # Record 1 of the first file: values 3073.. after its label, red first.
    assert data.x_train[1, 0, 0, :3].tolist() == [(3074 + i) % 256 for i in range(3)]
    assert data.x_train[1, 1, 0, 0] == (3074 + 1024) % 256
    assert data.x_train.flags.c_contiguous
    assert "Not the official CIFAR-10" in data.notes[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty (0 bytes)"),
        (batch(2)[:-1], "is truncated: it should have 30,730,000 bytes"),
        (bytes(100), "is truncated"),
        (b"<html>sorry</html>" + bytes(4000), "is a web page, not data"),
        (b"\x0a" + bytes(3072), "label 10 of image 0 is out of range"),
    ],
)
def test_broken_file(tmp_path, content, message):
    folder = make_folder(tmp_path, {NAMES[2]: content})
    said = failure(tmp_path)
    assert message in said and str(folder / NAMES[2]) in said


def test_data_that_looks_a_little_like_html(tmp_path):
    make_folder(tmp_path, {NAMES[2]: b"\x09<" + bytes(3071)})
    assert load(tmp_path).y_train[6] == 9


def test_class_names(tmp_path):
    folder = make_folder(tmp_path, {cifar.META: None})
    assert load(tmp_path).class_names == cifar.CLASS_NAMES
    (folder / cifar.META).write_text("\n".join("abcdefghij"))
    assert load(tmp_path).class_names == tuple("abcdefghij")
    (folder / cifar.META).write_text("one\ntwo\n")
    data = load(tmp_path)
    assert data.class_names == cifar.CLASS_NAMES
    assert "has 2 lines instead of a name for each" in data.notes[-1]


def test_missing(tmp_path):
    assert "there is no" in failure(tmp_path)
    make_folder(tmp_path, {NAMES[3]: None})
    (tmp_path / "cifar-10-batches-py").mkdir()
    said = failure(tmp_path)
    for hint in ("lacks data_batch_4.bin", cifar.ARCHIVE.name, "Python version", "digits"):
        assert hint in said


def test_archive_is_unpacked_once(tmp_path):
    archive = make_archive(tmp_path, contents())
    data = load(tmp_path)
    assert "unpacked from" in data.source and len(data.x_train) == 15
    listed = (tmp_path / cifar.FOLDER / "SHA256SUMS").read_text().splitlines()
    assert f"{hashlib.sha256(batch(0)).hexdigest()}  {NAMES[0]}" in listed and len(listed) == 7
    archive.unlink()
    np.testing.assert_array_equal(load(tmp_path).x_train, data.x_train)
    assert [path.name for path in tmp_path.iterdir()] == [cifar.FOLDER]


def test_archive_fills_gaps_only(tmp_path):
    make_archive(tmp_path, contents())
    folder = make_folder(tmp_path, {NAMES[0]: None, NAMES[1]: batch(7)})
    data = load(tmp_path)
    assert (folder / NAMES[1]).read_bytes() == batch(7)
    assert data.y_train[:3].tolist() == [0, 1, 2]


def test_manifest_finds_a_changed_file(tmp_path):
    make_archive(tmp_path, contents())
    load(tmp_path)
    (tmp_path / cifar.FOLDER / NAMES[4]).write_bytes(batch(9))
    assert "is damaged or was changed" in failure(tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda packed: packed[:200], "is truncated"),
        (lambda packed: b"<!doctype html>" + packed, "is a web page"),
        (lambda packed: b"nonsense" * 200, "is damaged or not an archive"),
    ],
)
def test_damaged_archive_leaves_nothing(tmp_path, damage, message):
    archive = make_archive(tmp_path, contents())
    archive.write_bytes(damage(archive.read_bytes()))
    said = failure(tmp_path)
    assert message in said and str(archive) in said
    assert [path.name for path in tmp_path.iterdir()] == [archive.name]


def test_archive_of_something_else(tmp_path):
    make_archive(tmp_path, {"data_batch_1": b"a pickle", cifar.META: META})
    said = failure(tmp_path)
    assert "lacks data_batch_1.bin, " in said and "not the binary version" in said
    assert not (tmp_path / cifar.FOLDER).exists()


def test_archive_member_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "_OFFICIAL_BYTES", 100)
    make_archive(tmp_path, contents())
    assert "claims 9,219 bytes" in failure(tmp_path)


@pytest.mark.parametrize("name", [NAMES[0], NAMES[5]])
def test_a_file_with_more_images_than_it_can_have(tmp_path, monkeypatch, name):
    monkeypatch.setattr(cifar, "_OFFICIAL_BYTES", 3 * 3073)
    folder = make_folder(tmp_path, {name: batch(2, records=30)})
    said = failure(tmp_path)
    assert f"{folder / name} has 92,190 bytes, CIFAR-10's files have 9,219." in said
    sums = [
        f"{hashlib.sha256((folder / each).read_bytes()).hexdigest()}  {each}\n" for each in NAMES
    ]
    (folder / "SHA256SUMS").write_text("".join(sums))  # images of one's own, meant so
    data = load(tmp_path)
    assert len(data.x_train) + len(data.x_test) == 5 * 3 + 30
    assert "Not the official CIFAR-10" in data.notes[0]


def official(monkeypatch) -> None:
    """Publish the sums of the small files."""
    files = [
        dataclasses.replace(
            known, size=len(batch(i)), sum=f"sha256:{hashlib.sha256(batch(i)).hexdigest()}"
        )
        for i, known in enumerate((*cifar.TRAIN_FILES, cifar.TEST_FILE))
    ]
    monkeypatch.setattr(cifar, "TRAIN_FILES", tuple(files[:5]))
    monkeypatch.setattr(cifar, "TEST_FILE", files[5])


def test_official_files(tmp_path, monkeypatch):
    official(monkeypatch)
    folder = make_folder(tmp_path)
    assert load(tmp_path).notes == ()
    changed = bytearray(batch(4))
    changed[77] ^= 128
    (folder / NAMES[4]).write_bytes(changed)
    assert f"{folder / NAMES[4]} is damaged" in failure(tmp_path)
    (folder / NAMES[4]).write_bytes(batch(4) + batch(4))
    assert NAMES[4] in load(tmp_path).notes[0]


REAL = Path(os.environ.get("FASTCNN_DATA", ""), cifar.FOLDER)


@pytest.mark.skipif(
    not all((REAL / name).is_file() for name in NAMES), reason="FASTCNN_DATA holds no CIFAR-10"
)
def test_real_cifar10():
    data = datasets.load("cifar10", offline=True)
    assert data.x_train.shape == (50000, 3, 32, 32) and data.x_test.shape == (10000, 3, 32, 32)
    assert np.bincount(data.y_test).tolist() == [1000] * 10
    assert data.class_names[3] == "cat"


def test_colours_of_a_named_dataset_are_given_up(tmp_path):
    make_folder(tmp_path)
    grey = datasets.load("cifar10", tmp_path, offline=True, grey=True)
    whole = load(tmp_path)
    assert grey.x_train.shape == (len(whole.x_train), 1, 32, 32)
    luma = np.tensordot([0.299, 0.587, 0.114], whole.x_test, (0, 1))
    assert abs(grey.x_test[:, 0] - luma).max() < 1
