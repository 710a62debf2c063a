"""`python -m fastcnn.compare`, on the built-in digits."""

import json
from pathlib import Path

import pytest

from fastcnn.compare import main
from fastcnn.comparing.contest import Contest
from fastcnn.comparing.evidence import Evidence
from fastcnn.config import Config
from fastcnn.runs.saved import Saved

SMALL = 'dataset = "digits"\nmodel = "mnist-baseline"\nlimit_train = 300\nlimit_test = 200\n'


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slow.toml").write_text(SMALL + "epochs = 2\nlr = 0.001\n")
    (tmp_path / "fast.toml").write_text(SMALL + "epochs = 2\nlr = 0.05\n")
    return tmp_path


def test_a_plain_difference_is_decided(files: Path, capsys) -> None:
    assert main(["slow.toml", "fast.toml", "--until-decided", "--seeds", "8"]) == 0
    *seeds, said = capsys.readouterr().out.splitlines()
    assert said.startswith("fast.toml is better than slow.toml by ")
    assert said.endswith(f"after {len(seeds)} seeds of each") and 4 <= len(seeds) < 8
    kept = json.loads((files / "comparison" / "comparison.json").read_text())
    assert kept["decided"] and kept["said"] == said
    runs = [Saved(files / "comparison" / side / "seed-43") for side in "AB"]
    assert [run.config.optimizer.lr for run in runs] == [0.001, 0.05]
    difference = runs[0].result["test_accuracy"] - runs[1].result["test_accuracy"]
    assert kept["differences"][1] == difference
    # The same again takes the runs that are there.
    times = {path: path.stat().st_mtime_ns for path in files.rglob("result.json")}
    again = ["slow.toml", "fast.toml", "--seeds", str(len(seeds)), "--metric", "test_loss"]
    assert main(again) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(seeds) + 1
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


@pytest.mark.parametrize(("metric", "better"), [("test_loss", "B"), ("val_accuracy", "A")])
def test_a_loss_is_better_if_smaller(metric: str, better: str, tmp_path: Path) -> None:
    config = Config()
    contest = Contest(("A", "B"), (config, config), metric, tmp_path)
    said = contest.sentence(Evidence([0.5, 0.52, 0.49, 0.51, 0.5]))
    assert said.startswith(f"{better} is better than {'AB'.replace(better, '')} by ")
    assert "0.504 nats of test loss" in said or "50.40 points of val accuracy" in said


def test_a_setting_and_itself_cannot_be_told_apart(files: Path, capsys) -> None:
    assert main(["fast.toml", "fast.toml", "--until-decided", "--seeds", "2"]) == 0
    *seeds, said = capsys.readouterr().out.splitlines()
    assert said.startswith("fast.toml and fast.toml cannot be told apart by test accuracy after 2 ")
    assert len(seeds) == 2
    contest = Contest(("A", "B"), (Config(), Config()), "test_accuracy", files)
    said = contest.sentence(Evidence([0.0] * 4))
    assert "the difference is 0.00 points, and one of more than" in said


def test_few_seeds_exclude_nothing(files: Path, capsys) -> None:
    assert main(["slow.toml", "fast.toml", "--seeds", "30", "--minutes", "0"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 and said[-1].endswith(
        "1 seed of each, which are too few to exclude any difference"
    )


def test_a_run_that_diverged_has_guessed(files: Path, capsys) -> None:
    (files / "wild.toml").write_text(SMALL + "epochs = 1\nlr = 1e6\n")
    assert main(["wild.toml", "fast.toml", "--seeds", "1"]) == 0
    assert "  seed 42: 10.00% and " in capsys.readouterr().out
    assert main(["wild.toml", "fast.toml", "--seeds", "1", "--metric", "test_loss"]) == 1
    assert "diverged in its first epoch and has no test_loss" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["slow.toml"], "two files of settings are compared, got 1"),
        (["slow.toml", "absent.toml"], "there is no configuration file absent.toml"),
        (["slow.toml", "other.toml"], "measured on different images: limit_test is 200 and None"),
        (["slow.toml", "fast.toml", "--metric", "val_loss"], "slow.toml validates on no images"),
        (["slow.toml", "fast.toml", "--seeds", "0"], "seeds must be at least 1, got 0"),
        (["slow.toml", "fast.toml", "--minutes", "nan"], "minutes must be at least 0, got nan"),
        (["slow.toml", "fast.toml", "--metric", "test_acc"], "did you mean 'test_accuracy'"),
    ],
)
def test_refused_in_one_sentence(files: Path, capsys, argv, sentence) -> None:
    (files / "other.toml").write_text('dataset = "digits"\n')
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1 and sentence in said
