"""Metrics of one's own, callbacks, the averaged weights, and rates that wait for a plateau."""

import re

import numpy as np
import pytest

from fastcnn import Sequential
from fastcnn.layers import BatchNorm, Dense, ReLU
from fastcnn.network.checkpoint import CheckpointError
from fastcnn.optim import SGD
from fastcnn.schedules import CosineAnnealing, ReduceLROnPlateau, Warmup
from fastcnn.training import Callback, StopTraining
from fastcnn.training.checkpoint import SavedTraining
from fastcnn.training.resuming import ResumeError

RNG = np.random.default_rng(4)
X = RNG.normal(size=(48, 3)).astype(np.float32)
Y = ((X[:, 0] > 0.3) + (X[:, 1] > 0)).astype(np.int64)


def network():
    return Sequential(Dense(3, 6), BatchNorm(6), ReLU(), Dense(6, 3), seed=1)


def train(model=None, **options):
    """The model's arrays and its history."""
    model = network() if model is None else model
    usual = {"optimizer": SGD(0.3, momentum=0.9), "epochs": 4, "batch_size": 16, "progress": False}
    history = model.train(X, Y, **(usual | options))
    return model.copy_arrays(), history


def assert_same(one, two):
    for name, array in one.items():
        np.testing.assert_array_equal(array, two[name])


def test_other_names_are_answered():
    for make, sentence in (
        (lambda: ReduceLROnPlateau(min_lr=1e-5), "here it is called 'lr_min'"),
        (lambda: train(learning_rate=0.1), "train has no option 'learning_rate'; give it to the"),
        (lambda: train(validation_data=(X, Y)), "here it is called 'validation'"),
        (lambda: train(verbose=0), "here it is called 'progress'"),
    ):
        with pytest.raises(TypeError, match=re.escape(sentence)):
            make()
    with pytest.raises(AttributeError, match=re.escape("write history['loss']")):
        train()[1].loss  # noqa: B018


# --- metrics ------------------------------------------------------------------------------------


def test_a_metric_that_writes_into_its_arrays_changes_nothing():
    def greedy(targets, outputs):
        targets[:], outputs[:] = 0, 0
        return 0.5

    y = Y[:16].copy()
    options = {"validation": (X[:16], y), "metrics": {"first": greedy, "second": greedy}}
    _, history = train(**options)
    assert (y == Y[:16]).all()
    assert history["val_loss"] == train(validation=(X[:16], y))[1]["val_loss"]


def wrong_share(targets, outputs):
    return np.mean(outputs.argmax(axis=1) != targets)


def test_metrics_are_measured_on_all_outputs_at_once(tmp_path):
    shapes = []

    def third(targets, outputs):
        shapes.append((targets.shape, outputs.shape))
        return np.float32(np.sort(outputs)[:, -2].mean())

    model = network()
    metrics = {"error": wrong_share, "third": third}
    options = {"validation": 0.25, "test": (X, Y), "metrics": metrics}
    _, history = train(model, **options)
    assert set(shapes) == {((12,), (12, 3)), ((48,), (48, 3))}
    np.testing.assert_allclose(
        history["test_error"], 1 - np.array(history["test_accuracy"]), atol=1e-12
    )
    logits = model.predict_logits(X)
    assert history["test_third"][-1] == pytest.approx(np.sort(logits)[:, -2].mean(), rel=1e-6)
    assert model.measure(X, Y, metrics={"third": third})["third"] == history["test_third"][-1]
    assert "error" not in history
    # They decide, and a resumed run has them.
    path = tmp_path / "last.npz"
    options |= {"monitor": "val_error", "restore_best": True}
    whole, history = train(**options)
    assert history.best_epoch == 1 + int(np.argmin(history["val_error"]))
    train(**options, epochs=2, checkpoint_path=path)
    rest, again = train(**options, resume_from=path)
    assert_same(rest, whole)
    assert again["test_third"] == history["test_third"]
    with pytest.raises(ResumeError, match=re.escape("had metrics ['error', 'third'], now []")):
        train(**{**options, "metrics": None, "monitor": "val_loss"}, resume_from=path)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"metrics": [wrong_share]}, "metrics must be a dict of name -> function"),
        ({"metrics": {"f1": 3}}, "metrics must be a dict of name -> function"),
        ({"metrics": {"F 1": wrong_share}}, "got 'F 1'"),
        ({"metrics": {"accuracy": wrong_share}}, "'accuracy' is measured already"),
        ({"metrics": {"e": wrong_share}}, "metrics need validation or test data"),
        ({"metrics": {"e": lambda t, o: o}, "validation": 0.25}, "'e' must give a number, got"),
        ({"metrics": {"e": lambda t, o: np.nan}, "validation": 0.25}, "must give a finite number"),
        ({"monitor": "val_f1", "validation": 0.25}, "no validated number 'val_f1'"),
        ({"callbacks": 3}, "callbacks must be functions or objects with on_epoch_end"),
        ({"callbacks": [Callback]}, "got the class itself: write Callback()"),
        ({"callbacks": ["stop"]}, "got 'stop'"),
        ({"ema": 1.0}, "ema must be a number of at least 0 and below 1, got 1.0"),
        ({"schedule": ReduceLROnPlateau(monitor="val_loss")}, "no number 'val_loss'"),
        ({"schedule": Warmup(ReduceLROnPlateau(monitor="r2"))}, "the schedule's monitor"),
    ],
)
def test_mistakes_are_answered_before_the_first_step(options, sentence):
    model = network()
    before = model.copy_arrays()
    with pytest.raises(ValueError, match=re.escape(sentence)):
        train(model, **options)
    assert_same(model.copy_arrays(), before)


