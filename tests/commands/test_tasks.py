"""Numbers and several labels on the command line: trained, resumed, asked, measured, shown."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from fastcnn import datasets, load_model
from fastcnn.compare import main as compare
from fastcnn.evaluate import main as evaluate
from fastcnn.plot import main as plot
from fastcnn.predict import main as predict
from fastcnn.report import main as report
from fastcnn.runs.saved import Saved
from fastcnn.search import main as search
from fastcnn.train import main as train

DIGITS = datasets.load("digits")
X = DIGITS.x_train[:240]
INK = (X.mean(axis=(1, 2, 3)) - 40) / 20
LABELS = np.stack([DIGITS.y_train[:240] % 2 == 0, INK > 0], axis=1)
FILES = {
    "ink": {"y": INK, "task": "regression"},
    "two": {"y": np.stack([INK, -INK], 1), "task": "regression", "class_names": ["ink", "paper"]},
    "labels": {"y": LABELS, "task": "multilabel", "class_names": ["even", "dark"]},
}
QUICK = ["--epochs", "2", "--no-pictures", "--quiet"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Each file with its run of two epochs, and pictures."""
    root = tmp_path_factory.mktemp("tasks")
    for name, content in FILES.items():
        y = content["y"]
        parts = {"x_train": X[:200], "y_train": y[:200], "x_test": X[200:], "y_test": y[200:]}
        names = {"class_names": content["class_names"]} if "class_names" in content else {}
        np.savez(root / f"{name}.npz", **parts, **names)
        argv = ["--dataset", str(root / f"{name}.npz"), "--task", content["task"], *QUICK]
        assert train([*argv, "--validation", "0.2", "--out", str(root / name)]) == 0
    for i in range(2):
        Image.fromarray(X[i, 0]).save(root / f"{i}.png")
    return root


@pytest.fixture(autouse=True)
def there(request, monkeypatch, tmp_path):
    folder = request.getfixturevalue("folder") if "folder" in request.fixturenames else tmp_path
    monkeypatch.chdir(folder)


def arrays(path):
    model = load_model(path)
    return {**model.copy_arrays()}


@pytest.mark.parametrize("name", FILES)
def test_what_is_measured_fits_the_task(name, folder):
    run, task = Saved(folder / name), FILES[name]["task"]
    measures = ["r2", "mae"] if task == "regression" else ["exact_match", "label_accuracy"]
    assert run.config.training.loss == ("mse" if task == "regression" else "bce")
    assert run.config.optimizer.optimizer == ("adam" if task == "regression" else "sgd")
    assert list(run.history)[2:5] == ["loss", *measures]
    assert not any("accuracy" in each for each in run.history if "label_" not in each)
    for measure in ("loss", *measures):
        best = run.history[f"test_{measure}"][run.history.best_epoch - 1]
        assert run.result[f"test_{measure}"] == best
    assert "test_accuracy" not in run.result
    losses = run.history["val_loss"]
    assert run.history.best_epoch == losses.index(min(losses)) + 1
    data = run.dataset(several=True)
    y = FILES[name]["y"][200:].reshape(40, -1)
    np.testing.assert_array_equal(data.y_test, y.astype(data.y_test.dtype))
    loss, score = run.model.evaluate(data.x_test, data.y_test)
    assert (loss, score) == (run.result["test_loss"], run.result[f"test_{measures[0]}"])
    assert run.model.class_names == (tuple(FILES[name].get("class_names", ())) or None)


@pytest.mark.parametrize("name", FILES)
def test_a_run_goes_on_to_the_same_bits(name, folder):
    argv = ["--dataset", f"{name}.npz", "--task", FILES[name]["task"], "--validation", "0.2"]
    assert train([*argv, *QUICK, "--epochs", "4", "--out", f"{name}-4"]) == 0
    assert train([*argv, *QUICK, "--epochs", "2", "--out", f"{name}-2"]) == 0
    assert train(["--resume", "--epochs", "4", "--out", f"{name}-2", "--quiet"]) == 0
    one, other = Saved(f"{name}-4"), Saved(f"{name}-2")
    for column in set(one.history) - {"seconds", "seconds_training"}:
        assert one.history[column] == other.history[column], column
    first, second = arrays(f"{name}-4/best.npz"), arrays(f"{name}-2/best.npz")
    assert all(np.array_equal(first[each], second[each]) for each in first)


def test_another_task_is_another_run(folder, capsys):
    assert train(["--resume", "--task", "multilabel", "--out", "ink", "--quiet"]) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("name", FILES)
def test_predict_says_what_the_network_gives(name, folder, capsys):
    assert predict([name, "0.png", "1.png", "--csv", "--show", "seen.png"]) == 0
    said = capsys.readouterr()
    assert "not compared" not in said.err
    head, *rows = csv.reader(io.StringIO(said.out))
    names = {"ink": ["number"], "two": ["number_ink", "number_paper"]}
    assert head == ["file", *names.get(name, ["labels_even", "labels_dark"]), "unlike"]
    model = load_model(f"{name}/best.npz")
    wanted = (model.predict_proba if name == "labels" else model.predict)(X[:2]).reshape(2, -1)
    np.testing.assert_allclose(np.array([row[1:-1] for row in rows], float), wanted, rtol=1e-6)


