"""Compiling a network's kernels in two processes, the first time it is trained on a machine.

Numba compiles one function at a time, however many threads ask. So the moment that a kernel turns
out not to be on the disk, a helper process starts: it goes through the same training without
running the kernels, and compiles them from the last to the first. Where the two processes meet,
this one finds the rest on the disk. A helper that fails, for whatever reason, is not missed.
"""

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from numba.core import event

from kernels.cores import available_cores

# The kernels must be told before they are imported, which `import fastcnn` does.
_HELPER = """
from kernels import jit
calls = jit.collect_calls()
from fastcnn.runs import compilation
compilation.help_compile(calls)
"""
_PATIENCE = 1.0  # seconds of compiling that nobody is told about


class _Compilation(event.Listener):
    """What happens when Numba compiles for the first time, and what must be ended after it."""

    def __init__(self, job: tuple[Any, ...], say: Callable[[], None]) -> None:
        self._job = job
        self._timer = threading.Timer(_PATIENCE, say)
        self._helper: subprocess.Popen[bytes] | None = None
        self._has_begun = False

    def on_start(self, event: Any) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._timer.start()
            if available_cores() > 1 and not getattr(sys, "frozen", False):
                with contextlib.suppress(OSError):
                    self._start_helper()

    def on_end(self, event: Any) -> None:
        pass

    def _start_helper(self) -> None:
        self._helper = subprocess.Popen(
            [sys.executable, "-P", "-c", _HELPER],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)},
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        assert self._helper.stdin is not None
        pickle.dump(self._job, self._helper.stdin)
        self._helper.stdin.flush()  # and kept open: its end is ours, see `_end_with_parent`

    def stop(self) -> None:
        self._timer.cancel()
        if self._helper is not None:
            self._helper.kill()
            self._helper.wait()
            assert self._helper.stdin is not None
            with contextlib.suppress(OSError):
                self._helper.stdin.close()


@contextlib.contextmanager
def shared(
    say: Callable[[], None], training: Callable[..., Any], *arguments: Any
) -> Iterator[None]:
    """Within this block a helper process compiles too, if anything has to be compiled.

    Parameters
    ----------
    say : function
        Called once compiling has taken a while.
    training : function
        A function of a module, which the helper calls to learn which kernels are needed. Its
        kernels are not run and all memory they would fill is zero.
    arguments : any
        What it is called with; can be pickled.
    """
    compilation = _Compilation((training, arguments), say)
    try:
        with event.install_listener("numba:compile", compilation):
            yield
    finally:
        compilation.stop()


def help_compile(calls: list[tuple[Any, tuple[Any, ...]]]) -> None:
    """What the helper process does."""
    training, arguments = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    training(*arguments)
    for kernel, argument_types in reversed(dict.fromkeys(calls)):
        kernel.compile(argument_types)


def _end_with_parent() -> None:
    """End this process when the one at the other end of the pipe has ended."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(0)
