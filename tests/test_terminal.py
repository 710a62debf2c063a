"""Tables stand in columns whatever the names in them are written with."""

import unicodedata

import numpy as np
import pytest

from fastcnn import metrics
from fastcnn.commands.evaluate import table
from fastcnn.commands.figures import written
from fastcnn.commands.predict import Answer, _table
from fastcnn.terminal import columns, left, right

NAMES = [
    "fox",
    "猫",
    "中文 类",
    unicodedata.normalize("NFD", "Äpfel"),
    "ｗｉｄｅ",
    "一二三四五六七八九十",
]


def test_columns_of_a_terminal():
    assert [columns(name) for name in NAMES] == [3, 2, 7, 5, 8, 20]
    assert left("猫", 4) == "猫  " and right("猫", 4) == "  猫"


def before(line: str, sign: str) -> int:
    return columns(line[: line.index(sign)])


@pytest.mark.parametrize("names", [NAMES, ["a", *NAMES[1:]], [*NAMES[:4], "b" * 15, "c" * 40]])
def test_tables_of_an_evaluation_stand_in_columns(names):
    labels = np.arange(30) % len(names)
    text = table(metrics.measure(np.eye(len(names))[labels], labels, names), "").splitlines()
    first = next(i for i, line in enumerate(text) if line.startswith("class"))
    rates = text[first + 1 : first + 1 + len(names)]
    assert {before(line, "1.000 (") for line in rates} == {before(text[first], "precision")}
    matrix = text[-len(names) :]
    assert len({columns(line) for line in matrix}) == 1
    assert all(columns(line) <= 80 for line in text)


def test_tables_of_labels_and_of_pictures_stand_in_columns():
    labels = np.random.default_rng(0).integers(0, 2, (50, len(NAMES)))
    figures = metrics.measure_labels(labels - 0.5, labels, NAMES)
    lines = written(figures, "", "table").splitlines()
    assert len({before(line, "1.000 (") for line in lines[-len(NAMES) :]}) == 1
    answers = [Answer(f"{name}.png", ["dog"], [1.0], "") for name in NAMES]
    assert len({before(line, "dog 100") for line in _table(answers).splitlines()}) == 1
