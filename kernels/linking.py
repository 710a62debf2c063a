"""How compiled functions become machine code: each kernel once, with all that it calls.

Numba optimises every function and makes machine code of it, then links it into whatever calls it,
where it is optimised and made again: a function inside a parallel loop five times over. Here a
function that is called by compiled code is a *part*, and so are a parallel loop's body and what
Numba puts around it: it stays as it was translated. What Python calls is a *whole*: its parts are
linked into it, each once, and only then LLVM's passes for whole modules go to work. Those for each
function stay: without them, steps of `cifar-mlp` were 5 % slower.
"""

import functools
import itertools
import os
from collections.abc import Iterable, MutableMapping
from typing import Any
from weakref import WeakValueDictionary

import llvmlite.binding as llvm
from numba.core import bytecode, compiler
from numba.core.codegen import JITCodeLibrary
from numba.core.environment import lookup_environment
from numba.core.registry import cpu_target
from numba.core.runtime import _nrt_python  # type: ignore

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
    function_level = 3  # at 2, steps of `resnet20` were 3 % slower

    def _optimize_functions(self, ll_module: Any) -> None:
        # Numba does it to functions that are only declared, too, and there are more of those.
        builder = _pass_builder(self._codegen, self.function_level)
        if builder is None:
            super()._optimize_functions(ll_module)
            return
        passes = builder.getFunctionPassManager()
        ll_module.data_layout = self._codegen._data_layout
        for function in ll_module.functions:
            if not function.is_declaration:
                passes.run(function, builder)


def _pass_builder(codegen: Any, level: int) -> Any:
    """How LLVM optimises; None where Numba (up to 0.61) has its older passes.

    What is hot is written unrolled: more of that, and level 3 for wholes but for its inlining
    (250), took an eighth of a first start's compiling.
    """
    if not hasattr(codegen, "_pass_builder"):
        return None
    options = llvm.create_pipeline_tuning_options(speed_level=level)
    options.loop_unrolling, options.inlining_threshold = False, 250
    return llvm.create_pass_builder(codegen._tm, options)


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
        # Once; Numba does it again for reference counts.
        builder = _pass_builder(self._codegen, level=2)
        if builder is None:
            super()._optimize_final_module()
        else:
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
        """What is kept on the disk: machine code, the names in it, and those that it calls.

        Nothing links a whole.
        """
        module = self._final_module
        named = [*module.functions, *module.global_variables]
        symbols = [symbol.name for symbol in named if not symbol.is_declaration]
        called = [each.name for each in named if each.is_declaration]
        return self.name, self._get_compiled_object(), symbols, called

    @classmethod
    def _unserialize(cls, codegen: Any, state: tuple[Any, ...]) -> "Whole":
        name, code, symbols, called = state
        _provide(called)
        self = cls(codegen, name)
        self.enable_object_caching()
        self._set_compiled_object(code)
        self._finalize_final_module()
        codegen._engine._defined_symbols.update(symbols)
        return self


def _provide(called: list[str]) -> None:
    """Have LLVM know what code from the disk calls: where it does not, it ends the process.

    All that kernels call is there once Numba is imported, but for its allocator, which errors are
    told with. For anything else Numba is made ready to compile: that takes 0.2 s and 20 MB.
    """
    for name in called:
        if name.startswith("llvm.") or llvm.address_of_symbol(name) is not None:
            continue
        helper = _nrt_python.c_helpers.get(name.removeprefix("NRT_"))
        if helper is None:
            shortcuts.refresh(cpu_target.target_context)
            return
        llvm.add_symbol(name, helper)


def rebuild(library: type[JITCodeLibrary], target_context: Any, *content: Any) -> Any:
    """Compiled code from what was kept of it."""
    codegen = target_context.codegen()
    codegen.unserialize_library = functools.partial(library._unserialize, codegen)
    try:
        return compiler.CompileResult._rebuild(target_context, *content)
    finally:
        del codegen.unserialize_library
