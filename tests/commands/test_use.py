"""`predict` and `evaluate` on a run of people's own pictures."""

import csv
import html.parser
import io
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fastcnn
from fastcnn import Graph, Input, datasets, load_model, metrics
from fastcnn.commands.evaluate import table
from fastcnn.datasets.own import digit, pictures
from fastcnn.evaluate import main as evaluate
from fastcnn.inference import Compiled
from fastcnn.layers import BatchNorm, Conv2D, Dense, Flatten, ReLU
from fastcnn.losses import MSELoss
from fastcnn.plot import main as plot
from fastcnn.predict import main as predict
from fastcnn.report import main as report
from fastcnn.runs import saved
from fastcnn.runs.likeness import Likeness
from fastcnn.runs.saved import Saved
from fastcnn.train import main as train
from fastcnn.trainable import Trainable
from kernels import jit


def draw(path, number, rng, size=(24, 20)):
    pixels = rng.integers(0, 90, (*size, 3), np.uint8)
    pixels[..., number] += 120
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with pets/ and a run that has learned them."""
    root = tmp_path_factory.mktemp("use")
    rng = np.random.default_rng(0)
    for number, (name, count) in enumerate((("cat", 30), ("dog", 25), ("emu", 5))):
        for i in range(count):
            draw(root / "pets" / name / f"{i}.png", number, rng)
    argv = ["--dataset", str(root / "pets"), "--size", "16", "--epochs", "12", "--batch-size", "8"]
    assert train([*argv, "--out", str(root / "run"), "--quiet"]) == 0
    return root


@pytest.fixture
def run(trained):
    return str(trained / "run")


# --- predict ------------------------------------------------------------------------------------


def test_files_folders_and_lists(trained, run, tmp_path, capsys, monkeypatch):
    draw(tmp_path / "new" / "a.png", 1, np.random.default_rng(9))
    draw(tmp_path / "new" / "below" / "b.jpg", 0, np.random.default_rng(9), (300, 200))
    (tmp_path / "new" / "notes.txt").write_text("x")
    assert predict([run, str(tmp_path / "new")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "a.png  " in said[0] and " dog " in said[0] and "(then" in said[0]
    assert any("b.jpg" in line and " cat " in line for line in said)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{tmp_path / 'new' / 'a.png'}\n\n"))
    assert predict([run, "-", "--csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["class1"] == "dog" and row["file"].endswith("a.png")
    assert predict([run, "--json", str(tmp_path / "new" / "a.png")]) == 0
    told = capsys.readouterr().out
    (answer,) = json.loads(told)
    file = tmp_path / "folder" / "answers.json"
    assert predict([run, str(tmp_path / "new" / "a.png"), "--json", "--out", str(file)]) == 0
    assert file.read_text("utf-8") == told and capsys.readouterr().out == ""
    shares = [each["probability"] for each in answer["classes"]]
    assert sum(shares) == pytest.approx(1) and shares == sorted(shares, reverse=True)
    assert answer["classes"][0]["class"] == "dog"
    model = load_model(trained / "run" / "best.npz")
    pixels = pictures.read(tmp_path / "new" / "a.png", (16, 16)).transpose(2, 0, 1)[None]
    assert shares[0] == pytest.approx(model.predict_proba(pixels).max(), abs=1e-6)


def test_what_the_network_saw(run, trained, tmp_path, capsys):
    place = tmp_path / "new folder" / "seen.png"
    assert predict([run, str(trained / "pets" / "emu"), "--show", str(place)]) == 0
    assert place.read_bytes().startswith(b"\x89PNG")
    assert "written" in capsys.readouterr().err


def test_unlike_pictures_are_noted(run, tmp_path, capsys):
    Image.new("RGB", (40, 40), "white").save(tmp_path / "white.png")
    assert predict([run, str(tmp_path / "white.png"), "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert "brighter than any training picture" in answer["unlike"]
    assert "smoother" in answer["unlike"]


def test_test_pictures_are_like_those_trained_on(trained):
    saved = Saved(trained / "run")
    assert not any(Likeness(saved).reasons(saved.dataset().x_test))


def test_a_model_alone_answers_without_comparing(trained, tmp_path, capsys):
    shutil.copy(trained / "run" / "best.npz", tmp_path / "model.npz")
    assert predict([str(tmp_path / "model.npz"), str(trained / "pets" / "dog" / "1.png")]) == 0
    said = capsys.readouterr()
    assert " dog " in said.out and "not compared" in said.err


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: [], "name a run's folder and pictures"),
        (lambda folder: ["nowhere.png"], "there is no file or folder nowhere.png"),
        (lambda folder: [str(folder)], "holds no pictures"),
        (lambda folder: [str(folder / "bad.txt")], "bad.txt cannot be read: it is no picture"),
        (lambda folder: [str(folder / "bad.txt"), "--csv", "--json"], "give one of them"),
        (lambda folder: [str(folder / "bad.txt"), "--mnist-like"], "28 x 28"),
        (lambda folder: ["-"], "named no pictures"),
    ],
)
def test_predict_refuses_in_a_sentence(run, tmp_path, capsys, monkeypatch, make, words):
    (tmp_path / "bad.txt").write_text("hello")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert predict([run, *make(tmp_path)]) == 2
    said = capsys.readouterr()
    assert words in said.err and said.err.count("\n") == 1 and said.out == ""


def test_broken_pictures_in_a_folder_are_left_out(run, tmp_path, capsys):
    draw(tmp_path / "a.png", 1, np.random.default_rng(9))
    (tmp_path / "b.png").write_bytes(b"")
    assert predict([run, str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert said.out.count("\n") == 1 and "left out" in said.err and "b.png" in said.err


def test_hidden_folders_and_results_are_not_asked_about(run, tmp_path, capsys):
    for name in ("a.png", ".thumbnails/a.png", "run/curves.png", "run/plots/b.png", "more/c.png"):
        draw(tmp_path / name, 1, np.random.default_rng(9))
    for name in ("config.toml", "history.csv"):
        (tmp_path / "run" / name).write_text("")
    assert predict([run, str(tmp_path), "--csv"]) == 0
    asked = [line["file"] for line in csv.DictReader(io.StringIO(capsys.readouterr().out))]
    assert asked == [str(tmp_path / "a.png"), str(tmp_path / "more" / "c.png")]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_files_of_any_name_break_no_table(run, tmp_path, capsys):
    names = ["a\nb.png", "c\td.png", "\x1b[31m.png", "e\rf.png", "ä.png", os.fsdecode(b"\xff.png")]
    for name in names:
        draw(tmp_path / name, 1, np.random.default_rng(9))
    (tmp_path / "no\nne.png").write_bytes(b"")
    assert predict([run, str(tmp_path), "--show", str(tmp_path / "s\nn.svg")]) == 0
    said = capsys.readouterr()
    table = said.out.split("\n")
    assert len(table) == len(names) + 1 and said.out.replace("\n", "").isprintable()
    assert len({line.index("  ") for line in table if "b.png" in line or "[31m.png" in line}) == 2
    assert any(r"a\nb.png" in line for line in table) and any("ä.png" in line for line in table)
    assert r"left out" in said.err and r"no\nne.png" in said.err and r"s\nn.svg" in said.err
    assert said.err.count("\n") == 2
    kept = {name.encode(errors="backslashreplace").decode() for name in names}
    for how in ("--csv", "--json"):
        out = tmp_path / "answers"
        assert predict([run, str(tmp_path), how, "--out", str(out)]) == 0
        with open(out, encoding="utf-8", newline="") as file:
            told = list(csv.DictReader(file)) if how == "--csv" else json.load(file)
        assert {Path(row["file"]).name for row in told} == kept
    assert predict([run, str(tmp_path / "no\nwhere")]) == 2
    assert capsys.readouterr().err.count("\n") == 2 * 2 + 1


# --- a photo of a digit -------------------------------------------------------------------------


def photo(glyph, rng, pen=1.0):
    """A digit of MNIST (28, 28) as a photo of dark ink on unevenly lit paper, with dust."""
    inside = Image.fromarray(glyph).crop(Image.fromarray(glyph).getbbox())
    scale = rng.uniform(8, 14)
    large = inside.resize((int(inside.width * scale), int(inside.height * scale)))
    height, width = rng.integers(450, 700, 2)
    down, across = np.mgrid[:height, :width] / [[[height]], [[width]]]
    paper = 190 + 40 * across * rng.uniform(-1, 1) + 40 * down * rng.uniform(-1, 1)
    ink = np.zeros((height, width))
    top, left = (int(rng.integers(20, free - 20)) for free in
                 (height - large.height, width - large.width))  # fmt: skip
    ink[top : top + large.height, left : left + large.width] = np.asarray(large) / 255
    image = paper * (1 - 0.8 * pen * ink) + rng.normal(0, 5, ink.shape)
    image[30:33, 40:43] = 60
    return np.clip(image, 0, 255).astype(np.uint8)


def test_a_photo_becomes_what_mnist_is():
    rng = np.random.default_rng(2)
    digits = datasets.load("digits").x_train[:40, 0]
    for glyph in digits:
        glyph = np.where(glyph > 40, glyph, 0)
        found = digit.mnist_like(photo(glyph, rng)).astype(float)
        assert found.shape == (28, 28) and found.max() == 255
        assert found[:2].max() == found[-2:].max() == 0  # dark around it
        rows, columns = (np.flatnonzero((found > 60).any(axis=axis)) for axis in (1, 0))
        assert 16 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 20
        weights = found / found.sum()
        centre = [(weights.sum(axis=1 - axis) * np.arange(28)).sum() for axis in (0, 1)]
        assert np.abs(np.array(centre) - 13.5).max() <= 1
        wanted = centred(glyph)
        assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.85


def centred(glyph):
    """The digit itself, in the same form."""
    return digit.mnist_like(np.asarray(Image.fromarray(glyph).resize((280, 280)))).astype(float)


def test_bright_on_dark_is_the_same_as_dark_on_bright():
    glyph = np.asarray(Image.fromarray(datasets.load("digits").x_train[5, 0]).resize((300, 300)))
    one, other = digit.mnist_like(glyph).astype(int), digit.mnist_like(255 - glyph).astype(int)
    assert np.abs(one - other).max() <= 12


def test_an_empty_page_is_answered():
    page = np.random.default_rng(0).normal(200, 3, (300, 200)).astype(np.uint8)
    with pytest.raises(pictures.UnreadableError, match="nothing stands out"):
        digit.mnist_like(page)


# --- evaluate -----------------------------------------------------------------------------------


def test_evaluate_measures_the_test_images(run, trained, capsys):
    result = json.loads((trained / "run" / "result.json").read_text())
    assert evaluate([run, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["accuracy"]["value"] == result["test_accuracy"]
    assert found["loss"]["value"] == pytest.approx(result["test_loss"], abs=1e-6)
    assert found["support"] == {"cat": 6, "dog": 5, "emu": 1}
    assert evaluate([run, "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    accuracy = next(row for row in rows if row["metric"] == "accuracy")
    assert float(accuracy["value"]) == result["test_accuracy"]
    assert sum(int(row["value"]) for row in rows if row["metric"] == "confusion") == 12
    assert evaluate([run]) == 0
    said = capsys.readouterr().out
    assert f"{result['test_accuracy']:.4f}" in said and "macro" in said and "emu" in said
    assert max(map(len, said.splitlines())) <= 80


def test_evaluate_on_other_pictures(run, tmp_path, capsys):
    rng = np.random.default_rng(4)
    for number, name in ((1, "dog"), (0, "cat")):  # no emu, other sizes
        for i in range(4):
            draw(tmp_path / "other" / name / f"{i}.jpg", number, rng, (60, 50))
    out = tmp_path / "made" / "numbers.json"
    argv = [run, "--dataset", str(tmp_path / "other"), "--json", "--out", str(out)]
    assert evaluate(argv) == 0
    found = json.loads(out.read_text())
    assert found["support"] == {"cat": 4, "dog": 4, "emu": 0}
    assert found["accuracy"]["value"] > 0.7


def test_the_runs_own_folder_keeps_its_split(run, trained, capsys, monkeypatch):
    monkeypatch.chdir(trained)
    assert evaluate([run, "--dataset", "./run/../pets", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["count"] == 12


def test_images_that_are_not_the_runs_any_more(trained, tmp_path, capsys):
    """Of a part chosen anew the network may have been trained on some images."""
    shutil.copytree(trained / "pets", tmp_path / "pets")
    argv = ["--dataset", str(tmp_path / "pets"), "--size", "16", "--epochs", "1"]
    out = str(tmp_path / "run")
    assert train([*argv, "--out", out, "--quiet", "--no-pictures"]) == 0

    def said(*words: str) -> str:
        capsys.readouterr()
        assert evaluate([out, *words]) == 0
        return capsys.readouterr().err

    assert said() == ""
    draw(tmp_path / "pets" / "cat" / "new.png", 0, np.random.default_rng(7))
    assert "pets has changed since the run: its test images" in said()
    assert "trained on some of them" in said("--json")
    assert report([out, "--out", str(tmp_path / "r.html")]) == 0
    assert capsys.readouterr().err.count("has changed since") == 1
    assert predict([out, str(tmp_path / "pets" / "cat" / "new.png")]) == 0
    assert "has changed" not in capsys.readouterr().err  # nothing is measured
    assert said("--dataset", str(trained / "pets")) == ""
    (tmp_path / "pets" / "cat" / "new.png").unlink()
    assert said() == ""


def test_a_test_part_of_its_own_that_has_changed(trained, tmp_path, capsys):
    for part in ("train", "val", "test"):
        shutil.copytree(trained / "pets", tmp_path / "pets" / part)
    argv = ["--dataset", str(tmp_path / "pets"), "--size", "16", "--epochs", "1"]
    out = str(tmp_path / "run")
    assert train([*argv, "--out", out, "--quiet", "--no-pictures"]) == 0
    (tmp_path / "pets" / "train" / "cat" / "0.png").unlink()  # what is measured is the same
    assert evaluate([out]) == 0 and capsys.readouterr().err == ""
    for part in ("val", "test"):
        (tmp_path / "pets" / part / "cat" / "0.png").unlink()
    assert evaluate([out]) == 0
    told = capsys.readouterr().err
    assert "its test and val images are not those that the run was measured on\n" in told


def test_classes_of_the_runs_own_folder_are_found_by_name(trained, tmp_path, capsys):
    for name in ("b", "c"):
        shutil.copytree(trained / "pets" / "cat", tmp_path / "pets" / name)
    out, rng = str(tmp_path / "run"), np.random.default_rng(3)
    for i in range(30):  # c is another kind of picture than b
        draw(tmp_path / "pets" / "c" / f"{i}.png", 2, rng)
    argv = ["--dataset", str(tmp_path / "pets"), "--size", "16", "--epochs", "8"]
    assert train([*argv, "--out", out, "--quiet", "--no-pictures"]) == 0
    (tmp_path / "pets" / "c").rename(tmp_path / "pets" / "a")
    capsys.readouterr()
    assert evaluate([out, "--json"]) == 2  # not: 0 % of b, which is 1 now
    assert "a class 'a' that mnist-baseline does not know" in capsys.readouterr().err
    (tmp_path / "pets" / "a").rename(tmp_path / "pets" / "c")
    config = Path(out, "config.toml").read_text()
    model = load_model(f"{out}/best.npz")
    assert model.class_names == ("b", "c") and "pets" in config
    model.class_names = ("c", "b")  # as of a folder in which c stood first
    model.save(f"{out}/best.npz")
    capsys.readouterr()
    assert evaluate([out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"]["value"] < 0.2


@pytest.mark.parametrize("weight", [np.nan, 3e38])
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_nan_is_no_answer(trained, tmp_path, capsys, weight):
    model = load_model(trained / "run" / "best.npz")
    model.layers[0].params["weight"].fill(weight)
    place = str(tmp_path / "wrong.npz")
    model.save(place)
    pets = str(trained / "pets")
    for command, *argv in (
        (predict, place, f"{pets}/cat/0.png"),
        (predict, place, f"{pets}/cat/0.png", "--json"),
        (evaluate, place, "--dataset", pets),
    ):
        assert command(argv) == 2
        said = capsys.readouterr()
        assert f"{place}: the network gives NaN for sample 0" in said.err and said.out == ""
    with pytest.raises(ValueError, match="metrics: the network gives NaN for sample 1"):
        metrics.measure(np.float32([[0, 1], [np.nan, 1]]), np.array([0, 1]), ["a", "b"])


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "of which run?"),
        (["nowhere"], "there is no run folder"),
        (["RUN", "--part", "val"], "no val part"),
        (["RUN", "--dataset", "digits"], "takes images of shape"),
        (["RUN", "--dataset", "strange"], "'horse' that mnist-baseline does not know"),
        (["RUN", "--csv", "--json"], "give one of them"),
    ],
)
def test_evaluate_refuses_in_a_sentence(run, tmp_path, capsys, monkeypatch, argv, words):
    monkeypatch.chdir(tmp_path)
    for name in ("dog", "horse"):
        for i in range(2):
            draw(tmp_path / "strange" / name / f"{i}.png", 0, np.random.default_rng(0))
    assert evaluate([run if word == "RUN" else word for word in argv]) == 2
    said = capsys.readouterr()
    assert words in said.err and said.err.count("\n") == 1 and said.out == ""


# --- the network compiled for answers -----------------------------------------------------------


def no_compiling(self):
    raise AssertionError("it was compiled")


def written_by(command, argv, capsys):
    assert command(argv) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("kind", ["row", "branches", "last"])
def test_many_images_are_answered_by_the_compiled_network(
    kind, run, trained, tmp_path, capsys, monkeypatch
):
    """Here all are many. The same is written, and numbers are the same but for last digits."""
    if kind == "row":
        path = run
    else:
        path, data_format = str(tmp_path / "model.npz"), f"channels_{kind}"
        x = Input((3, 16, 16)) if kind == "branches" else Input((16, 16, 3), data_format)
        y = ReLU()(x + BatchNorm(3)(Conv2D(3, 3, 3, padding=1)(x)))
        names = ("cat", "dog", "emu")
        Graph(x, Dense(768, 3)(Flatten()(y)), class_names=names).save(path)
    cats, pets = str(trained / "pets" / "cat"), str(trained / "pets")
    commands = [
        (predict, [path, cats]), (predict, [path, cats, "--json"]),
        (evaluate, [path, "--dataset", pets]), (evaluate, [path, "--dataset", pets, "--csv"]),
    ]  # fmt: skip
    monkeypatch.setattr(Trainable, "compile_for_inference", no_compiling)
    expected = [written_by(*each, capsys) for each in commands]
    monkeypatch.undo()
    monkeypatch.setattr(saved, "_WORTH_COMPILING", 0)
    made = []
    monkeypatch.setattr(Compiled, "predict_logits", told(Compiled.predict_logits, made))
    found = [written_by(*each, capsys) for each in commands]
    assert len(made) == 4
    number = re.compile(r"\d+\.\d+(?:e-?\d+)?")
    for one, other in zip(found, expected, strict=True):
        assert number.sub("#", one) == number.sub("#", other)
        numbers = [[float(each) for each in number.findall(text)] for text in (one, other)]
        assert numbers[0] == pytest.approx(numbers[1], rel=1e-3, abs=1e-4)


def told(function, calls):
    def telling(*arguments):
        calls.append(arguments)
        return function(*arguments)

    return telling


def test_what_is_not_compiled_answers_as_always(run, trained, tmp_path, monkeypatch):
    images = np.stack([pictures.read(file) for file in (trained / "pets").rglob("*.png")])
    images = images.transpose(0, 3, 1, 2)[:, :, :16, :16]
    expected = Saved(run).logits(images)
    monkeypatch.setattr(saved, "_WORTH_COMPILING", 0)
    monkeypatch.setattr(Trainable, "compile_for_inference", no_compiling)
    with fastcnn.backend("im2col"):
        np.testing.assert_allclose(Saved(run).logits(images), expected, rtol=1e-4, atol=1e-4)
    Saved(run).model.astype(np.float64).save(tmp_path / "double.npz")
    found = Saved(tmp_path / "double.npz").logits(images)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_how_much_is_much(run, monkeypatch):
    """The multiply-adds of all images, for each thread."""
    opened = Saved(run)
    shapes = opened.model.walk(opened.image_shape)
    each = sum(layer.multiply_adds(shape) for _, layer, shape, _ in shapes)
    monkeypatch.setattr(saved, "_WORTH_COMPILING", 10 * each / jit.get_threads())
    counts = [count for count in range(1, 20) if opened._is_much(np.zeros((count, 3, 16, 16)))]
    assert counts == list(range(10, 20))


# --- report -------------------------------------------------------------------------------------


class Page(html.parser.HTMLParser):
    """What a browser would fetch, the words that it shows, and whether every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.sources, self.words, self._open = [], [], []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.sources += [value for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in ("meta", "img"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_a_report_is_one_file(run, trained, tmp_path, capsys):
    place = tmp_path / "new" / "report.html"
    assert report([run, "--out", str(place)]) == 0
    assert str(place) in capsys.readouterr().out
    text = place.read_text("utf-8")
    shown = Page(text)
    assert len(shown.sources) == 5
    assert all(source.startswith("data:image/png;base64,") for source in shown.sources)
    assert "url(" not in text and "@import" not in text
    words = " ".join(shown.words)
    result = json.loads((trained / "run" / "result.json").read_text())
    for told in (f"{result['test_accuracy']:.2%}", "cat", "emu", "Conv2D", "batch_size", "numba",
                 "--config", "macro"):  # fmt: skip
        assert told in words


def test_a_report_on_a_folder_whose_name_is_no_text(run, trained, tmp_path, capsys):
    place = tmp_path / os.fsdecode(b"\xc3\xbc \xff")
    shutil.copytree(trained, place)
    assert report([str(place / "run")]) == 0
    assert "\\udcff" in (place / "run" / "report.html").read_text(encoding="utf-8")


def test_several_runs_are_compared(run, trained, tmp_path):
    shutil.copytree(trained / "run", tmp_path / "second <run>")
    place = tmp_path / "report.html"
    assert report([run, str(tmp_path / "second <run>"), "--out", str(place)]) == 0
    shown = Page(place.read_text("utf-8"))
    assert len(shown.sources) == 11
    assert "mnist-baseline on pets (second <run>)" in shown.words


def test_report_refuses_in_a_sentence(run, trained, tmp_path, capsys):
    for argv, words in (
        ([], "about which run?"),
        ([str(trained / "run" / "best.npz")], "is a model"),
        ([str(tmp_path)], "not the folder of a training run"),
    ):
        assert report([*argv, "--out", str(tmp_path / "a.html")]) == 2
        said = capsys.readouterr()
        assert words in said.err and said.err.count("\n") == 1 and said.out == ""
    assert not (tmp_path / "a.html").exists()


@pytest.mark.parametrize("classes", [2, 10, 40])
def test_no_table_is_wider_than_a_terminal(classes):
    rng = np.random.default_rng(0)
    names = [f"a class with a long name, {i}" for i in range(classes)]
    labels = rng.integers(0, classes, 9000)
    measured = metrics.measure(rng.standard_normal((9000, classes)), labels, names)
    written = table(measured, "heading")
    assert max(map(len, written.splitlines())) <= 80
    assert ("true class, by number" in written) == (classes <= 10)


# --- where answers go ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        (evaluate, ["RUN", "--out", "RUN/best.npz"], "is a file of a run, which would be lost"),
        (evaluate, ["NET", "--dataset", "PETS", "--out", "NET"], "is read by this command"),
        (report, ["RUN", "--out", "RUN/result.json"], "is a file of a run"),
        (predict, ["RUN", "CAT", "--show", "CAT"], "is read by this command, and would be lost"),
        (predict, ["RUN", "CAT", "--out", "RUN/last.npz"], "is a file of a run"),
        (predict, ["NET", "PETS/cat", "--out", "CAT"], "is read by this command"),
    ],
)
def test_nothing_is_written_over_what_was_given(trained, tmp_path, capsys, command, words, said):
    shutil.copytree(trained / "run", tmp_path / "run")
    shutil.copytree(trained / "pets", tmp_path / "pets")
    shutil.copy(trained / "run" / "best.npz", tmp_path / "net.npz")
    names = {"RUN": "run", "NET": "net.npz", "PETS": "pets", "CAT": "pets/cat/1.png"}
    for name, path in names.items():
        words = [word.replace(name, str(tmp_path / path)) for word in words]
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert command(words) == 2
    error = capsys.readouterr().err
    assert said in error and error.endswith(": give another name\n") and error.count("\n") == 1
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("command", [predict, evaluate, report, plot])
def test_what_a_link_leads_to_is_written_and_no_device(
    run, trained, tmp_path, capsys, monkeypatch, command
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep").mkdir()
    (tmp_path / "link.png").symlink_to("deep/real.png")
    os.mkfifo("pipe.png")
    words = [run, str(trained / "pets/cat/1.png")] if command is predict else [run]
    words = ["curves", *words] if command is plot else words
    assert command([*words, "--out", "link.png"]) == 0
    assert Path("link.png").is_symlink() and Path("deep/real.png").stat().st_size
    capsys.readouterr()
    for name in ("pipe.png", os.devnull):
        assert command([*words, "--out", name]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {name} is a device or a pipe") and error.count("\n") == 1
    assert Path("pipe.png").is_fifo() and Path(os.devnull).is_char_device()
    assert sorted(os.listdir()) == ["deep", "link.png", "pipe.png"]


@pytest.mark.parametrize("command", [predict, evaluate, report, plot])
def test_names_may_begin_with_a_dash(run, trained, tmp_path, capsys, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-run").symlink_to(run)
    shutil.copy(trained / "pets/cat/1.png", "--out.png")
    words = {predict: ["-run", "--out.png"], plot: ["filters", "-run"]}.get(command, ["-run"])
    assert command(["--out=-a.png", "--", *words]) == 0
    assert command([*words[: command == plot], "--out=b.png", "--", *words[command == plot :]]) == 0
    assert capsys.readouterr().err.count("error") == 0
    assert (tmp_path / "-a.png").read_bytes() == (tmp_path / "b.png").read_bytes() or (
        command is report  # which names its command
    )


@pytest.mark.parametrize("command", [predict, evaluate, report, plot])
def test_what_fails_leaves_no_folder(run, trained, tmp_path, capsys, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.png").write_text("no picture")
    (tmp_path / "taken").mkdir()
    wrong = {
        predict: [run, "bad.png"], evaluate: [run, "--dataset", "bad.png"],
        report: [run, "bad.png"], plot: ["curves", run, "--dpi", "0"],
    }[command]  # fmt: skip
    right = [run, str(trained / "pets/cat/1.png")] if command is predict else [run]
    assert command([*wrong, "--out", "new/er/file.png"]) == 2
    assert command == plot or command([*right, "--out", "taken"]) == 2  # a folder
    assert capsys.readouterr().err.count("error: ") == 2 - (command == plot)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.png", "taken"]


def test_networks_for_numbers_have_no_classes_to_tell(trained, tmp_path, capsys):
    path, model = tmp_path / "numbers.npz", load_model(trained / "run" / "best.npz")
    for task in ("regression", "multilabel"):
        model.trained_by(MSELoss(), task)
        model.save(path)
        assert evaluate([str(path), "--dataset", str(trained / "pets")]) == 2
        assert f"holds classes, which task {task} is not about" in capsys.readouterr().err
