"""The threads of this process, and putting them into Numba's place."""

import ctypes
import os
import platform
import signal
import sys
import threading

import llvmlite.binding as llvm

from kernels.cache import Kept
from kernels.threads.code import LINE
from kernels.threads.loops import (
    ABSENCE,
    MOST_MEMBERS,
    NUMBERS,
    SEMAPHORES,
    SIZE,
    SPIN,
    write_module,
)

SPIN_NS = 300_000
"""How long a member waits at the ready before it sleeps, in ns: a step's Python between loops."""
ABSENCE_NS = 1_000_000
"""Who was without a core for longer, and a quarter of the time, was not just interrupted; ns."""


class Crew:
    """The threads of this process, and the memory that they share.

    kept : where their code is, from the second start on: making it takes LLVM 40 ms and 20 MB
    """

    def __init__(self, kept: Kept) -> None:
        triple = llvm.get_process_triple()
        module = llvm.parse_assembly(write_module(triple))
        machine = llvm.Target.from_triple(triple).create_target_machine(opt=2)
        engine = llvm.create_mcjit_compiler(module, machine)
        engine.set_object_cache(lambda _, code: kept.write(code), lambda _: kept.read())
        engine.finalize_object()
        self._address = {
            name: engine.get_function_address(name)
            for name in ("parallel_for", "thread_id", "member")
        }
        memory = engine.get_global_value_address("memory")
        self._memory = (ctypes.c_int64 * NUMBERS).from_address(memory)
        engine.detach()  # members run until the process ends, after Python has tidied up
        self._library = ctypes.CDLL(None)
        self._enlisting = threading.Lock()
        self._memory[SPIN], self._memory[ABSENCE] = SPIN_NS, ABSENCE_NS
        llvm.add_symbol("numba_parallel_for", self._address["parallel_for"])
        llvm.add_symbol("get_thread_id", self._address["thread_id"])
        os.register_at_fork(after_in_child=self._begin_anew)

    @property
    def size(self) -> int:
        """Threads besides the one that begins a loop."""
        return self._memory[SIZE]

    def enlist(self, size: int) -> None:
        """Have at least so many threads, if the system gives them."""
        if self.size >= size:
            return
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            with self._enlisting:
                while self.size < min(size, MOST_MEMBERS) and self._start(self.size):
                    pass
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def _start(self, member: int) -> bool:
        semaphore = ctypes.addressof(self._memory) + 8 * (SEMAPHORES + member * LINE)
        self._library.sem_init(ctypes.c_void_p(semaphore), 0, 0)
        thread, function = ctypes.c_ulong(), ctypes.c_void_p(self._address["member"])
        argument = ctypes.c_void_p(member)
        if self._library.pthread_create(ctypes.byref(thread), None, function, argument):
            return False
        self._memory[SIZE] = member + 1
        return True

    def _begin_anew(self) -> None:
        """In a child process, which has none of the threads: start as many."""
        self._enlisting = threading.Lock()
        size, spin, absence = self.size, self._memory[SPIN], self._memory[ABSENCE]
        ctypes.memset(self._memory, 0, ctypes.sizeof(self._memory))
        self._memory[SPIN], self._memory[ABSENCE] = spin, absence
        self.enlist(size)


def launch(kept: Kept) -> Crew | None:
    """The crew, where there can be one and nobody asks for another threading layer.

    kept : for its code
    Numba has to have launched its own threads, and no kernel may have been compiled.
    """
    known = platform.machine().lower() in ("x86_64", "amd64", "aarch64", "arm64")
    if sys.platform != "linux" or sys.maxsize < 1 << 32 or not known:
        return None
    return None if "NUMBA_THREADING_LAYER" in os.environ else Crew(kept)
