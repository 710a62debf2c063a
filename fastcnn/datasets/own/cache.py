"""Thousands of pictures as one array, decoded in parallel once and then kept on the disk.

A cache is two files: the pixels, one picture after another, and a JSON file that is written last.
Their name carries a digest of every picture's name, size and time of change, of the options and
of Pillow's version, so a cache made of anything else is never found.
"""

import hashlib
import io
import json
import math
import os
import statistics
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import PIL
from tqdm import tqdm

from kernels.cores import available_cores

from ...files import (
    PlaceError,
    complete,
    make_folder,
    remove_empty,
    users_folder,
    write_text,
)
from ...holding import Hold
from ..dataset import DataError
from . import pictures
from .pictures import Size, UnreadableError

_VERSION = 3  # to be raised when pictures are read in another way
_BLOCK = 512  # pictures decoded before they are written
_CHECKED = 1 << 24  # bytes
_LARGEST = 128  # pixels of a side that pictures of one size keep, unless asked
_USUAL = 64  # pixels of a side otherwise


class Gathered(NamedTuple):
    """All pictures that can be read.

    Attributes
    ----------
    images : uint8 (N, C, H, W)
        Mapped from the disk, if it is kept there; one channel if all are grey.
    unreadable : dict
        Number of a file that cannot be read -> why.
    note : str
        Where the pixels are kept, for people.
    """

    images: np.ndarray
    unreadable: dict[int, str]
    note: str


def gather(
    root: Path, names: Sequence[str], size: Size | None, grey: bool, progress: bool | None
) -> Gathered:
    """The pictures `names` below `root`, decoded or from the cache.

    Parameters
    ----------
    size : pair, optional
        (height, width) of all; None: as they are if all are alike and small, else square.
    grey : bool
        Whether colours are given up.
    progress : bool, optional
        Whether a bar shows how far decoding is; None: in a terminal.

    Raises
    ------
    DataError
        If no picture can be read.
    """
    fingerprint = _fingerprint(root, names, size, grey)
    wish = f"{'x'.join(map(str, size)) if size else 'own'}{'-grey' if grey else ''}"
    users = users_folder()
    if root.name in ("", ".."):  # the folder one is in, or above: it has a name, too
        root = Path(os.path.abspath(root))
    places = [root.parent / f".{root.name}.fastcnn"]
    places += [] if users is None else [users / "pictures" / _key(root)]
    decode = _Decoding(root, names, size, grey, progress)
    for place in places:
        found = _read(place / f"{wish}-{fingerprint}.json")
        if found is not None and not decode.can_read_more(found):
            return found
    for place in places:
        made: list[Path] = []
        try:
            made = make_folder(place)
            path = place / f"{wish}-{fingerprint}.json"
            with Hold(place, (f"{wish}-*",), shared=True):
                decode.into_files(path)
        except PlaceError:
            continue
        except OSError as error:  # a full disk
            note = f"the pictures are not kept for the next start: {error}"
            return decode.into_memory()._replace(note=note)
        finally:
            remove_empty(made)  # it has the pictures in it, unless they cannot be read
        for old in place.glob(f"{wish}-*"):
            if old.stem != path.stem and not old.name.startswith("."):
                old.unlink(missing_ok=True)
        found = _read(path)
        if found is not None:
            return found
    return decode.into_memory()


def _key(root: Path) -> str:
    path = hashlib.blake2b(os.fsencode(root.resolve()), digest_size=6).hexdigest()
    return f"{root.name}-{path}"


def _fingerprint(root: Path, names: Sequence[str], size: Size | None, grey: bool) -> str:
    digest = hashlib.blake2b(digest_size=10)
    digest.update(repr((_VERSION, PIL.__version__, size, grey)).encode())
    for name in names:
        try:
            status = os.stat(root / name)
            line = f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n"
        except OSError:
            line = f"{name}\0gone\n"
        digest.update(os.fsencode(line))
    return digest.hexdigest()


