"""On a real terminal of 80 columns no line of a command is wider, bars and tables included."""

import contextlib
import fcntl
import importlib
import os
import pty
import re
import select
import shutil
import struct
import sys
import termios
import threading
from collections.abc import Iterator

import pytest

from fastcnn import compare, evaluate, search, train
from fastcnn.__main__ import COMMANDS as LISTED
from fastcnn.__main__ import main as overview

WIDTH = 80
CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
pytestmark = pytest.mark.usefixtures("undrawn")
SMALL = ["--dataset", "digits", "--limit-train", "300", "--limit-test", "50", "--epochs", "2"]
COMMANDS = {name: importlib.import_module(f"fastcnn.{name}") for name in LISTED}


class Screen:
    """What a person has seen: all that was written, and the lines of it."""

    def __init__(self) -> None:
        self.text = ""

    @property
    def lines(self) -> list[str]:
        """A carriage return begins a line anew, as bars do."""
        return [CONTROLS.sub("", line) for line in re.split("[\r\n]+", self.text)]

    def check(self) -> None:
        wide = [line for line in self.lines if len(line) > WIDTH]
        assert wide == []


@pytest.fixture
def terminal(monkeypatch):
    """Standard output and error are a terminal while the block of this lasts."""

    @contextlib.contextmanager
    def opened() -> Iterator[Screen]:
        screen, ours = Screen(), pty.openpty()
        fcntl.ioctl(ours[1], termios.TIOCSWINSZ, struct.pack("HHHH", 24, WIDTH, 0, 0))
        read, is_over = list[bytes](), threading.Event()

        def keep() -> None:
            # Not until all have closed it: Python's helper for processes keeps it open.
            while select.select([ours[0]], [], [], 0.05)[0] or not is_over.is_set():
                with contextlib.suppress(OSError):
                    read.append(os.read(ours[0], 1 << 16))

        reader = threading.Thread(target=keep)
        reader.start()
        with open(os.dup(ours[1]), "w", encoding="utf-8") as stream, monkeypatch.context() as patch:
            for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
                patch.setattr(sys, name, stream)
            patch.delenv("COLUMNS", raising=False)
            patch.setenv("TERM", "xterm")
            assert shutil.get_terminal_size().columns == WIDTH and sys.stdout.isatty()
            yield screen
        is_over.set()
        reader.join()
        for number in ours:
            os.close(number)
        screen.text = b"".join(read).decode()

    return opened


def shown(terminal, main, *words: str) -> Screen:
    """The screen after a command that ends well."""
    with terminal() as screen:
        try:
            code = main(list(words))
        except SystemExit as stop:
            code = stop.code
    assert code == 0, screen.text
    screen.check()
    return screen


@pytest.mark.parametrize("name", COMMANDS)
def test_help(terminal, name):
    assert len(shown(terminal, COMMANDS[name].main, "--help").lines) > 10


@pytest.mark.parametrize(
    ("name", "option"),
    [("train", "--list-models"), ("train", "--list-datasets"), ("plot", "--list"),
     ("reproduce", "--list")],
)  # fmt: skip
def test_lists(terminal, name, option):
    assert len(shown(terminal, COMMANDS[name].main, option).lines) > 4


def test_the_commands(terminal):
    assert len(shown(terminal, overview).lines) > len(COMMANDS)


@pytest.fixture
def run(terminal, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [*SMALL, "--validation", "0.2", "--batch-size", "20", "--lr", "0.0123456789"]
    return shown(terminal, train.main, *words, "--track-gradients", "--out", "run")


def test_a_run_and_what_is_asked_of_it(terminal, run):
    assert "epoch 1/2" in run.text  # the bar was there
    assert any(len(line) > 70 for line in run.lines)  # and the table has all its columns
    shown(terminal, train.main, "--resume", "--epochs", "3", "--out", "run")
    table = shown(terminal, evaluate.main, "run")
    assert sum("95 %" in line for line in table.lines) > 2


def test_two_settings(terminal, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for side in "AB":
        file = tmp_path / f"settings-{side}.toml"
        file.write_text('dataset = "digits"\nlimit_train = 60\nlimit_test = 20\nepochs = 1\n')
        words = ["--config", str(file), "--quiet", "--out", f"comparison/{side}/seed-42"]
        assert train.main(words) == 0
    files = ["settings-A.toml", "settings-B.toml"]
    said = shown(terminal, compare.main, *files, "--seeds", "1")
    assert "seed 42" in said.text


def test_a_search(terminal, tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    axes = ["--search", "lr=0.0123456", "--search", "weight_decay=0.000123456"]
    words = [*SMALL, "--validation", "0.2", *axes, "--search", "batch_size=32"]
    said = shown(terminal, search.main, *words, "--out", "search")
    assert "trials:" in said.text and "best so far" in said.text
    table = shown(terminal, search.main, "--show", "search")
    assert any("weight_" in line for line in table.lines)
