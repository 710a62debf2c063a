"""A number is explained by what the layers compute, for every kind of layer."""

import json
import re

import numpy as np
import pytest

from fastcnn import Sequential, backend
from fastcnn.explain import main
from fastcnn.explaining import explain, find
from fastcnn.gallery.analysis import layer_outputs, places
from fastcnn.layers import (
    AveragePool2D,
    BatchNorm,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool2D,
    LayerNorm,
    MaxPool2D,
    ReLU,
    Residual,
    Sigmoid,
)
from fastcnn.losses import CrossEntropyLoss
from fastcnn.train import main as train

SUMS = (Conv2D, Dense, BatchNorm, ReLU, MaxPool2D, AveragePool2D, GlobalAveragePool2D, Flatten)


@pytest.fixture(scope="module")
def network():
    """One layer of many kinds, blocks and a frozen one among them, with numbers everywhere."""
    model = Sequential(
        Conv2D(2, 4, 3, padding=1, stride=2), BatchNorm(4), ReLU(), Dropout(0.5),
        Residual([Conv2D(4, 4, 3, padding=1), BatchNorm(4)], [Conv2D(4, 4, 1)], ReLU()),
        Concatenate([Conv2D(4, 2, 3, padding=1, groups=2, dilation=1), Sigmoid()]),
        MaxPool2D(2), AveragePool2D(2, padding=1), LayerNorm(6), GlobalAveragePool2D(),
        Dense(6, 5), Sigmoid(), Dense(5, 3), seed=3,
    )  # fmt: skip
    numbers = np.random.default_rng(0)
    for _, array in model.named_arrays():
        array[...] = numbers.uniform(0.2, 1.2, array.shape)
    for place in places(model):
        if "weight" in place.layer.params:
            shape = place.layer.params["weight"].shape
            place.layer.params["weight"] = numbers.normal(0, 0.5, shape)
    model.layers[0].trainable = False
    return model


X = np.random.default_rng(1).normal(size=(1, 2, 11, 9)).astype(np.float32)


def test_every_layer_of_a_network(network):
    before = network.copy_arrays()
    outputs = {place.path: y[0] for place, y in layer_outputs(network, X)}
    for place in places(network):
        y = outputs[place.path]
        number = explain(network, X, place.path, label=1)
        assert number.shape == y.shape and abs(y[number.at]) == np.abs(y).max()
        assert number.value == float(y[number.at])  # to the bit
        assert number.terms and number.sources[-1].startswith("fastcnn/layers/")
        if isinstance(place.layer, SUMS) and not place.layer.children():
            assert number.is_sum, place
            assert number.total == pytest.approx(number.value, rel=1e-5)
        if isinstance(place.layer, (Sigmoid, LayerNorm)):
            assert not number.is_sum
    for name, array in network.copy_arrays().items():
        np.testing.assert_array_equal(array, before[name])
    assert not network.layers[0].trainable and network.layers[1].trainable


def test_weights_are_the_slopes_and_zeros_of_the_border_are_left_out(network):
    weight = network.layers[0].params["weight"]
    number = explain(network, X, "conv1", (3, 0, 0))
    assert len(number.terms) == 2 * 2 * 2  # channels, rows, columns that lie on the image
    for term in number.terms:
        channel, row, column = term.at
        assert term.slope == weight[3, channel, row + 1, column + 1]
        assert term.x == X[0][term.at]
    assert number.constant == network.layers[0].params["bias"][3]
    assert number.gradient is None  # without a label
    assert number.sources[0].startswith("kernels/loop.py:")
    assert number.sources[0].endswith(" conv_forward")


def test_what_comes_back_is_the_gradient_of_the_loss(network):
    """Against the loss of the same network whose number is moved a little."""
    with backend("im2col"):  # nothing is compiled for doubles that need not be
        check_gradients(network.astype(np.float64))
    network.astype(np.float32)


def check_gradients(model):
    x = X.astype(np.float64)
    step = 1e-6
    for path in ("0", "2", "4.main.1", "5", "6", "10", "12"):
        number = explain(model, x, path, label=1)
        (layer,) = [place.layer for place in places(model) if place.path == path]
        losses = []
        for moved in (step, -step):
            forward = layer.forward

            def other(x, training=False, forward=forward, moved=moved, at=number.at):
                y = forward(x, training).copy()
                y[(0, *at)] += moved
                return y

            layer.forward = other
            y = model.prepared(x)
            for each in model.layers:
                y = each.forward(y)
            del layer.forward
            losses.append(CrossEntropyLoss().forward(y, np.array([1])))
        expected = (losses[0] - losses[1]) / (2 * step)
        assert number.gradient == pytest.approx(expected, rel=1e-4, abs=1e-9), path


