"""The watcher that says which process has died: with connections for processes."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastcnn.training import lifeline


def connected(port, token, rank):
    line = socket.create_connection(("127.0.0.1", port))
    line.sendall(f"{token} {rank} node{rank}\n".encode())
    return line


@contextlib.contextmanager
def three():
    found = lifeline._start(3, is_one_host=True)
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(connected(*found, rank)) for rank in range(3)]


def test_who_closes_without_a_word_has_died_and_the_others_end(capfd):
    with three() as lines:
        lines[2].sendall(b"d")
        lines[1].close()
        assert lines[0].recv(1) == b"e"
        assert lines[0].recv(1) == b""  # the watcher has ended
    said = capfd.readouterr().err
    assert said.startswith("error: process 1 on node1 has died")
    assert said.count("\n") == 1


@pytest.mark.parametrize("words", [b"ddd", b"o"])
def test_who_ends_as_he_should_or_has_been_told_of_is_not(words, capfd):
    with three() as lines:
        for line, word in zip(lines, words, strict=False):
            line.sendall(bytes([word]))
        lines[1].close()
        assert lines[0].recv(1) == b""
    assert capfd.readouterr().err == ""


def test_strangers_are_not_heard(capfd):
    port, token = lifeline._start(1, is_one_host=True)
    for words in (b"", b"\n", b"x" * 500, b"0" * len(token) + b" 0 node0\n"):
        with socket.create_connection(("127.0.0.1", port)) as stranger:
            stranger.sendall(words)
            try:
                stranger.shutdown(socket.SHUT_WR)
            except OSError:  # whoever listens has hung up already
                continue
            with contextlib.suppress(ConnectionResetError):
                assert stranger.recv(1) == b""
    with connected(port, token, 0) as line:
        line.sendall(b"d")
        assert line.recv(1) == b""
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("mode", "is_found"), [("pipe", True), ("a", True), ("w", False)])
def test_the_launchers_stderr_is_written_to_where_it_takes_more(
    mode, is_found, tmp_path, monkeypatch
):
    program, file = tmp_path / "mpiexec", tmp_path / "log"
    shutil.copy(shutil.which("sleep"), program)
    with contextlib.ExitStack() as stack:
        said = subprocess.PIPE if mode == "pipe" else stack.enter_context(open(file, mode))
        launcher = stack.enter_context(subprocess.Popen([program, "60"], stderr=said))
        stack.callback(launcher.kill)
        name = Path("/proc", str(launcher.pid), "comm")
        while name.read_text() != "mpiexec\n":  # a process is named a moment after it is begun
            time.sleep(0.001)
        monkeypatch.setattr(os, "getppid", lambda: launcher.pid)
        found = lifeline._launchers_stderr()
        assert (found is not None) == is_found
        if found is not None:
            os.write(found, b"said")
            os.close(found)
            launcher.kill()
            text = launcher.stderr.read() if mode == "pipe" else file.read_bytes()
            assert text == b"said"
