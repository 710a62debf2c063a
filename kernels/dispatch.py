"""Functions that become kernels: when each is compiled, as a part or as a whole of `linking`."""

import contextlib
import functools
import gc
from collections.abc import Iterator
from typing import Any

from numba import types
from numba.core import compiler, event, sigutils
from numba.core.caching import NullCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher, cpu_target

from kernels import shortcuts
from kernels.linking import Part, Whole


class _Pipeline(compiler.Compiler):
    library: type[JITCodeLibrary]

    def compile_extra(self, func: Any) -> Any:
        codegen = self.state.targetctx.codegen()
        self.state.library = self.library(codegen, func.__qualname__)
        self.state.library.enable_object_caching()
        return super().compile_extra(func)

    def define_pipelines(self) -> list[Any]:
        return [shortcuts.needed_passes(*super().define_pipelines())]


class _PartPipeline(_Pipeline):
    library = Part

    def compile_extra(self, func: Any) -> Any:
        self.state.flags.no_cpython_wrapper = True
        return super().compile_extra(func)


class WholePipeline(_Pipeline):
    """How Numba makes a whole."""

    library = Whole


_is_compiling = False  # known to who holds Numba's compiler lock


@contextlib.contextmanager
def compiling() -> Iterator[None]:
    """While a whole is made: whatever else is made is a part, and nothing is done about garbage.

    The compiler's objects are many and live long; looking through them took a tenth of the time.
    """
    global _is_compiling
    context: Any = cpu_target.target_context
    codegen = context.codegen()

    def create_wrapper(library: Any, *arguments: Any, **options: Any) -> None:
        if not isinstance(library, Part):  # the body of a loop: Python does not call it
            type(context).create_cpython_wrapper(context, library, *arguments, **options)

    with global_compiler_lock, shortcuts.taken(context):
        _is_compiling, collects = True, gc.isenabled()
        codegen.create_library = functools.partial(Part, codegen)
        context.create_cpython_wrapper = create_wrapper
        gc.disable()
        try:
            yield
        finally:
            if collects:
                gc.enable()
            del codegen.create_library, context.create_cpython_wrapper
            _is_compiling = False


def makes_wholes(compiler: Any) -> None:
    """Have one of Numba's compilers make wholes; it is not asked for what is found on the disk."""
    compile = compiler.compile

    def compile_whole(*arguments: Any) -> Any:
        with compiling():
            return compile(*arguments)

    compiler.compile = compile_whole


def _plain(kind: Any) -> Any:
    """The type as which a part takes an argument: a number of which Numba knows which it is, or an
    index of `prange`, which has no sign, comes as any whole number; so does it in a tuple.

    A call with a 0 in its text would be compiled apart from one with a variable there: a tenth of
    all that a first start compiles, for code that was no faster.
    """
    if type(kind) in (types.Tuple, types.UniTuple):
        return types.BaseTuple.from_types([_plain(each) for each in kind])
    is_constant = isinstance(kind, types.IntegerLiteral | types.BooleanLiteral)
    kind = types.unliteral(kind) if is_constant else kind
    return types.int64 if kind == types.uint64 else kind


class Kernel(CPUDispatcher):
    """A compiled function."""

    pipeline: type[_Pipeline]
    targetctx: Any
    _cache: Any
    _cache_hits: Any
    _insert: Any

    def __init__(self, py_func: Any, locals: Any = None, targetoptions: Any = None) -> None:
        options = {"nopython": True, "boundscheck": None, **(targetoptions or {})}
        super().__init__(py_func, locals or {}, options, self.pipeline)

    @property
    def wholes_cache(self) -> Any:
        """Where the code that Python calls is kept."""
        return self._cache


class Parallel(Kernel):
    """A loop over threads, which only Python calls."""

    pipeline = WholePipeline
    _compiler: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        makes_wholes(self._compiler)

    def compile(self, sig: Any) -> Any:
        """Compile for these arguments, if that is not done."""
        with global_compiler_lock:
            if _is_compiling:
                raise TypeError(f"{self.py_func.__name__} is parallel: no kernel can call it")
            return super().compile(sig)


class Serial(Kernel):
    """A function that compiled code calls, as a part, or Python, as a whole.

    Attributes
    ----------
    wholes : dict
        The code that Python calls, by the types of its arguments; `overloads` are the parts.
    """

    pipeline = _PartPipeline

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.wholes: dict[Any, Any] = {}
        self._wholes_cache: Any = NullCache()

    @property
    def wholes_cache(self) -> Any:
        """Where the code that Python calls is kept."""
        return self._wholes_cache

    @wholes_cache.setter
    def wholes_cache(self, cache: Any) -> None:
        self._wholes_cache = cache

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """The parts, and the types as which a call is given to one of them.

        Numba would rather have an index without a sign as a float64 than as an int64.
        """
        named = {name: _plain(kind) for name, kind in kws.items()}
        return super().get_call_template(tuple(map(_plain, args)), named)

    def add_overload(self, cres: Any) -> None:
        """Remember a part, which Python cannot call."""
        self.overloads[tuple(cres.signature.args)] = cres

    def compile(self, sig: Any) -> Any:
        """Compile for these arguments, if that is not done: what is called says as what."""
        with global_compiler_lock:
            if _is_compiling:
                return super().compile(sig)
            kinds, _ = sigutils.normalize_signature(sig)
            if kinds not in self.wholes:
                whole = self._wholes_cache.load_overload(sig, self.targetctx)
                if whole is None:
                    whole = self._make_whole(sig, kinds)
                    self._wholes_cache.save_overload(sig, whole)
                else:
                    self._cache_hits[sig] += 1
                self._insert([kind._code for kind in kinds], whole.entry_point, False)
                self.wholes[kinds] = whole
            return self.wholes[kinds].entry_point

    def _make_whole(self, sig: Any, kinds: tuple[Any, ...]) -> Any:
        context = self.targetctx
        about = {"dispatcher": self, "args": kinds, "return_type": None}
        with event.trigger_event("numba:compile", data=about), compiling():
            super().compile(sig)
            part = self.overloads[kinds]
            library = Whole(context.codegen(), part.library.name)
            library.enable_object_caching()
            context.create_cpython_wrapper(
                library, part.fndesc, part.environment, part.call_helper, release_gil=True
            )
            library.add_linking_library(part.library)
            entry = context.get_executable(library, part.fndesc, part.environment)
            return part._replace(library=library, entry_point=entry)
