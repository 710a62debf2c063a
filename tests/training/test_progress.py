"""Who is told of a run: a terminal and a notebook by default; and a history that shows itself."""

import io
import sys
import threading
import types

import numpy as np
import pytest

from fastcnn import Sequential
from fastcnn.layers import Dense
from fastcnn.training.history import History
from fastcnn.training.progress import ConsoleProgress
from kernels import compiling

X, Y = np.eye(6, 2, dtype=np.float32), np.arange(6) % 2
ROWS = {"epoch": [1, 2], "lr": [0.1, 0.1], "loss": [0.5, 0.25], "accuracy": [0.75, 1.0]}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Notebook(io.StringIO):
    """Such as ipykernel puts in the place of standard output."""


Notebook.__module__ = "ipykernel.iostream"


def printed(monkeypatch, stream, **options) -> str:
    monkeypatch.setattr(sys, "stdout", stream)
    history = Sequential(Dense(2, 2), seed=1).train(X, Y, epochs=2, **options)
    monkeypatch.undo()
    assert history.epochs == 2
    return stream.getvalue()


def test_by_default_those_who_look_on_are_told(monkeypatch):
    assert printed(monkeypatch, io.StringIO()) == ""  # a file, a pipe
    table = printed(monkeypatch, Terminal())
    heads, *rows = table.splitlines()[1:]
    assert heads.split() == ["epoch", "lr", "loss", "acc", "seconds"]
    assert [row.split()[0] for row in rows] == ["1", "2"]
    assert printed(monkeypatch, Notebook()) == ""  # without its kernel it is no notebook
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    monkeypatch.setattr(sys, "stdout", Notebook())
    Sequential(Dense(2, 2), seed=1).train(X, Y, epochs=2)
    assert len(sys.stdout.getvalue().splitlines()) == 4


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_who_says_so_is_told_or_not(monkeypatch, stream):
    assert printed(monkeypatch, stream(), progress=False) == ""
    assert len(printed(monkeypatch, stream(), progress=True).splitlines()) == 4


def test_without_a_standard_output_nobody_is_told(monkeypatch):
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed):
        for progress in (None, True):
            monkeypatch.setattr(sys, "stdout", stream)
            Sequential(Dense(2, 2), seed=1).train(X, Y, epochs=1, progress=progress)


@pytest.mark.parametrize("progress", [1, "yes", print])
def test_anything_else_is_refused(progress):
    with pytest.raises(ValueError, match="progress must be True, False, None or a fastcnn"):
        Sequential(Dense(2, 2)).train(X, Y, progress=progress)


def test_a_history_shows_itself_as_a_table():
    history = History(ROWS)
    assert str(history).splitlines() == [
        "                 ---- train -----",
        "epoch        lr     loss      acc",
        "    1       0.1   0.5000   75.00%",
        "    2       0.1   0.2500  100.00%",
    ]
    assert repr(history) == str(history)
    html = history._repr_html_()
    assert html.startswith("<table><tr><th> epoch</th>") and html.endswith("</tr></table>")
    assert html.count("<tr>") == 3
    assert "<td>0.2500</td><td>100.00%</td>" in html
    assert repr(History()) == "a history of no epoch"
    assert dict(history) == ROWS


def test_the_line_about_compiling_is_gone_before_a_row(monkeypatch):
    monkeypatch.setattr(compiling, "PATIENCE", 0.0)
    monkeypatch.setattr(compiling, "_TICK", 0.01)
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    begun = threading.Event()
    monkeypatch.setattr(stream, "flush", begun.set)

    monkeypatch.setattr(compiling, "is_kernel", lambda _: True)
    kernel = types.SimpleNamespace(overloads={})
    event = types.SimpleNamespace(data={"dispatcher": kernel, "args": ()})
    compiling.watcher.on_start(event)
    assert begun.wait(200)
    compiling.watcher.on_end(event)
    ConsoleProgress(stream).on_epoch_end({"epoch": 1, "lr": 0.1, "loss": 0.5})
    *_, blank, table = stream.getvalue().split("\r")
    assert blank.strip() == "" and table.splitlines()[-1].split() == ["1", "0.1", "0.5000"]


def test_the_table_that_was_printed_is_the_one_that_is_kept(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    history = Sequential(Dense(2, 2), seed=1).train(X, Y, epochs=2, test=(X, Y))
    assert stream.getvalue() == f"{history}\n"
