"""Names of any kind, what stands where a folder should be, and temporary folders of others."""

import errno
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fastcnn import files, models
from fastcnn.holding import HeldError, Hold


@pytest.mark.parametrize("name", ["a" * 255, "b" * 250 + ".txt", "é" * 127, "c" * 240, "short"])
def test_a_file_is_written_whatever_its_name(tmp_path, name):
    path = tmp_path / name
    for text in ("one", "two"):
        files.write_text(path, text)
        assert path.read_text() == text
        assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a" * 256, "é" * 128])
def test_a_name_that_is_too_long_is_refused(tmp_path, name):
    with pytest.raises(OSError, match="cannot be written: File name too long"):
        files.write_text(tmp_path / name, "text")
    with pytest.raises(files.PlaceError, match="cannot be written to: File name too long"):
        files.make_folder(tmp_path / name)
    assert not files.is_file(tmp_path / name / "a")
    assert list(tmp_path.iterdir()) == []


def test_one_who_may_not_look_is_told(monkeypatch, tmp_path):
    def stat(path, **_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(os, "stat", stat)
    with pytest.raises(PermissionError):
        files.is_file(tmp_path / "a")


@pytest.fixture
def obstacles(tmp_path) -> Path:
    (tmp_path / "file").write_text("text")
    (tmp_path / "to-file").symlink_to("file")
    (tmp_path / "nowhere").symlink_to("absent/deeper")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "there").symlink_to("back")
    (tmp_path / "back").symlink_to("there")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


@pytest.mark.parametrize("below", [[], ["x"], ["x", "y"]])
@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("file", "a file, not a folder"),
        ("to-file", "a file, not a folder"),
        ("pipe", "a file, not a folder"),
        ("nowhere", "a link that leads nowhere"),
        ("self", "a link that leads nowhere"),
        ("there", "a link that leads nowhere"),
    ],
)
def test_what_is_in_the_way_of_a_folder_is_named(obstacles, name, what, below):
    place = obstacles / name
    wanted = place.joinpath(*below)
    which = str(place) if below else "it"
    with pytest.raises(files.PlaceError) as refusal:
        files.make_folder(wanted)
    assert str(refusal.value) == f"the folder {wanted} cannot be written to: {which} is {what}"


def test_nothing_is_no_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(files.PlaceError, match=r"an empty text names no file or folder.* is \.$"):
        files.place("")
    assert files.place(".") == files.place(Path()) == Path()
    model = models.build("lenet5")
    with pytest.raises(files.PlaceError, match="an empty text"):
        model.save("")
    with pytest.raises(OSError, match=r"^\. cannot be written: it is a folder"):
        model.save(".")
    assert list(tmp_path.iterdir()) == []


def test_temporary_folders_of_anybody_are_removed_by_who_leaves(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(files, "_temporary", [])
    before = tempfile.mkdtemp
    outside = Path(tempfile.mkdtemp())
    with files.folders_known():
        inside = Path(tempfile.mkdtemp(prefix="of-others-"))
        (inside / "deep").mkdir()
        (inside / "deep" / "file").write_text("text")
        with tempfile.TemporaryDirectory() as another:
            assert {path.name for path in tmp_path.iterdir()} == {
                outside.name, inside.name, Path(another).name
            }  # fmt: skip
            files.remove_unfinished()
            assert list(tmp_path.iterdir()) == [outside]
    assert tempfile.mkdtemp is before


def test_a_child_leaves_the_folders_of_its_parent(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_temporary", [])
    with files.folders_known():
        folder = tempfile.mkdtemp(dir=tmp_path)
    with monkeypatch.context() as within:
        within.setattr(os, "getpid", lambda: -1)  # as a process that was forked sees it
        files.remove_unfinished()
    assert Path(folder).is_dir()
    files.remove_unfinished()
    assert not Path(folder).exists()


@pytest.mark.parametrize("shared", [False, True])
def test_who_leaves_gives_the_folder_to_others(tmp_path, shared):
    hold = Hold(tmp_path, shared=shared)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    files.remove_unfinished()
    assert list(tmp_path.iterdir()) == []
    with Hold(tmp_path):
        hold.release()  # its block ends, which changes nothing any more
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
        with pytest.raises(HeldError):
            Hold(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_who_leaves_takes_nothing_from_those_who_share_the_folder(tmp_path):
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from fastcnn import files\n"
        "from fastcnn.holding import Hold\n"
        "hold = Hold(Path(sys.argv[1]), shared=True)\n"
        "files.remove_unfinished()\n"
        "os._exit(0)\n"
    )
    with Hold(tmp_path, shared=True):
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
        with pytest.raises(HeldError):
            Hold(tmp_path)
    assert list(tmp_path.iterdir()) == []


# --- what kill -9 leaves --------------------------------------------------------------------------

KILLED = (
    "import os, signal, sys\n"
    "from pathlib import Path\n"
    "from fastcnn import files\n"
    "with files.complete(Path(sys.argv[1])) as half:\n"
    "    half.write_text('half')\n"
    "    os.kill(os.getpid(), signal.SIGKILL)\n"
)


@pytest.mark.skipif(sys.platform == "win32", reason="no kill -9")
@pytest.mark.parametrize("name", ["a.png", "b" * 255, "[c]*?.html"])
def test_who_writes_a_file_sweeps_what_was_left_of_it(tmp_path, name):
    others = [tmp_path / ".other.png.12.tmp", tmp_path / f".{name[:200]}.x.tmp"]
    for other in others:
        other.write_text("of somebody else")
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / name)])
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / name)])
    assert len(list(tmp_path.iterdir())) == 3  # the second has swept what the first left
    files.write_text(tmp_path / name, "whole")
    assert {path.name for path in tmp_path.iterdir()} == {name, *(each.name for each in others)}


@pytest.mark.skipif(sys.platform == "win32", reason="files are not locked there")
def test_nobody_sweeps_what_another_process_writes(tmp_path):
    path, code = tmp_path / "a.png", (
        "import sys\n"
        "from pathlib import Path\n"
        "from fastcnn import files\n"
        "with files.complete(Path(sys.argv[1])) as half:\n"
        "    half.write_text('of the child')\n"
        "    print(flush=True)\n"
        "    sys.stdin.read()\n"
    )  # fmt: skip
    words = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdout.readline()
        files.write_text(path, "ours")
        assert path.read_text() == "ours" and len(list(tmp_path.iterdir())) == 2
        child.stdin.close()
    assert child.returncode == 0
    assert path.read_text() == "of the child" and list(tmp_path.iterdir()) == [path]


def test_threads_write_the_same_file(tmp_path):
    path, texts = tmp_path / "a", [letter * 100_000 for letter in "abcd"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda text: files.write_text(path, text), texts * 10))
    assert path.read_text() in texts and list(tmp_path.iterdir()) == [path]


# --- what is no file ------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes with a name")
def test_no_file_takes_the_place_of_a_pipe_or_a_device(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    link = tmp_path / "link"
    link.symlink_to(pipe)
    for path in (pipe, link, Path(os.devnull)):
        with pytest.raises(OSError, match="cannot be written: it is a device or a pipe"):
            files.write_text(path, "text")
    with pytest.raises(OSError, match="cannot be written: it is a folder, not a file"):
        files.write_text(tmp_path, "text")
    assert pipe.is_fifo() and link.is_symlink() and not Path(os.devnull).is_file()
    assert len(list(tmp_path.iterdir())) == 2
