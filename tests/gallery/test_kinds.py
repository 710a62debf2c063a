"""Every kind of picture of real networks: nothing overlaps or is cut off; the command line."""

import dataclasses
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import fastcnn.runs.saved
from fastcnn import Sequential, models, plots
from fastcnn.config import Config, replace, to_toml
from fastcnn.datasets import Dataset
from fastcnn.gallery.kinds import KINDS, Options, draw
from fastcnn.layers import Conv2D, Flatten
from fastcnn.plot import main
from fastcnn.runs.saved import Saved
from fastcnn.training.history import History, Table

from ..plots.pictures import faults

NETWORKS = {
    "mnist-baseline": ("mnist", (1, 28, 28)),
    "cifar-cnn": ("cifar10", (3, 32, 32)),
    "cifar-mlp": ("cifar10", (3, 32, 32)),
    "resnet20": ("cifar10", (3, 32, 32)),
}
CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
NAMES = {
    "mnist": tuple("0123456789"),
    "cifar10": CIFAR,
}
# Kinds that a network has nothing for.
WITHOUT = {
    "mnist-baseline": {"gamma-beta"},
    "cifar-mlp": {"filters", "feature-maps"},
    "resnet20": {"hidden"},
}


def dataset(name: str) -> Dataset:
    """Images of noise."""
    shape = next(shape for other, shape in NETWORKS.values() if other == name)
    numbers = np.random.default_rng(1)
    x = numbers.integers(0, 256, (60, *shape), np.uint8)
    y = np.arange(60) % 10
    return Dataset(name, x, y, x, y, NAMES[name], "noise")


