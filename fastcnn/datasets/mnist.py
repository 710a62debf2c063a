"""MNIST and Fashion-MNIST: four IDX files each, of 28x28 grey images in ten classes.

Sources of what is known about the files:

* MNIST: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits",
  http://yann.lecun.com/exdb/mnist/. SHA-256 of the archives: TensorFlow Datasets,
  url_checksums/mnist.txt. SHA-256 of the unpacked files: computed from the official files.
* Fashion-MNIST: H. Xiao, K. Rasul, R. Vollgraf, arXiv:1708.07747 (MIT licence). SHA-256 of
  the archives: TensorFlow Datasets, url_checksums/fashion_mnist.txt. Of the unpacked files
  only MD5 sums are published (several loaders carry the same four); a download is
  compared with both, and the SHA256SUMS written beside the files guards them from then on.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .checksums import Checked, Published, check_file, digest, judge, matches, read_manifest
from .dataset import DataError, Dataset, MissingDataError, listing
from .download import DownloadError, Mirrors, RemoteFile, install, temporary_folder
from .idx import IdxFile, read_images, read_labels

_TRAIN_IMAGES, _TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
_TEST_IMAGES, _TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
FILES = (_TRAIN_IMAGES, _TRAIN_LABELS, _TEST_IMAGES, _TEST_LABELS)
_SIZES = (47_040_016, 60_008, 7_840_016, 10_008)


@dataclass(frozen=True)
class IdxDataset:
    """What is known about a dataset of four IDX files, in the order of FILES."""

    name: str
    title: str
    class_names: tuple[str, ...]
    base_urls: tuple[str, ...]
    archives: tuple[RemoteFile, ...]
    published: tuple[Published, ...]


def _archives(*known: tuple[int, str]) -> tuple[RemoteFile, ...]:
    return tuple(RemoteFile(f"{name}.gz", *pair) for name, pair in zip(FILES, known, strict=True))


def _published(*sums: str) -> tuple[Published, ...]:
    return tuple(Published(*known) for known in zip(FILES, _SIZES, sums, strict=True))


MNIST = IdxDataset(
    name="mnist",
    title="MNIST",
    class_names=tuple("0123456789"),
    base_urls=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    archives=_archives(
        (9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        (28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        (1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        (4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ),
    published=_published(
        "sha256:ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "sha256:65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "sha256:0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "sha256:ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)

FASHION_MNIST = IdxDataset(
    name="fashion-mnist",
    title="Fashion-MNIST",
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    base_urls=(
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    archives=_archives(
        (26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        (29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        (4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        (5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    ),
    published=_published(
        "md5:f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "md5:9018921c3c673c538a1fc5bad174d6f9",
        "md5:8181f5470baa50b63fa0f6fddb340f0a",
        "md5:15d484375f8d13e6eb1aabb0c3f46965",
    ),
)


def load(spec: IdxDataset, data_dir: Path, offline: bool, progress: bool | None) -> Dataset:
    """Read data_dir/<name>/, after downloading what is missing there unless `offline`.

    Raises
    ------
    MissingDataError
        Files are missing and were not, or could not be, downloaded.
    DataError
        A file is damaged or the files do not belong together.
    """
    folder = data_dir / spec.name
    missing = [name for name in FILES if find(folder, name) is None]
    source = f"{spec.title} from {folder}."
    if missing:
        reason = _missing_reason(folder, missing)
        advice = _advice(spec, data_dir)
        if offline:
            raise MissingDataError(f"{reason}, and downloading is switched off", advice)
        try:
            host = _download(spec, missing, data_dir, progress)
        except DownloadError as error:
            raise MissingDataError(
                f"{reason}, and downloading did not work ({error})", advice
            ) from error
        source = f"{spec.title}, downloaded from {host} to {folder}."
    return _read(spec, folder, source)


def find(folder: Path, name: str) -> Path | None:
    """Return the file of that name in one of its usual spellings, or None."""
    dotted = name.replace("-idx", ".idx")
    for spelling in (name, dotted, f"{name}.gz", f"{dotted}.gz"):
        if (folder / spelling).is_file():
            return folder / spelling
    return None


def _missing_reason(folder: Path, missing: list[str]) -> str:
    if not folder.is_dir():
        return f"there is no folder {folder}"
    if len(missing) == len(FILES):
        return f"{folder} has none of the four files {listing(FILES)}"
    return f"{folder} lacks {listing(missing)}"


def _advice(spec: IdxDataset, data_dir: Path) -> str:
    misplaced = all(find(data_dir, name) for name in FILES)
    hint = f"The files lie in {data_dir} itself: move them there. " if misplaced else ""
    return (
        f"{spec.title} is expected in {data_dir / spec.name}: {listing(FILES)}, each gzipped "
        f"(.gz) or not. {hint}Put them there, name the folder that holds {spec.name}/ with "
        "--data-dir or FASTCNN_DATA, allow the download, or use --dataset digits, which is part "
        "of fastcnn."
    )


def _download(spec: IdxDataset, missing: list[str], data_dir: Path, progress: bool | None) -> str:
    """Download, unpack and put in place the missing files; return the last mirror's host."""
    mirrors = Mirrors(spec.base_urls)
    host = ""
    sums = {}
    with temporary_folder(data_dir) as temporary:
        for name, archive in zip(FILES, spec.archives, strict=True):
            if name in missing:
                host = mirrors.download(archive, temporary, progress)
                content = _read_file(spec, temporary / archive.name, name).content
                content.tofile(temporary / name)
                sums[name] = digest(content)
        install(temporary, sums, data_dir / spec.name)
    return host


