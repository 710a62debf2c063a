"""Which datasets there are, and where their files lie."""

import difflib
import os
from dataclasses import replace
from pathlib import Path

from . import cifar, digits, mnist
from .dataset import Dataset, MissingDataError

_NAMES = ("auto", "mnist", "fashion-mnist", "cifar10", "digits")


def names() -> tuple[str, ...]:
    """Return the names that `load` knows.

    Examples
    --------
    >>> from fastcnn import datasets
    >>> datasets.names()
    ('auto', 'mnist', 'fashion-mnist', 'cifar10', 'digits')
    """
    return _NAMES


def load(
    name: str = "auto",
    data_dir: str | os.PathLike[str] | None = None,
    offline: bool = False,
    progress: bool | None = None,
) -> Dataset:
    """Load a dataset, downloading it first where its files are missing.

    Parameters
    ----------
    name : str
        "mnist", "fashion-mnist", "cifar10", "digits" (part of fastcnn, needs no files), or "auto":
        MNIST where its files are present or can be downloaded, else digits. The result's `source`
        says which and why.
    data_dir : str or os.PathLike[str], optional
        The folder that holds mnist/, fashion-mnist/ and cifar-10-batches-bin/. None is the folder
        that the environment variable FASTCNN_DATA names, and without it the user's cache folder.
    offline : bool
        Never use the network.
    progress : bool, optional
        Show progress bars of downloads on standard error. None shows them only where that is a
        terminal.

    Returns
    -------
    Dataset
        Images as uint8 (N, C, H, W), labels as int64 (N,); see `Dataset`. Files are compared with
        their published checksums, or those in a SHA256SUMS beside them, at every load.

    Raises
    ------
    TypeError
        The name is not a string.
    ValueError
        There is no such dataset; the message names the nearest.
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
    _check_name(name)
    if name == "digits":
        return digits.load()
    folder = _data_folder(data_dir)
    if name == "cifar10":
        return cifar.load(folder, offline, progress)
    if name == "fashion-mnist":
        return mnist.load(mnist.FASHION_MNIST, folder, offline, progress)
    if name == "mnist":
        return mnist.load(mnist.MNIST, folder, offline, progress)
    return _load_auto(folder, offline, progress)


def _load_auto(folder: Path, offline: bool, progress: bool | None) -> Dataset:
    try:
        dataset = mnist.load(mnist.MNIST, folder, offline, progress)
    except MissingDataError as error:
        dataset = digits.load()
        why = f"chosen by 'auto' instead of MNIST: {error.reason}."
    else:
        why = "chosen by 'auto', which takes MNIST where it can."
    return replace(dataset, source=f"{dataset.source.removesuffix('.')}; {why}")


def _check_name(name: object) -> None:
    if not isinstance(name, str):
        raise TypeError(f"the dataset must be given by its name, a string, got {name!r}")
    if name in _NAMES:
        return
    # Compared without case and signs: "CIFAR-10" and "fashion_mnist" are near their names.
    plain = {_plain(known): known for known in _NAMES}
    near = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0.5)
    suggestion = f"perhaps you meant {plain[near[0]]!r}; " if near else ""
    raise ValueError(
        f"there is no dataset {name!r}; {suggestion}the datasets are {', '.join(_NAMES)}"
    )


def _plain(name: str) -> str:
    return "".join(sign for sign in name.lower() if sign.isalnum())


def _data_folder(data_dir: str | os.PathLike[str] | None) -> Path:
    chosen = data_dir if data_dir is not None else os.environ.get("FASTCNN_DATA")
    if chosen:
        return Path(chosen).expanduser()
    import pooch  # 70 ms, needed only here and in downloading

    return Path(pooch.os_cache("fastcnn"))
