"""The one place where Numba's options, the vector width and the threads are decided.

Every kernel is compiled by one of two decorators: ``@serial`` for what one thread does with its
share of the work, ``@parallel`` for the loop that hands out the shares. Neither uses fast-math:
where a fused multiply-add is wanted the kernel says so (`simd.fma`), so that a sum has one order
and one rounding whichever compiler version and whichever fusion of kernels computes it.
"""

import ast
import functools
import hashlib
import inspect
import os
import platform
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import llvmlite.ir as ir
import numba
import numpy as np
from numba.core.registry import cpu_target

from kernels import compiling, dispatch, linking, workspace
from kernels.cache import Kept, KernelCache, Store
from kernels.cores import uses_sve, usual_threads
from kernels.partner import Partner
from kernels.threads import launch, load_tbb, threads_advice

# Elements of room behind an array into which whole vectors are written: the widest vector's.
SLACK = 16

_OPTIONS = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": False,
    # No counting of references: kernels are given all memory. Counting an array that is handed on
    # in an inner loop took longer than the arithmetic there.
    "_nrt": False,
    "no_cfunc_wrapper": True,  # an entry for callers in C: none calls, and each is compiled
}
# Only prange is wanted of Numba's automatic parallelism: the rest costs compile time and may
# reorder sums.
_PRANGE_ONLY: Any = {
    "prange": True,
    "fusion": False,
    "reduction": False,
    "comprehension": False,
    "inplace_binop": False,
    "setitem": False,
    "stencil": False,
    "numpy": False,
}


if numba.config.DISABLE_JIT:  # type: ignore
    raise ImportError(
        "fastcnn cannot run with NUMBA_DISABLE_JIT set: what all backends share (activations, "
        "normalisation, losses, optimizers) uses vector instructions, which only compiled code "
        "has; unset it, and look at kernels.loop for the arithmetic in plain Python"
    )


def source_checksum(package: Path) -> str:
    """Checksum of all source files of a package, those in its folders included; "" of none.

    None are found where only compiled Python files were installed, or an archive.
    """
    checksum = hashlib.blake2b(digest_size=8)
    files = sorted((file.relative_to(package).as_posix(), file) for file in package.rglob("*.py"))
    for name, file in files:
        content = file.read_bytes()
        checksum.update(f"{name} {len(content)} ".encode() + content)
    return checksum.hexdigest() if files else ""


def _context() -> Any:
    return cpu_target.target_context


_SOURCES = source_checksum(Path(__file__).parent)
# What compiled code depends on besides its own source. The processor is the one for which vector
# widths are chosen, also if someone changes Numba's environment variables later.
_PROCESSOR = _context().codegen().magic_tuple()
_ORIGIN = (_SOURCES, numba.__version__, llvmlite.__version__, _PROCESSOR)
if uses_sve(platform.machine(), _PROCESSOR[2]):
    warnings.warn(
        "Numba compiles for SVE, where llvmlite 0.50 and older give wrong results in silence; "
        "import fastcnn before numba, or set NUMBA_CPU_FEATURES=-sve",
        RuntimeWarning,
        stacklevel=2,
    )


def _kept(function: Callable[..., Any], library: Any, kind: str) -> KernelCache:
    rebuild = functools.partial(linking.rebuild, library)
    return KernelCache(function, _store, _ORIGIN, rebuild, kind)


def kept_whole(function: Callable[..., Any]) -> KernelCache:
    """Where a function's compiled code is kept, until any file of this package changes.

    Numba by itself looks at the file of the function, not at the files whose functions are
    compiled into it, and would go on using yesterday's code after an upgrade.
    """
    return _kept(function, linking.Whole, "whole")


def serial(function: Callable[..., Any], is_inlined: bool = False) -> Any:
    """Compile what one thread does."""
    options = {"forceinline": is_inlined, **_OPTIONS}
    compiled = dispatch.Serial(function, targetoptions=options)
    compiled._cache = _kept(function, linking.Part, "part")
    compiled.wholes_cache = kept_whole(function)
    if _calls is not None and not _gives_result(function):
        return _Listed(compiled)
    return compiled


def inlined(function: Callable[..., Any]) -> Any:
    """The same of a function that is compiled into its callers, however long it is.

    For what an inner loop calls with arrays, or with more vectors to and fro than registers hold:
    these would go through memory, which Numba fills with zeros before each call.
    """
    return serial(function, is_inlined=True)


