"""Kernels compiled by two processes, and none compiled once the first epoch is over."""

import importlib
import os
import pkgutil
import subprocess
import sys

import numba
import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher

import kernels
from fastcnn import models
from fastcnn.runs import compilation

PROGRAM = """
import sys
import time
from pathlib import Path

import numpy as np
from numba import prange

from fastcnn.runs import compilation
from kernels import jit

@jit.parallel
def first(x):
    for i in prange(x.size):
        x[i] += 1

@jit.parallel
def second(x):
    for i in prange(x.size):
        x[i] += 2

def training(path):
    x = np.zeros(4)
    first(x)
    second(x)
    Path(path).write_text(str(x.sum()))  # 0 if neither was run

def main(path):
    said = []
    with compilation.shared(lambda: said.append(1), training, path):
        x = np.zeros(4)
        first(x)
        folder = Path(second.stats.cache_path)
        for _ in range(600):
            if list(folder.glob("*second*.nbc")):
                break
            time.sleep(0.1)
    second(x)
    print(x.sum(), sum(second.stats.cache_hits.values()))
"""


def test_helper_compiles_what_this_process_has_not_reached(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    path = os.pathsep.join((str(tmp_path), *filter(None, sys.path)))
    variables = {**os.environ, "PYTHONPATH": path, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-c", "import program; program.main('what-it-computed')"]
    done = subprocess.run(
        command, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "12.0 1\n"
    assert (tmp_path / "what-it-computed").read_text() == "0.0"


@pytest.fixture
def helpers(monkeypatch):
    """The helper processes that were started."""
    monkeypatch.setattr(compilation, "available_cores", lambda: 2)
    started = []
    popen = subprocess.Popen

    def noted(*arguments, **options):
        started.append(popen(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", noted)
    return started


def compile_something() -> int:
    return numba.njit(lambda: 1)()


def test_nothing_to_compile_no_helper(helpers):
    said = []
    with compilation.shared(lambda: said.append(1), print):
        pass
    assert (helpers, said) == ([], [])


def test_helper_that_fails_is_not_missed(helpers, monkeypatch):
    monkeypatch.setattr(compilation, "_HELPER", "raise SystemExit(1)")
    with compilation.shared(print, print):
        assert compile_something() == 1
        helpers[0].wait(10)
    assert helpers[0].returncode == 1


def test_python_that_cannot_be_started(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "absent"))
    with compilation.shared(print, print):
        assert compile_something() == 1


def test_interruption_ends_the_helper(helpers, monkeypatch):
    monkeypatch.setattr(compilation, "_HELPER", "import time; time.sleep(100)")

    def be_interrupted() -> None:
        with compilation.shared(print, print):
            compile_something()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        be_interrupted()
    assert len(helpers) == 1
    assert helpers[0].returncode not in (None, 0)


def test_helper_ends_with_its_parent(monkeypatch):
    code = "from fastcnn.runs.compilation import _end_with_parent; _end_with_parent()"
    helper = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    with helper:
        assert helper.poll() is None
    assert helper.returncode == 0


# --- specialisations ----------------------------------------------------------------------------


def specialisations() -> dict[str, int]:
    """How often each compiled function has been compiled."""
    counts = {}
    for module in pkgutil.walk_packages(kernels.__path__, "kernels."):
        for name, value in vars(importlib.import_module(module.name)).items():
            function = getattr(value, "__wrapped__", value)
            if isinstance(function, Dispatcher):
                counts[f"{module.name}.{name}"] = len(function.signatures)
    return counts


@pytest.mark.parametrize("name", models.names())
def test_nothing_is_compiled_after_the_first_epoch(name):
    model = models.build(name)
    numbers = np.random.default_rng(0)
    images = numbers.integers(0, 256, (50, *model.input_shape), np.uint8)
    labels = numbers.integers(0, 10, 50)

    def train(batch_size: int) -> None:
        model.train(images, labels, epochs=1, batch_size=batch_size, validation=0.2, clip_norm=1.0)

    train(16)  # two batches of 16 and one of 8
    before = specialisations()
    for batch_size in (16, 15, 9):
        train(batch_size)
    assert specialisations() == before
