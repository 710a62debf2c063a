"""The command line: what it writes, what it prints, how it refuses, how it is stopped."""

import csv
import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastcnn import compare, datasets, load_model, models, search
from fastcnn.commands.train import parse
from fastcnn.config import ConfigError, names
from fastcnn.schedules import CosineAnnealing, Warmup
from fastcnn.train import main

RESULT = [
    "dataset", "model", "backend", "threads", "seed", "epochs_run", "best_epoch", "train_loss",
    "train_accuracy", "test_loss", "test_accuracy", "seconds_load", "seconds_compile",
    "seconds_total", "seconds_per_epoch", "images_per_second", "peak_memory_mb",
    "stopped_because", "changes",
]  # fmt: skip
FILES = [
    "best.npz", "config.toml", "curves.png", "history.csv", "last-1.npz", "last.npz",
    "predictions.png", "result.json",
]  # fmt: skip
pytestmark = pytest.mark.usefixtures("undrawn")
QUICK = ["--dataset", "digits", "--limit-train", "300", "--limit-test", "50", "--epochs", "2"]


def result_of(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A short run: (its folder, what it printed)."""
    folder = tmp_path_factory.mktemp("run") / "new" / "folder"
    done = subprocess.run(
        [sys.executable, "-m", "fastcnn.train", *QUICK, "--out", str(folder)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert [line for line in lines if not line.startswith("compiling the kernels")] == []
    return folder, done.stdout


# --- what a run leaves ------------------------------------------------------------------------


def test_files(finished):
    folder, _ = finished
    assert sorted(path.name for path in folder.iterdir()) == FILES
    for name in ("curves.png", "predictions.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_result(finished):
    folder, _ = finished
    result = result_of(folder)
    assert list(result) == RESULT
    assert (result["dataset"], result["model"]) == ("digits", "mnist-baseline")
    assert (result["backend"], result["seed"]) == ("numba", 42)
    assert (result["epochs_run"], result["best_epoch"]) == (2, 2)
    assert result["stopped_because"] == "all epochs done"
    assert result["seconds_total"] == pytest.approx(2 * result["seconds_per_epoch"])
    assert result["images_per_second"] > 0
    assert 20 < result["peak_memory_mb"] < 20_000


def test_history_agrees_with_result(finished):
    folder, _ = finished
    with open(folder / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    result = result_of(folder)
    for column, name in (
        ("loss", "train_loss"),
        ("accuracy", "train_accuracy"),
        ("test_loss", "test_loss"),
        ("test_accuracy", "test_accuracy"),
    ):
        assert float(rows[1][column]) == result[name]
    assert sum(float(row["seconds"]) for row in rows) == pytest.approx(result["seconds_total"])


def test_saved_model_has_the_reported_accuracy(finished):
    folder, _ = finished
    data = datasets.load("digits").limit(test=50)
    loss, accuracy = load_model(folder / "best.npz").evaluate(data.x_test, data.y_test)
    assert accuracy == result_of(folder)["test_accuracy"]
    assert loss == result_of(folder)["test_loss"]


def test_config_repeats_the_run(finished, tmp_path):
    folder, _ = finished
    settings = tomllib.loads((folder / "config.toml").read_text())
    assert {name for table in settings.values() for name in table} == set(names())
    assert main(["--config", str(folder / "config.toml"), "--out", str(tmp_path), "--quiet"]) == 0
    first, second = (load_model(place / "best.npz") for place in (folder, tmp_path))
    for name, array in first.copy_arrays().items():
        assert array.tobytes() == second.copy_arrays()[name].tobytes()


def test_printed_in_order(finished):
    folder, printed = finished
    order = [
        "dataset digits loaded in",
        "train images (1501, 1, 28, 28) uint8, labels (1501,) int64",
        "test  images (296, 1, 28, 28)",
        "train images before limit 1,501, after 300",
        "test  images before limit 296, after 50",
        "training mnist-baseline",
        "- train -",
        "loss",
        "all epochs done: 2 epochs in",
        "last epoch 2",
        f"results in {folder}",
    ]
    places = [printed.find(piece) for piece in order]
    assert -1 not in places, order[places.index(-1)]
    assert places == sorted(places)


@pytest.mark.pictures
def test_quiet(tmp_path, capsys):
    assert main([*QUICK, "--epochs", "1", "--quiet", "--out", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
    # Without pictures, and none of fewer epochs stays.
    assert {"curves.png", "predictions.png"} < {file.name for file in tmp_path.iterdir()}
    more = ["--resume", "--epochs", "2", "--no-pictures", "--quiet", "--out", str(tmp_path)]
    assert main(more) == 0
    assert not list(tmp_path.glob("*.png")) and (tmp_path / "result.json").is_file()


def pets(folder):
    """Ten pictures of each of two classes, and one that cannot be read."""
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for i in range(10):
            Image.fromarray(np.full((8, 8), 20 * i, np.uint8)).save(folder / name / f"{i}.png")
    (folder / "cat" / "broken.png").write_bytes(b"no picture")
    return folder


def test_notes_are_said_to_who_wants_quiet_too(tmp_path, capsys):
    """Those of the data, of a checkpoint and of training; and those of a search, of a contest."""
    data, out = pets(tmp_path / "pets"), tmp_path / "run"
    words = ["--dataset", str(data), "--epochs", "2", "--no-pictures", "--norm", "batch"]
    assert main([*words, "--batch-size", "5", "--quiet", "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out == "" and "broken.png: it is no picture" in said.err
    assert "note: the last batch of each epoch has 1 image" in said.err
    assert all(line.startswith("note: ") for line in said.err.splitlines())
    (out / "last.npz").write_bytes(b"damaged")
    assert main(["--resume", "--quiet", "--epochs", "3", "--no-pictures", "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out == "" and "the run goes on from last-1.npz, which holds 1 epochs" in said.err

    file = tmp_path / "a.toml"
    file.write_text(f'dataset = "{data}"\nepochs = 1\nnorm = "batch"\n')
    contest = [str(file), str(file), "--seeds", "1", "--out", str(tmp_path / "comparison")]
    assert compare.main(contest) == 0
    assert capsys.readouterr().err.count("broken.png: it is no picture") == 1
    words = ["--search", "lr=0.1,0.2", "--validation", "0.3", "--epochs", "1", "--quiet"]
    words += ["--no-pictures", "--dataset", str(data), "--out", str(tmp_path / "search")]
    assert search.main(words) == 0
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("broken.png: it is no picture") == 1


# --- where settings come from -----------------------------------------------------------------


def test_preset_then_file_then_options(tmp_path):
    preset = models.preset("mnist-optimized")
    file = tmp_path / "settings.toml"
    file.write_text('model = "mnist-optimized"\nepochs = 7\nbatch_size = 16\n')
    arguments = parse(["--config", str(file), "--batch-size", "8"])
    assert arguments.model.model == "mnist-optimized"
    assert arguments.optimizer.optimizer == preset["optimizer"]
    assert arguments.training.epochs == 7
    assert arguments.training.batch_size == 8


def test_every_preset_is_accepted():
    for name in models.names():
        arguments = parse(["--model", name])
        assert arguments.model.model == name


def test_default_model_follows_the_dataset():
    assert parse(["--dataset=cifar10"]).model.model == "cifar-cnn"
    assert parse(["--dataset", "digits"]).model.model == "mnist-baseline"
    assert parse([]).model.model == "mnist-baseline"


def test_another_optimizer_brings_its_own_rate():
    assert parse(["--model", "mnist-baseline"]).optimizer.lr == 0.01
    assert parse(["--model", "mnist-baseline", "--optimizer", "adam"]).optimizer.lr is None
    assert parse(["--optimizer", "adam", "--lr", "0.5"]).optimizer.lr == 0.5
    assert parse(["--model", "cifar-cnn"]).optimizer.weight_decay == 5e-3
    assert parse(["--model", "cifar-cnn", "--optimizer", "adamw"]).optimizer.weight_decay is None


def test_filters_take_several_numbers():
    arguments = parse(["--model", "cifar-cnn", "--filters", "32", "64", "--flip"])
    assert arguments.model.filters == (32, 64)
    assert arguments.augment.flip


# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--epochs", "0"], "epochs must be at least 1"),
        (["--epoch", "3"], "there is no option --epoch; did you mean --epochs?"),
        (["--lr", "fast"], "'fast' does not fit the option --lr"),
        (["--epochs", "1.5"], "--epochs takes a whole number, got '1.5'"),
        (["--norm", "None"], "there is no value of --norm 'None'"),
        (["--cutout", "28"], "cutout must be smaller than the images, of 28 x 28 pixels, got 28"),
        (["--shift", "100"], "shift must be smaller than the images, of 28 x 28 pixels, got 100"),
        (["--epochs", "2", "--warmup", "2"], "warmup must be shorter than the run of 2 epochs"),
        (["--epochs"], "--epochs"),
        (["--monitor", "loss"], "did you mean 'val_loss'?"),
        (["--model", "mnist-basline"], "mnist-baseline"),
        (["--dataset", "minst"], "mnist"),
        (["--crop", "3"], "crop must be"),
        (["--patience", "3"], "patience needs images to validate on"),
        (["--threads", "100000"], "threads must be"),
        (["--optimizer", "adam", "--momentum", "0.9"], "momentum is an option of sgd"),
        (["--model", "mnist-baseline", "--depth", "3"], "no choice of 'depth'"),
        (["--config", "absent.toml"], "there is no configuration file absent.toml"),
        (["--init-from", "absent.npz"], "there is no file"),
        (["--freeze", "last"], "'last' does not fit the option --freeze N|all-but-last|None"),
        (["--freeze", "11"], "the model has 10 layers, 11 cannot be frozen"),
        (["--freeze", "10"], "there is nothing to train: freeze fewer"),
        (["--resume"], "there is no run to resume"),
        (["--dataset", "cifar10", "--model", "mnist-baseline", "--offline"], "cifar"),
    ],
)
def test_refused_in_one_sentence(tmp_path, capsys, monkeypatch, argv, sentence):
    monkeypatch.setenv("FASTCNN_DATA", str(tmp_path / "no data"))
    assert main(["--dataset", "digits", "--out", str(tmp_path / "out"), *argv]) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert len(captured.err.splitlines()) == 1
    assert "Traceback" not in captured.err


def test_none_is_written_as_in_a_file():
    arguments = parse(["--model", "cifar-cnn", "--patience", "none", "--clip-norm=none"])
    assert (arguments.training.patience, arguments.training.clip_norm) == (None, None)
    assert parse(["--norm", "none", "--patience", "None"]).model.norm == "none"


def test_folder_of_a_search_is_refused(tmp_path, capsys):
    (tmp_path / "search.toml").write_text("")
    assert main([*QUICK, "--out", str(tmp_path)]) == 2
    assert "is the folder of a search" in capsys.readouterr().err


def test_frozen_layers_without_a_model_to_begin_with_are_noted(tmp_path, capsys):
    assert main([*QUICK, "--epochs", "1", "--freeze", "1", "--out", str(tmp_path)]) == 0
    assert "note: frozen layers keep their random weights" in capsys.readouterr().out


def test_unknown_key_in_file(tmp_path, capsys):
    file = tmp_path / "wrong.toml"
    file.write_text("[training]\nepoch = 3\n")
    assert main(["--config", str(file)]) == 2
    assert "no setting 'epoch'; did you mean 'epochs'" in capsys.readouterr().err


def test_folder_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["--dataset", "digits", "--out", str(tmp_path / "file")]) == 2
    assert "cannot be written to" in capsys.readouterr().err
    assert main(["--dataset", "digits", "--out", str(tmp_path / "file" / "below")]) == 2


def test_help(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    for name in names():
        assert f"--{name.replace('_', '-')}" in printed


def test_lists(capsys):
    assert main(["--list-models", "--list-datasets"]) == 0
    printed = capsys.readouterr().out
    for name in (*models.names(), *datasets.names()):
        assert name in printed


def test_divergence(tmp_path, capsys):
    assert main([*QUICK, "--lr", "1e30", "--out", str(tmp_path), "--quiet"]) == 3
    error = capsys.readouterr().err
    assert "epoch 1, batch" in error
    assert len(error.splitlines()) == 1
    assert result_of(tmp_path)["stopped_because"] == "diverged"
    assert not (tmp_path / "best.npz").exists()  # no epoch was finished


def test_validation_chooses_the_saved_epoch(tmp_path):
    options = ["--validation", "0.2", "--patience", "1", "--optimizer", "adam", "--shift", "1"]
    assert main([*QUICK, *options, "--epochs", "9", "--out", str(tmp_path), "--quiet"]) == 0
    result = result_of(tmp_path)
    with open(tmp_path / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["val_loss"]) for row in rows]
    assert result["best_epoch"] == losses.index(min(losses)) + 1
    assert result["test_loss"] == float(rows[result["best_epoch"] - 1]["test_loss"])
    data = datasets.load("digits").limit(test=50)
    saved = load_model(tmp_path / "best.npz")
    assert saved.evaluate(data.x_test, data.y_test)[0] == result["test_loss"]
    assert saved.class_names == data.class_names


def test_checkpoint_that_does_not_fit(tmp_path, capsys):
    run = ["--out", str(tmp_path), "--quiet"]
    assert main([*QUICK, "--epochs", "1", *run]) == 0
    assert main(["--resume", "--model", "lab-cnn", *run]) == 2
    assert "had model 'mnist-baseline', now 'lab-cnn'" in capsys.readouterr().err
    assert main(["--resume", "--epochs", "2", *run]) == 0  # the refusal left the run as it was
    damaged = bytearray((tmp_path / "last.npz").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "last.npz").write_bytes(damaged)
    (tmp_path / "last-1.npz").unlink()
    assert main(["--resume", *run]) == 2
    error = capsys.readouterr().err
    assert "last.npz is damaged" in error
    assert len(error.splitlines()) == 1


def test_transfer_repeated_and_resumed_to_the_same_bits(finished, tmp_path, capsys):
    source = finished[0] / "best.npz"
    once, again, part = (tmp_path / name for name in ("once", "again", "part"))
    transfer = ["--init-from", os.path.relpath(source), "--fresh-head", "--freeze", "all-but-last"]
    assert main([*QUICK, *transfer, "--epochs", "3", "--out", str(once)]) == 0
    said = capsys.readouterr().out
    assert "best.npz: 8 of 8 arrays loaded; the last layer begins anew\n" in said
    assert "103,018 parameters (101,728 of them frozen), on 300 images" in said
    before, after = (load_model(place).copy_arrays() for place in (source, once / "best.npz"))
    kept = {name: np.array_equal(after[name], array) for name, array in before.items()}
    assert [name for name, same in kept.items() if not same] == ["9.weight", "9.bias"]

    assert main(["--config", str(once / "config.toml"), "--out", str(again), "--quiet"]) == 0
    assert main([*QUICK, *transfer, "--epochs", "1", "--out", str(part), "--quiet"]) == 0
    resume = ["--resume", "--epochs", "3", "--out", str(part), "--quiet"]
    assert main(resume) == 0
    for place in (again, part):
        assert (place / "best.npz").read_bytes() == (once / "best.npz").read_bytes()
    assert main([*resume, "--freeze", "3"]) == 2
    assert "had freeze 'all-but-last', now 3; freeze cannot change" in capsys.readouterr().err


def test_wrong_option_is_an_error_of_parse():
    with pytest.raises(ConfigError):
        parse(["--no-such-option"])


# --- optimizers, schedules and stopping -------------------------------------------------------


def test_rates_and_rules_of_every_kind(tmp_path, capsys):
    argv = [
        *QUICK, "--out", str(tmp_path), "--quiet", "--optimizer", "ranger", "--lookahead", "4",
        "--lr", "0.01", "--schedule", "cosine", "--lr-per-step", "--warmup", "0.5",
        "--label-smoothing", "0.1", "--class-weight", "balanced", "--ema", "0.9",
    ]  # fmt: skip
    assert main(argv) == 0
    with open(tmp_path / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    schedule = Warmup(CosineAnnealing(per_step=True), 0.5)
    expected = [schedule.step_rate(0.01, epoch, 2, 9, 10) for epoch in range(2)]
    assert [float(row["lr"]) for row in rows] == expected  # the rate of each epoch's last step
    settings = tomllib.loads((tmp_path / "config.toml").read_text())
    assert settings["optimizer"]["lookahead"] == 4
    assert settings["training"]["label_smoothing"] == 0.1
    assert (settings["training"]["class_weight"], settings["training"]["ema"]) == ("balanced", 0.9)
    assert main(["--resume", "--out", str(tmp_path), "--optimizer", "adam"]) == 2
    assert "had optimizer 'ranger', now 'adam'" in capsys.readouterr().err


def test_stopping_by_gain(tmp_path, capsys):
    argv = [*QUICK, "--epochs", "30", "--stop-gain", "0.05", "--stop-gain-epochs", "1"]
    argv += ["--schedule", "plateau", "--plateau-epochs", "1"]
    assert main([*argv, "--out", str(tmp_path)]) == 0
    assert "gain under the threshold: " in capsys.readouterr().out
    result = result_of(tmp_path)
    assert result["stopped_because"] == "gain under the threshold"
    assert 2 <= result["epochs_run"] == result["best_epoch"] < 30


# --- interruption -----------------------------------------------------------------------------


# Sends it as the third checkpoint is put into its place.
AT_A_CHECKPOINT = """
import os, sys

left = [3]

def hook(event, arguments):
    if event == "os.rename" and os.path.basename(arguments[1]) == "last.npz":
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), int(os.environ["SIGNAL"]))