# --- callbacks ----------------------------------------------------------------------------------


class Third(Callback):
    def on_epoch_end(self, model, history):
        return history.epochs == 3


def raising(model, history):
    raise StopTraining


@pytest.mark.parametrize(
    ("callbacks", "epochs"),
    [
        (Third(), 3), ([Third(), lambda model, history: None], 3), (raising, 1), ([], 4),
        (lambda model, history: model.predict(X), 4), (lambda model, history: 1.5, 4),
        (lambda model, history: np.bool_(history.epochs == 2), 2),
    ],
)  # fmt: skip
def test_a_callback_may_end_training(tmp_path, callbacks, epochs):
    path = tmp_path / "last.npz"
    _, history = train(callbacks=callbacks, checkpoint_path=path)
    assert history.epochs == epochs
    assert history.stopped_because == ("a callback" if epochs < 4 else "all epochs done")
    assert_same(train(resume_from=path)[0], train()[0])


def test_every_callback_sees_every_epoch_as_it_was_measured(tmp_path):
    seen = []

    def look(model, history):
        on_disk = SavedTraining(tmp_path / "last.npz").state["history"]["epoch"]
        seen.append((history.epochs, on_disk[-1], model.evaluate(X, Y)))

    _, history = train(
        callbacks=[raising, look], test=(X, Y), checkpoint_path=tmp_path / "last.npz"
    )
    assert len(seen) == 1  # all are told, and then it ends
    seen.clear()
    for ema in (None, 0.5):
        _, history = train(
            callbacks=[look], test=(X, Y), ema=ema, checkpoint_path=tmp_path / "last.npz"
        )
        rows = zip(history["test_loss"], history["test_accuracy"], strict=True)
        assert seen == [(k, k, row) for k, row in enumerate(rows, 1)]
        seen.clear()


def test_a_callback_changes_nothing():
    def destroy(model, history):
        model.layers[0].params["weight"][...] = np.nan
        model.layers[1].state["running_mean"][...] = 7

    arrays, history = train(callbacks=destroy)
    assert_same(arrays, train()[0])
    assert sum("a callback changes the model's weights, which are" in e for e in history.notes) == 1
    assert not train(callbacks=lambda model, history: model.predict(X))[1].notes
    assert_same(train(callbacks=destroy, ema=0.9)[0], train(ema=0.9)[0])


def test_an_error_in_a_callback_loses_nothing(tmp_path):
    path, model = tmp_path / "last.npz", network()

    def fail(model, history):
        if history.epochs == 2:
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        train(model, callbacks=fail, checkpoint_path=path)
    assert "fail after epoch 2, which is finished" in caught.value.__notes__[0]
    assert_same(model.copy_arrays(), train(epochs=2)[0])
    assert_same(train(resume_from=path)[0], train()[0])


# --- the average --------------------------------------------------------------------------------


def test_the_average_is_that_of_every_step():
    decay, model = 0.6, network()
    steps = []

    class Watched(SGD):
        def step(self, target):
            super().step(target)
            steps.append(model.copy_arrays())

    first = model.copy_arrays()
    averaged, history = train(model, optimizer=Watched(0.3), ema=decay, epochs=2, test=(X, Y))
    expected = {name: array.astype(np.float64) for name, array in first.items()}
    for n, arrays in enumerate(steps, 1):
        kept = min(decay, (1 + n) / (10 + n))
        for name in expected:
            expected[name] = kept * expected[name] + (1 - kept) * arrays[name]
    for name, array in averaged.items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-6)
    assert history["test_loss"][-1] == model.evaluate(X, Y)[0]
    # Steps are made with the weights themselves.
    plain, _ = train(optimizer=SGD(0.3), epochs=2)
    assert_same(steps[-1], plain)
    assert (averaged["0.weight"] != plain["0.weight"]).any()


