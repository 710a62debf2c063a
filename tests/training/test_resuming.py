"""A resumed run is the run it was, and what a checkpoint says is checked before it is believed."""

import errno
import json
import os
import re

import numpy as np
import pytest

from fastcnn import Augment, Sequential
from fastcnn.layers import Conv2D, Dense, Flatten, MaxPool2D, ReLU, Residual
from fastcnn.losses import CrossEntropyLoss
from fastcnn.network.checkpoint import CheckpointError
from fastcnn.optim import SGD
from fastcnn.schedules import CosineAnnealing, OneCycle
from fastcnn.training.checkpoint import SavedTraining, record_of
from fastcnn.training.fit import TrainingDiverged
from fastcnn.training.progress import Progress
from fastcnn.training.resuming import ResumeError

RNG = np.random.default_rng(5)
X = RNG.normal(size=(40, 3)).astype(np.float32)
Y = np.arange(40) % 2
OTHER = X + 1


def begun(path, **options):
    """A run of two epochs with a checkpoint; gives the model and the options."""
    model = Sequential(Dense(3, 2), seed=1)
    model.train(X, Y, **{**plain(), "epochs": 2, "checkpoint_path": path, **options})
    return model


def plain():
    return {"optimizer": SGD(0.1, momentum=0.9), "batch_size": 8, "progress": False}


def go_on(path, x=X, y=Y, **options):
    model = Sequential(Dense(3, 2), seed=1)
    options = {**plain(), "epochs": 3, "resume_from": path, **options}
    return model, model.train(x, y, **options)


@pytest.fixture
def path(tmp_path):
    begun(tmp_path / "last.npz", validation=0.2)
    return tmp_path / "last.npz"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"batch_size": 4}, "had batch_size 8, now 4; give the same, or allow what may change"),
        ({"optimizer": SGD(0.2, momentum=0.9)}, "had lr 0.1, now 0.2;"),
        ({"optimizer": SGD(0.1)}, "momentum=0.9"),
        ({"seed": 9}, "had seed 1, now 9; seed cannot change within a run"),
        ({"validation": 0.4}, "had validation 0.2, now 0.4; validation cannot"),
        ({"validation": None}, "had validation 0.2, now None"),
        ({"validation": (X, Y)}, "now '40 x 3 float32, checksum"),
        ({"test": (X, Y)}, "had test None, now '40 x 3 float32"),
        ({"monitor": "val_accuracy"}, "had monitor 'val_loss', now 'val_accuracy'"),
        ({"x": OTHER}, "had x '40 x 3 float32, checksum "),
        ({"x": X[:30], "y": Y[:30]}, "now '30 x 3 float32"),
        ({"y": 1 - Y}, "had y '40 int64"),
        ({"schedule": "cosine"}, "had schedule 'Constant()', now 'CosineAnnealing("),
        ({"loss": CrossEntropyLoss("sum")}, "had loss "),
        ({"shuffle": False}, "had shuffle True, now False"),
        ({"clip_norm": 1.0}, "had clip_norm None, now 1.0"),
        ({"epochs": 1}, "had epochs 2, now 1"),
        ({"patience": 3}, "had patience None, now 3"),
        (
            {"drop_last": True, "batch_size": 4},
            "had batch_size 8, now 4, drop_last False, now True",
        ),
        ({"allow": "seed"}, "seed cannot be changed within a run; what can are lr, "),
        ({"allow": "lr", "batch_size": 4}, "had batch_size 8, now 4"),
    ],
    ids=str,
)
def test_what_differs_is_named_with_both_values(path, options, sentence):
    before = path.read_bytes()
    model = Sequential(Dense(3, 2), seed=1)
    untouched = model.copy_arrays()
    options = {**plain(), "epochs": 3, "validation": 0.2, "x": X, "y": Y, **options}
    with pytest.raises(ResumeError, match=re.escape(sentence)):
        model.train(**options, resume_from=path, checkpoint_path=path)
    assert path.read_bytes() == before
    for name, array in model.copy_arrays().items():
        np.testing.assert_array_equal(array, untouched[name])


