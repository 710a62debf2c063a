"""Every public name says what goes in and what goes wrong, and its example runs."""

import ast
import doctest
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from fastcnn.layers import Layer
from fastcnn.losses import Loss
from tests.docs.test_site import SHOWN

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
EXAMPLES = re.compile(r"^Examples\n-{8}\n(?:.*\n)*?>>> ", re.MULTILINE)
# (N, C, H, W); a word will do where any array is taken.
SHAPE = re.compile(r"\((?:[\w.+* ]+,)+[\w.+* ]*\)|any shape|same shape")
# Modules, and names of fastcnn.exchange, that need a package which a check-out may lack.
NEEDS = {
    "fastcnn.estimator": "sklearn",
    "from_keras": "keras",
    "from_torch": "torch",
    "load_onnx": "onnx",  # for its example, which writes a file
    "load_safetensors": "safetensors",
    "save_onnx": "onnx",
    "save_safetensors": "safetensors",
    "to_torch": "torch",
}


def public(module: str) -> dict[str, Any]:
    """The classes and functions that docs/api shows of a module; without a list, its own."""
    found = importlib.import_module(module)
    names = [name.strip() for name in SHOWN[module].split(",") if name.strip()]
    own = [
        name
        for name, thing in vars(found).items()
        if getattr(thing, "__module__", None) == module and thing.__doc__ and name[0] != "_"
    ]
    things = {name: getattr(found, name) for name in names or own}
    return {
        name: thing
        for name, thing in things.items()
        if inspect.isclass(thing) or inspect.isfunction(thing)
    }


def makers(thing: Any) -> list[Any]:
    """The function, or those functions of a class which check what it is made of."""
    if not inspect.isclass(thing):
        return [inspect.unwrap(thing)]
    found = [vars(thing)[name] for name in ("__init__", "__post_init__") if name in vars(thing)]
    return [each for each in found if each.__code__.co_filename != "<string>"]  # a dataclass' own


def refuses(function: Any) -> bool:
    """Whether a function raises an error by itself."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    raised = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    return any(each is not None and "NotImplemented" not in ast.unparse(each) for each in raised)


def handles_arrays(thing: Any) -> bool:
    if inspect.isclass(thing):
        return issubclass(thing, Layer | Loss) and thing not in (Layer, Loss)
    signature = inspect.signature(thing)
    kinds = [each.annotation for each in signature.parameters.values()]
    return "ndarray" in str([*kinds, signature.return_annotation])


def lacking(thing: Any) -> list[str]:
    """What a docstring should have and has not."""
    text = inspect.getdoc(thing) or ""
    checks = makers(thing)
    documented = text + "".join(inspect.getdoc(each) or "" for each in checks)
    missing = [] if EXAMPLES.search(text) else ["Examples"]
    if any(map(refuses, checks)) and "Raises\n------" not in documented:
        missing.append("Raises")
    if handles_arrays(thing) and not SHAPE.search(text):
        missing.append("shapes")
    return missing


def run(thing: Any, known: dict[str, Any]) -> tuple[int, str]:
    """How many lines of its examples were run, methods' too, and what went wrong.

    They know NumPy as np and what is given, as in a script that imports what a page shows.
    """
    names = {"np": np, **known, "__name__": "__main__"}
    is_module = inspect.ismodule(thing)
    module = thing if is_module else importlib.import_module(thing.__module__)
    runner, said = doctest.DocTestRunner(verbose=False, optionflags=FLAGS), []
    finder = doctest.DocTestFinder(recurse=not is_module)
    for test in finder.find(thing, thing.__name__, module, names):
        runner.run(test, out=said.append)
    return runner.tries, "".join(said)


def failures(module: str, names: Iterable[str]) -> dict[str, str]:
    """Name -> what went wrong, or that there was nothing to go wrong."""
    known = public(module)
    found = {name: run(known[name], known) for name in names}
    return {
        name: said or "no example" for name, (count, said) in found.items() if said or not count
    }


@pytest.mark.parametrize("module", sorted(SHOWN))
def test_no_docstring_lacks_anything(module):
    if module in NEEDS:
        pytest.importorskip(NEEDS[module])
    found = {name: lacking(thing) for name, thing in public(module).items()}
    assert found
    assert {name: missing for name, missing in found.items() if missing} == {}


@pytest.mark.parametrize("module", sorted(set(SHOWN) - set(NEEDS)))
def test_every_example_runs(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert failures(module, public(module).keys() - set(NEEDS)) == {}
    assert run(importlib.import_module(module), public(module))[1] == ""


@pytest.mark.parametrize("name", sorted(NEEDS))
def test_every_example_with_another_package_runs(name, tmp_path, monkeypatch):
    pytest.importorskip(NEEDS[name])
    monkeypatch.chdir(tmp_path)
    module = name if name in SHOWN else "fastcnn.exchange"
    assert failures(module, public(name) if name in SHOWN else [name]) == {}


@pytest.mark.parametrize("module", sorted(SHOWN))
def test_no_example_is_left_out(module):
    if module in NEEDS:
        pytest.importorskip(NEEDS[module])
    found = public(module).items()
    assert [name for name, thing in found if "+SKIP" in inspect.getsource(thing)] == []


def test_what_is_missing_is_found():
    def bad(x: int) -> int:
        """Twice x, which must not be negative."""
        if x < 0:
            raise ValueError("x must not be negative")
        return 2 * x

    def wrong() -> int:
        """One.

        Examples
        --------
        >>> 1 + 1
        3
        """
        return 1

    assert lacking(bad) == ["Examples", "Raises"]
    assert "Expected:" in run(wrong, {})[1]