def _read(path: Path) -> Gathered | None:
    """What a cache holds; None if there is none, or it is not what was written."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        shape = tuple(map(int, kept["shape"]))
        pixels = path.with_suffix(".u8")
        if pixels.stat().st_size != math.prod(shape) or min(shape) < 1:
            return None
        # Copy on write: read-only arrays would have every kernel compiled once more for them.
        images = np.memmap(pixels, np.uint8, "c", shape=shape).view(np.ndarray)
        if _checksum(_blocks(images)) != kept["crc32"]:
            return None
        unreadable = {int(number): str(why) for number, why in kept["unreadable"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return Gathered(images, unreadable, f"the pixels are read from {pixels}")


def _blocks(images: np.ndarray) -> Iterator[np.ndarray]:
    flat = images.reshape(-1)
    for start in range(0, flat.size, _CHECKED):
        yield flat[start : start + _CHECKED]


def _checksum(blocks: Iterator[np.ndarray]) -> int:
    total = 0
    for block in blocks:
        total = zlib.crc32(block.data, total)
    return total


class _Decoding:
    """The work itself: pictures in, bytes out, a block at a time."""

    def __init__(
        self,
        root: Path,
        names: Sequence[str],
        size: Size | None,
        grey: bool,
        progress: bool | None,
    ) -> None:
        self._paths = [root / name for name in names]
        self._size, self._grey, self._progress = size, grey, progress
        self._unreadable: dict[int, str] = {}

    def can_read_more(self, than: Gathered) -> bool:
        """Whether a picture can be read by now: it was not allowed, or a network was away."""
        size = than.images.shape[2], than.images.shape[3]
        with pictures.quietly():
            again = (self._decode(self._paths[number], size) for number in than.unreadable)
            return any(isinstance(image, np.ndarray) for image in again)

    def into_files(self, path: Path) -> None:
        """Write a cache: the pixels, and then `path`, which says what they are."""
        with complete(path.with_suffix(".u8")) as temporary:
            with open(temporary, "w+b") as file:
                shape, all_grey = self._write(file)
            if all_grey and shape[1] == 3:
                images = np.memmap(temporary, np.uint8, "r", shape=shape)
                shape = (shape[0], 1, *shape[2:])
                with open(temporary, "rb+") as file:  # one channel ends before the three begin
                    for start in range(0, shape[0], _BLOCK):
                        file.write(images[start : start + _BLOCK, 0].tobytes())
                    del images
                    file.truncate()
            images = np.memmap(temporary, np.uint8, "r", shape=shape).view(np.ndarray)
            crc = _checksum(_blocks(images))
            del images
        kept = {"shape": shape, "crc32": crc, "unreadable": self._unreadable}
        write_text(path, json.dumps(kept))

    def into_memory(self) -> Gathered:
        """The same where no file can be written."""
        buffer = io.BytesIO()
        shape, all_grey = self._write(buffer)
        images = np.frombuffer(buffer.getbuffer(), np.uint8).reshape(shape)
        images = images[:, :1].copy() if all_grey and shape[1] == 3 else images
        note = "the pixels are kept in memory only: no folder for a cache can be written to"
        return Gathered(images, self._unreadable, note)

    def _write(self, file: IO[bytes]) -> tuple[tuple[int, ...], bool]:
        """All pictures that can be read; their shape, and whether all are grey."""
        self._unreadable, count, all_grey = {}, 0, True
        with pictures.quietly(), ThreadPoolExecutor(available_cores()) as pool:
            size = self._size or self._common_size(pool)
            hidden = None if self._progress is None else not self._progress
            with tqdm(total=len(self._paths), unit=" pictures", disable=hidden, leave=False) as bar:
                for start in range(0, len(self._paths), _BLOCK):
                    block = self._paths[start : start + _BLOCK]
                    decoded = pool.map(lambda path: self._decode(path, size), block)
                    for number, image in enumerate(decoded, start):
                        bar.update()
                        if isinstance(image, str):
                            self._unreadable[number] = image
                            continue
                        count += 1
                        all_grey = all_grey and bool((image == image[..., :1]).all())
                        file.write(image.transpose(2, 0, 1).tobytes())
        if not count:
            number, why = next(iter(self._unreadable.items()))
            raise DataError(f"none of the pictures can be read; {self._paths[number]}: {why}")
        return (count, 1 if self._grey else 3, *size), all_grey

    def _decode(self, path: Path, size: Size) -> np.ndarray | str:
        """The pixels of a picture, or why there are none."""
        try:
            return pictures.read(path, size, self._grey)
        except UnreadableError as error:
            return str(error)

    def _common_size(self, pool: ThreadPoolExecutor) -> Size:
        """The size of all pictures if they are alike and small, else that of a square."""
        sizes = [size for size in pool.map(_size_or_none, self._paths) if size is not None]
        if not sizes:
            return (_USUAL, _USUAL)
        if len(set(sizes)) == 1 and max(sizes[0]) <= _LARGEST:
            return sizes[0]
        side = min(_USUAL, int(statistics.median(map(max, sizes))))
        return (side, side)


def _size_or_none(path: Path) -> Any:
    try:
        return pictures.size_of(path)
    except UnreadableError:
        return None
