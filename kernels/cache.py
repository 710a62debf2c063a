"""Compiled code on the disk: one file for each kernel, its argument types and the processor.

Numba by itself keeps an index of each kernel's files and numbers them, in a folder that depends on
where the sources lie. Processes that compile at the same time, or machines that share a home
folder, overwrite each other's index and numbers, and can then load code made for other arguments or
for another processor. Here the name of a file says what it holds, nothing is shared, and its first
bytes are a checksum of what it was made for and of what it holds: LLVM ends the process when it is
given damaged code. The folder is named after the sources, so that a clone and an installation that
hold the same kernels use the same files.
"""

import atexit
import contextlib
import functools
import hashlib
import inspect
import os
import pickle
import shutil
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import _Cache
from numba.core.serialize import dumps
from numba.core.sigutils import normalize_signature
from numba.misc.appdirs import AppDirs

from kernels.partner import Partner

_PREFIX = "fastcnn-"
_KEPT_VERSIONS = 8  # folders of other sources that stay, those used last
_ABANDONED = 3600.0  # seconds after which nobody writes a temporary file any more


def _digest(*parts: Any) -> bytes:
    return hashlib.blake2b(repr(parts).encode(), digest_size=32).digest()


def _checksum(origin: bytes, content: Any) -> bytes:
    """Of what a file was made for and what it holds."""
    state = hashlib.blake2b(origin, digest_size=32)
    state.update(content)
    return state.digest()


_CHECKSUM_BYTES = len(_digest())


def _homes() -> Iterator[Path]:
    """Where compiled code may be kept, the best first."""
    if numba.config.CACHE_DIR:  # type: ignore
        yield Path(numba.config.CACHE_DIR).absolute()  # type: ignore
    users = Path(AppDirs("fastcnn", appauthor=False).user_cache_dir, "kernels")
    if users.is_absolute():  # it begins with ~ for a user without a home folder
        yield users
    yield Path(__file__).parent / "__pycache__"


