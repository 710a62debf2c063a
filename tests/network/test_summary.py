"""`summary(time=True)`: what each layer costs."""

import itertools
import re
import types

import numpy as np
import pytest

from fastcnn import Sequential
from fastcnn.layers import BatchNorm, Conv2D, Dense, Dropout, Flatten, Layer, ReLU, Residual
from kernels import jit, peak


def build(**options):
    block = Residual([Conv2D(4, 4, 3, padding=1)], [Conv2D(4, 4, 1)], ReLU())
    return Sequential(
        Conv2D(1, 4, (3, 2), stride=2), BatchNorm(4), block, Flatten(), Dropout(0.5), Dense(48, 3),
        **options,
    )  # fmt: skip


def test_the_table_says_what_layers_cost():
    model = build(input_shape=(1, 9, 7))
    before = model.copy_arrays()
    text = model.summary(time=True, batch_size=4)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert "batch of 4" in text and "GFLOP/s" in text
    rows = {line.split("  ")[0].strip().split("(")[0]: line for line in lines[1:]}
    # 4 x 3 places of 4 filters with 6, 36 or 4 weights; 48 x 3 in the dense layer
    assert " 288 " in lines[1] and lines[4].endswith(" 1,728") and " 144 " in rows["Dense"]
    assert " 1,920 " in lines[3] and lines[5].endswith(" 192")
    assert re.search(r"(\d\S* +){2}\d+%$", lines[1])
    assert len(re.findall(r"%$", text, re.MULTILINE)) == 4  # two convolutions, dense, in one
    for name, array in model.named_arrays():
        np.testing.assert_array_equal(array, before[name])
    assert all(not gradient.any() for gradient in model.layers[0].grads.values())


def test_multiply_adds_are_those_of_the_formula():
    model = build(input_shape=(1, 9, 7))
    shape, counts = (2, 1, 9, 7), []
    for layer in model.layers:
        counts.append(layer.multiply_adds(shape))
        shape = layer.output_shape(shape)
    assert counts == [2 * 12 * 4 * 6, 0, 2 * 12 * 4 * (36 + 4), 0, 0, 2 * 48 * 3]


def test_frozen_layers_are_not_run_backward():
    model = build(input_shape=(1, 9, 7))
    model.freeze("all-but-last")
    _, multiply_adds, *times = model.summary(time=True, batch_size=2).splitlines()[1].split()[-4:]
    assert multiply_adds == "288" and len(times) == 2  # forward and its share: none backward


def test_channels_last_and_a_layer_of_ones_own():
    class Own(Layer):
        def children(self):
            return [("inner", inner)]

        def forward(self, x, training=False):
            return 2 * x

        def backward(self, dy):
            return 2 * dy

    inner = ReLU()
    model = Sequential(Own(), Flatten(), Dense(12, 2), data_format="channels_last")
    assert "3x2x2" in model.summary((2, 2, 3), time=True, batch_size=1)


def test_without_a_shape_there_are_no_times():
    with pytest.raises(ValueError, match="times need the shape of a sample"):
        build().summary(time=True)
    with pytest.raises(ValueError, match="batch_size must be a whole number above 0"):
        build().summary((1, 9, 7), time=True, batch_size=0)


def test_the_peak_is_a_speed(monkeypatch):
    """Operations by the seconds that they took: here each look at the clock comes 0.25 s later."""
    assert peak.gflops(seconds=0.001) > 0
    moments = itertools.count(step=0.25)
    clock = types.SimpleNamespace(perf_counter=lambda: next(moments))
    monkeypatch.setattr(peak, "time", clock)
    lanes = jit.target().register_bytes // 4
    operations = 3 * 2 * peak._ROUNDS * peak.SUMS * lanes * jit.get_threads()
    assert peak.gflops(seconds=0.9) == pytest.approx(operations / 1e9)


@pytest.mark.parametrize("shape", [(1, 28.5, 28), (1, "a", 28), (1, True, 28), (0, 5), 2.5, None])
@pytest.mark.parametrize("time", [False, True])
def test_sizes_that_are_none_are_refused(shape, time):
    model = Sequential(ReLU())
    if shape is None:
        assert model.summary(shape).count("\n") == 2
        return
    with pytest.raises(ValueError, match="summary: input_shape must be a whole number above 0"):
        model.summary(shape, time=time)