def parallel(function: Callable[..., Any]) -> Any:
    """Compile a loop with `prange`."""
    compiled = dispatch.Parallel(function, targetoptions={"parallel": _PRANGE_ONLY, **_OPTIONS})
    compiled._cache = kept_whole(function)
    return _launcher(compiled)


# Under the threading layer "workqueue" Numba ends the process when two Python threads are in
# parallel kernels at the same time; there they take turns. A signal handler may come between.
_turn = threading.RLock()


def _forget_turn() -> None:
    global _turn
    _turn = threading.RLock()


if hasattr(os, "register_at_fork"):  # another thread, which the child has not, may have had it
    os.register_at_fork(after_in_child=_forget_turn)
# While calls are collected: (kernel, argument types) of each, in order.
_calls: list[tuple[Any, tuple[Any, ...]]] | None = None


def _launcher(compiled: Any) -> Any:
    """What is called to run a parallel kernel: the compiled function itself, if it may be."""
    if _calls is not None:
        return _Listed(compiled)
    if threading_layer() != "workqueue":
        return compiled

    @functools.wraps(compiled)
    def take_turns(*arguments: Any) -> None:
        with _turn:
            compiled(*arguments)

    return take_turns


class _Listed:
    """A kernel that is not run: called from Python it is listed, other kernels compile it in."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._numba_type_ = compiled._type

    def __call__(self, *arguments: Any) -> None:
        types = tuple(map(self._compiled.typeof_pyval, arguments))
        collect_calls().append((self._compiled, types))


def _gives_result(function: Callable[..., Any]) -> bool:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return any(isinstance(node, ast.Return) and node.value for node in ast.walk(tree))


def collect_calls() -> list[tuple[Any, tuple[Any, ...]]]:
    """From now on kernels are not run but listed, with the types of their arguments.

    For a process that compiles on behalf of another; to be called before the modules that define
    kernels are imported. What the kernels would write is zero; those that give a number are run.
    """
    global _calls
    if _calls is None:
        _calls = []
        workspace.allocate = np.zeros
    return _calls


def is_collecting() -> bool:
    """Whether `collect_calls` has been called."""
    return _calls is not None


def is_kept(compiled: Any, argument_types: tuple[Any, ...]) -> bool:
    """Whether there seems to be code of a kernel for these arguments on the disk."""
    return compiled.wholes_cache.is_kept(argument_types, _context())


def keeps_code() -> bool:
    """Whether compiled code is written to a folder, where another process finds it."""
    return _store.writable is not None


def compile_beside(partner: Partner | None) -> None:
    """Compile nothing that another process is compiling; None: nobody is any more."""
    _store.join(partner)


# --- what Numba compiles for ------------------------------------------------------------------


class Target:
    """Vector registers of the processor that Numba compiles for.

    Attributes
    ----------
    register_bytes : int
        Width of a vector register: 64 (AVX-512), 32 (AVX2) or 16 (NEON, SSE).
    has_fma : bool
        Whether a fused multiply-add is one instruction.
    tile_rows, tile_vectors : int
        Largest register tile: rows * vectors accumulators, `vectors` operands and one broadcast
        must fit into the registers.
    stores_pieces : bool
        Whether a vector's first lanes are stored as pieces of 4, 2 and 1 of them. AVX2's masked
        stores take 18 to 40 cycles on AMD's Zen 3, where pieces made a step of lenet5 1.2 to 1.3
        times faster; where masked stores are quick (AVX2 code on Zen 5) nothing was lost.
    """

    def __init__(self, register_bytes: int, has_fma: bool, registers: int) -> None:
        self.register_bytes = register_bytes
        self.has_fma = has_fma
        self.tile_vectors = 2
        spare = self.tile_vectors + (1 if has_fma else 2)  # without FMA the product needs one too
        self.tile_rows = (registers - spare) // self.tile_vectors
        self.stores_pieces = register_bytes == 32


def _probe_assembly(triple: str, cpu: str, features: str) -> str:
    """Assembly of one 16-float fused multiply-add on the target."""
    vector = ir.VectorType(ir.FloatType(), 16)
    pointer = vector.as_pointer()
    module = ir.Module()
    module.triple = triple
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer] * 3), "probe")
    builder = ir.IRBuilder(function.append_basic_block())
    a, b, c = (builder.load(argument, align=4) for argument in function.args)
    fma = ir.Function(module, ir.FunctionType(vector, [vector] * 3), "llvm.fma.v16f32")
    builder.store(builder.call(fma, [a, b, c]), function.args[2], align=4)
    builder.ret_void()
    machine = llvm.Target.from_triple(triple).create_target_machine(
        cpu=cpu, features=features, opt=2
    )
    parsed = llvm.parse_assembly(str(module))
    return machine.emit_assembly(parsed)


@functools.cache
def target() -> Target:
    """The processor that Numba compiles for."""
    kept = Kept(_store, "probe", _ORIGIN)
    assembly = kept.read()
    if assembly is None:
        assembly = _probe_assembly(*_PROCESSOR).encode()
        kept.write(assembly)
    return _target_from(assembly.decode(), _PROCESSOR[0])


@functools.cache
def target_of(triple: str, cpu: str, features: str) -> Target:
    """Find out what a processor has by looking at what the compiler emits for it.

    ``NUMBA_CPU_NAME`` and ``NUMBA_CPU_FEATURES`` may name another processor than the host, and a
    processor's name implies features that no interface lists; the compiler's own output is the
    one reliable answer.
    """
    return _target_from(_probe_assembly(triple, cpu, features), triple)


def _target_from(assembly: str, triple: str) -> Target:
    is_x86 = triple.startswith(("x86_64", "i686"))
    if not is_x86:
        # Four of NEON's 32 registers are left alone: with 14 rows instead of 12, LLVM's inner loop
        # for Neoverse N1 has 9 stack accesses and 40 moves.
        return Target(register_bytes=16, has_fma=True, registers=28)
    has_fma = "vfmadd" in assembly
    if "zmm" in assembly:
        return Target(register_bytes=64, has_fma=has_fma, registers=32)
    if "ymm" in assembly:
        return Target(register_bytes=32, has_fma=has_fma, registers=16)
    return Target(register_bytes=16, has_fma=has_fma, registers=16)


# --- threads ----------------------------------------------------------------------------------


class _Thread(threading.local):
    """Lets a Python thread begin with as many threads as the main one has; Numba would take all."""

    usual = 1

    def __init__(self) -> None:
        numba.set_num_threads(_Thread.usual)
        self.begun = True


def _prepare_threads() -> None:
    """Choose the threading layer and the number of threads before the first parallel call."""
    if not load_tbb():
        # A spinning OpenMP team stalls beside any busy process; a waiting one does not.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if "NUMBA_THREADING_LAYER_PRIORITY" not in os.environ:
        numba.config.THREADING_LAYER_PRIORITY = ["tbb", "omp", "workqueue"]  # type: ignore
    global _thread, _crew
    _Thread.usual = min(usual_threads(), max_threads())
    _thread = _Thread()
    _crew = launch(Kept(_store, "crew", _ORIGIN))
    if _crew:
        _crew.enlist(_Thread.usual - 1)
    workspace.greet = lambda: _thread.begun  # who asks for memory is about to call kernels
    if threading_layer() == "workqueue":
        warnings.warn(
            "Numba runs without TBB and OpenMP: small networks train more slowly, and the kernels "
            "of several Python threads take turns; "
            f"{threads_advice(sys.platform, platform.machine())}",
            RuntimeWarning,
            stacklevel=2,
        )


# Inside a prange loop, the number of the thread that runs the iteration: below `max_threads()`.
thread_id: Callable[[], int] = numba.get_thread_id  # type: ignore


def set_threads(threads: int) -> None:
    """Let this Python thread's kernels use ``threads`` threads.

    In the main thread this holds for those of threads that begin later, too.

    Raises
    ------
    ValueError
        If ``threads`` is below 1 or above the largest number Numba was started with.
    """
    most = max_threads()
    is_whole = isinstance(threads, (int, np.integer)) and not isinstance(threads, bool)
    if not is_whole or not 1 <= threads <= most:
        raise ValueError(
            f"threads must be a whole number from 1 to {most}, got {threads!r}; start Python "
            f"with NUMBA_NUM_THREADS set to allow more"
        )
    if _thread.begun and threading.current_thread() is threading.main_thread():
        _Thread.usual = threads
    numba.set_num_threads(threads)
    if _crew:
        _crew.enlist(threads - 1)


def max_threads() -> int:
    """The largest number of threads that `set_threads` accepts."""
    return int(numba.config.NUMBA_NUM_THREADS)  # type: ignore


def get_threads() -> int:
    """Number of threads that this Python thread's kernels use."""
    return int(_thread.begun and numba.get_num_threads())


def threading_layer() -> str:
    """Name of the threading layer in use: "crew", "tbb", "omp" or "workqueue"."""
    return "crew" if _crew else numba.threading_layer()  # type: ignore


_store = Store(_SOURCES and f"{_SOURCES}-{numba.__version__}")
_prepare_threads()
compiling.watch(_store.lasts)
