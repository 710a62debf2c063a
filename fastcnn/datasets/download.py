"""Downloading files: several mirrors, short waits, temporary files, readable failures.

A download ends in a temporary folder inside the data folder, is compared with its published
SHA-256 there, and its files are renamed into their place when all is well. So an interruption
(Ctrl-C included) leaves nothing half-written.
"""

import errno
import logging
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from ..files import PlaceError, make_folder, remove_empty
from ..holding import Hold
from .checksums import write_manifest
from .dataset import DataError

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
# pooch flushes after each chunk, so its default of 1 KiB costs more than the network.
_CHUNK_BYTES = 1 << 16
_TEMPORARY = "fastcnn-"  # how the name of a temporary folder begins


class DownloadError(DataError):
    """A file could not be downloaded; the message names each mirror and what it did."""


@dataclass(frozen=True)
class RemoteFile:
    """A file as the mirrors have it: its name there, its size in bytes, its SHA-256."""

    name: str
    size: int
    sha256: str


class Mirrors:
    """Web folders that hold the same files, tried in turn.

    Mirrors that do not answer, or send something else, are not asked again.
    """

    def __init__(self, base_urls: Sequence[str]):
        """Find out which hosts can be reached, which takes at most CONNECT_SECONDS.

        Raises
        ------
        DownloadError
            None can be reached.
        """
        reached = reachable([_host(url) for url in base_urls])
        self._failures = {_host(url): "no connection" for url in base_urls}
        self._base_urls = [url for url in base_urls if _host(url) in reached]
        if not self._base_urls:
            raise DownloadError(self._sentence())

    def download(self, file: RemoteFile, folder: Path, progress: bool | None) -> str:
        """Download one file into a folder; return the host that had it.

        Raises
        ------
        DownloadError
            No mirror sent the file.
        OSError
            The file cannot be written.
        """
        while self._base_urls:
            url = self._base_urls[0] + file.name
            try:
                fetch(url, file, folder, progress)
                return _host(url)
            except DownloadError as error:
                self._failures[_host(url)] = str(error)
                del self._base_urls[0]
        raise DownloadError(self._sentence())

    def _sentence(self) -> str:
        return "; ".join(f"{host}: {failure}" for host, failure in self._failures.items())


def _host(url: str) -> str:
    return urlsplit(url).netloc


def reachable(hosts: Sequence[str], seconds: float = CONNECT_SECONDS) -> set[str]:
    """Return the hosts that accept a connection within so many seconds, all asked at once.

    A library's own connect timeout does not bound the wait: a host has many addresses, each
    tried for that long, and looking up its name has no limit. Behind a proxy, which alone
    can tell, every host counts as reachable.
    """
    proxies = getproxies()
    if "https" in proxies or "all" in proxies:
        return set(hosts)
    reached: set[str] = set()

    def connect(host: str) -> None:
        try:
            socket.create_connection((host, 443), timeout=seconds).close()
            reached.add(host)
        except OSError:
            pass

    threads = [threading.Thread(target=connect, args=(host,), daemon=True) for host in hosts]
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return reached & set(hosts)


def fetch(url: str, file: RemoteFile, folder: Path, progress: bool | None) -> None:
    """Download one URL to folder/file.name and check its SHA-256.

    progress: True shows a bar on standard error, None only where that is a terminal.

    Raises
    ------
    DownloadError
        The message is a few words for a list of mirrors.
    OSError
        The file cannot be written.
    """
    import pooch
    import requests
    from tqdm import tqdm

    hidden = None if progress is None else not progress
    # Any, because pooch's annotations know neither foreign bars nor its own downloaders.
    bar: Any = tqdm(total=file.size, unit="B", unit_scale=True, desc=file.name, disable=hidden)
    downloader: Any = pooch.HTTPDownloader(
        progressbar=bar, chunk_size=_CHUNK_BYTES, timeout=(CONNECT_SECONDS, READ_SECONDS)
    )
    try:
        with bar, _quiet(pooch.get_logger()):
            pooch.retrieve(url, f"sha256:{file.sha256}", file.name, folder, downloader=downloader)
    except requests.exceptions.HTTPError as error:
        # raise_for_status words it "404 Client Error: Not Found for url: ...".
        raise DownloadError(f"answered {str(error).partition(':')[0]}") from error
    except requests.exceptions.Timeout as error:
        raise DownloadError("no answer in time") from error
    except requests.exceptions.RequestException as error:
        raise DownloadError(f"connection lost or refused ({type(error).__name__})") from error
    except ValueError as error:  # how pooch reports a wrong checksum
        raise DownloadError("sent something else than the official file") from error


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Silence pooch's remarks meanwhile: the progress bar says the same."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def temporary_folder(data_dir: Path) -> Iterator[Path]:
    """Give an empty folder inside the data folder, gone afterwards; make the latter if need be.

    It lies inside, not in the system's temporary folder, so that files can be renamed into
    place. One that a process that was killed has left is removed. Failures to write turn into a
    sentence.

    Raises
    ------
    DownloadError
        The data folder cannot be written, or is full.
    """
    made: list[Path] = []
    try:
        made = make_folder(data_dir)
        ending = f".{os.getpid()}.tmp"
        with (
            Hold(data_dir, (f"{_TEMPORARY}*",), shared=True),
            tempfile.TemporaryDirectory(ending, f".{_TEMPORARY}", data_dir) as temporary,
        ):
            yield Path(temporary)
    except PlaceError as error:
        raise DownloadError(str(error)) from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "the disk is full" if full else error.strerror or str(error)
        raise DownloadError(f"the data folder {data_dir} cannot be written: {what}") from error
    finally:
        remove_empty(made)  # unless there is something in it now


def install(temporary: Path, sums: dict[str, str], folder: Path) -> None:
    """Rename finished files into their folder and list them in its SHA256SUMS.

    sums: {file name: SHA-256} of the files in `temporary`.
    """
    folder.mkdir(exist_ok=True)
    for name in sums:
        (temporary / name).replace(folder / name)
    write_manifest(folder, sums)
