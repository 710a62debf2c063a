"""Which subfolders of a folder are train, val and test part, and which are classes."""

import re
from pathlib import Path

from ..dataset import DataError, listing
from .pictures import is_picture

ORDER = ("train", "val", "test")
_NAMES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_BEGINS = re.compile(f"({'|'.join(sorted(_NAMES, key=len, reverse=True))})", re.IGNORECASE)
_ENDS = re.compile(f".*?({'|'.join(_NAMES)})$", re.IGNORECASE)


def part_of(name: str) -> str | None:
    """The part that a folder is called like, "test" for seg_test; None for none, or for two.

    Examples
    --------
    >>> part_of("Train"), part_of("seg_test"), part_of("validation_set"), part_of("cats")
    ('train', 'test', 'val', None)
    """
    words = [match[1].lower() for match in (_BEGINS.match(name), _ENDS.match(name)) if match]
    found = {_NAMES[word] for word in words}
    return found.pop() if len(found) == 1 else None


def is_exact(folder: Path) -> bool:
    """Whether a folder is called train, val or test and nothing more."""
    return folder.name.lower() in _NAMES


def unpacked(folder: Path) -> Path:
    """The folder, or what lies in it alone and is called the same, as in some archives."""
    while True:
        below = subfolders(folder)
        if len(below) != 1 or below[0].name.lower() != folder.name.lower():
            return folder
        if any(is_picture(entry) for entry in entries(folder)):
            return folder
        folder = below[0]


def find(folders: list[Path], whole: bool) -> dict[Path, str]:
    """Of the subfolders of a folder, those that are parts with class folders in them.

    A folder called train, val or test is one where train has class folders. One that is only
    called like that, such as seg_train, may as well be a class: it is a part where there are a
    training and another part, every folder of classes is called like a part, and the parts hold
    the same classes as the training part.

    Parameters
    ----------
    whole : bool
        Whether there need be no training part.
    """
    parts = {folder: part for folder in folders if (part := part_of(folder.name))}
    classes = {folder: _names(folder) for folder in folders}
    exact = {folder: part for folder, part in parts.items() if is_exact(folder)}
    like = {folder: part for folder, part in parts.items() if classes[folder]}
    if any(part == "train" and classes[folder] for folder, part in exact.items()):
        known = {name for folder, part in exact.items() if part == "train"
                 for name in classes[folder]}  # fmt: skip
        more = {folder: part for folder, part in like.items() if classes[folder] <= known}
        found = exact | {folder: part for folder, part in more.items() if part not in
                         exact.values()}  # fmt: skip
    elif _are_alike(classes, like, whole):
        found = like
    else:
        return {}
    _refuse_twice(folders, found)
    return found


def _are_alike(classes: dict[Path, set[str]], like: dict[Path, str], whole: bool) -> bool:
    """Whether folders that are called like parts are nothing else."""
    if any(names and folder not in like for folder, names in classes.items()):
        return False
    if whole and like and all(map(is_exact, like)):
        return True
    if len(set(like.values())) < 2:
        return False
    first = {name for folder, part in like.items() if part == "train" for name in classes[folder]}
    if not first:  # val and test: the same classes in both
        first = max((classes[folder] for folder in like), key=len)
    return len(first) > 1 and all(classes[folder] <= first for folder in like)


def _refuse_twice(folders: list[Path], found: dict[Path, str]) -> None:
    for part in ORDER:
        same = [folder for folder in folders if found.get(folder) == part]
        if len(same) > 1:
            raise DataError(f"{same[0].parent}: {listing(same)} are both the {part} part")


def _names(folder: Path) -> set[str]:
    """The class folders in a folder."""
    return {each.name for each in subfolders(unpacked(folder))}


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, in order; a folder that cannot be read is refused."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        refuse(error)
        raise


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, but hidden ones."""
    return [each for each in entries(folder) if each.is_dir() and not each.name.startswith(".")]


def refuse(error: OSError) -> None:
    """The sentence for what cannot be read."""
    raise DataError(f"{error.filename} cannot be read: {error.strerror or error}") from None
