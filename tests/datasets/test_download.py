"""Downloading: mirrors in turn, checksums, interruptions, an unwritable folder.

`fetch` itself meets a real server on this machine; everything above it gets a made-up fetch,
because the mirrors are https only.
"""

import dataclasses
import functools
import gzip
import hashlib
import http.server
import io
import subprocess
import sys
import tarfile
import threading
import types

import numpy as np
import pytest

from fastcnn import datasets
from fastcnn.datasets import cifar, download, mnist
from fastcnn.datasets.checksums import Published

URLS = ("https://one.example/a/", "https://two.example/b/")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def idx_contents() -> dict[str, bytes]:
    images = np.array([2051, 2, 2, 2], ">u4").tobytes() + bytes(range(8))
    labels = np.array([2049, 2], ">u4").tobytes() + b"\x03\x04"
    return {name: images if "images" in name else labels for name in mnist.FILES}


ARCHIVES = {f"{name}.gz": gzip.compress(content) for name, content in idx_contents().items()}
SPEC = dataclasses.replace(
    mnist.MNIST,
    base_urls=URLS,
    archives=tuple(
        download.RemoteFile(name, len(packed), sha256(packed)) for name, packed in ARCHIVES.items()
    ),
    published=tuple(
        Published(name, len(content), f"sha256:{sha256(content)}")
        for name, content in idx_contents().items()
    ),
)


class Web:
    """Stands in for `fetch`: what each host does, and a list of what was asked of it."""

    def __init__(self, monkeypatch, reached=("one.example", "two.example"), **hosts):
        self.asked: list[str] = []
        self.hosts = hosts
        monkeypatch.setattr(download, "fetch", self.fetch)
        monkeypatch.setattr(download, "reachable", lambda hosts: set(reached) & set(hosts))

    def fetch(self, url, file, folder, progress):
        self.asked.append(url)
        behaviour = self.hosts[url.split("/")[2].split(".")[0]]
        if isinstance(behaviour, BaseException):
            (folder / f"{file.name}.part").write_bytes(b"half")
            raise behaviour
        (folder / file.name).write_bytes(behaviour[file.name])


def load(data_dir) -> datasets.Dataset:
    return mnist.load(SPEC, data_dir, False, None)


def test_second_mirror_is_used_and_the_first_not_asked_again(tmp_path, monkeypatch):
    web = Web(monkeypatch, one=download.DownloadError("answered 503"), two=ARCHIVES)
    data = load(tmp_path / "new" / "folder")
    assert web.asked == [
        URLS[0] + "train-images-idx3-ubyte.gz",
        *(f"{URLS[1]}{name}" for name in ARCHIVES),
    ]
    assert data.source.startswith("MNIST, downloaded from two.example to ")
    assert data.notes == () and data.y_test.tolist() == [3, 4]
    names = sorted(path.name for path in (tmp_path / "new" / "folder" / "mnist").iterdir())
    assert names == sorted([*mnist.FILES, "SHA256SUMS"])
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["mnist"]


def test_nothing_is_asked_once_the_files_are_there(tmp_path, monkeypatch):
    web = Web(monkeypatch, one=ARCHIVES)
    load(tmp_path)
    web.asked.clear()
    assert load(tmp_path).source == f"MNIST from {tmp_path / 'mnist'}."
    assert web.asked == []


def test_only_missing_files_are_downloaded(tmp_path, monkeypatch):
    web = Web(monkeypatch, one=ARCHIVES)
    load(tmp_path)
    (tmp_path / "mnist" / mnist.FILES[3]).unlink()
    web.asked.clear()
    load(tmp_path)
    assert web.asked == [f"{URLS[0]}{mnist.FILES[3]}.gz"]


def test_all_mirrors_fail(tmp_path, monkeypatch):
    Web(
        monkeypatch,
        one=download.DownloadError("answered 404 Client Error"),
        two=download.DownloadError("sent something else than the official file"),
    )
    with pytest.raises(datasets.MissingDataError) as caught:
        load(tmp_path)
    assert (
        "downloading did not work (one.example: answered 404 Client Error; two.example: sent "
        "something else than the official file)" in caught.value.reason
    )
    assert list(tmp_path.iterdir()) == []


def test_no_network_is_found_out_before_anything_is_written(tmp_path, monkeypatch):
    web = Web(monkeypatch, reached=())
    with pytest.raises(datasets.MissingDataError, match=r"one.example: no connection; two"):
        load(tmp_path / "new")
    assert web.asked == [] and not (tmp_path / "new").exists()


def test_auto_without_network_takes_digits(tmp_path, monkeypatch):
    Web(monkeypatch, reached=())
    data = datasets.load("auto", data_dir=tmp_path)
    assert data.name == "digits" and "no connection" in data.source


