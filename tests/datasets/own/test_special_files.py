"""Pipes, sockets and devices, which are no files to read: nobody waits for them."""

import os
import socket

import pytest
from PIL import Image

from fastcnn import datasets
from fastcnn.datasets.own import pictures

NO_PIPES = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "users-cache"))


@pytest.fixture
def pets(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(3):
            image = Image.new("RGB", (8, 8), (40 * number, 9, 99))
            image.save(tmp_path / "pets" / name / f"{number}.png")
    return tmp_path / "pets"


@NO_PIPES
@pytest.mark.parametrize("size", [None, 6])
def test_a_pipe_among_pictures_is_left_out_unopened(pets, size):
    os.mkfifo(pets / "cat" / "endless.png")
    (pets / "dog" / "link.png").symlink_to(pets / "cat" / "endless.png")
    (pets / "dog" / "zero.png").symlink_to(os.devnull)
    data = datasets.load(pets, size=size)
    assert len(data.x_train) + len(data.x_test) == 6
    note = next(note for note in data.notes if "cannot be read" in note)
    assert note.startswith("Left out 3 pictures that cannot be read: ")
    assert "endless.png: it is a pipe, a socket or a device, not a file" in note
    with pytest.raises(datasets.DataError, match=r"endless\.png: it is a pipe, a socket or a dev"):
        datasets.load(pets, size=size, strict=True)


@NO_PIPES
def test_a_pipe_by_its_name_is_refused(tmp_path):
    for name in ("a.npz", "a.csv", "a.csv.gz", "a-images-idx3-ubyte", "a.tar.gz", "a.png", "a"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(datasets.DataError, match="is a pipe, a socket or a device: write what"):
            datasets.load(tmp_path / name)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no sockets with a name here")
def test_a_socket_is_no_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("a.png")
        with pytest.raises(pictures.UnreadableError, match="a pipe, a socket or a device"):
            pictures.read(tmp_path / "a.png")


def test_a_picture_that_is_gone_says_so(tmp_path):
    with pytest.raises(pictures.UnreadableError, match="No such file or directory"):
        pictures.size_of(tmp_path / "a.png")
