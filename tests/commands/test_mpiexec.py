"""`mpiexec -n 4 python -m fastcnn.train`: with real processes, where there is an MPI."""

import importlib.util
import os
import signal
import subprocess
import time

import pytest

from ..training.prove_parallel import DIED, MPIEXEC, command, floats, ranks

pytestmark = pytest.mark.skipif(
    MPIEXEC is None or importlib.util.find_spec("mpi4py") is None,
    reason="needs mpi4py and mpiexec: pip install '.[distributed]' mpich",
)

RUN = (
    "fastcnn.train", "--dataset", "digits", "--model", "mnist-baseline", "--epochs", "6",
    "--batch-size", "64", "--threads", "1", "--no-pictures", "--save-minutes", "0",
)  # fmt: skip


def train(processes, *options):
    words = command(processes, *RUN, *options)
    return subprocess.run(words, capture_output=True, text=True)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    done = train(None, "--out", str(folder / "run"))
    assert done.returncode == 0, done.stderr
    return done.stdout, floats(folder / "run" / "best.npz")


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_the_bits_are_those_of_one(one, processes, tmp_path):
    done = train(processes, "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert floats(tmp_path / "run" / "best.npz") == one[1]
    assert done.stdout.count("epoch ") == one[0].count("epoch ")


def test_a_killed_one_ends_all_and_another_number_goes_on(one, tmp_path):
    out = tmp_path / "run"
    words = command(4, *RUN, "--out", str(out))
    running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    while not (out / "last.npz").is_file():
        assert running.poll() is None
        time.sleep(0.02)
    os.kill(ranks(running.pid)[2], signal.SIGKILL)
    said = running.communicate()[0].decode()  # the others would wait for it without end
    assert running.returncode != 0
    assert said.count(DIED) == 1
    assert f"{DIED}2 on " in said
    done = train(2, "--resume", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert floats(out / "best.npz") == one[1]


def test_what_one_refuses_all_refuse_once(tmp_path):
    done = train(2, "--out", str(tmp_path), "--init-from", str(tmp_path / "nowhere.npz"))
    assert done.returncode == 2
    assert done.stderr.count("error:") == 1
    assert "nowhere.npz" in done.stderr
