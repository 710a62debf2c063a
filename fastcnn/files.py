"""Files that appear only once they are complete, and places that cannot be written to."""

import contextlib
import csv
import errno
import glob
import hashlib
import io
import os
import shutil
import stat
import tempfile
import threading
import warnings
import weakref
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

_LONGEST = 255  # bytes of a name


def place(path: str | os.PathLike[str]) -> Path:
    """A path as people write it: ``~`` is their home. All that come from a person pass here.

    Raises
    ------
    PlaceError
        If it is empty: it would be the folder one is in, which nobody has named.
    """
    if not os.fspath(path):
        raise PlaceError("an empty text names no file or folder; the folder you are in is .")
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no home, or nobody of that name: then it is a name like any other
        return Path(path)


def users_folder() -> Path | None:
    """The folder for what is kept for this user; None for one without a home."""
    import pooch  # 70 ms

    try:
        folder = Path(pooch.os_cache("fastcnn"))
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None  # else it begins with ~


class PlaceError(ValueError):
    """A file or folder that cannot be read or written; named."""


def write_text(path: Path, text: str) -> None:
    """Write a text file that appears only once it is complete."""
    with complete(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV, whatever texts they hold."""
    rows, text = [list(row) for row in rows], io.StringIO()
    # A return alone would be taken for the end of a line, and the writer does not quote it.
    is_odd = any("\r" in value for row in rows for value in row if isinstance(value, str))
    quoting = csv.QUOTE_NONNUMERIC if is_odd else csv.QUOTE_MINIMAL
    csv.writer(text, lineterminator="\n", quoting=quoting).writerows(rows)
    return text.getvalue()


def copy_file(path: Path, target: Path) -> None:
    """Let a file have a second name too, or where that cannot be a copy, once it is complete."""
    with complete(target) as temporary:
        try:
            temporary.unlink()
            os.link(path, temporary)
        except OSError:
            shutil.copyfile(path, temporary)


def npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether it is in Fortran's order, and type of the array in an open .npy file.

    Raises
    ------
    ValueError
        If the file does not begin as one. NumPy reads the beginning as Python, which can fail in
        every way in which a program can.
    """
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"an array has an unknown version, {version}")
    first = version == (1, 0)
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about Python 2, or what looks like it
            return read(file)
    except (ValueError, OSError, EOFError):
        raise
    except Exception as error:
        raise ValueError(f"the header of an array is no header: {error}") from None


def is_file(path: Path) -> bool:
    """Whether there is such a file: none has a name that is longer than names can be.

    Raises
    ------
    OSError
        If one may not look.
    """
    try:
        return path.is_file()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False


_unfinished: set[Path] = set()
_made: list[Path] = []  # folders that were made here, each before those around it
_temporary: list[tuple[int, str]] = []  # folders, each with the process that made it
on_leaving: "weakref.WeakSet[Any]" = weakref.WeakSet()
"""What `remove_unfinished` calls `release` of."""


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


@contextlib.contextmanager
def folders_known() -> Iterator[None]:
    """Within this block `remove_unfinished` knows each temporary folder that is made.

    Those of others too, such as Matplotlib's where its own cannot be written, or that of kernels
    that nothing keeps: they go when Python ends, which a process that is interrupted does not wait
    for.
    """
    before = tempfile.mkdtemp

    def known(*arguments: Any, **options: Any) -> Any:
        folder = before(*arguments, **options)
        _temporary.append((os.getpid(), os.fsdecode(folder)))
        return folder

    tempfile.mkdtemp = known
    try:
        yield
    finally:
        tempfile.mkdtemp = before


def remove_unfinished() -> None:
    """Remove what is half-written, temporary folders, and folders made for it that are empty.

    For a process that ends without leaving its blocks. It gives its folders to others, too.
    """
    for give_up in (*(each.release for each in on_leaving), *(each.unlink for each in _unfinished)):
        with contextlib.suppress(OSError):
            give_up()
    for process, name in tuple(_temporary):
        if process == os.getpid():  # a process that was forked leaves them to the other
            shutil.rmtree(name, ignore_errors=True)
    for folder in tuple(_made):
        with contextlib.suppress(OSError):
            folder.rmdir()


