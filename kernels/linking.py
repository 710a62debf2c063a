"""How compiled functions become machine code: each kernel once, with all that it calls.

Numba optimises every function and makes machine code of it, then links it into whatever calls it,
where it is optimised and made again: a function inside a parallel loop five times over. Here a
function that is called by compiled code is a *part*, and so are a parallel loop's body and what
Numba puts around it: it stays as it was translated. What Python calls is a *whole*: its parts are
linked into it, each once, and only then LLVM's passes for whole modules go to work. Those for each
function stay: without them, steps of `cifar-mlp` were 5 % slower.
"""

import contextlib
import functools
import gc
import itertools
import os
from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any
from weakref import WeakValueDictionary

import llvmlite.binding as llvm
from numba import types
from numba.core import bytecode, compiler, event, sigutils
from numba.core.caching import NullCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.environment import lookup_environment
from numba.core.registry import CPUDispatcher, cpu_target

from kernels import shortcuts

_ENVIRONMENT = "_ZN08NumbaEnv"

# Numba counts functions from 1 in every process, and that count is all that tells the symbols of
# functions apart that are called alike, such as the many `<lambda>` of `simd`. Parts that several
# processes made and kept are linked into one whole, where of two symbols with one name LLVM takes
# either: additions became products. So each process counts from a number of its own.
bytecode.FunctionIdentity._unique_ids = itertools.count(int.from_bytes(os.urandom(6), "big"))

_read_parts: MutableMapping[str, "Part"] = WeakValueDictionary()  # from the disk, by their symbols


class _Library(JITCodeLibrary):
    _codegen: Any
    _linking_libraries: list[Any]

    def _optimize_functions(self, ll_module: Any) -> None:
        # Numba does it to functions that are only declared, too, and there are more of those.
        try:
            passes, builder = self._codegen._function_pass_manager()
        except TypeError:  # as it was up to Numba 0.61
            super()._optimize_functions(ll_module)
            return
        ll_module.data_layout = self._codegen._data_layout
        for function in ll_module.functions:
            if not function.is_declaration:
                passes.run(function, builder)


class Part(_Library):
    """Code that is there to be linked into a whole.

    A part has its own code only, and knows which others it needs: so a function that many call
    comes into a whole once.
    """

    def __init__(self, codegen: Any, name: str) -> None:
        super().__init__(codegen, name)
        self.needed: list[JITCodeLibrary] = []

    def finalize(self) -> None:
        """Link nothing."""
        self.needed, self._linking_libraries = list(dict.fromkeys(self._linking_libraries)), []
        super().finalize()
        for function in self._final_module.functions:
            if not function.is_declaration and function.linkage == llvm.Linkage.external:
                function.linkage = "linkonce_odr"
        _take_what_is_reloaded(self, self.needed)

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        for library in self.needed:
            self._dynamic_globals += library._dynamic_globals
        self._finalized = True

    def _get_module_for_linking(self) -> Any:
        """With all that it needs, for a library of Numba's own."""
        if self._shared_module is None:
            self._shared_module = self._final_module.clone()
            _link(self._shared_module, self.needed)
        return self._shared_module

    def get_pointer_to_function(self, name: str) -> int:
        """0, which is what Numba says of a function that has no machine code."""
        self._ensure_finalized()
        return 0

    @property
    def codegen(self) -> Any:
        """Numba's, which here cannot set variables of code that is not in memory."""
        return _WithoutVariables(self._codegen)

    def serialize_using_object_code(self) -> tuple[Any, ...]:
        """What is kept on the disk: itself and all that it needs, each part once."""
        libraries = _with_needed([self])
        number = {library: k for k, library in enumerate(libraries)}
        return tuple(
            (each.name, _module_of(each).as_bitcode(), [number[other] for other in _needed(each)])
            for each in libraries
        )

    @classmethod
    def _unserialize(cls, codegen: Any, state: tuple[Any, ...]) -> "Part":
        parts: dict[int, Part] = {}
        for k, (name, bitcode, needed) in reversed([*enumerate(state)]):
            module = llvm.parse_bitcode(bitcode)
            symbols = " ".join(f.name for f in module.functions if not f.is_declaration)
            part = _read_parts.get(symbols)
            if part is None:
                part = _read_parts[symbols] = cls(codegen, name)
                part._final_module = module
                part.needed = [parts[other] for other in needed]
                part._finalize_final_module()
            parts[k] = part
        return parts[0]


def _take_what_is_reloaded(whole: Any, parts: list[Any]) -> None:
    """What code needs that is loaded from the disk; Numba 0.61 has no such list."""
    for part in parts:
        if hasattr(part, "_reload_init"):
            whole._reload_init.update(part._reload_init)


