"""The plan of the house: which room may know which.

`docs/architecture.md` draws the same picture.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the roof to the ground. A room may import from the floors below, and within itself.
FLOORS = (
    (
        "fastcnn.__main__",
        "fastcnn.train",
        "fastcnn.predict",
        "fastcnn.evaluate",
        "fastcnn.explain",
        "fastcnn.convert",
        "fastcnn.demo",
        "fastcnn.report",
        "fastcnn.plot",
        "fastcnn.search",
        "fastcnn.compare",
        "fastcnn.check",
        "fastcnn.reproduce",
    ),
    ("fastcnn.commands",),
    ("fastcnn.showing",),
    ("fastcnn.reproduction", "fastcnn.explaining"),
    ("fastcnn.searching", "fastcnn.gallery", "fastcnn.comparing"),
    ("fastcnn.runs",),
    ("fastcnn.config", "fastcnn.estimator"),
    ("fastcnn.models", "fastcnn.plain", "fastcnn.checking", "fastcnn.exchange"),
    ("fastcnn.sequential",),
    ("fastcnn.graph",),
    ("fastcnn.trainable",),
    ("fastcnn.training",),
    ("fastcnn.optim", "fastcnn.inference"),
    ("fastcnn.network",),
    ("fastcnn.layers",),
    ("fastcnn.losses", "fastcnn.backends", "fastcnn.plots", "fastcnn.datasets"),
    ("fastcnn.metrics", "fastcnn.holding"),
    (
        "fastcnn.conversion",
        "fastcnn.files",
        "fastcnn.languages",
        "fastcnn.random",
        "fastcnn.schedules",
        "fastcnn.tasks",
        "fastcnn.terminal",
    ),
    ("fastcnn.foreign",),
    ("fastcnn.checks", "fastcnn"),  # the face of `fastcnn` imports when asked: by name only
    ("fastcnn.signals",),
    ("kernels.compiled", "kernels.inference"),
    ("kernels.conv", "kernels.dense", "kernels.prelu"),
    ("kernels.norm",),
    ("kernels.pool", "kernels.loss", "kernels.im2col"),
    ("kernels.loop",),
    (
        "kernels.activation",
        "kernels.curves",
        "kernels.im2col_spans",
        "kernels.images",
        "kernels.optim",
        "kernels.peak",
        "kernels.resample",
    ),
    ("kernels.tile", "kernels.random_bits"),
    ("kernels.tree",),
    ("kernels.simd", "kernels.shares", "kernels.spans", "kernels.capture"),
    ("kernels.sizes",),
    ("kernels.jit",),
    ("kernels.compiling", "kernels.threads"),
    ("kernels.cache", "kernels.workspace", "kernels"),
    ("kernels.cores", "kernels.partner", "kernels.portion", "kernels.changes", "kernels.shortcuts"),
)

LARGEST_FILE = 400  # lines
MOST_PARAMETERS = (
    10  # of a function in `fastcnn`; constructors and `Sequential.train` may have more
)
MOST_OF_A_KERNEL = 12
WIDE_KERNELS = 10  # which may have more, each with its reason


@cache
def modules() -> dict[str, Path]:
    """Dotted name -> file, of `fastcnn` and `kernels`."""
    found = {}
    for package in ("fastcnn", "kernels"):
        for file in sorted((ROOT / package).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def statements(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """All imports, those inside functions too, but not those for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        yield from statements(node)


