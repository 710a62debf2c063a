"""Options, however people write them: spellings, names from elsewhere, homes, NumPy's numbers."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest

from fastcnn import __main__ as listing
from fastcnn import datasets, load_model, models
from fastcnn.commands import check as check_layers
from fastcnn.commands import (
    compare,
    convert,
    demo,
    evaluate,
    explain,
    options,
    plot,
    predict,
    report,
    reproduce,
    search,
    train,
)
from fastcnn.config import Config, ConfigError, check, presets, read_toml, replace, to_toml
from fastcnn.files import place
from fastcnn.runs.saved import Saved

COMMANDS = {
    "train": train, "predict": predict, "evaluate": evaluate, "explain": explain,
    "convert": convert,
    "demo": demo, "report": report, "plot": plot, "search": search, "compare": compare,
    "check": check_layers, "reproduce": reproduce,
}  # fmt: skip


def option_names(kind) -> list[str]:
    found = []
    for name, hint in get_type_hints(kind).items():
        found += option_names(hint) if dataclasses.is_dataclass(hint) else [name]
    return found


EVERY = [(c, name) for c, command in COMMANDS.items() for name in option_names(command.Arguments)]


@pytest.mark.parametrize(("command", "name"), EVERY)
def test_case_dashes_and_underscores_do_not_matter(command, name):
    kind = COMMANDS[command].Arguments
    dashed = "--" + name.replace("_", "-")
    for written in (f"--{name}", f"--{name.upper()}", "--" + name.replace("_", ""), dashed.title()):
        assert dashed in options.spelled(kind, [written, "7"])
        assert options.spelled(kind, [f"{written}=7"]) == [f"{dashed}=7"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--optimizer", "Adam"], ["--optimizer", "adam"]),
        (["--Optimizer=AdamW"], ["--optimizer=adamw"]),
        (["--monitor", "val-loss"], ["--monitor", "val_loss"]),
        (["--freeze", "All_But_Last"], ["--freeze", "all-but-last"]),
        (["--patience", "NONE", "--norm", "NONE"], ["--patience", "None", "--norm", "none"]),
        (["--No_Flip"], ["--no-flip"]),
        (["--filters", "8", "16"], ["--filters", "8", "16"]),
    ],
)
def test_values_are_written_like_names(words, expected):
    assert options.spelled(train.Arguments, words) == expected


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("predict", ["RUN", "a.png", "--csv", "b.png", "--out", "o.csv", "-"]),
        ("predict", ["--csv", "RUN", "--out", "o.csv", "a.png", "b.png", "-"]),
        ("predict", ["--out=o.csv", "RUN", "a.png", "b.png", "--CSV", "-"]),
    ],
)
def test_options_stand_anywhere(command, words):
    kind = COMMANDS[command].Arguments
    parsed = options.parse(kind(), options.spelled(kind, words), command)
    assert (parsed.run, parsed.pictures) == ("RUN", ("a.png", "b.png", "-"))
    assert (parsed.csv, parsed.out) == (True, "o.csv")


def test_a_list_of_values_ends_at_the_next_option():
    kind = COMMANDS["plot"].Arguments
    words = ["curves", "--names", "a", "b", "--out", "c.png", "RUN"]
    assert options.spelled(kind, words) == ["curves", "RUN", *words[1:-1]]


@pytest.mark.parametrize(
    ("option", "ours"),
    [
        ("--learning-rate", "--lr"),
        ("--learning_rate=0.1", "--lr"),
        ("--LearningRate", "--lr"),
        ("--l2", "--weight-decay"),
        ("--batch", "--batch-size"),
        ("--early-stopping", "--patience"),
        ("--output-dir", "--out"),
        ("--device", "--backend"),
        ("--optimiser", "--optimizer"),
    ],
)
def test_names_from_elsewhere_are_answered_with_ours(option, ours):
    typed = option.partition("=")[0]
    with pytest.raises(ConfigError, match=f"no option {typed}; did you mean {ours}"):
        options.spelled(train.Arguments, [option, "1"])


def test_names_from_elsewhere_in_a_file(tmp_path):
    (tmp_path / "a.toml").write_text("learning_rate = 0.1\n")
    with pytest.raises(ConfigError, match="no setting 'learning_rate'; did you mean 'lr'"):
        read_toml(tmp_path / "a.toml")


def test_names_of_networks_and_datasets():
    config = presets.configure({"model": "ResNet-20", "dataset": "CIFAR-10", "optimizer": "SGD"})
    assert (config.model.model, config.data.dataset) == ("resnet20", "cifar10")
    assert config.optimizer.lr == models.preset("resnet20")["lr"]
    assert presets.configure({"dataset": "CIFAR10"}).model.model == "cifar-cnn"
    assert models.build("LeNet5").name == "lenet5"
    parsed = train.parse(["--Model", "CIFAR_CNN", "--schedule=Cosine"])
    assert (parsed.model.model, parsed.optimizer.schedule) == ("cifar-cnn", "cosine")


# --- numbers ----------------------------------------------------------------------------------

WHOLE = [np.int64(3), np.uint8(3), np.int32(3), np.array(3)]


@pytest.mark.parametrize("value", WHOLE, ids=lambda value: type(value).__name__)
def test_numpy_numbers_are_settings(value):
    config = replace(Config(), {"epochs": value, "lr": value, "filters": (value, 4), "seed": value})
    assert type(config.training.epochs) is int and config.model.filters == (3, 4)
    assert type(config.optimizer.lr) is float
    check(config)
    assert "epochs = 3" in to_toml(config)


def test_other_numpy_values_and_paths_are_settings(tmp_path):
    given = {
        "lr": np.float32(0.5), "flip": np.True_, "optimizer": np.str_("adam"),
        "filters": np.array([8, 16]), "data_dir": tmp_path,
    }  # fmt: skip
    config = replace(Config(), given)
    assert (config.optimizer.lr, config.augment.flip, config.model.filters) == (0.5, True, (8, 16))
    assert config.data.data_dir == str(tmp_path)
    with pytest.raises(ConfigError, match=r"epochs must be a whole number, got 1\.5"):
        replace(Config(), {"epochs": np.float64(1.5)})
    with pytest.raises(ConfigError, match="epochs must be a whole number, got True"):
        replace(Config(), {"epochs": np.True_})


# --- homes ------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


def test_a_home_is_known_wherever_a_path_is_given(home, capsys):
    (home / "a.toml").write_text('dataset = "digits"\ndata_dir = "~/data"\nlimit_train = 60\n')
    options = ["--limit-test", "20", "--epochs", "1", "--quiet"]
    begin = ["--init-from=~/run/best.npz"]
    assert train.main(["--config=~/a.toml", "--out=~/run", *options]) == 0
    assert (home / "run" / "result.json").is_file() and not Path("~").exists()
    assert Saved("~/run").model.name == load_model("~/run/best.npz").name
    assert train.main(["--config=~/a.toml", "--out=~/b", *options, *begin]) == 0
    assert train.main(["--resume", "--out=~/run", "--quiet"]) == 0
    assert plot.main(["filters", "~/run", "--out=~/filters.svg"]) == 0
    assert (home / "filters.svg").is_file()
    load_model("~/run/best.npz").save("~/again.npz")
    assert (home / "again.npz").is_file()


def test_a_home_that_nobody_has_is_a_name():
    assert place("~no such user/x") == Path("~no such user/x")


# --- lists ------------------------------------------------------------------------------------


def test_each_network_and_dataset_has_a_line(capsys):
    assert train.main(["--list-models", "--list-datasets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*models.names(), *datasets.names()]
    assert all(len(line.split()) > 2 and len(line) <= 80 for line in lines)


def test_the_package_lists_its_commands():
    done = subprocess.run(
        [sys.executable, "-m", "fastcnn"], capture_output=True, text=True, check=True
    )
    for name in listing.COMMANDS:
        assert f"python -m fastcnn.{name}" in done.stdout
        assert (Path(listing.__file__).parent / f"{name}.py").is_file()
    assert set(listing.COMMANDS) == set(COMMANDS)
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_the_package_itself_takes_no_command(capsys):
    assert listing.main(["train"]) == 2
    assert "python -m fastcnn.train" in capsys.readouterr().err


# --- empty texts, narrow terminals ------------------------------------------------------------


@pytest.mark.parametrize(("command", "name"), EVERY)
def test_an_empty_text_is_a_variable_that_is_not_set(command, name):
    kind, option = COMMANDS[command].Arguments, "--" + name.replace("_", "-")
    said = f"{option} is empty .a variable that is not set"
    with pytest.raises(ConfigError, match=said):
        options.spelled(kind, [f"{option}="])
    hint = options._hints(kind)[name]
    if hint is not bool and not options._is_list(hint):
        with pytest.raises(ConfigError, match=said):
            options.spelled(kind, [option, ""])


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_takes_an_empty_word(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert COMMANDS[command].main([""]) == 2
    assert capsys.readouterr().err.startswith("error: a word is empty ")


def test_one_of_several_names_may_be_empty():
    kind = COMMANDS["plot"].Arguments
    assert options.spelled(kind, ["--names", "", "b"]) == ["--names", "", "b"]


@pytest.mark.parametrize("columns", ["1", "2", "39", "40", "100", None])
def test_help_is_never_made_for_less_than_a_few_words(columns, monkeypatch):
    seen = []
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    wanted = max(40, shutil.get_terminal_size().columns)
    monkeypatch.setattr(
        options.tyro, "cli", lambda *_, **__: seen.append(shutil.get_terminal_size().columns)
    )
    options.parse(Config(), [], "program")
    assert (seen, os.environ.get("COLUMNS")) == ([wanted], columns)
