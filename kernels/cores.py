"""How many cores this process may use; what has to be said to Numba before it is imported."""

import math
import multiprocessing
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

_LAYERS = ("default", "tbb", "omp", "workqueue", "safe", "threadsafe", "forksafe")


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


def usual_threads(variables: Mapping[str, str] = os.environ) -> int:
    """Threads that kernels use until someone chooses others: as many as cores, or a worker's share.

    Libraries that spread work over processes tell each its share in the variables that limit
    threads, joblib for one in all of them that nobody has set. `reserve_threads` has set
    NUMBA_NUM_THREADS, so OMP_NUM_THREADS is asked; only in a process that another has started by
    `multiprocessing` or its kin, as people set it in their shells for other reasons.
    """
    share = variables.get("OMP_NUM_THREADS", "").partition(",")[0]
    if multiprocessing.parent_process() is None or not share.isdigit():
        return available_cores()
    return max(1, min(available_cores(), int(share)))


def reserve_threads() -> None:
    """Let Numba have a few more threads than there are cores, so that any number can be tried.

    Numba reads its largest number of threads from the environment, when it is imported and at
    every compilation; a value set otherwise would be undone. An existing value is respected, and
    so is the number that Numba has already read where someone imported it first: it would refuse
    to compile after a change.
    """
    if "numba" in sys.modules:
        return
    if not os.environ.get("NUMBA_NUM_THREADS"):
        os.environ["NUMBA_NUM_THREADS"] = str(max(available_cores(), 8))


def refuse_variables(variables: Mapping[str, str] = os.environ) -> None:
    """Refuse variables of threads that mean nothing: Numba would end in a traceback.

    Raises
    ------
    ImportError
        Names the variable, what it must be and what it is.
    """
    threads = variables.get("NUMBA_NUM_THREADS", "1")
    layer = variables.get("NUMBA_THREADING_LAYER", "default")
    if not threads.strip().isdecimal() or int(threads) < 1:
        wrong = f"NUMBA_NUM_THREADS must be a whole number above 0, got {threads!r}"
    elif layer not in _LAYERS:
        wrong = f"NUMBA_THREADING_LAYER must be one of {', '.join(_LAYERS)}, got {layer!r}"
    else:
        return
    raise ImportError(f"the variable {wrong}: set it so, or not at all")


def is_arm(machine: str) -> bool:
    """Whether `platform.machine()` names a 64-bit ARM processor."""
    return machine.lower() in ("aarch64", "arm64")


def uses_sve(machine: str, features: str) -> bool:
    """Whether a list of LLVM's features, as in "+neon,+sve", asks for SVE."""
    return is_arm(machine) and "+sve" in features.split(",")


def features_without_sve(machine: str, variables: Mapping[str, str]) -> str | None:
    """What NUMBA_CPU_FEATURES has to be so that Numba leaves SVE alone; None: it may stay.

    With vectors of 256 bits (Neoverse V1) LLVM 20 sums bytes wrongly, in silence
    (llvm/llvm-project issue 204939). A user's list that mentions SVE is respected.
    """
    given = variables.get("NUMBA_CPU_FEATURES")
    if not is_arm(machine) or any(f[1:] == "sve" for f in (given or "").split(",")):
        return None
    if given is None and "NUMBA_CPU_NAME" not in variables:
        given = _host_features()
    return f"{given},-sve" if given else "-sve"


def _host_features() -> str:
    """LLVM's list of what this processor has, which Numba uses if it is given none."""
    import llvmlite.binding as llvm

    try:
        found = llvm.get_host_cpu_features()
    except RuntimeError:
        return ""
    return ",".join(("+" if has else "-") + name for name, has in found.items() if name != "sve")


def avoid_sve() -> None:
    """Tell Numba, before it is imported, not to use ARM's SVE."""
    features = features_without_sve(platform.machine(), os.environ)
    if features is not None:
        os.environ["NUMBA_CPU_FEATURES"] = features
