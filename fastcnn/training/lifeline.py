"""Processes that train together: when one dies, a sentence says which, and all end.

The first starts a watcher: this file as a program of its own, which ``mpiexec`` does not know and
so does not kill. Each holds a connection to it, which the system closes however a process dies.
Whoever ends as it should says so before.
"""

import atexit
import contextlib
import os
import re
import secrets
import selectors
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

_SECONDS_TO_JOIN = 30.0
_SECONDS_TO_CONNECT = 5.0
_DONE, _OVER, _END = b"d", b"o", b"e"  # this one is done; all is told; end now
_TOKEN = "FASTCNN_WATCHER_TOKEN"
_LAUNCHERS = ("mpiexec", "mpirun", "prterun", "orterun")
_LONGEST = 400  # bytes of what a process says of itself


class Lifeline:
    """A process's connection to the watcher; all processes make one at the same time.

    Parameters
    ----------
    communicator : mpi4py.MPI.Comm
        Of all processes.
    """

    def __init__(self, communicator: Any) -> None:
        self._socket: socket.socket | None = None
        rank, own = communicator.Get_rank(), socket.gethostname()
        hosts = communicator.allgather(own)
        found = None
        if rank == 0:
            with contextlib.suppress(OSError):
                found = _start(len(hosts), is_one_host=len(set(hosts)) == 1)
        found = communicator.bcast(found)
        if found is None:
            return
        port, token = found
        place = "127.0.0.1" if own == hosts[0] else hosts[0]
        with contextlib.suppress(OSError):  # a firewall between hosts: without a sentence then
            line = socket.create_connection((place, port), _SECONDS_TO_CONNECT)
            line.sendall(f"{token} {rank} {own}\n".encode())
            line.settimeout(None)
            self._socket = line
            atexit.register(self._say, _DONE)
            threading.Thread(target=self._listen, args=(line,), daemon=True).start()

    def over(self) -> None:
        """Why all end has been told: the watcher need not."""
        self._say(_OVER)

    def _say(self, word: bytes) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendall(word)

    def _listen(self, line: socket.socket) -> None:
        """End where another has died: a message that would come from it never does."""
        with contextlib.suppress(OSError):
            if line.recv(1) == _END:
                os._exit(1)


def _start(count: int, is_one_host: bool) -> tuple[int, str]:
    """Start the watcher; gives the port where it is, and the word that opens it."""
    token = secrets.token_hex(16)
    with socket.create_server(("127.0.0.1" if is_one_host else "", 0), backlog=count) as listener:
        command = [sys.executable, "-I", "-S", __file__, str(listener.fileno()), str(count)]
        where = _launchers_stderr()
        try:
            watcher = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=where,
                start_new_session=True, pass_fds=[listener.fileno()],
                env={**os.environ, _TOKEN: token},
            )  # fmt: skip
        finally:
            if where is not None:
                os.close(where)
        watcher.returncode = 0  # nobody waits for it
        return listener.getsockname()[1], token


def _launchers_stderr() -> int | None:
    """Where ``mpiexec`` itself writes errors, if more can be added there.

    What goes there through mpiexec may be lost: it does not wait for it once a process is dead. A
    file that it does not append to is left alone, for both would write to the same place.
    """
    process = str(os.getppid())
    with contextlib.suppress(OSError, ValueError, IndexError):
        for _ in range(3):  # it may have a helper on each host
            folder = Path("/proc", process)
            if (folder / "comm").read_text().startswith(_LAUNCHERS):
                kind = os.stat(folder / "fd" / "2").st_mode
                (octal,) = re.findall(r"flags:\s*(\d+)", (folder / "fdinfo" / "2").read_text())
                if stat.S_ISFIFO(kind) or stat.S_ISCHR(kind) or int(octal, 8) & os.O_APPEND:
                    flags = os.O_WRONLY | os.O_APPEND | os.O_NOCTTY
                    return os.open(folder / "fd" / "2", flags)
                break
            process = (folder / "stat").read_text().rpartition(")")[2].split()[1]
    return None


# --- the watcher ----------------------------------------------------------------------------------


class _Watcher:
    """Waits for connections to close; those of one host are told in the order in which they did."""

    def __init__(self, listener: socket.socket, count: int, token: str) -> None:
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._listener, self._missing, self._token = listener, count, token
        self._names: dict[socket.socket, str] = {}

    def run(self) -> str | None:
        """Wait until all are done, or for the name of one that has died."""
        until = time.monotonic() + _SECONDS_TO_JOIN
        while self._names or (self._missing and time.monotonic() < until):
            for key, _ in self._selector.select(None if self._names else until - time.monotonic()):
                line: Any = key.fileobj
                if line is self._listener:
                    self._greet()
                    continue
                word = _heard(line)
                if word == _OVER:
                    return None
                if word != _DONE:
                    return self._names[line]
                self._selector.unregister(line)
                del self._names[line]
        return None

    def _greet(self) -> None:
        """Somebody joins, who knows the word."""
        line, _ = self._listener.accept()
        line.settimeout(_SECONDS_TO_CONNECT)
        words = b""
        with contextlib.suppress(OSError):
            while not words.endswith(b"\n") and len(words) < _LONGEST:
                words += line.recv(1) or b"\n"
        token, _, name = words.decode(errors="replace").strip().partition(" ")
        if not secrets.compare_digest(token.encode(), self._token.encode()):
            line.close()
            return
        rank, _, host = name.partition(" ")
        self._names[line] = f"process {rank} on {host}"
        self._missing -= 1
        self._selector.register(line, selectors.EVENT_READ)

    def end(self) -> None:
        """Have all that are left end."""
        for line in self._names:
            with contextlib.suppress(OSError):
                line.sendall(_END)


def _heard(line: socket.socket) -> bytes:
    try:
        return line.recv(1)
    except OSError:
        return b""


def main() -> None:
    """The watcher's program; argv: the listening socket, how many processes."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    watcher = _Watcher(listener, int(sys.argv[2]), os.environ[_TOKEN])
    died = watcher.run()
    if died is not None:
        text = (
            f"error: {died} has died (killed, or out of memory?), so all end; what is saved can be "
            f"gone on with (--resume), in any number of processes\n"
        )
        os.write(2, text.encode())
        watcher.end()


if __name__ == "__main__":
    main()
