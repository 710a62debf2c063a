"""What an interrupted command leaves behind, and what is said of errors that nobody foresaw."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from fastcnn.commands import entry, options, train

DOWNLOADING = """
import os, signal, sys
from pathlib import Path
from fastcnn.commands import entry, interrupt
from fastcnn.datasets import download

def main(_):
    with interrupt.answered("interrupted; nothing was written"):
        with download.temporary_folder(Path(sys.argv[1])) as folder:
            (folder / "a.tar.gz").write_bytes(b"the first half")
            (folder / "deeper").mkdir()
            os.kill(os.getpid(), int(sys.argv[2]))
            signal.pause()

sys.exit(entry.guarded(main, []))
"""

COMPILING = """
import os, signal, sys, tempfile
from pathlib import Path
from fastcnn.commands import entry, interrupt
from kernels import cache

def main(_):
    # As where no folder for compiled code can be written, and Matplotlib's neither.
    store = cache._temporary_home()
    (store / "half").write_text("code")
    drawn = tempfile.mkdtemp(prefix="matplotlib-")
    Path(drawn, "fontlist.json").write_text("{}")
    with interrupt.answered("interrupted"):
        os.kill(os.getpid(), int(sys.argv[2]))
        signal.pause()

sys.exit(entry.guarded(main, []))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("code", [DOWNLOADING, COMPILING], ids=["downloading", "compiling"])
def test_who_is_interrupted_leaves_no_temporary_folder(tmp_path, code, number):
    below = tmp_path / "data" / "deeper"
    done = subprocess.run(
        [sys.executable, "-c", code, str(below), str(int(number))],
        env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == (130 if number == signal.SIGINT else 143)
    assert done.stderr.startswith("interrupted") and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


ERRORS = {
    "file": (OSError(errno.EIO, "Input/output error", "/a/b"), 1,
             "/a/b cannot be used: Input/output error"),
    "long": (OSError(errno.ENAMETOOLONG, "File name too long", "x"), 2,
             "x cannot be used: File name too long"),
    "loop": (OSError(errno.ELOOP, "Too many levels of symbolic links", "x"), 2,
             "x cannot be used: Too many levels of symbolic links"),
    "bytes": (PermissionError(errno.EACCES, "Permission denied", b"/a/\xff"), 2,
              "/a/\\udcff cannot be used: Permission denied"),
    "nameless": (OSError(errno.EDQUOT, "Disk quota exceeded"), 1, "Disk quota exceeded"),
    "ours": (OSError("a.npz cannot be written: why"), 1, "a.npz cannot be written: why"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_of_the_system_that_nobody_foresaw_is_a_sentence(monkeypatch, capsys, name):
    error, code, said = ERRORS[name]

    def main(_):
        raise error

    for command in ("train", "predict", "check", "demo", "plot"):
        monkeypatch.setattr(f"fastcnn.commands.{command}.main", main)
        assert entry.run(command, []) == code
        assert capsys.readouterr().err == f"error: {said}\n"


def test_a_folder_that_is_gone_is_told_of(monkeypatch, tmp_path, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert options.refuse(FileNotFoundError(errno.ENOENT, "No such file or directory"), 1) == 1
    words = ["--dataset", "digits", "--init-from", "a.npz", "--out", str(tmp_path / "out")]
    assert train.main(words) == 2
    for line in capsys.readouterr().err.splitlines():
        assert line == "error: the folder that this command was called in is gone: " + (
            "change to another one"
        )
    assert not (tmp_path / "out").exists()


def test_a_warning_is_a_note():
    code = (
        "import sys, warnings\n"
        "from fastcnn import signals\n"
        "signals.IS_COMMAND = True\n"
        "sys.argv = ['fastcnn-train']\n"
        "from fastcnn.commands import entry\n"
        "main = lambda _: warnings.warn('no folder\\ncan be', RuntimeWarning) or 0\n"
        "sys.exit(entry.guarded(main))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", code], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "note: no folder\\ncan be\n")
