"""What a run leaves where pictures cannot be drawn."""

import json

import pytest

from fastcnn import datasets, models
from fastcnn.runs import results
from fastcnn.training.history import History


@pytest.mark.parametrize("error", [OSError, ImportError, RuntimeError])
def test_pictures_that_cannot_be_drawn_stop_nobody(monkeypatch, tmp_path, error):
    def refuse(*_):
        raise error("Matplotlib requires access to a writable cache directory")

    monkeypatch.setattr(results, "_draw", refuse)
    history = History({"epoch": [1], "loss": [0.5]})
    model, data = models.build("mnist-baseline"), datasets.load("digits")
    notes = results.write(tmp_path, model, data, history, {"epochs_run": 1}, 1)
    assert notes == [
        "the pictures could not be drawn: Matplotlib requires access to a writable cache directory"
    ]
    assert json.loads((tmp_path / "result.json").read_text()) == {"epochs_run": 1}
    assert (tmp_path / "best.npz").is_file()
