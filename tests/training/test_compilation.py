"""Kernels compiled by two processes, and none compiled once the first epoch is over."""

import contextlib
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
from fastcnn import Augment, Sequential, models
from fastcnn.layers import Conv2D, Dense, Flatten, ReLU
from fastcnn.losses import CrossEntropyLoss
from fastcnn.training import compilation
from kernels import jit

PROGRAM = """
import sys
import time
from pathlib import Path

import numpy as np
from numba import prange

from fastcnn.training import compilation
from kernels import compiling, jit

@jit.parallel
def first(x):
    for i in prange(x.size):
        x[i] += 1

@jit.parallel
def second(x):
    for i in prange(x.size):
        x[i] += 2

@jit.serial
def third(x):
    for i in range(x.size):
        x[i] += 3

def training(path):
    x = np.zeros(4)
    first(x)
    second(x)
    third(x)
    Path(path).write_text(str(x.sum()))  # 0 if none was run

def main(path):
    with compilation.shared(training, lambda: (path,)):
        x = np.zeros(4)
        first(x)
        folder = Path(second.stats.cache_path)
        while not all(list(folder.glob(f"*.{name}-*.nbc")) for name in ("second", "third")):
            time.sleep(0.1)
        watcher = compiling.watcher
        done, expected = watcher.done + watcher.helped, watcher.expected
    second(x)
    third(x)
    hits = [sum(kernel.stats.cache_hits.values()) for kernel in (second, third)]
    print(x.sum(), hits, done <= expected <= 3, watcher.expected)
"""