def _needed(library: Any) -> list[Any]:
    return library.needed if isinstance(library, Part) else []  # Numba's have all in them


def _module_of(library: Any) -> Any:
    return library._final_module if isinstance(library, Part) else library._get_module_for_linking()


def _with_needed(libraries: Iterable[Any]) -> list[Any]:
    """Libraries and all that they need, each once, and before those that it needs.

    LLVM takes a function that may be there twice only if something has asked for it.
    """
    found: dict[Any, None] = {}

    def find(library: Any) -> None:
        if library not in found:
            for other in reversed(_needed(library)):
                find(other)
            found[library] = None

    for library in reversed([*libraries]):
        find(library)
    return [*reversed(found)]


def _link(module: Any, libraries: Iterable[Any]) -> None:
    """Put libraries and all that they need into a module."""
    for library in _with_needed(libraries):
        module.link_in(_module_of(library), preserve=True)


class _WithoutVariables:
    def __init__(self, codegen: Any) -> None:
        self._codegen = codegen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codegen, name)

    def set_env(self, name: str, environment: Any) -> None:
        pass


class Whole(_Library):
    """Code that Python calls, with all parts in it."""

    def finalize(self) -> None:
        """Link each part once."""
        _take_what_is_reloaded(self, self._linking_libraries)
        _link(self._final_module, self._linking_libraries)
        self._linking_libraries = []
        super().finalize()

    def _optimize_final_module(self) -> None:
        # Once; Numba does it again for reference counts. What is hot is written unrolled: unrolling
        # more, and level 3 but for its inlining (250), took an eighth of a first start's compiling.
        if not hasattr(self._codegen, "_pass_builder"):  # as it was up to Numba 0.61
            return super()._optimize_final_module()
        options = llvm.create_pipeline_tuning_options(speed_level=2)
        options.loop_unrolling, options.inlining_threshold = False, 250
        builder = llvm.create_pass_builder(self._codegen._tm, options)
        builder.getModulePassManager().run(self._final_module, builder)

    def _finalize_specific(self) -> None:
        super()._finalize_specific()
        self.environments = []  # of the parts; kept alive
        for variable in self._final_module.global_variables:
            if variable.name.startswith(_ENVIRONMENT):
                environment = lookup_environment(variable.name)
                if environment is not None:
                    self._codegen.set_env(variable.name, environment)
                    self.environments.append(environment)

    def serialize_using_object_code(self) -> tuple[Any, ...]:
        """What is kept on the disk: machine code, and the names in it. Nothing links a whole."""
        module = self._final_module
        named = [*module.functions, *module.global_variables]
        symbols = [symbol.name for symbol in named if not symbol.is_declaration]
        return self.name, self._get_compiled_object(), symbols

    @classmethod
    def _unserialize(cls, codegen: Any, state: tuple[Any, ...]) -> "Whole":
        name, code, symbols = state
        self = cls(codegen, name)
        self.enable_object_caching()
        self._set_compiled_object(code)
        self._finalize_final_module()
        codegen._engine._defined_symbols.update(symbols)
        return self


def rebuild(library: type[JITCodeLibrary], target_context: Any, *content: Any) -> Any:
    """Compiled code from what was kept of it."""
    codegen = target_context.codegen()
    codegen.unserialize_library = functools.partial(library._unserialize, codegen)
    try:
        return compiler.CompileResult._rebuild(target_context, *content)
    finally:
        del codegen.unserialize_library


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


def _without_constants(kind: Any) -> Any:
    """The type of a number of which Numba knows which it is, or of a tuple of such.

    A call with a 0 in its text would be compiled apart from one with a variable there: a tenth of
    all that a first start compiles, for code that was no faster.
    """
    if type(kind) in (types.Tuple, types.UniTuple):
        return types.BaseTuple.from_types([_without_constants(each) for each in kind])
    is_constant = isinstance(kind, types.IntegerLiteral | types.BooleanLiteral)
    return types.unliteral(kind) if is_constant else kind


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

    def compile(self, sig: Any) -> Any:
        """Compile for these arguments, if that is not done."""
        with global_compiler_lock:
            if _is_compiling:
                raise TypeError(f"{self.py_func.__name__} is parallel: no kernel can call it")
            with compiling():
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

    def add_overload(self, cres: Any) -> None:
        """Remember a part, which Python cannot call."""
        self.overloads[tuple(cres.signature.args)] = cres

    def compile(self, sig: Any) -> Any:
        """Compile for these arguments, if that is not done: what is called says as what."""
        with global_compiler_lock:
            if _is_compiling:
                return super().compile(tuple(map(_without_constants, sig)))
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
