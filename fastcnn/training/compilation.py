"""Compiling a network's kernels in two processes, the first time it is trained on a machine.

Numba compiles one function at a time, however many threads ask. So the moment that a kernel turns
out not to be on the disk, a helper process starts: it goes through the same training without
running the kernels, and compiles them from the last to the first. Where the two processes meet,
this one finds the rest on the disk, and neither makes what the other is making. A helper that
fails, for whatever reason, is not missed.

The helper never imports the program that trains, nor any module of its author's: it would run what
stands there. A network with layers of one's own is compiled by one process.
"""

import contextlib
import gc
import importlib
import io
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from numba.core import event

from kernels import compiling, jit
from kernels.cores import usual_threads
from kernels.partner import Partner

uses_helper = True
"""Whether a helper process may be started."""
_AFTER = 1.0
"""CPU seconds of compiling in a later training, before it gets a helper: that takes 0.8 to begin.

What one training leaves for the next one to compile is little: kernels for few images, say."""

# The kernels must be told before they are imported, which `import fastcnn` does.
_HELPER = """
from kernels import jit
calls = jit.collect_calls()
from fastcnn.training import compilation
compilation.help_compile(calls)
"""
_OURS = {"fastcnn", "kernels", "numpy", *sys.stdlib_module_names}


class _Compilation(event.Listener):
    """What happens when Numba compiles for the first time, and what must be ended after it."""

    has_been = False  # whether a training of this process has compiled

    def __init__(
        self, training: Callable[..., Any], arguments: Callable[[], tuple[Any, ...]]
    ) -> None:
        self._training, self._arguments = training, arguments
        self._helper: subprocess.Popen[bytes] | None = None
        self._threads: list[threading.Thread] = []
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._has_begun = False
        self._left = _AFTER if self.has_been else 0.0
        self._depth, self._began = 0, 0.0  # a kernel compiles the functions that it calls

    def on_start(self, event: Any) -> None:
        if self._has_begun or not compiling.is_kernel(event):
            return
        if self._depth == 0:
            self._began = time.thread_time()
        self._depth += 1
        if time.thread_time() - self._began < self._left:
            return
        self._has_begun = _Compilation.has_been = True
        with contextlib.suppress(Exception):  # whatever cannot be pickled, or started
            self._start_helper(pickle.dumps(self._arguments()))

    def on_end(self, event: Any) -> None:
        if self._has_begun or not compiling.is_kernel(event):
            return
        self._depth -= 1
        if self._depth == 0:
            self._left -= time.thread_time() - self._began

    def _start_helper(self, arguments: bytes) -> None:
        self._helper = subprocess.Popen(
            [
                sys.executable, "-P", "-c", _HELPER,
                self._training.__module__, self._training.__qualname__,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)},
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )  # fmt: skip
        # A pipe holds less than a network, and the helper reads it only once it has imported us.
        partner = Partner(self._lines.put)
        self._threads = [
            threading.Thread(target=target, args=arguments, daemon=True)
            for target, arguments in (
                (_write, (self._helper.stdin, arguments, self._lines)),
                (_follow, (self._helper.stdout, partner)),
            )
        ]
        for thread in self._threads:
            thread.start()
        jit.compile_beside(partner)

    def stop(self) -> None:
        if self._helper is None:
            return
        jit.compile_beside(None)
        self._helper.kill()
        self._helper.wait()
        self._lines.put(None)
        for thread in self._threads:
            thread.join()  # the pipes of a process that has ended hold nobody up
        assert self._helper.stdin is not None
        with contextlib.suppress(OSError):
            self._helper.stdin.close()
        compiling.watcher.expect(0)


def _write(pipe: IO[bytes], arguments: bytes, lines: queue.SimpleQueue[str | None]) -> None:
    """Send the arguments, then what this process tells; the pipe's end is ours, see `_listen`."""
    with contextlib.suppress(OSError, ValueError):
        pipe.write(b"%d\n" % len(arguments) + arguments)
        pipe.flush()
        while (line := lines.get()) is not None:
            pipe.write(f"{line}\n".encode())
            pipe.flush()


def _follow(pipe: IO[bytes], partner: Partner) -> None:
    """Read how many kernels are missing, an empty line for each done, and what it makes."""
    with contextlib.suppress(OSError, ValueError), pipe:
        for line in (line.decode().strip() for line in pipe):
            if line.isdigit():
                compiling.watcher.expect(int(line))
            elif line:
                partner.hear(line)
            else:
                compiling.watcher.helped += 1
    partner.leave()


def _can_help() -> bool:
    """Whether there is a core for a helper, and a place where we would find its work."""
    program = Path(sys.executable or "").name.lower()
    return (
        uses_helper
        and usual_threads() > 1  # nor in one of several workers, which have a core each
        and jit.keeps_code()
        and not jit.is_collecting()  # the helper itself
        and program.startswith(("python", "pypy"))  # not a program that Python is part of
        and not getattr(sys, "frozen", False)
    )


@contextlib.contextmanager
def shared(
    training: Callable[..., Any], arguments: Callable[[], tuple[Any, ...]]
) -> Iterator[None]:
    """Within this block a helper process compiles too, if anything has to be compiled.

    Parameters
    ----------
    training : function
        A function of a module, which the helper calls to learn which kernels are needed. Its
        kernels are not run and all memory they would fill is zero.
    arguments : function
        Is called for what it is called with, once that is needed: can be pickled.
    """
    if not _can_help():
        yield
        return
    compilation = _Compilation(training, arguments)
    try:
        with event.install_listener("numba:compile", compilation):
            yield
    finally:
        compilation.stop()


class _Unpickler(pickle.Unpickler):
    """Refuses whatever would import a module of the user's."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        if module_name.partition(".")[0] not in _OURS:
            raise pickle.UnpicklingError(f"{module_name} is not ours to import")
        return super().find_class(module_name, global_name)


def help_compile(calls: list[tuple[Any, tuple[Any, ...]]]) -> None:
    """What the helper process does."""
    module, function = sys.argv[1:]
    say, sys.stdout = sys.stdout, sys.stderr  # the training may print
    # Not buffered: Python aborts if it ends while a thread waits within a buffer.
    pipe = io.FileIO(sys.stdin.fileno(), closefd=False)
    arguments = _Unpickler(io.BytesIO(_read(pipe))).load()
    partner = Partner(lambda line: print(line, file=say, flush=True))
    threading.Thread(target=_listen, args=(pipe, partner), daemon=True).start()
    jit.compile_beside(partner)
    gc.disable()  # this process ends before its garbage matters
    getattr(importlib.import_module(module), function)(*arguments)
    # A kernel that is on the disk already is only loaded, and that in no time.
    needed = [call for call in dict.fromkeys(calls) if not jit.is_kept(*call)]
    print(len(needed), file=say, flush=True)
    for kernel, argument_types in reversed(needed):
        is_new = not jit.is_kept(kernel, argument_types)
        kernel.compile(argument_types)
        if is_new:
            print(file=say, flush=True)


def _read(pipe: io.FileIO) -> bytes:
    """Read what stands behind its length."""
    size, content = int(pipe.readline()), bytearray()
    while len(content) < size:
        part = pipe.read(size - len(content))
        if not part:
            raise EOFError("the other process has ended")
        content += part
    return bytes(content)


def _listen(pipe: io.FileIO, partner: Partner) -> None:
    """Hear the process at the other end of the pipe, and end this one when it has ended."""
    for line in pipe:
        partner.hear(line.decode().strip())
    os._exit(0)
