"""What is left out while kernels are compiled is nothing that Numba needs, there or afterwards."""

import contextlib
import importlib.util
import operator
import subprocess
import sys
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
import pytest
from numba import types
from numba.core.registry import cpu_target
from numba.extending import overload

from kernels import dispatch, jit, linking, shortcuts
from kernels.simd import lanes, load_part, splat, store_part

CONTEXT: Any = cpu_target.target_context


def doubled(x, y):
    total = 0.0
    for i in range(0, x.size, lanes(x)):
        v = load_part(x, i, x.size - i) + splat(x, 1.0)
        store_part(y, i, v + v, x.size - i)
        total += min(x[i], np.float32(3)) ** 2
    return total


def instructions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What LLVM is given of a kernel, without the names in it."""
    found: list[str] = []
    optimize = linking.Whole._optimize_final_module

    def look(whole: Any) -> None:
        for function in whole._final_module.functions:
            found.extend(i.opcode for block in function.blocks for i in block.instructions)
        optimize(whole)

    kernel = dispatch.Serial(doubled, targetoptions=jit._OPTIONS)
    x, y = np.arange(37, dtype=np.float32), np.zeros(37, np.float32)
    with monkeypatch.context() as patch:
        patch.setattr(linking.Whole, "_optimize_final_module", look)
        kernel(x, y)
    np.testing.assert_array_equal(y, 2 * (x + 1))
    return found


def test_the_code_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    short = instructions(monkeypatch)
    monkeypatch.setattr(shortcuts, "taken", lambda context: contextlib.nullcontext())
    monkeypatch.setattr(shortcuts, "needed_passes", lambda usual: usual)
    assert len(short) > 50
    assert instructions(monkeypatch) == short


def test_numba_is_as_it_was_afterwards() -> None:
    told = list(llvm.ffi.lib._lock._cblist)
    with contextlib.suppress(KeyboardInterrupt), shortcuts.taken(CONTEXT):
        assert "get_abi_sizeof" in vars(CONTEXT)
        raise KeyboardInterrupt
    assert not {"get_abi_sizeof", "load_additional_registries"} & set(vars(CONTEXT))
    assert "get_call_type" not in vars(types.Function)
    assert told == llvm.ffi.lib._lock._cblist


def test_a_question_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the typing of variables, and by the translation, which asks the function itself."""
    asked = []
    typing = CONTEXT.typing_context
    find = types.BaseFunction.get_call_type

    def ask(self: Any, *question: Any) -> Any:
        asked.append(question)
        return find(self, *question)

    monkeypatch.setattr(types.BaseFunction, "get_call_type", ask)
    monkeypatch.setattr(shortcuts, "_signatures", {})
    two_numbers = (types.int64, types.float32)
    with shortcuts.taken(CONTEXT):
        first = typing.resolve_function_type(operator.mul, two_numbers, {})
        assert typing.resolve_function_type(operator.mul, two_numbers, {}) is first
        multiply = typing.resolve_value_type(operator.mul)
        assert multiply.get_call_type(typing, two_numbers, {}) is first
        other = typing.resolve_function_type(operator.mul, two_numbers[:1] * 2, {})
    assert (first.return_type, other.return_type) == (types.float64, types.int64)
    assert len(asked) == 2


def test_a_rule_that_is_added_later_counts() -> None:
    def turned(x): ...

    @overload(turned)
    def _(x):
        return (lambda x: -x) if isinstance(x, types.Integer) else None

    def turn(x):
        return turned(x)

    options = jit._OPTIONS
    assert dispatch.Serial(turn, targetoptions=options)(3) == -3
    with pytest.raises(numba.TypingError):
        dispatch.Serial(turn, targetoptions=options)(1.5)

    @overload(turned)
    def _(x):
        return (lambda x: 1 / x) if isinstance(x, types.Float) else None

    assert dispatch.Serial(turn, targetoptions=options)(0.5) == 2.0
    assert dispatch.Serial(turn, targetoptions=options)(3) == -3


WITHOUT_SCIPY = """
import sys

import numba
import numpy as np

from kernels.activation import relu

x = np.array([[-1, 2]], np.float32)
relu(x, x)
assert x.tolist() == [[0, 2]]
assert "scipy.linalg" not in sys.modules
product = numba.njit(lambda a: np.dot(a, a))
try:
    print(product(np.array([[2.0]])), np.__name__)
except ImportError as problem:
    print(problem)
"""


def test_scipy_is_imported_by_those_who_need_it() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_SCIPY], capture_output=True, text=True)
    assert not done.stderr
    is_there = importlib.util.find_spec("scipy") is not None
    assert ("[[4.]]" if is_there else "scipy") in done.stdout