@contextlib.contextmanager
def complete(path: Path) -> Iterator[Path]:
    """A temporary place beside `path` for what becomes that file once it is complete.

    Its folder is made if missing; it is on the disk before it takes the place of an older one.
    What a process that was killed left of the same file is cleared away.

    Raises
    ------
    OSError
        If it cannot be written: a sentence that names `path`.
    """
    if not path.name:
        raise IsADirectoryError(f"{path} cannot be written: it is a folder")
    made: list[Path] = []
    try:
        refuse_special(path)
        made = make(path.parent)
        temporary = path.with_name(_beside(path, str(threading.get_native_id())))
        with _claimed(temporary):
            _sweep(path)
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _sync_folder(path.parent)
    except BaseException as error:
        remove_empty(made)
        if isinstance(error, OSError):
            raise OSError(f"{path} cannot be written: {error.strerror or error}") from None
        raise


def refuse_special(path: Path) -> None:
    """Raise an OSError for a folder, and for /dev/null: a file would take its place, for all."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise OSError("it is a folder, not a file")
        if not stat.S_ISREG(mode):
            raise OSError("it is a device or a pipe, not a file")


def _beside(path: Path, maker: str) -> str:
    """The name under which a thread makes a file; their numbers are those of the whole machine."""
    ending = f".{maker}.tmp"
    name = f".{path.name}{ending}"
    if len(os.fsencode(name)) > _LONGEST:  # and that of the file itself may be just short enough
        name = f".{hashlib.blake2b(os.fsencode(path.name), digest_size=8).hexdigest()}{ending}"
    return name


@contextlib.contextmanager
def _claimed(path: Path) -> Iterator[None]:
    """Within this block there is this file, locked where that can be; then it is removed."""
    _unfinished.add(path)
    file = None
    try:
        file = _locked(path)
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        _unfinished.discard(path)
        if file is not None:
            os.close(file)


def _locked(path: Path) -> int | None:
    """A new file, open and locked; None on Windows, which renames none that is open."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if fcntl is None:
            os.close(file)
            return None
        with contextlib.suppress(OSError):  # some network's folders know no locks
            fcntl.flock(file, fcntl.LOCK_EX)
        if is_at(file, path):
            return file
        os.close(file)  # another process has swept it away between our two steps


def _sweep(path: Path) -> None:
    """Remove what processes that were killed have left of this file; who is alive locks its own."""
    first, last = _beside(path, "*").rsplit("*", 1)
    for left in path.parent.glob(glob.escape(first) + "*" + last):
        if fcntl is None or not left.name[len(first) : -len(last)].isdecimal():
            continue
        with contextlib.suppress(OSError):
            file = os.open(left, os.O_RDWR)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()
            finally:
                os.close(file)


def _sync_folder(folder: Path) -> None:
    """Let the names in a folder survive a power cut; some systems open no folders."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def make(folder: Path) -> list[Path]:
    """Make a folder and those around it; gives what was made, the innermost first."""
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    _made[:0] = [each.absolute() for each in made]  # first: a signal may come while it is made
    folder.mkdir(parents=True, exist_ok=True)
    return made


def make_folder(folder: Path) -> list[Path]:
    """Make a folder unless there is one, and find out now whether files can be written there.

    Returns
    -------
    list of Path
        What was made, the innermost first, for `remove_empty`.

    Raises
    ------
    PlaceError
        If they cannot; one sentence, which names the folder.
    """
    made: list[Path] = []
    try:
        made = make(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        remove_empty(made)
        reason = _in_the_way(folder) or error.strerror or error
        raise PlaceError(f"the folder {folder} cannot be written to: {reason}") from None
    return made


def _in_the_way(folder: Path) -> str | None:
    """What else than a folder has its name, or that of one around it."""
    for place in (folder, *folder.parents):
        if os.path.lexists(place) and not os.path.isdir(place):
            what = "a file, not a folder" if os.path.exists(place) else "a link that leads nowhere"
            return f"{'it' if place == folder else place} is {what}"
    return None


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders, the innermost first, up to one in which there is something."""
    for folder in folders:
        with contextlib.suppress(OSError):  # one that could not be made, too
            folder.rmdir()


def is_at(file: int, path: Path) -> bool:
    """Whether an open file is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except OSError:
        return False


def lock(file: int, *, shared: bool = False) -> bool:
    """Lock an open file until it is closed, or change its lock; False if somebody is in the way."""
    try:
        if fcntl is not None:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        elif not shared:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except BlockingIOError:
        return False
    except OSError:
        # Some network's folders know no locks, and a run there is better than none.
        return fcntl is not None
    return True
