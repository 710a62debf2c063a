"""The notebooks run and end as they say; their exercises tell right from wrong.

They are run as plain scripts, in this process, where FASTCNN_TEST_NOTEBOOKS is set: `.ci/run` does
so, and runs them as notebooks, too.
"""

import os
import re
import runpy
import sys
from pathlib import Path

import pytest

from tests.test_house import ROOT

FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9]*.py"))
EMPTY = "    return None  # your turn\n\n\n"


@pytest.fixture
def folder(monkeypatch):
    """Python as it stands where a notebook is opened."""
    monkeypatch.chdir(FOLDER)
    monkeypatch.syspath_prepend(FOLDER)
    yield FOLDER
    for name in ("exercise", "answers"):
        sys.modules.pop(name, None)


@pytest.fixture
def exercises(folder):
    import answers  # type: ignore[import-not-found]  # noqa: F401
    import exercise  # type: ignore[import-not-found]

    return exercise


def asked(notebook: Path) -> list[str]:
    """The exercises of a notebook, by name."""
    return re.findall(r"^check\((\w+)\)$", notebook.read_text("utf-8"), re.MULTILINE)


@pytest.mark.skipif(
    not os.environ.get("FASTCNN_TEST_NOTEBOOKS"), reason="FASTCNN_TEST_NOTEBOOKS is not set"
)
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_ends_where_its_text_says(notebook, folder, capsys):
    runpy.run_path(str(notebook))
    said = capsys.readouterr().out
    for name in asked(notebook):
        assert f'{name}: not written yet; hint("{name}") helps' in said
    last = notebook.read_text("utf-8").rpartition("# %%")[2]
    words = re.findall(r'^print\(f?"([^{"]+)', last, re.MULTILINE)
    assert "assert " in last and words
    assert said.splitlines()[-1].startswith(words[-1])


def test_there_are_eight_and_every_exercise_stands_in_one(exercises):
    assert len(NOTEBOOKS) == 8
    names = [name for notebook in NOTEBOOKS for name in asked(notebook)]
    assert sorted(names) == sorted(exercises.EXERCISES)
    for notebook in NOTEBOOKS:
        text = notebook.read_text("utf-8")
        assert len(asked(notebook)) >= 2, notebook
        assert "**At the end**" in text.partition("# %%\n")[0]
        for name in asked(notebook):  # the notebook asks for what the answer takes
            taken = re.search(rf"^def {name}\((.*)\):\n{EMPTY}", text, re.MULTILINE)
            assert taken, name
            code = exercises.EXERCISES[name].right.__code__
            assert taken[1].split(", ") == list(code.co_varnames[: code.co_argcount])


def test_answers_are_right_and_mistakes_are_known(exercises, capsys):
    for name, asked in exercises.EXERCISES.items():
        exercises.check(asked.right)
        assert capsys.readouterr().out == f"{name}: right\n"
        for sentence, wrong in asked.mistakes.items():
            assert exercises.verdict(asked, wrong) == f"not yet: {sentence}"
        exercises.answer(name)
        shown = {}
        exec(f"import numpy as np\n{capsys.readouterr().out}", shown)
        assert exercises.verdict(asked, shown[name]) == "right"
        exercises.hint(name)
        assert len(capsys.readouterr().out) > 20


@pytest.mark.parametrize(
    ("attempt", "says"),
    [
        (lambda x, dy: None, 'not written yet; hint("relu_gradient") helps'),
        (lambda x, dy: dy[0], "not yet: its shape is (4,), not (3, 4)"),
        (lambda x, dy: 2 * dy * (x > 0), "not yet: for\n  x = "),
        (lambda x, dy: "dy where x > 0", "not yet: its shape is (), not (3, 4)"),
        (lambda x, dy: (dy * (x > 0)).tolist(), "right"),
    ],
)
def test_other_attempts_are_answered(attempt, says, exercises):
    said = exercises.verdict(exercises._found("relu_gradient"), attempt)
    assert said.startswith(says)


def test_an_attempt_cannot_change_what_it_is_compared_with(exercises):
    def spoils(x, dy):
        dy *= x > 0
        x[:] = 0
        return dy

    assert exercises.verdict(exercises._found("relu_gradient"), spoils) == "right"


def test_an_unknown_exercise_is_answered(exercises):
    with pytest.raises(ValueError, match=r"no exercise 'relu'; there are .*relu_gradient"):
        exercises.hint("relu")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_a_notebook_in_the_percent_format(notebook):
    """What jupytext makes cells of: a header, and cells that begin with a marker."""
    text = notebook.read_text("utf-8")
    assert text.startswith("# ---\n# jupyter:\n#   jupytext:\n")
    marks = re.findall(r"^# %%.*$", text, re.MULTILINE)
    assert set(marks) == {"# %%", "# %% [markdown]"}
    for cell in re.split(r"^# %%", text, flags=re.MULTILINE)[1:]:
        if cell.startswith(" [markdown]"):
            assert all(line.startswith("#") for line in cell.splitlines()[1:] if line), cell


def cells(notebook: Path) -> list[tuple[str, str]]:
    """(the marker, what is under it) of each cell."""
    found = re.split(r"^(# %%.*)\n", notebook.read_text("utf-8"), flags=re.MULTILINE)[1:]
    return list(zip(found[::2], found[1::2], strict=True))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_chinese_notebook_has_the_same_code(notebook):
    twin = cells(FOLDER / f"zh-CN_{notebook.name}")
    for (kind, text), (other_kind, other) in zip(cells(notebook), twin, strict=True):
        assert kind == other_kind
        if kind == "# %%":
            assert other == text
            continue
        assert other.count("# **") == text.count("# **")  # exercises, and where it ends
        assert other.count("\n# #") == text.count("\n# #")
        assert re.search("[\u4e00-\u9fff]", other) and all(
            line.startswith("#") for line in other.splitlines() if line
        )
    assert len(list(FOLDER.glob("zh-CN_*.py"))) == len(NOTEBOOKS)
