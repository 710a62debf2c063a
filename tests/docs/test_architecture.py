"""`docs/architecture.md` draws the floors as they are and walks through functions that exist."""

import ast
import re
from functools import cache

import pytest

from tests.test_house import FLOORS, ROOT

TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
WALK = re.findall(r"^\| `([a-z_/]+\.py)` \| `(\w+)` \|", TEXT, re.MULTILINE)


def drawn() -> list[list[str]]:
    """The rooms of each line of the drawing."""
    drawing = TEXT.split("```")[1]
    lines = [re.split(r" {3,}", line[24:].strip())[0].split() for line in drawing.splitlines()]
    return [line for line in lines if line and not set(line[0]) & set("|-")]


def named(floor: tuple[str, ...]) -> set[str]:
    """Rooms without their package, and without the faces of the packages."""
    return {name.partition(".")[2] for name in floor} - {""}


def test_the_drawing_shows_the_floors():
    assert [set(line) for line in drawn()] == [named(floor) for floor in FLOORS if named(floor)]


@cache
def defined(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    kinds = ast.FunctionDef | ast.ClassDef
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def test_both_walks_are_found():
    assert len(WALK) > 25


@pytest.mark.parametrize(("file", "function"), WALK)
def test_the_walk_names_functions_that_exist(file, function):
    assert function in defined(file)
