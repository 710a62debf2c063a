"""The inner loop of the register tile, as LLVM makes it for processors that are not at hand.

    python -m tests.kernels.test_tile_assembly       every size of tile for every processor

A sum that does not fit into the registers is written to the stack and read again in each step,
which costs more than the tile gains.
"""

import re
from types import SimpleNamespace
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np
import pytest
from llvmlite import ir
from numba import types

from kernels import jit
from kernels.simd import lanes_of
from kernels.tile import operands, register_tile

X86, ARM = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"
# Features as Numba has them from the processor itself, where its name does not imply them.
PROCESSORS = {
    "haswell": (X86, ""),
    "znver3": (X86, ""),
    "alderlake": (X86, ""),
    "skylake-avx512": (X86, "-prefer-256-bit"),
    "znver4": (X86, ""),
    "sapphirerapids": (X86, "-prefer-256-bit"),
    "x86-64-v3": (X86, ""),
    "x86-64-v4": (X86, ""),
    "apple-m1": ("arm64-apple-darwin", ""),
    "neoverse-n1": (ARM, ""),
    "neoverse-v2": (ARM, "-sve"),
}
_FMA = re.compile(r"\t(?:vfn?madd\w+p[sd]|fmla(?:\.\d[sd])?)\t")
_ON_STACK = r"(?:\(%rsp\b|\[sp\b)"
_SPILL = re.compile(rf"^(?=.*{_ON_STACK})\t\w+\t.*(?:%[xyz]mm|\b[qdv]\d+\b).*$", re.MULTILINE)
_ADDRESS = re.compile(rf"^(?=.*{_ON_STACK})(?!.*(?:%[xyz]mm|\b[qdv]\d+\b)).*$", re.MULTILINE)
_ADDITION = re.compile(
    r"\t(?:(?:add|lea|sub|inc|dec)q|adds?|subs?)\t|\], (?:x\d+|#\d+)$", re.MULTILINE
)
_MOVE = re.compile(r"\t(?:v?mov[au]p[sd]\t%\w+, %\w+$|mov\.16b\t|mov\tv\d+\.16b)", re.MULTILINE)


class Loop(NamedTuple):
    """How many there are in an inner loop.

    spills : vectors read from the stack or written there
    addresses : whole numbers, of which x86-64 has few registers
    moves : from one vector register to another
    additions : of whole numbers, of which those in a row take a cycle each
    """

    fmas: int
    spills: int
    addresses: int
    moves: int
    additions: int


def assembly(cpu: str, mode: int, rows: int, vectors: int, target: jit.Target) -> str:
    """One size of tile, compiled for a processor."""
    triple, features = PROCESSORS[cpu]
    module = ir.Module()
    number, pointer = ir.IntType(64), ir.FloatType().as_pointer()
    kinds = [pointer if n in register_tile._POINTERS else number for n in register_tile._NAMES]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), "tile")
    builder = ir.IRBuilder(function.append_basic_block())
    op = SimpleNamespace(**dict(zip(register_tile._NAMES, function.args, strict=True)))
    half = mode in (operands.HALF, operands.HALF_TWICE)
    lanes = lanes_of(types.float32) // (2 if half else 1)
    assert lanes_of(types.float32) == target.register_bytes // 4
    vector = ir.VectorType(ir.FloatType(), lanes)
    register_tile._emit(builder, op, mode, rows, vectors, vector, 4)
    builder.ret_void()
    machine = llvm.Target.from_triple(triple).create_target_machine(
        cpu=cpu, features=features, opt=3
    )
    compiled = llvm.parse_assembly(str(module))
    compiled.triple, compiled.data_layout = triple, str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    passes = llvm.create_pass_builder(machine, options)
    passes.getFunctionPassManager().run(compiled.get_function("tile"), passes)
    return machine.emit_assembly(compiled)


