"""A finished run's folder, read back."""

import shutil
from pathlib import Path

import pytest

from fastcnn import results
from fastcnn.config import Config, replace
from fastcnn.run import Run

SETTINGS = {
    "dataset": "digits", "model": "mnist-baseline", "limit_train": 100, "limit_test": 50,
    "validation": 0.2, "epochs": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    run = Run(replace(Config(), SETTINGS), tmp_path_factory.mktemp("run"), quiet=True)
    run.prepare()
    run.train()
    return run.out


def test_reading_what_a_run_has_left(folder) -> None:
    record = results.read(folder)
    assert SETTINGS.items() <= record.settings.items()
    assert record.result["epochs_run"] == record.history.epochs == 2
    assert record.history.best_epoch == record.result["best_epoch"]
    assert record.history.stopped_because == "all epochs done"
    best = record.history.row(record.history.best_epoch - 1)
    assert best["test_accuracy"] == record.result["test_accuracy"]


def test_folder_without_a_run(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"there is no finished run in .*no result\.json"):
        results.read(tmp_path)


@pytest.mark.parametrize("name", ["result.json", "history.csv", "config.toml"])
def test_damaged_file_is_named_by_its_folder(folder, tmp_path, name) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    text = (copy / name).read_bytes()
    (copy / name).write_bytes(text[: len(text) // 2] + b"\xff\n[")
    with pytest.raises(ValueError, match=str(copy)):
        results.read(copy)
