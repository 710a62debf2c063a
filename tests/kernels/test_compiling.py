"""What is said while kernels are compiled, to whom, and what is left of it."""

import io
import sys
import threading

import pytest
from numba.core import event

from kernels import compiling, jit


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Closed(io.StringIO):
    def isatty(self) -> bool:
        raise ValueError("I/O operation on closed file")


class Broken(Terminal):
    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.fixture
def slow(monkeypatch):
    """Every compilation lasts until something could be said, and is over at once."""
    monkeypatch.setattr(compiling, "PATIENCE", 0.0)
    monkeypatch.setattr(compiling, "_TICK", 0.01)
    monkeypatch.setattr(compiling, "_REST", 0.02)
    spoken = threading.Event()

    class Long(event.Listener):
        def on_start(self, event) -> None:
            spoken.wait()

        def on_end(self, event) -> None:
            pass

    def say(self, *arguments) -> None:
        try:
            real(self, *arguments)
        finally:
            spoken.set()

    real = compiling.Watcher._say
    monkeypatch.setattr(compiling.Watcher, "_say", say)
    with event.install_listener("numba:compile", Long()):
        yield spoken


def said(stream, monkeypatch, spoken: threading.Event | None = None) -> None:
    """Compile a kernel that stands in no file, and wait until nothing more is said."""
    monkeypatch.setattr(sys, "stderr", stream)
    if spoken is not None:
        spoken.clear()
    assert jit.serial(eval("lambda x: x * 3 + 1"))(1.0) == 4.0
    for thread in threading.enumerate():
        if thread.name == "fastcnn-compiling":
            thread.join()


@pytest.mark.parametrize("when", ["terminal", "always"])
def test_a_terminal_sees_one_line_which_then_goes(slow, monkeypatch, when):
    stream = Terminal()
    with compiling.announced(when):
        said(stream, monkeypatch, slow)
    before, *lines, blank, after = stream.getvalue().split("\r")
    assert before == after == blank.strip() == ""
    assert {line.rpartition(":")[0] for line in lines} == {
        "compiling kernels, the first time on this machine"
    }
    assert len(blank) == len(lines[-1])


@pytest.mark.parametrize(
    ("when", "line"),
    [
        ("terminal", ""),
        ("always", "compiling kernels, the first time on this machine ...\n"),
        ("never", ""),
    ],
)
def test_a_file_gets_a_line_if_it_is_wanted(slow, monkeypatch, when, line):
    stream = io.StringIO()
    with compiling.announced(when):
        said(stream, monkeypatch, slow)
        said(stream, monkeypatch, slow)
    assert stream.getvalue() == line
    assert compiling.watcher.when == "terminal"


def test_nobody_is_told_what_is_not_wanted(slow, monkeypatch):
    stream = Terminal()
    with compiling.announced("never"):
        said(stream, monkeypatch, slow)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("stream", [None, Closed(), Broken(), object()])
def test_stream_that_cannot_be_written(slow, monkeypatch, stream):
    with compiling.announced("always"):
        said(stream, monkeypatch, slow)


def test_notebook(slow, monkeypatch):
    kind = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})
    stream = kind()
    said(stream, monkeypatch, slow)
    assert "compiling kernels" in stream.getvalue()


def test_short_compilations_are_not_told(monkeypatch):
    monkeypatch.setattr(compiling, "PATIENCE", 1000.0)
    monkeypatch.setattr(compiling, "_REST", 0.0)
    stream = Terminal()
    said(stream, monkeypatch)
    assert stream.getvalue() == ""


def test_words():
    watcher = compiling.Watcher()
    watcher.done = 3
    watcher.expect(37)
    watcher.helped = 9
    assert ": ".join(watcher._words(23.4)) == (
        "compiling kernels, the first time on this machine: 12 of 40, 23 s"
    )
    watcher.helped = 38  # both have compiled one where they met
    watcher.lasts = False
    assert ": ".join(watcher._words(23.4)) == "compiling kernels, as at every start: 40 of 40, 23 s"
    watcher.expect(0)
    assert watcher._words(1.0)[1] == "1 s"


def test_when_is_one_of_three_words():
    with pytest.raises(ValueError, match="when must be one of terminal, always, never, got 'yes'"):
        compiling.announce("yes")
