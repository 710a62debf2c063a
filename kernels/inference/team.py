"""Threads that work through a table together, without waiting for one that has not come.

Each item of work is claimed by whoever comes first, and a phase is over when all of its items are
done. So a thread that starts late, or never, costs nothing but its help, and waiting is always for
an item that somebody is at.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils

from kernels import jit
from kernels.simd import element_pointer, intrinsic

_ORDER = "seq_cst"


@intrinsic
def exchange_add(_, counters, place, number):
    """What counters[place] was before the number was added, in one stroke."""
    signature = types.int64(counters, place, number)

    def codegen(context, builder, signature, arguments):
        kind = signature.args[0]
        pointer = element_pointer(context, builder, kind, arguments[0], arguments[1])
        number = context.cast(builder, arguments[2], signature.args[2], types.int64)
        return builder.atomic_rmw("add", pointer, number, _ORDER)

    return signature, codegen


@intrinsic
def read_now(_, counters, place):
    """counters[place], which other threads change."""
    signature = types.int64(counters, place)

    def codegen(context, builder, signature, arguments):
        kind = signature.args[0]
        pointer = element_pointer(context, builder, kind, arguments[0], arguments[1])
        return builder.load_atomic(pointer, "acquire", 8)

    return signature, codegen


@intrinsic
def pause(_):
    """Let the other thread of a core, and the memory, have this moment."""

    def codegen(context, builder, signature, arguments):
        machine = context.codegen().magic_tuple()[0].partition("-")[0]
        if machine in ("x86_64", "i686"):
            kind = ir.FunctionType(ir.VoidType(), [])
            name = "llvm.x86.sse2.pause"
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])
        return context.get_dummy_value()

    return types.void(), codegen


@jit.serial
def claim(counters, place):
    """Whether an item is the caller's, who is the first to ask."""
    if read_now(counters, place) != 0:
        return False
    return exchange_add(counters, place, 1) == 0


@jit.serial
def wait_for(counters, place, number):
    """Until counters[place] is that number."""
    while read_now(counters, place) < number:
        pause()
