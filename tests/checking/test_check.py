"""`python -m fastcnn.check` and `fastcnn.check.gradients`: exit codes, references, refusals."""

from pathlib import Path

import numpy as np
import pytest

import fastcnn
from fastcnn.check import gradients, main
from fastcnn.layers import Dense

STUDENTS = Path(__file__).parent / "students"
RIGHT = """
class Double:
    def forward(self, x):
        return 2 * x

    def backward(self, dy):
        return 2 * dy
"""
WRONG = RIGHT.replace("Double", "Half").replace("2 * dy", "dy")
ODD = """
class Odd:
    def __init__(self, knob):
        self.knob = knob

    def forward(self, x):
        return self.knob * x

    def backward(self, dy):
        return self.knob * dy
"""


@pytest.fixture
def write(tmp_path):
    def written(text: str, name: str = "mine.py") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return written


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (RIGHT, 0, "1 right, 0 with mistakes"),
        (RIGHT + WRONG, 1, "dy is passed on as it is"),
        (RIGHT + ODD, 2, "'knob' of Odd(knob)"),
        (WRONG + ODD, 1, "def make(): return Odd(...)"),
        (ODD + "\ndef make():\n    return Odd(3.0)\n", 0, "1 right"),
        (ODD + "\ndef make():\n    return [(Odd(2.0), [[1.0, 2.0]])]\n", 0, "(1, 2)"),
        (ODD + "\nmine = Odd(3.0)\n", 0, "as it is given"),
        (RIGHT + "\nclass Network:\n" + ODD.split("\n", 2)[2], 0, "looks like a network"),
    ],
)
def test_exit_codes(write, capsys, text, code, words):
    assert main([write(text)]) == code
    said = capsys.readouterr()
    assert words in said.out and said.err == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("class A(:\n", "line 1: invalid syntax"),
        ("x = 1\n", "holds no class with forward and backward methods"),
        ("import nothing_of_this_name\n", "raised ModuleNotFoundError"),
        ("raise SystemExit\n", '__name__ == "__main__"'),
        (RIGHT + "\ndef make():\n    return 3\n", "make() gives int"),
        (RIGHT + "\ndef make():\n    return 1 / 0\n", "make() raised ZeroDivisionError"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(write, capsys, text, words):
    assert main([write(text)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
    assert words in said.err


def test_no_file_no_python_no_class(write, capsys):
    for argv, words in (
        ([], "which file"), (["none.py"], "does not exist"), (["."], "is a folder"),
        ([write("", "a.txt")], "no Python file"),
        ([write(RIGHT), "--only", "Doubel"], "did you mean 'Double'"),
    ):  # fmt: skip
        assert main(argv) == 2
        assert words in capsys.readouterr().err


def test_several_files_and_one_class(write, capsys):
    first, second = write(RIGHT, "a.py"), write(RIGHT + WRONG, "b.py")
    assert main([first, second]) == 1
    assert main([first, second, "--only", "Double"]) == 0
    assert "Half" not in capsys.readouterr().out.split("a.py")[-1]


def test_a_reference_of_ones_own():
    class Layer:
        def __init__(self):
            self.W, self.b = np.random.default_rng(0).normal(size=(4, 3)), np.zeros(3)

        def forward(self, x):
            self.x = x
            return x @ self.W + self.b

        def backward(self, dy):
            self.dW, self.db = self.x.T @ dy, dy.sum(0)
            return dy @ self.W.T

    x = np.ones((5, 4))
    layer = Layer()
    before = layer.W.copy()
    assert gradients(layer, x, reference=Dense(4, 3))
    assert gradients(layer, x)
    report = gradients(layer, x, reference=lambda x: x[:, :3])
    assert report.findings[0].what == "forward"
    np.testing.assert_array_equal(layer.W, before)
    assert not layer.b.any() and not hasattr(layer, "x")


def test_a_loss_and_its_targets():
    class Loss:
        def forward(self, scores, labels):
            e = np.exp(scores - scores.max(1, keepdims=True))
            self.p, self.labels = e / e.sum(1, keepdims=True), labels
            return -np.log(self.p[np.arange(len(labels)), labels]).mean()

        def backward(self):
            return (self.p - np.eye(self.p.shape[1])[self.labels]) / len(self.labels)

    x = np.random.default_rng(0).normal(size=(4, 6))
    assert gradients(Loss(), x, np.array([0, 5, 2, 2]))
    assert gradients(Loss)


def test_what_is_no_layer_is_refused():
    with pytest.raises(ValueError, match="has no forward method"):
        gradients(object(), np.ones((2, 2)))
    assert fastcnn.check.gradients is gradients


def test_float32_is_no_mistake():
    class Single:
        def forward(self, x):
            self.y = np.tanh(x.astype(np.float32))
            return self.y

        def backward(self, dy):
            return dy.astype(np.float32) * (1 - self.y**2)

    assert gradients(Single(), np.random.default_rng(0).normal(size=(3, 4)))


def test_an_input_that_a_network_gives():
    class ReLU:
        def forward(self, x):
            self.on = x > 0
            return x * self.on

        def backward(self, dy):
            return dy * self.on

    x = np.maximum(np.random.default_rng(0).normal(size=(2, 3, 5, 4)), 0)  # zeros, float32
    assert gradients(ReLU(), x.astype(np.float32))


def test_nothing_is_left_of_the_seeds_and_the_path(write):
    import sys

    np.random.seed(3)  # noqa: NPY002
    before, paths = np.random.get_state()[1].copy(), list(sys.path)  # noqa: NPY002
    main([write(RIGHT)])
    assert (np.random.get_state()[1] == before).all() and sys.path == paths  # noqa: NPY002
