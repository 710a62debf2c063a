"""The kernels' rules: no upward import, a cache that notices edits, threads within bounds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kernels import jit

KERNELS = Path(jit.__file__).parent


def test_kernels_never_import_fastcnn():
    for file in KERNELS.glob("*.py"):
        for line in file.read_text().splitlines():
            assert not line.strip().startswith(("import fastcnn", "from fastcnn")), file


def test_cache_notices_an_edit_in_another_file(tmp_path):
    package = tmp_path / "kernels"
    package.mkdir()
    for file in KERNELS.glob("*.py"):
        (package / file.name).write_text(file.read_text())
    (package / "helper.py").write_text(
        "from kernels import jit\n@jit.serial\ndef number():\n    return 1\n"
    )
    (package / "caller.py").write_text(
        "from kernels import jit\nfrom kernels.helper import number\n"
        "@jit.serial\ndef call():\n    return number() + 10\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    environment["PYTHONPATH"] = str(tmp_path)

    def call() -> tuple[int, int]:
        """The result in a new process, and how many compiled functions came from the cache."""
        code = "from kernels.caller import call; print(call(), len(call.stats.cache_hits))"
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        number, hits = map(int, done.stdout.split())
        return number, hits

    assert call() == (11, 0)
    assert call() == (11, 1)
    helper = package / "helper.py"
    helper.write_text(helper.read_text().replace("return 1", "return 2"))
    assert call() == (12, 0)


@pytest.mark.parametrize("threads", [0, -1, 10_000, True, 1.5])
def test_threads_out_of_bounds(threads):
    with pytest.raises(ValueError, match="threads must be a whole number from 1 to"):
        jit.set_threads(threads)


def test_available_cores_respects_a_quota(monkeypatch):
    monkeypatch.setattr("kernels.cores._cgroup_quota", lambda: 1.5)
    from kernels import cores

    assert cores.available_cores() <= 2


def test_numba_may_be_imported_first(tmp_path):
    code = "import numba; from kernels import jit; print(jit.threading_layer(), end='')"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}  # nothing is compiled yet
    environment.pop("NUMBA_NUM_THREADS", None)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == jit.threading_layer()
