"""Several runs at a time, each in a process of its own."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from fastcnn.comparing.children import Children, last_line
from fastcnn.config import Config


def test_a_signal_that_comes_to_another_thread_is_answered(monkeypatch):
    answered = threading.Event()

    def run(self, folder, config, threads):
        """Not in earnest: waits for the answer to a signal that this thread gets."""
        time.sleep(0.2)  # until the main thread waits
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        return folder, float(answered.wait(200))

    monkeypatch.setattr(Children, "_run", run)
    before = signal.signal(signal.SIGTERM, lambda *_: answered.set())
    try:
        assert list(Children(1).run({Path("a"): Config()}, 1)) == [(Path("a"), 1.0)]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_child_that_fails_says_why():
    """Not what Python says of a thread that still reads as it ends."""
    code = (
        "import runpy\n"
        "from fastcnn.commands import entry\n"
        "def fail(*_):\n"
        "    raise RuntimeError('nobody foresaw this')\n"
        "entry.run = fail\n"
        "runpy.run_module('fastcnn.commands.child', run_name='__main__')\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as child:
        said = child.stderr.read()
    assert child.returncode == 1
    assert last_line(said) == "RuntimeError: nobody foresaw this"
