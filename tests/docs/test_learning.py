"""The pages about ideas and layers: their code runs, the code they name is there, so are drawings.

They run in this process, each page's blocks as one script.
"""

import importlib.util
import re
from pathlib import Path

import pytest

from tests.plots.pictures import faults
from tests.test_house import ROOT

DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("ideas/*.md")), *sorted(DOCS.glob("derivations/*.md"))]
IDS = [page.stem for page in PAGES]


def module(path: Path):
    """A script of the documentation, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


links = module(DOCS / "code_links.py")
draw = module(DOCS / "drawings" / "draw.py")


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_the_code_of_a_page_runs(page):
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)
    assert "assert " in "".join(blocks)
    exec(compile("\n".join(blocks), str(page), "exec"), {"__name__": page.stem})


def test_code_that_pages_name_is_where_they_say():
    texts = {page: page.read_text("utf-8") for page in sorted(DOCS.rglob("*.md"))}
    for page in PAGES:
        assert links.named(texts[page]), page
    for text in texts.values():
        for file, name in links.named(text):
            shown = (ROOT / file).read_text("utf-8").splitlines()[links.line(file, name) - 1]
            assert re.match(rf"\s*(def|class) {name.rpartition('.')[2]}\b", shown), (file, name)


@pytest.mark.parametrize("part", ["loop", "a fast kernel", "a test"])
def test_derivations_lead_to_the_code(part):
    """The loops are those of `kernels/loop.py`, or of a test where there are no backends."""
    for page in DOCS.glob("derivations/*.md"):
        files = {file for file, _ in links.named(page.read_text("utf-8"))}
        if part == "loop":
            assert "kernels/loop.py" in files or not files & {
                "kernels/dense.py", "kernels/conv/forward.py", "kernels/pool/operations.py"
            }, page  # fmt: skip
        else:
            room = "kernels/" if part == "a fast kernel" else "tests/"
            assert any(file.startswith(room) for file in files), page


def test_every_layer_and_loss_has_its_page():
    from fastcnn import layers, losses

    text = "".join(page.read_text("utf-8") for page in DOCS.glob("derivations/*.md"))
    words = set(re.findall(r"\w+", text))
    kinds = {name for name in layers.__all__ if name[0].isupper()} - {"Layer"}
    kinds |= {name for name in losses.__all__ if name.endswith("Loss")} - {"Loss"}
    assert sorted(kinds - words) == []


def test_a_name_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match=r"names conv_backward, which is not in kernels/loop\.py"):
        links.linked("as in `kernels/loop.py:conv_backward`")
    with pytest.raises(ValueError, match=r"names kernels/loops\.py, which is not there"):
        links.linked("as in `kernels/loops.py:conv_forward`")
    with pytest.raises(ValueError, match="which is not in"):
        links.code_pages(["`fastcnn/layers/conv.py:Conv2D.forwards`"])


def test_names_become_links_to_the_code_with_its_line():
    line = links.line("kernels/loop.py", "conv_forward")
    text = links.linked("see `kernels/loop.py:conv_forward`.")
    anchor = "kernels-loop-conv_forward"
    assert text == f"see [`loop.py:{line} conv_forward`](#{anchor})."
    (page,) = links.code_pages(["`kernels/loop.py:conv_forward` `kernels/loop.py:dense_forward`"])
    code = links.code_pages(["`kernels/loop.py:dense_forward` `kernels/loop.py:conv_forward`"])[
        page
    ]
    assert code.index(f"({anchor})=\n") < code.index(":pyobject: dense_forward")


# --- drawings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("drawing", draw.DRAWINGS, ids=lambda drawing: drawing.__name__)
def test_a_drawing_can_be_read(drawing):
    assert faults(drawing()) == []


def test_pages_show_the_drawings_that_there_are():
    shown = [
        name
        for page in PAGES
        for name in re.findall(
            r"^!\[.+\]\(\.\./drawings/(\w+)\.png\)$", page.read_text("utf-8"), re.M
        )
    ]
    files = sorted(file.stem for file in (DOCS / "drawings").glob("*.png"))
    assert sorted(shown) == files == sorted(drawing.__name__ for drawing in draw.DRAWINGS)
