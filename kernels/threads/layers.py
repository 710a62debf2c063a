"""Numba's own threading layers, where there is no crew: finding TBB, and what to install."""

import ctypes
import importlib.metadata

from kernels.cores import is_arm


def load_tbb() -> bool:
    """Load the TBB library of the `tbb` wheel, which Numba does not find by itself.

    The wheel puts libtbb.so.12 into the environment's lib folder, outside the loader's path;
    once it is in the process, Numba's own lookup succeeds.
    """
    try:
        files = importlib.metadata.files("tbb") or []
    except importlib.metadata.PackageNotFoundError:
        return False
    for file in files:
        if file.name in ("libtbb.so.12", "libtbb.12.dylib", "tbb12.dll"):
            try:
                ctypes.CDLL(str(file.locate()), mode=ctypes.RTLD_GLOBAL)
            except OSError:
                continue
            return True
    return False


def threads_advice(system: str, machine: str) -> str:
    """How to get a better threading layer: `tbb` has wheels for x86 only, and none for a Mac."""
    if system == "darwin":
        return "install OpenMP with `brew install libomp`"
    if not is_arm(machine):
        return "install TBB with `pip install tbb`"
    return "install OpenMP, on Debian and Ubuntu with `apt install libgomp1`"
