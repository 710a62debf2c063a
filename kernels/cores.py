"""How many cores this process may use; what has to be said to Numba before it is imported."""

import math
import os
import sys
from pathlib import Path


def _cgroup_quota(root: Path = Path("/sys/fs/cgroup")) -> float:
    """CPU time per wall time that the container may use; infinity where nothing limits it."""
    try:
        limit, period = (root / "cpu.max").read_text().split()[:2]  # cgroup v2
        return float("inf") if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:
        limit = int((root / "cpu/cpu.cfs_quota_us").read_text())  # cgroup v1
        period = int((root / "cpu/cpu.cfs_period_us").read_text())
        return float("inf") if limit <= 0 else limit / period
    except (OSError, ValueError):
        return float("inf")


def available_cores() -> int:
    """Cores this process may use: the smaller of its affinity and the container's CPU quota."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _cgroup_quota())))


def reserve_threads() -> None:
    """Let Numba have a few more threads than there are cores, so that any number can be tried.

    Numba reads its largest number of threads from the environment, when it is imported and at
    every compilation; a value set otherwise would be undone. An existing value is respected, and
    so is the number that Numba has already read where someone imported it first: it would refuse
    to compile after a change.
    """
    if "numba" in sys.modules:
        return
    os.environ.setdefault("NUMBA_NUM_THREADS", str(max(available_cores(), 8)))