def test_offline_asks_nobody(tmp_path, monkeypatch):
    def touch(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr(download, "fetch", touch)
    monkeypatch.setattr(download, "reachable", touch)
    for name in ("mnist", "fashion-mnist", "cifar10"):
        with pytest.raises(datasets.MissingDataError, match="downloading is switched off"):
            datasets.load(name, data_dir=tmp_path, offline=True)
    assert datasets.load("auto", data_dir=tmp_path, offline=True).name == "digits"


def test_interruption_leaves_nothing(tmp_path, monkeypatch):
    Web(monkeypatch, one=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        load(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_unwritable_folder(tmp_path, monkeypatch):
    Web(monkeypatch, one=ARCHIVES)
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(datasets.MissingDataError) as caught:
        load(tmp_path / "file")
    said = f"the folder {tmp_path / 'file'} cannot be written to: it is a file, not a folder"
    assert said in str(caught.value)


KILLED = """
import os, signal, sys
from pathlib import Path
from fastcnn.datasets import download
with download.temporary_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_bytes(bytes(1000))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_download_left_goes_with_the_next_one(tmp_path, monkeypatch):
    """But not what one has that is at work, nor anything else."""
    Web(monkeypatch, one=ARCHIVES)
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    (left,) = tmp_path.glob(".fastcnn-*")
    assert (left / "half").is_file()
    (tmp_path / ".fastcnn-mine").mkdir()
    with download.temporary_folder(tmp_path) as first, download.temporary_folder(tmp_path):
        assert not left.exists() and first.is_dir()
    load(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".fastcnn-mine", "mnist"}


def test_full_disk(tmp_path, monkeypatch):
    Web(monkeypatch, one=OSError(28, "No space left on device"))
    with pytest.raises(datasets.MissingDataError, match="the disk is full"):
        load(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_cifar_archive_is_unpacked_and_not_kept(tmp_path, monkeypatch):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = 3073
            tar.addfile(member, io.BytesIO(bytes(3073)))
    hosts = {url.split("/")[2] for url in cifar.BASE_URLS}
    web = Web(monkeypatch, reached=hosts, www={cifar.ARCHIVE.name: packed.getvalue()})
    data = datasets.load("cifar10", data_dir=tmp_path)
    assert web.asked == ["https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"]
    assert data.x_train.shape == (5, 3, 32, 32) and "downloaded from" in data.source
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-batches-bin"]


def test_mirrors_are_several_and_https():
    for urls in (mnist.MNIST.base_urls, mnist.FASHION_MNIST.base_urls, cifar.BASE_URLS):
        assert len({url.split("/")[2] for url in urls}) >= 2
        assert all(url.startswith("https://") and url.endswith("/") for url in urls)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server for the files in tmp_path/www; gives its base URL."""
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "www").mkdir()
    handler = functools.partial(_Quiet, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


def test_fetch(tmp_path, server, capsys):
    content = bytes(range(256)) * 1000
    (tmp_path / "www" / "file").write_bytes(content)
    (tmp_path / "got").mkdir()
    file = download.RemoteFile("file", len(content), sha256(content))
    download.fetch(server + "file", file, tmp_path / "got", progress=None)
    assert (tmp_path / "got" / "file").read_bytes() == content
    assert capsys.readouterr().err == ""
    (tmp_path / "got" / "file").unlink()
    download.fetch(server + "file", file, tmp_path / "got", progress=True)
    assert "100%" in capsys.readouterr().err


def test_fetch_refuses_other_content(tmp_path, server):
    (tmp_path / "www" / "file").write_bytes(b"<html>welcome to our network</html>")
    (tmp_path / "got").mkdir()
    file = download.RemoteFile("file", 5, sha256(b"hello"))
    with pytest.raises(download.DownloadError, match="something else than the official"):
        download.fetch(server + "file", file, tmp_path / "got", progress=False)
    assert list((tmp_path / "got").iterdir()) == []


def test_fetch_names_the_answer(tmp_path, server):
    file = download.RemoteFile("absent", 5, sha256(b"hello"))
    with pytest.raises(download.DownloadError, match=r"^answered 404 Client Error$"):
        download.fetch(server + "absent", file, tmp_path, progress=False)


def test_fetch_without_a_server(tmp_path, server):
    file = download.RemoteFile("file", 5, sha256(b"hello"))
    with pytest.raises(download.DownloadError, match="connection lost or refused"):
        download.fetch("http://127.0.0.1:1/file", file, tmp_path, progress=False)


def test_reachable_does_not_wait_for_ever(monkeypatch):
    """By a clock that moves only while a slow host is waited for, until the others are done."""
    for variable in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    blocked, now = threading.Event(), [5.0]
    asked: dict[str, threading.Thread] = {}

    class Asking(threading.Thread):
        def __init__(self, args, **options):
            super().__init__(args=args, **options)
            asked[args[0]] = self

        def join(self, timeout=None):
            assert timeout == 5.2 - now[0]
            for host, thread in asked.items():
                if host != "slow":
                    threading.Thread.join(thread)
            now[0] += timeout if self is asked["slow"] else 0

    def connect(address, timeout):
        assert timeout == 0.2
        if address[0] == "slow":
            blocked.wait()
        if address[0] == "refused":
            raise ConnectionRefusedError
        return io.BytesIO()

    monkeypatch.setattr(download, "threading", types.SimpleNamespace(Thread=Asking))
    monkeypatch.setattr(download, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(download, "socket", types.SimpleNamespace(create_connection=connect))
    try:
        assert download.reachable(["slow", "refused", "quick"], seconds=0.2) == {"quick"}
    finally:
        blocked.set()
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    assert download.reachable(["slow", "refused"], seconds=0.2) == {"slow", "refused"}
