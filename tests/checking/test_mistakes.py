"""Planted mistakes are named, each by the words for what it is; right layers pass."""

import importlib.util
import re
import sys
import types
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from fastcnn.checking import check, numerical, source
from fastcnn.checking.student import Student

STUDENTS = Path(__file__).parent / "students"
TEXT = (STUDENTS / "plain.py").read_text()

# (class, what stands there, what is planted, words of the cause)
MISTAKES = [
    ("Conv2D", "window * self.W[f])", "window * self.W[f][:, ::-1, ::-1])", "flipped"),
    ("Conv2D", "window * self.W[f]) + self.b[f]", "window * self.W[f] + self.b[f])",
     "every product"),
    ("Conv2D", "xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))",
     "xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), mode='edge')", "copies of the border"),
    ("Conv2D", "window = xp[n, :, i * s : i * s + k, j * s : j * s + k]",
     "window = xp[n, :, i : i + k, j : j + k]", "stride is ignored"),
    ("Conv2D", "OW = (W + 2 * p - k) // s + 1", "OW = OH", "square"),
    ("Conv2D", "p : p + H, p : p + W]", ":, :]", "not cropped"),
    ("Conv2D", "p : p + H, p : p + W]", "p:-p, p:-p]", "empty"),
    ("Conv2D", "p : p + H, p : p + W]", ":H, :W]", "wrong side"),
    ("Conv2D", "window = self.xp[n, :, i * s : i * s + k, j * s : j * s + k]",
     "window = self.xp[n, :, i : i + k, j : j + k]", "stride is ignored on the way back"),
    ("Conv2D", "part += dout[n, f, i, j] * self.W[f]", "part[...] = dout[n, f, i, j] * self.W[f]",
     "overwrite"),
    ("Conv2D", "part += dout[n, f, i, j] * self.W[f]",
     "part += dout[n, f, i, j] * self.W[f][:, ::-1, ::-1]", "flipped on the way back"),
    ("Conv2D", "self.dW = np.zeros_like(self.W)", "self.dW = getattr(self, 'dW', 0 * self.W)",
     "accumulated"),
    ("Conv2D", "dout.sum(axis=(0, 2, 3))", "dout.sum(axis=(2, 3))", "not summed over the batch"),
    ("Conv2D", "out = np.zeros((N, F, OH, OW))", "out = np.zeros((N, F, OH, OW)); F -= 1",
     "last of axis 1 is left out"),
    ("Conv2D", "dout[n, f, i, j] * window", "dout.reshape(-1)[np.ravel_multi_index((n, i, j, f), "
     "(len(dout), *dout.shape[2:], dout.shape[1]))] * window", "dy is reshaped to"),
    ("Conv2D", " + self.b[f]", "", "bias is not added"),
    ("MaxPool", "dx[n, c, i * s + a, j * s + b] += dout[n, c, i, j]",
     "dx[n, c, i*s:i*s+k, j*s:j*s+k] += (window == window.max()) * dout[n, c, i, j]", "ties"),
    ("MaxPool", "dx[n, c, i * s + a, j * s + b] += dout[n, c, i, j]",
     "m = window == window.max(); dx[n, c, i*s:i*s+k, j*s:j*s+k] += m/m.sum() * dout[n, c, i, j]",
     "ties"),
    ("MaxPool", "+= dout", "= dout", "overwrite"),
    ("MaxPool", "i * s + a, j * s + b", "i * s + b, j * s + a", "rows and columns swapped"),
    ("MaxPool", "i * s + a, j * s + b", "i + a, j + b", "stride is ignored"),
    ("MaxPool", "x[:, :, i * s : i * s + k, j * s : j * s + k].max",
     "x[:, :, i * k : i * k + k, j * k : j * k + k].max", "size of the window"),
    ("MaxPool", ".max((2, 3))", ".mean((2, 3))", "the mean is taken"),
    ("Linear", "self.inputs.T @ grad", "self.inputs.T @ grad / len(grad)", "the batch size N"),
    ("Linear", "self.inputs.T @ grad", "grad.T @ self.inputs", "transpose is missing"),
    ("Linear", "self.inputs.T @ grad", "self.inputs.T @ grad + 0.1 * self.weights", "weight decay"),
    ("Linear", "grad.sum(axis=0, keepdims=True)", "grad", "not summed over the batch"),
    ("Linear", "grad @ self.weights.T", "grad @ self.weights", "transpose is missing"),
    ("BatchNorm", "(d - d.mean(0) - self.xhat * (d * self.xhat).mean(0)) / self.std",
     "d / self.std", "for constants"),
    ("BatchNorm", "d - d.mean(0)", "d - d.sum(0)", "1/N is missing"),
    ("BatchNorm", "d = dout * self.gamma", "d = dout", "gamma is missing"),
    ("BatchNorm", ".mean(0)) / self.std", ".mean(0)) / np.sqrt(self.running_var + self.eps)",
     "stale statistics"),
    ("BatchNorm", "mu, var = x.mean(0), x.var(0)",
     "mu, var = self.old = getattr(self, 'old', None) or (x.mean(0), x.var(0))",
     "stale statistics"),
    ("BatchNorm", "x.var(0)", "x.var(0, ddof=1)", "ddof=1"),
    ("BatchNorm", "np.sqrt(var + self.eps)", "np.sqrt(var) + self.eps", "outside the root"),
    ("BatchNorm", "mu, var = self.running_mean, self.running_var", "pass", "evaluation uses"),
    ("BatchNorm", "self.dgamma = (dout * self.xhat)", "self.dgamma = (dout * self.gamma)", None),
    ("BatchNorm", "self.dgamma = ", "self.std = self.__dict__.setdefault('first', self.std); "
     "self.dgamma = ", "stale statistics"),
    ("BatchNorm", "mu, var = self.running_mean, self.running_var",
     "mu, var = self.running_mean, self.running_var; self.running_mean = 0.9 * mu + x.mean(0) / 10",
     "evaluation changes"),
    ("BatchNorm", "mu, var = self.running_mean, self.running_var",
     "mu, var = self.running_mean, self.running_var; self.running_mean *= 1.1", "evaluation"),
    ("ReLU", "out = x.copy()", "out = x", "in place"),
    ("ReLU", "self.mask", "ReLU.mask", "shared by all layers"),
    ("ReLU", "dout[self.mask] = 0", "dout = np.maximum(dout, 0)", "taken from dy"),
    ("Sigmoid", "dout * self.out * (1 - self.out)", "dout * (1 - self.out)", "written as 1 - y"),
    ("Sigmoid", "1 / (1 + np.exp(-x))", "np.exp(x) / (1 + np.exp(x))", "overflows"),
    ("Tanh", "dout * (1 - self.out**2)", "1 - self.out**2", "dy is not used"),
    ("Tanh", "self.out**2", "np.tanh(self.out) ** 2", "applied twice"),
    ("Softmax", "self.p * (dout - (dout * self.p).sum(axis=-1, keepdims=True))",
     "dout * self.p * (1 - self.p)", "diagonal"),
    ("Softmax", "axis=-1", "axis=0", "axis 0"),
    ("Softmax", "e.sum(axis=-1, keepdims=True)", "e.sum()", "whole batch"),
    ("SoftmaxWithLoss", "dx / len(self.t)", "dx", "1/N is missing"),
    ("SoftmaxWithLoss", "x - x.max(axis=1, keepdims=True)", "x", "without its shift"),
    ("SoftmaxWithLoss", "x - x.max(axis=1, keepdims=True)", "x - x.max()", "its own maximum"),
    ("SoftmaxWithLoss", ".mean()", ".sum()", "1/N is missing"),
    ("SoftmaxWithLoss", "self.t] -= 1", "self.t] += 1", "added, not subtracted"),
    ("Dropout", "return dout * self.mask", "return dout", "mask is not used"),
    ("Dropout", "return x * (1 - self.dropout_ratio)", "return x", "nothing makes up"),
    ("Flatten", "len(x), -1)", "len(x), -1, order='F')", "Fortran"),
]  # fmt: skip