def _can_be_written(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        os.utime(folder)  # used today, see `_tidy`
    except OSError:
        return False
    return True


def _temporary_home() -> Path | None:
    """A folder that lives as long as this process, if there can be one."""
    try:
        folder, process = Path(tempfile.mkdtemp(prefix=_PREFIX)), os.getpid()
    except OSError:
        return None

    def remove() -> None:
        if os.getpid() == process:  # a forked child leaves its parent's folder alone
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    os.environ["NUMBA_CACHE_DIR"] = numba.config.CACHE_DIR = str(folder)  # type: ignore
    return folder


class Store:
    """The folders of compiled code made from one version of the sources.

    Parameters
    ----------
    version : str
        Names the sources and what compiles them; "" if they cannot be told, then nothing is kept.

    Attributes
    ----------
    readable : list of Path
        Where code is looked for: the folders up to the first that can be written.
    writable : Path or None
        That one: where new code goes.
    lasts : bool
        Whether new code will be there at the next start.
    """

    def __init__(self, version: str) -> None:
        self.readable: list[Path] = []
        self.writable: Path | None = None
        self.lasts = False
        self._is_tidy = False
        self._making: set[str] = set()
        self._partner: Partner | None = None
        for home in _homes() if version else ():
            folder = home / f"{_PREFIX}{version}"
            self.readable.append(folder)
            if _can_be_written(folder):
                self.writable, self.lasts = folder, True
                return
        temporary = _temporary_home() if version else None
        if temporary is not None:
            self.writable = temporary / f"{_PREFIX}{version}"
            self.readable.append(self.writable)
        warnings.warn(
            "no folder to keep compiled kernels in can be written, so that every start compiles "
            "anew what it does not find: set NUMBA_CACHE_DIR to one that can",
            RuntimeWarning,
            stacklevel=3,
        )

    def holds(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return any((folder / name).is_file() for folder in self.readable)

    def read(self, name: str, origin: bytes) -> memoryview | None:
        """What was written under that name for that origin, if it is there and undamaged."""
        for folder in self.readable:
            try:
                content = memoryview((folder / name).read_bytes())
            except OSError:
                continue
            held = content[_CHECKSUM_BYTES:]
            if content[:_CHECKSUM_BYTES] == _checksum(origin, held):
                return held
        return None

    def write(self, name: str, origin: bytes, content: bytes) -> None:
        """Write a file that appears only once it is complete; what cannot be kept is not."""
        if self.writable is None:
            return
        self._tidy()
        temporary = self.writable / f"{name}.{uuid.uuid4().hex[:16]}.tmp"
        with contextlib.suppress(OSError):
            self.writable.mkdir(parents=True, exist_ok=True)
            try:
                temporary.write_bytes(_checksum(origin, content) + content)
                os.replace(temporary, self.writable / name)
            finally:
                temporary.unlink(missing_ok=True)

    def join(self, partner: Partner | None) -> None:
        """Make nothing that a partner makes; None: it has ended."""
        self._partner = partner
        if partner is not None:
            for name in self._making:
                partner.begin(name)

    def begin(self, name: str) -> bool:
        """Begin to make a file; False if it may be there now, as a partner was making it."""
        if self._partner is not None:
            if self._partner.wait_for(name):
                return False
            self._partner.begin(name)
        self._making.add(name)
        return True

    def end(self, name: str) -> None:
        """Told that a file has been made, or will not be."""
        self._making.discard(name)
        if self._partner is not None:
            self._partner.end(name)

    def remove(self, pattern: str) -> None:
        """Remove the files whose names match."""
        for file in self.writable.glob(pattern) if self.writable else ():
            with contextlib.suppress(OSError):
                file.unlink()

    def _tidy(self) -> None:
        """Remove what was made long ago from other sources, and what killed processes left."""
        if self._is_tidy or self.writable is None:
            return
        self._is_tidy = True
        with contextlib.suppress(OSError):
            for file in self.writable.glob("*.tmp"):
                if file.stat().st_mtime < time.time() - _ABANDONED:
                    file.unlink()
            folders = [f for f in self.writable.parent.glob(f"{_PREFIX}*") if f != self.writable]
            folders.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
            for folder in folders[_KEPT_VERSIONS:]:
                shutil.rmtree(folder, ignore_errors=True)


class Kept:
    """One thing that is made once and found on the disk later, if it can be.

    Parameters
    ----------
    store : Store
        Where it is kept.
    name : str
        What it is.
    origin : any
        What it depends on: its `repr` says it all.
    """

    def __init__(self, store: Store, name: str, origin: Any) -> None:
        self._store, self._origin = store, _digest(name, origin)
        self._name = f"{name}.{self._origin.hex()[:20]}.nbc"

    def read(self) -> bytes | None:
        """What is kept, or None."""
        found = self._store.read(self._name, self._origin)
        return None if found is None else bytes(found)

    def write(self, content: bytes) -> None:
        """Keep it."""
        self._store.write(self._name, self._origin, content)


@functools.cache
def _source(file: str) -> bytes:
    """Digest of a source file; empty where there is none, as for a function typed in."""
    try:
        return hashlib.blake2b(Path(file).read_bytes()).digest()
    except OSError:
        return b""


class KernelCache(_Cache):
    """What Numba asks for the compiled code of one function.

    Reading or writing never fails: code that cannot be read is compiled, code that cannot be
    written is compiled again next time.

    Parameters
    ----------
    function : function
        What is compiled.
    store : Store
        Where its code is kept.
    origin : any
        What the code depends on besides the function's own file: its `repr` says it all.
    rebuild : callable
        Makes compiled code of what `CompileResult._reduce` gave.
    kind : str
        Tells apart what is made of one function and the same arguments.
    """

    def __init__(
        self, function: Callable[..., Any], store: Store, origin: Any,
        rebuild: Callable[..., Any], kind: str,
    ) -> None:  # fmt: skip
        self._function, self._store, self._origin = function, store, origin
        self._rebuild, self._kind = rebuild, kind
        code, version = function.__code__, sys.version_info
        name = f"{function.__module__}.{function.__qualname__}".replace("<", "").replace(">", "")
        abi = getattr(sys, "abiflags", "")
        self._name = f"{name[-100:]}-{code.co_firstlineno}.py{version[0]}{version[1]}{abi}"
        self._source = _source(inspect.getfile(function))

    @property
    def cache_path(self) -> str | None:
        """The folder that new code goes to."""
        return None if self._store.writable is None else str(self._store.writable)

    def _file(self, signature: Any, codegen: Any) -> tuple[str, bytes]:
        """Name of the file for these arguments and this processor, and what it is made for."""
        key = (self._source, signature, codegen.magic_tuple(), self._kind)
        name = f"{self._name}.{_digest(*key).hex()[:20]}.nbc"
        cells = [cell.cell_contents for cell in self._function.__closure__ or ()]
        bytecode = self._function.__code__.co_code
        return name, _digest(name, key, bytecode, dumps(cells) if cells else b"", self._origin)

    def is_kept(self, signature: Any, target_context: Any) -> bool:
        """Whether there seems to be code for these arguments on the disk."""
        return self._store.holds(self._file(signature, target_context.codegen())[0])

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled code, or None."""
        try:
            name, origin = self._file(sig, target_context.codegen())
            content = self._store.read(name, origin)
            if content is None and not self._store.begin(name):
                content = self._store.read(name, origin)
            if content is None:
                return None
            made = self._rebuild(target_context, *pickle.loads(content))
            types, _ = normalize_signature(sig)
            # A class that cannot be imported is another one than that of the same name before.
            return made if tuple(made.signature.args) == types else None
        except Exception:  # unpickling may raise anything
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep compiled code."""
        name, origin = self._file(sig, data.codegen)
        if self._source and not data.lifted and not data.library.has_dynamic_globals:
            content = data._replace(type_annotation="")._reduce()  # a listing that nobody asks for
            self._store.write(name, origin, dumps(content))
        self._store.end(name)

    def enable(self) -> None:
        """Numba can switch caches on and off; this one stays on."""

    def disable(self) -> None:
        """See `enable`."""

    def flush(self) -> None:
        """Forget everything compiled from this function."""
        self._store.remove(f"{self._name}.*.nbc")