def inner_loop(code: str) -> Loop:
    """Blocks with multiply-adds that end in a jump to their own beginning.

    LLVM unrolls the loops of small tiles: the fewest multiply-adds, the most of the others.
    """
    blocks = re.split(r"^(\.?LBB\d+_\d+):", code, flags=re.MULTILINE)
    found = []
    for label, body in zip(blocks[1::2], blocks[2::2], strict=True):
        # What follows the jump is another block, if one without a label.
        jump = re.search(rf"\t(?:j\w+|b\.\w+|cbn?z)\t.*{re.escape(label)}$", body, re.MULTILINE)
        if jump and _FMA.search(body[: jump.end()]):
            found.append(body[: jump.end()])
    assert found, "no loop of multiply-adds"
    counts = [
        [len(kind.findall(body)) for kind in (_FMA, _SPILL, _ADDRESS, _MOVE, _ADDITION)]
        for body in found
    ]
    fmas, *others = zip(*counts, strict=True)
    return Loop(min(fmas), *map(max, others))


def compile_for(monkeypatch: Any, cpu: str) -> jit.Target:
    """Let vectors be as wide as a processor's."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    triple, features = PROCESSORS[cpu]
    target = jit.target_of(triple, cpu, features)
    monkeypatch.setattr(jit, "target", lambda: target)
    return target


def loops(monkeypatch: Any, cpu: str, all_sizes: bool) -> dict[tuple[int, int, int], Loop]:
    """The inner loops for a processor: of the largest tile, or of all sizes."""
    target = compile_for(monkeypatch, cpu)
    full, sizes = operands.FULL, [(target.tile_rows, target.tile_vectors)]
    if all_sizes:
        sizes = [(m, v) for m in range(1, target.tile_rows + 1) for v in (1, 2)]
    found = {
        (full, m, v): inner_loop(assembly(cpu, full, m, v, target))
        for m, v in sizes
    }  # fmt: skip
    for mode in (operands.HALF, operands.PAIRED):
        for m in range(1 if all_sizes else target.tile_rows, target.tile_rows + 1):
            found[mode, m, 1] = inner_loop(assembly(cpu, mode, m, 1, target))
    twice_rows = min(operands.TWICE_ROWS, target.tile_rows)
    for mode in (operands.FULL_TWICE, operands.HALF_TWICE):
        for m in range(1 if all_sizes else twice_rows, twice_rows + 1):
            found[mode, m, 1] = inner_loop(assembly(cpu, mode, m, 1, target))
    return found


@pytest.mark.parametrize("cpu", PROCESSORS)
def test_the_largest_tiles_stay_in_registers(monkeypatch, cpu):
    for (mode, rows, vectors), loop in loops(monkeypatch, cpu, all_sizes=False).items():
        sums = 2 if mode >= operands.TWICE else 1
        assert loop.fmas % (sums * rows * vectors) == 0  # a multiple where LLVM has unrolled it
        assert (loop.spills, loop.moves) == (0, 0), loop


@pytest.mark.parametrize("cpu", PROCESSORS)
def test_addresses_do_not_follow_one_from_the_other(monkeypatch, cpu):
    """In a chain of one addition per row, a tile of one vector waits for its addresses."""
    target = compile_for(monkeypatch, cpu)
    for mode in (operands.FULL, operands.HALF, operands.PAIRED):
        loop = inner_loop(assembly(cpu, mode, target.tile_rows, 1, target))
        assert 0 < loop.additions <= target.tile_rows // 2 + 3, loop


def test_a_tile_that_is_too_large_is_seen(monkeypatch):
    target = compile_for(monkeypatch, "haswell")
    code = assembly("haswell", operands.FULL, 9, 2, target)
    assert inner_loop(code).spills > 0


def test_the_tile_is_not_called_as_c_would_call_it():
    """Numba's function for C copies the arguments in vectors, for which it waits each time."""
    register_tile.prepare(np.dtype(np.float32))
    called = llvm.address_of_symbol(register_tile._symbol(types.float32))
    assert called not in (None, *(tile.address for tile in register_tile._alive))


def _main() -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        for cpu in PROCESSORS:
            found = loops(monkeypatch, cpu, all_sizes=True)
            bad = {size: loop for size, loop in found.items() if loop.spills or loop.moves}
            print(cpu, bad or f"all {len(found)} tiles stay in registers", end="; ")
            # The largest tile: what its addresses need besides.
            largest = max(found.items(), key=lambda item: item[0][1] * item[0][2])
            print(f"the largest: {largest[1]}")


if __name__ == "__main__":
    _main()
