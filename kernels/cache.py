"""Compiled code on the disk: one file for each kernel, its argument types and the processor.

Numba by itself keeps an index of each kernel's files and numbers them. Processes that compile at
the same time, or machines that share a home folder, overwrite each other's index and numbers, and
can then load code made for other arguments or for another processor. Here the name of a file says
what it holds, nothing is shared, and its first bytes say for what exactly it was made.
"""

import atexit
import hashlib
import os
import pickle
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import IndexDataCacheFile


def _digest(*parts: Any) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()


class CacheFile(IndexDataCacheFile):
    """What `numba.core.caching.Cache` reads and writes for one function.

    A key is (argument types, processor, hash of the function's bytecode). Older code for the same
    arguments and processor is overwritten. Reading or writing never fails: code that cannot be
    read is compiled, code that cannot be written is compiled again next time.
    """

    def __init__(self, folder: str, name: str, stamp: Any) -> None:
        super().__init__(folder, name, stamp)
        self._path = Path(folder) / name

    def _file(self, key: tuple) -> Path:
        return self._path.with_name(f"{self._path.name}.{_digest(*key[:2]).hex()[:20]}.nbc")

    def _origin(self, key: tuple) -> bytes:
        return _digest(self._version, self._source_stamp, key)

    def load(self, key: tuple) -> Any:
        """The compiled code, or None."""
        try:
            content = self._file(key).read_bytes()
            origin = self._origin(key)
            return pickle.loads(content[len(origin) :]) if content.startswith(origin) else None
        except Exception:  # not there, or damaged: unpickling may then raise anything
            return None

    def save(self, key: tuple, data: Any) -> None:
        """Write a file that appears only once it is complete."""
        try:
            with self._open_for_write(str(self._file(key))) as file:
                file.write(self._origin(key) + self._dump(data))
        except OSError:
            pass

    def flush(self) -> None:
        """Forget everything compiled from this function."""
        for file in self._path.parent.glob(f"{self._path.name}.*.nbc"):
            file.unlink(missing_ok=True)


def use_own_file(compiled: Any, origin: Any) -> None:
    """Let a function's cache use `CacheFile`, and forget code of another ``origin``."""
    cache = compiled._cache
    name = cache._impl.filename_base
    stamp = (cache._impl.locator.get_source_stamp(), origin)
    cache._cache_file = CacheFile(cache.cache_path, name, stamp)


def provide_folder() -> None:
    """Make a temporary folder for compiled code where Numba finds none that can be written."""
    try:
        numba.njit(cache=True)(provide_folder)  # looks for a folder, compiles nothing
    except RuntimeError:
        pass
    else:
        return
    folder, process = tempfile.mkdtemp(prefix="fastcnn-"), os.getpid()

    def remove() -> None:
        if os.getpid() == process:  # a forked child leaves its parent's folder alone
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    os.environ["NUMBA_CACHE_DIR"] = numba.config.CACHE_DIR = folder  # type: ignore
    warnings.warn(
        "no folder to keep compiled kernels in can be written, so that every start compiles them "
        "anew: set NUMBA_CACHE_DIR to one that can",
        RuntimeWarning,
        stacklevel=2,
    )
