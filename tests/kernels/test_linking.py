"""Parts that several processes compiled and kept become one whole that computes what it says."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
from numba import prange

from kernels import dispatch, jit, linking
from kernels.conv import winograd_four
from kernels.simd import load, store

MODULE = """
import sys

import numpy as np
from numba.extending import overload

from kernels import jit, linking


def plus(a, b): ...


def times(a, b): ...


@overload(plus)
def _(a, b):
    return lambda a, b: a + b


@overload(times)
def _(a, b):
    return lambda a, b: a * b


@jit.serial
def added(v):
    return plus(v, 1)


@jit.serial
def multiplied(v):
    return times(v, 3)


@jit.serial
def one(x):
    x[0] = added(x[0])


@jit.serial
def both(x):
    x[0] = multiplied(added(x[0]))


if __name__ == "__main__":
    import parts

    x = np.full(1, 5.0)
    getattr(parts, sys.argv[1])(x)
    print(x[0])
"""


def test_parts_of_two_processes_keep_their_names(tmp_path: Path) -> None:
    """Two functions called `<lambda>`: 5 + 1 made first, then (5 + 1) * 3."""
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


@jit.serial
def _first(x):
    return x[0]


# Not kept on the disk: what is loaded from there shows neither its code nor its parts.
_unkept = functools.partial(dispatch.Serial, targetoptions=jit._OPTIONS)
_unkept_parallel = functools.partial(
    dispatch.Parallel, targetoptions={"parallel": jit._PRANGE_ONLY, **jit._OPTIONS}
)


@_unkept
def _sum_of_heads(x, odd):
    total = 0.0
    for i in range(x.size):
        if odd or i % 2 == 0:
            total += _first(x[i:])
    return total


def test_no_references_are_counted() -> None:
    """In an inner loop, counting took longer than computing."""
    assert _sum_of_heads(np.arange(4.0), False) == 2
    (whole,) = _sum_of_heads.wholes.values()
    assert "NRT_incref" not in str(whole.library._final_module)


@_unkept
def _scaled(x, steps, factor):
    return x[steps[0]] * factor * steps[1]


@_unkept
def _scaled_twice(x, step, factor):
    return _scaled(x, (step, 1), 2) + _scaled(x, (0, step), factor)


def test_a_number_in_the_text_of_a_call_is_as_one_in_a_variable():
    assert _scaled_twice(np.array([1.0, 3.0]), 1, 5) == 3 * 2 + 5
    assert [len(kinds) for kinds in _scaled.overloads] == [3]


@_unkept
def _set_square(x, i):
    x[i] = i * i - 1


@_unkept_parallel
def _set_squares(x):
    for i in prange(x.size):  # Numba's index has no sign, and an int64 at first
        _set_square(x, i)


def test_an_index_without_a_sign_is_as_any_whole_number():
    x = np.zeros(4)
    _set_squares(x)
    assert x.tolist() == [-1, 0, 3, 8]
    assert [kinds[1] for kinds in _set_square.overloads] == [numba.types.int64]


@_unkept
def _there_and_back(number, far):
    return number + far + 1 - far  # a float64 does not hold 2 ** 53 + 1


@_unkept_parallel
def _set_numbers(x, far):
    _there_and_back(1.5, far)
    for i in prange(x.size):
        x[i] = _there_and_back(i, far)
        x[i] += 10 * _there_and_back(far=far, number=i)


def test_an_index_without_a_sign_is_no_float_where_there_is_a_part_for_floats():
    x = np.zeros(4)
    _set_numbers(x, 2**53)
    assert x.tolist() == [11, 22, 33, 44]
    kinds = [each[0] for each in _there_and_back.overloads]
    assert kinds == [numba.types.float64, numba.types.int64]


# --- code from the disk ---------------------------------------------------------------------------

STEP = """
import sys

import numpy as np
from fastcnn import Sequential
from fastcnn.layers import Conv2D, Dense, Flatten, MaxPool2D, ReLU

model = Sequential(
    Conv2D(1, 4, 3), ReLU(), MaxPool2D(2), Flatten(), Dense(36, 3), input_shape=(1, 8, 8), seed=1
)
x = np.random.default_rng(0).normal(size=(20, 1, 8, 8)).astype(np.float32)
model.train(x, np.arange(20) % 3, epochs=1, batch_size=10, progress=False)
print(model.forward(x).sum(), "numba.np.arraymath" in sys.modules)
"""


def _stepped(folder: Path, tmp_path: Path) -> list[str]:
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-c", STEP], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_a_later_start_does_not_make_numba_ready_to_compile(tmp_path: Path) -> None:
    """That takes 0.2 s and 20 MB; and what the first start keeps is of use after damage, too."""
    kept = tmp_path / "kept"
    first, was_ready = _stepped(kept, tmp_path)
    again, is_ready = _stepped(kept, tmp_path)
    assert (was_ready, is_ready) == ("True", "False") and first == again
    for name in ("crew", "probe"):
        for file in kept.glob(f"*/{name}.*.nbc"):
            content = bytearray(file.read_bytes())
            file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
            assert _stepped(kept, tmp_path) == [first, "False"]
            assert file.read_bytes() != content[:-1] + bytes([content[-1] ^ 1])
    assert list(kept.glob("*/probe.*.nbc"))


def test_what_llvm_does_not_know_has_numba_made_ready(monkeypatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(linking.shortcuts, "refresh", asked.append)
    linking._provide(["llvm.fma.v16f32", "memset", "NRT_Free", "PyErr_Clear"])
    assert not asked and linking.llvm.address_of_symbol("NRT_Free")
    linking._provide(["memset", "a_symbol_that_nobody_has", "NRT_Free"])
    assert len(asked) == 1


@_unkept
def _corners(products, plane, y):
    columns = winograd_four._outputs(products, 0, plane, load(y, 0))
    store(y, 0, columns[0][0] + columns[3][3])


def test_a_transform_is_compiled_into_what_calls_it() -> None:
    """Else its sixteen vectors came back through memory, 1 KB that was made zero before."""
    products, y = np.ones(46 * 16, np.float32), np.ones(16, np.float32)
    _corners(products, 16, y)
    (whole,) = _corners.wholes.values()
    functions = [function.name for function in whole.library._final_module.functions]
    assert not any("_outputs" in name for name in functions)
