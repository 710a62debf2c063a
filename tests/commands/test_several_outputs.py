"""The commands on saved networks with several outputs, several inputs, numbers and labels."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from fastcnn import Graph, Input, datasets, load_model, metrics
from fastcnn.convert import main as convert
from fastcnn.demo import main as demo
from fastcnn.evaluate import main as evaluate
from fastcnn.explain import main as explain
from fastcnn.inference import Compiled
from fastcnn.layers import Concat, Conv2D, Dense, Flatten, ReLU, Softmax
from fastcnn.plot import main as plot
from fastcnn.predict import main as predict
from fastcnn.runs import saved
from fastcnn.runs.saved import Saved
from fastcnn.train import main as train
from kernels import jit

LOSSES = ("cross-entropy", "cross-entropy", "bce", "mse", "mse")
NAMES = ("digit", "aux", "kind", "many", "ink")


@pytest.fixture(scope="module")
def data():
    return datasets.load("digits")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, data):
    """Networks in files, and two pictures."""
    root = tmp_path_factory.mktemp("several")
    x = Input((1, 28, 28))
    images = ReLU()(Conv2D(1, 2, 3, 2)(x))
    y = Flatten()(images)
    outputs = (Softmax()(Dense(338, 10)(y)), *(Dense(338, n)(y) for n in (10, 3, 6, 1)))
    model = Graph(x, dict(zip(NAMES, outputs, strict=True)))
    model.trained_by(None, tuple(CLASSES_OF[each] for each in LOSSES))
    model.save(root / "five.npz")
    kind = Graph(x, {"kind": Dense(338, 3)(y)}, class_names=("odd", "big", "huge"))
    kind.trained_by(None, "multilabel")
    kind.save(root / "kind.npz")
    amount = Graph(x, Dense(338, 1)(y))
    amount.trained_by(None, "regression")
    amount.save(root / "ink.npz")
    Graph(x, {"map": images, "digit": Dense(338, 10)(y)}).save(root / "map.npz")
    Graph(x, images).save(root / "mask.npz")
    Graph(x, {"a": Dense(338, 3)(y), "b": Dense(338, 2)(y)}).save(root / "other.npz")
    z = Input((1, 28, 28))
    both = Concat()(Flatten()(x), Flatten()(z))
    Graph({"left": x, "right": z}, Dense(1568, 10)(both)).save(root / "two.npz")
    numbers = Input((5,))
    Graph(numbers, (Dense(5, 10)(numbers), Dense(5, 1)(numbers))).save(root / "row.npz")
    for i in range(2):
        Image.fromarray(data.x_test[i, 0]).save(root / f"{i}.png")
    return root


CLASSES_OF = {"cross-entropy": "classification", "bce": "multilabel", "mse": "regression"}


def told(folder, name, capsys, *options):
    """What predict writes of both pictures."""
    pictures = [str(folder / f"{i}.png") for i in range(2)]
    assert predict([str(folder / name), *pictures, *options]) == 0
    return capsys.readouterr().out


def test_predict_has_a_column_for_each_output(folder, data, capsys):
    head, *lines = told(folder, "five.npz", capsys).splitlines()
    assert head.split() == list(NAMES) and len(lines) == 2
    for name in NAMES:
        assert lines[0][head.index(name) - 1] == " " != lines[0][head.index(name)]
    model = load_model(folder / "five.npz")
    digit, aux, kind, many, ink = model.predict(data.x_test[:2])
    probability, *_ = model.forward(model.prepared(data.x_test[:2]))
    rows = list(csv.DictReader(io.StringIO(told(folder, "five.npz", capsys, "--csv"))))
    for i, row in enumerate(rows):
        assert list(row) == [
            "file", "digit", "digit_probability", "aux", "aux_probability",
            "kind_0", "kind_1", "kind_2", *(f"many_{j}" for j in range(6)), "ink", "unlike",
        ]  # fmt: skip
        assert (int(row["digit"]), int(row["aux"])) == (digit[i], aux[i])
        # The softmax at the end is not done twice.
        assert float(row["digit_probability"]) == pytest.approx(probability[i].max(), rel=1e-5)
        assert [float(row[f"kind_{j}"]) > 0.5 for j in range(3)] == kind[i].astype(bool).tolist()
        assert [float(row[f"many_{j}"]) for j in range(6)] == many[i].tolist()
        assert float(row["ink"]) == ink[i]
        assert f"{float(row['ink']):.4g}" in lines[i] and " and 3 more" in lines[i]
    for i, answer in enumerate(json.loads(told(folder, "five.npz", capsys, "--json"))):
        assert list(answer) == ["file", "outputs", "unlike"]
        outputs = answer["outputs"]
        assert list(outputs) == list(NAMES)
        assert outputs["digit"]["class"] == rows[i]["digit"]
        assert outputs["ink"] == ink[i] and outputs["many"] == many[i].tolist()
        assert outputs["kind"]["1"] == float(rows[i]["kind_1"])


def test_predict_of_numbers_and_of_labels(folder, data, tmp_path, capsys):
    head, line, _ = told(folder, "ink.npz", capsys).splitlines()
    assert head.split() == ["number"]
    ink = load_model(folder / "ink.npz").predict(data.x_test[:2])
    assert float(line.split()[-1]) == pytest.approx(ink[0], rel=1e-3)
    text = told(folder, "kind.npz", capsys, "--csv", "--show", str(tmp_path / "seen.png"))
    assert text.splitlines()[0] == "file,kind_odd,kind_big,kind_huge,unlike"
    assert (tmp_path / "seen.png").read_bytes().startswith(b"\x89PNG")
    shares = load_model(folder / "kind.npz").predict_proba(data.x_test[:1])[0]
    likely = [n for n, share in zip(("odd", "big", "huge"), shares, strict=True) if share > 0.5]
    line = told(folder, "kind.npz", capsys).splitlines()[1]
    assert all(name in line for name in likely or ["none"])


def test_evaluate_measures_what_tells_the_classes_apart(folder, data, capsys):
    argv = [str(folder / "five.npz"), "--dataset", "digits"]
    assert evaluate([*argv, "--json"]) == 0
    said = capsys.readouterr()
    assert said.err == "not measured, as the images have no targets: kind, many, ink\n"
    outputs = json.loads(said.out)["outputs"]
    assert list(outputs) == ["digit", "aux"]
    digit, aux, *_ = load_model(folder / "five.npz").predict(data.x_test)
    for name, found in (("digit", digit), ("aux", aux)):
        assert outputs[name]["accuracy"]["value"] == (found == data.y_test).mean()
    assert evaluate([*argv, "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    found = {row["output"]: float(row["value"]) for row in rows if row["metric"] == "accuracy"}
    assert found == {name: outputs[name]["accuracy"]["value"] for name in ("digit", "aux")}
    assert evaluate(argv) == 0
    said = capsys.readouterr().out
    assert said.count("true class, by number") == 2 and "images of digits, output aux\n" in said


def test_many_images_are_answered_by_the_compiled_network(folder, data, monkeypatch):
    usual = Saved(folder / "five.npz").answers(data.x_test)
    made = []
    monkeypatch.setattr(saved, "_WORTH_COMPILING", 1 / jit.get_threads())
    monkeypatch.setattr(Compiled, "_answer", lambda *a, f=Compiled._answer: made.append(a) or f(*a))
    for ours, wanted in zip(Saved(folder / "five.npz").answers(data.x_test), usual, strict=True):
        np.testing.assert_allclose(ours, wanted, atol=1e-5 * abs(wanted).max())
    assert made
    report = metrics.measure(usual[0], data.y_test, data.class_names)
    assert 0 < report.accuracy.value < 1


SEVERAL = "is a network of several outputs (digit, aux, kind, many, ink), and this is for one that"
INPUTS = "is a network of 2 inputs, and here each picture is one: use it in Python, load_model("


@pytest.mark.parametrize(
    ("command", "argv", "words"),
    [
        (predict, ["two.npz", "0.png"], f"{INPUTS}...).predict((left, right))"),
        (evaluate, ["two.npz", "--dataset", "digits"], INPUTS),
        (explain, ["two.npz", "--dataset", "digits"], INPUTS),
        (demo, ["two.npz", "--dataset", "digits"], INPUTS),
        (plot, ["confusion", "two.npz", "--dataset", "digits", "--out", "a.png"], INPUTS),
        (explain, ["five.npz", "--dataset", "digits"], SEVERAL),
        (demo, ["five.npz", "--dataset", "digits"], SEVERAL),
        (plot, ["confusion", "five.npz", "--dataset", "digits", "--out", "a.png"], SEVERAL),
        (predict, ["map.npz", "0.png"], "output map of map.npz gives (2, 13, 13) for a picture"),
        (predict, ["mask.npz", "0.png"], "error: mask.npz gives (2, 13, 13) for a picture"),
        (predict, ["mask.npz", "0.png", "--json"], "use it in Python, load_model(...).predict(im"),
        (evaluate, ["mask.npz", "--dataset", "digits"], "mask gives (2, 13, 13) for an image, wh"),
        (explain, ["mask.npz", "--dataset", "digits"], "mask gives (2, 13, 13) for an image, whi"),
        (plot, ["confusion", "mask.npz", "--dataset", "digits"], "mask gives (2, 13, 13) for an"),
        (predict, ["row.npz", "0.png"], "takes samples of shape (5,), which are no pictures"),
        (evaluate, ["row.npz", "--dataset", "digits"], "takes images of shape (5,), those of dig"),
        (
            evaluate, ["other.npz", "--dataset", "digits"],
            "digits has 10 classes, which none of the outputs of other tells apart, a (3,), b (2,)",
        ),
        (plot, ["confusion", "ink.npz", "--dataset", "digits"], "is a network for numbers, not"),
        (evaluate, ["ink.npz", "--dataset", "digits"], "holds classes, which task regression is"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused(command, argv, words, folder, capsys, monkeypatch):
    if command is demo:
        pytest.importorskip("starlette")
        pytest.importorskip("uvicorn")
    monkeypatch.chdir(folder)
    assert command(argv) == 2
    said = capsys.readouterr()
    assert words in said.err and said.err.count("error: ") == 1 and said.out == ""
    assert not (folder / "a.png").exists()


@pytest.mark.parametrize("ending", ["onnx", "safetensors"])
@pytest.mark.parametrize("name", ["five", "two"])
def test_convert_keeps_them(name, ending, folder, tmp_path):
    pytest.importorskip(ending)
    there, back = str(tmp_path / f"m.{ending}"), str(tmp_path / "back.npz")
    assert convert([str(folder / f"{name}.npz"), there]) == 0
    assert convert([there, back]) == 0
    model, again = load_model(folder / f"{name}.npz"), load_model(back)
    assert again.output_names == model.output_names and again.task == model.task
    given = model.structure()
    assert again.structure().get("input_names") == given.get("input_names")


def test_train_says_what_it_can_do_with_a_file(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    assert train(["--model", "five.npz", "--dataset", "digits"]) == 2
    said = capsys.readouterr().err
    assert "--init-from FILE.npz begins one of them" in said and "load_model(...).train" in said
    argv = ["--model", "lenet5", "--dataset", "digits", "--epochs", "1", "--init-from", "five.npz"]
    assert train([*argv, "--out", "none"]) == 2
    assert "nothing in" in capsys.readouterr().err and not (folder / "none" / "best.npz").exists()
