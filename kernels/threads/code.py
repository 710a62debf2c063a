"""A small language to write thread-safe code in: numbers, addresses, and LLVM's builder beneath."""

from collections.abc import Callable
from typing import Any

import llvmlite.ir as ir

INT, INT32, VOID = ir.IntType(64), ir.IntType(32), ir.VoidType()
LINE = 8
"""Numbers in a cache line."""
PASSED, OWN_TIME = 1, 3
"""Linux's clocks: time passed, and time that the calling thread ran."""


class Code:
    """Writes functions of 64-bit numbers, addresses among them, into one LLVM module.

    numbers : how many the memory has that all functions share
    """

    def __init__(self, triple: str, numbers: int) -> None:
        self.module = ir.Module()
        self.module.triple = triple
        kind = ir.ArrayType(INT, numbers)
        self.memory: Any = ir.GlobalVariable(self.module, kind, "memory")
        self.memory.initializer = ir.Constant(kind, None)
        self.memory.align = 64
        self.is_x86 = triple.startswith("x86_64")
        self.builder: Any = None

    def function(self, name: str, arguments: int, result: Any = VOID) -> Any:
        """Begin a function of that many numbers; further code goes into it."""
        made = ir.Function(self.module, ir.FunctionType(result, [INT] * arguments), name)
        self.builder = ir.IRBuilder(made.append_basic_block())
        self.clock = self.builder.alloca(INT, 2)
        return made

    def call_c(self, name: str, *arguments: Any, result: Any = INT32) -> Any:
        """Call a function of the C library, or of LLVM."""
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        function = self.module.globals.get(name) or ir.Function(self.module, kind, name)
        return self.builder.call(function, arguments)

    def pause(self) -> None:
        """Let the other thread of a core have this moment."""
        if self.is_x86:
            self.call_c("llvm.x86.sse2.pause", result=VOID)
        else:
            self.call_c("llvm.aarch64.hint", ir.Constant(INT32, 1), result=VOID)

    def now(self, kind: int = PASSED) -> Any:
        """What a clock of Linux shows, in ns."""
        address = self.builder.ptrtoint(self.clock, INT)
        self.call_c("clock_gettime", ir.Constant(INT32, kind), address)
        seconds, rest = self.load(address), self.load(self.builder.add(address, self.number(8)))
        return self.builder.add(self.builder.mul(seconds, self.number(1_000_000_000)), rest)

    def number(self, value: int) -> Any:
        """A constant."""
        return ir.Constant(INT, value)

    def place(self, first: int, index: Any = None, step: int = LINE) -> Any:
        """Address of memory[first + index * step]."""
        address = self.builder.ptrtoint(self.memory, INT)
        offset = self.number(8 * first)
        if index is not None:
            offset = self.builder.add(offset, self.builder.mul(index, self.number(8 * step)))
        return self.builder.add(address, offset)

    def pointer(self, address: Any) -> Any:
        """An address as LLVM wants it."""
        return self.builder.inttoptr(address, INT.as_pointer())

    def load(self, address: Any) -> Any:
        """What nobody else is writing."""
        return self.builder.load(self.pointer(address), align=8)

    def store(self, address: Any, value: Any) -> None:
        """Write what nobody else is reading."""
        self.builder.store(value, self.pointer(address), align=8)

    def read(self, address: Any) -> Any:
        """What other threads may be changing; all they wrote before it is then seen too."""
        return self.builder.load_atomic(self.pointer(address), "seq_cst", 8)

    def write(self, address: Any, value: Any) -> None:
        """Show a number to other threads, and all that was written before it."""
        self.builder.store_atomic(value, self.pointer(address), "seq_cst", 8)

    def exchange(self, address: Any, value: Any) -> Any:
        """Put a number in another's place, in one stroke: the other one."""
        return self.builder.atomic_rmw("xchg", self.pointer(address), value, "seq_cst")

    def replace(self, address: Any, old: Any, new: Any) -> Any:
        """Whether this thread was the one to put the new number into the old one's place."""
        both = self.builder.cmpxchg(self.pointer(address), old, new, "seq_cst", "seq_cst")
        return self.builder.extract_value(both, 1)

    def least(self, a: Any, b: Any) -> Any:
        """The smaller of two numbers."""
        return self.builder.select(self.builder.icmp_unsigned("<", a, b), a, b)

    def block(self, name: str) -> Any:
        """A place to jump to, with nothing in it yet."""
        return self.builder.append_basic_block(name)

    def go(self, block: Any) -> None:
        """Jump to a block, and write there."""
        self.builder.branch(block)
        self.builder.position_at_end(block)

    def unless(self, condition: Any, target: Any) -> None:
        """Go on where the condition holds; else jump to the target."""
        rest = self.block("rest")
        self.builder.cbranch(condition, rest, target)
        self.builder.position_at_end(rest)

    def loop(self, first: Any, stop: Any, body: Callable[[Any, Any], None]) -> None:
        """body(i, next) for first <= i < stop; it may jump to the block `next`."""
        index = self.builder.alloca(INT)
        self.builder.store(first, index)
        head, further, end = self.block("head"), self.block("next"), self.block("end")
        self.go(head)
        i = self.builder.load(index)
        self.unless(self.builder.icmp_unsigned("<", i, stop), end)
        body(i, further)
        self.go(further)
        self.builder.store(self.builder.add(self.builder.load(index), self.number(1)), index)
        self.builder.branch(head)
        self.builder.position_at_end(end)
