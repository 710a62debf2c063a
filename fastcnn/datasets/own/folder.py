"""A folder with a subfolder of pictures for each class, or such folders for train, val and test."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..dataset import DataError, listing
from . import splits
from .cache import Gathered, gather
from .labels import natural
from .parts import Parts, Reading
from .pictures import is_picture, is_results, walk

_TRAIN = ("train", "training")
_NAMED = 5  # files that cannot be read, and so on, that are named one by one


class _Listing:
    """What lies in the folder: picture files in the order of part, class and name."""

    def __init__(self, root: Path, whole: bool) -> None:
        self.names: list[str] = []  # relative to the root
        self.parts: list[str] = []
        self.classes: list[str] = []
        self.notes: list[str] = []
        self._others: Counter[str] = Counter()
        self._below: list[str] = []  # folders with pictures, within those of classes
        folders = splits.subfolders(root)
        parts = splits.find(folders, whole)
        train = next((folder for folder in folders if folder.name.lower() in _TRAIN), None)
        if parts:
            self._list_parts(root, folders, parts)
            if not whole:
                self._check_trained(root, parts)
        elif train is not None and all(map(splits.is_exact, folders)):  # no class is called so
            self._list_classes(root, train, "train", [])
        else:
            self._list_classes(root, root, "train", folders)
        if self._below:
            more = len(self._below) - _NAMED
            some = self._below[:_NAMED] + [f"{more:,} more"] * (more > 0)
            self.notes.append(
                f"Pictures of folders within that of a class ({listing(some)}) are of that class."
            )
        if self._others:
            count = sum(self._others.values())
            kinds = listing(sorted(self._others)[:_NAMED])
            self.notes.append(
                f"Left alone {_count(count, 'file')} that no picture is called like ({kinds})."
            )

    def _list_parts(self, root: Path, folders: list[Path], parts: dict[Path, str]) -> None:
        for folder, part in sorted(parts.items(), key=lambda each: splits.ORDER.index(each[1])):
            inside = splits.unpacked(folder)
            classes = splits.subfolders(inside)
            if classes:
                self._list_classes(root, inside, part, classes)
            else:
                self.notes.append(
                    f"{folder} has no subfolder per class, so its pictures have no labels; it "
                    f"is left alone (python -m fastcnn.predict RUN {folder})."
                )
        others = [folder.name for folder in folders if folder not in parts]
        if others:
            self.notes.append(
                f"{root} has {listing([f'{folder.name}/' for folder in parts])}, so "
                f"{'its folder' if len(others) == 1 else 'its folders'} {listing(others)} "
                f"{'is' if len(others) == 1 else 'are'} left alone."
            )

    def _check_trained(self, root: Path, parts: dict[Path, str]) -> None:
        """Refuse parts of which there is no training picture."""
        if "train" not in parts.values():
            raise DataError(
                f"{root} has {listing([f'{folder.name}/' for folder in parts])}, but no training "
                f"part: call the folder to train on train"
            )
        trained = {name for name, part in zip(self.classes, self.parts, strict=True)
                   if part == "train"}  # fmt: skip
        for name, part in zip(self.classes, self.parts, strict=True):
            if name not in trained:
                raise DataError(
                    f"{root}: the {part} part has a class {name!r} of which the training part has "
                    f"no picture; its classes are {listing(natural(list(trained)))}"
                )

    def _list_classes(self, root: Path, above: Path, part: str, folders: list[Path]) -> None:
        beside = sum(is_picture(entry) for entry in splits.entries(above))
        if beside and not folders:
            raise DataError(
                f"{above} has pictures ({beside:,}) but no subfolder per class: put the "
                f"pictures of each class in a folder that is called like the class"
            )
        if beside:
            self.notes.append(
                f"Left alone {_count(beside, 'picture')} beside the class folders of {above}."
            )
        for folder in folders:
            if is_results(folder):
                self.notes.append(
                    f"The folder {folder} holds the results of a run and is no class."
                )
                continue
            found = sorted(self._pictures(folder))
            if not found and part == "train":
                self.notes.append(f"The folder {folder} has no pictures and is no class.")
            within = sorted({file.parent for file in found} - {folder})
            self._below += [each.relative_to(root).as_posix() for each in within]
            self.names += [file.relative_to(root).as_posix() for file in found]
            self.parts += [part] * len(found)
            self.classes += [folder.name] * len(found)

    def _pictures(self, folder: Path) -> Iterable[Path]:
        for place, names in walk(folder, splits.refuse):
            for name in names:
                file = place / name
                if is_picture(file):
                    yield file
                elif not name.startswith("."):
                    self._others[file.suffix.lower() or name] += 1


def read(root: Path, reading: Reading) -> Parts:
    """The pictures in a folder.

    Raises
    ------
    DataError
        If there are none, or, to be learned from, of one class only, or, with `strict`, one cannot
        be read.
    """
    found = _Listing(root, reading.whole)
    if not found.names:
        raise DataError(
            f"{root} holds no pictures: it must have a subfolder per class, with its pictures "
            f"(PNG, JPEG, BMP, GIF, WebP, TIFF) in it{_all(found.notes)}"
        )
    names = natural(sorted(set(found.classes)))
    if len(names) == 1 and not reading.whole:
        raise DataError(
            f"{root} has pictures of a single class, {names[0]!r}, so there is nothing to tell "
            f"apart; two subfolders with pictures or more are needed"
            f"{_deeper(root) or _all(found.notes)}"
        )
    gathered = gather(root, found.names, reading.size, reading.grey, reading.progress)
    notes = [*_unreadable(root, found, gathered, reading.strict), *found.notes]
    kept = [i for i in range(len(found.names)) if i not in gathered.unreadable]
    number = {name: index for index, name in enumerate(names)}
    labels = np.array([number[found.classes[i]] for i in kept], np.int64)
    parts = np.array([found.parts[i] for i in kept])
    for index, name in enumerate(names):
        if not reading.whole and not ((labels == index) & (parts == "train")).any():
            raise DataError(f"{root}: no training picture of the class {name!r} can be read")
    # Pictures of one part follow one another, so these are views, mapped from the disk like all.
    ends = {part: np.flatnonzero(parts == part) for part in splits.ORDER if (parts == part).any()}
    slices = {part: slice(rows[0], rows[-1] + 1) for part, rows in ends.items()}
    channels = {1: "grey", 3: "in colour"}[gathered.images.shape[1]]
    height, width = gathered.images.shape[2:]
    return Parts(
        images={part: gathered.images[rows] for part, rows in slices.items()},
        labels={part: labels[rows] for part, rows in slices.items()},
        class_names=tuple(names),
        source=f"{len(kept):,} pictures of {len(names)} classes from {root}, {height} x {width}, "
        f"{channels}; {gathered.note}.",
        notes=tuple(notes),
    )


def _unreadable(root: Path, found: _Listing, gathered: Gathered, strict: bool) -> tuple[str, ...]:
    """A note that names the pictures left out."""
    wrong = [f"{root / found.names[i]}: {why}" for i, why in sorted(gathered.unreadable.items())]
    if not wrong:
        return ()
    if strict:
        others = f" (and {len(wrong) - 1:,} more)" if len(wrong) > 1 else ""
        raise DataError(f"{wrong[0]}{others}; without --strict such pictures are left out")
    more = f"; and {len(wrong) - _NAMED:,} more" if len(wrong) > _NAMED else ""
    return (
        f"Left out {_count(len(wrong), 'picture')} that cannot be read: "
        f"{'; '.join(wrong[:_NAMED])}{more}.",
    )


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"


def _all(notes: Iterable[str]) -> str:
    """What was left out, behind a sentence that it may explain."""
    return "".join(f". {note.rstrip('.')}" for note in notes)


def _deeper(folder: Path) -> str:
    """Advice where the classes seem to lie further down."""
    below = splits.subfolders(folder)
    if len(below) != 1:
        return ""
    while len(below) == 1:
        folder, below = below[0], splits.subfolders(below[0])
    names = [each.name for each in below]
    more = [f"{len(names) - 3} more"] if len(names) > 4 else names[3:]
    return f"; if {listing(names[:3] + more)} are classes, name {folder}" if names else ""