sys.addaudithook(hook)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_then_resumed(tmp_path, number, code):
    (tmp_path / "sitecustomize.py").write_text(AT_A_CHECKPOINT)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    out = tmp_path / "run"
    command = [
        sys.executable, "-m", "fastcnn.train", "--dataset", "digits", "--epochs", "400",
        "--limit-test", "20", "--no-pictures", "--out", str(out),
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path, "SIGNAL": str(int(number))},
    )  # fmt: skip
    assert done.returncode == code
    assert "--resume" in done.stderr
    assert "Traceback" not in done.stderr
    result = result_of(out)
    assert result["stopped_because"] == "interrupted"
    finished = result["epochs_run"]
    assert 2 <= finished <= 4
    fewer = ["--resume", "--out", str(out), "--epochs", str(finished + 2), "--quiet"]
    assert main(fewer) == 2
    assert main([*fewer, "--allow", "epochs"]) == 0
    whole = tmp_path / "whole"
    settings = ["--dataset", "digits", "--limit-test", "20", "--epochs", str(finished + 2)]
    assert main([*settings, "--out", str(whole), "--quiet"]) == 0
    resumed = load_model(out / "best.npz").copy_arrays()
    for name, array in load_model(whole / "best.npz").copy_arrays().items():
        assert array.tobytes() == resumed[name].tobytes()
    assert result_of(out)["epochs_run"] == finished + 2


@pytest.mark.parametrize("moment", ["tyro", "fastcnn.datasets", "numba"])
def test_interrupted_while_importing(tmp_path, moment):
    code = (
        "import os, signal, sys\n"
        "from fastcnn.train import main\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        f"        name == {moment!r} and os.kill(os.getpid(), signal.SIGINT)\n"
        f"assert {moment!r} not in sys.modules\n"
        "sys.meta_path.insert(0, Finder())\n"
        f"sys.exit(main(['--dataset', 'digits', '--epochs', '400', '--out', {str(tmp_path)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr == "interrupted before the work began\n"


def test_nothing_heavy_is_imported_at_the_start():
    code = "import fastcnn.commands.train, sys; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