def test_what_is_allowed_is_recorded(tmp_path):
    path = tmp_path / "last.npz"
    begun(path)
    options = {"optimizer": SGD(0.2, momentum=0.9), "batch_size": 4, "allow": "lr,batch_size"}
    _, history = go_on(path, **options, checkpoint_path=path)
    changes = {each["setting"]: (each["epoch"], each["before"], each["after"])
               for each in history.changes}  # fmt: skip
    assert changes == {"lr": (3, 0.1, 0.2), "batch_size": (3, 8, 4), "epochs": (3, 2, 3)}
    assert history["lr"] == [0.1, 0.1, 0.2]
    again = go_on(path, **options, epochs=4)[1]  # the record is kept, and what is new is added
    assert [each["epoch"] for each in again.changes] == [3, 3, 3, 4]


@pytest.mark.parametrize("schedule", [CosineAnnealing(), OneCycle()], ids=repr)
def test_more_epochs_of_a_schedule_that_ends_are_announced(tmp_path, schedule):
    path = tmp_path / "last.npz"
    begun(path, schedule=schedule)
    _, history = go_on(path, schedule=schedule, epochs=6)
    rates = [schedule.step_rate(0.1, epoch, 6, step, 5) for epoch, step in ((2, 0), (5, 4))]
    [note] = [note for note in history.notes if "schedule" in note]
    assert "the schedule is now one of 6 epochs, not 2" in note
    assert f"the rate, {history['lr'][1]:.3g} at the end of epoch 2, " in note
    assert note.endswith(
        f"is {rates[0]:.3g} at the start of epoch 3 and {rates[1]:.3g} at the end of epoch 6"
    )
    assert history["lr"][5] == rates[1]
    constant = tmp_path / "constant.npz"
    begun(constant)
    assert not any("schedule" in note for note in go_on(constant, epochs=6)[1].notes)


