"""A finished run on the page: its weights of every epoch that the folder holds."""

import numpy as np
import pytest

from fastcnn import load_model
from fastcnn.config import presets
from fastcnn.runs.run import Run
from fastcnn.runs.saved import Saved

pytest.importorskip("starlette", reason="the page needs Starlette: pip install '.[demo]'")

from fastcnn.languages import Refusal
from fastcnn.showing import trained
from fastcnn.showing.trained import Trained


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    out = tmp_path_factory.mktemp("looked_back_at") / "run"
    settings = {
        "dataset": "digits", "model": "mnist-baseline", "lr": 0.05,
        "limit_train": 96, "limit_test": 20, "epochs": 3,
    }  # fmt: skip
    run = Run(presets.configure(settings), out, quiet=True, pictures=False, keep=10)
    run.prepare()
    run.train()
    return Saved(out)


@pytest.fixture(scope="module")
def shown(saved):
    return Trained(saved, saved.dataset())


def test_every_epoch_that_is_kept_can_be_looked_at(shown, saved):
    told = shown.about()["training"]
    assert (told["moments"], told["own"]) == ([0, 1, 2, 3], 3)
    assert [epoch for epoch, _ in told["losses"]] == [1, 2, 3]
    assert told["accuracies"][2] == (3, saved.history["test_accuracy"][2])
    image, last = shown.data.x_test[4:5], shown.answer({"image": 4})
    answers = {k: shown.answer({"image": 4, "moment": k}) for k in told["moments"]}
    assert len({tuple(each["probabilities"]) for each in answers.values()}) == 4
    for name in ("last.npz", "last-2.npz", "last-3.npz"):
        model = load_model(saved.path / name)
        wanted = [float(each) for each in model.predict_proba(image)[0]]
        assert wanted in [each["probabilities"] for each in answers.values()], name
    assert answers[3] == last == shown.answer({"image": 4})  # it is as it was
    question = {"image": 4, "layer": "0", "at": [1, 9, 9], "label": 2}
    values = [shown.number({**question, "moment": k})["value"] for k in (1, 3)]
    assert values[0] != values[1] == shown.number(question)["value"]
    filters = [shown.filters({"moment": k})["filters"]["values"] for k in told["moments"]]
    assert len(set(filters)) == 4 and filters[3] == shown.filters({})["filters"]["values"]


def test_the_nearest_images_are_those_of_the_moment(shown):
    far = [shown.answer({"image": 4, "moment": k})["nearest"][0]["distance"] for k in (1, 2, 1)]
    assert far[0] == far[2] != far[1]


@pytest.mark.parametrize("moment", [7, -1, True, "2", [1], 1.0])
def test_another_moment_is_refused(shown, moment):
    with pytest.raises(Refusal, match="moment must be one that is kept"):
        shown.answer({"image": 4, "moment": moment})


def test_epochs_are_found_without_trusting_files(saved, monkeypatch, capsys):
    path = saved.path / "last-1.npz"
    whole = path.read_bytes()
    lost = trained._moments(saved)
    try:
        path.write_bytes(whole[:-99])
        left = trained._moments(saved)
    finally:
        path.write_bytes(whole)
    assert "last-1.npz" in (said := capsys.readouterr().out) and "leaves it out" in said
    assert {k for k, _ in left} <= {k for k, _ in lost} == {0, 1, 2, 3}
    monkeypatch.setattr(trained, "_MOST", 2.5 * saved.model.parameters.count * 4)
    assert [k for k, _ in trained._moments(saved)] == [1, 3]


def test_a_model_without_a_run_has_no_epochs(saved):
    alone = Trained(Saved(saved.path / "best.npz"), saved.dataset())
    assert "training" not in alone.about()
    assert np.isclose(sum(alone.answer({"image": 0})["probabilities"]), 1)
