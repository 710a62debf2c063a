"""Folders that one process works in at a time."""

import contextlib
import os
import re
import shutil
import time
from pathlib import Path
from typing import Self

from .files import PlaceError, is_at, lock, on_leaving

_LOCK = ".lock"
_MOMENT = 2.0  # seconds


class HeldError(PlaceError):
    """A folder that another process works in."""


class Hold:
    """A folder that this process alone works in, until `release` or its end, even by ``kill -9``.

    What an earlier holder that was killed has left half-written is cleared away.

    Parameters
    ----------
    folder : Path
        Exists, and can be written to.
    names : sequence of str
        The files that only a holder writes; a * is any text.
    shared : bool
        Whether others that share it may work there too.

    Raises
    ------
    HeldError
        If another process, or another `Hold` of this one, has it.
    """

    def __init__(self, folder: Path, names: tuple[str, ...] = (), *, shared: bool = False) -> None:
        self._path = folder / _LOCK
        self._file: int | None = None
        on_leaving.add(self)
        # The first and the last of those that share it are alone for a moment: wait for that.
        last = time.monotonic() + (_MOMENT if shared else 0)
        while True:
            is_last = time.monotonic() >= last  # before the look: this process may be held after it
            if self._take(folder, names, shared):
                break
            if is_last:
                raise HeldError(
                    f"another process is at work in {folder}: wait for its end, or choose another "
                    f"folder"
                )
            time.sleep(0.01)

    def _take(self, folder: Path, names: tuple[str, ...], shared: bool) -> bool:
        """Lock the folder; False if somebody else has."""
        while True:
            try:
                file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError as error:
                raise PlaceError(
                    f"{self._path} cannot be written: {error.strerror or error}"
                ) from None
            is_alone = lock(file)
            if not (is_alone or (shared and lock(file, shared=True))):
                os.close(file)
                return False
            # The holder before may have removed the file between our two steps.
            if is_at(file, self._path):
                break
            os.close(file)
        if is_alone:
            _clear(folder, names)
        if shared and not lock(file, shared=True):
            os.close(file)
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Let others have the folder."""
        if self._file is not None:
            if lock(self._file):  # the last of those that share it
                with contextlib.suppress(OSError):
                    self._path.unlink()
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:
            self.release()


def _clear(folder: Path, names: tuple[str, ...]) -> None:
    """Remove what was made beside these files by a process that was killed."""
    pattern = "|".join(re.escape(name).replace(r"\*", ".*") for name in names)
    for left in folder.glob(".*.tmp"):
        if re.fullmatch(rf"\.({pattern})\.\d+\.tmp", left.name):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
