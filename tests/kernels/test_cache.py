"""Compiled code on the disk: shared by processes and machines, and in places of all kinds."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kernels import jit

KERNELS = Path(jit.__file__).parent
ON_X86 = platform.machine().lower() in ("x86_64", "amd64")
# What `.ci/run` compiles for besides the host.
HASWELL = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+sse4.2,+avx2,+fma,+bmi2,+popcnt"}
PLAIN = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+sse2"}

# Tiny kernels, each for two types: prints lanes, a result, and how many came from the cache.
PROGRAM = """
import sys
import numpy as np
from kernels import jit
from kernels.simd import lanes, load_part, store_part, total

@jit.serial
def width(x):
    return lanes(x)

@jit.serial
def double(x):
    for i in range(0, x.size, lanes(x)):
        v = load_part(x, i, x.size - i)
        store_part(x, i, v + v, x.size - i)

@jit.serial
def add_up(x):
    return total(load_part(x, 0, x.size))

def main():
    results = []
    for dtype in (np.float32, np.float64)[:: int(sys.argv[1])]:
        x = np.ones(2, dtype)
        double(x)
        results.append((width(x), float(add_up(x)), x.dtype.itemsize))
    hits = sum(sum(f.stats.cache_hits.values()) for f in (width, double, add_up))
    print(sorted(results, key=lambda result: result[2]), hits)
"""


def environment(folder: Path, **changes: str) -> dict[str, str]:
    """For a process that finds the program below and keeps compiled code in the folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    paths = os.pathsep.join((str(folder), str(KERNELS.parent)))
    return {**kept, "PYTHONPATH": paths, "NUMBA_CACHE_DIR": str(folder / "cache"), **changes}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


def start(folder: Path, order: int = 1, **changes: str) -> subprocess.Popen[str]:
    code = "from program import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, str(order)], env=environment(folder, **changes), cwd=folder,
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> tuple[list[tuple[int, float, int]], int]:
    """Its results, and how many compiled functions came from the cache."""
    printed, error = process.communicate(timeout=120)
    assert (process.returncode, error) == (0, "")
    results, hits = printed.rsplit(maxsplit=1)
    return eval(results), int(hits)


def expected(register_bytes: int) -> list[tuple[int, float, int]]:
    return [(register_bytes // 4, 4.0, 4), (register_bytes // 8, 4.0, 8)]


def test_four_processes_at_once(folder):
    for process in [start(folder, order) for order in (1, -1, 1, -1)]:
        results, _ = finish(process)
        assert results == expected(8 * results[0][0] // 2)
    _, hits = finish(start(folder))
    assert hits == 6


@pytest.mark.skipif(not ON_X86, reason="names processors of the x86 family")
def test_two_processors_share_a_folder(folder):
    for _ in range(2):
        narrow, narrow_hits = finish(start(folder, **HASWELL))
        plain, plain_hits = finish(start(folder, **PLAIN))
        assert (narrow, plain) == (expected(32), expected(16))
    assert (narrow_hits, plain_hits) == (6, 6)


def test_damaged_file_is_compiled_again(folder):
    before, _ = finish(start(folder))
    files = sorted((folder / "cache").rglob("*.nbc"))
    files[0].write_bytes(files[0].read_bytes()[:1000])
    files[1].write_bytes(b"")
    after, hits = finish(start(folder))
    assert after == before
    assert hits < 6
    assert finish(start(folder)) == (before, 6)


def test_code_that_cannot_be_written(folder, monkeypatch):
    from kernels.cache import CacheFile

    file = CacheFile(str(folder / "absent"), "kernel", "stamp")
    key = ("types", "processor", "bytecode")
    file.save(key, "code")
    assert file.load(key) is None


def test_file_knows_what_it_was_made_for(folder):
    from kernels.cache import CacheFile

    file = CacheFile(str(folder), "kernel", "stamp")
    file.save(("types", "processor", "bytecode"), "code")
    assert file.load(("types", "processor", "bytecode")) == "code"
    assert file.load(("types", "processor", "edited")) is None
    assert file.load(("types", "another", "bytecode")) is None
    assert CacheFile(str(folder), "kernel", "new").load(("types", "processor", "bytecode")) is None
    file.flush()
    assert file.load(("types", "processor", "bytecode")) is None


@pytest.mark.skipif(sys.platform != "linux", reason="the user's folders are elsewhere")
@pytest.mark.parametrize("home_is_writable", [True, False])
def test_installation_that_is_read_only(tmp_path, home_is_writable):
    package = tmp_path / "site" / "kernels"
    shutil.copytree(KERNELS, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "__pycache__").write_text("")  # root may write to every folder, not to this one
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir() if home_is_writable else home.write_text("")
    temporary.mkdir()
    variables = environment(package.parent, HOME=str(home), TMPDIR=str(temporary))
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        variables.pop(name, None)
    variables["PYTHONPATH"] = str(package.parent)
    code = "from kernels import shares; print(shares.share(1600, 1), shares.share.stats.cache_path)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(64, 192)")
    used = home / ".cache" if home_is_writable else temporary
    assert str(used) in done.stdout
    assert done.stderr.count("set NUMBA_CACHE_DIR") == (0 if home_is_writable else 1)
    assert list(temporary.iterdir()) == []
