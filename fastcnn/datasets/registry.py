"""Which datasets there are, and where their files lie."""

import math
import os
from dataclasses import replace
from pathlib import Path

from .. import checks
from ..checks import same, unknown
from ..files import place, users_folder
from ..tasks import CLASSIFICATION, TASKS
from . import cifar, digits, mnist, own
from .dataset import Dataset, MissingDataError

_ABOUT = {
    "auto": "MNIST where it is or can be downloaded, else digits",
    "mnist": "70,000 handwritten digits, 28 x 28",
    "fashion-mnist": "70,000 pieces of clothing in 10 classes, 28 x 28",
    "cifar10": "60,000 photographs in 10 classes, 32 x 32 in colour",
    "digits": "1,797 handwritten digits, 8 x 8 enlarged; part of fastcnn",
}


def names() -> tuple[str, ...]:
    """Return the names that `load` knows.

    Examples
    --------
    >>> from fastcnn import datasets
    >>> datasets.names()
    ('auto', 'mnist', 'fashion-mnist', 'cifar10', 'digits')
    """
    return tuple(_ABOUT)


def about(name: str) -> str:
    """What a dataset is, in a line.

    Raises
    ------
    ValueError
        If there is no such dataset.
    TypeError
        If the name is no string.

    Examples
    --------
    >>> about("digits")
    '1,797 handwritten digits, 8 x 8 enlarged; part of fastcnn'
    """
    return _ABOUT[_known(name)]


def load(
    name: str | os.PathLike[str] = "auto",
    data_dir: str | os.PathLike[str] | None = None,
    offline: bool = False,
    progress: bool | None = None,
    *,
    size: int | tuple[int, int] | None = None,
    grey: bool = False,
    strict: bool = False,
    seed: int = 42,
    test_share: float = 0.2,
    whole: bool = False,
    task: str = CLASSIFICATION,
) -> Dataset:
    """Load a dataset, downloading it first where its files are missing; or read people's own.

    Parameters
    ----------
    name : str or path
        "mnist", "fashion-mnist", "cifar10", "digits" (part of fastcnn, needs no files), or "auto":
        MNIST where its files are present or can be downloaded, else digits. The result's `source`
        says which and why. Or a path: a folder with a subfolder of pictures per class (or such
        folders called train, val and test), an .npz file, a CSV file as on Kaggle, a pair of IDX
        files, or CIFAR's Python archive; docs/pictures.md says how each looks.
    data_dir : str or os.PathLike[str], optional
        The folder that holds mnist/, fashion-mnist/ and cifar-10-batches-bin/. None is the folder
        that the environment variable FASTCNN_DATA names, and without it the user's cache folder.
    offline : bool
        Never use the network.
    progress : bool, optional
        Show progress bars of downloads on standard error. None shows them only where that is a
        terminal.
    size : int or pair, optional
        Side of the images, or (height, width), to which they are scaled.
    grey : bool
        Give up colours.
    strict : bool
        A picture that cannot be read is an error, not left out. This and what follows is for paths
        only.
    seed : int
        Key of the choice of test images, where the data has no test part.
    test_share : float
        How many they are, as a share of each class, above 0 and below 1.
    whole : bool
        To be measured, not learned from: nothing is held out, and there may be one class only, or
        no training part. Without a test part, `x_train` and `x_test` are all the images.
    task : {"classification", "multilabel", "regression"}
        What is learned of each image: its class, which of several labels it has (rows of 0 and 1),
        or numbers. The latter two are read from .npz, numbers from CSV and IDX too.

    Returns
    -------
    Dataset
        Images as uint8 (N, C, H, W), labels as int64 (N,), or what `task` says; see `Dataset`.
        Files are compared with their published checksums, or those in a SHA256SUMS beside them, at
        every load.

    Raises
    ------
    TypeError
        The name is neither a string nor a path.
    ValueError
        There is no such dataset, and the message names the nearest; or test_share is no share, or
        size no size.
    MissingDataError
        Files are missing and were not, or could not be, downloaded.
    DataError
        A file is damaged or is not what its name says. Both are ValueErrors.

    Examples
    --------
    >>> from fastcnn import datasets
    >>> data = datasets.load("digits")
    >>> data.x_test.shape, data.y_test.shape
    ((296, 1, 28, 28), (296,))
    """
    if task not in TASKS:
        raise ValueError(unknown("task", task, TASKS))
    size = None if size is None else checks.pair("datasets.load", "size", size)
    if isinstance(name, os.PathLike) or (isinstance(name, str) and is_path(name)):
        test_share = checks.number(
            "datasets.load", "test_share", test_share, math.nextafter(0, 1), 1,
            "above 0 and below 1 (whole=True holds nothing out)",
        )  # fmt: skip
        reading = own.Reading(size, grey, strict, seed, test_share, progress, whole, task)
        return own.load(name, reading)
    own.only_classes(_known(name), task)
    data = _load_named(_known(name), data_dir, offline, progress)
    channels, height, width = data.x_train.shape[1:]
    if size is not None:
        height, width = size
    return data.fitted((1 if grey else channels, height, width))


