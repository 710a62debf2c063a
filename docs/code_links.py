"""Code named in pages, `kernels/loop.py:conv_forward`, and where it stands.

A page names a file and what is in it, never a line: lines are looked up when the site is built,
where each such name becomes a link to a page with the code itself. A name that is not there is an
error, of the site and of the tests.
"""

import ast
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAME = re.compile(r"`((?:kernels|fastcnn|tests|bench)/[\w/]+\.py):([A-Za-z_][\w.]*)`")


def named(text: str) -> list[tuple[str, str]]:
    """(file, name) of all code that a page names, in order."""
    return NAME.findall(text)


@cache
def _definitions(file: str) -> dict[str, int]:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    return dict(_inside(tree, ""))


def _inside(node: ast.AST, before: str) -> Iterable[tuple[str, int]]:
    for each in ast.iter_child_nodes(node):
        if isinstance(each, ast.FunctionDef | ast.ClassDef):
            yield before + each.name, each.lineno
            yield from _inside(each, f"{before}{each.name}.")


def line(file: str, name: str) -> int:
    """The line of a function, class or method ("Conv2D.forward").

    Raises
    ------
    ValueError
        If the file or the name is not there.
    """
    if not (ROOT / file).is_file():
        raise ValueError(f"a page names {file}, which is not there")
    if name not in _definitions(file):
        raise ValueError(f"a page names {name}, which is not in {file}")
    return _definitions(file)[name]


def page_of(file: str) -> str:
    """What the page with a file's code is called, without a suffix."""
    return "copied/code/" + file.removesuffix(".py").replace("/", "-")


def _anchor(file: str, name: str) -> str:
    return f"{file.removesuffix('.py')}-{name}".replace("/", "-").replace(".", "-").lower()


def linked(text: str) -> str:
    """A page with links in the place of names, in short; the code's page has the whole path."""

    def link(match: re.Match[str]) -> str:
        file, name = match.groups()
        short = file.rpartition("/")[2]
        return f"[`{short}:{line(file, name)} {name}`](#{_anchor(file, name)})"

    return NAME.sub(link, text)


def code_pages(texts: Iterable[str]) -> dict[str, str]:
    """Page -> its text: the code that is named, a page for each file."""
    found: dict[str, set[str]] = {}
    for text in texts:
        for file, name in named(text):
            line(file, name)
            found.setdefault(file, set()).add(name)
    return {page_of(file): _page(file, names) for file, names in found.items()}


def _page(file: str, names: set[str]) -> str:
    parts = ["---\norphan: true\n---\n", f"# {file}\n"]
    for name in sorted(names, key=lambda each: line(file, each)):
        parts.append(
            f"({_anchor(file, name)})=\n## {name}\n\n"
            f"```{{literalinclude}} /../{file}\n:pyobject: {name}\n:lineno-match:\n```\n"
        )
    return "\n".join(parts)