def edited(path, change):
    """Change the header of a checkpoint."""
    with np.load(path) as file:
        members = dict(file)
    header = json.loads(members["header"].tobytes())
    change(header, members)
    members["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    with open(path, "wb") as file:
        np.savez(file, **members)


def test_a_checkpoint_of_version_0_1_0_goes_on_with_a_note(tmp_path):
    path = tmp_path / "last.npz"
    begun(path, validation=0.2)

    def old(header, _):
        state = header["training"]["state"]
        for name in ("settings", "about", "changes"):
            del state[name]

    edited(path, old)
    _, history = go_on(path, validation=0.2)
    assert history.epochs == 3
    assert "is of version 0.1.0" in history.notes[0]
    for options, sentence in (
        ({}, "had validation data and cannot be continued without"),
        ({"validation": 0.2, "test": (X, Y)}, "had no test data"),
        ({"validation": 0.2, "monitor": "val_accuracy"}, "had monitor 'val_loss'"),
    ):
        with pytest.raises(ResumeError, match=sentence):
            go_on(path, **options)


def test_what_an_older_run_did_not_know_was_not_there(tmp_path):
    path = tmp_path / "last.npz"
    begun(path)

    def old(header, _):
        for name in ("class_weight", "sample_weight", "ema", "metrics"):
            del header["training"]["state"]["settings"][name]

    edited(path, old)
    assert go_on(path)[1].epochs == 3
    with pytest.raises(ResumeError, match="had class_weight None, now 'balanced'"):
        go_on(path, class_weight="balanced")


def test_a_run_goes_on_though_layers_have_learnt_new_arguments(tmp_path):
    def network():
        layers = (Conv2D(1, 2, 3), ReLU(), MaxPool2D(2), Residual([ReLU()]), Flatten(), Dense(8, 2))
        return Sequential(*layers, seed=1)

    def old(header, _):
        for spec in header["model"]["layers"]:
            for name in ("dilation", "groups", "ceil_mode"):
                spec.pop(name, None)

    x, path = RNG.normal(size=(40, 1, 6, 6)).astype(np.float32), tmp_path / "last.npz"
    network().train(x, Y, **plain(), epochs=2, checkpoint_path=path)
    edited(path, old)
    assert network().train(x, Y, **plain(), epochs=3, resume_from=path).epochs == 3
    other = Sequential(Conv2D(1, 2, 3, dilation=2), Flatten(), Dense(8, 2))
    for layers in (other.layers, network().layers[:-1]):
        with pytest.raises(CheckpointError, match="of a model with other layers"):
            Sequential(*layers).train(x, Y, **plain(), epochs=3, resume_from=path)


def state(**changes):
    def change(header, _):
        header["training"]["state"].update(changes)

    return change


def without(name):
    return lambda header, _: header["training"]["state"].pop(name)


def history_with(**columns):
    def change(header, _):
        header["training"]["state"]["history"].update(columns)

    return change


def array(name, value):
    return lambda _, members: members.update({name: value})


@pytest.mark.parametrize(
    "change",
    [
        lambda header, _: header["training"].update(state=[1, 2]),
        lambda header, _: header["training"].update(state=None),
        lambda header, _: header["training"].pop("state"),
        lambda header, _: header.update(training=[]),
        without("history"), without("best"), without("stopped_because"),
        state(history=[]), state(history=3), state(history=None), state(history={"loss": [1, 2]}),
        history_with(loss=[1.0]), history_with(loss=5), history_with(epoch=[1, 3]),
        history_with(epoch=[1.0, 2.0, 3.0]), history_with(loss=["a", "b"]),
        history_with(loss=[float("inf"), 1.0]), history_with(loss=[True, False]),
        history_with(loss=[10**400, 1]), history_with(test_loss=[1, 2]), history_with(val_loss=[]),
        history_with(more=[1, 2]),
        state(gradients=[]), state(gradients={"0.weight": [1, 2]}),
        state(gradients={"epoch": [3], "0.weight": [1.0]}), state(stopped_because=7),
        state(stopped_because="bored"), state(best=[]), state(best={"monitor": "loss"}),
        state(best={"monitor": "val_loss", "epoch": 9, "value": 1.0}),
        state(best={"monitor": "val_loss", "epoch": "1", "value": 1.0}),
        state(best={"monitor": "val_loss", "epoch": 1, "value": "low"}),
        state(settings=[]), state(settings={}), state(changes={}), state(changes=[1]),
        state(about=[]),
        array("model/0.weight", np.zeros((3, 2))),
        array("model/0.weight", np.full((3, 2), np.nan, np.float32)),
        array("model/0.weight", np.zeros((3, 2), np.int64)),
        array("optimizer/steps", np.zeros(2)), array("optimizer/steps", np.array(-1)),
        array("optimizer/velocity", np.zeros(3, np.float32)),
        lambda _, members: [members.pop(name) for name in list(members) if "best/" in name],
    ],
)  # fmt: skip
def test_an_edited_checkpoint_is_refused_before_anything_is_touched(tmp_path, change):
    path = tmp_path / "last.npz"
    options = {"validation": 0.2, "patience": 9}
    begun(path, **options)
    edited(path, change)
    model, optimizer = Sequential(Dense(3, 2), seed=1), SGD(0.1, momentum=0.9)
    before = model.copy_arrays()
    with pytest.raises(CheckpointError, match=re.escape(str(path))) as caught:
        model.train(
            X, Y, **{**plain(), **options, "optimizer": optimizer}, epochs=3, resume_from=path
        )
    assert "\n" not in str(caught.value)
    assert optimizer.steps == 0
    for name, values in model.copy_arrays().items():
        np.testing.assert_array_equal(values, before[name])


def test_a_checkpoint_that_cannot_be_written_says_what_is_kept(tmp_path, monkeypatch):
    path, real, writes = tmp_path / "last.npz", os.replace, []

    def replace(source, target):
        writes.append(target)
        if len(writes) == 3:  # before the first epoch, after it, after the second
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(
        OSError, match=r"last.npz cannot be written: No space left on device; it ho"
    ):
        begun(path)
    assert [file.name for file in tmp_path.iterdir()] == ["last.npz"]
    monkeypatch.undo()
    resumed, history = go_on(path)
    assert history.epochs == 3
    whole = Sequential(Dense(3, 2), seed=1)
    whole.train(X, Y, **plain(), epochs=3)
    np.testing.assert_array_equal(resumed.parameters.values, whole.parameters.values)


def test_the_checkpoint_of_another_run_stays_until_there_is_an_epoch(path, monkeypatch):
    before = path.read_bytes()
    begun(path, should_stop=lambda: True)
    assert path.read_bytes() == before
    with monkeypatch.context() as patch:
        patch.setattr(Sequential, "is_finite", lambda _: False)
        with pytest.raises(TrainingDiverged):
            begun(path)
    assert path.read_bytes() == before
    begun(path, epochs=1)
    assert record_of(SavedTraining(path)).history.epochs == 1


def test_a_place_for_a_checkpoint_is_tried_before_the_first_epoch(path, monkeypatch):
    def full(**_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("fastcnn.files.tempfile.TemporaryFile", full)
    with pytest.raises(ValueError, match="cannot be written to: Read-only file system"):
        begun(path, progress=None, should_stop=lambda: pytest.fail("it has begun"))


def test_an_epoch_is_saved_before_anybody_is_told(tmp_path):
    """Who is told may be a terminal that has gone away."""
    path = tmp_path / "last.npz"

    class Gone(Progress):
        def on_epoch_end(self, row):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        begun(path, progress=Gone())
    _, history = go_on(path)
    assert history["epoch"] == [1, 2, 3]


@pytest.mark.parametrize("part", ["training", "validation", "test"])
@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        (np.where(np.arange(40)[:, None] == 7, np.nan, X).astype(np.float32), Y, "sample 7 holds"),
        (np.where(np.arange(40)[:, None] == 3, np.inf, X).astype(np.float32), Y, "sample 3 holds"),
        (X, Y + 1, "labels must lie between 0 and 1, .* got 2"),
        (X, Y - 1, "labels must lie between 0 and 1, .* got -1"),
        (X, Y[:9], "got 40 samples and 9 labels"),
        (X[:, :2], Y, "Dense"),
        (X[:0], Y[:0], "at least one"),
        (X, np.eye(3)[Y], "one-hot"),
        (X, np.full((40, 2), 0.7), "row 0 of the labels must hold probabilities"),
        (X, Y + 0.5, "labels must be whole numbers"),
    ],
    ids=["nan", "inf", "high", "low", "lengths", "shape", "none", "wide", "rows", "fractions"],
)
def test_wrong_arrays_are_refused_before_the_first_step(part, x, y, sentence):
    model = Sequential(Dense(3, 2), seed=1)
    before = model.copy_arrays()
    data = {"x": X, "y": Y}
    data |= {"x": x, "y": y} if part == "training" else {part: (x, y)}
    with pytest.raises((ValueError, TypeError), match=f"{part}: .*{sentence}|{sentence}") as caught:
        model.train(**data, **plain(), epochs=1)
    assert part in str(caught.value)
    for name, values in model.copy_arrays().items():
        np.testing.assert_array_equal(values, before[name])


def test_augmentation_is_told_by_what_it_changes(tmp_path):
    images = RNG.integers(0, 256, (20, 1, 4, 4), dtype=np.uint8)
    labels = np.arange(20) % 2
    from fastcnn.layers import Flatten

    def train(augment, **options):
        model = Sequential(Flatten(), Dense(16, 2), seed=1)
        return model.train(images, labels, augment=augment, progress=False, **options)

    path = tmp_path / "last.npz"
    train(Augment(shift=1), epochs=1, checkpoint_path=path)
    with pytest.raises(ResumeError, match=r"had augment 'Augment\(shift=1\)', now None"):
        train(None, epochs=2, resume_from=path)
    assert train(Augment(shift=1), epochs=2, resume_from=path).epochs == 2