def imported(name: str, source: str, known: set[str]) -> set[str]:
    """The modules that a file imports; the faces of their packages run too, and count."""
    is_face = modules().get(name, Path()).name == "__init__.py"
    package = name if is_face else name.rpartition(".")[0]
    found = set()
    for node in statements(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            start = ".".join(base) if node.level else ""
            start = ".".join(filter(None, (start, node.module)))
            names = [f"{start}.{alias.name}" for alias in node.names]
        for target in names:
            while target and target not in known:
                target = target.rpartition(".")[0]
            while target:
                found.add(target)
                target = target.rpartition(".")[0]
    inside = {name, package}
    while package:
        package = package.rpartition(".")[0]
        inside.add(package)
    return found - (inside - {"fastcnn"}) - {name}


@cache
def arrows() -> dict[str, set[str]]:
    """Module -> the modules that it imports."""
    known = set(modules())
    return {name: imported(name, file.read_text(), known) for name, file in modules().items()}


def room(module: str) -> tuple[int, str]:
    """(floor, room) of a module; the roof is floor 0."""
    while module:
        for floor, rooms in enumerate(FLOORS):
            if module in rooms:
                return floor, module
        module = module.rpartition(".")[0]
    raise AssertionError("a room that is not on the plan")


def upward(arrows: dict[str, set[str]]) -> list[str]:
    wrong = []
    for name, targets in arrows.items():
        for target in sorted(targets):
            (floor, here), (below, there) = room(name), room(target)
            if here != there and below <= floor:
                wrong.append(f"{name} imports {target}, which is not on a floor below")
    return wrong


def circle(arrows: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_every_arrow_points_down():
    assert upward(arrows()) == []


def test_there_is_no_circle():
    assert circle(arrows()) == []


@pytest.mark.parametrize(
    ("name", "line", "found"),
    [
        ("kernels.simd.vector", "from fastcnn import checks", True),
        ("kernels.simd.vector", "import kernels.tile.packing", True),
        ("fastcnn.network.network", "def f():\n    from ..training import fit", True),
        ("fastcnn.optim.rules", "from ..sequential import Sequential", True),
        ("fastcnn.optim.rules", "from .. import sequential", True),
        ("fastcnn.optim.rules", "from ..layers import Layer", False),
        ("fastcnn.losses.base", "from ..plots import curves", True),
        (
            "fastcnn.optim.rules",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..training import fit",
            False,
        ),
    ],
)
def test_an_arrow_that_runs_up_is_found(name, line, found):
    known = set(modules())
    assert bool(upward({name: imported(name, line, known)})) == found


def test_a_circle_within_a_room_is_found():
    known = set(modules())
    pair = {
        "fastcnn.optim.base": imported("fastcnn.optim.base", "from . import rules", known),
        "fastcnn.optim.rules": imported("fastcnn.optim.rules", "from .base import Rule", known),
    }
    assert circle(pair) != []


def test_every_room_is_on_the_plan_and_exists():
    for name in modules():
        room(name)
    for rooms in FLOORS:
        assert set(rooms) <= set(modules())


def test_the_table_of_the_readme_names_every_folder():
    text = (ROOT / "README.md").read_text()
    table = text[text.index("## What is where") :]
    named = {name.rstrip("/") for name in re.findall(r"`([a-z_0-9/.]+)`", table)}
    folders = {
        str(file.parent.relative_to(ROOT))
        for package in ("fastcnn", "kernels")
        for file in (ROOT / package).rglob("__init__.py")
    }
    top = {"bench", "docs", "examples", "notebooks", "tests"}
    assert (folders - {"fastcnn"}) | top <= named
    for name in named:
        assert (ROOT / name).exists() or (ROOT / "fastcnn" / name).exists(), name


# --- sizes ----------------------------------------------------------------------------------------


def functions(package: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for file in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{file.relative_to(ROOT)}:{node.name}", node


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many there are, without self."""
    takes = function.args
    names = [each.arg for each in (*takes.posonlyargs, *takes.args, *takes.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls", "_")])


@pytest.mark.parametrize("package", ["fastcnn", "kernels", "bench"])
def test_no_file_is_too_large(package):
    sizes = {file: len(file.read_text().splitlines()) for file in (ROOT / package).rglob("*.py")}
    assert {str(file): size for file, size in sizes.items() if size > LARGEST_FILE} == {}


def test_no_function_takes_too_much():
    # What people call with names: its arguments are what can be chosen.
    allowed = ("__init__", "fastcnn/trainable.py:train", "fastcnn/datasets/registry.py:load")
    wide = {
        name: parameters(function)
        for name, function in functions("fastcnn")
        if parameters(function) > MOST_PARAMETERS and not name.endswith(allowed)
    }
    assert wide == {}


def reason(name: str, function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """The docstring and the comment above a function, which say why it takes so much."""
    file = ROOT / name.rpartition(":")[0]
    lines = file.read_text().splitlines()
    first = min([function.lineno, *(each.lineno for each in function.decorator_list)]) - 1
    above = first
    while above and lines[above - 1].startswith("#"):
        above -= 1
    return " ".join(lines[above:first]) + (ast.get_docstring(function) or "")


def test_few_kernels_take_much_and_say_why():
    wide = {
        name: reason(name, function)
        for name, function in functions("kernels")
        if parameters(function) > MOST_OF_A_KERNEL
    }
    assert len(wide) <= WIDE_KERNELS
    assert [name for name, text in wide.items() if not re.search(r"\d+ parameters", text)] == []


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("def f(a, b, *, c): ...", 3),
        ("def f(self, a, /, b): ...", 2),
        ("def f(cls, *args, **options): ...", 0),
        ("async def f(a, b): ...", 2),
    ],
)
def test_parameters_are_counted(line, count):
    (function,) = ast.parse(line).body
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    assert parameters(function) == count
