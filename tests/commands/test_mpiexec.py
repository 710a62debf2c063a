"""`mpiexec -n 4 python -m fastcnn.train`: with real processes, where there is an MPI."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")

pytestmark = pytest.mark.skipif(
    MPIEXEC is None or importlib.util.find_spec("mpi4py") is None,
    reason="needs mpi4py and mpiexec: pip install '.[distributed]' mpich",
)

RUN = (
    "-m", "fastcnn.train", "--dataset", "digits", "--model", "mnist-baseline", "--epochs", "2",
    "--batch-size", "64", "--threads", "1", "--no-pictures", "--save-minutes", "0",
)  # fmt: skip


def train(processes, *options):
    start = [] if processes is None else [MPIEXEC, "-n", str(processes)]
    command = [*start, sys.executable, *RUN, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


def arrays(folder):
    with np.load(folder / "best.npz") as kept:
        return {name: kept[name].tobytes() for name in kept.files if kept[name].dtype.kind == "f"}


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    done = train(None, "--out", str(folder / "run"))
    assert done.returncode == 0, done.stderr
    return done.stdout, arrays(folder / "run")


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_the_bits_are_those_of_one(one, processes, tmp_path):
    done = train(processes, "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert arrays(tmp_path / "run") == one[1]
    assert done.stdout.count("epoch ") == one[0].count("epoch ")


def test_a_killed_one_ends_all_and_another_number_goes_on(one, tmp_path):
    out = tmp_path / "run"
    command = [MPIEXEC, "-n", "4", sys.executable, *RUN, "--out", str(out)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    until = time.monotonic() + 120
    while not (out / "last.npz").is_file():
        assert running.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    (helper,) = _children(running.pid)  # mpiexec's own, which starts ours
    os.kill(_children(helper)[2], signal.SIGKILL)
    killed = time.monotonic()
    running.communicate(timeout=60)
    assert time.monotonic() - killed < 10
    assert running.returncode != 0
    done = train(2, "--resume", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert arrays(out) == one[1]


def _children(parent):
    """Ids of the processes that one has started."""
    tasks = Path(f"/proc/{parent}/task").glob("*/children")
    return [int(number) for task in tasks for number in task.read_text().split()]


def test_what_one_refuses_all_refuse_once(tmp_path):
    done = train(2, "--out", str(tmp_path), "--init-from", str(tmp_path / "nowhere.npz"))
    assert done.returncode == 2
    assert done.stderr.count("error:") == 1
    assert "nowhere.npz" in done.stderr