def _load_named(
    name: str, data_dir: str | os.PathLike[str] | None, offline: bool, progress: bool | None
) -> Dataset:
    if name == "digits":
        return digits.load()
    try:
        folder = _data_folder(data_dir)
    except MissingDataError as error:
        if name != "auto":
            raise
        return _digits(error)
    if name == "cifar10":
        return _load_cifar10(folder, offline, progress)
    if name == "fashion-mnist":
        return mnist.load(mnist.FASHION_MNIST, folder, offline, progress)
    if name == "mnist":
        return mnist.load(mnist.MNIST, folder, offline, progress)
    return _load_auto(folder, offline, progress)


def _load_cifar10(folder: Path, offline: bool, progress: bool | None) -> Dataset:
    """The binary version where it is, else the Python version where that is, else a download."""
    try:
        return cifar.load(folder, True, progress)
    except MissingDataError:
        found = [folder / name for name in cifar.PYTHON if (folder / name).exists()]
        if found and not (folder / cifar.FOLDER).exists():
            note = "CIFAR-10's Python version is compared with no published checksum."
            data = own.load(found[0])
            return replace(data, name="cifar10", notes=(*data.notes, note))
    return cifar.load(folder, offline, progress)


def _load_auto(folder: Path, offline: bool, progress: bool | None) -> Dataset:
    try:
        dataset = mnist.load(mnist.MNIST, folder, offline, progress)
    except MissingDataError as error:
        return _digits(error)
    return _chosen(dataset, "chosen by 'auto', which takes MNIST where it can.")


def _digits(error: MissingDataError) -> Dataset:
    return _chosen(digits.load(), f"chosen by 'auto' instead of MNIST: {error.reason}.")


def _chosen(dataset: Dataset, why: str) -> Dataset:
    return replace(dataset, source=f"{dataset.source.removesuffix('.')}; {why}")


def is_path(name: str) -> bool:
    """Whether a dataset's name is the path of people's own data.

    A file or folder that is called like a dataset is meant by `./NAME`.

    Examples
    --------
    >>> is_path("mnist"), is_path("./pets")
    (False, True)
    """
    return own.has_separator(name) or (same(name, names()) is None and place(name).exists())


def _known(name: object) -> str:
    """The name as it is listed: "CIFAR-10" is cifar10."""
    if not isinstance(name, str):
        raise TypeError(f"the dataset must be given by its name, a string, or a path, got {name!r}")
    known = same(name, names())
    if known is None:
        hint = "; and there is no such file or folder"
        raise ValueError(unknown("dataset", name, names()) + hint)
    return known


def _data_folder(data_dir: str | os.PathLike[str] | None) -> Path:
    chosen = data_dir if data_dir is not None else os.environ.get("FASTCNN_DATA")
    if chosen:
        return place(chosen)
    folder = users_folder()
    if folder is None:
        raise MissingDataError(
            "there is no folder for data, as this user has no home",
            "Name one with --data-dir or FASTCNN_DATA, or take --dataset digits, which is part of "
            "fastcnn.",
        )
    return folder