class Skipping(Residual):
    def rows(self):
        return dict(zip(("the_way", "theway"), super().rows().values(), strict=True))


def test_layers_are_found_by_what_people_call_them(network):
    assert find(network, None).path == "0"
    for name in ("conv2", "Conv 2", "conv_2", "4.main.0"):
        assert find(network, name).path == "4.main.0"
    parts = Sequential(Skipping([Dense(2, 2)], [Dense(2, 2)]))
    for name in ("0.the_way.0", "0.the-way.0", "dense_1"):
        assert find(parts, name).path == "0.the_way.0"
    assert find(parts, "0.theway.0").path == "0.theway.0"
    with pytest.raises(ValueError, match=r"no layer 'conv9'.*conv1"):
        find(network, "conv9")
    with pytest.raises(ValueError, match=r"Conv 1 gives numbers 0,0,0 to 3,5,4 .*, got 4,0,0"):
        explain(network, X, "conv1", (4, 0, 0))
    with pytest.raises(ValueError, match="got 1,2"):
        explain(network, X, "conv1", (1, 2))
    with pytest.raises(ValueError, match="one sample is explained at a time, got 2"):
        explain(network, np.concatenate([X, X]))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explained") / "run"
    words = ["--dataset", "digits", "--limit-train", "100", "--limit-test", "30", "--epochs", "1"]
    assert train([*words, "--no-pictures", "--quiet", "--out", str(folder)]) == 0
    return str(folder)


def test_the_command(run, tmp_path, capsys):
    assert main([run, "--image", "3", "--layer", "conv1", "--at", "5,4,7"]) == 0
    said = capsys.readouterr().out
    assert "channel 5, row 4, column 7:" in said and "+ 9 products; in double precision" in said
    assert "computed in kernels/loop.py:" in said
    assert all(len(line) <= 80 for line in said.splitlines()[2:]), said
    assert main([run, "--layer", "dense1", "--terms", "4"]) == 0
    said = capsys.readouterr().out
    assert "smaller ones (--terms " in said and len(said.splitlines()) < 22
    assert main([run, "--layer", "relu1", "--json", "--out", str(tmp_path / "a.json")]) == 0
    told = json.loads((tmp_path / "a.json").read_text())
    assert told["is_sum"] and told["terms"][0]["slope"] == 1 and told["value"] > 0


def test_the_command_speaks_chinese(run, capsys):
    """The same numbers and code, and no English word but names and the formula."""
    for layer in ("conv1", "relu1", "maxpool1", "dense1"):
        said = []
        for language in ("en", "zh"):
            words = [run, "--image", "3", "--layer", layer, "--terms", "4", "--language", language]
            assert main(words) == 0
            said.append(capsys.readouterr().out)
        english, chinese = said
        plain = (english, chinese.replace("每增加 1，", ""))
        numbers = [sorted(re.findall(r"-?\d[\d.e+-]*", text)) for text in plain]
        assert numbers[0] == numbers[1]
        sources = [re.findall(r"\S+:\d+ \S+$", text, re.MULTILINE) for text in said]
        assert sources[0] == sources[1] != []
        formula = {line for line in english.splitlines() if line.startswith("    ")}
        for line in set(chinese.splitlines()) - formula - {""}:
            assert re.search("[\u4e00-\u9fff]", line) or not re.search("[a-z]{4} [a-z]", line)
    assert main([run, "--layer", "conv7", "--language", "zh"]) == 2
    assert "没有名为 'conv7' 的层；有 conv1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "of which run?"),
        (["RUN", "--at", "1,a"], "at must be whole numbers such as 5,4,7, got '1,a'"),
        (["RUN", "--at", "1,2,99"], "Conv 1 gives numbers 0,0,0 to 7,27,27"),
        (["RUN", "--layer", "conv7"], "no layer 'conv7'"),
        (["RUN", "--image", "30"], "image must be 0 to 29, got 30"),
        (["RUN", "--terms", "0"], "terms must be at least 1, got 0"),
        (["nowhere"], "there is no run folder or model file nowhere"),
    ],
)
def test_what_cannot_be_explained_is_refused(run, words, sentence, capsys):
    assert main([run if word == "RUN" else word for word in words]) == 2
    said = capsys.readouterr()
    assert sentence in said.err and said.err.count("\n") == 1 and said.out == ""
