"""The notebooks run and end as they say; their exercises tell right from wrong.

They are run as plain scripts, in this process, where FASTCNN_TEST_NOTEBOOKS is set: `.ci/run` does
so, and runs them as notebooks, too.
"""

import ast
import os
import re
import sys
from pathlib import Path

import pytest

from tests.test_house import ROOT

FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9]*.py"))
CHINESE = re.compile("[\u4e00-\u9fff]")
EMPTY = "    return None  # your turn\n\n\n"


@pytest.fixture
def folder(monkeypatch):
    """Python as it stands where a notebook is opened."""
    monkeypatch.chdir(FOLDER)
    monkeypatch.syspath_prepend(FOLDER)
    yield FOLDER
    for name in ("exercise", "exercise_zh", "answers"):
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
    """Also if each cell is run again, as after an interruption."""
    names: dict[str, object] = {"__name__": "__main__"}
    for cell in re.split(r"^# %%", notebook.read_text("utf-8"), flags=re.MULTILINE):
        kind, _, code = cell.partition("\n")
        for _ in range(0 if "[markdown]" in kind else 2):
            exec(compile(code, str(notebook), "exec"), names)
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
        for mistake, wrong in asked.mistakes.items():
            told = exercises.verdict(asked, wrong)
            assert told == (f"not yet: {mistake.en}", f"还不对：{mistake.zh}")
        exercises.answer(name)
        shown = {}
        exec(f"import numpy as np\n{capsys.readouterr().out}", shown)
        assert exercises.verdict(asked, shown[name]).en == "right"
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
    assert said.en.startswith(says)
    assert CHINESE.search(said.zh)


def test_an_attempt_cannot_change_what_it_is_compared_with(exercises):
    def spoils(x, dy):
        dy *= x > 0
        x[:] = 0
        return dy

    assert exercises.verdict(exercises._found("relu_gradient"), spoils).en == "right"


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


def taken_apart(cell: str) -> tuple[str, list[str]]:
    """The code of a cell without what is for people; and that: comments, docstrings, prints."""
    tree, words = ast.parse(cell), re.findall("  # (?!fmt)(.*)", cell)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and (doc := ast.get_docstring(node)):
            words.append(doc)
            del node.body[0]
        if isinstance(node, ast.ImportFrom) and node.module == "exercise_zh":
            node.module = "exercise"
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print":
            parts: list[ast.expr] = []
            for each in node.args:
                parts += each.values if isinstance(each, ast.JoinedStr) else [each]
            is_text = [isinstance(part, ast.Constant) for part in parts]
            words.append("".join(str(p.value) for p in parts if isinstance(p, ast.Constant)))
            values = [part for part, text in zip(parts, is_text, strict=True) if not text]
            node.args = sorted(values, key=ast.dump)  # in whatever order a language has them
    return ast.dump(tree), words


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_chinese_notebook_has_the_same_code(notebook):
    twin = cells(FOLDER / f"zh-CN_{notebook.name}")
    for (kind, text), (other_kind, other) in zip(cells(notebook), twin, strict=True):
        assert kind == other_kind
        if kind == "# %%":
            (own, _), (its, words) = taken_apart(text), taken_apart(other)
            assert its == own
            english = [each for each in words if re.search("[a-z]{3}", each)]
            assert [each for each in english if not CHINESE.search(each)] == []
            continue
        assert other.count("# **") == text.count("# **")  # exercises, and where it ends
        assert other.count("\n# #") == text.count("\n# #")
        assert CHINESE.search(other) and all(
            line.startswith("#") for line in other.splitlines() if line
        )
    assert len(list(FOLDER.glob("zh-CN_*.py"))) == len(NOTEBOOKS)


def test_the_chinese_notebooks_are_answered_in_chinese(exercises, capsys):
    import exercise_zh  # type: ignore[import-not-found]

    for name, asked in exercises.EXERCISES.items():
        exercise_zh.check(asked.right)
        assert capsys.readouterr().out == f"{name}: 正确\n"
        exercise_zh.hint(name)
        said = [capsys.readouterr().out, *(mistake.zh for mistake in asked.mistakes)]
        assert all(CHINESE.search(each) for each in said), name
    with pytest.raises(ValueError, match="没有练习 'relu'；有"):
        exercise_zh.hint("relu")
