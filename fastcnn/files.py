"""Files that appear only once they are complete, and places that cannot be written to."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


def place(path: str | os.PathLike[str]) -> Path:
    """A path as people write it: ``~`` is their home. All that come from a person pass here."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no home, or nobody of that name: then it is a name like any other
        return Path(path)


class PlaceError(ValueError):
    """A file or folder that cannot be read or written; named."""


def write_text(path: Path, text: str) -> None:
    """Write a text file that appears only once it is complete."""
    with complete(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


_unfinished: set[Path] = set()


@contextlib.contextmanager
def passing(path: Path) -> Iterator[Path]:
    """A file that is removed at the end of this block, or by `remove_unfinished`."""
    _unfinished.add(path)
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        _unfinished.discard(path)


def remove_unfinished() -> None:
    """Remove what is half-written: for a process that ends without leaving its blocks."""
    for path in tuple(_unfinished):
        with contextlib.suppress(OSError):
            path.unlink()


@contextlib.contextmanager
def complete(path: Path) -> Iterator[Path]:
    """A temporary place beside `path` for what becomes that file once it is complete.

    It is on the disk before it takes the place of an older one.

    Raises
    ------
    OSError
        If it cannot be written: a sentence that names `path`.
    """
    with passing(path.with_name(f".{path.name}.{os.getpid()}.tmp")) as temporary:
        try:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _sync_folder(path.parent)
        except OSError as error:
            raise OSError(f"{path} cannot be written: {error.strerror or error}") from None


def _sync_folder(folder: Path) -> None:
    """Let the names in a folder survive a power cut; some systems open no folders."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def make_folder(folder: Path) -> None:
    """Make a folder unless there is one, and find out now whether files can be written there.

    Raises
    ------
    PlaceError
        If they cannot; one sentence, which names the folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        file = next(filter(os.path.isfile, (folder, *folder.parents)), None)
        reason: object = error.strerror or error
        if file is not None:
            reason = f"{'it' if file == folder else file} is a file, not a folder"
        raise PlaceError(f"the folder {folder} cannot be written to: {reason}") from None
