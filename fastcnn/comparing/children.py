"""Training runs in processes of their own, several at a time, each kept in its folder.

What is finished is never run twice, what was interrupted goes on where it stopped.
"""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from ..config import Config, replace, to_toml
from ..files import write_text
from ..runs.folder import CHECKPOINT, remove_checkpoints
from ..runs.going_on import was_run_with
from ..runs.saved import Saved

_DIVERGED = 3  # exit code of a run that ended so, and whose results are complete
_PATIENCE = 60.0  # seconds that runs have to end after their batch
_NOTE = "note: "  # how a line begins that is no reason to fail
_LOOK = 0.5  # seconds until a signal is seen that woke another thread than the one that answers


class RunError(RuntimeError):
    """A run could not be made; the sentence says which, and why."""


class Children:
    """The processes of runs.

    Parameters
    ----------
    workers : int
        Runs at a time.
    tell : function, optional
        Is told each note of a run, such as pictures that cannot be read, once.
    """

    def __init__(self, workers: int, tell: Callable[[str], object] = lambda note: None) -> None:
        self.workers = workers
        self._tell = tell
        self._told: set[str] = set()
        self._processes: set[subprocess.Popen[str]] = set()

    def run(self, runs: Mapping[Path, Config], threads: int) -> Iterator[tuple[Path, float]]:
        """Make the runs; yields the folder of each, and its seconds, as it is finished."""
        waiting = list(runs.items())
        with ThreadPoolExecutor(self.workers) as pool:
            running: set[Future[tuple[Path, float]]] = set()
            try:
                while waiting or running:
                    while waiting and len(running) < self.workers:
                        running.add(pool.submit(self._run, *waiting.pop(0), threads))
                    done, running = wait(running, _LOOK, FIRST_COMPLETED)
                    for future in done:
                        yield future.result()
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """End what runs, each after its batch, and wait: a handler of signals may call this."""
        processes = list(self._processes)
        for process in processes:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _PATIENCE
        # No `wait`: the thread that was interrupted may hold its lock.
        while any(each.poll() is None for each in processes) and time.monotonic() < deadline:
            time.sleep(0.05)

    @contextlib.contextmanager
    def process(self, command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
        """A process that `stop` ends; options are those of `subprocess.Popen`."""
        # Ctrl-C, which goes to all processes of a terminal, is ours to pass on.
        with subprocess.Popen(command, text=True, start_new_session=True, **options) as child:
            self._processes.add(child)
            try:
                yield child
            finally:
                self._processes.discard(child)

    def _run(self, folder: Path, config: Config, threads: int) -> tuple[Path, float]:
        """One run, continued where an earlier try stopped."""
        folder.mkdir(parents=True, exist_ok=True)
        wanted = folder / "wanted.toml"
        write_text(wanted, to_toml(replace(config, {"threads": threads})))
        command = [sys.executable, "-m", "fastcnn.commands.child", "--quiet", "--no-pictures"]
        command += ["--config", str(wanted), "--out", str(folder)]
        if (folder / CHECKPOINT).is_file() and was_run_with(folder, config):
            command.append("--resume")
        else:
            command.append("--replace")  # it is one of other settings
        started = time.monotonic()
        pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
        with self.process(command, stdout=subprocess.DEVNULL, **pipes) as child:
            assert child.stderr is not None
            said = child.stderr.read()  # stdin stays open: the child ends when it closes
            child.wait()
        for line in said.splitlines():
            if line.startswith(_NOTE) and line not in self._told:
                self._told.add(line)
                self._tell(line)
        if child.returncode not in (0, _DIVERGED):
            raise RunError(f"{folder.parent.name}: {last_line(said)}")
        remove_checkpoints(folder)
        wanted.unlink(missing_ok=True)
        return folder, time.monotonic() - started


def last_line(said: str) -> str:
    """Why a process failed, from what it has said."""
    lines = [line for line in said.strip().splitlines() if not line.startswith(_NOTE)]
    return (lines or ["it was killed"])[-1].removeprefix("error: ")


def is_finished(folder: Path, config: Config) -> bool:
    """Whether a folder holds a finished run with these settings."""
    if not (folder / "result.json").is_file() or not was_run_with(folder, config):
        return False
    return Saved(folder).result.get("stopped_because") != "interrupted"
