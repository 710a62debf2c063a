"""What every dataset looks like once it is loaded, and the errors of loading one."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..tasks import CLASSIFICATION
from .scaling import bring


class DataError(ValueError):
    """A dataset cannot be used: a file is damaged, is not what its name says, or is missing.

    The message is meant for the person at the terminal: it names the file, says what is
    wrong with it and what can be done.

    Examples
    --------
    >>> from pathlib import Path
    >>> from fastcnn import datasets
    >>> size = Path("pets.npz").write_bytes(b"no arrays")
    >>> try:
    ...     datasets.load("pets.npz")
    ... except datasets.DataError as error:
    ...     print(error)
    pets.npz is damaged or no .npz file: File is not a zip file
    """


class MissingDataError(DataError):
    """Files are not in the data folder and could not be, or were not to be, downloaded.

    `reason` is the first half of the message, without the advice: what is missing and why.

    Examples
    --------
    >>> from fastcnn import datasets
    >>> try:
    ...     datasets.load("cifar10", data_dir="nowhere", offline=True)
    ... except datasets.MissingDataError as error:
    ...     print(error.reason)
    there is no nowhere/cifar-10-batches-bin, and downloading is switched off
    """

    def __init__(self, reason: str, advice: str):
        super().__init__(f"{reason}. {advice}")
        self.reason = reason


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels of one dataset, in memory.

    Attributes
    ----------
    name : str
        "mnist", "fashion-mnist", "cifar10" or "digits" (never "auto"), or the path of other data.
    x_train : uint8 (train images, channels, height, width)
        Images trained on, values 0 to 255.
    y_train : int64 (train images,)
        Their labels, 0 to len(class_names) - 1. Of another task uint8 (train images, labels), 0 or
        1, or float32 (train images, numbers).
    x_test : uint8 (test images, channels, height, width)
        Images tested on.
    y_test : int64 (test images,)
        Their labels.
    class_names : tuple[str, ...]
        The name of each class, or of each of several labels, in their order; of numbers, if known.
    source : str
        A sentence saying where the data came from and, when the dataset was chosen by "auto", why
        it is this one.
    notes : tuple[str, ...]
        Sentences a reader of results should know, for example that the files are not the official
        ones. Empty for the official data.
    x_val, y_val : array, optional
        Images and labels for validation, where the data has such a part.
    held_out : bool
        Whether the test part was chosen when the data was read, as it has none of its own.
    task : {"classification", "multilabel", "regression"}
        What is learned of each image: its class, which of several labels it has, or numbers.

    Examples
    --------
    >>> from fastcnn import datasets
    >>> digits = datasets.load("digits")
    >>> digits.x_train.shape, digits.x_test.shape
    ((1501, 1, 28, 28), (296, 1, 28, 28))
    """

    name: str
    x_train: np.ndarray = field(repr=False)
    y_train: np.ndarray = field(repr=False)
    x_test: np.ndarray = field(repr=False)
    y_test: np.ndarray = field(repr=False)
    class_names: tuple[str, ...]
    source: str
    notes: tuple[str, ...] = ()
    x_val: np.ndarray | None = field(default=None, repr=False)
    y_val: np.ndarray | None = field(default=None, repr=False)
    held_out: bool = False
    task: str = CLASSIFICATION

    @property
    def title(self) -> str:
        """The name for headings and folders: of a path, its last part."""
        return title(self.name)

    @property
    def outputs(self) -> int:
        """How many numbers a network for it gives: one for each class, label or number."""
        return len(self.class_names) if self.task == CLASSIFICATION else self.y_train.shape[1]

    def fitted(self, shape: tuple[int, int, int]) -> "Dataset":
        """The dataset with all images scaled to (channels, height, width), grey or in colour."""
        changes = {}
        for part in ("x_train", "x_test", "x_val"):
            images = getattr(self, part)
            if images is not None:
                changes[part] = bring(images, shape[1:], grey=shape[0] == 1)
                if changes[part].shape[1] == 1 and shape[0] == 3:
                    changes[part] = np.repeat(changes[part], 3, axis=1)
        return replace(self, **changes)

    def renamed(
        self, class_names: Sequence[str], numbers: Sequence[int] | None = None
    ) -> "Dataset":
        """The dataset with other class names, and with `numbers[label]` for each label."""
        changes = {}
        for part in ("y_train", "y_test", "y_val"):
            labels = getattr(self, part)
            if labels is not None and numbers is not None:
                changes[part] = np.array(numbers, np.int64)[labels]
        return replace(self, **changes, class_names=tuple(class_names))

    def limit(self, train: int | None = None, test: int | None = None) -> "Dataset":
        """Return the dataset with only the first `train` and `test` images.

        None keeps them all, and so does a number beyond what there is. The arrays are views
        of the same memory; a note says what was left out.

        Raises
        ------
        TypeError
            A limit is not an integer.
        ValueError
            A limit is below 1.

        Examples
        --------
        >>> from fastcnn import datasets
        >>> len(datasets.load("digits").limit(train=100).x_train)
        100
        """
        changes: dict[str, object] = {}
        notes = list(self.notes)
        for part, count in (("train", train), ("test", test)):
            if count is None:
                continue
            _check_limit(part, count)
            images = getattr(self, f"x_{part}")
            if count < len(images):
                changes[f"x_{part}"] = images[:count]
                changes[f"y_{part}"] = getattr(self, f"y_{part}")[:count]
                notes.append(f"Only the first {count:,} of {len(images):,} {part} images are used.")
        return replace(self, **changes, notes=tuple(notes)) if changes else self


def _check_limit(part: str, count: object) -> None:
    if isinstance(count, bool) or not isinstance(count, int | np.integer):
        raise TypeError(f"the limit of {part} images must be a whole number or None, got {count!r}")
    if count < 1:
        raise ValueError(f"the limit of {part} images must be at least 1, got {count}")


def title(name: str) -> str:
    """A dataset's name for headings and folders: of a path, its last part without its ending.

    Examples
    --------
    >>> title("mnist"), title("/home/ada/pets.npz")
    ('mnist', 'pets')
    """
    last = Path(name).name
    for ending in (".gz", ".tar", ".npz", ".csv"):
        last = last.removesuffix(ending)
    return last or "data"


def listing(items: Sequence[object]) -> str:
    """Join names for a sentence: "a", "a and b", "a, b and c".

    Examples
    --------
    >>> listing(["a", "b", "c"])
    'a, b and c'
    """
    words = [str(item) for item in items]
    if len(words) < 2:
        return "".join(words)
    return ", ".join(words[:-1]) + " and " + words[-1]
