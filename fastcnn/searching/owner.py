"""Who works on a trial, and whether that process is still there.

A process that is killed cannot say so. On the same machine the operating system is asked about
it. About a process elsewhere one learns from its heartbeat: a number that it counts up in the
database while it works. Nobody's clock is compared with another's.
"""

import os
import platform
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError

from .patience import AwayError

_BEAT = 10.0  # seconds from one heartbeat to the next
_SILENCE = 60.0  # seconds without one after which a process is taken for dead


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _host() -> str:
    """Processes with the same text have the same process numbers: one machine since it started,
    one container.
    """
    boot = _text("/proc/sys/kernel/random/boot_id")
    return f"{platform.node()} {boot} {_link('/proc/self/ns/pid')}"


def _started(pid: int) -> str | None:
    """When the process started, in the machine's ticks; None if there is none such, or it ended."""
    # proc(5): the name, which may hold anything, ends with the last parenthesis; then come
    # the state (field 3) and, as field 22, the time.
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if len(fields) < 20 or fields[0] in "ZX":
        return None
    return fields[19]


def this_process() -> dict[str, Any]:
    """What tells this process from every other; JSON can keep it."""
    return {"host": _host(), "pid": os.getpid(), "started": _started(os.getpid())}


class Watch:
    """Judges whether those who work on trials are dead.

    Parameters
    ----------
    silence : float
        Seconds without a heartbeat after which a process elsewhere counts as dead.
    """

    def __init__(self, silence: float = _SILENCE) -> None:
        self._silence = silence
        # Trial -> heartbeat, seconds that it has not changed for, when we looked last.
        self._heard: dict[int, tuple[Any, float, float]] = {}

    def is_dead(self, number: int, attributes: Mapping[str, Any]) -> bool:
        """Whether the process that marked trial `number` with these attributes is gone."""
        owner = attributes.get("owner")
        if owner is not None and owner["started"] is not None and owner["host"] == _host():
            return _started(owner["pid"]) != owner["started"]
        beat, now = (owner, attributes.get("beat")), time.monotonic()
        heard, silent, before = self._heard.get(number, (None, 0.0, now))
        is_silent = number in self._heard and heard == beat
        # While nobody looked, the database may have been away for all.
        silent = silent + min(now - before, _BEAT) if is_silent else 0.0
        self._heard[number] = beat, silent, now
        return is_silent and silent > self._silence


class Heartbeat:
    """Within its block, a thread counts up a trial's heartbeat.

    Attributes
    ----------
    is_lost : bool
        The trial has been taken from us, because we were silent for too long.
    """

    def __init__(self, trial: optuna.Trial, interval: float = _BEAT) -> None:
        self.is_lost = False
        self._trial = trial
        self._interval = interval
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        count = 0
        while not self._over.wait(self._interval):
            count += 1
            try:
                self._trial.set_user_attr("beat", count)
            except UpdateFinishedTrialError:
                self.is_lost = True
                return
            except AwayError:
                return
            except optuna.exceptions.StorageInternalError:
                continue  # it may come back before anybody minds