def test_frozen_layers_stay_as_they_are():
    model = network()
    model.freeze(2)
    before = model.copy_arrays()
    after, _ = train(model, ema=0.7)
    for name in before:
        same = np.array_equal(before[name], after[name])
        assert same == name.startswith(("0.", "1."))


@pytest.mark.parametrize(
    "options",
    [
        {"ema": 0.9},
        {"ema": 0.9, "precise_bn": 2, "validation": 0.25, "patience": 9, "monitor": "val_accuracy"},
        {"schedule": ReduceLROnPlateau(0.5, patience=0, min_gain=0.3), "validation": 0.25},
        {"schedule": Warmup(ReduceLROnPlateau(0.5, 0, "loss", 0.3, cooldown=1), 1.5), "ema": 0.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("epochs", [1, 3, 6])
def test_a_run_goes_on_to_the_same_bits(tmp_path, options, epochs):
    path = tmp_path / "last.npz"
    whole, history = train(**options, epochs=6)
    train(**options, epochs=epochs, checkpoint_path=path)
    rest, again = train(**options, epochs=6, resume_from=path)
    assert_same(rest, whole)
    for name in history:
        assert "seconds" in name or again[name] == history[name]


def test_a_checkpoint_without_its_averages_is_refused(tmp_path):
    path = tmp_path / "last.npz"
    train(ema=0.9, epochs=1, checkpoint_path=path)
    with np.load(path) as file:
        members = {name: array for name, array in file.items() if "average/" not in name}
    np.savez(path, **members)
    with pytest.raises(CheckpointError, match="is damaged: it lacks the moving averages"):
        train(ema=0.9, resume_from=path)
    with pytest.raises(ResumeError, match=re.escape("had ema 0.9, now None; ema cannot")):
        train(resume_from=path)


# --- rates that wait for a plateau --------------------------------------------------------------


def rates(schedule, values, column="loss"):
    """The rate of every epoch, of which these are the numbers."""
    return [
        schedule.after({column: values[:epoch]}).step_rate(1.0, epoch, 99, 0, 1)
        for epoch in range(len(values) + 1)
    ]


def test_plateau_by_hand():
    losses = [5, 4, 4, 4, 4, 3, 3, 3]
    assert rates(ReduceLROnPlateau(0.5, 1), losses) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]
    assert rates(ReduceLROnPlateau(0.5, 1, lr_min=0.4), losses)[-1] == 0.4
    assert rates(ReduceLROnPlateau(0.1, 0, lr_min=2.0), losses)[-1] == 1  # never above lr
    accuracy = ReduceLROnPlateau(0.5, 0, "val_accuracy", min_gain=0.1)
    assert rates(accuracy, [0.1, 0.3, 0.35], "val_accuracy") == [1, 1, 1, 0.5]
    # What was before the schedule does not count.
    flat = ReduceLROnPlateau(0.5, 0)
    assert flat.after({"loss": [1, 1, 1]}, begun=2).rate(1.0, 3, 9) == 1
    assert flat.after({"loss": [1, 1, 1], "val_loss": [3, 2, 1]}).rate(1.0, 3, 9) == 1


@pytest.mark.parametrize("cooldown", [0, 2])
@pytest.mark.parametrize(("monitor", "mode"), [("loss", "min"), ("val_accuracy", "max")])
def test_plateau_is_pytorchs(cooldown, monitor, mode):
    torch = pytest.importorskip("torch")
    values = np.round(RNG.random(40), 1).tolist()
    ours = ReduceLROnPlateau(0.5, 2, monitor, 0.05, cooldown, 0.01)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode, 0.5, 2, 0.05, "abs", cooldown, 0.01
    )
    expected = [1.0]
    for value in values:
        theirs.step(value)
        expected.append(optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(rates(ours, values, monitor), expected, rtol=1e-12)
    assert expected[-1] < 0.1


def test_a_plateau_begins_with_the_schedule(tmp_path):
    path = tmp_path / "last.npz"
    train(epochs=3, schedule=CosineAnnealing(0.3), checkpoint_path=path)  # a constant 0.3
    schedule = ReduceLROnPlateau(0.5, patience=0, min_gain=10.0)  # falls after each epoch but one
    _, history = train(epochs=7, schedule=schedule, resume_from=path, allow="schedule")
    assert history["lr"][3:] == [0.3, 0.3, 0.15, 0.075]


@pytest.mark.parametrize(
    "wrong",
    [{"factor": 1.0}, {"factor": 0}, {"patience": -1}, {"cooldown": 0.5}, {"min_gain": -1},
     {"lr_min": float("nan")}, {"factor": SGD(0.1)}, {"min_gain": "min"}],
)  # fmt: skip
def test_wrong_plateaus(wrong):
    with pytest.raises(ValueError, match="ReduceLROnPlateau: "):
        ReduceLROnPlateau(**wrong)
