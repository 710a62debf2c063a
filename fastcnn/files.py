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


@contextlib.contextmanager
def complete(path: Path) -> Iterator[Path]:
    """A temporary place beside `path` for what becomes that file once it is complete.

    Raises
    ------
    OSError
        If it cannot be written: a sentence that names `path`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


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
