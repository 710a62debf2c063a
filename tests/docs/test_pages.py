"""Every command and snippet of every page runs, in the order of the page.

What stands before a block, invisible to readers, says how it is shortened:

    <!-- test: skip (why) -->                  not run here
    <!-- test: add --epochs 1 -->              options for its fastcnn commands: the last one counts
    <!-- test: put epochs=1 for epochs=20 -->  other text
    <!-- test: first COMMAND -->               what the page takes for granted
    <!-- test: goes on -->                     in the same script as the block above
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.test_house import ROOT

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")]
PAGES += [ROOT / room / "README.md" for room in ("bench", "kernels")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
_BLOCK = re.compile(r"((?:<!-- [^\n]* -->\n)*)```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_OURS = ("python -m fastcnn.", "python examples/")
# Not run by anyone who reads: these need a network, and what they install is there.
_INSTALLS = re.compile(r"^pip install '[^']*'( && |$)")


class Block(NamedTuple):
    """A block of a page, as it is run."""

    kind: str
    code: str
    skipped: bool


def blocks(text: str) -> list[Block]:
    found = []
    for comments, kind, code in _BLOCK.findall(text):
        skipped = goes_on = False
        code = code.replace("\\\n", "")
        for how, what in re.findall(r"<!-- test: (\w+) (.*?) -->", comments):
            if how == "skip":
                assert re.fullmatch(r"\(.+\)", what), f"why is it skipped? {what}"
                skipped = True
            elif how == "add":
                lines = code.splitlines()
                assert any(line.startswith(_OURS) for line in lines)
                lines = [f"{line} {what}" if line.startswith(_OURS) else line for line in lines]
                code = "\n".join(lines)
            elif how == "put":
                new, old = what.split(" for ")
                assert old in code
                code = code.replace(old, new)
            elif how == "first":
                code = (
                    f"{what}\n{code}" if kind == "sh" else f"import os\nos.system({what!r})\n{code}"
                )
            elif how == "goes":
                goes_on = True
            else:
                raise AssertionError(f"nobody knows {how}")
        if kind == "sh":
            code = "\n".join(_INSTALLS.sub("", line) for line in code.splitlines())
        if goes_on:
            assert found[-1].kind == kind and not found[-1].skipped
            code = f"{found.pop().code}\n{code}"
        found.append(Block(kind, code, skipped))
    return found


RUN = [page for page in PAGES if not all(b.skipped for b in blocks(page.read_text("utf-8")))]


@pytest.fixture
def folder(tmp_path):
    """What a reader has at hand: the clone's scripts, and pictures of cats and dogs."""
    for name in ("examples", "bench"):
        (tmp_path / name).symlink_to(ROOT / name)
    from PIL import Image

    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for k in range(10):
            pixels = random.integers(0, 256, (40, 50, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{k}.png")
    return tmp_path


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_stands_in_a_page_runs(page, folder):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "FASTCNN_DATA": str(folder / "no data")}
    for block in blocks(page.read_text("utf-8")):
        if block.skipped:
            continue
        words = ["bash", "-ec", block.code]
        if block.kind == "python":
            words = [sys.executable, "-W", "error", "-c", block.code]
        done = subprocess.run(
            words, cwd=folder, env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, f"{block.code}\n{done.stdout}\n{done.stderr}"


def test_what_the_chinese_page_tells_people_to_type_stands_in_pages_that_run():
    english = "".join(page.read_text("utf-8").replace("\\\n", "") for page in PAGES)
    page = (ROOT / "README.zh-CN.md").read_text("utf-8")
    lines = [line for block in blocks(page) for line in block.code.splitlines() if line]
    assert len(lines) > 12
    assert [line for line in lines if line not in english] == []
    for name in re.findall(r"\]\(([^)#]+)\)", page):
        assert (ROOT / name).exists(), name


def test_every_block_has_a_language():
    for page in PAGES:
        fences = re.findall(r"^```(\w*)$", page.read_text("utf-8"), re.MULTILINE)[::2]
        assert set(fences) <= {"sh", "python", "toml", ""}, page
    assert {"README.md", "transfer.md", "search.md", "plots.md"} <= {page.name for page in RUN}


def test_the_comments_are_understood():
    text = (
        "<!-- test: add --epochs 1 -->\n<!-- main -->\n```sh\npip install 'x' && python -m a\n"
        "python -m fastcnn.train \\\n  --out a\n```\n"
        "<!-- test: put 1 for 20 -->\n```python\nepochs = 20\n```\n"
        "<!-- test: skip (hours) -->\n```sh\nsleep 9999\n```\n```\nno code\n```\n"
        "<!-- test: first true -->\n```sh\nls\n```\n"
        "<!-- test: goes on -->\n```sh\nps\n```\n"
    )
    one, two, three, four = blocks(text)
    assert one == ("sh", "python -m a\npython -m fastcnn.train   --out a --epochs 1", False)
    assert (two.code, three.skipped, four.code) == ("epochs = 1\n", True, "true\nls\nps")
    with pytest.raises(AssertionError, match="nobody knows"):
        blocks("<!-- test: leave it -->\n```sh\nls\n```\n")