def _read_file(spec: IdxDataset, path: Path, name: str) -> IdxFile:
    if name in (_TRAIN_IMAGES, _TEST_IMAGES):
        return read_images(path)
    return read_labels(path, len(spec.class_names))


def _read(spec: IdxDataset, folder: Path, source: str) -> Dataset:
    manifest = read_manifest(folder)
    values: dict[str, np.ndarray] = {}
    paths: dict[str, Path] = {}
    checked: list[Checked] = []
    for name, published in zip(FILES, spec.published, strict=True):
        # find() succeeded for every name just before; a file deleted since fails in reading.
        path = paths[name] = find(folder, name) or folder / name
        file = _read_file(spec, path, name)
        check = check_file(path, file.raw, file.content, published, manifest)
        if not check.official:
            _check_other_dataset(spec, path, file.content)
        checked.append(check)
        values[name] = file.values
    for images, labels in ((_TRAIN_IMAGES, _TRAIN_LABELS), (_TEST_IMAGES, _TEST_LABELS)):
        if len(values[images]) != len(values[labels]):
            raise DataError(
                f"{paths[images]} has {len(values[images]):,} images, but {paths[labels].name} has "
                f"{len(values[labels]):,} labels: the files do not belong together"
            )
    train, test = values[_TRAIN_IMAGES], values[_TEST_IMAGES]
    if train.shape[1:] != test.shape[1:]:
        raise DataError(
            f"{paths[_TRAIN_IMAGES]} has images of {train.shape[1]}x{train.shape[2]}, but "
            f"{paths[_TEST_IMAGES].name} of {test.shape[1]}x{test.shape[2]}: the files do not "
            "belong together"
        )
    return Dataset(
        name=spec.name,
        x_train=train[:, None],
        y_train=values[_TRAIN_LABELS].astype(np.int64),
        x_test=test[:, None],
        y_test=values[_TEST_LABELS].astype(np.int64),
        class_names=spec.class_names,
        source=source,
        notes=judge(spec.title, checked),
    )


def _check_other_dataset(spec: IdxDataset, path: Path, content: np.ndarray) -> None:
    """Both datasets use the same file names and sizes, so one is easily taken for the other."""
    for other in (MNIST, FASHION_MNIST):
        if other is not spec and any(matches(content, known) for known in other.published):
            raise DataError(
                f"{path} is a file of {other.title}, not of {spec.title}: it belongs in "
                f"{path.parent.parent / other.name}"
            )
