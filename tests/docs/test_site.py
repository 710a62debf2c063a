"""The site shows every public name; its pages are there without Sphinx too."""

import ast
import importlib
import re

import pytest

from tests.docs.test_learning import module
from tests.test_house import ROOT, modules

site_links = module(ROOT / "docs" / "site_links.py")
API = {page.stem: page.read_text("utf-8") for page in (ROOT / "docs" / "api").glob("*.md")}
SHOWN = {
    module: names
    for text in API.values()
    for module, names in re.findall(r"automodule:: (\S+)\n   :members:([^\n]*)", text)
}


@pytest.mark.parametrize(
    "module",
    ["config", "datasets", "estimator", "exchange", "explaining", "inference", "layers", "losses",
     "optim", "plots", "schedules", "training"],
)  # fmt: skip
def test_every_public_name_is_shown(module):
    found = importlib.import_module(f"fastcnn.{module}")
    names = {name for name in found.__all__ if callable(getattr(found, name))}
    assert {name.strip() for name in SHOWN[f"fastcnn.{module}"].split(",")} == names


def test_no_public_name_is_left_out():
    shown = {name.strip() for names in SHOWN.values() for name in names.split(",")}
    left = set()
    rooms = {name: file for name, file in modules().items() if name.startswith("fastcnn.")}
    del rooms["fastcnn.datasets.own"]  # inside fastcnn.datasets
    for room, file in rooms.items():
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                names = {name for name in ast.literal_eval(node.value) if not name.isupper()}
                left |= {f"{room}.{name}" for name in names - shown - {"main"}}
    assert left == set()


def test_what_fastcnn_gives_is_shown():
    import fastcnn

    names = set(re.findall(r"\w+", " ".join(SHOWN.values())))
    for name in set(fastcnn.__all__) - {"__version__"}:
        shown = name in names or any(f"fastcnn.{part}" in SHOWN for part in (name, f"{name}s"))
        assert shown or (name == "set_backend" and "fastcnn.backends" in SHOWN), name


def test_links_that_lead_nowhere_are_found(tmp_path):
    pages = {
        "a.html": '<p id="x"><a href="b/c.html#y">c</a> <a href="#x">x</a> <img src="d.png">',
        "b/c.html": '<a id="y"></a><a href="../a.html#z">z</a> <a href="https://a.b/">b</a>',
    }
    (tmp_path / "b").mkdir()
    for name, text in pages.items():
        (tmp_path / name).write_text(text, "utf-8")
    assert site_links.dead(tmp_path) == ["a.html: d.png", "b/c.html: ../a.html#z"]


def test_every_page_has_its_place():
    text = (ROOT / "docs" / "index.md").read_text("utf-8")
    listed = set(re.findall(r"^(?:.*<)?([\w/.-]+?)>?$", text, re.MULTILINE))
    docs = ROOT / "docs"
    rooms = (".", "guide", "ideas", "derivations")
    for page in [page for room in rooms for page in (docs / room).glob("*.md")]:
        name = page.relative_to(docs).with_suffix("").as_posix()
        called = "copied/searching" if name == "search" else name
        assert called in listed or called == "index", page
    assert "api/index" in listed
    assert set(re.findall(r"^(\w+)$", API["index"], re.MULTILINE)) == set(API) - {"index"}
