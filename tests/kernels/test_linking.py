"""Parts that several processes compiled and kept become one whole that computes what it says."""

import os
import subprocess
import sys
from pathlib import Path

MODULE = """
import sys

import numpy as np

from kernels import jit
from kernels.simd import load_part, splat, store_part


@jit.serial
def added(v):
    return v + splat(v, 1.0)


@jit.serial
def multiplied(v):
    return v * splat(v, 3.0)


@jit.serial
def one(x):
    store_part(x, 0, added(load_part(x, 0, 1)), 1)


@jit.serial
def both(x):
    store_part(x, 0, multiplied(added(load_part(x, 0, 1))), 1)


if __name__ == "__main__":
    import parts

    x = np.full(1, 5, np.float32)
    getattr(parts, sys.argv[1])(x)
    print(x[0])
"""


def test_parts_of_two_processes_keep_their_names(tmp_path: Path) -> None:
    """`+` and `*` of vectors are functions called alike: 5 + 1 made first, then (5 + 1) * 3."""
    script = tmp_path / "parts.py"
    script.write_text(MODULE)
    root = str(Path(__file__).parents[2])
    environment = {
        **os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "kept"),
        "PYTHONPATH": os.pathsep.join([root, str(tmp_path)]),
    }  # fmt: skip
    said = [
        subprocess.run(
            [sys.executable, str(script), name], env=environment, capture_output=True, text=True
        ).stdout.strip()
        for name in ("one", "both")
    ]
    assert said == ["6.0", "18.0"]