def module(text: str) -> ModuleType:
    """The text as a module, whose classes `inspect` cannot look up in a file."""
    name = "a_student"
    made = importlib.util.module_from_spec(importlib.machinery.ModuleSpec(name, None))
    sys.modules[name] = made
    exec(compile(text, f"{name}.py", "exec"), vars(made))
    return made


def one(name: str, *changes: tuple[str, str]) -> check.Report:
    """The report on a class of `plain.py`, changed."""
    start = TEXT.index(f"class {name}:")
    text = TEXT[start : TEXT.find("\nclass ", start) if "\nclass " in TEXT[start:] else None]
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    ((_, layers),) = source.found(module(f"import numpy as np\n{text}"))
    report = check.of(layers)
    assert isinstance(report, check.Report), report
    return report


@pytest.mark.parametrize(("name", "old", "new", "words"), MISTAKES)
def test_a_mistake_is_named(name, old, new, words):
    report = one(name, (old, new))
    assert not report
    if words is None:  # nobody thought of it: it is found, and no cause is invented
        assert report.causes == [] and "no known mistake fits" in str(report)
    else:
        assert re.search(words, report.causes[0]), str(report)


@pytest.mark.parametrize("file", ["plain.py", "others.py"])
def test_right_layers_pass(file):
    reports = [check.of(layers) for _, layers in source.found(source.load(STUDENTS / file))]
    assert len(reports) > 10
    assert [str(report) for report in reports if not report or isinstance(report, str)] == []
    known = [report for report in reports if "not a kind" not in str(report)]
    assert len(known) >= len(reports) - 1


def test_differences_are_taken_until_the_time_of_this_thread_is_over(monkeypatch):
    """A machine that holds it in between costs no place."""

    class Double:
        def forward(self, x):
            work[0] += 1
            return 2 * x

        def backward(self, dy):
            return 2 * dy

    work, x = [0], np.arange(12.0).reshape(3, 4)
    clock = types.SimpleNamespace(thread_time=lambda: float(work[0]))
    monkeypatch.setattr(numerical, "time", clock)
    student, dy = Student(Double()), np.ones((3, 4))
    assert np.isfinite(numerical.numerical(student, "x", x, dy, seconds=100)).all()
    found = numerical.numerical(student, "x", x, dy, seconds=7)
    assert np.isfinite(found).sum() == 4  # each place takes two passes
    np.testing.assert_allclose(found[np.isfinite(found)], 2, rtol=1e-6)


def test_our_own_layers_pass():
    from fastcnn import layers

    x = np.random.default_rng(0).normal(size=(3, 4, 6, 5))
    for layer in (
        layers.Conv2D(4, 3, (3, 2), stride=(2, 1), padding="same"), layers.MaxPool2D(3, 2, 1),
        layers.AveragePool2D((2, 3)), layers.BatchNorm(4), layers.GroupNorm(2, 4), layers.ReLU(),
        layers.Sigmoid(), layers.Flatten(), layers.Residual([layers.ReLU()]),
    ):  # fmt: skip
        report = check.gradients(layer, x)
        assert report, str(report)