@pytest.fixture(autouse=True)
def _no_files(monkeypatch):
    monkeypatch.setattr(fastcnn.runs.saved.datasets, "load", lambda name, *_, **__: dataset(name))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders as a training run leaves them, with untrained networks and made-up numbers."""
    place = tmp_path_factory.mktemp("runs")
    for network, (data, _) in NETWORKS.items():
        folder = place / network
        folder.mkdir()
        model = models.build(network)
        model.class_names = NAMES[data]
        model.save(folder / "best.npz")
        settings = {**models.preset(network), "model": network, "dataset": data}
        (folder / "config.toml").write_text(to_toml(replace(Config(), settings)))
        epochs = list(range(1, 31))
        columns = ("lr", "loss", "accuracy", "val_loss", "val_accuracy", "test_loss")
        history = {name: [1 / epoch for epoch in epochs] for name in (*columns, "test_accuracy")}
        text = History({"epoch": epochs, **history}).to_csv()
        (folder / "history.csv").write_text(text)
        (folder / "result.json").write_text('{"best_epoch": 7}')
        norms = {
            name: [10.0 ** (-i / 4) / epoch for epoch in epochs]
            for i, name in enumerate(model.parameters.slices)
        }
        (folder / "gradients.csv").write_text(Table({"epoch": epochs, **norms}).to_csv())
    return place


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_overlaps(runs, network, kind):
    saved = Saved(runs / network)
    if kind in WITHOUT.get(network, ()):
        with pytest.raises(ValueError, match=f"{network} on .* has no "):
            draw(kind, [saved])
    else:
        assert faults(draw(kind, [saved])) == []


def test_layers_can_be_chosen(runs):
    saved = Saved(runs / "cifar-cnn")
    second = draw("filters", [saved], Options(layer=2, channel=5))
    title = second.get_suptitle().replace("\n", " ")
    assert "32 filters of 3 x 3, Conv 2" in title
    assert "input channel 5 of 32" in title
    weight = saved.model.layers[4].params["weight"]
    drawn = second.axes[0].images[0].get_array()
    np.testing.assert_array_equal(drawn[:3, :3], weight[0, 5])
    assert faults(second) == []
    for layer, kind in ((3, "filters"), (0, "biases")):
        with pytest.raises(ValueError, match="layer must be 1 to"):
            draw(kind, [saved], Options(layer=layer))
    with pytest.raises(ValueError, match="channel must be 0 to 31, got 32"):
        draw("filters", [saved], Options(layer=2, channel=32))


def test_layers_inside_blocks_can_be_chosen(runs):
    figure = draw("feature-maps", [Saved(runs / "resnet20")], Options(layer=4))
    assert len(figure.axes) == 3  # the image, the maps, their colour bar
    assert figure.axes[1].get_title().startswith("Conv 2: ")


def test_feature_maps_are_the_outputs_of_the_layers(runs):
    saved = Saved(runs / "cifar-cnn")
    figure = draw("feature-maps", [saved], Options(image=3, most=4))
    x = saved.model.prepared(dataset("cifar10").x_test[3:4])
    for axes, layer in zip(figure.axes[1:9], saved.model.layers, strict=False):
        x = layer.forward(x)
        height, width = x.shape[2:]
        assert f"4 of 32 maps of {height} x {width}" in axes.get_title()
        np.testing.assert_array_equal(
            axes.images[0].get_array()[:height, width + 1 : 2 * width + 1], x[0, 1]
        )


def test_confusion_counts_the_test_images(runs):
    saved = Saved(runs / "mnist-baseline")
    data = dataset("mnist")
    figure = draw("confusion", [saved])
    predicted = saved.model.predict(data.x_test)
    written = {
        (round(text.get_position()[1]), round(text.get_position()[0])): int(text.get_text())
        for text in figure.axes[0].texts
    }
    assert sum(written.values()) == 60
    for (true, guess), count in written.items():
        assert count == np.sum((data.y_test == true) & (predicted == guess))


def test_runs_are_compared_by_name(runs):
    two = [Saved(runs / "mnist-baseline"), Saved(runs / "cifar-cnn")]
    legend = draw("overlay", two, Options(part="test", quantity="loss")).legends[0]
    wanted = ["mnist-baseline on mnist", "cifar-cnn on cifar10"]
    assert [text.get_text() for text in legend.get_texts()] == wanted
    legend = draw("schedule", two, Options(names=("a", "b"))).legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]
    same = [two[0], two[0]]
    assert draw("curves", same[:1]).axes[0].lines[0].get_ydata()[1] == 0.5
    with pytest.raises(ValueError, match="drawn from one run or model, got 2"):
        draw("filters", same)


def test_schedule_shows_the_rate_of_each_step(runs, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(runs / "mnist-baseline", folder)
    settings = {**models.preset("mnist-baseline"), "schedule": "onecycle", "lr": 0.5, "epochs": 30}
    (folder / "config.toml").write_text(to_toml(replace(Config(), settings)))
    rates = draw("schedule", [Saved(folder)]).axes[0].lines[0].get_ydata()
    assert len(rates) == 30 * 20 + 1
    assert max(rates) == pytest.approx(0.5, rel=1e-3) and rates[0] == pytest.approx(0.5 / 25)
    assert np.all(np.diff(rates[:170]) > 0) and np.all(np.diff(rates[190:-1]) < 0)


def test_model_with_other_classes_than_the_images(tmp_path):
    models.build("cifar-mlp", classes=5).save(tmp_path / "five.npz")
    with pytest.raises(ValueError, match=r"cifar-mlp tells 5 classes apart, cifar10 has 10"):
        draw("confusion", [Saved(tmp_path / "five.npz")], Options(dataset="cifar10"))


def test_best_epoch_is_marked_where_it_was_chosen(runs):
    marked = draw("curves", [Saved(runs / "cifar-cnn")]).axes[0].lines[-1]
    assert list(marked.get_xdata()) == [7, 7]
    assert len(draw("curves", [Saved(runs / "mnist-baseline")]).axes[0].lines) == 3


def test_models_that_take_channels_last(tmp_path):
    model = Sequential(
        Conv2D(3, 4, 3), Flatten(), *models.build("cifar-mlp", input_shape=(4, 30, 30)).layers[1:],
        data_format="channels_last", input_shape=(32, 32, 3),
    )  # fmt: skip
    model.save(tmp_path / "m.npz")
    saved = Saved(tmp_path / "m.npz")
    for kind in ("feature-maps", "confusion", "hidden"):
        assert faults(draw(kind, [saved], Options(dataset="cifar10"))) == []


def test_a_model_that_does_not_say_what_it_takes(tmp_path):
    """It has dense layers; what is missing is said, and the cure works."""
    model = Sequential(*models.build("cifar-mlp").layers)
    model.save(tmp_path / "m.npz")
    with pytest.raises(ValueError, match=r"does not say which images it takes.*model\.input_shape"):
        draw("hidden", [Saved(tmp_path / "m.npz")])
    model.input_shape = (3, 32, 32)
    model.save(tmp_path / "m.npz")
    assert faults(draw("hidden", [Saved(tmp_path / "m.npz")])) == []


# --- the command line -----------------------------------------------------------------------------


def test_one_picture(runs, tmp_path, capsys):
    file = tmp_path / "tiles.svg"
    assert main(["filters", str(runs / "cifar-cnn"), "--out", str(file), "--layer", "2"]) == 0
    assert file.read_bytes().startswith(b"<?xml")
    assert capsys.readouterr().out == f"written: {file}\n"
    assert main(["biases", str(runs / "mnist-baseline")]) == 0
    assert (runs / "mnist-baseline" / "biases.png").read_bytes().startswith(b"\x89PNG")
    model = tmp_path / "net.npz"
    model.write_bytes((runs / "mnist-baseline" / "best.npz").read_bytes())
    assert main(["probabilities", str(model), "--dataset", "mnist", "--image", "5"]) == 0
    assert (tmp_path / "net-probabilities.png").exists()


def test_all_pictures(runs, tmp_path, capsys):
    assert main(["all", str(runs / "cifar-mlp"), "--out", str(tmp_path), "--dpi", "30"]) == 0
    drawn = {path.stem for path in tmp_path.iterdir()}
    assert drawn == set(KINDS) - WITHOUT["cifar-mlp"]
    assert "left out filters: cifar-mlp on cifar10 has no convolutions" in capsys.readouterr().err


def test_explanations(capsys):
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = [line.split()[0] for line in lines if line.startswith("  ")]
    assert sorted(listed) == sorted(KINDS)
    assert lines[-1].startswith("all: ")
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    for field in dataclasses.fields(Options):
        assert f"--{field.name.replace('_', '-')}" in printed


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "which picture?"),
        (["filters"], "of what?"),
        (["filter", "{runs}/cifar-cnn"], "did you mean 'filters'"),
        (["filters", "{runs}/absent"], "there is no run folder or model file"),
        (["filters", "{runs}"], "it has no config.toml; name one inside it, such as {runs}/cifar-"),
        (["filters", "{runs}/cifar-cnn", "--dpi", "100000"], "dpi must be 1 to "),
        (["filters", "{runs}/cifar-cnn", "--dpi", "0"], "dpi must be 1 to "),
        (
            ["filters", "{runs}/cifar-cnn", "--out", "{runs}/cifar-cnn/best.npz/a.png"],
            "it is a file, not",
        ),
        (["all", "{runs}/cifar-cnn", "--out", "{runs}/cifar-cnn/best.npz"], "it is a file, not a"),
        (
            ["overlay", "{runs}/cifar-cnn", "--quantity", "lr", "--part", "test"],
            "must be train for",
        ),
        (["filters", "{runs}/cifar-mlp"], "cifar-mlp on cifar10 has no convolutions"),
        (["filters", "{runs}/cifar-cnn", "--out", "picture.jpg"], "must end with .png"),
        (["filters", "{runs}/cifar-cnn", "--most", "0"], "most must be at least 1"),
        (["filters", "{runs}/cifar-cnn/config.toml"], "is not a fastcnn checkpoint"),
        (["curves", "{runs}/cifar-cnn/best.npz"], "the history is kept by runs: name a run's"),
        (["confusion", "{runs}/cifar-cnn/best.npz"], "give --dataset"),
        (["confusion", "{runs}/cifar-cnn", "--dataset", "mnist"], "takes images of shape"),
        (["probabilities", "{runs}/cifar-cnn", "--image", "60"], "image must be 0 to 59, got 60"),
        (["overlay", "{runs}/cifar-cnn", "--names", "a", "b"], "as many as runs, got 2 for 1"),
        (["heatmap", "{runs}/cifar-cnn", "--layer", "two"], "does not fit the option --layer"),
    ],
)
def test_refused_in_one_sentence(runs, capsys, arguments, sentence):
    assert main([argument.format(runs=runs) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert sentence.format(runs=runs) in error
    assert len(error.splitlines()) == 1


def test_damaged_files(runs, tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("config.toml", "history.csv", "best.npz"):
        (folder / name).write_bytes((runs / "mnist-baseline" / name).read_bytes())
    assert main(["gradients", str(folder)]) == 2
    assert "train with --track-gradients" in capsys.readouterr().err
    (folder / "history.csv").write_text("epoch,loss\n1,much\n")
    assert main(["curves", str(folder)]) == 2
    assert "history.csv is damaged: line 2" in capsys.readouterr().err
    shutil.copy(runs / "mnist-baseline" / "history.csv", folder)
    for text in ("{", "[1]"):
        (folder / "result.json").write_text(text)
        assert main(["curves", str(folder)]) == 2
        assert "result.json is damaged: " in capsys.readouterr().err
    (folder / "best.npz").write_bytes((folder / "best.npz").read_bytes()[:5000])
    assert main(["filters", str(folder)]) == 2
    assert "best.npz is damaged" in capsys.readouterr().err


def test_missing_folders_are_made(runs, tmp_path):
    out = tmp_path / "absent" / "too" / "a.png"
    assert main(["biases", str(runs / "mnist-baseline"), "--out", str(out)]) == 0
    assert out.is_file()


def test_what_cannot_be_written_is_named(runs, tmp_path, capsys):
    (tmp_path / "a.png").mkdir()
    run = str(runs / "mnist-baseline")
    assert main(["biases", run, "--out", str(tmp_path / "a.png")]) == 2
    error = capsys.readouterr().err
    assert error == f"error: {tmp_path / 'a.png'} is a folder: name a file in it\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_pictures_have_a_largest_size(runs):
    """Refused before anything is drawn."""
    images = np.zeros((1000, 1, 2, 2), np.uint8)
    labels = np.zeros(1000, int)
    with pytest.raises(ValueError, match=r"10 x 480 inches, more than 200 either way"):
        plots.predictions(images, labels, labels, NAMES["mnist"])


def test_the_documentation_names_the_function_of_every_kind():
    text = (Path(__file__).parents[2] / "docs" / "plots.md").read_text()
    rows = dict(re.findall(r"^\| ([a-z-]+) \| (`.*`) \|$", text, re.MULTILINE))
    assert list(rows) == list(KINDS)
    for names in rows.values():
        assert set(re.findall("`(.*?)`", names)) <= set(plots.__all__)


def test_the_documentation_shows_every_kind():
    docs = Path(__file__).parents[2] / "docs"
    text = (docs / "plots.md").read_text()
    for kind in KINDS:
        assert f"python -m fastcnn.plot {kind} " in text
        assert f"![{kind}](plots/{kind}.png)" in text
    pictures = list((docs / "plots").iterdir())
    assert {path.stem for path in pictures} == set(KINDS)
    assert sum(path.stat().st_size for path in pictures) < 1_500_000


def test_the_rates_of_a_plateau_are_those_of_the_run():
    from types import SimpleNamespace

    from fastcnn.gallery.kinds import _rates

    settings = {"schedule": "plateau", "plateau_epochs": 0, "lr": 0.2, "epochs": 3}
    history = History({"epoch": [1, 2, 3], "loss": [1.0, 1.0, 1.0]})
    saved = SimpleNamespace(config=replace(Config(), settings), history=history)
    assert sorted(set(_rates(saved))) == [0.1, 0.2]
