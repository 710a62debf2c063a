"""Layers in other people's styles: names and mistakes that `students/` does not hold."""

import re

import pytest

from fastcnn.checking import check, source

from .test_mistakes import module

ROWS = """
class Linear:
    def __init__(self, {arguments}):
        self.w, self.{b} = np.random.randn({arguments}), np.zeros((1, {last}))
    def forward(self, a):
        self.a = a
        return a @ self.w + self.{b}
    def backward(self, delta, lr):
        back = delta @ self.w{T}
        self.w -= lr * self.a.T @ delta
        self.{b} = self.{b} - lr * {db}
        return back
"""
COLUMNS = """
class Convolution:
    def __init__(self, cin, cout, k):
        self.theta, self.offset = np.random.randn({weights}), np.zeros(cout)
    def forward(self, x):
        self.x, k = x, {k}
        n, c, h, w = x.shape
        v = np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(2, 3))
        self.v = v.transpose(0, 2, 3, {columns}).reshape(n * (h - k + 1) * (w - k + 1), -1)
        y = self.v @ self.theta.reshape(-1, self.theta.shape[-1]) + self.offset
        return y.reshape(n, h - k + 1, w - k + 1, -1).transpose(0, 3, 1, 2)
    def backward(self, dy):
        self.dtheta = (self.v.T @ {rows}).reshape(self.theta.shape)
        self.doffset = dy.sum((0, 2, 3))
"""
NORM = """
class LayerNorm:
    def __init__(self, d, eps=1e-5):
        self.g, self.b, self.eps = np.ones(d), np.zeros(d), eps
    def forward(self, x):
        self.s = np.sqrt(x.var(-1, keepdims=True) + self.eps)
        self.xh = (x - x.mean(-1, keepdims=True)) / self.s
        return self.g * self.xh + self.b
    def backward(self, dy):
        self.dg, self.db = (dy * self.xh).sum(0), dy.sum(0)
        d = dy * self.g
        return ({d} - self.xh * (d * self.xh).mean(-1, keepdims=True)) / self.s
"""
EACH = """
class {name}:
    def forward(self, x):
        self.x = x
        return {y}
    def backward(self, d):
        return d * {dx}
"""
MEAN = """
class MeanPool:
    def __init__(self, k=2):
        self.k = k
    def forward(self, x):
        n, h, w, c = x.shape
        return x.reshape(n, h // self.k, self.k, w // self.k, self.k, c).mean((2, 4))
    def backward(self, d):
        return np.repeat(np.repeat(d, self.k, 1), self.k, 2) / {by}
"""
ELU = {"name": "ELU", "y": "np.where(x > 0, x, np.exp(x) - 1)"}
SOFTPLUS = {"name": "Softplus", "y": "np.log1p(np.exp(-abs(x))) + np.maximum(x, 0)"}
LINEAR = {"arguments": "n_x, n_h", "last": "n_h", "b": "b", "T": ".T",
          "db": "delta.sum(0, keepdims=True)"}  # fmt: skip
CONV = {"weights": "k, k, cin, cout", "k": "self.theta.shape[0]", "columns": "4, 5, 1",
        "rows": "dy.transpose(0, 2, 3, 1).reshape(-1, dy.shape[1])"}  # fmt: skip


BLOCK = """
class Linear:
    def __init__(self, n, m):
        self.W, self.b = np.random.randn(n, m), np.zeros(m)
    def forward(self, x):
        self.x = x
        return x @ self.W + self.b
    def backward(self, dy):
        self.gW, self.gb = self.x.T @ dy, dy.sum(0)
        return dy @ self.W.T

class Block:
    def __init__(self, dim):
        self.one, self.two = Linear(dim, dim), Linear(dim, dim)
    def forward(self, x):
        self.h = self.one.forward(x)
        return x + self.two.forward(np.maximum(self.h, 0))
    def backward(self, dy):
        return {way} + self.one.backward(self.two.backward(dy) * (self.h > 0))
"""


def report(text: str) -> check.Report:
    ((_, layers),) = source.found(module(f"import numpy as np\n{text}"))
    found = check.of(layers)
    assert isinstance(found, check.Report), found
    return found


@pytest.mark.parametrize(
    ("text", "change", "words"),
    [
        (ROWS, LINEAR, None),
        (ROWS, LINEAR | {"arguments": "previous, these", "last": "these", "b": "o"}, None),
        (ROWS, LINEAR | {"db": "delta"}, "not summed over the batch"),
        (ROWS, LINEAR | {"arguments": "n, n", "last": "n", "T": ""}, "transpose is missing"),
        (COLUMNS, CONV, None),
        (COLUMNS, CONV | {"rows": "dy.reshape(-1, dy.shape[1])"}, "dy is reshaped to"),
        (COLUMNS, CONV | {"columns": "1, 4, 5"}, "flattened in another order"),
        (COLUMNS, CONV | {"columns": "4, 5, 1)[..., ::-1, ::-1, :].copy("}, "kernel is flipped"),
        (NORM, {"d": "d - d.mean(-1, keepdims=True)"}, None),
        (EACH, ELU | {"dx": "np.where(self.x > 0, 1, np.exp(self.x))"}, None),
        (EACH, ELU | {"dx": "np.where(self.x > 0, 1, np.exp(self.x) - 1)"}, "function stands"),
        (EACH, SOFTPLUS | {"dx": "1 / (1 + np.exp(-self.x))"}, None),
        (EACH, SOFTPLUS | {"dx": "1 / (1 + np.exp(self.x))"}, "taken at -x"),
        (MEAN, {"by": "self.k**2"}, None),
        (MEAN, {"by": "self.k"}, "divided by 2, a side of the window"),
        (NORM, {"d": "d"}, "mean .*for a constant|for constants|mean"),
    ],
)
def test_each_style_is_understood(text, change, words):
    for name, value in change.items():
        text = text.replace(f"{{{name}}}", value)
    text = text.replace("self, n, n)", "self, n)")
    found = report(text)
    if words is None:
        assert found and "not a kind" not in str(found), str(found)
    else:
        assert re.search(words, found.causes[0]), str(found)


@pytest.mark.parametrize(("way", "wrong"), [("dy", None), ("0", "the gradient by x")])
def test_layers_inside_a_layer_have_their_own_gradients(way, wrong):
    found = dict(source.found(module("import numpy as np\n" + BLOCK.replace("{way}", way))))
    assert check.of(found["Linear"])
    block = check.of(found["Block"])
    assert isinstance(block, check.Report)
    assert [each.what for each in block.findings] == ([wrong] if wrong else []), str(block)
    assert "two.W (4, 4), its gradient in two.gW" in str(block)
