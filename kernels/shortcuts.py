"""What Numba does again and again while it compiles, or for nothing, left out.

More than half of the time in which kernels are compiled is Numba's own Python, and much of that is
a question asked before (which ``+`` adds two int64, how many bytes a pair of floats has), or a look
for something that no kernel has. The code that comes out is the same, instruction by instruction.
"""

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core.compiler_machinery import PassManager

# Passes that look for expressions of whole arrays, functions within functions, ``with`` blocks,
# functions to be inlined while they are Python, and parallel loops to be joined. A kernel that had
# one of the first would be refused. Each pass looks at every variable of every function. The last
# says where each variable ends, for a counting of references that kernels do without (`jit`).
_NEEDLESS = (
    "NopythonRewrites",
    "InlineClosureLikes",
    "WithLifting",
    "InlineInlinables",
    "ParforFusionPass",
    "IRLegalization",
)

_signatures: dict[tuple[int, ...], tuple[Any, Any]] = {}
_sizes: dict[str, int] = {}


def needed_passes(usual: PassManager) -> PassManager:
    """Numba's passes, without those that would find nothing to do."""
    manager = PassManager(usual.pipeline_name)
    for kind, what in usual.passes:
        if kind.__name__ not in _NEEDLESS:
            manager.add_pass(kind, what)
    manager.finalize()
    return manager


def refresh(context: Any) -> None:
    """Have Numba look for new functions; the first time it imports all modules that have some.

    One of them imports SciPy, to know whether it is there for products of matrices: half of the
    time that this takes. Where it would be found is answer enough; those who compile such a product
    import it then.
    """
    if "numba.np.arraymath" not in sys.modules:
        linalg: Any = importlib.import_module("numba.np.linalg")
        importing, linalg.ensure_blas = linalg.ensure_blas, _find_scipy
        try:
            arraymath: Any = importlib.import_module("numba.np.arraymath")
            arraymath.ensure_blas = importing
        finally:
            linalg.ensure_blas = importing
    context.refresh()


def _find_scipy() -> None:
    if importlib.util.find_spec("scipy") is None:
        raise ImportError("SciPy is not installed")


@contextlib.contextmanager
def taken(context: Any) -> Iterator[None]:
    """A with block in which Numba compiles kernels, in its compiler lock."""
    refresh(context)  # Numba's runtime must be in memory, too
    typing = context.typing_context
    lock: Any = getattr(llvm.ffi.lib, "_lock", None)
    told = getattr(lock, "_cblist", None)
    kind: Any = types.Function
    kind.get_call_type = _remembered_calls(typing)
    context.get_abi_sizeof = _remembered_sizes(context)
    context.load_additional_registries = _known_registries(context)
    if told:
        lock._cblist = []  # else tens of thousands of calls of LLVM are announced, to nobody
    try:
        yield
    finally:
        if told:
            lock._cblist = told
        del kind.get_call_type, context.get_abi_sizeof, context.load_additional_registries


def _remembered_calls(typing: Any) -> Callable[..., Any]:
    """What an operator, or a function that Numba knows, returns for some types of arguments.

    Asked anew, Numba tries its dozens of rules for a ``+`` or an ``x[i]`` one by one, and it asks
    when it finds the types of variables and when it translates. Who adds a rule makes a new type of
    that function, to which nothing here belongs.
    """
    find = types.Function.get_call_type

    def get_call_type(function: Any, context: Any, arguments: Any, named: Any) -> Any:
        if named or context is not typing:
            return find(function, context, arguments, named)
        kinds: tuple[Any, ...] = (function, *arguments)
        key = tuple(kind._code for kind in kinds)
        if key not in _signatures:
            signature = find(function, context, arguments, named)
            _signatures[key] = signature, kinds  # no type that lives loses its code
        return _signatures[key][0]

    return get_call_type


def _remembered_sizes(context: Any) -> Callable[[Any], int]:
    """How many bytes a type has: LLVM is given a program to read, each time, to tell that."""
    measure = type(context).get_abi_sizeof

    def get_abi_sizeof(kind: Any) -> int:
        if isinstance(kind, ir.IdentifiedStructType):  # of which the text is but a name
            return measure(context, kind)
        text = str(kind)
        if text not in _sizes:
            _sizes[text] = measure(context, kind)
        return _sizes[text]

    return get_abi_sizeof


def _known_registries(context: Any) -> Callable[[], None]:
    """Read on in Numba's lists of functions, without importing the modules that have some again."""

    def load_additional_registries() -> None:
        for registry in tuple(context._registries):
            context.install_registry(registry)

    return load_additional_registries