def test_helper_compiles_what_this_process_has_not_reached(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    path = os.pathsep.join((str(tmp_path), *filter(None, sys.path)))
    variables = {**os.environ, "PYTHONPATH": path, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-c", "import program; program.main('what-it-computed')"]
    done = subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "24.0 [1, 1] True 0\n"
    assert (tmp_path / "what-it-computed").read_text() == "0.0"


# A program as beginners write it: no guard, a layer of its own. Each start leaves a mark.
SCRIPT = """
import sys
import numpy as np
import own
from fastcnn import Sequential
from fastcnn.layers import Dense, Flatten
from fastcnn.training import compilation

with open("started", "a") as file:
    file.write("x")
kinds = [own.Double()] if sys.argv[1] == "own" else []
model = Sequential(Flatten(), *kinds, Dense(16, 3), seed=1)
popen, helpers = compilation.subprocess.Popen, []
def noted(*arguments, **options):
    helpers.append(popen(*arguments, **options))
    return helpers[-1]
compilation.subprocess.Popen = noted
compilation.usual_threads = lambda: 2
stop = compilation._Compilation.stop
def waited(self):
    codes.extend(helper.wait() for helper in helpers)
    stop(self)
compilation._Compilation.stop, codes = waited, []
x = np.random.default_rng(0).random((70, 1, 4, 4), np.float32)
model.train(x, np.arange(70) % 3, epochs=2, validation=0.2)
print(model.parameters.values.tobytes().hex(), codes)
"""
OWN = """
from fastcnn.layers import Layer

with open("started", "a") as file:
    file.write("y")

class Double(Layer):
    def output_shape(self, shape):
        return shape
    def forward(self, x, training=False):
        return 2 * x
    def backward(self, dy):
        return 2 * dy
"""


@pytest.mark.parametrize(("layers", "code"), [("ours", 0), ("own", 1)])
def test_program_without_a_guard(tmp_path, layers, code):
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "own.py").write_text(OWN)
    path = os.pathsep.join(filter(None, sys.path))
    variables = {**os.environ, "PYTHONPATH": path, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def run() -> list[str]:
        done = subprocess.run(
            [sys.executable, "script.py", layers], env=variables, cwd=tmp_path,
            capture_output=True, text=True,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split(maxsplit=1)

    (first, helpers), (second, none) = run(), run()
    assert (helpers, none) == (f"[{code}]\n", "[]\n")
    assert first == second
    assert (tmp_path / "started").read_text() == "yxyx"  # by us, twice; by the helper, never


@pytest.fixture
def helpers(monkeypatch):
    """The helper processes that were started."""
    monkeypatch.setattr(compilation, "uses_helper", True)
    monkeypatch.setattr(compilation, "usual_threads", lambda: 2)
    monkeypatch.setattr(compilation._Compilation, "has_been", False)
    started = []
    popen = subprocess.Popen

    def noted(*arguments, **options):
        started.append(popen(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", noted)
    return started


def compile_something() -> int:
    """Compile a kernel, which is kept nowhere as it stands in no file."""
    return jit.serial(eval("lambda: 1"))()


def shared() -> contextlib.AbstractContextManager[None]:
    return compilation.shared(print, tuple)


def test_nothing_to_compile_no_helper(helpers):
    with shared():
        assert numba.njit(eval("lambda: 1"))() == 1  # not a kernel of ours
    assert helpers == []


def test_little_that_a_later_training_compiles_gets_no_helper(helpers, monkeypatch):
    monkeypatch.setattr(compilation, "_AFTER", 1e6)
    with shared():
        compile_something()
    assert len(helpers) == 1
    with shared():
        compile_something()
        compile_something()
    assert len(helpers) == 1


def test_much_that_a_later_training_compiles_gets_a_helper(helpers, monkeypatch):
    monkeypatch.setattr(compilation._Compilation, "has_been", True)
    monkeypatch.setattr(compilation, "_AFTER", 1e-4)  # one kernel takes longer
    with shared():
        compile_something()
        compile_something()
    assert len(helpers) == 1


def test_helper_that_fails_is_not_missed(helpers, monkeypatch):
    monkeypatch.setattr(compilation, "_HELPER", "raise SystemExit(1)")
    with shared():
        assert compile_something() == 1
        helpers[0].wait()
    assert helpers[0].returncode == 1


@pytest.mark.parametrize("arguments", [lambda: (lambda: 1,), lambda: 1 // 0])
def test_what_cannot_be_sent_is_not_missed(helpers, arguments):
    with compilation.shared(print, arguments):
        assert compile_something() == 1
    assert helpers == []


@pytest.mark.parametrize("name", ["python-absent", "blender", ""])
def test_python_that_cannot_be_started(helpers, monkeypatch, tmp_path, name):
    monkeypatch.setattr(sys, "executable", str(tmp_path / name) if name else None)
    with shared():
        assert compile_something() == 1
    assert helpers == []


def test_interruption_ends_the_helper(helpers, monkeypatch):
    monkeypatch.setattr(compilation, "_HELPER", "import time; time.sleep(100)")

    def be_interrupted() -> None:
        with shared():
            compile_something()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        be_interrupted()
    assert len(helpers) == 1
    assert helpers[0].returncode not in (None, 0)


def test_helper_ends_with_its_parent(monkeypatch):
    code = "from fastcnn.training import compilation; compilation._listen(open(0, 'rb', 0), None)"
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
            # Around a kernel there may be another function; around a function is the kernel.
            for function in (value, getattr(value, "__wrapped__", None)):
                if isinstance(function, Dispatcher):
                    wholes = getattr(function, "wholes", ())
                    counts[f"{module.name}.{name}"] = len(function.overloads) + len(wholes)
    assert sum(counts.values()) > 0
    return counts


@pytest.mark.parametrize("name", models.names())
def test_nothing_is_compiled_after_the_first_epochs(name):
    model = models.build(name)
    numbers = np.random.default_rng(0)
    images = numbers.integers(0, 256, (50, *model.input_shape), np.uint8)
    labels = numbers.integers(0, 10, 50)

    def train(batch_size: int) -> None:
        model.train(images, labels, epochs=1, batch_size=batch_size, validation=0.2, clip_norm=1.0)

    train(16)  # two batches of 16 and one of 8
    train(9)  # small ones are for one thread, which has kernels of its own
    before = specialisations()
    for batch_size in (16, 15, 9):
        train(batch_size)
    assert specialisations() == before


def test_nothing_is_compiled_for_read_only_arrays(tmp_path):
    """As they come from files that are mapped: pixels and floats, of images and of rows."""
    numbers = np.random.default_rng(0)
    floats = numbers.random((24, 3, 8, 8), np.float32)
    given = {"pixels": (255 * floats).astype(np.uint8), "floats": floats}
    labels = np.arange(24) % 4
    augment = Augment(flip=True, shift=1, brightness=0.1, noise=0.1)

    def use(x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
        model = Sequential(Conv2D(3, 4, 3), ReLU(), Flatten(), Dense(144, 4), seed=1)
        for each in (augment, None):
            model.train(x, y, epochs=1, batch_size=8, augment=each, validation=0.25, progress=False)
        found = [model.predict_proba(x), np.array(model.evaluate(x, y))]
        found += [model.compile_for_inference().predict_proba(x), model.forward(x[:4])]
        logits = model.forward(x[:4], training=True)
        dy = np.ones_like(logits)
        logits.flags.writeable = dy.flags.writeable = x.flags.writeable
        for targets in (y[:4], np.eye(4, dtype=np.float32)[y[:4]]):
            targets.flags.writeable = x.flags.writeable
            loss = CrossEntropyLoss()
            found += [np.array(loss.forward(logits, targets)), loss.backward()]
        return [*found, model.backward(dy)]

    np.save(tmp_path / "y.npy", labels)
    for name, x in given.items():
        np.save(tmp_path / "x.npy", x)
        expected = use(x, labels)
        before = specialisations()
        mapped = [np.load(tmp_path / file, mmap_mode="r") for file in ("x.npy", "y.npy")]
        for got, wanted in zip(use(mapped[0], mapped[1]), expected, strict=True):
            np.testing.assert_array_equal(got, wanted, err_msg=name)
        assert specialisations() == before