@pytest.mark.parametrize("name", FILES)
def test_evaluate_measures_what_the_run_measured(name, folder, capsys):
    assert evaluate([name, "--json"]) == 0
    found, result = json.loads(capsys.readouterr().out), Saved(name).result
    assert found["count"] == 40
    for measure, value in found["overall"].items():
        assert value["low"] <= value["value"] <= value["high"]
        if measure not in ("rmse", "macro f1"):
            assert value["value"] == pytest.approx(result[f"test_{measure}"], rel=1e-6)
    if name != "labels":
        square = found["overall"]["rmse"]["value"] ** 2
        assert square == pytest.approx(result["test_loss"], rel=1e-5)
    assert list(found["each"]) == FILES[name].get("class_names", [])
    assert evaluate([name, "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    each = 3 if name == "ink" else 3 + 2 * 3 if name == "two" else 4 + 2 * 3
    assert len(rows) == each
    assert evaluate([name]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 90
    assert all(word in text for word in FILES[name].get("class_names", ["R2"]))


def test_other_data_is_read_as_the_network_takes_it(folder, capsys):
    assert evaluate(["ink/best.npz", "--dataset", "ink.npz", "--part", "train", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["count"] == 200
    assert evaluate(["ink", "--dataset", "two.npz"]) == 2
    assert "gives for an image is 1 wide, what two has is 2 wide" in capsys.readouterr().err
    assert evaluate(["ink", "--dataset", "digits"]) == 2
    assert "digits holds classes, which task regression is not about" in capsys.readouterr().err


def test_pictures_that_mean_something_are_drawn(folder, capsys):
    for name in FILES:
        for kind in ("curves", "predictions", "feature-maps", "variance"):
            assert plot([kind, name, "--out", f"{name}-{kind}.png"]) == 0
    assert plot(["overlay", "ink", "two", "--quantity", "r2", "--out", "o.png"]) == 0
    assert plot(["curves", "ink", "two", "--out", "several.png"]) == 0
    capsys.readouterr()
    for kind in ("confusion", "misclassified", "probabilities"):
        assert plot([kind, "ink", "--out", "no.png"]) == 2
        assert "is a network for numbers, not for classes" in capsys.readouterr().err
    assert not (folder / "no.png").exists()


def test_a_report_has_what_was_measured(folder):
    assert report(["two", "labels", "ink", "--out", "page.html"]) == 0
    page = (folder / "page.html").read_text()
    for word in ("R2", "exact match", "mean absolute error", "<h3>Numbers</h3>", "paper", "dark"):
        assert word in page
    assert "accuracy over" not in page and "calibration" not in page
    assert page.count("<figcaption>What was measured over the epochs.") == 3


@pytest.mark.parametrize("name", FILES)
def test_a_run_draws_its_answers(name, folder):
    argv = ["--dataset", f"{name}.npz", "--task", FILES[name]["task"], "--epochs", "1", "--quiet"]
    assert train([*argv, "--out", f"{name}-drawn"]) == 0
    for picture in ("curves.png", "predictions.png"):
        assert (folder / f"{name}-drawn" / picture).read_bytes().startswith(b"\x89PNG")


def test_settings_that_fit(folder, capsys):
    argv = ["--dataset", "ink.npz", "--task", "regression", "--validation", "0.2", *QUICK]
    assert train([*argv, "--loss", "huber", "--monitor", "val_mae", "--out", "huber"]) == 0
    errors = Saved("huber").history["val_mae"]
    assert Saved("huber").history.best_epoch == errors.index(min(errors)) + 1
    # A preset's optimizer gives way, one that is asked for does not; nor does its rate.
    words = ["--model", "cifar-cnn", "--epochs", "1", "--optimizer", "sgd", "--lr", "1e-4"]
    assert train([*argv, *words, "--out", "wide"]) == 0
    config = Saved("wide").config
    assert (config.optimizer.optimizer, config.optimizer.lr) == ("sgd", 1e-4)
    assert config.training.monitor == "val_loss"
    assert config.training.loss_reduction == "mean"
    words = ["--init-from", "ink/best.npz", "--fresh-head", "--freeze", "all-but-last"]
    assert train([*argv, *words, "--out", "fresh"]) == 0
    assert Saved("fresh").model.output_shape((1, 1, 28, 28)) == (1, 1)
    capsys.readouterr()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["ink.npz"], "is no class number; numbers are learned with --task regression"),
        (["two.npz"], "these have others: numbers are learned with --task regression"),
        (["labels.npz"], "several labels of an image are learned with --task multilabel"),
        (["ink.npz", "--task", "multilabel"], "0 or 1 for each label of N images, an array of "),
        (["two.npz", "--task", "multilabel"], "but labels are 1 (there) or 0 (not there)"),
        (["digits", "--task", "regression"], "numbers are read from .npz or CSV files of your own"),
        (["ink.npz", "--task", "numbers"], "classification"),
        (
            ["ink.npz", "--task", "regression", "--loss", "hinge"],
            "the loss hinge is for task classification, not for regression: take mse or mae or hub",
        ),
        (["digits", "--loss", "mse"], "take cross-entropy or hinge"),
        (
            ["ink.npz", "--task", "regression", "--class-weight", "balanced"],
            "class_weight is for classes, which there are none of in task regression",
        ),
        (
            ["ink.npz", "--task", "regression", "--monitor", "val_accuracy", "--validation", "0.2"],
            "val_r2",
        ),
    ],
)
def test_what_does_not_fit_is_refused(argv, words, folder, capsys):
    assert train(["--dataset", *argv, "--epochs", "1", "--out", "refused"]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("error: ") == 1 and "Traceback" not in said
    assert not (folder / "refused" / "best.npz").exists()


def test_a_comparison_and_a_search_are_about_classes(folder, capsys):
    (folder / "a.toml").write_text('dataset = "ink.npz"\ntask = "regression"\n')
    assert compare(["a.toml", "a.toml"]) == 2
    assert "a comparison is about classes, not about task regression" in capsys.readouterr().err
    argv = ["--config", "a.toml", "--validation", "0.2", "--out", "searched", "--lr", "0.1,0.2"]
    assert search(argv) == 2
    assert capsys.readouterr().err.startswith("error: ")
