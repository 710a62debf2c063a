"""The guide's pages: their commands and code run, and say what stands under them.

A block of commands or code is followed by one without a language: lines that must be said, in that
order, with `...` for what differs from machine to machine; or the error that the code raises.
"""

import contextlib
import importlib
import io
import re
import shlex
from pathlib import Path

import pytest

from tests.test_house import ROOT

GUIDE = ROOT / "docs" / "guide"
PAGES = sorted(page for page in GUIDE.glob("*.md") if ".zh-CN" not in page.name)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ERROR = re.compile(r"(\w+Error): (.*)")


def fences(page: Path) -> list[tuple[str, str]]:
    return _FENCE.findall(page.read_text("utf-8"))


def plain(text: str) -> str:
    """With one blank where there are several."""
    return "\n".join(" ".join(line.split()) for line in text.splitlines())


def said_in(wanted: str, said: str) -> bool:
    parts = [re.escape(plain(line)).replace(r"\.\.\.", ".*") for line in wanted.splitlines()]
    return re.search("^" + "$(?:.|\n)*?^".join(parts) + "$", plain(said), re.MULTILINE) is not None


def execute(code: str, page: Path, names: dict) -> None:
    """Code of a page; what begins with the name of a file is put into that file, too."""
    file = re.match(r"# (\w+\.py)\n", code)
    if file:
        Path(file[1]).write_text(code, "utf-8")
    exec(compile(code, str(page), "exec"), names)


def run(command: str) -> None:
    """A line of a page, in this process."""
    words = shlex.split(command)
    if words[0] == "mkdir":
        Path(words[1]).mkdir()
        return
    assert words[:2] == ["python", "-m"] and words[2].startswith("fastcnn."), command
    importlib.import_module(words[2]).main(words[3:])


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs_and_says_what_it_shows(page, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT if page.stem == "settings" else tmp_path)
    monkeypatch.setenv("FASTCNN_DATA", str(tmp_path / "no data"))
    monkeypatch.syspath_prepend(tmp_path)
    names = {"__name__": f"guide_{page.stem.replace('-', '_')}"}
    blocks = fences(page)
    for (kind, code), (following, wanted) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if not kind:
            continue
        wanted = "" if following else wanted
        said = io.StringIO()
        error = _ERROR.match(wanted)
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            if kind == "sh":
                for line in code.splitlines():
                    run(line)
            elif error:
                with pytest.raises(Exception) as raised:
                    execute(code, page, names)
                print(f"{type(raised.value).__name__}: {raised.value}")
            else:
                execute(code, page, names)
        assert said_in(wanted, said.getvalue()), f"{code}\n{said.getvalue()}"


def test_every_page_has_a_chinese_twin_that_runs_the_same():
    assert len(list(GUIDE.glob("*.zh-CN.md"))) == len(PAGES)
    for page in PAGES:
        twin = page.with_suffix(".zh-CN.md")
        assert fences(twin) == fences(page), twin
        text, other = (each.read_text("utf-8") for each in (page, twin))
        for found in (r"^#+ ", r"^\|.*\|$", r"\]\((?!new|settings|questions)[^)]*\)"):
            pattern = re.compile(found, re.MULTILINE)
            assert len(pattern.findall(text)) == len(pattern.findall(other)), (twin, found)
        assert len(re.findall("[\u4e00-\u9fff]", other)) > 300, twin


def test_what_is_shown_is_looked_for():
    assert said_in("a 1 ... s\nb", "x\n a  1  0.25 s\nc\nb\n")
    assert not said_in("b\na", "a\nb\n")
    assert not said_in("a", "ab\n")
