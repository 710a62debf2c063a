import os
import platform
import subprocess
import sys
import types

import pytest

from kernels import compile as command
from kernels import jit


@pytest.fixture
def runs(monkeypatch):
    """What would be trained: name and environment."""
    seen, clock = [], types.SimpleNamespace(now=0.0)

    def compile_for(name, environment):
        seen.append((name, environment))
        clock.now += 62.4
        return "Traceback\nValueError: no" if name == "broken" else ""

    monkeypatch.setattr(command, "names", lambda: ["lenet5", "resnet20", "broken"])
    monkeypatch.setattr(command, "compile_for", compile_for)
    monkeypatch.setattr(command, "time", types.SimpleNamespace(monotonic=lambda: clock.now))
    return seen


def test_networks_are_compiled_one_by_one(runs, capsys):
    assert command.main(["resnet20", "lenet5"]) == 0
    assert runs == [("resnet20", {}), ("lenet5", {})]
    assert capsys.readouterr().out.startswith("1 of 2: resnet20 62 s\n2 of 2: lenet5 62 s\n")


def test_a_processor_is_said_to_numba_and_to_the_user(runs, capsys):
    assert command.main(["lenet5", "--processor", "x86-64-v3"]) == 0
    environment = {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": ""}
    assert runs == [("lenet5", environment)]
    assert "NUMBA_CPU_NAME=x86-64-v3\n" in capsys.readouterr().out


def test_errors_are_one_line(runs, capsys):
    assert command.main(["lenet"]) == 2
    assert capsys.readouterr().err == (
        "error: no network 'lenet'; there are lenet5, resnet20, broken\n"
    )
    assert command.main([]) == 1
    assert [name for name, _ in runs] == ["lenet5", "resnet20", "broken"]
    assert capsys.readouterr().err == "error: broken: ValueError: no\n"


@pytest.mark.parametrize(
    ("processor", "register_bytes"),
    [("x86-64-v2", 16), ("x86-64-v3", 32), ("x86-64-v4", 64), ("neoverse-n1", 16)],
)
def test_levels_have_the_vectors_that_they_are_named_for(processor, register_bytes):
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    triple = "x86_64-unknown-linux-gnu" if processor[0] == "x" else "aarch64-unknown-linux-gnu"
    assert jit.target_of(triple, processor, "").register_bytes == register_bytes


def test_a_level_is_what_numba_compiles_for():
    code = "from kernels import jit; print(jit.target().register_bytes, jit._PROCESSOR[1:])"
    environment = {**os.environ, **command.variables("x86-64-v2")}
    if platform.machine() != "x86_64":
        pytest.skip("another processor")
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert done.stdout.decode().strip() == "16 ('x86-64-v2', '')"
