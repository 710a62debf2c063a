"""What a run leaves where pictures cannot be drawn."""

import json
import re

import pytest

from fastcnn import datasets, models
from fastcnn.runs import results
from fastcnn.runs.folder import read_result
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


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"best_epoch": "3"}, "best_epoch must be a whole number, got '3'"),
        ({"epochs_run": True}, "epochs_run must be a whole number, got True"),
        ({"seconds_total": [1]}, "seconds_total must be a finite number, got [1]"),
        ({"test_loss": float("inf")}, "test_loss must be a finite number, got inf"),
        ({"dataset": None}, "dataset must be a name, got None"),
        ({"stopped_because": "of rain"}, "stopped_because must be why the run was over"),
        ({"changes": [{"epoch": 1}]}, "changes must be settings with an epoch and both values"),
    ],
    ids=str,
)
def test_a_result_that_cannot_be_is_refused(tmp_path, change, sentence):
    whole = {"dataset": "digits", "best_epoch": 2, "test_loss": None, "changes": [], "new": {}}
    path = tmp_path / "result.json"
    path.write_text(json.dumps(whole))
    assert read_result(path) == whole
    path.write_text(json.dumps(whole | change))
    with pytest.raises(ValueError, match=re.escape(f"{path} is damaged: {sentence}")):
        read_result(path)
